"""Connections: what keeps one from being made has a name, and all waits are bounded."""

from __future__ import annotations

import asyncio
import socket

import pytest
from support.asking import ask, outbound
from support.scripted import ScriptedUpstream
from support.tls import AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, server_context

from proxy.model.errors import ConnectFailed, ConnectTimeout, NoReply
from proxy.upstream import HttpUpstream, UpstreamSpec
from proxy.upstream.resolver import Resolver

SOON_S = 0.05  # a deadline that is meant to pass


async def answered(upstream):
    return await ask(upstream, outbound())


async def test_a_refused_connection_is_a_502_that_sent_nothing(up, reach):
    up.refuse()
    with pytest.raises(ConnectFailed) as caught:
        await reach(up.url).send(outbound())
    assert (caught.value.status, caught.value.token) == (502, "connection_refused")


async def test_a_backend_that_comes_back_is_found(up, reach):
    up.answer_with(lambda call: call.reply(200, body=b"back"))
    upstream = reach(up.url)
    up.refuse()
    with pytest.raises(ConnectFailed):
        await upstream.send(outbound())
    await up.listen()
    assert await answered(upstream) == b"back"


async def test_a_name_without_an_address_is_told_apart(reach):
    with pytest.raises(ConnectFailed) as caught:
        await reach(f"http://{'a' * 64}.test").send(outbound())
    assert (caught.value.status, caught.value.token) == (502, "dns_error")


async def test_a_name_is_looked_up(up, reach):
    up.answer_with(lambda call: call.reply(200, body=b"here"))
    assert await answered(reach(f"http://localhost:{up.port}")) == b"here"
    assert up.history[0].field("host") == f"localhost:{up.port}"


async def test_a_backend_that_has_moved_is_found(start):
    now, addresses = [100.0], ["127.0.0.1"]

    def look_up(host, port, family):
        inet = socket.AF_INET
        return [
            {"hostname": host, "host": each, "port": port, "family": inet, "proto": 0, "flags": 0}
            for each in addresses
        ]

    async with ScriptedUpstream() as old:
        spec = UpstreamSpec(url=f"http://backend.test:{old.port}", keepalive_s=1e-9)
        upstream = HttpUpstream(spec, lambda: Resolver(look_up, clock=lambda: now[0]))
        old.answer_with(lambda call: call.reply(200, body=b"old"))
        assert await answered(upstream) == b"old"
        old.refuse()
        async with ScriptedUpstream(host="127.0.0.2", port=old.port) as new:
            new.answer_with(lambda call: call.reply(200, body=b"new"))
            addresses[:] = ["127.0.0.2"]
            now[0] += 2
            with pytest.raises(ConnectFailed):
                await upstream.send(outbound())
            assert await answered(upstream) == b"new"
        await upstream.close()


async def test_a_connection_that_is_not_made_in_time_is_a_504(up, reach):
    # It accepts, and never answers the TLS handshake.
    upstream = reach(up.url.replace("http:", "https:"), connect_timeout_s=SOON_S)
    with pytest.raises(ConnectTimeout) as caught:
        await upstream.send(outbound())
    assert (caught.value.status, caught.value.token) == (504, "connection_timeout")
    await up.deserted()


class TestWhenAllAreInUse:
    async def test_the_wait_for_a_place_is_part_of_connecting(self, up, reach, start):
        upstream = reach(up.url, max_connections=1, connect_timeout_s=SOON_S)
        start(upstream.send(outbound()))
        await up.next_call()
        with pytest.raises(ConnectTimeout):
            await upstream.send(outbound())
        assert (up.calls, upstream.in_use) == (1, 1)

    async def test_a_place_given_back_goes_to_the_next(self, up, reach, start):
        upstream = reach(up.url, max_connections=1)
        asking = [start(answered(upstream)) for _ in range(3)]
        for _ in asking:
            call = await up.next_call()
            assert upstream.in_use == 1
            await call.reply(200, body=b"answer")
        assert await asyncio.gather(*asking) == [b"answer"] * 3
        assert len(up.connections) == 1

    async def test_one_who_stops_waiting_takes_no_place(self, up, reach, start):
        upstream = reach(up.url, max_connections=1)
        first = start(answered(upstream))
        call = await up.next_call()
        waiting = start(answered(upstream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        last = start(answered(upstream))
        await call.reply(200)
        await first
        await (await up.next_call()).reply(200, body=b"mine")
        assert await last == b"mine"


class TestTls:
    @pytest.fixture
    async def secure(self):
        async with ScriptedUpstream(tls=server_context()) as up:
            up.answer_with(lambda call: call.reply(200, body=b"safe"))
            yield up

    async def test_a_certificate_of_a_known_authority_will_do(self, secure, reach):
        upstream = reach(secure.url, ca_file=AUTHORITY)
        assert [await answered(upstream) for _ in range(2)] == [b"safe"] * 2
        assert len(secure.connections) == 1

    async def test_a_large_body_passes(self, secure, reach, start):
        body = b"x" * 1024 * 1024
        secure.answer_with(lambda call: call.reply(200, body=call.body))
        arrival = await reach(secure.url, ca_file=AUTHORITY).send(outbound(body=body))
        assert b"".join([piece async for piece in arrival.chunks()]) == body

    async def test_an_unknown_authority_will_not(self, secure, reach):
        with pytest.raises(ConnectFailed) as caught:
            await reach(secure.url).send(outbound())
        assert caught.value.token == "tls_certificate_error"
        assert secure.calls == 0

    async def test_a_certificate_for_another_name_will_not(self, secure, reach):
        upstream = reach(secure.url, ca_file=AUTHORITY, server_name="other.test")
        with pytest.raises(ConnectFailed) as caught:
            await upstream.send(outbound())
        assert caught.value.token == "tls_certificate_error"

    async def test_the_name_to_expect_can_be_configured(self, secure, reach):
        upstream = reach(secure.url, ca_file=AUTHORITY, server_name="backend.test")
        assert await answered(upstream) == b"safe"

    async def test_verification_can_be_turned_off(self, secure, reach):
        assert await answered(reach(secure.url, verify_tls=False)) == b"safe"

    async def test_a_backend_without_tls_is_told_apart(self, up, reach, start):
        asking = start(reach(up.url.replace("http:", "https:")).send(outbound()))
        await up.until(lambda: bool(up.connections), "a connection is made")
        await up.connections[0].send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ConnectFailed) as caught:
            await asking
        assert caught.value.token == "tls_protocol_error"

    async def test_the_backend_can_ask_who_we_are(self, reach):
        async with ScriptedUpstream(tls=server_context(asks_for_client=True)) as up:
            up.answer_with(lambda call: call.reply(200, body=b"welcome"))
            known = {"client_cert_file": CLIENT_CERTIFICATE, "client_key_file": CLIENT_KEY}
            assert await answered(reach(up.url, ca_file=AUTHORITY, **known)) == b"welcome"
            with pytest.raises((NoReply, ConnectFailed)):
                await reach(up.url, ca_file=AUTHORITY).send(outbound())
            assert up.calls == 1


async def test_a_backend_that_retires_keeps_nothing_and_still_answers(up, reach, start):
    backend = reach(up.url)

    async def ask():
        arrival = await backend.send(outbound())
        return b"".join([piece async for piece in arrival.chunks()])

    idle, busy = start(ask()), start(ask())
    first, second = await up.next_call(), await up.next_call()
    await first.reply(200, body=b"one")
    assert await idle == b"one"
    assert up.open_connections == 2

    backend.retire()
    await first.hung_up()
    await second.reply(200, body=b"two")
    assert await busy == b"two"
    await second.hung_up()

    later = start(ask())
    third = await up.next_call()
    await third.reply(200, body=b"three")
    assert await later == b"three"
    await third.hung_up()
    assert up.open_connections == 0


async def test_a_backend_that_was_never_asked_retires_too(up, reach, start):
    backend = reach(up.url)
    backend.retire()
    asking = start(backend.send(outbound()))
    call = await up.next_call()
    await call.reply(200, body=b"one")
    arrival = await asking
    assert [piece async for piece in arrival.chunks()] == [b"one"]
    await call.hung_up()

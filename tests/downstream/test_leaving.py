"""How a server leaves: who is let in and for how long, and what is told to whom."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl as tls
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path

import pytest
from support.meanwhile import meanwhile
from support.raw_chat import Listener
from support.raw_client import RawClient
from support.serving import Serving, reply_with, serving

from proxy.downstream import leaving
from proxy.downstream.leaving import Leaving
from proxy.downstream.limits import Limits
from proxy.model.decision import Why
from proxy.model.message import Request
from proxy.model.outcome import Reply

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PEM = Path(__file__).parents[1] / "support" / "tls"
EVENTS = [("Content-Type", "text/event-stream; charset=utf-8")]
PATIENT = Leaving(30, patience_s=30)


# -- the ways ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed_s", "unused_s", "waits_s"),
    [(0, None, 5), (2, None, 3), (5, None, 0), (9, None, 0), (0, inf, 5), (1, 60, 4)],
)
def test_a_gateway_keeps_its_delay_whoever_is_there(
    passed_s: float, unused_s: float | None, waits_s: float
) -> None:
    assert leaving.gateway(5, 30).waits_s(passed_s, unused_s) == waits_s


@pytest.mark.parametrize(
    ("passed_s", "unused_s", "waits_s"),
    [(0, None, 35), (34, None, 1), (35, None, 0), (0, inf, 0), (0, 0, 1), (3, 0.25, 0.75),
     (3, 1, 0), (34.5, 0, 0.5)],
)  # fmt: skip
def test_a_sidecar_waits_until_nobody_has_been_there_for_a_second(
    passed_s: float, unused_s: float | None, waits_s: float
) -> None:
    assert leaving.sidecar(5, 30).waits_s(passed_s, unused_s) == waits_s


@pytest.mark.parametrize("unused_s", [None, 0.0, inf])
def test_who_is_interrupted_or_has_a_successor_does_not_wait(unused_s: float | None) -> None:
    assert leaving.interrupted(30).waits_s(0, unused_s) == 0
    assert leaving.retiring(30).waits_s(0, unused_s) == 0


def test_no_way_waits_longer_than_it_may_take() -> None:
    assert Leaving(3, delay_s=10).waits_s(1, None) == 2
    assert leaving.gateway(5, 30).limit_s == leaving.sidecar(5, 30).limit_s == 35
    assert leaving.interrupted(30).limit_s == leaving.retiring(30).limit_s == 30


# -- the delay ---------------------------------------------------------------------------------


async def test_until_the_delay_is_over_all_are_let_in_but_each_reply_is_the_last() -> None:
    async with serving() as stage, await stage.client() as idle:
        await idle.send(GET)
        assert (await idle.response()).get("Connection") is None
        async with meanwhile(stage.server.leave(Leaving(30, 0.3))) as gone:
            async with await stage.client() as new:
                await new.send(GET)
                assert (await new.response()).get("Connection") == "close"
                assert await new.rest() == b""
            await idle.send(GET)
            assert (await idle.response()).get("Connection") == "close"
            assert await idle.rest() == b""
            idle.close()
            await gone
        with pytest.raises(ConnectionRefusedError):
            await stage.client()


async def test_a_sidecar_that_nobody_was_ever_connected_to_leaves_at_once() -> None:
    async with serving() as stage, asyncio.timeout(10):
        await stage.server.leave(leaving.sidecar(0, 60))


async def test_a_sidecar_lets_in_whoever_comes_until_the_last_has_gone() -> None:
    how = Leaving(60, 60, unused_s=0.2)
    async with serving() as stage, await stage.client() as first:
        await first.send(GET)
        await first.response()
        async with meanwhile(stage.server.leave(how)) as gone:
            async with await stage.client() as second:
                await stage.until_open(2)
                first.close()
                await stage.until_open(1)
                await second.send(GET)
                assert (await second.response()).get("Connection") == "close"
            await stage.until_open(0)
            async with await stage.client() as third:  # before it was deserted for long enough
                await third.send(GET)
                await third.response()
                assert not gone.done()
            async with asyncio.timeout(10):
                await gone


# -- connections without a request -------------------------------------------------------------


async def test_connections_without_a_request_are_closed_and_new_ones_refused() -> None:
    async with serving() as stage:
        idle, fresh = await stage.client(), await stage.client()
        await idle.send(GET)
        await idle.response()
        await stage.until_open(2)
        async with meanwhile(stage.server.leave(leaving.interrupted(30))) as gone:
            assert await idle.rest() == b""
            assert await fresh.rest() == b""
            with pytest.raises(ConnectionRefusedError):
                await stage.client()
            idle.close()
            fresh.close()
            await gone


async def test_for_a_moment_connections_without_a_request_may_have_a_last_one() -> None:
    async with serving() as stage, await stage.client() as idle, await stage.client() as fresh:
        await idle.send(GET)
        await idle.response()
        await stage.until_open(2)
        async with meanwhile(stage.server.leave(PATIENT)) as gone:
            await asyncio.sleep(0)  # it begins
            for client in (idle, fresh):
                await client.send(GET)
                assert (await client.response()).get("Connection") == "close"
                assert await client.rest() == b""
                client.close()
            await gone


async def test_that_moment_is_soon_over() -> None:
    async with serving() as stage, await stage.client() as idle, await stage.client() as fresh:
        await idle.send(GET)
        await idle.response()
        await stage.until_open(2)
        async with meanwhile(stage.server.leave(Leaving(30, patience_s=0.05))) as gone:
            assert await idle.rest() == b""
            assert await fresh.rest() == b""
            idle.close()
            fresh.close()
            await gone
    assert stage.server.counts.timeouts == 0


async def test_who_was_promised_another_reply_may_ask_when_the_stream_has_ended() -> None:
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        await go_on.wait()

    async def answer(request: Request) -> Reply:
        return reply_with(body()) if not go_on.is_set() else reply_with()

    async with serving(answer) as stage, await stage.client() as client:
        await client.send(GET)
        assert (await client.head()).get("Connection") is None
        async with meanwhile(stage.server.leave(PATIENT)) as gone:
            await client.until(b"one\r\n")
            go_on.set()
            await client.until(b"0\r\n\r\n")
            await client.send(GET)
            last = await client.response()
            assert (last.body, last.get("Connection")) == (b"hello", "close")
            assert await client.rest() == b""
            client.close()
            await gone


async def test_what_has_come_but_was_not_read_yet_is_not_reset() -> None:
    async with serving() as stage, await stage.client() as idle:
        await idle.send(GET)
        await idle.response()
        async with meanwhile(stage.server.leave(leaving.interrupted(30))) as gone:
            while not stage.server._service.closing:  # noqa: ASYNC110 - it happens on this loop
                await asyncio.sleep(0)
            idle._sock.sendall(GET)  # before the loop comes round to it
            assert (await idle.response()).get("Connection") == "close"
            assert await idle.rest() == b""
            idle.close()
            await gone


async def test_a_head_that_has_begun_is_still_served() -> None:
    async with serving() as stage, await stage.client() as client, await stage.client() as fresh:
        await client.send(GET)
        await client.response()
        for each in (client, fresh):
            await each.send(GET[:10])
        await stage.until_open(2)
        await asyncio.sleep(0.01)  # for the ten bytes to be read
        async with meanwhile(stage.server.leave(Leaving(30, patience_s=0.01))) as gone:
            await asyncio.sleep(0.05)  # for patience to end
            for each in (client, fresh):
                await each.send(GET[10:])
                assert (await each.response()).get("Connection") == "close"
                assert await each.rest() == b""
                each.close()
            await gone


# -- those whom the kernel has let in ----------------------------------------------------------


@pytest.mark.parametrize("how", [PATIENT, leaving.interrupted(30)])
async def test_who_waits_to_be_accepted_when_the_door_closes_is_answered(how: Leaving) -> None:
    def ask() -> socket.socket:
        """Connect and ask, while the loop does nothing."""
        client = socket.create_connection(stage.address)
        client.sendall(GET)
        client.settimeout(0)
        return client

    async def heard(client: socket.socket) -> bytes:
        loop, said = asyncio.get_running_loop(), b""
        with client:
            while piece := await loop.sock_recv(client, 65_536):
                said += piece
        return said

    async with serving() as stage:
        clients = [ask() for _ in range(50)]
        async with asyncio.timeout(20), meanwhile(stage.server.leave(how)) as gone:
            said = await asyncio.gather(*map(heard, clients))
            await gone
    for each in said:
        assert each.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in each
        assert each.endswith(b"\r\n\r\nhello")
    assert stage.server.counts.accepted == 50


async def test_who_retires_leaves_new_connections_to_its_sibling() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
        address = door.getsockname()
        async with serving() as sibling, serving() as retiring:
            for stage in (sibling, retiring):
                shared = socket.socket(fileno=os.dup(door.fileno()))
                await stage.server.start(None, 0, sock=shared)
            async with meanwhile(retiring.server.leave(leaving.retiring(30))) as gone:
                for _ in range(20):
                    async with await RawClient.connect(address) as client:
                        await client.send(GET)
                        assert (await client.response()).status == 200
                await gone
            async with await RawClient.connect(address) as client:
                await client.send(GET)
                assert (await client.response()).get("Connection") is None
    assert sibling.server.counts.accepted + retiring.server.counts.accepted == 21
    assert sibling.server.counts.accepted >= 1


async def test_who_is_shaking_hands_when_the_door_closes_is_answered() -> None:
    ours = tls.create_default_context(tls.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(PEM / "server.pem", PEM / "server.key")
    theirs = tls.create_default_context(cafile=str(PEM / "authority.pem"))
    theirs.check_hostname = False
    limits = Limits(linger_s=0.05)
    async with serving(ssl=ours, limits=limits) as stage, asyncio.timeout(20):
        waiting = socket.create_connection(stage.address)  # while the loop does nothing
        async with meanwhile(stage.server.leave(Leaving(30, patience_s=0.5))) as gone:
            await asyncio.sleep(0.05)
            waiting.settimeout(0)
            reader, writer = await asyncio.open_connection(
                sock=waiting, ssl=theirs, server_hostname=""
            )
            writer.write(GET)
            assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
            writer.close()
            await writer.wait_closed()
            await gone


async def test_who_never_shakes_hands_holds_nobody_up() -> None:
    ours = tls.create_default_context(tls.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(PEM / "server.pem", PEM / "server.key")
    async with serving(ssl=ours) as stage, asyncio.timeout(20):
        with socket.create_connection(stage.address), socket.create_connection(stage.address):
            await asyncio.sleep(0.05)  # for them to be accepted
            with socket.create_connection(stage.address):
                await stage.server.leave(Leaving(30, patience_s=0.05))


# -- replies under way -------------------------------------------------------------------------


class Held:
    """An answer that is held back, be it before its head or between two pieces of its body."""

    def __init__(self, *pieces: bytes, length: int | None = None, headers: object = EVENTS) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.called_off = asyncio.Event()
        self._pieces = pieces
        self._length = length
        self._headers = headers

    async def answer(self, request: Request) -> Reply:
        if self._pieces:
            assert isinstance(self._headers, list)
            return reply_with(self._body(), headers=self._headers, length=self._length)
        await self._hold()
        return reply_with()

    async def _body(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        await self._hold()
        yield b"the end"

    async def _hold(self) -> None:
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.called_off.set()
            raise


async def test_the_reply_under_way_is_the_last_on_its_connection() -> None:
    held = Held()
    async with serving(held.answer) as stage, await stage.client() as client:
        await client.send(GET + GET)
        await held.begun.wait()
        async with meanwhile(stage.server.leave(PATIENT)) as gone:
            await asyncio.sleep(0)
            assert not gone.done()
            held.go_on.set()
            assert (await client.response()).get("Connection") == "close"
            assert await client.rest() == b""
            client.close()
            await gone
    assert len(stage.requests) == 1


async def test_a_stream_may_run_to_its_end() -> None:
    held = Held(b"data: 1\n\n")
    async with serving(held.answer) as stage, await stage.client() as client:
        await client.send(GET)
        await held.begun.wait()
        await client.head()
        async with meanwhile(stage.server.leave(leaving.interrupted(30))) as gone:
            held.go_on.set()
            assert await Listener(client).end() == b"data: 1\n\nthe end"
            assert await client.rest() == b""
            client.close()
            await gone
        assert (await stage.record()).delivery.complete


# -- when time is up ---------------------------------------------------------------------------


async def test_a_reply_that_has_not_begun_becomes_an_error_that_says_ask_again() -> None:
    held = Held()
    async with serving(held.answer) as stage, await stage.client() as client:
        await client.send(GET)
        await held.begun.wait()
        await stage.server.close(0.05)
        assert held.called_off.is_set()
        response = await client.response()
        assert await client.rest() == b""
        record = await stage.record()
    assert (response.status, response.get("Connection")) == (503, "close")
    assert (response.get("X-Cache-Reason"), response.get("Retry-After")) == ("draining", "1")
    assert json.loads(response.body)["error"]["code"] == "draining"
    assert record.outcome.why is Why.DRAINING
    assert (record.delivery.status, record.delivery.error) == (503, "Draining")
    assert record.delivery.complete


async def test_a_head_that_is_not_whole_is_answered_too() -> None:
    limits = Limits(linger_s=0.05)
    async with serving(limits=limits) as stage, await stage.client() as client:
        await client.send(GET[:10])
        await stage.until_open(1)
        await asyncio.sleep(0.01)  # for the ten bytes to be read
        await stage.server.close(0)
        response = await client.response()
    assert (response.status, response.get("Connection")) == (503, "close")
    assert json.loads(response.body)["error"]["code"] == "draining"


def told(event: bytes) -> dict[str, str]:
    """The error that an event is about."""
    name, data, *rest = event.split(b"\n")
    assert (name, rest) == (b"event: error", [b"", b""])
    error = json.loads(data.removeprefix(b"data: "))["error"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize(
    "pieces",
    [[b"data: 1\n\n"], [b"data: 1\r\n\r\n"], [b"data: 1\n", b"\n"], [b"data: 1\r\n", b"\r", b"\n"],
     [b": hello\n\ndata: 1\r\r"]],
)  # fmt: skip
async def test_a_stream_of_events_ends_with_one_that_says_so_and_without_an_end(
    pieces: list[bytes],
) -> None:
    held = Held(*pieces)
    async with serving(held.answer) as stage, await stage.client() as client:
        await client.send(GET)
        await held.begun.wait()
        await client.head()
        async with meanwhile(stage.server.close(0.05)) as gone:
            heard = Listener(client)
            await heard.until(b"}}\n\n")
            assert await client.rest() == b""  # a FIN where another chunk should be
            client.close()
            await gone
        record = await stage.record()
    assert heard.heard.startswith(b"".join(pieces))
    error = told(heard.heard.removeprefix(b"".join(pieces)))
    assert (error["type"], error["code"]) == ("draining", "draining")
    assert held.called_off.is_set()
    assert (record.delivery.complete, record.delivery.error) == (False, "Draining")
    assert record.delivery.sent == len(b"".join(pieces))


async def test_a_stream_that_has_said_nothing_yet_says_that() -> None:
    held = Held(b"")
    async with serving(held.answer) as stage, await stage.client() as client:
        await client.send(GET)
        await held.begun.wait()
        await client.head()
        await stage.server.close(0.05)
        heard = Listener(client)
        assert told(await heard.until(b"}}\n\n"))["type"] == "draining"


async def test_a_stream_of_events_of_a_known_length_is_left_short_of_it() -> None:
    held = Held(b"data: 1\n\n", length=1000)
    async with serving(held.answer) as stage, await stage.client() as client:
        await client.send(GET)
        await held.begun.wait()
        assert (await client.head()).get("Content-Length") == "1000"
        await stage.server.close(0.05)
        said = await client.rest()
    assert told(said.removeprefix(b"data: 1\n\n"))["type"] == "draining"
    assert len(said) < 1000


@pytest.mark.parametrize(
    ("held", "request_bytes"),
    [
        (lambda: Held(b"data: 1\n\ndata: "), GET),
        (lambda: Held(b"data: 1\n\n", b"data"), GET),
        (lambda: Held(b"data: 1\n\n", length=20), GET),
        (lambda: Held(b"data: 1\n\n"), b"GET / HTTP/1.0\r\n\r\n"),
        (lambda: Held(b"data: 1\n\n", headers=[*EVENTS, ("Content-Encoding", "gzip")]), GET),
        (lambda: Held(b"{}\n\n", headers=[("Content-Type", "application/x-ndjson")]), GET),
        (lambda: Held(b"half", length=8, headers=[("Content-Type", "text/plain")]), GET),
    ],
    ids=["cut", "cut in two", "too short", "HTTP/1.0", "encoded", "lines", "plain"],
)
async def test_all_other_replies_are_reset(held: object, request_bytes: bytes) -> None:
    assert callable(held)
    it = held()
    async with serving(it.answer) as stage, await stage.client() as client:
        await client.send(request_bytes)
        await it.begun.wait()
        await client.head()
        await stage.server.close(0.05)
        assert it.called_off.is_set()
        assert await client.was_reset()
        assert (await stage.record()).delivery.error == "Draining"


async def test_a_client_that_does_not_read_holds_nobody_up() -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"data: " + b"x" * 65_536 + b"\n\n"

    async def answer(request: Request) -> Reply:
        return reply_with(body(), headers=EVENTS)

    async with serving(answer) as stage, await stage.client(receive_buffer=4096) as client:
        await client.send(GET)
        await client.head()
        async with asyncio.timeout(10):
            await stage.server.close(0.1)
        assert await client.was_reset()


async def test_who_has_had_the_last_word_is_not_waited_for() -> None:
    async def answer(request: Request) -> Reply:
        return reply_with(close=True)

    limits = Limits(linger_s=60)
    async with serving(answer, limits=limits) as stage, await stage.client() as client:
        await client.send(GET)
        await client.response()  # and keeps its side open
        async with asyncio.timeout(10):
            await stage.server.close(0.05)


async def test_a_last_event_is_not_reset_by_what_the_client_still_sends() -> None:
    held = Held(b"data: 1\n\n")
    asking = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf of it"
    async with serving(held.answer) as stage, await stage.client() as client:
        await client.send(asking)
        await held.begun.wait()
        await client.head()
        async with meanwhile(stage.server.close(0.05)) as gone:
            heard = Listener(client)
            await heard.until(b"}}\n\n")
            await client.send(b"the other half")
            assert await client.rest() == b""
            client.close()
            await gone


async def test_closing_twice_and_closing_what_never_started_is_nothing() -> None:
    async with serving() as stage:
        await stage.server.close(1)
        await stage.server.close(1)
        await Serving(None, None, Limits()).server.close(1)

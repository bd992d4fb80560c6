"""Requests and responses pass as they are, and what goes wrong is named."""

from __future__ import annotations

import asyncio
import contextlib
import traceback

import pytest
from support.asking import FedBody, ask, outbound, read

from proxy.model.errors import (
    BrokenReply,
    ConnectFailed,
    FirstByteTimeout,
    NoReply,
    ProtocolViolation,
    RequestError,
)

SOON_S = 0.05  # a deadline that is meant to pass


class TestRequests:
    async def test_a_request_arrives_byte_for_byte(self, up, reach, start):
        headers = (("X-b", "\udce9t\udce9"), ("accept", "*/*"), ("x-B", "ü"), ("Empty", ""))
        asked = outbound(
            "PUT", "//a/../%zz;x", query_string="q=%20&&é", headers=headers, body=b"hi"
        )
        start(reach(up.url).send(asked))
        call = await up.next_call()
        assert call.raw_head == (
            b"PUT //a/../%%zz;x?q=%%20&&\xc3\xa9 HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\n"
            b"X-b: \xe9t\xe9\r\naccept: */*\r\nx-B: \xc3\xbc\r\nEmpty: \r\n"
            b"Content-Length: 2\r\n\r\n" % up.port
        )
        assert call.body == b"hi"

    @pytest.mark.parametrize(
        ("method", "fields"),
        [("POST", ["Content-Length: 0"]), ("GET", []), ("HEAD", []), ("DELETE", [])],
    )
    async def test_an_empty_body_is_declared_where_one_is_expected(
        self, up, reach, start, method, fields
    ):
        start(reach(up.url).send(outbound(method)))
        call = await up.next_call()
        assert call.raw_head.decode().split("\r\n")[2:] == [*fields, "", ""]

    async def test_framing_and_connection_fields_are_written_anew(self, up, reach, start):
        headers = (
            ("Host", "evil.test"),
            ("content-length", "99"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("Expect", "100-continue"),
            ("Upgrade", "h2c"),
        )
        start(reach(up.url).send(outbound(headers=headers, body=b"hi")))
        call = await up.next_call()
        assert call.headers == [("Host", f"127.0.0.1:{up.port}"), ("Content-Length", "2")]

    async def test_prefix_and_base_path_are_exchanged(self, up, reach, start):
        start(reach(up.url + "/api/", prefix="/openai").send(outbound(path="/openai/v1/x")))
        assert (await up.next_call()).target == "/api/v1/x"

    async def test_the_clients_host_is_passed_on_if_so_configured(self, up, reach, start):
        start(reach(up.url, preserve_host=True).send(outbound(headers=(("Host", "a.test"),))))
        assert (await up.next_call()).headers[0] == ("Host", "a.test")

    async def test_configured_fields_replace_the_clients(self, up, reach, start):
        upstream = reach(up.url, set_headers=(("Authorization", "Bearer ours"),))
        start(upstream.send(outbound(headers=(("authorization", "Bearer theirs"), ("A", "b")))))
        call = await up.next_call()
        assert call.headers[1:3] == [("A", "b"), ("Authorization", "Bearer ours")]

    async def test_no_spelling_gets_around_what_is_configured(self, up, reach, start):
        upstream = reach(up.url, set_headers=(("X-Tenant", "ours"), ("x_role", "reader")))
        theirs = (("x_tenant", "theirs"), ("X-Role", "admin"), ("X_ROLE", "admin"), ("a_b", "c"))
        start(upstream.send(outbound(headers=theirs)))
        call = await up.next_call()
        assert call.headers[1:4] == [("a_b", "c"), ("X-Tenant", "ours"), ("x_role", "reader")]

    @pytest.mark.parametrize(
        "asked",
        [
            outbound(headers=(("A", "b\r\nC: d"),)),
            outbound(headers=(("A", "b\nC: d"),)),
            outbound(headers=(("A", "\0"),)),
            outbound(headers=(("A", "\ud800"),)),
            outbound(headers=(("A:", "b"),)),
            outbound(headers=(("A b", "c"),)),
            outbound(headers=(("", "c"),)),
            outbound(path="/a b"),
            outbound(path="/a\r\nB: c"),
            outbound(query_string="\n"),
            outbound(method="GE T"),
        ],
    )
    async def test_a_head_that_could_be_read_otherwise_is_never_sent(self, up, reach, asked):
        with pytest.raises(RequestError) as caught:
            await reach(up.url).send(asked)
        assert caught.value.status == 400
        assert up.connections == []

    async def test_a_kept_connection_carries_the_next_request(self, up, reach):
        up.answer_with(lambda call: call.reply(200, body=call.target.encode()))
        upstream = reach(up.url)
        assert [await ask(upstream, outbound(path=f"/{n}")) for n in range(3)] == [
            b"/0",
            b"/1",
            b"/2",
        ]
        assert len(up.connections) == 1
        assert upstream.in_use == 0

    async def test_an_idle_connection_is_not_used_past_its_time(self, up, reach):
        up.answer_with(lambda call: call.reply(200))
        upstream = reach(up.url, keepalive_s=1e-9)
        for _ in range(2):
            await ask(upstream, outbound())
        assert len(up.connections) == 2


class TestResponses:
    async def test_a_head_arrives_as_it_was_sent(self, up, reach, start):
        asking = start(reach(up.url).send(outbound()))
        call = await up.next_call()
        fields = [
            ("Date", "Mon, 01 Jan 2026 00:00:00 GMT"),
            ("x-Request-ID", "\udce9"),
            ("Set-Cookie", "a=1"),
            ("SET-COOKIE", "b=2"),
            ("X-Empty", ""),
        ]
        await call.head(299, fields, length=5, reason="Sort of \udce9")
        arrival = await asking
        assert (arrival.head.status, arrival.head.reason) == (299, "Sort of \udce9")
        assert arrival.head.headers.get("x-request-id") == "\udce9"
        assert arrival.head.headers.all("set-cookie") == ("a=1", "b=2")
        assert [name.lower() for name, _ in arrival.head.headers] == [n.lower() for n, _ in fields]
        assert arrival.length == 5

    async def test_hop_by_hop_fields_end_here(self, up, reach):
        fields = [("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("A", "b")]
        up.answer_with(lambda call: call.reply(200, fields, b"x"))
        arrival = await reach(up.url).send(outbound())
        assert arrival.head.headers.pairs == (("A", "b"),)

    async def test_a_response_to_head_has_a_length_and_no_body(self, up, reach, start):
        upstream = reach(up.url)
        asking = start(upstream.send(outbound("HEAD")))
        await (await up.next_call()).head(200, length=2048)
        arrival = await asking
        assert arrival.length == 2048
        assert await read(arrival) == b""
        start(upstream.send(outbound()))
        assert (await up.next_call()).nth == 2

    @pytest.mark.parametrize("status", [204, 304])
    async def test_a_status_without_a_body_gives_the_connection_back(
        self, up, reach, start, status
    ):
        upstream = reach(up.url)
        asking = start(upstream.send(outbound("GET")))
        await (await up.next_call()).head(status, [("ETag", '"a"')])
        arrival = await asking
        assert upstream.in_use == 0
        assert await read(arrival) == b""
        start(upstream.send(outbound("GET")))
        assert (await up.next_call()).nth == 2

    async def test_interim_responses_are_swallowed(self, up, reach, start):
        asking = start(reach(up.url).send(outbound()))
        call = await up.next_call()
        for status in (100, 102, 103, *[102] * 97):
            await call.head(status, [("Link", "</a>")])
        await call.reply(200, [("A", "b")], b"whole")
        arrival = await asking
        assert (arrival.head.status, arrival.head.headers.pairs) == (200, (("A", "b"),))
        assert await read(arrival) == b"whole"

    async def test_an_interim_response_does_not_begin_the_answer(self, up, reach, start):
        upstream = reach(up.url, idle_timeout_s=SOON_S)
        asking = start(upstream.send(outbound()))
        call = await up.next_call()
        await call.head(103)
        other = start(ask(upstream, outbound()))
        await (await up.next_call()).head(200, length=1)
        with pytest.raises(BrokenReply):  # more than that time has passed
            await other
        await call.reply(200, body=b"whole")
        assert await read(await asking) == b"whole"

    async def test_redirects_and_cookies_are_the_clients_business(self, up, reach):
        fields = [("Location", f"{up.url}/elsewhere"), ("Set-Cookie", "a=1")]
        up.answer_with(lambda call: call.reply(302, fields))
        upstream = reach(up.url)
        for _ in range(2):
            assert (await upstream.send(outbound("GET"))).head.status == 302
        assert [(call.target, call.field("cookie")) for call in up.history] == [("/", "")] * 2

    async def test_encoded_bodies_stay_encoded(self, up, reach):
        up.answer_with(lambda call: call.reply(200, [("Content-Encoding", "gzip")], b"\x1f\x8bnot"))
        assert await ask(reach(up.url), outbound()) == b"\x1f\x8bnot"

    @pytest.mark.parametrize(
        "said",
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-A: secret\x01b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-A: secret\rX-B: b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-A: %b\r\n\r\n" % (b"a" * 40_000),
            b"HTTP/1.1 200 OK\r\n" + b"X-A: a\r\n" * 300 + b"\r\n",
            b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
            b"SSH-2.0-secret\r\n\r\n",
            b"\x16\x03\x01secret",
        ],
    )
    async def test_what_is_not_http_is_a_violation_and_not_quoted(self, up, reach, start, said):
        upstream = reach(up.url)
        asking = start(upstream.send(outbound()))
        call = await up.next_call()
        await call.raw(said)
        with pytest.raises(ProtocolViolation) as caught:
            await asking
        assert "secret" not in "".join(traceback.format_exception(caught.value))
        await call.hung_up()
        assert upstream.in_use == 0


class TestFailures:
    async def test_a_silent_backend_is_given_up_and_not_asked_again(self, up, reach, start):
        upstream = reach(up.url, first_byte_timeout_s=SOON_S)
        with pytest.raises(FirstByteTimeout):
            await upstream.send(outbound())
        call = await up.next_call()
        await call.hung_up()
        assert up.calls == 1

    async def test_a_head_that_stops_half_way_is_given_up(self, up, reach, start):
        asking = start(reach(up.url, first_byte_timeout_s=SOON_S).send(outbound()))
        await (await up.next_call()).raw(b"HTTP/1.1 200 OK\r\nX-A: ")
        with pytest.raises(FirstByteTimeout):
            await asking

    @pytest.mark.parametrize("sign", [b"HTTP/1.1 102 At it\r\n\r\n", b"\r\n", b"\r"])
    async def test_no_sign_of_life_puts_off_the_time_by_which_an_answer_must_have_begun(
        self, up, reach, start, sign
    ):
        asking = start(reach(up.url, first_byte_timeout_s=4 * SOON_S).send(outbound()))
        call = await up.next_call()
        signs = 0
        while call.connection.open and signs < 50:  # below what is too many of them
            with contextlib.suppress(ConnectionError):
                await call.raw(sign)
            signs += 1
            await asyncio.sleep(SOON_S)  # the pace of the backend; a slower one is as good
        with pytest.raises(FirstByteTimeout, match=r"0\.2 s"):
            await asking
        assert signs < 50

    async def test_interim_responses_without_end_are_given_up(self, up, reach, start):
        upstream = reach(up.url)
        asking = start(upstream.send(outbound()))
        call = await up.next_call()
        await call.raw(b"HTTP/1.1 102 Secret\r\n\r\n" * 101)
        with pytest.raises(BrokenReply, match="without end") as caught:
            await asking
        assert "Secret" not in "".join(traceback.format_exception(caught.value))
        await call.hung_up()
        assert (upstream.in_use, up.calls) == (0, 1)

    @pytest.mark.parametrize(
        "said", [b"\r\n", b"\n", b"\r", b"HTTP/1.1 103 Hints\r\nLink: " + b"a" * 900 + b"\r\n\r\n"]
    )
    async def test_what_comes_ahead_of_an_answer_is_bounded_in_bytes(self, up, reach, start, said):
        bounds = {"max_line_bytes": 1000, "max_field_bytes": 1000, "max_fields": 9}
        upstream = reach(up.url, **bounds)
        within = said * (9_000 // len(said))
        asking = start(upstream.send(outbound()))
        call = await up.next_call()
        await call.raw(within)
        await call.reply(200, body=b"whole")
        assert await read(await asking) == b"whole"
        asking = start(upstream.send(outbound()))  # on the same connection: it counts anew
        call = await up.next_call()
        assert call.nth == 2
        await call.raw(within)
        await call.raw(said * (2_000 // len(said)))
        with pytest.raises(BrokenReply, match="without end"):
            await asking
        await call.hung_up()

    async def test_a_slow_upload_is_not_silence(self, up, reach, start):
        upstream = reach(up.url, first_byte_timeout_s=SOON_S)
        body = FedBody()
        uploading = start(upstream.send(outbound(body=body)))
        body.feed(b"one")
        await (await up.next_call(whole=False)).received(3)
        with pytest.raises(FirstByteTimeout):  # more than that time has passed
            await upstream.send(outbound())
        assert not uploading.done()

    @pytest.mark.parametrize("way", ["cut", "reset"])
    async def test_a_new_connection_that_ends_is_not_tried_again(self, up, reach, start, way):
        asking = start(reach(up.url).send(outbound()))
        await getattr(await up.next_call(), way)()
        with pytest.raises(NoReply):
            await asking
        assert up.calls == 1

    async def test_closing_ends_what_is_in_the_air(self, up, reach, start):
        upstream = reach(up.url)
        waiting = start(upstream.send(outbound()))
        await up.next_call()
        reading = start(ask(upstream, outbound()))
        call = await up.next_call()
        await call.head(200, chunked=True)
        await call.chunk(b"so far")
        await upstream.close()
        with pytest.raises(NoReply):
            await waiting
        with pytest.raises((NoReply, BrokenReply)):
            await reading
        await up.deserted()
        with pytest.raises(ConnectFailed):
            await upstream.send(outbound())
        assert len(up.connections) == 2

    async def test_closing_ends_the_wait_for_a_connection(self, up, reach, start):
        upstream = reach(up.url, max_connections=1)
        asking = [start(upstream.send(outbound())) for _ in range(3)]
        await up.next_call()
        await upstream.close()
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NoReply, ConnectFailed, ConnectFailed]
        await up.deserted()
        assert len(up.connections) <= 2  # one may have been on its way

    async def test_closing_before_use_is_fine(self, up, reach):
        upstream = reach(up.url)
        await upstream.close()
        with pytest.raises(ConnectFailed):
            await upstream.send(outbound())

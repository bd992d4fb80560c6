"""What a request looks like to whoever answers it."""

from __future__ import annotations

import pytest
from support.serving import Serving, serving, talking

from proxy.downstream.limits import Limits
from proxy.model.message import Headers, Request


async def asked(stage: Serving, request: bytes) -> Request:
    async with await stage.client() as client:
        await client.send(request)
        assert (await client.response()).status == 200
    return stage.requests[-1]


async def test_method_target_fields_and_peer_are_as_they_came() -> None:
    async with serving() as stage:
        request = await asked(
            stage,
            b"DELETE /a%2Fb//c;d/%7e?x=1&y=%zz?z HTTP/1.1\r\nhOsT: a:80\r\n"
            b"content-type:  text/x \r\nX-Tag: 1\r\nx-tag: 2\r\n\r\n",
        )
    assert request.method == "DELETE"
    assert request.path == "/a%2Fb//c;d/%7e"
    assert request.query_string == "x=1&y=%zz?z"
    assert request.headers == Headers(
        [("hOsT", "a:80"), ("content-type", "text/x"), ("X-Tag", "1"), ("x-tag", "2")]
    )
    assert (request.peer, request.scheme) == ("127.0.0.1", "http")
    assert request.body.length == 0


async def test_bytes_that_are_not_text_survive_in_field_values() -> None:
    async with serving() as stage:
        request = await asked(stage, b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\xc3\xa9\r\n\r\n")
    value = request.headers.get("x")
    assert value.encode("utf-8", "surrogateescape") == b"\xe9\xff\xc3\xa9"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://b.test:81/p/q?r=s", "/p/q", "r=s"),
        (b"HTTPS://b.test:81", "/", ""),
        (b"http://b.test:81?r", "/", "r"),
        (b"http://b.test:81/http://c/", "/http://c/", ""),
    ],
)
async def test_an_absolute_target_loses_its_authority_which_overrides_host(
    target: bytes, path: str, query: str
) -> None:
    async with serving() as stage:
        request = await asked(stage, b"GET %b HTTP/1.1\r\nX: 1\r\nHost: evil.test\r\n\r\n" % target)
    assert (request.path, request.query_string) == (path, query)
    assert request.headers == Headers([("Host", "b.test:81"), ("X", "1")])
    assert request.scheme == "http"


async def test_options_for_the_server_itself_is_answered_here() -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response()).status == 204
        await client.send(b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response()).status == 204
        await client.send(b"OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
        assert (await client.response()).status == 204
        assert not stage.requests
        await client.send(b"OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n")
        assert (await client.response()).status == 200
    assert stage.requests[0].path == "/x"


async def test_fields_that_connection_nominates_are_gone_but_not_those_all_rely_on() -> None:
    async with serving() as stage:
        request = await asked(
            stage,
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-user, Authorization\r\nX-User: eve\r\n"
            b"Connection: Host,cache-control , ,via\r\nAuthorization: Bearer k\r\nVia: 1.1 v\r\n"
            b"Cache-Control: no-store\r\nX-Other: 1\r\n\r\n",
        )
    kept = {name.lower() for name, _ in request.headers}
    assert kept == {"host", "connection", "authorization", "via", "cache-control", "x-other"}


@pytest.mark.parametrize("offer", [b"h2c", b"HTTP/2.0", b"TLS/1.0", b"h2c, TLS/1.2"])
async def test_an_upgrade_nobody_can_tunnel_is_an_ordinary_request(offer: bytes) -> None:
    async with serving() as stage, await stage.client() as client:
        for _ in range(2):
            await client.send(
                b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                b"Upgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 3\r\n\r\n" % offer
            )
            await client.send(b"abc")
            response = await client.response()
            assert (response.status, response.get("Connection")) == (200, None)
    for request in stage.requests:
        assert "upgrade" not in request.headers
        assert "http2-settings" not in request.headers


async def test_bytes_the_parser_drops_behind_an_ignored_upgrade_end_the_connection() -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    async with serving() as stage, await stage.client() as client:
        await client.send(
            b"GET /1 HTTP/1.1\r\nHost: a\r\n%b\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n" % upgrade
        )
        assert (await client.response()).get("Connection") == "close"
        assert await client.rest() == b""
    async with serving() as stage, await stage.client() as client:
        await client.send(b"POST /1 HTTP/1.1\r\nHost: a\r\n%bContent-Length: 3\r\n\r\n" % upgrade)
        await client.send(b"abcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response()).get("Connection") == "close"
        assert await client.rest() == b""
    assert [request.path for request in stage.requests] == ["/1"]


async def test_an_upgrade_in_http_1_0_is_ignored() -> None:
    async with serving() as stage:
        request = await asked(
            stage, b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
    assert "upgrade" not in request.headers


async def test_requests_that_come_together_are_answered_in_their_order() -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(
            b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(100))
        )
        for _ in range(100):
            assert (await client.response()).status == 200
    assert [request.path for request in stage.requests] == [f"/{n}" for n in range(100)]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n", 413),
        (b"GET /" + b"a" * 500 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 500 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * 500 + b": b\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 9 + b"\r\n", 431),
    ],
)
async def test_each_bound_has_its_status(request_bytes: bytes, status: int) -> None:
    limits = Limits(line_bytes=400, field_bytes=400, fields=8, body_cap=10)
    async with serving(limits=limits) as stage, await stage.client() as client:
        await client.send(request_bytes)
        response = await client.response()
        assert (response.status, response.get("Connection")) == (status, "close")
        assert response.get("Content-Type") == "application/json"
        assert await client.rest() == b""
    assert not stage.requests


async def test_a_chunked_body_beyond_the_cap_is_413_too() -> None:
    async with talking(limits=Limits(body_cap=10)) as client:
        await client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n"
        )
        assert (await client.response()).status == 413
        assert await client.rest() == b""

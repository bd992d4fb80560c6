"""Bytes that two readers could take for different messages: refused, and nothing after is read.

Each case is sent with an innocent request behind it. Whatever the answer to the case, the innocent
request must die with the connection: to a client that did not write it, its answer would be
somebody else's. Nobody may be asked about the case either, but for one whose body is malformed:
when that comes to light, asking may have begun.
"""

from __future__ import annotations

import pytest
from support.serving import serving

INNOCENT = b"GET /innocent HTTP/1.1\r\nHost: a\r\n\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /x HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (fields, body)


def chunks(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


def get(target: bytes, fields: bytes = b"Host: a\r\n") -> bytes:
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (target, fields)


MALFORMED: dict[str, bytes] = {
    # who says how long the body is
    "length and coding": post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "coding and length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "two lengths": post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"),
    "the same length twice": post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"),
    "a list of lengths": post(b"Content-Length: 3, 3\r\n", b"abc"),
    "a signed length": post(b"Content-Length: +3\r\n", b"abc"),
    "a negative length": post(b"Content-Length: -3\r\n", b"abc"),
    "a hexadecimal length": post(b"Content-Length: 0x3\r\n", b"abc"),
    "an underscored length": post(b"Content-Length: 1_0\r\n", b"0123456789"),
    "a length in other digits": post("Content-Length: ٣\r\n".encode(), b"abc"),
    "a length with a fraction": post(b"Content-Length: 3.0\r\n", b"abc"),
    "an empty length": post(b"Content-Length: \r\n"),
    "a length of 21 digits": post(b"Content-Length: 100000000000000000000\r\n"),
    "a length the parser takes for none": post(b"Content-Length: 18446744073709551615\r\n"),
    # codings
    "an unknown coding": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "a coding before chunked": post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "identity before chunked": post(b"Transfer-Encoding: identity, chunked\r\n", b"0\r\n\r\n"),
    "a coding after chunked": post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "only another coding": post(b"Transfer-Encoding: gzip\r\n", b"0\r\n\r\n"),
    "only identity": post(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "two coding fields": post(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"
    ),
    "chunked and a stranger": post(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", b"0\r\n\r\n"
    ),
    "chunked in quotes": post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"),
    "chunked after a vertical tab": post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    "chunked with a parameter": post(b"Transfer-Encoding: chunked;a=b\r\n", b"0\r\n\r\n"),
    "an empty coding": post(b"Transfer-Encoding: \r\n", b"0\r\n\r\n"),
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    "a coding in HTTP/1.0": (
        b"POST /x HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    # chunks
    "a chunk size with an underscore": chunks(b"0_2\r\nab\r\n0\r\n\r\n"),
    "a chunk size with 0x": chunks(b"0x2\r\nab\r\n0\r\n\r\n"),
    "a signed chunk size": chunks(b"+2\r\nab\r\n0\r\n\r\n"),
    "a negative chunk size": chunks(b"-2\r\nab\r\n0\r\n\r\n"),
    "a chunk size of no digits": chunks(b"\r\nab\r\n0\r\n\r\n"),
    "only an extension": chunks(b";a=b\r\nab\r\n0\r\n\r\n"),
    "space before a chunk size": chunks(b" 2\r\nab\r\n0\r\n\r\n"),
    "space after a chunk size": chunks(b"2 \r\nab\r\n0\r\n\r\n"),
    "a chunk size beyond 64 bits": chunks(b"10000000000000002\r\nab\r\n0\r\n\r\n"),
    "a chunk size ended by LF": chunks(b"2\nab\r\n0\r\n\r\n"),
    "a chunk size ended by CR": chunks(b"2\rab\r\n0\r\n\r\n"),
    "an extension ended by LF": chunks(b"2;x\nab\r\n0\r\n\r\n"),
    "NUL in a chunk size": chunks(b"2\x00\r\nab\r\n0\r\n\r\n"),
    "a chunk longer than it says": chunks(b"2\r\nabc\r\n0\r\n\r\n"),
    "a chunk ended by LF": chunks(b"2\r\nab\n0\r\n\r\n"),
    "a trailer that says a length": chunks(b"0\r\nContent-Length: 5\r\n\r\n"),
    "a trailer with space in its name": chunks(b"0\r\nBad Name: 5\r\n\r\n"),
    "a folded trailer": chunks(b"0\r\n X: 5\r\n\r\n"),
    # lines and fields
    "space before a colon": post(b"Content-Length : 3\r\n", b"abc"),
    "tab before a colon": post(b"Content-Length\t: 3\r\n", b"abc"),
    "space before a name": post(b" Content-Length: 3\r\n", b"abc"),
    "a folded field": get(b"/", b"Host: a\r\nX: a\r\n b\r\n"),
    "a first field that is folded": b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n",
    "a name in brackets": get(b"/", b"Host: a\r\n(X): a\r\n"),
    "a name that is not ASCII": get(b"/", b"Host: a\r\nX\xe9: a\r\n"),
    "an empty name": get(b"/", b"Host: a\r\n: a\r\n"),
    "a field without a colon": get(b"/", b"Host: a\r\nX\r\n"),
    "NUL in a value": get(b"/", b"Host: a\r\nX: a\x00b\r\n"),
    "NUL in a name": get(b"/", b"Host: a\r\nX\x00: b\r\n"),
    "CR in a value": get(b"/", b"Host: a\r\nX: a\rb\r\n"),
    "lines ended by LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "one line ended by LF": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "lines ended by CR": b"GET / HTTP/1.1\rHost: a\r\r",
    "a head ended by LF": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    # the request line
    "a method in lower case": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method longer than one that exists": b"GETS / HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL before the method": b"\x00GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "space before the method": b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "HTTP/0.9": b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/1.10": b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "http in lower case": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the beginning of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    # targets
    "space in the target": get(b"/a b"),
    "tab in the target": get(b"/a\tb"),
    "NUL in the target": get(b"/a\x00b"),
    "bytes beyond ASCII in the target": get(b"/caf\xc3\xa9"),
    "a fragment": get(b"/a#b"),
    "a backslash": get(b"/a\\b"),
    "two slashes first": get(b"//evil.test/x"),
    "two slashes after the authority": get(b"http://a//evil.test/x"),
    "no slash first": get(b"evil"),
    "an at sign first": get(b"@evil.test/"),
    "a star for GET": get(b"*"),
    "one dot": get(b"/a/./b"),
    "two dots": get(b"/v1/../admin"),
    "two dots last": get(b"/v1/.."),
    "encoded dots": get(b"/v1/%2e%2E/admin"),
    "dots, half encoded": get(b"/v1/.%2e/admin"),
    "dots between encoded slashes": get(b"/v1%2f..%2Fadmin"),
    "dots between encoded backslashes": get(b"/v1%5c..%5cadmin"),
    "dots with a parameter": get(b"/v1/..;a=b/admin"),
    "dots in an absolute target": get(b"http://a/v1/../admin"),
    "another scheme": get(b"ftp://a/x"),
    "a scheme without an authority": get(b"http:///x"),
    "user information in the target": get(b"http://user:pass@a/x"),
    # hosts
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get(b"/", b"Host: a\r\nHost: b\r\n"),
    "the same host twice": get(b"/", b"Host: a\r\nHost: a\r\n"),
    "an empty host": get(b"/", b"Host: \r\n"),
    "a host with user information": get(b"/", b"Host: user@a\r\n"),
    "a host with a path": get(b"/", b"Host: a/b\r\n"),
    "a host with space": get(b"/", b"Host: a b\r\n"),
    "a host with a query": get(b"/", b"Host: a?b\r\n"),
    "a host with a fragment": get(b"/", b"Host: a#b\r\n"),
    "a host with a backslash": get(b"/", b"Host: a\\b\r\n"),
    "a host with two ports": get(b"/", b"Host: a:1:2\r\n"),
    "a host with a port of letters": get(b"/", b"Host: a:b\r\n"),
    "a host with a port that does not exist": get(b"/", b"Host: a:65536\r\n"),
    "a host that is half an IPv6 address": get(b"/", b"Host: [::1\r\n"),
    "a host that is not ASCII": get(b"/", b"Host: caf\xc3\xa9\r\n"),
    "a host with a broken escape": get(b"/", b"Host: a%zz\r\n"),
    "a host longer than any": get(b"/", b"Host: " + b"a" * 300 + b"\r\n"),
    "an old draft of websocket": get(b"/", b"Host: a\r\nSec-WebSocket-Key1: x\r\n"),
}


@pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED.keys())
async def test_it_is_refused_and_the_connection_ends(case: bytes) -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(case + INNOCENT)
        response = await client.response()
        assert 400 <= response.status < 600
        assert response.status in {400, 413, 501, 505}
        assert response.version == "HTTP/1.1"
        assert response.get("Connection") == "close"
        assert response.get("Content-Type") == "application/json"
        assert b'"type":"sidecache_error"' in response.body
        assert await client.rest() == b""  # a clean end, and no second answer
        for request in stage.requests:  # one whose body is wrong is known only once it is read
            assert request.path == "/x"
            assert request.body.length is None
    assert len(stage.requests) <= 1


@pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED.keys())
async def test_it_is_refused_byte_by_byte_too(case: bytes) -> None:
    async with serving() as stage, await stage.client() as client:
        for byte in case + INNOCENT:
            try:
                await client.send(bytes([byte]))
            except OSError:
                break  # the server has had enough
        try:
            response = await client.response()
        except ConnectionResetError:
            return  # it was refused long ago, and this end went on sending
        assert response.status in {400, 413, 501, 505}
        assert await client.was_reset() in {True, False}
    assert all(request.path == "/x" for request in stage.requests)
    assert len(stage.requests) <= 1


async def test_the_answer_quotes_nothing_the_client_sent() -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(b"GET /<script> HTTP/9.9\r\nHost: a\r\n\r\n")
        answer = await client.rest()
    assert b"script" not in answer
    assert b"9.9" not in answer
    assert stage.server.counts.malformed == 1


async def test_a_request_before_the_malformed_one_is_still_answered() -> None:
    async with serving() as stage, await stage.client() as client:
        await client.send(INNOCENT)
        assert (await client.response()).status == 200
        await client.send(b"nonsense\r\n\r\n")
        assert (await client.response()).status == 400
        assert await client.rest() == b""
    assert len(stage.requests) == 1

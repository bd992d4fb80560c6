"""Requests that are described: what a client could send, as the listener would read it."""

from __future__ import annotations

import pytest

from proxy.explaining.draft import draft
from proxy.model.errors import RequestError
from proxy.model.message import Headers


async def test_a_draft_is_the_request_that_a_client_would_have_sent() -> None:
    made = draft("POST", "/a?b=c", [("X-A", " 1 "), ("Content-Length", "9")], b"hello", peer="::1")

    assert made.request[:4] == ("POST", "/a", "b=c", Headers([("X-A", "1")]))
    assert made.request.peer == "::1"
    assert not made.tunnel
    body = made.request.body
    assert body.length == 5
    assert await body.whole(5) == b"hello"
    assert await body.whole(4) is None
    assert [piece async for piece in body.pieces()] == [b"hello"]
    assert [piece async for piece in draft("GET", "/", [], b"").request.body.pieces()] == []


def test_what_connection_nominates_ends_at_the_listener() -> None:
    made = draft("POST", "/", [("Connection", "X-Hop"), ("X-Hop", "1"), ("X-A", "1")], b"")

    assert [name for name, _ in made.request.headers] == ["Connection", "X-A"]


def test_an_offer_to_switch_protocols_is_a_tunnel_or_ignored() -> None:
    asked = [("Connection", "Upgrade"), ("Upgrade", "websocket")]

    assert draft("GET", "/", asked, b"").tunnel
    ignored = draft("GET", "/", [("Upgrade", "h2c"), ("HTTP2-Settings", "a")], b"")
    assert not ignored.tunnel
    assert len(ignored.request.headers) == 0


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GE T", "/", []), ("", "/", []), ("CONNECT", "/", []), ("TRACE", "/", []),
        ("GET", "no path", []), ("GET", "/../a", []), ("GET", "//a", []),
        ("GET", "/", [("", "a")]), ("GET", "/", [("a b", "a")]), ("GET", "/", [("a", "a\nb")]),
        ("GET", "/", [("a", "\0")]),
    ],
)  # fmt: skip
def test_what_no_client_could_send_is_refused(
    method: str, target: str, headers: list[tuple[str, str]]
) -> None:
    with pytest.raises(RequestError) as refused:
        draft(method, target, headers, b"")
    assert refused.value.status == 400

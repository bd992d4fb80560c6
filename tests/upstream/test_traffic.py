"""What comes of asking a backend, counted."""

from __future__ import annotations

import pytest
from support.scripted import ScriptedUpstream
from support.started import started

from proxy.model.errors import BrokenReply, ConnectFailed
from proxy.model.message import Duplex, Headers, Outbound
from proxy.upstream import HttpUpstream, Traffic, UpstreamSpec

GET = Outbound("GET", "/x", "", Headers([]), b"")
SWITCH = Outbound(
    "GET", "/x", "", Headers([("Connection", "upgrade"), ("Upgrade", "websocket")]), b""
)


def upstream(url: str, traffic: Traffic) -> HttpUpstream:
    return HttpUpstream(UpstreamSpec(url=url), traffic=traffic)


async def test_responses_are_counted_by_class_and_timed() -> None:
    traffic = Traffic()
    async with ScriptedUpstream() as up:
        backend = upstream(up.url, traffic)
        for status in (200, 204, 503):
            sending = started(backend.send(GET))
            await (await up.next_call()).reply(status)
            (await sending).close()
        await backend.close()
    assert traffic.responses == {"2xx": 2, "5xx": 1}
    assert traffic.head.count == 3
    assert 0 < traffic.head.sum < 10
    assert traffic.errors == {}


async def test_what_cannot_be_reached_is_an_error_of_its_kind() -> None:
    traffic = Traffic()
    backend = upstream("http://127.0.0.1:1", traffic)
    for asking in (backend.send(GET), backend.tunnel(SWITCH)):
        with pytest.raises(ConnectFailed):
            await asking
    await backend.close()
    assert traffic.errors == {"connection_refused": 2}
    assert traffic.head.count == 0


async def test_a_body_that_breaks_off_is_an_error_after_a_response() -> None:
    traffic = Traffic()
    async with ScriptedUpstream() as up:
        backend = upstream(up.url, traffic)
        sending = started(backend.send(GET))
        call = await up.next_call()
        await call.head(200, chunked=True)
        arrival = await sending
        await call.reset()
        with pytest.raises(BrokenReply):
            [piece async for piece in arrival.chunks()]
        await backend.close()
    assert traffic.responses == {"2xx": 1}
    assert traffic.errors == {"http_response_incomplete": 1}


async def test_a_tunnel_is_a_response_of_the_first_class() -> None:
    traffic = Traffic()
    async with ScriptedUpstream() as up:
        backend = upstream(up.url, traffic)
        opening = started(backend.tunnel(SWITCH))
        call = await up.next_call()
        await call.switch("websocket")
        opened = await opening
        assert isinstance(opened, Duplex)
        opened.close()
        await backend.close()
    assert traffic.responses == {"1xx": 1}


async def test_backends_that_replace_each_other_go_on_counting() -> None:
    traffic = Traffic()
    for _ in range(2):
        backend = upstream("http://127.0.0.1:1", traffic)
        with pytest.raises(ConnectFailed):
            await backend.send(GET)
        await backend.close()
    assert traffic.errors == {"connection_refused": 2}
    assert backend.stale_retries == traffic.stale_retries == 0
    assert (backend.url, backend.max_connections) == ("http://127.0.0.1:1", 512)

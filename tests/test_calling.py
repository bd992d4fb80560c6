from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from support.scripted import ScriptedUpstream
from support.started import started

from proxy.calling import (
    Front,
    Heard,
    Question,
    Unheard,
    is_loopback,
    opened,
    origin_of,
    retry_after_s,
)

NOON = 1_755_000_000.0  # Tue, 12 Aug 2025 12:00:00 GMT


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as up:
        yield up


@pytest.fixture
async def front(up: ScriptedUpstream) -> AsyncIterator[Front]:
    headers = [("Authorization", "Bearer a"), ("X-Team", "blue")]
    async with opened(up.url, headers, connections=2, timeout_s=5, wall=lambda: NOON) as front:
        yield front


def question(path: str = "/v1/x?a=%2F", *headers: tuple[str, str], body: bytes = b"{}") -> Question:
    return Question("POST", path, headers, body)


async def test_it_asks_to_the_letter_and_hears_to_the_end(
    up: ScriptedUpstream, front: Front
) -> None:
    asking = started(front.ask(question(headers := "/v1/x?a=%2F", ("X-Team", "red"))))
    call = await up.next_call()
    assert (call.method, call.target, call.body) == ("POST", headers, b"{}")
    sent = {name.lower(): value for name, value in call.headers}
    assert (sent["authorization"], sent["x-team"]) == ("Bearer a", "red")
    assert not {"user-agent", "content-type", "cookie"} & set(sent)
    told = [
        ("X-Cache", "HIT"), ("X-Cache-Reason", "fresh"), ("Retry-After", "7"),
        ("Cache-Status", "sidecache; fwd=miss; stored; ttl=9"), ("Set-Cookie", "a=b"),
        ("Server-Timing", "sidecache;dur=1.500, upstream;dur=20"),
    ]  # fmt: skip
    await call.head(200, told, chunked=True)
    await call.chunk(b"one")
    await call.chunk(b"two")
    assert not asking.done()
    await call.end()
    heard = await asking
    assert heard[:4] == (200, "hit", "fresh", True)
    assert (heard.size, heard.retry_after_s, heard.own_s) == (6, 7.0, 0.0015)
    assert 0 < heard.head_s <= heard.seconds
    assert heard.ok
    assert heard.final

    asking = started(front.ask(question()))
    call = await up.next_call()
    assert "cookie" not in {name.lower() for name, _ in call.headers}
    await call.reply(302, [("Location", "/elsewhere")], b"")
    heard = await asking
    assert (heard.status, heard.verdict, heard.own_s, heard.stored) == (302, "", None, False)


async def test_what_breaks_off_is_no_answer(up: ScriptedUpstream, front: Front) -> None:
    for breaking, why in ((False, "the connection was closed"), (True, "the answer broke off")):
        asking = started(front.ask(question()))
        call = await up.next_call()
        if breaking:
            await call.head(200, [("Content-Length", "10")])
            await call.raw(b"abc")
        await call.cut()
        with pytest.raises(Unheard, match=why):
            await asking


async def test_who_says_nothing_in_time_is_given_up(up: ScriptedUpstream) -> None:
    async with opened(up.url, connections=1, timeout_s=0.05, wall=lambda: NOON) as front:
        with pytest.raises(Unheard, match="too long"):
            await front.ask(question())


async def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async with opened(url, connections=1, timeout_s=5, wall=lambda: NOON) as front:
        with pytest.raises(Unheard, match="no connection"):
            await front.ask(question())


@pytest.mark.parametrize(
    ("status", "ok", "final"),
    [(200, True, True), (204, True, True), (400, False, True), (404, False, True),
     (408, False, False), (429, False, False), (500, False, False), (503, False, False),
     (302, False, False)],
)  # fmt: skip
def test_some_answers_are_worth_asking_for_again(status: int, ok: bool, final: bool) -> None:
    heard = Heard(status, "", "", False, 0.0, 0.0, 0)
    assert (heard.ok, heard.final) == (ok, final)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("", None), ("soon", None), ("0", 0.0), ("120", 120.0), ("-1", None), ("1" * 50, 111111111),
        ("Tue, 12 Aug 2025 12:01:00 GMT", 60.0), ("Tue, 12 Aug 2025 11:00:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_when_to_come_back_is_said_in_seconds_or_as_a_date(
    said: str, seconds: float | None
) -> None:
    assert retry_after_s(said, NOON) == seconds


def test_where_to_is_an_origin() -> None:
    assert origin_of("http://h:1/") == "http://h:1"
    assert origin_of("https://h/prefix") == "https://h/prefix"
    for wrong in (
        "h:1",
        "ftp://h",
        "http://",
        "http://u@h",
        "http://h?a",
        "http://h#a",
        "http://h:x",
    ):
        with pytest.raises(ValueError, match=r".+"):
            origin_of(wrong)


def test_this_machine_is_known_by_its_names() -> None:
    assert all(map(is_loopback, ("http://localhost:1", "http://127.9.9.9", "http://[::1]:2")))
    assert not any(map(is_loopback, ("http://10.0.0.1", "https://localhost.example")))


async def test_it_takes_no_more_connections_than_it_may(up: ScriptedUpstream, front: Front) -> None:
    asking = [started(front.ask(question(f"/{n}"))) for n in range(4)]
    calls = [await up.next_call(), await up.next_call()]
    assert len(up.history) == 2
    for call in calls:
        await call.reply(200, (), b"")
    for _ in range(2):
        await (await up.next_call()).reply(200, (), b"")
    await asyncio.gather(*asking)

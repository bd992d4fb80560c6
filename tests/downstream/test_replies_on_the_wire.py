"""Replies from the cache, to the byte: what is remembered of one must not be seen in another.

``replies.txt`` was written when nothing was remembered of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from support.cranked import Clock

from proxy.downstream.respond import Opening, Progress
from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.meaning import Measured
from proxy.model.message import Head, Headers
from proxy.model.outcome import Fwd, Outcome, Verdict
from proxy.reply import Replies, retyped

GOLDEN = Path(__file__).parent / "golden" / "replies.txt"
DATE = "Date: Tue, 12 Aug 2025 12:00:00 GMT\r\n"
JSON = ("Content-Type", "application/json")
HEADS = {
    "plain": Head(200, "OK", Headers([JSON, ("Server", "uvicorn"), ("x-b", "ä"), ("x-b", "2")])),
    "dated": Head(200, "OK", Headers([JSON, ("date", "Mon, 11 Aug 2025 12:00:00 GMT")])),
    "cached before": Head(
        200, "OK", Headers([JSON, ("Cache-Status", "other; hit"), ("X-Cache", "HIT")])
    ),
    "framed": Head(
        200, "", Headers([("Content-Length", "1"), ("Connection", "close"), ("Keep-Alive", "x")])
    ),
    "events": Head(200, "OK", Headers([("Content-Type", "text/event-stream; charset=utf-8")])),
    "error": Head(404, "Not Found", Headers([JSON])),
    "bare": Head(204, "No Content", Headers()),
}
HIT = Outcome(
    Verdict.HIT, Why.FRESH, dialect="openai_chat", model="m", tier="l1_memory",
    key=CacheKey("anon", b"k" * 32), age_s=1.25, ttl_s=3598.5,
)  # fmt: skip
OUTCOMES = {
    "hit": HIT,
    "a little older": HIT._replace(age_s=1.75, ttl_s=3598.0),
    "older": HIT._replace(age_s=2.0, ttl_s=3597.75),
    "far off": HIT._replace(tier="l2_redis"),
    "renewed": HIT._replace(detail=Why.REFRESH_AHEAD),
    "negative": HIT._replace(detail=Why.NEGATIVE, ttl_s=31.0),
    "stale": HIT._replace(verdict=Verdict.STALE, why=Why.SWR, age_s=3700.0, ttl_s=-100.5),
    "in place of an error": HIT._replace(
        verdict=Verdict.STALE,
        why=Why.SIE,
        age_s=3700.0,
        ttl_s=-100.5,
        fwd=Fwd.STALE,
        fwd_status=503,
    ),
    "drawn": HIT._replace(variant=2),
    "another drawn": HIT._replace(variant=3),
    "another question": HIT._replace(
        why=Why.SEMANTIC,
        similarity=0.97531,
        match="6b6b6b6b6b6b6b6b",
        measured=Measured(0.0123, 0.0456, 789),
    ),
    "old beyond telling": HIT._replace(age_s=3e9, ttl_s=-4e9),
    "miss": HIT._replace(
        verdict=Verdict.MISS,
        why=Why.UNSEEN,
        tier="",
        age_s=None,
        fwd=Fwd.URI_MISS,
        stored=True,
        upstream_s=0.5,
    ),
}
CLIENTS = {
    "1.1": {"head_only": False, "modern": True, "persist": True},
    "1.1, the last": {"head_only": False, "modern": True, "persist": False},
    "1.0": {"head_only": False, "modern": False, "persist": True},
    "HEAD": {"head_only": True, "modern": True, "persist": True},
}


class Written:
    """A ``Line`` that keeps what is written."""

    writing_paused = False

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        raise AssertionError("nobody pauses")

    def abort(self, cause: str) -> None:
        raise AssertionError(cause)


async def _sent(replies: Replies, head: Head, outcome: Outcome, client: dict[str, bool]) -> bytes:
    line = Written()
    reply = replies.write(head, b"{}", outcome, 9.0)
    await Opening(reply, DATE, **client).send(line, Progress())
    return line.data


async def _all(replies: Replies) -> AsyncIterator[str]:
    """Every head with every outcome and, in turn, every kind of client."""
    clients = list(CLIENTS.items())
    for number, (form, head) in enumerate(HEADS.items()):
        for place, (what, outcome) in enumerate(OUTCOMES.items()):
            for into in ("", "text/event-stream"):
                client, how = clients[(number + place + bool(into)) % len(clients)]
                sent = await _sent(replies, retyped(head, into), outcome, how)
                yield f"--- {form}, {what}, {into or 'as it is'}, {client}\n{sent.decode()!r}\n"


async def _told(replies: Replies) -> str:
    return "".join([each async for each in _all(replies)])


def _replies() -> Replies:
    clock = Clock()
    clock.now = 9.0123
    return Replies("sidecache", clock)


async def test_every_reply_from_the_cache_is_what_it_always_was() -> None:
    assert await _told(_replies()) == GOLDEN.read_text()


async def test_a_reply_is_the_same_when_another_was_sent_before() -> None:
    replies, again = _replies(), await _told(_replies())
    assert await _told(replies) == again
    assert await _told(replies) == again
    for form, head in HEADS.items():
        for outcome in OUTCOMES.values():
            for client in CLIENTS.values():
                alone = await _sent(_replies(), head, outcome, client)
                assert await _sent(replies, head, outcome, client) == alone, form


async def test_answers_to_two_questions_are_never_taken_for_each_other() -> None:
    replies, other = _replies(), HIT._replace(key=CacheKey("anon", b"o" * 32))
    head = HEADS["plain"]
    for outcome in (HIT, other, HIT):
        assert b"\r\nServer: uvicorn\r\n" in await _sent(replies, head, outcome, CLIENTS["1.1"])
        changed = replace_server(head)
        assert b"\r\nServer: new\r\n" in await _sent(replies, changed, outcome, CLIENTS["1.1"])


def replace_server(head: Head) -> Head:
    headers = head.headers.without(frozenset({"server"})).plus(("Server", "new"))
    return Head(head.status, head.reason, headers)

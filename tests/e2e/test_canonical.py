"""Answers to the same question in other words, without any model, on real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from support.raw_chat import DOCUMENT, JSON, STREAM, question, stream
from support.raw_client import RawResponse
from support.scene import Scene, scene
from support.scripted import Call

from proxy.model.entry import CacheKey
from proxy.model.purge import Kind, Purge
from proxy.tiers.ladder import Found

WORDS: dict[str, Any] = {
    "enabled": True,
    "embedder": {"kind": "none"},
    "shadow": {"enabled": False},
}
ASKED = "How do I reset my router?"
ALIKE = "Please, how do I reset my router"
SLIPPED = "How do I reset my rotuer?"


def answering(s: Scene) -> None:
    """Let the backend answer each call with a number of its own."""
    calls = iter(range(1000))

    async def answer(call: Call) -> None:
        if orjson.loads(call.body).get("stream"):
            await stream(call)
        else:
            number = str(next(calls)).encode()
            await call.reply(200, JSON, DOCUMENT.replace(b"Because.", b"Answer " + number))

    s.up.answer_with(answer)


async def learned(s: Scene) -> None:
    await s.proxy.landed()
    assert s.proxy.semantic is not None
    await s.proxy.semantic.learner.settled()


async def asked_once(s: Scene, text: str = ASKED, **more: Any) -> RawResponse:
    reply = await s.whole(text=text, **more)
    assert reply.get("X-Cache") == "MISS"
    await learned(s)
    return reply


def told(reply: RawResponse) -> tuple[str | None, str | None]:
    return reply.get("X-Cache"), reply.get("X-Cache-Reason")


async def test_the_same_question_in_other_words_is_answered_from_the_cache() -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        first = await asked_once(s)
        again = await s.whole(text=ALIKE)
        assert told(again) == ("HIT", "canonical")
        assert again.body == first.body
        assert again.get("X-Cache-Similarity") == "1.0000"
        assert again.get("X-Cache-Tier") == "l1_memory"
        status = again.get("Cache-Status") or ""
        assert status.startswith("sidecache; hit; ttl=")
        assert status.endswith("; detail=canonical; sidecache-score=1.000")
        assert s.up.calls == 1


async def test_a_slip_of_the_keyboard_is_overlooked() -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        first = await asked_once(s)
        again = await s.whole(text=SLIPPED)
        assert told(again) == ("HIT", "typo")
        assert again.body == first.body


async def test_a_stream_is_replayed_to_who_asks_in_other_words() -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        reply = await s.whole(text=ASKED, stream=True)
        await learned(s)
        again = await s.whole(text=ALIKE, stream=True)
        assert told(again) == ("HIT", "canonical")
        assert again.body == reply.body == b"".join(STREAM)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "other"},
        {"temperature": 0.5},
        {
            "messages": [
                {"role": "system", "content": "Be rude."},
                {"role": "user", "content": ALIKE},
            ]
        },
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": ALIKE}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"a_field_of_tomorrow": 1},
        {"headers": "X-Tenant: b\r\n"},
        {"headers": "X-Cache-Namespace: b\r\n"},
    ],
)
async def test_whatever_else_differs_it_is_another_question(other: dict[str, Any]) -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        await asked_once(s)
        reply = await s.whole(text=ALIKE, **other)
        assert reply.get("X-Cache") == "MISS"
        assert s.up.calls == 2


async def test_another_callers_answer_is_never_found() -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        await asked_once(s)
        client = await s.client()
        await client.send(question(ALIKE).replace(b"sk-one", b"sk-two"))
        assert (await client.response()).get("X-Cache") == "MISS"


async def test_who_wants_none_gets_none() -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        await asked_once(s)
        reply = await s.whole(text=ALIKE, headers="X-Cache-Semantic: off\r\n")
        assert told(reply) == ("MISS", "uri-miss, unwanted")
        assert (reply.get("Cache-Status") or "").startswith("sidecache; fwd=uri-miss; stored; ttl=")
        assert (reply.get("Cache-Status") or "").endswith("; detail=unwanted")


async def test_a_rule_can_rule_it_out() -> None:
    rules = [{"model": "m", "semantic": False}]
    async with scene(semantic=WORDS, cache={"rules": rules}) as s:
        answering(s)
        await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == ("MISS", "uri-miss, unwanted")


async def test_a_wrong_answer_is_not_given_twice() -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        first = await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == ("HIT", "canonical")
        corrected = await s.whole(text=ALIKE, headers="X-Cache-Feedback: wrong\r\n")
        assert corrected.get("X-Cache") == "MISS"
        assert corrected.body != first.body
        await learned(s)
        own = await s.whole(text=ALIKE)
        assert (told(own), own.body) == (("HIT", "fresh"), corrected.body)
        # What was asked first has its own answer still.
        own = await s.whole(text=ASKED)
        assert (told(own), own.body) == (("HIT", "fresh"), first.body)


async def test_a_purge_reaches_it() -> None:
    async with scene(semantic=WORDS, admin={"enabled": True, "listen": "127.0.0.1:0"}) as s:
        answering(s)
        await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == ("HIT", "canonical")
        await s.proxy.store.purging.purge(Purge(Kind.MODEL, "m"))
        assert (await s.whole(text=ALIKE)).get("X-Cache") == "MISS"


class Purged:
    """The shelf, where what was found is purged before anything can be done with it."""

    def __init__(self, s: Scene) -> None:
        self._ladder, self._purging = s.proxy.store.ladder, s.proxy.store.purging

    async def get(self, key: CacheKey) -> Found:
        found = await self._ladder.get(key)
        if found.entry is not None:
            await self._purging.purge(Purge(Kind.MODEL, "m"))
        return found


async def test_a_purge_reaches_what_was_found_a_moment_ago() -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        await asked_once(s)
        assert s.proxy.semantic is not None
        s.proxy.semantic.finder._shelf = Purged(s)  # type: ignore[assignment] # all that it needs
        assert (await s.whole(text=SLIPPED)).get("X-Cache") == "MISS"


async def test_it_outlives_a_restart(tmp_path: Path) -> None:
    disk = {"enabled": True, "directory": str(tmp_path)}
    async with scene(semantic=WORDS, l2_disk=disk, upstream={"id": "b"}) as s:
        answering(s)
        first = await asked_once(s)
        assert s.proxy.store.disk is not None
    async with scene(semantic=WORDS, l2_disk=disk, upstream={"id": "b"}) as s:
        answering(s)
        again = await s.whole(text=ALIKE)
        assert told(again) == ("HIT", "canonical")
        assert again.body == first.body
        assert s.up.calls == 0


async def test_an_answer_that_was_asked_for_anew_is_what_is_found() -> None:
    async with scene(semantic=WORDS) as s:
        answering(s)
        await asked_once(s)
        newer = await s.whole(text=ASKED, headers="Cache-Control: no-cache\r\n")
        await learned(s)
        assert (await s.whole(text=ALIKE)).body == newer.body


async def test_nothing_is_found_while_it_is_off() -> None:
    async with scene() as s:
        answering(s)
        await s.whole(text=ASKED)
        await s.proxy.landed()
        reply = await s.whole(text=ALIKE)
        assert told(reply) == ("MISS", "uri-miss")
        assert s.proxy.semantic is None


async def test_hits_are_proven_even_where_an_answer_must_be_asked_for_twice_to_be_kept() -> None:
    words = {**WORDS, "shadow": {"enabled": True}}
    async with scene(semantic=words, cache={"admission": {"seen_times": 2}}) as s:
        answering(s)
        await s.whole(text=ASKED)
        await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == ("HIT", "canonical")
        await learned(s)
        assert s.up.calls == 3  # asked again in secret
        assert s.proxy.semantic is not None
        budget = s.proxy.semantic.budget
        assert [budget.estimate(stratum).labels for stratum in budget.strata()] == [1]


async def test_who_wants_the_backend_left_alone_sets_off_no_proof() -> None:
    words = {**WORDS, "shadow": {"enabled": True}}
    async with scene(semantic=words) as s:
        answering(s)
        await asked_once(s)
        for _ in range(20):  # of exact hits, one in four would be asked again
            only = "Cache-Control: only-if-cached\r\n"
            assert told(await s.whole(headers=only, text=ALIKE)) == ("HIT", "canonical")
            assert told(await s.whole(headers=only, text=ASKED)) == ("HIT", "fresh")
            # What this one wishes for would be for all from then on.
            short = "X-Cache-TTL: 60\r\n"
            assert told(await s.whole(headers=short, text=ASKED)) == ("HIT", "fresh")
        await learned(s)
        assert s.up.calls == 1

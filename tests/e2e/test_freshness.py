"""How long answers last, by the settings, the question and the answer; and their renewal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from support.raw_chat import DOCUMENT, JSON, STREAM, stream
from support.scene import Scene, scene
from support.scripted import Call

STEADY = {"jitter": 0, "ttl_s": 1000, "max_ttl_s": 3000}
NOW, EVER = "What's the weather in Oslo today?", "Why is the sky blue?"
SURE = orjson.dumps({**orjson.loads(DOCUMENT), "confidence": 0.95})


async def answer(call: Call) -> None:
    await call.reply(200, JSON, DOCUMENT)


async def answer_surely(call: Call) -> None:
    await call.reply(200, JSON, SURE)


async def lifetime(s: Scene, text: str = EVER, **asked: Any) -> int:
    """The lifetime of the answer to ``text``, in seconds; -1 if it is not kept."""
    await s.whole(text=text, **asked)
    await s.proxy.landed()
    hit = await s.whole(text=text, **asked)
    if hit.get("X-Cache") != "HIT":
        return -1
    left = int((hit.get("Cache-Status") or "").partition("ttl=")[2].partition(";")[0])
    return left + int(hit.get("Age") or 0) + 1  # two parts of a whole number, both rounded down


@pytest.mark.parametrize(
    ("settings", "lifetimes"),
    [
        ({}, (500, 1000)),
        ({"time_sensitive": {"factor": 0.1}}, (100, 1000)),
        ({"time_sensitive": {"action": "ignore"}}, (1000, 1000)),
        ({"time_sensitive": {"action": "bypass"}}, (-1, 1000)),
        ({"time_sensitive": {"built_in": False}}, (1000, 1000)),
        ({"time_sensitive": {"built_in": False, "words": ["blue"]}}, (1000, 500)),
        ({"time_sensitive": {"words": ["blue"]}}, (500, 500)),
        ({"rules": [{"model": "m", "time_sensitive": "bypass"}]}, (-1, 1000)),
        ({"rules": [{"dialect": "openai_chat", "ttl_s": 100}]}, (50, 100)),
        ({"rules": [{"dialect": "rag_*", "ttl_s": 100}]}, (500, 1000)),
    ],
)
async def test_answers_to_questions_about_now_live_as_the_settings_say(
    settings: dict[str, Any], lifetimes: tuple[int, int]
) -> None:
    async with scene(cache=STEADY | settings) as s:
        s.up.answer_with(answer)
        assert (await lifetime(s, NOW), await lifetime(s, EVER)) == lifetimes


async def test_a_question_about_now_that_is_passed_on_says_why() -> None:
    async with scene(cache={"time_sensitive": {"action": "bypass"}}) as s:
        s.up.answer_with(answer)
        reply = await s.whole(text=NOW)
        assert (reply.get("X-Cache"), reply.get("X-Cache-Reason")) == ("BYPASS", "time-sensitive")


async def test_the_callers_own_lifetime_stands_whatever_is_asked_and_answered() -> None:
    async with scene(cache=STEADY) as s:
        s.up.answer_with(answer_surely)
        assert await lifetime(s, NOW, headers="X-Cache-TTL: 10m\r\n") == 600


@pytest.mark.parametrize(
    ("settings", "lifetimes"),
    [
        ({}, (2000, 1000)),
        ({"max_ttl_s": 1500}, (1500, 1000)),
        ({"confidence": {"above": 0.95}}, (1000, 500)),
        ({"confidence": {"factor": 1.2}}, (1200, 600)),
        ({"confidence": {"pointer": None}}, (1000, 500)),
        ({"confidence": {"pointer": "/rag/score"}}, (1000, 500)),
        ({"rules": [{"confident_factor": 3}]}, (3000, 1500)),
    ],
)
async def test_answers_that_are_sure_of_themselves_live_longer(
    settings: dict[str, Any], lifetimes: tuple[int, int]
) -> None:
    async with scene(cache=STEADY | settings) as s:
        s.up.answer_with(answer_surely)
        assert (await lifetime(s, EVER), await lifetime(s, NOW)) == lifetimes


async def test_a_stream_can_be_sure_of_itself_too() -> None:
    told = b'data: {"choices":[],"confidence":0.99}\n\n'
    async with scene(cache=STEADY) as s:
        s.up.answer_with(lambda call: stream(call, [*STREAM[:-1], told, STREAM[-1]]))
        assert await lifetime(s, stream=True) == 2000
        s.up.answer_with(stream)
        assert await lifetime(s, "And why is it red?", stream=True) == 1000


async def test_an_answer_is_renewed_in_the_background_while_it_is_fresh() -> None:
    always = {"refresh_ahead": 1e12}  # so early that the first hit is not too early
    async with scene(cache=STEADY | always) as s:
        s.up.answer_with(answer)
        old = await s.whole()
        s.up.answer_with(None)
        first = await s.whole()
        second = await s.whole()
        call = await s.up.next_call()
        await call.reply(200, JSON, SURE)
        await s.proxy.landed()
        third = await s.whole()
        await (await s.up.next_call()).reply(500, [], b"")
        await s.proxy.landed()
        last = await s.whole()

        for hit, body in ((first, DOCUMENT), (second, DOCUMENT), (third, SURE), (last, SURE)):
            assert hit.get("X-Cache") == "HIT"
            assert (hit.get("Cache-Status") or "").endswith("; detail=refresh-ahead")
            assert hit.body == body
        assert old.get("X-Cache") == "MISS"
        assert s.up.calls == 3

"""A service of embeddings that goes wrong costs hits by meaning, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from support.embedding_server import EmbeddingServer, Mood
from support.scene import Scene, scene
from support.started import started
from support.worded import (
    ALIKE,
    ALIKE_TOO,
    ASKED,
    HIT,
    NGRAM,
    alike,
    answering,
    asked_once,
    learned,
    missed,
    ready,
    semantic,
    told,
)

from proxy.semantic.embedding import Standing

Json = dict[str, Any]

DEADLINE_S = 0.1  # for a vector, where one is waited for in vain
MARGIN_S = 5.0  # for machines that are busy


def remote(service: EmbeddingServer, *, timeout_s: float = 10.0) -> Json:
    embedder = {"kind": "remote", "url": service.url, "model": "m", "timeout_s": timeout_s}
    return {**NGRAM, "embedder": embedder}


@asynccontextmanager
async def served_by(
    service: EmbeddingServer, standing: Standing | None = None, **embedder: Any
) -> AsyncIterator[Scene]:
    """A proxy that asks ``service`` for vectors, once it stands as it should."""
    async with scene(semantic=remote(service, **embedder)) as s:
        answering(s, alike)
        await ready(s.proxy, standing)
        yield s


async def hurried(s: Scene, text: str, limit_s: float = DEADLINE_S) -> tuple[str | None, ...]:
    """Ask, and be answered well and in time."""
    began = monotonic()
    reply = await s.whole(text=text)
    assert monotonic() - began < limit_s + MARGIN_S
    assert reply.status == 200
    return told(reply)


def numbered_questions(count: int) -> list[str]:
    things = ("bicycle", "garden", "kitchen", "guitar", "window", "blanket", "candle", "lantern")
    return [f"How do I repair the {thing} of my {owner}?" for thing in things
            for owner in ("uncle", "sister", "neighbour")][:count]  # fmt: skip


@pytest.fixture
async def service() -> AsyncIterator[EmbeddingServer]:
    async with EmbeddingServer() as service:
        yield service


async def test_a_service_that_is_well_is_asked_and_believed(service: EmbeddingServer) -> None:
    async with served_by(service) as s:
        await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == HIT
        assert s.up.calls == 1


@pytest.mark.parametrize(
    ("mood", "doubt", "standing"),
    [
        (Mood.SHUFFLED, "self-test", Standing.UNFIT),
        (Mood.TURNED, "self-test", Standing.UNFIT),
        (Mood.EQUAL, "self-test", Standing.UNFIT),
        (Mood.DICE, "self-test", Standing.UNFIT),
        (Mood.ZEROS, "embedder", Standing.AWAY),
        (Mood.NAN, "embedder", Standing.AWAY),
        (Mood.NAN_BASE64, "embedder", Standing.AWAY),
        (Mood.TOO_FEW, "embedder", Standing.AWAY),
        (Mood.EMPTY, "embedder", Standing.AWAY),
        (Mood.FAILING, "embedder", Standing.AWAY),
        (Mood.GARBAGE, "embedder", Standing.AWAY),
        (Mood.CUT, "embedder", Standing.AWAY),
        (Mood.UNAUTHORISED, "embedder", Standing.AWAY),
    ],
)
async def test_a_service_that_is_wrong_from_the_start_never_makes_a_hit(
    service: EmbeddingServer, mood: Mood, doubt: str, standing: Standing
) -> None:
    service.mood = mood
    async with served_by(service, standing) as s:
        await asked_once(s)
        for text in (ALIKE, "Where can I find my invoices?"):
            assert await hurried(s, text) == missed(doubt)
        assert s.up.calls == 3


@pytest.mark.parametrize(
    "mood",
    [
        Mood.ZEROS,
        Mood.NAN,
        Mood.TOO_LONG,
        Mood.TOO_FEW,
        Mood.EMPTY,
        Mood.FAILING,
        Mood.GARBAGE,
        Mood.CUT,
        Mood.MOVED,
    ],
)
async def test_a_service_that_goes_wrong_is_asked_a_few_times_and_then_left_alone(
    service: EmbeddingServer, mood: Mood
) -> None:
    async with served_by(service) as s:
        await asked_once(s)
        service.mood = mood
        for text in numbered_questions(5):
            assert await hurried(s, text) == missed("embedder")
        await learned(s.proxy)
        await ready(s.proxy, Standing.RESTING)
        asked = len(service.asked)
        for text in [ALIKE, *numbered_questions(24)[5:]]:
            assert await hurried(s, text, 0) == missed("embedder")
        # But for a probe, which nobody waits for.
        assert len(service.asked) <= asked + 1


async def test_a_service_that_mixes_up_its_vectors_later_is_found_out_by_its_trial(
    service: EmbeddingServer,
) -> None:
    async with served_by(service) as s:
        await asked_once(s)
        service.mood = Mood.OTHER_MODEL
        embedding = semantic(s.proxy).embedding
        assert embedding is not None
        embedding._trial_at = 0.0  # it is time to look again
        await hurried(s, ALIKE)
        await ready(s.proxy, Standing.CHANGED)
        assert await hurried(s, ALIKE_TOO, 0) == missed("embedder")


async def test_a_service_that_is_slow_costs_the_deadline_and_its_vector_is_not_lost(
    service: EmbeddingServer,
) -> None:
    async with served_by(service, timeout_s=DEADLINE_S) as s:
        answering(s, alike)
        await ready(s.proxy)
        service.hold()
        assert await hurried(s, ASKED) == missed("late")
        await s.proxy.landed()
        service.release()
        await learned(s.proxy)
        # What was asked is known by now, though its vector came too late for the one who asked.
        embedding = semantic(s.proxy).embedding
        assert embedding is not None
        embedding._deadline_s = 10.0
        assert told(await s.whole(text=ALIKE)) == HIT


async def test_a_service_that_hangs_is_soon_not_waited_for_any_more(
    service: EmbeddingServer,
) -> None:
    async with served_by(service, timeout_s=DEADLINE_S) as s:
        service.hold()
        waited = 0
        for text in numbered_questions(24):
            verdict = await hurried(s, text)
            waited += verdict == missed("late")
        assert waited <= 15  # of a tenth of a second each; nothing else ends in that time
        await ready(s.proxy, Standing.RESTING)
        assert await hurried(s, ALIKE, 0) == missed("embedder")


async def test_a_crowd_before_a_service_that_hangs_waits_no_longer_than_one(
    service: EmbeddingServer,
) -> None:
    async with served_by(service, timeout_s=DEADLINE_S) as s:
        service.hold()
        began = monotonic()
        verdicts = await asyncio.gather(*(hurried(s, text) for text in numbered_questions(24)))
        assert monotonic() - began < DEADLINE_S + MARGIN_S
        assert set(verdicts) <= {missed("late"), missed("embedder")}


async def test_a_service_that_dies_and_comes_back_is_used_again(service: EmbeddingServer) -> None:
    async with served_by(service) as s:
        await asked_once(s)
        service.hold()
        asking = started(hurried(s, ALIKE))
        await service.was_asked(len(service.asked) + 1)
        service.mood = Mood.CUT  # in the midst of it
        await service.close()
        assert await asking == missed("embedder")
        service.mood = Mood.WELL
        for text in numbered_questions(5):
            assert await hurried(s, text) == missed("embedder")
        await ready(s.proxy, Standing.RESTING)
        await service.start()
        embedding = semantic(s.proxy).embedding
        assert embedding is not None
        embedding._breaker._probe_at = 0.0  # it is time for a probe
        assert await hurried(s, ALIKE_TOO, 0) == missed("embedder")
        await ready(s.proxy, Standing.ON)
        await learned(s.proxy)
        assert told(await s.whole(text="How would I cancel a membership of my gym?"))[0] == "HIT"


async def test_no_request_waits_while_the_service_cannot_be_reached(
    service: EmbeddingServer,
) -> None:
    service.hold()
    async with scene(semantic=remote(service)) as s:
        answering(s, alike)
        await service.was_asked(1)
        assert await hurried(s, ASKED, 0) == missed("loading")
        await s.proxy.landed()
        service.release()
        await ready(s.proxy)
        await learned(s.proxy)
        # What was asked meanwhile is known as soon as there is a model.
        assert told(await s.whole(text=ALIKE)) == HIT

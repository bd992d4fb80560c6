"""Vectors in time, or a doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import numpy as np
import pytest
from support.cranked import Clock
from support.cranked_embedder import CrankedEmbedder
from support.embedding_server import EmbeddingServer, Mood

from proxy.model.meaning import Doubt, Script
from proxy.semantic.base import Embedder, EmbedderError
from proxy.semantic.embedders.remote import RemoteEmbedder
from proxy.semantic.embedding import Embedding, Standing

ENDLESS_S = 3600.0  # nothing here waits for it
NO_TIME_S = 0.0
QUESTION = "Where is my order?"
Make = Callable[..., Embedding]


class Watch:
    """What an embedding reports, and the waits it asks for, which end at once or when told."""

    def __init__(self) -> None:
        self.reports: list[tuple[Standing, str]] = []
        self.waits: list[float] = []
        self._changed = asyncio.Condition()
        self._tellers: set[asyncio.Task[None]] = set()

    def report(self, standing: Standing, why: str) -> None:
        self.reports.append((standing, why))
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tellers.add(task)
        task.add_done_callback(self._tellers.discard)

    async def sleep(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        await asyncio.sleep(0)

    @property
    def standings(self) -> list[Standing]:
        return [standing for standing, _ in self.reports]

    async def until(self, standing: Standing) -> str:
        """Wait until the last that was reported is ``standing``; why it is."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(
                lambda: bool(self.reports) and self.reports[-1][0] is standing
            )
        return self.reports[-1][1]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
async def watch() -> Watch:
    return Watch()


@pytest.fixture
async def cranked() -> CrankedEmbedder:
    return CrankedEmbedder()


@pytest.fixture
async def make(clock: Clock, watch: Watch) -> AsyncIterator[Make]:
    made: list[Embedding] = []

    def embedding(embedder: Embedder, **more: Any) -> Embedding:
        given: dict[str, Any] = {"threshold": 0.9, "deadline_s": ENDLESS_S, **more}
        made.append(
            Embedding(
                embedder,
                clock=clock,
                dice=lambda: 0.5,
                report=watch.report,
                sleep=watch.sleep,
                **given,
            )
        )
        return made[-1]

    yield embedding
    for each in made:
        await each.close()


@pytest.fixture
async def on(make: Make, watch: Watch, cranked: CrankedEmbedder) -> Embedding:
    """One that is ready, over ``cranked``."""
    embedding = make(cranked)
    embedding.start()
    await watch.until(Standing.ON)
    return embedding


# -- beginning ------------------------------------------------------------------------------------


async def test_it_begins_in_the_background_and_is_ready_when_the_tests_are_passed(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    embedding = make(cranked)
    assert await embedding.vector(QUESTION, Script.LATIN) is Doubt.NO_EMBEDDER
    cranked.hold()
    embedding.start()
    assert await embedding.vector(QUESTION, Script.LATIN) is Doubt.LOADING
    assert not embedding.ready
    await cranked.was_called(1)
    cranked.release()
    assert await watch.until(Standing.ON) == "it passed the self-tests"
    assert embedding.ready
    assert embedding.standing is Standing.ON
    assert (embedding.name, embedding.fingerprint) == ("cranked", "cranked-1")
    assert all(test.passed for test in embedding.tests.values())
    vector = await embedding.vector(QUESTION, Script.LATIN)
    assert isinstance(vector, np.ndarray)
    assert vector.shape == (embedding.dimensions,)


async def test_who_wants_to_know_is_told_just_before_it_is_ready(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    told: list[tuple[str, int, bool]] = []

    async def on_ready(fingerprint: str, dimensions: int) -> None:
        told.append((fingerprint, dimensions, embedding.ready))

    embedding = make(cranked)
    embedding.start(on_ready)
    await watch.until(Standing.ON)
    assert told == [("cranked-1", 256, False)]


async def test_what_they_raise_changes_nothing(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    async def on_ready(fingerprint: str, dimensions: int) -> None:
        raise OSError("disk full")

    embedding = make(cranked)
    embedding.start(on_ready)
    assert await watch.until(Standing.ON) == "OSError: disk full"
    assert embedding.ready


async def test_one_that_does_not_start_is_tried_again_less_and_less_often(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    cranked.starts = [EmbedderError("away"), OSError("broken"), TimeoutError()]
    cranked.starts += [EmbedderError("away")] * 6
    make(cranked).start()
    await watch.until(Standing.ON)
    assert watch.waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert watch.reports[0] == (Standing.AWAY, "away")
    assert watch.standings == [Standing.AWAY, Standing.ON]  # one report for each change


async def test_while_it_is_away_there_are_no_vectors(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    cranked.fault = EmbedderError("out of memory")
    embedding = make(cranked)
    embedding.start()
    assert await watch.until(Standing.AWAY) == "out of memory"
    assert await embedding.vector(QUESTION, Script.LATIN) is Doubt.EMBEDDER
    cranked.fault = None
    await watch.until(Standing.ON)
    assert isinstance(await embedding.vector(QUESTION, Script.LATIN), np.ndarray)


async def test_vectors_that_are_none_keep_it_from_starting(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    cranked.answer = [np.zeros(256, np.float32)] * 32
    make(cranked).start()
    assert await watch.until(Standing.AWAY) == "a vector of zeros"


async def test_it_can_be_closed_at_any_time(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    never_begun, just_begun, loading = (make(cranked) for _ in range(3))
    await never_begun.close()
    just_begun.start()
    await just_begun.close()
    cranked.hold()
    loading.start()
    await cranked.was_called(1)
    await loading.close()
    assert cranked.closed == 3
    assert await loading.vector(QUESTION, Script.LATIN) is Doubt.NO_EMBEDDER


async def test_an_embedder_that_cannot_be_closed_keeps_nobody(
    on: Embedding, cranked: CrankedEmbedder
) -> None:
    cranked.fault = EmbedderError("broken")
    await on.close()
    assert on.standing is Standing.CLOSED


# -- what may be embedded -------------------------------------------------------------------------


class Illiterate(CrankedEmbedder):
    """Knows nothing of one script: all letters of it are one."""

    def __init__(self, first: str, last: str) -> None:
        super().__init__()
        self._first, self._last = first, last

    async def embed(self, texts: Any) -> Any:
        blanked = [
            "".join("口" if self._first <= each <= self._last else each for each in text)
            for text in texts
        ]
        return await super().embed(blanked)


@pytest.mark.parametrize(
    ("blank", "share", "standing", "doubted"),
    [
        (("口", "口"), None, Standing.ON, {Script.OTHER}),
        (("口", "口"), 0.0, Standing.ON, set()),
        (("一", "龥"), 0.0, Standing.PARTLY, {Script.HAN, Script.MIXED}),
        (("a", "z"), None, Standing.PARTLY, {Script.LATIN, Script.MIXED, Script.OTHER}),
        ((" ", "龥"), 0.0, Standing.UNFIT, set(Script)),
    ],
)
async def test_only_scripts_in_which_it_was_tested_have_vectors(
    make: Make,
    watch: Watch,
    *,
    blank: tuple[str, str],
    share: float | None,
    standing: Standing,
    doubted: set[Script],
) -> None:
    embedder = Illiterate(*blank)
    embedder.share = share
    embedding = make(embedder)
    embedding.start()
    why = await watch.until(standing)
    assert embedding.ready == (standing is not Standing.UNFIT)
    outcomes = {script: await embedding.vector(QUESTION, script) for script in Script}
    assert {script for script, each in outcomes.items() if each is Doubt.SELF_TEST} == doubted
    assert all(isinstance(outcomes[each], np.ndarray) for each in set(Script) - doubted)
    failed = {script for script, test in embedding.tests.items() if not test.passed}
    assert all(f"{script}: " in why for script in failed)


@pytest.mark.parametrize(
    ("share", "doubt"),
    [
        (0.0, None),
        (0.05, None),
        (0.06, Doubt.COVERAGE),
        (float("nan"), Doubt.COVERAGE),
        (KeyError("bug"), Doubt.COVERAGE),
        (None, None),
    ],
)
async def test_texts_of_unknown_words_have_no_vectors(
    on: Embedding, cranked: CrankedEmbedder, share: float | Exception | None, doubt: Doubt | None
) -> None:
    cranked.share = share
    outcome = await on.vector(QUESTION, Script.LATIN)
    assert (outcome if isinstance(outcome, Doubt) else None) is doubt


async def test_texts_beyond_all_measure_are_not_even_looked_at(
    on: Embedding, cranked: CrankedEmbedder
) -> None:
    cranked.share = AssertionError("looked at")
    assert await on.vector("word " * 10_000, Script.LATIN) is Doubt.TOO_LONG


# -- deadlines ------------------------------------------------------------------------------------


async def test_what_is_late_is_kept_for_the_next(on: Embedding, cranked: CrankedEmbedder) -> None:
    cranked.hold()
    calls = len(cranked.calls)
    assert await on.vector(QUESTION, Script.LATIN, deadline_s=NO_TIME_S) is Doubt.LATE
    assert on.late == 1
    await cranked.was_called(calls + 1)
    async with asyncio.TaskGroup() as group:
        other = group.create_task(on.vector(QUESTION, Script.LATIN))
        cranked.release()
    assert isinstance(other.result(), np.ndarray)
    assert await on.vector(QUESTION, Script.LATIN, deadline_s=NO_TIME_S) is other.result()
    assert len(cranked.calls) == calls + 1


async def test_who_leaves_takes_nobody_along(on: Embedding, cranked: CrankedEmbedder) -> None:
    cranked.hold()
    calls = len(cranked.calls)
    async with asyncio.TaskGroup() as group:
        leaves = group.create_task(on.vector(QUESTION, Script.LATIN))
        stays = group.create_task(on.vector(QUESTION, Script.LATIN))
        await cranked.was_called(calls + 1)
        leaves.cancel()
        await asyncio.wait([leaves])
        cranked.release()
    assert isinstance(stays.result(), np.ndarray)


async def test_without_memory_each_text_is_embedded_anew(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    embedding = make(cranked, recent_bytes=0)
    embedding.start()
    await watch.until(Standing.ON)
    calls = len(cranked.calls)
    await embedding.vector(QUESTION, Script.LATIN)
    await embedding.vector(QUESTION, Script.LATIN)
    assert len(cranked.calls) == calls + 2


async def test_memory_has_a_bound_and_keeps_what_is_asked_for(
    make: Make, watch: Watch, cranked: CrankedEmbedder
) -> None:
    embedding = make(cranked, recent_bytes=2**17)  # some 80 vectors of 256 numbers
    embedding.start()
    await watch.until(Standing.ON)
    calls = len(cranked.calls)
    for number in range(100):
        await embedding.vector("asked all the time", Script.LATIN)
        await embedding.vector(f"number {number}", Script.LATIN)
    assert len(cranked.calls) == calls + 101
    await embedding.vector("number 99", Script.LATIN)
    assert len(cranked.calls) == calls + 101
    await embedding.vector("number 0", Script.LATIN)
    assert cranked.calls[-1] == ["number 0"]


# -- several texts --------------------------------------------------------------------------------


async def test_several_texts_have_vectors_together_or_none(
    on: Embedding, cranked: CrankedEmbedder
) -> None:
    vectors = await on.vectors(["one", "two", "one"], Script.LATIN, deadline_s=ENDLESS_S)
    assert not isinstance(vectors, Doubt)
    assert len(vectors) == 3
    assert vectors[0] is vectors[2]
    assert await on.vectors([], Script.LATIN, deadline_s=ENDLESS_S) == []
    cranked.refused = frozenset({"bad"})
    outcome = await on.vectors(["good", "bad"], Script.LATIN, deadline_s=ENDLESS_S)
    assert outcome is Doubt.EMBEDDER
    cranked.hold()
    assert await on.vectors(["new"], Script.LATIN, deadline_s=NO_TIME_S) is Doubt.LATE
    outcome = await on.vectors(["one", "x" * 40_000], Script.LATIN, deadline_s=ENDLESS_S)
    assert outcome is Doubt.TOO_LONG


async def test_when_too_much_is_waiting_there_is_a_doubt_at_once(
    on: Embedding, cranked: CrankedEmbedder
) -> None:
    cranked.hold()
    for number in range(2000):
        outcome = await on.vector(f"{number}", Script.LATIN, deadline_s=NO_TIME_S)
    assert outcome is Doubt.EMBEDDER
    assert await on.vectors(["more"], Script.LATIN, deadline_s=ENDLESS_S) is Doubt.EMBEDDER
    assert on.batcher.turned_away > 0


# -- failures -------------------------------------------------------------------------------------


async def fail(embedding: Embedding, cranked: CrankedEmbedder) -> None:
    cranked.fault = EmbedderError("out of memory")
    for number in range(5):
        assert await embedding.vector(f"text {number}", Script.LATIN) is Doubt.EMBEDDER


async def test_after_a_few_failures_it_rests_until_a_probe_is_answered(
    on: Embedding, cranked: CrankedEmbedder, clock: Clock, watch: Watch
) -> None:
    await fail(on, cranked)
    assert await watch.until(Standing.RESTING) == "out of memory"
    assert on.failed == 5
    calls = len(cranked.calls)
    assert await on.vector("more", Script.LATIN) is Doubt.EMBEDDER
    assert await on.vectors(["more"], Script.LATIN, deadline_s=1) is Doubt.EMBEDDER
    assert len(cranked.calls) == calls  # nobody was asked

    clock.now += 10  # a probe is due, and fails
    assert await on.vector("more", Script.LATIN) is Doubt.EMBEDDER
    await cranked.was_called(calls + 1)

    cranked.fault = None
    clock.now += 10
    assert await on.vector("more", Script.LATIN) is Doubt.EMBEDDER  # who does not wait for it
    await watch.until(Standing.ON)
    assert isinstance(await on.vector("more", Script.LATIN), np.ndarray)
    assert watch.standings == [Standing.ON, Standing.RESTING, Standing.ON]


async def test_what_is_remembered_is_there_while_it_rests(
    on: Embedding, cranked: CrankedEmbedder
) -> None:
    known = await on.vector(QUESTION, Script.LATIN)
    await fail(on, cranked)
    assert await on.vector(QUESTION, Script.LATIN) is known


async def test_refused_texts_are_no_failures(
    on: Embedding, cranked: CrankedEmbedder, watch: Watch
) -> None:
    cranked.refused = frozenset({"bad"})
    for _ in range(20):
        assert await on.vector("bad", Script.LATIN) is Doubt.EMBEDDER
    assert watch.standings == [Standing.ON]
    assert isinstance(await on.vector("good", Script.LATIN), np.ndarray)


async def test_one_that_comes_back_as_another_model_is_not_used(
    on: Embedding, cranked: CrankedEmbedder, clock: Clock, watch: Watch
) -> None:
    await fail(on, cranked)
    cranked.fault = None
    cranked.become_another()
    clock.now += 10
    assert await on.vector("more", Script.LATIN) is Doubt.EMBEDDER
    assert "restart" in await watch.until(Standing.CHANGED)
    assert not on.ready
    assert await on.vector("more", Script.LATIN) is Doubt.EMBEDDER


async def test_one_that_becomes_another_model_without_failing_is_found_out(
    on: Embedding, cranked: CrankedEmbedder, clock: Clock, watch: Watch
) -> None:
    clock.now += 301
    assert isinstance(await on.vector("one", Script.LATIN), np.ndarray)
    assert watch.standings == [Standing.ON]  # a trial, and all is well
    cranked.become_another()
    clock.now += 301
    await on.vector("two", Script.LATIN)
    await watch.until(Standing.CHANGED)
    assert await on.vector("three", Script.LATIN) is Doubt.EMBEDDER


# -- a real service that goes wrong ---------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingServer]:
    async with EmbeddingServer() as server:
        yield server


@pytest.mark.parametrize(
    ("mood", "standing"),
    [
        (Mood.WELL, Standing.ON),
        (Mood.BACKWARDS, Standing.ON),
        (Mood.BASE64, Standing.ON),
        (Mood.SHUFFLED, Standing.UNFIT),
        (Mood.TURNED, Standing.UNFIT),
        (Mood.EQUAL, Standing.UNFIT),
        (Mood.DICE, Standing.UNFIT),
        (Mood.ZEROS, Standing.AWAY),
        (Mood.NAN, Standing.AWAY),
        (Mood.NAN_BASE64, Standing.AWAY),
        (Mood.TOO_FEW, Standing.AWAY),
        (Mood.WORDS, Standing.AWAY),
        (Mood.EMPTY, Standing.AWAY),
        (Mood.GARBAGE, Standing.AWAY),
        (Mood.FAILING, Standing.AWAY),
        (Mood.UNAUTHORISED, Standing.AWAY),
    ],
)
async def test_a_service_that_goes_wrong_is_never_ready(
    make: Make, watch: Watch, server: EmbeddingServer, mood: Mood, standing: Standing
) -> None:
    server.mood = mood
    embedding = make(RemoteEmbedder(server.url, model="m", timeout_s=20))
    embedding.start()
    await watch.until(standing)
    assert embedding.ready == (standing is Standing.ON)
    outcome = await embedding.vector(QUESTION, Script.LATIN)
    assert isinstance(outcome, np.ndarray) == (standing is Standing.ON)


@pytest.mark.parametrize(
    "mood",
    [
        Mood.ZEROS,
        Mood.NAN,
        Mood.NAN_BASE64,
        Mood.TOO_LONG,
        Mood.TOO_FEW,
        Mood.WORDS,
        Mood.GARBAGE,
        Mood.ENDLESS,
        Mood.FAILING,
        Mood.CUT,
    ],
)
async def test_a_service_that_goes_wrong_later_is_a_doubt_each_time_and_then_rests(
    make: Make, watch: Watch, server: EmbeddingServer, mood: Mood
) -> None:
    embedding = make(RemoteEmbedder(server.url, model="m", timeout_s=20))
    embedding.start()
    await watch.until(Standing.ON)
    server.mood = mood
    for number in range(5):
        assert await embedding.vector(f"text {number}", Script.LATIN) is Doubt.EMBEDDER
    await watch.until(Standing.RESTING)


async def test_a_service_that_is_dead_and_comes_back(
    make: Make, watch: Watch, server: EmbeddingServer, clock: Clock
) -> None:
    await server.close()
    embedding = make(RemoteEmbedder(server.url, model="m", timeout_s=20))
    embedding.start()
    await watch.until(Standing.AWAY)
    await server.start()
    await watch.until(Standing.ON)
    await server.close()
    for number in range(5):
        assert await embedding.vector(f"text {number}", Script.LATIN) is Doubt.EMBEDDER
    await watch.until(Standing.RESTING)
    await server.start()
    clock.now += 10
    assert await embedding.vector("more", Script.LATIN) is Doubt.EMBEDDER
    await watch.until(Standing.ON)
    assert isinstance(await embedding.vector("more", Script.LATIN), np.ndarray)


async def test_a_service_that_hangs_costs_no_more_than_the_deadline(
    make: Make, watch: Watch, server: EmbeddingServer
) -> None:
    embedding = make(RemoteEmbedder(server.url, model="m", timeout_s=20), deadline_s=0.02)
    embedding.start()
    await watch.until(Standing.ON)
    server.hold()
    before = monotonic()
    asked = [embedding.vector(f"text {number}", Script.LATIN) for number in range(200)]
    assert set(await asyncio.gather(*asked)) == {Doubt.LATE}
    assert monotonic() - before < 15  # less than the service's 20 seconds


async def test_one_that_hangs_is_not_waited_for_until_it_is_given_up(
    on: Embedding, watch: Watch, cranked: CrankedEmbedder, clock: Clock
) -> None:
    cranked.hold()
    for number in range(5):
        assert await on.vector(f"text {number}", Script.LATIN, deadline_s=NO_TIME_S) is Doubt.LATE
    assert on.standing is Standing.ON  # a crowd that came at once proves nothing
    clock.now += 1
    assert await on.vector("one more", Script.LATIN, deadline_s=NO_TIME_S) is Doubt.LATE
    await watch.until(Standing.RESTING)
    assert await on.vector("and more", Script.LATIN) is Doubt.EMBEDDER
    cranked.release()
    clock.now += 10
    assert await on.vector("a probe", Script.LATIN) is Doubt.EMBEDDER
    await watch.until(Standing.ON)
    assert isinstance(await on.vector("at last", Script.LATIN), np.ndarray)


async def test_one_that_is_slow_is_not_one_that_hangs(
    on: Embedding, cranked: CrankedEmbedder, clock: Clock
) -> None:
    for number in range(10):
        cranked.hold()
        text, calls = f"text {number}", len(cranked.calls)
        assert await on.vector(text, Script.LATIN, deadline_s=NO_TIME_S) is Doubt.LATE
        await cranked.was_called(calls + 1)
        cranked.release()
        assert isinstance(await on.vector(text, Script.LATIN), np.ndarray)
        clock.now += 1
    assert on.standing is Standing.ON

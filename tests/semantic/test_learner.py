"""The learner: where answers are put, and what is learned of hits that were wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.meaning import FAMILY, NAMESPACE, World, vector, world

from proxy.model.entry import Entry
from proxy.model.meaning import Doubt, Script
from proxy.semantic.base import Row
from proxy.semantic.budget.course import Turn
from proxy.semantic.budget.labels import Stratum
from proxy.semantic.budget.shadow import Shadowing
from proxy.semantic.found import Candidate, Finding

ASKED = "How do I reset my router?"
ALIKE = "Please, how do I reset my router"
NEAR = "Is there a way of resetting my router?"
BY_HAND = Stratum("by-hand", Script.LATIN, FAMILY)
ONE = vector(1.0)


async def landed(w: World, finding: Finding, body: bytes, weight: float | None = None) -> Entry:
    """Let the backend answer NEAR, after ``finding``."""
    stored = w.answer(w.sought(NEAR), body)
    await w.ladder.put(stored)
    w.learner.landed(w.sought(NEAR), stored, finding, weight)
    await w.learner.settled()
    return stored


async def test_a_miss_that_had_a_neighbour_is_a_label() -> None:
    async with world() as w:
        stored = await w.store(ASKED, ONE, b"It takes 5 minutes.")
        await landed(w, await w.find(NEAR, vector(0.85)), b"It takes 9 minutes.")
        estimate = w.budget.estimate(BY_HAND)
        assert estimate.labels == 1
        assert w.budget.floor(stored.key.digest) == pytest.approx(0.86)


async def test_a_miss_whose_neighbour_says_the_same_is_a_label_too() -> None:
    async with world() as w:
        stored = await w.store(ASKED, ONE, b"It takes 5 minutes.")
        await landed(w, await w.find(NEAR, vector(0.85)), b"It takes 5 minutes.")
        assert w.budget.estimate(BY_HAND).labels == 1
        assert w.budget.floor(stored.key.digest) is None


async def test_what_a_veto_refused_is_none() -> None:
    async with world() as w:
        await w.store("How do I reset 2 routers?", ONE, b"a")
        finding = await w.find(NEAR, vector(0.99))
        await landed(w, finding, b"b")
        assert w.budget.estimate(BY_HAND).labels == 0


async def test_what_cannot_be_told_is_counted_and_no_label() -> None:
    async with world() as w:
        await w.store(ASKED, ONE, b"Hold the button until it blinks.")
        await landed(w, await w.find(NEAR, vector(0.85)), b"Pull the plug, wait, put it back.")
        assert w.budget.estimate(BY_HAND).labels == 0
        assert w.learner.unknown == 1


async def test_what_words_do_not_tell_vectors_do() -> None:
    async with world() as w:
        old, new = b"Hold the button until it blinks.", b"Keep the button pressed for a while."
        await w.store(ASKED, ONE, old)
        w.embedding.of[old.decode()] = ONE
        w.embedding.of[new.decode()] = vector(0.95)
        await landed(w, await w.find(NEAR, vector(0.85)), new)
        assert w.budget.estimate(BY_HAND).labels == 1
        assert w.learner.unknown == 0


async def test_others_get_their_turn_while_long_answers_are_compared() -> None:
    async with world() as w:
        threads: set[int] = set()
        learned = w.learner._agreement
        learned._answer = lambda _entry: threads.add(threading.get_ident()) or "It takes a while."
        await w.store(ASKED, ONE, b"It takes 5 minutes.")
        await landed(w, await w.find(NEAR, vector(0.85)), b"It takes 9 minutes.")
        assert threads
        assert threading.get_ident() not in threads


async def test_answers_that_are_no_text_are_the_same_only_to_the_byte() -> None:
    async with world() as w:
        await w.store(ASKED, ONE, b"...")
        await landed(w, await w.find(NEAR, vector(0.85)), b"...")
        assert w.budget.estimate(BY_HAND).labels == 1
        await w.store(ALIKE + " now then", vector(0.5), b"...")
        await landed(w, await w.find(NEAR, vector(0.85)), b"text")
        assert w.learner.unknown == 1


async def test_a_hit_that_is_asked_again_stands_for_others() -> None:
    async with world(shadowing=Shadowing(60)) as w:
        await w.store(ASKED, ONE, b"It takes 5 minutes.")
        finding = await w.find(NEAR, vector(0.95))
        weight = w.learner.shadows(w.sought(NEAR), finding)
        assert weight == 1.0  # the first ones all are
        await landed(w, finding, b"It takes 9 minutes.", weight)
        assert w.budget.estimate(BY_HAND).raw == 1.0


async def test_what_might_do_something_is_never_asked_again() -> None:
    async with world(shadowing=Shadowing(60)) as w:
        await w.store(ASKED, ONE)
        finding = await w.find(NEAR, vector(0.95))
        assert w.learner.shadows(w.sought(NEAR, acts=True), finding) is None


async def test_without_shadowing_nothing_is_asked_again() -> None:
    async with world() as w:
        await w.store(ASKED, ONE)
        finding = await w.find(NEAR, vector(0.95))
        assert w.learner.shadows(w.sought(NEAR), finding) is None
        assert not w.learner.samples()


async def test_exact_hits_are_sampled_for_noise() -> None:
    async with world(shadowing=Shadowing(60)) as w:
        w.dice[0] = 0.0
        assert w.learner.samples()
        stored = await w.store(ASKED, ONE, b"It takes 5 minutes.")
        w.learner.sampled(stored, replace(stored, body=b"It takes 9 minutes."))
        await w.learner.settled()
        assert w.budget.estimate(BY_HAND).noise > 0


class TestFeedback:
    async def test_a_wrong_hit_is_a_label_and_is_not_served_again(self) -> None:
        async with world() as w:
            stored = await w.store(ASKED, ONE)
            finding = await w.find(NEAR, vector(0.95))
            w.learner.served(w.sought(NEAR), finding)
            name = w.sought(NEAR).key.digest[:8].hex()
            assert await w.learner.judged(name, wrong=True)
            assert w.budget.floor(stored.key.digest) == pytest.approx(0.96)
            assert w.budget.estimate(BY_HAND).raw == 1.0
            await w.learner.settled()
            assert (await w.find(NEAR, vector(0.95))).doubt is Doubt.NOBODY  # evicted
            w.learner.landed(w.sought(ASKED), stored, None, None)
            await w.learner.settled()
            assert (await w.find(NEAR, vector(0.95))).doubt is Doubt.FLOOR

    async def test_a_right_one_is_a_label(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            w.learner.served(w.sought(NEAR), await w.find(NEAR, vector(0.95)))
            assert await w.learner.judged(w.sought(NEAR).key.digest[:8].hex(), wrong=False)
            assert w.budget.estimate(BY_HAND).labels == 1
            assert (await w.find(NEAR, vector(0.95))).hit is not None

    @pytest.mark.parametrize("name", ["", "no hex", "0123456789abcdef"])
    async def test_what_nobody_remembers_is_said(self, name: str) -> None:
        async with world() as w:
            assert not await w.learner.judged(name, wrong=True)

    async def test_a_complaint_counts_once(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            w.learner.served(w.sought(NEAR), await w.find(NEAR, vector(0.95)))
            for _ in range(3):
                await w.learner.complained(w.sought(NEAR).key)
            assert w.budget.estimate(BY_HAND).labels == 1

    async def test_who_complains_does_not_wait_for_the_index(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            w.learner.served(w.sought(NEAR), await w.find(NEAR, vector(0.95)))
            w.index.hanging = True
            async with asyncio.timeout(1):
                await w.learner.complained(w.sought(NEAR).key)
            assert w.budget.estimate(BY_HAND).labels == 1

    async def test_one_hit_is_wrong_only_once_whoever_says_so(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            w.learner.served(w.sought(NEAR), await w.find(NEAR, vector(0.95)))
            name = w.sought(NEAR).key.digest[:8].hex()
            told = [w.learner.judged(name, wrong=True) for _ in range(3)]
            assert sorted(await asyncio.gather(*told)) == [False, False, True]
            assert w.budget.estimate(BY_HAND).labels == 1

    async def test_a_miss_is_nothing_to_complain_of(self) -> None:
        async with world() as w:
            w.learner.served(w.sought(NEAR), await w.find(NEAR, ONE))
            await w.learner.complained(w.sought(NEAR).key)
            assert w.budget.strata() == ()


async def test_what_came_before_the_model_is_placed_once_it_is_there() -> None:
    async with world() as w:
        w.embedding.ready = False
        await w.store(ASKED, ONE)
        assert await w.index.search(NAMESPACE, ONE, 8) == []
        w.embedding.ready = True
        w.learner.woken()
        await w.learner.settled()
        assert len(await w.index.search(NAMESPACE, ONE, 8)) == 1


async def test_a_bug_in_placing_does_not_end_the_learning(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        w.embedding.ready = False
        await w.store(ASKED, ONE)
        w.embedding.ready = w.index.bug = True
        w.learner.woken()
        async with asyncio.timeout(1):
            await w.learner.settled()
        assert "could not be learned" in caplog.text
        w.index.bug = False
        await w.store(NEAR, ONE)
        assert len(await w.index.search(NAMESPACE, ONE, 8)) == 1


async def test_a_question_without_a_vector_is_in_no_index() -> None:
    async with world() as w:
        await w.store(ASKED, None)
        assert await w.index.search(NAMESPACE, ONE, 8) == []


async def test_more_than_can_be_learned_is_dropped_the_oldest_first() -> None:
    async with world() as w:
        await w.learner.close()
        sought = w.sought(ASKED)
        stored = replace(w.answer(sought), body=b"x" * 2**20)
        for _ in range(40):
            w.learner.landed(sought, stored, None, None)
        assert 0 < w.learner.dropped < 40
        assert w.learner._waiting_bytes <= 32 * 2**20


async def test_what_waits_is_bounded_in_bytes_however_short_the_answers() -> None:
    async with world() as w:
        await w.learner.close()
        sought = w.sought("Where is my red book, and where is the pen? " * 40)
        for _ in range(1000):
            w.learner.landed(sought, w.answer(sought), None, None)
        assert 0 < w.learner.dropped < 1000


class Broken:
    """An answer that cannot even be compared."""

    entry = property(lambda self: self)
    size = 1


async def test_a_bug_in_one_does_not_keep_the_next_from_being_learned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world() as w:
        sought = w.sought(ASKED)
        broken = Finding(neighbours=(Broken(),))  # type: ignore[arg-type] # a bug
        w.learner.landed(sought, w.answer(sought), broken, None)
        await w.store(ASKED, ONE)
        assert len(await w.index.search(NAMESPACE, ONE, 8)) == 1
        assert "could not be learned" in caplog.text


async def test_that_nothing_is_served_any_more_is_reported() -> None:
    async with world() as w:
        await w.store(ASKED, ONE, b"It takes 5 minutes.")
        finding = await w.find(NEAR, vector(0.95))
        for number in range(100):
            await landed(w, finding, b"It takes %d hours." % number, 1.0)
        assert w.budget.threshold(BY_HAND) is None
        assert w.changes[-1][0] == BY_HAND
        assert {change.turn for _, change in w.changes} >= {Turn.OPENED}


async def test_what_was_wrong_by_meaning_may_still_be_right_by_its_words() -> None:
    async with world() as w:
        await w.store(ASKED, ONE)
        w.learner.served(w.sought(NEAR), await w.find(NEAR, vector(0.9999)))
        name = w.sought(NEAR).key.digest[:8].hex()
        assert await w.learner.judged(name, wrong=True)
        assert (await w.find(ALIKE)).hit is not None
        assert not await w.learner.judged(name, wrong=True)  # said once, counted once


async def test_what_lands_in_a_moment_is_placed_together() -> None:
    async with world() as w:
        await w.learner.close()
        added: list[int] = []
        add = w.index.add

        async def counted(rows: Sequence[Row]) -> None:
            added.append(len(rows))
            await add(rows)

        w.index.add = counted  # type: ignore[method-assign]
        paused, over = asyncio.Event(), asyncio.Event()

        async def pause(seconds: float) -> None:
            assert seconds == 0.05
            paused.set()
            await over.wait()

        w.learner._pause_s, w.learner._sleep = 0.05, pause
        await w.learner.start()
        for text in (ASKED, NEAR):
            w.embedding.of[text] = ONE
            w.learner.landed(w.sought(text), w.answer(w.sought(text)), None, None)
        await paused.wait()
        assert added == []
        over.set()
        await w.learner.settled()
        assert added == [2]


async def test_what_landed_and_was_wrong_at_once_is_found_no_more() -> None:
    async with world() as w:
        await w.learner.close()
        stored = await landed_and_served(w)
        assert await w.learner.judged(w.sought(NEAR).key.digest[:8].hex(), wrong=True)
        await w.learner.start()
        await w.learner.settled()
        assert stored.key not in [n.key for n in await w.index.search(NAMESPACE, ONE, 8)]


async def landed_and_served(w: World) -> Entry:
    """An answer that has not been learned yet when it is said to be wrong for another question."""
    w.embedding.of[ASKED] = ONE
    sought = w.sought(ASKED)
    stored = w.answer(sought)
    await w.ladder.put(stored)
    w.learner.landed(sought, stored, None, None)
    best = Candidate(stored, "l1", 0.95, sought.text)
    w.learner.served(w.sought(NEAR), Finding(best=best, stratum=BY_HAND))
    return stored

"""The finder: which stored answer is served for a question in other words, and why none is."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from support.cranked import CrankedTier
from support.meaning import FAMILY, NAMESPACE, vector, world

from proxy.ledger import Ledger
from proxy.model.decision import Why
from proxy.model.entry import CacheKey, Entry
from proxy.model.meaning import Doubt, Script, Wording
from proxy.semantic.base import Neighbour
from proxy.semantic.budget.controller import Budget
from proxy.semantic.budget.labels import Label, Source, Stratum
from proxy.semantic.found import NOTHING
from proxy.semantic.notes import note
from proxy.semantic.verifier import Verifier
from proxy.semantic.words.text import Text
from proxy.tiers.ladder import Found, Ladder

ASKED = "How do I reset my router?"
ALIKE = "Please, how do I reset my router"
SLIPPED = "How do I reset my rotuer?"
NEAR = "Is there a way of resetting my router?"
BY_HAND = Stratum("by-hand", Script.LATIN, FAMILY)
ONE = vector(1.0)


async def test_what_nobody_asked_before_has_no_neighbour() -> None:
    async with world() as w:
        found = await w.find(ASKED, ONE)
        assert (found.hit, found.doubt) == (None, Doubt.NOBODY)


class TestWithoutAModel:
    async def test_the_canonical_question_is_found_by_a_note(self) -> None:
        async with world() as w:
            stored = await w.store(ASKED)
            found = await w.find(ALIKE)
            assert found.hit is not None
            assert (found.hit.entry.body, found.hit.why) == (stored.body, Why.CANONICAL)
            assert found.best is not None
            assert found.best.score == 1.0
            assert found.stratum == Stratum("canonical", Script.LATIN, FAMILY)

    async def test_a_slip_is_found_by_the_phrasebook(self) -> None:
        async with world() as w:
            await w.store(ASKED)
            found = await w.find(SLIPPED)
            assert found.hit is not None
            assert found.hit.why is Why.TYPO

    async def test_another_namespace_is_another_world(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE, namespace=b"m" * 16)
            for text in (ALIKE, SLIPPED, NEAR):
                assert (await w.find(text, vector(0.99))).doubt is Doubt.NOBODY

    @pytest.mark.parametrize(
        "wording", [None, Wording(b"m" * 16, ASKED), Wording(NAMESPACE, "x y z")]
    )
    async def test_a_note_that_leads_elsewhere_leads_nowhere(self, wording: Wording | None) -> None:
        async with world() as w:
            stored = await w.store(ASKED)
            await w.ladder.put(replace(stored, wording=wording))
            found = await w.find(ALIKE, ONE)
            assert found.hit is None

    async def test_a_note_to_what_is_gone_leads_nowhere(self) -> None:
        async with world() as w:
            sought = w.sought(ASKED)
            assert sought.alias is not None
            await w.ladder.put(note(sought.alias, w.answer(sought)))
            assert (await w.find(ALIKE, ONE)).doubt is Doubt.NOBODY

    async def test_an_entry_that_is_no_note_is_not_followed(self) -> None:
        async with world() as w:
            stored = await w.store(ASKED)
            alias = w.sought(ALIKE).alias
            assert alias is not None
            await w.ladder.put(replace(stored, key=alias))
            assert (await w.find(ALIKE, ONE)).doubt is Doubt.NOBODY

    async def test_what_no_longer_fits_is_not_served(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            w.fits = lambda _entry, _tier: None  # type: ignore[method-assign] # who asks wants none
            assert (await w.find(ALIKE, ONE)).doubt is Doubt.STALE
            assert (await w.find(SLIPPED, ONE)).hit is None

    async def test_a_negative_entry_answers_nobody_else(self) -> None:
        async with world() as w:
            stored = await w.store(ASKED, ONE)
            await w.ladder.put(replace(stored, negative=True))
            assert (await w.find(ALIKE, ONE)).hit is None

    async def test_what_was_wrong_for_certain_is_not_served_again(self) -> None:
        async with world() as w:
            stored = await w.store(ASKED)
            w.budget.wrong(stored.key.digest, 1.0)
            assert (await w.find(ALIKE, ONE)).hit is None
            assert (await w.find(SLIPPED, ONE)).hit is None


class TestByMeaning:
    async def test_what_is_near_enough_is_served(self) -> None:
        async with world() as w:
            stored = await w.store(ASKED, ONE)
            found = await w.find(NEAR, vector(0.95))
            assert found.hit is not None
            assert (found.hit.entry.body, found.hit.why) == (stored.body, Why.SEMANTIC)
            assert found.best is not None
            assert found.best.score == pytest.approx(0.95)
            assert found.stratum == BY_HAND
            assert found.measured is not None
            assert (found.measured.high, found.measured.labels) == (1.0, 0)

    async def test_what_is_not_is_told_of_for_learning(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            found = await w.find(NEAR, vector(0.85))
            assert (found.hit, found.doubt) == (None, Doubt.THRESHOLD)
            assert found.best is not None

    async def test_what_is_far_is_nobody(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            assert (await w.find(NEAR, vector(0.74))).doubt is Doubt.NOBODY

    async def test_a_caller_can_raise_the_threshold_and_never_lower_it(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            assert (await w.find(NEAR, vector(0.95), least=0.97)).doubt is Doubt.THRESHOLD
            assert (await w.find(NEAR, vector(0.85), least=0.1)).doubt is Doubt.THRESHOLD

    async def test_a_veto_is_named(self) -> None:
        async with world() as w:
            await w.store("How do I reset 2 routers?", ONE)
            found = await w.find("How do I reset 5 routers?", vector(0.99))
            assert (found.hit, found.doubt, found.best) == (None, Doubt.VETO_NUMBERS, None)

    async def test_behind_one_that_is_refused_another_may_do(self) -> None:
        async with world() as w:
            await w.store("How do I reset 2 routers?", vector(0.99), b"Two.")
            stored = await w.store("How do I reset 5 routers please?", vector(0.96, 1), b"Five.")
            found = await w.find("How can I reset 5 routers at once?", ONE)
            assert found.hit is None or found.hit.entry.body == stored.body

    async def test_neighbours_that_disagree_are_not_believed(self) -> None:
        async with world() as w:
            await w.store(ASKED, vector(0.97), b"It takes 5 minutes.")
            await w.store(NEAR, vector(0.95, 1), b"It takes 9 minutes.")
            assert (
                await w.find("What do I do to get my router reset?", ONE)
            ).doubt is Doubt.DISAGREEMENT

    async def test_neighbours_that_agree_are(self) -> None:
        async with world() as w:
            await w.store(ASKED, vector(0.97), b"It takes 5 minutes.")
            await w.store(NEAR, vector(0.95, 1), b"It takes 5 minutes.")
            assert (await w.find("What do I do to get my router reset?", ONE)).hit is not None

    async def test_one_further_off_has_no_say(self) -> None:
        async with world() as w:
            await w.store(ASKED, vector(0.97), b"It takes 5 minutes.")
            await w.store(NEAR, vector(0.92, 1), b"It takes 9 minutes.")
            assert (await w.find("What do I do to get my router reset?", ONE)).hit is not None

    async def test_an_entry_that_was_wrong_so_near_is_not_served(self) -> None:
        async with world() as w:
            stored = await w.store(ASKED, ONE)
            w.budget.wrong(stored.key.digest, 0.95)
            assert (await w.find(NEAR, vector(0.95))).doubt is Doubt.FLOOR
            assert (await w.find(NEAR, vector(0.97))).hit is not None

    async def test_while_the_breaker_is_open_nothing_is_served_but_learned_from(self) -> None:
        async with world(budget=Budget(delta=0.01)) as w:
            await w.store(ASKED, ONE)
            wrong = Label(0.95, wrong=True, weight=1.0, source=Source.SHADOW, served=True)
            for _ in range(100):
                w.budget.learn(BY_HAND, wrong, 5000.0)
            assert w.budget.threshold(BY_HAND) is None
            found = await w.find(NEAR, vector(0.99))
            assert (found.hit, found.doubt) == (None, Doubt.BUDGET)
            assert found.best is not None

    async def test_an_entry_past_its_time_is_not_served(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            w.clock.turn(59.9)
            assert (await w.find(NEAR, vector(0.99))).hit is not None
            w.clock.turn(0.2)
            assert (await w.find(NEAR, vector(0.99))).hit is None

    async def test_its_own_key_is_no_other_question(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            assert (await w.find(ASKED, ONE)).doubt is Doubt.NOBODY

    async def test_what_is_gone_is_forgotten(self) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            await w.ladder.clear()
            assert (await w.find(NEAR, vector(0.99))).doubt is Doubt.STALE
            assert await w.index.search(NAMESPACE, ONE, 8) == []
            assert len(w.phrasebook) == 0

    async def test_what_is_gone_makes_room_for_what_is_there(self) -> None:
        async with world() as w:
            for number in range(5):
                await w.store(f"How do I reset my old router model {number}?", vector(0.99, number))
            await w.ladder.clear()
            stored = await w.store(ASKED, vector(0.95, 6))
            found = await w.find(NEAR, ONE)
            assert found.hit is not None
            assert found.hit.entry.key == stored.key


class TestTrouble:
    @pytest.mark.parametrize("doubt", [Doubt.LATE, Doubt.LOADING, Doubt.COVERAGE, Doubt.SELF_TEST])
    async def test_without_a_vector_there_is_a_doubt(self, doubt: Doubt) -> None:
        async with world() as w:
            await w.store(ASKED, ONE)
            w.embedding.of[NEAR] = doubt
            assert (await w.find(NEAR)).doubt is doubt

    async def test_an_index_that_fails_is_a_doubt(self) -> None:
        async with world() as w:
            w.index.failing = True
            assert (await w.find(NEAR, ONE)).doubt is Doubt.INDEX

    async def test_an_index_that_hangs_is_a_doubt(self) -> None:
        async with world() as w:
            w.index.hanging = True
            assert (await w.find(NEAR, ONE)).doubt is Doubt.INDEX

    async def test_an_index_that_lies_makes_no_hit(self) -> None:
        async with world() as w:
            foreign = await w.store(ASKED, ONE, b"secret", namespace=b"m" * 16)
            w.index.lies = [
                Neighbour(CacheKey("scope", b"nothing there" + b"." * 19), 0.99),
                Neighbour(CacheKey("another", foreign.key.digest), 0.99),
                Neighbour(foreign.key, 0.99),
            ]
            found = await w.find(NEAR, ONE)
            assert (found.hit, found.doubt) == (None, Doubt.STALE)

    async def test_without_an_embedder_there_is_nothing_to_doubt(self) -> None:
        async with world() as w:
            w.finder._embedding = None
            assert await w.find(NEAR) == NOTHING


async def test_what_became_of_searches_is_counted() -> None:
    async with world() as w:
        await w.store(ASKED, ONE)
        await w.find(ALIKE)
        await w.find(NEAR, vector(0.95))
        await w.find(NEAR, vector(0.8))
        assert w.finder.counts == {Why.CANONICAL: 1, Why.SEMANTIC: 1, Doubt.THRESHOLD: 1}


class Hanging:
    """A shelf that never answers."""

    async def get(self, _key: CacheKey) -> Found:
        await asyncio.Event().wait()
        raise AssertionError

    async def put(self, _entry: Entry) -> bool:
        return False


class TestWhateverHappens:
    async def test_a_search_on_shelves_that_hang_ends_in_time(self) -> None:
        async with world(shelf=lambda _ladder: Hanging()) as w:
            async with asyncio.timeout(5):
                assert (await w.find(ASKED, ONE)).doubt is Doubt.LATE
            assert w.finder.counts == {Doubt.LATE: 1}

    async def test_a_bug_is_a_miss_and_quotes_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with world() as w:
            w.index.bug = True
            assert await w.find(ASKED, ONE) == NOTHING
            assert w.finder.bugs == 1
            assert "a search by meaning failed" in caplog.text
            assert "nobody foresaw" not in caplog.text

    async def test_what_a_tier_that_fails_may_have_is_not_forgotten(self) -> None:
        tiers: list[CrankedTier] = []

        def failing(ladder: Ladder) -> Ladder:
            tiers.append(CrankedTier("far"))
            return Ladder([*ladder._tiers, *tiers], Ledger(), lambda _tier, _error: None)

        async with world(shelf=failing) as w:
            stored = await w.store(ASKED, ONE)
            tiers[0].kept[stored.key.digest] = stored
            await w.ladder.clear()
            tiers[0].failing.add("get")
            assert (await w.find(NEAR, vector(0.95))).doubt is Doubt.STALE
            tiers[0].failing.clear()
            assert (await w.find(NEAR, vector(0.95))).hit is not None

    async def test_only_long_questions_are_compared_in_a_thread(self) -> None:
        threads: list[int] = []

        class Noting(Verifier):
            def refuse(self, a: Text, b: Text) -> Doubt | None:
                threads.append(threading.get_ident())
                return super().refuse(a, b)

        async with world() as w:
            w.finder._verifier = Noting()
            await w.store(ASKED, ONE)
            assert (await w.find(NEAR, vector(0.95))).hit is not None
            assert threads.pop() == threading.get_ident()
            told = ", and the lights on it are all red when I look at the box" * 10
            await w.store(ASKED + told, ONE)
            assert (await w.find(NEAR + told, vector(0.95))).hit is not None
            assert threads
            assert threading.get_ident() not in threads

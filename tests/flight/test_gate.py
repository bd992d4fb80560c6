"""The gate: who waits for a flight, who is told what comes before being woken, and who is woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from support.cranked import OK, Call, Clock, Crank, Errand, entry, settle
from support.started import started

from proxy.flight import Boarded, Boarding, Flights, Found, Landed, Limits, Released, Seat
from proxy.model.decision import GiveUp, Share, Why
from proxy.model.errors import BrokenReply, FirstByteTimeout
from proxy.model.message import Head, Headers
from proxy.model.outcome import Outcome, Reply, Verdict
from proxy.model.outlet import Draft
from proxy.model.query import Form

DOCUMENT = Form(stream=False, usage=False)
_REPLY = Reply(OK, b"", None, Outcome(Verdict.COALESCED, Why.UNSEEN))


class Scene:
    """A board with one upstream; ``told`` and ``woken`` are the numbers of followers, in order."""

    def __init__(self, limits: Limits) -> None:
        self.clock = Clock()
        self.crank = Crank()
        self.bugs: list[BaseException] = []
        self.flights = Flights(limits, clock=self.clock, report=self.bugs.append)
        self.errand = Errand(self.crank, self.clock)
        self.events: list[str] = []
        self.drafts: list[tuple[Hashable, Landed | None, bytes]] = []

    def board(self) -> Seat:
        seat = self.flights.board(self.errand, lambda _form: True)
        assert isinstance(seat, Seat)
        return seat

    def lead(self) -> asyncio.Task[Boarding]:
        return started(self.passage(self.board(), "leader", None))

    def follow(self, name: str, **more: object) -> tuple[Greeted, asyncio.Task[Boarding]]:
        greeting = Greeted(self, name, **more)
        return greeting, started(self.passage(self.board(), name, greeting))

    async def passage(self, seat: Seat, name: str, greeting: Greeted | None) -> Boarding:
        """What is woken with, and what is heard then."""
        try:
            boarding = await seat.boarded(greeting)
            self.events.append(f"{name} woken")
            if isinstance(boarding, Boarded) and greeting is not None:
                greeting.heard = [piece async for piece in seat.pieces()]
            return boarding
        finally:
            seat.leave()

    async def call(self) -> Call:
        await settle()
        return self.crank.calls[-1]


class Greeted:
    """A ``Greeting`` that does as a test says."""

    settle_s = 60.0

    def __init__(
        self,
        scene: Scene,
        name: str,
        *,
        kind: str = "alike",
        suited: bool = True,
        drafts: bool = True,
        reached: bool = True,
        bug: str = "",
        settle_s: float = 60.0,
    ) -> None:
        self._scene = scene
        self._name = name
        self._suited = suited
        self._drafts = drafts
        self._reached = reached
        self._bug = bug
        self.kind = kind
        self.settle_s = settle_s
        self.told: Draft | None = None
        self.heard: list[bytes] = []

    def suits(self, boarded: Boarded) -> bool:
        if self._bug == "suits":
            raise ZeroDivisionError
        return self._suited

    def draft(self, boarded: Boarded, landed: Landed | None, body: bytes) -> Draft | None:
        if self._bug == "draft":
            raise ZeroDivisionError
        self._scene.drafts.append((self.kind, landed, body))
        return Draft(_REPLY, b"", body, len(body), body) if self._drafts else None

    def begin(self, draft: Draft) -> bool:
        if self._reached:
            self._scene.events.append(f"{self._name} told")
            self.told = draft
        return self._reached


@asynccontextmanager
async def airport(**limits: float) -> AsyncIterator[Scene]:
    scene = Scene(replace(Limits(), **limits))
    tasks = asyncio.all_tasks()
    yield scene
    await scene.flights.close()
    await settle()
    assert asyncio.all_tasks() <= tasks, "a task was left behind"


def told(scene: Scene) -> list[str]:
    return [event.removesuffix(" told") for event in scene.events if event.endswith(" told")]


async def ended(*tasks: asyncio.Task[Boarding]) -> Sequence[Boarding | BaseException]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_all_who_wait_are_told_in_their_order_before_any_of_them_is_woken() -> None:
    async with airport() as scene:
        leader = scene.lead()
        followers = [scene.follow(str(number)) for number in range(3)]
        call = await scene.call()
        call.answer()
        call.send(b"one")
        await settle()
        call.end()
        await ended(leader, *[task for _, task in followers])
    assert scene.events == [
        "leader woken",
        *["0 told", "1 told", "2 told"],
        *["0 woken", "1 woken", "2 woken"],
    ]


async def test_what_is_told_is_drafted_once_for_all_of_a_kind() -> None:
    async with airport() as scene:
        leader = scene.lead()
        followers = [scene.follow(str(number), kind="ab"[number % 2]) for number in range(6)]
        call = await scene.call()
        call.answer()
        await settle()
        call.end()
        await ended(leader, *[task for _, task in followers])
        drafts = [greeting.told for greeting, _ in followers]
    assert [kind for kind, _, _ in scene.drafts] == ["a", "b"]
    assert {id(draft) for draft in drafts[::2]} == {id(drafts[0])}
    assert {id(draft) for draft in drafts[1::2]} == {id(drafts[1])}


async def test_who_was_told_some_hears_the_rest_and_who_was_not_hears_all() -> None:
    async with airport() as scene:
        leader = scene.lead()
        greeted, task = scene.follow("greeted")
        lost, other = scene.follow("lost", reached=False)
        call = await scene.call()
        call.send(b"one ", b"two ")
        call.answer()
        await settle()
        call.send(b"three")
        call.end()
        await ended(leader, task, other)
    assert greeted.told is not None
    assert greeted.told.after + b"".join(greeted.heard) == b"one two three"
    assert b"".join(lost.heard) == b"one two three"


async def test_a_document_is_told_once_it_is_whole_and_it_is_known_whether_it_was_stored() -> None:
    async with airport() as scene:
        scene.errand.asked = DOCUMENT
        leader = scene.lead()
        _, follower = scene.follow("follower")
        call = await scene.call()
        call.answer()
        call.send(b"{}")
        await settle()
        assert not told(scene)
        assert not follower.done()
        call.end()
        await ended(leader, follower)
    ((_, landed, _),) = scene.drafts
    assert landed is not None
    assert (landed.body, landed.stored) == (b"{}", True)
    assert scene.events[0] == "leader woken"


async def test_a_document_that_takes_long_is_told_as_far_as_it_has_come() -> None:
    async with airport() as scene:
        scene.errand.asked = DOCUMENT
        leader = scene.lead()
        greeted, follower = scene.follow("follower", settle_s=0.001)
        call = await scene.call()
        call.answer()
        call.send(b"{")
        async with asyncio.timeout(10):
            while greeted.told is None:  # noqa: ASYNC110 - a timer of the loop's
                await asyncio.sleep(0)
        call.send(b"}")
        call.end()
        await ended(leader, follower)
    assert scene.drafts == [("alike", None, b"{")]
    assert greeted.heard == [b"}"]


async def test_who_cannot_be_told_what_comes_is_woken_and_does_not_wait_for_the_whole() -> None:
    async with airport() as scene:
        scene.errand.asked = DOCUMENT
        leader = scene.lead()
        _, suited = scene.follow("suited")
        _, other = scene.follow("other", kind="other", suited=False)
        guest = started(scene.passage(scene.board(), "guest", None))
        call = await scene.call()
        call.answer()
        await settle()
        assert scene.events == ["leader woken", "other woken", "guest woken"]
        call.end()
        await ended(leader, suited, other, guest)
    assert told(scene) == ["suited"]


async def test_who_has_no_draft_is_woken_and_hears_by_himself() -> None:
    async with airport() as scene:
        leader = scene.lead()
        greeted, follower = scene.follow("follower", drafts=False)
        call = await scene.call()
        call.answer()
        call.send(b"all")
        call.end()
        await ended(leader, follower)
    assert not told(scene)
    assert greeted.heard == [b"all"]


@pytest.mark.parametrize("bug", ["suits", "draft"])
async def test_a_bug_is_reported_and_everybody_is_woken(bug: str) -> None:
    async with airport() as scene:
        leader = scene.lead()
        followers = [scene.follow(str(number), bug=bug) for number in range(2)]
        call = await scene.call()
        call.answer()
        call.send(b"all")
        call.end()
        await ended(leader, *[task for _, task in followers])
    assert [type(each) for each in scene.bugs] == [ZeroDivisionError]
    assert [greeted.heard for greeted, _ in followers] == [[b"all"]] * 2


async def test_a_large_crowd_is_told_in_several_turns_each_of_what_is_there_by_then() -> None:
    async with airport() as scene:
        leader = scene.lead()
        followers = [scene.follow(str(number)) for number in range(700)]
        call = await scene.call()
        call.answer()
        call.send(b"one")
        await settle()
        call.end()
        await ended(leader, *[task for _, task in followers])
    assert told(scene) == [str(number) for number in range(700)]
    last_told = len(scene.events) - 1 - scene.events[::-1].index("699 told")
    assert scene.events[last_told + 1] == "0 woken"
    assert len(scene.drafts) == 3
    for greeted, _ in followers:
        assert greeted.told is not None
        assert greeted.told.after + b"".join(greeted.heard) == b"one"


async def test_who_hangs_up_is_told_nothing_and_ends_nothing_for_the_others() -> None:
    async with airport() as scene:
        leader = scene.lead()
        _, leaver = scene.follow("leaver")
        _, follower = scene.follow("follower")
        call = await scene.call()
        leaver.cancel()
        await settle()
        call.answer()
        call.end()
        await ended(leader, follower)
        assert leaver.cancelled()
    assert told(scene) == ["follower"]


async def test_who_hangs_up_as_the_answer_comes_is_not_told_though_nobody_was_woken_yet() -> None:
    async with airport() as scene:
        leader = scene.lead()
        _, leaver = scene.follow("leaver")
        _, follower = scene.follow("follower")
        call = await scene.call()
        call.answer()
        while "leader woken" not in scene.events:  # in the turn before that of the gate, or in it
            await asyncio.sleep(0)
            leaver.cancel()
        call.end()
        await ended(leader, follower)
        assert leaver.cancelled()
    assert told(scene) == ["follower"]


async def test_after_the_last_has_gone_a_newcomer_waits_at_a_gate_of_his_own() -> None:
    async with airport() as scene:
        leader = scene.lead()
        _, leaver = scene.follow("leaver")
        await settle()
        leaver.cancel()
        await settle()
        _, follower = scene.follow("follower")
        call = await scene.call()
        call.answer()
        call.end()
        await ended(leader, follower)
    assert told(scene) == ["follower"]


async def test_each_waits_for_his_own_time_whatever_it_is_for_others() -> None:
    async with airport(wait_timeout=60.0) as scene:
        leader = scene.lead()
        _, patient = scene.follow("patient")
        await settle()
        scene.flights.adopt(replace(Limits(), wait_timeout=0.001), 0)
        _, hasty = scene.follow("hasty")
        assert await ended(hasty) == [Released(Why.WAIT_TIMEOUT)]
        scene.flights.adopt(replace(Limits(), wait_timeout=0.0), 0)
        _, hastier = scene.follow("hastier")
        assert await ended(hastier) == [Released(Why.WAIT_TIMEOUT)]
        assert not patient.done()
        call = await scene.call()
        call.answer()
        call.end()
        await ended(leader, patient)
        assert scene.flights.counts.wait_timeouts == 2
    assert told(scene) == ["patient"]


async def test_a_failure_before_the_head_is_told_to_nobody_here_but_heard_by_all() -> None:
    async with airport() as scene:
        leader = scene.lead()
        followers = [scene.follow(str(number))[1] for number in range(200)]
        call = await scene.call()
        call.fail(FirstByteTimeout("late"))
        results = await ended(leader, *followers)
    assert {type(result) for result in results} == {FirstByteTimeout}
    assert not scene.drafts


async def test_a_document_that_breaks_off_while_it_is_waited_for_is_told_to_nobody() -> None:
    async with airport() as scene:
        scene.errand.asked = DOCUMENT
        leader = scene.lead()
        _, follower = scene.follow("follower")
        call = await scene.call()
        call.answer()
        call.send(b"{")
        await settle()
        call.fail(BrokenReply("cut"))
        results = await ended(leader, follower)
    assert isinstance(results[1], BrokenReply)
    assert not scene.drafts


async def test_a_document_too_long_to_be_kept_is_told_as_far_as_it_has_come() -> None:
    async with airport(flight_bytes=4, window_bytes=2**20) as scene:
        scene.errand.asked = DOCUMENT
        leader = scene.lead()
        greeted, follower = scene.follow("follower")
        call = await scene.call()
        call.answer()
        call.send(b"longer")
        await settle()
        assert told(scene) == ["follower"]
        call.end()
        await ended(leader, follower)
    assert scene.drafts == [("alike", None, b"longer")]
    assert greeted.heard == []


async def test_nobody_is_dropped_for_slow_before_he_could_go_on() -> None:
    """Of a body that is too long to be kept, and is here before all were woken."""
    async with airport(flight_bytes=4, window_bytes=4) as scene:
        quick = scene.board()
        followers = [scene.follow(str(number)) for number in range(600)]
        call = await scene.call()

        async def read() -> bytes:
            await quick.boarded()
            return b"".join([piece async for piece in quick.pieces()])

        reading = started(read())
        call.answer()
        call.send(b"longer", b" than", b" that")
        call.end()
        assert await reading == b"longer than that"
        await ended(*[task for _, task in followers])
        quick.leave()
        assert len(told(scene)) == 600
        for greeted, _ in followers:
            assert greeted.told is not None
            assert greeted.told.after + b"".join(greeted.heard) == b"longer than that"
        assert scene.flights.counts.laggards == 0


@pytest.mark.parametrize("verdict", [GiveUp(Why.SET_COOKIE), Share(storable=True)])
async def test_who_is_released_and_whose_answer_was_found_is_told_nothing(
    verdict: GiveUp | Share,
) -> None:
    async with airport() as scene:
        scene.errand.verdict = verdict
        if isinstance(verdict, Share):
            scene.errand.found = entry()
        leader = scene.lead()
        _, follower = scene.follow("follower")
        await settle()
        if isinstance(verdict, GiveUp):
            scene.crank.calls[0].answer(Head(200, "OK", Headers()))
        (came,) = await ended(follower)
        assert isinstance(came, Released | Found)
        leader.cancel()
        await ended(leader)
    assert not scene.drafts

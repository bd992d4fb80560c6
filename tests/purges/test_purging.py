"""Purging: here at once, elsewhere as the receipt says, and never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from support.cranked import Clock, entry, settle

from proxy.ledger import SHARED, Ledger
from proxy.model.entry import Entry
from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.base import Absent, Learn, Note
from proxy.purges.purging import Purging, Receipt

TAG = Purge(Kind.TAG, "doc:1")


class Paper:
    """A journal that fails when told to."""

    name = "paper"

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.learn: Learn = lambda _note: None
        self.failing = self.closed = False
        self.waits = 0  # how often the others were waited for
        self.missing: Sequence[Absent] | None = ()
        self.appended = asyncio.Event()
        self.dry = asyncio.Event()  # while it is not set, what is written is not known to be
        self.dry.set()

    async def start(self, learn: Learn) -> None:
        self.learn = learn

    async def close(self) -> None:
        self.closed = True

    async def append(self, purge: Purge) -> int:
        if self.failing:
            raise TierError("no pen")
        self.write(purge)
        await self.dry.wait()
        self.appended.set()
        return self.notes[-1].number

    def write(self, purge: Purge, wall: float = 5000.0) -> None:
        """As somebody else would."""
        self.notes.append(Note(100 + len(self.notes), purge, wall))
        self.learn(self.notes[-1])

    async def absent(self, number: int) -> Sequence[Absent]:
        assert number == self.notes[-1].number
        self.waits += 1
        if self.missing is None:
            raise TierError("no answer")
        return self.missing


class Office:
    """Purging, its ledger, and what it had swept and freed."""

    def __init__(self, *, alone: bool = False) -> None:
        self.clock, self.paper, self.ledger = Clock(), Paper(), Ledger()
        self.sweeps: list[Callable[[Entry], bool]] = []
        self.freed = 0
        self.purging = Purging(
            self.ledger,
            None if alone else self.paper,
            sweep=self._sweep,
            free=self._free,
            clock=self.clock,
            wall=lambda: 5000.0,
        )

    async def _sweep(self, gone: Callable[[Entry], bool]) -> None:
        self.sweeps.append(gone)

    async def _free(self) -> None:
        self.freed += 1


@asynccontextmanager
async def office(*, alone: bool = False) -> AsyncIterator[Office]:
    made = Office(alone=alone)
    await made.purging.start()
    yield made
    await made.purging.close()
    assert made.paper.closed or alone


async def test_a_purge_is_written_down_and_holds_here_when_it_returns() -> None:
    async with office() as o:
        assert await o.purging.purge(TAG) == Receipt(100 * SHARED)
        assert o.ledger.generation == 100 * SHARED
        assert [note.purge for note in o.paper.notes] == [TAG]


async def test_who_has_not_obeyed_is_named() -> None:
    async with office() as o:
        o.paper.missing = [Absent("pod-2:8080", 1.5)]
        receipt = await o.purging.purge(TAG)
        assert receipt.absent == [Absent("pod-2:8080", 1.5)]
        assert not receipt.complete


async def test_many_purges_at_once_are_waited_for_once() -> None:
    async with office() as o:
        purges = [Purge(Kind.TAG, str(number)) for number in range(3)]
        assert await o.purging.purge(*purges) == Receipt(102 * SHARED)
        assert [note.purge for note in o.paper.notes] == purges
        assert o.paper.waits == 1


async def test_that_nobody_can_say_who_obeyed_is_said() -> None:
    async with office() as o:
        o.paper.missing = None
        receipt = await o.purging.purge(TAG)
        assert receipt.trouble == "paper cannot say whether the others obey: no answer"
        assert not receipt.complete


async def test_what_others_purge_holds_here_too() -> None:
    async with office() as o:
        o.paper.write(Purge(Kind.MODEL, "m"))
        assert o.ledger.admit(entry()) is None


async def test_what_others_purged_softly_a_while_ago_is_stale_since_then() -> None:
    async with office() as o:
        o.paper.write(Purge(Kind.MODEL, "m", soft=True), wall=4990.0)
        stale = o.ledger.admit(entry(stored_at=o.clock() - 50.0))
        assert stale is not None
        assert stale.ttl_left(o.clock()) == -10.0


async def test_a_clock_that_is_ahead_makes_nothing_stale_in_the_future() -> None:
    async with office() as o:
        o.paper.write(Purge(Kind.MODEL, "m", soft=True), wall=9000.0)
        stale = o.ledger.admit(entry())
        assert stale is not None
        assert stale.ttl_left(o.clock()) == 0.0


async def test_what_the_journal_cannot_be_told_holds_here_and_is_told_later() -> None:
    async with office() as o:
        o.paper.write(Purge(Kind.ALL))
        o.paper.failing = True
        receipt = await o.purging.purge(Purge(Kind.MODEL, "m"))
        assert receipt.trouble == "paper was not told yet: no pen"
        assert not receipt.complete
        assert o.ledger.generation == 100 * SHARED + 1
        assert o.ledger.covers(entry())
        assert o.purging.untold == 1
        o.paper.failing = False
        await o.paper.appended.wait()
        await settle()
        assert [note.purge.kind for note in o.paper.notes] == [Kind.ALL, Kind.MODEL]
        assert o.purging.untold == 0
        assert o.ledger.generation == 101 * SHARED


async def test_what_cannot_be_told_of_many_holds_here_all_the_same() -> None:
    async with office() as o:
        o.paper.failing = True
        receipt = await o.purging.purge(TAG, Purge(Kind.MODEL, "m"))
        assert receipt == Receipt(2, (), "paper was not told yet: no pen")
        assert o.purging.untold == 2
        assert o.ledger.covers(entry())


async def test_what_is_purged_once_more_while_the_journal_is_told_is_told_once_more() -> None:
    async with office() as o:
        o.paper.failing = True
        await o.purging.purge(TAG)
        o.paper.failing = False
        o.paper.dry.clear()
        async with asyncio.timeout(20):
            while not o.paper.notes:  # noqa: ASYNC110 - it is told on this very loop
                await asyncio.sleep(0)
        o.paper.failing = True
        await o.purging.purge(TAG)
        o.paper.dry.set()
        await settle()
        assert o.purging.untold == 1


async def test_the_same_purge_is_told_later_once() -> None:
    async with office() as o:
        o.paper.failing = True
        await o.purging.purge(TAG)
        await o.purging.purge(TAG)
        assert o.purging.untold == 1


async def test_more_than_can_be_remembered_becomes_a_purge_of_everything() -> None:
    async with office() as o:
        o.paper.failing = True
        for number in range(10_001):
            await o.purging.purge(Purge(Kind.TAG, str(number)))
        assert o.purging.untold == 1
        o.paper.failing = False
        await o.paper.appended.wait()
        assert [note.purge for note in o.paper.notes] == [Purge(Kind.ALL)]


async def test_memory_is_swept_of_what_a_hard_purge_covers() -> None:
    async with office() as o:
        await o.purging.purge(Purge(Kind.MODEL, "other", soft=True))
        await settle()
        assert o.sweeps == []
        await o.purging.purge(Purge(Kind.MODEL, "m"))
        await settle()
        (gone,) = o.sweeps
        assert gone(entry())
        assert o.freed == 0


async def test_a_purge_of_everything_frees_what_the_tiers_hold() -> None:
    async with office() as o:
        await o.purging.purge(Purge(Kind.ALL, soft=True))
        assert o.freed == 0
        await o.purging.purge(Purge(Kind.ALL))
        assert o.freed == 1


async def test_alone_a_purge_needs_no_journal() -> None:
    async with office(alone=True) as o:
        assert (await o.purging.purge(Purge(Kind.MODEL, "m"))).complete
        assert o.ledger.admit(entry()) is None
        o.ledger.enter(TAG, o.ledger.generation + SHARED, 0.0)

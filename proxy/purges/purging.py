"""Purging: what an operator asks for is entered, written down for all, and waited for.

A purge holds where the journal has been read; ``purge`` returns when all replicas have, or says
which have not. If the journal cannot be reached, it holds here at once, and the journal is told
when it is back.

Nothing has to be deleted for a purge to hold (see ``proxy.ledger``). What it made useless is taken
out of memory all the same, and after a purge of everything out of the other tiers too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.ledger import SHARED, Ledger
from proxy.model.entry import Entry
from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.base import Absent, Journal, Note

_MOST_UNTOLD: Final = 10_000  # purges that wait for the journal; beyond, it is told of everything
_TRY_AGAIN_S: Final = 0.5
_SKEW_S: Final = 5.0  # by which the clocks of two hosts may differ, as in ``tiers/codec.py``
_SWEEPS_REST_S: Final = 1.0  # between two; many purges in a row are one sweep's work


class Receipt(NamedTuple):
    """What became of a purge."""

    number: int  # what is stored under a smaller one is covered
    absent: Sequence[Absent] = ()  # replicas that have not said that they obey
    trouble: str = ""  # why others do not know of it yet, or whether they do is not known

    @property
    def complete(self) -> bool:
        """Whether nobody who is alive will serve any more what it covers."""
        return not self.absent and not self.trouble


class Purging:
    """The purges of this replica and of those it shares a journal with.

    ``start`` it before the first request, and ``close`` it in the end.

    Args:
        ledger: where purges take effect.
        journal: where others learn of them; None: there are no others.
        sweep: take out of memory what a test says is gone.
        free: free what the tiers hold after a purge of everything.
        clock: seconds on the clock of ``Entry.stored_at``.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal | None,
        *,
        sweep: Callable[[Callable[[Entry], bool]], Awaitable[None]],
        free: Callable[[], Awaitable[object]],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._sweep = sweep
        self._free = free
        self._clock = clock
        self._wall = wall
        self._untold: dict[Purge, None] = {}  # in the order they came
        self._some_untold = asyncio.Event()
        self._useless = asyncio.Event()  # something was purged that memory may hold
        self._tasks: list[asyncio.Task[None]] = []
        self.kinds: dict[Kind, int] = {}  # purges that took effect, one's own among them
        self._latest = self._cleared = -math.inf  # when last: anything; everything, or forgotten

    async def start(self) -> None:
        """Learn what was purged, and go on learning. Raises nothing."""
        # Ended by close(): both run as long as the proxy does.
        self._tasks.append(asyncio.create_task(self._keep_clean()))  # noqa: TID251 - as said above
        if self._journal is not None:
            await self._journal.start(self._learn)
            self._tasks.append(asyncio.create_task(self._keep_telling()))  # noqa: TID251 - as above

    async def close(self) -> None:
        """Stop, and be no replica any more. Raises nothing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._journal is not None:
            await self._journal.close()

    def admit(self, entry: Entry) -> Entry | None:
        """``entry`` as the purges since have left it; None if one covers it."""
        return self._ledger.admit(entry)

    def adopt(self, entry: Entry) -> Entry | None:
        """``entry``, which comes from where other numbers count, under one of ours.

        None if any purge that is known here may cover it. By time, as far as clocks agree, an entry
        is safe that was asked for after the last of them. Of others only those are that no purge
        names: how old these are is not remembered for each.
        """
        asked_at = entry.stored_at - entry.upstream_s - _SKEW_S
        if asked_at <= self._latest and (asked_at <= self._cleared or self._ledger.names(entry)):
            return None
        return replace(entry, generation=self._ledger.generation)

    @property
    def learned(self) -> int:
        """Purges that took effect, one's own among them."""
        return sum(self.kinds.values())

    @property
    def untold(self) -> int:
        """How many purges the journal has not been told of."""
        return len(self._untold)

    async def purge(self, *purges: Purge) -> Receipt:
        """Let ``purges`` take effect, here before this returns and elsewhere as the receipt says.

        The others are waited for once, however many purges there are: at least one.

        Raises:
            TierError: too many purges wait for the journal.
        """
        if self._journal is None:
            number = max(self._enter_alone(each, SHARED) for each in purges)
            receipt = Receipt(number)
        else:
            receipt = await self._tell(self._journal, purges)
        if Purge(Kind.ALL) in purges:
            await self._free()
        return receipt

    async def _tell(self, journal: Journal, purges: Sequence[Purge]) -> Receipt:
        number = 0
        for told, purge in enumerate(purges):
            try:
                number = await journal.append(purge)
            except TierError as error:
                # The rest is put off without trying: each might fail as slowly as this one.
                for each in purges[told:]:
                    number = self._enter_alone(each, 1)
                    self._put_off(each)
                return Receipt(number, (), f"{journal.name} was not told yet: {error}")
        try:
            return Receipt(number * SHARED, await journal.absent(number))
        except TierError as error:
            trouble = f"{journal.name} cannot say whether the others obey: {error}"
            return Receipt(number * SHARED, (), trouble)

    def _enter_alone(self, purge: Purge, step: int) -> int:
        """Let ``purge`` take effect here, under a number of one's own."""
        number = self._ledger.generation + step
        if step < SHARED and number % SHARED == 0:
            raise TierError("too many purges that the journal does not know of")
        self._enter(purge, number, self._clock())
        return number

    def _learn(self, note: Note) -> None:
        """The journal has a new note; it is entered after whatever was entered here before."""
        number = max(note.number * SHARED, self._ledger.generation + 1)
        # What a journal begins with is no purge that anybody has asked for.
        begins = not self.learned and note.purge == Purge(Kind.ALL)
        since = self._clock() - max(0.0, self._wall() - note.wall)
        self._enter(note.purge, number, since, begins=begins)

    def _enter(self, purge: Purge, number: int, since: float, *, begins: bool = False) -> None:
        floor = self._ledger.floor
        self._ledger.enter(purge, number, since)
        self.kinds[purge.kind] = self.kinds.get(purge.kind, 0) + 1
        if not begins:
            self._latest = max(self._latest, since)
            if self._ledger.floor > floor:  # all is purged, or so many are that some are forgotten
                self._cleared = max(self._cleared, since)
        if not purge.soft:
            self._useless.set()

    def _put_off(self, purge: Purge) -> None:
        if len(self._untold) >= _MOST_UNTOLD:
            self._untold.clear()
            purge = Purge(Kind.ALL)
        self._untold[purge] = None
        self._some_untold.set()

    async def _keep_telling(self) -> None:
        """Tell the journal what it could not be told when it happened."""
        assert self._journal is not None  # noqa: S101 - start() made sure
        while True:
            await self._some_untold.wait()
            with suppress(TierError):  # whoever purged was told that the journal was not, yet
                while self._untold:
                    purge = next(iter(self._untold))
                    try:
                        del self._untold[purge]  # first: the same may be put off again meanwhile
                        await self._journal.append(purge)
                    except TierError:
                        self._untold[purge] = None
                        raise
                self._some_untold.clear()
            await asyncio.sleep(_TRY_AGAIN_S)

    async def _keep_clean(self) -> None:
        """Take what was purged out of memory."""
        while True:
            await self._useless.wait()
            self._useless.clear()
            await self._sweep(lambda entry: self._ledger.admit(entry) is None)
            await asyncio.sleep(_SWEEPS_REST_S)

"""The batcher: who asks when, with whom; see the rules in ``proxy.batching``."""

from __future__ import annotations

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from proxy.batching.call import Call, Unit, Waiting
from proxy.batching.likeness import Likeness, Likenesses, NamespaceOf, is_signed
from proxy.batching.words import Asker, Counts, Held, Limits
from proxy.dialects.base import Divisible
from proxy.model.message import Arrival

_MOST_SHUNNED: Final = 1024

# Rounds of the loop that a request takes from its socket to here. So many are waited for before
# anything is sent, so that what came at the same time goes along; they take microseconds.
_ROUNDS: Final = 4

# Callers who ask at the same moment come over some tenths of a second, as they open connections.
_PATIENCE: Final = 10  # times the wait, for as long as one comes after the other


class _Gathering:
    """Those of one likeness who wait, and how many of their calls are under way."""

    __slots__ = ("due", "expected", "latest", "size", "timer", "under_way", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.expected: dict[int, int] = {}  # of requests that are not all here: how many are not
        self.size = 0  # bytes
        self.under_way = 0
        self.timer: asyncio.TimerHandle | None = None
        self.latest = 0.0  # when they leave even if others still come, on the loop's clock
        self.due: asyncio.Handle | None = None

    def add(self, waiting: Waiting) -> None:
        self.waiting.append(waiting)
        self.size += waiting.size
        missing = self.expected.pop(waiting.request, waiting.company) - 1
        if missing > 0:
            self.expected[waiting.request] = missing

    def remove(self, waiting: Waiting) -> bool:
        """Whether it was there."""
        if waiting not in self.waiting:
            return False
        self.waiting.remove(waiting)
        self.size -= waiting.size
        return True

    def take(self) -> list[Waiting]:
        """All who wait; nobody does any longer."""
        self.stop()
        waiting, self.waiting, self.size = self.waiting, [], 0
        self.expected.clear()
        return waiting

    def stop(self) -> None:
        """Have nobody look at it by and by."""
        for handle in (self.timer, self.due):
            if handle is not None:
                handle.cancel()
        self.timer = self.due = None


_Where = tuple[Likeness, int]


class Batcher:
    """Asks for inputs, several at a time.

    Args:
        namespace_of: as of ``KeyRules``.
        limits: see ``Limits``.
        clock: seconds, monotonic.
        report: told of an exception that no rule foresees; a bug.
        counts: what is counted on; those of an earlier batcher go on.
    """

    def __init__(
        self,
        namespace_of: NamespaceOf,
        limits: Limits,
        *,
        clock: Callable[[], float],
        report: Callable[[BaseException], None],
        counts: Counts | None = None,
    ) -> None:
        self.limits = limits
        self.counts = counts or Counts()
        self._likenesses = Likenesses(namespace_of)
        self._held = Held()
        self._clock = clock
        self._report = report
        self._gatherings: dict[_Where, _Gathering] = {}
        self._shunned: OrderedDict[Likeness, float] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, asker: Asker, dialect: Divisible) -> Arrival:
        """The answer to ``asker`` alone, whoever else is asked for with it.

        Raises:
            UpstreamError: as ``Upstream.send``; of a batch, all of it is told so.
        """
        self.counts.inputs += 1
        company = asker.company
        if company is None and (not self.limits.gathers or is_signed(asker.request.headers)):
            return await self._ask_alone(asker)
        likeness = self._likenesses.of(asker, dialect)
        if company is None and self._is_shunned(likeness):
            return await self._ask_alone(asker)
        apart = 0 if self.limits.gathers or company is None else id(company)
        where = (likeness, apart)
        gathering = self._gatherings.get(where)
        if gathering is None:
            gathering = self._gatherings[where] = _Gathering()
        waiting = Waiting(asker)
        gathering.add(waiting)
        self._look(where, gathering, dialect, newcomer=True)
        try:
            arrival = await waiting.answer
            return await self._ask_alone(asker) if arrival is None else arrival
        except asyncio.CancelledError:
            if gathering.remove(waiting):
                self._tidy(where, gathering)
            elif waiting.call is not None:
                waiting.call.left()
            raise
        finally:
            if waiting.alone:
                self._landed(where, gathering, dialect)

    def shuns(self, asker: Asker, dialect: Divisible) -> bool:
        """Whether what is asked so cannot be asked for input by input."""
        if is_signed(asker.request.headers):
            return True
        return bool(self._shunned) and self._is_shunned(self._likenesses.of(asker, dialect))

    async def close(self) -> None:
        """Call off what is under way, and end what waits."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        for gathering in self._gatherings.values():
            for waiting in gathering.take():
                waiting.answer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- gathering --------------------------------------------------------------------------------

    def _look(
        self, where: _Where, gathering: _Gathering, dialect: Divisible, *, newcomer: bool = False
    ) -> None:
        """Send those who wait if it is time, or see to it that this is looked at again."""
        first = gathering.waiting[0].asker
        most = self.limits.most(first.query.model)
        expected = bool(gathering.expected)
        full = len(gathering.waiting) >= most or gathering.size >= self.limits.most_bytes
        if full and not expected:
            self._depart(where, gathering, dialect)
        elif not gathering.under_way and not expected and gathering.timer is None:
            if gathering.due is None:
                self._soon(_ROUNDS, where, gathering, dialect)
        elif newcomer or gathering.timer is None:
            self._linger(where, gathering, dialect)

    def _linger(self, where: _Where, gathering: _Gathering, dialect: Divisible) -> None:
        """Have those who wait leave once nobody has come for a while; in any case, soon."""
        loop, wait_s = asyncio.get_running_loop(), self.limits.wait_s
        now = loop.time()
        if gathering.timer is None:
            gathering.latest = now + _PATIENCE * wait_s
        else:
            gathering.timer.cancel()
        when = min(now + wait_s, gathering.latest)
        gathering.timer = loop.call_at(when, self._soon, _ROUNDS, where, gathering, dialect)

    def _soon(self, rounds: int, where: _Where, gathering: _Gathering, dialect: Divisible) -> None:
        """Send all who wait, after so many rounds of the loop."""
        soon = asyncio.get_running_loop().call_soon
        if rounds:
            gathering.due = soon(self._soon, rounds - 1, where, gathering, dialect)
        else:
            self._depart(where, gathering, dialect)

    def _depart(self, where: _Where, gathering: _Gathering, dialect: Divisible) -> None:
        """Send all who wait."""
        for units in self._packed(gathering.take()):
            gathering.under_way += 1
            if len(units) == 1 and len(units[0]) == 1:
                alone = units[0][0]
                alone.alone = True
                alone.hear(None)
            else:
                self._send(where, gathering, dialect, units)
        self._tidy(where, gathering)

    def _packed(self, waiting: Sequence[Waiting]) -> list[list[Unit]]:
        """Who goes with whom: requests whole and in order, as many as go into one call."""
        units: dict[int, Unit] = {}
        for each in waiting:
            units.setdefault(each.request, []).append(each)
        calls: list[list[Unit]] = []
        count = size = 0
        for unit in units.values():
            most = self.limits.most(unit[0].asker.query.model)
            more = sum(each.size for each in unit)
            if not calls or count + len(unit) > most or size + more > self.limits.most_bytes:
                calls.append([])
                count = size = 0
            calls[-1].append(unit)
            count += len(unit)
            size += more
        return calls

    def _send(
        self,
        where: _Where,
        gathering: _Gathering,
        dialect: Divisible,
        units: list[Unit],
    ) -> None:
        call = Call(units, dialect, self.limits, self._held, lambda: self._shun(where[0]))
        # A context of its own: what belongs to one request must not stick to the call for many.
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._fly(call), context=contextvars.Context())
        call.task = task
        self._tasks.add(task)

        def over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self.counts.calls += call.asked
            self.counts.halved += call.halved
            call.end()
            self._landed(where, gathering, dialect)

        # Not a finally in the task: one that is cancelled before its first step runs none of it.
        task.add_done_callback(over)

    async def _fly(self, call: Call) -> None:
        try:
            await call.settle()
        except Exception as bug:  # noqa: BLE001 - a task's root: everybody who waits must be told
            self._report(bug)

    def _landed(self, where: _Where, gathering: _Gathering, dialect: Divisible) -> None:
        """One call fewer is under way: who waits by himself need not wait for it."""
        gathering.under_way -= 1
        if gathering.waiting:
            self._look(where, gathering, dialect)
        self._tidy(where, gathering)

    def _tidy(self, where: _Where, gathering: _Gathering) -> None:
        if not gathering.waiting:
            gathering.stop()
            if not gathering.under_way and self._gatherings.get(where) is gathering:
                del self._gatherings[where]

    async def _ask_alone(self, asker: Asker) -> Arrival:
        self.counts.calls += 1
        return await asker.upstream.send(asker.outbound())

    # -- what cannot be put together --------------------------------------------------------------

    def _shun(self, likeness: Likeness) -> None:
        self.counts.odd += 1
        self._shunned[likeness] = self._clock() + self.limits.shun_s
        self._shunned.move_to_end(likeness)
        if len(self._shunned) > _MOST_SHUNNED:
            self._shunned.popitem(last=False)

    def _is_shunned(self, likeness: Likeness) -> bool:
        until = self._shunned.get(likeness)
        if until is None:
            return False
        if self._clock() >= until:
            del self._shunned[likeness]
            return False
        return True

"""The roll call: what each worker has counted, asked once a second, and what those had who left.

Whoever leaves in order writes its last word into the folder of the running proxy, so nothing that
it counted is lost. Of one that was killed its latest snapshot stands, which is a second old at
most. What is left of all that are gone is kept in a file in the same folder, as the process that
adds it up may itself be replaced or killed.

Who does not answer in time is not waited for again until it does; its last snapshot stands.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from proxy.admin.colleagues import Silent
from proxy.app.seat import last_words
from proxy.lane import Lane, within
from proxy.model.errors import TierError
from proxy.observe.history import KeptSeries
from proxy.observe.merging import remains, summed
from proxy.observe.snapshot import MOST_BYTES, Reader, Snapshot, Unreadable, written
from proxy.workers.lifeline import Message

log = logging.getLogger("sidecache.desk")

_FILE: Final = "counted.json"
_WAIT_S: Final = 0.5  # for all answers of a look
_GIVE_UP_S: Final = 5.0  # of one
_DISK_S: Final = 2.0
_SAVE_S: Final = 5.0  # at most so often, unless a worker has left
_REMEMBERED: Final = 1000  # workers that are gone, so that none is added twice
_FORGET_S: Final = 60.0  # after which nobody else may want to read a last word

Ask = Callable[[Path, float], Awaitable[bytes]]
"""The snapshot of who listens at a socket, within so many seconds. Raises Silent."""


class Incarnation(NamedTuple):
    """One process that was a worker."""

    slot: int
    pid: int


@dataclass(slots=True)
class Present:
    """A worker that lives.

    Attributes:
        ready: it serves, or has served and is leaving.
        latest: what it said last; None: nothing so far.
        silent: it did not answer in time when it was last asked.
        busy_s: the processor's time it took between its last two answers.
    """

    incarnation: Incarnation
    ready: bool = False
    leaving: bool = False
    latest: Snapshot | None = None
    silent: bool = False
    busy_s: float = 0.0
    asking: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What one desk leaves to the next."""

    gone: Snapshot
    added: Sequence[Incarnation]  # to it, latest last
    living: Sequence[Snapshot]
    history: Sequence[KeptSeries]
    models: Sequence[str]  # that are kept apart, in order
    edition: int
    applied: int  # reloads
    refusals: int  # of them
    cpu_s: float  # of all desks so far
    started_at: float  # seconds since the epoch


@dataclass(slots=True)
class Extras:
    """What is kept besides, as those who know it tell when it is to be kept."""

    history: Callable[[], Sequence[KeptSeries]] = tuple
    models: Callable[[], Sequence[str]] = tuple
    reloads: Callable[[], tuple[int, int, int]] = lambda: (1, 0, 0)
    """The edition, and how many reloads were applied, and refused."""


class RollCall:
    """Knows who lives, and what all have counted.

    Args:
        directory: of the running proxy.
        ask: a worker for its snapshot.
        socket: where the worker in a slot listens.
        nothing: the snapshot of one that has counted nothing.
        wall: seconds since the epoch.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        directory: Path,
        ask: Callable[[Path, float], Awaitable[bytes]],
        *,
        socket: Callable[[int], Path],
        nothing: Snapshot,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._ask = ask
        self._socket = socket
        self._wall = wall
        self._clock = clock
        self._reader = Reader(Snapshot)
        self._roster: Mapping[Incarnation, tuple[bool, bool]] = {}
        self._present: dict[Incarnation, Present] = {}
        self._added: dict[Incarnation, None] = {}
        self._lane = Lane("desk")
        self._looking: asyncio.Task[None] | None = None
        self._began_at = self._saved_at = -math.inf
        self._saving: asyncio.Future[None] | None = None
        self._unsaved = False
        self.gone = nothing
        self.started_at = wall()
        # Of this process and those before it, as it was kept last: what is told must not be less
        # once another has taken over.
        self.cpu_s = self._cpu_before_s = 0.0
        self.extras = Extras()
        self.told: Callable[[], None] = lambda: None  # called after each look

    async def take_over(self) -> Kept | None:
        """Go on where another process left it, if there was one. Raises nothing."""
        try:
            kept = await within(_DISK_S, self._lane.submit(self._load))
        except TierError as error:
            log.warning("what was counted before cannot be read", exc_info=error)
            return None
        if kept is None:
            return None
        self.gone = kept.gone
        self.started_at = kept.started_at
        self.cpu_s = self._cpu_before_s = kept.cpu_s
        self._added = dict.fromkeys(kept.added)
        for each in kept.living:
            incarnation = Incarnation(each.slot, each.pid)
            if incarnation not in self._added:
                known = self._present.setdefault(incarnation, Present(incarnation))
                known.latest = known.latest or each
        return kept

    @property
    def present(self) -> Sequence[Present]:
        """Those that live, by slot."""
        return [self._present[each] for each in sorted(self._present) if self._is_known(each)]

    @property
    def counted(self) -> Sequence[Snapshot]:
        """What those have counted that are not in ``gone``."""
        return [each.latest for each in self._present.values() if each.latest is not None]

    def hear(self, roster: Message) -> None:
        """The arbiter says who there is."""
        self._roster = _roster(roster)
        for incarnation, (ready, leaving) in self._roster.items():
            if incarnation in self._added:
                continue
            known = self._present.setdefault(incarnation, Present(incarnation))
            known.ready, known.leaving = ready, leaving

    async def fresh(self) -> None:
        """Have asked all who answer, and begun with it only now; many who want that share it."""
        since = self._clock()
        while self._began_at < since:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)

    async def now(self) -> None:
        """Know what all have counted, those who have just left among them. Raises nothing."""
        await self.fresh()
        if any(not self._is_known(each) for each in self._present):
            await self.part()
            await self._save_if_due()  # what was told must not be lost with this process

    async def round(self) -> None:
        """Ask all, add those who are gone to what is left of such, and keep it. Raises nothing."""
        await self.fresh()
        await self.part()
        await self._save_if_due()

    async def part(self) -> None:
        """Add those who are gone to what is left of such. Raises nothing."""
        try:
            words = await within(_DISK_S, self._lane.submit(self._last_words))
        except TierError as error:
            log.warning("last words of workers cannot be read", exc_info=error)
            words = {}
        # No waiting from here on: nobody sees somebody twice, or not at all.
        for incarnation in {*self._present, *words}:
            if not self._is_known(incarnation) and incarnation not in self._added:
                present = self._present.pop(incarnation, None)
                said = words.get(incarnation) or (None if present is None else present.latest)
                if present is not None and present.asking is not None:
                    present.asking.cancel()
                self._add(incarnation, said)
        self.told()

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [each.asking for each in self._present.values() if each.asking is not None]
        tasks += [self._looking] if self._looking is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lane.stop()

    # -- asking -------------------------------------------------------------------------------

    def _is_known(self, incarnation: Incarnation) -> bool:
        return incarnation in self._roster

    async def _look(self) -> None:
        began = self._clock()
        waited = []
        for each in self.present:
            if not each.ready:
                continue
            if each.asking is None or each.asking.done():
                each.asking = asyncio.create_task(self._ask_one(each))
            if not each.silent:
                waited.append(each)
        if waited:
            tasks = [each.asking for each in waited if each.asking is not None]
            await asyncio.wait(tasks, timeout=_WAIT_S)
            for each in waited:
                each.silent = each.silent or (each.asking is not None and not each.asking.done())
        self._began_at = began
        self.told()

    async def _ask_one(self, one: Present) -> None:
        """The root of a task."""
        try:
            data = await self._ask(self._socket(one.incarnation.slot), _GIVE_UP_S)
            said = self._reader.read(data)
        except Silent:
            one.silent = True
            return
        except Unreadable as error:
            one.silent = True
            log.error("a worker tells what cannot be read", extra={"why": str(error)})  # noqa: TRY400
            return
        if said.pid != one.incarnation.pid:  # another is in its place by now
            return
        before = one.latest
        one.busy_s = said.process.cpu_s - (0.0 if before is None else before.process.cpu_s)
        one.latest, one.silent = said, False

    def _add(self, incarnation: Incarnation, said: Snapshot | None) -> None:
        if said is not None:
            self.gone = summed([self.gone, remains(said)])
        self._added[incarnation] = None
        while len(self._added) > _REMEMBERED:
            del self._added[next(iter(self._added))]
        self._unsaved = True

    # -- on disk ------------------------------------------------------------------------------

    async def _save_if_due(self) -> None:
        now = self._clock()
        if not self._unsaved and now - self._saved_at < _SAVE_S:
            return
        if self._saving is not None and not self._saving.done():
            return  # the disk hangs
        cpu_s = self._cpu_before_s + time.process_time()
        kept = written(self._kept(cpu_s))
        self._saved_at, self._unsaved = now, False
        self._saving = self._lane.submit(lambda: self._write(kept))
        try:
            await within(_DISK_S, self._saving)
            self.cpu_s = cpu_s
        except (TierError, OSError) as error:
            self._unsaved = True
            log.warning("what was counted cannot be kept", exc_info=error)

    def _kept(self, cpu_s: float) -> Kept:
        extras = self.extras
        return Kept(
            self.gone, list(self._added), self.counted, extras.history(), extras.models(),
            *extras.reloads(), cpu_s, self.started_at,
        )  # fmt: skip

    def _write(self, kept: bytes) -> None:
        path = self._directory / _FILE
        unseen = path.with_name(f"{_FILE}.{os.getpid()}")
        unseen.write_bytes(kept)
        unseen.replace(path)

    def _load(self) -> Kept | None:
        path = self._directory / _FILE
        try:
            return Reader(Kept).read(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, Unreadable) as error:
            raise TierError(f"{_FILE}: {error}") from error

    def _last_words(self) -> Mapping[Incarnation, Snapshot]:
        """What those said who are gone, and were not added yet. In the lane."""
        words: dict[Incarnation, Snapshot] = {}
        for path, slot, pid in last_words(self._directory):
            incarnation = Incarnation(slot, pid)
            with suppress(OSError, Unreadable):
                if incarnation in self._added:
                    # Another desk may be about to take over, and want to read it, too.
                    if self._wall() - path.stat().st_mtime > _FORGET_S:
                        path.unlink()
                elif not self._is_known(incarnation) and path.stat().st_size <= MOST_BYTES:
                    words[incarnation] = self._reader.read(path.read_bytes())
        return words


def _roster(message: Message) -> dict[Incarnation, tuple[bool, bool]]:
    """Who there is: whether it is ready, and whether it is leaving."""
    found: dict[Incarnation, tuple[bool, bool]] = {}
    workers = message.get("workers")
    for each in workers if isinstance(workers, list) else []:
        slot, pid = each["slot"], each["pid"]
        found[Incarnation(slot, pid)] = (each["ready"] is True, each["leaving"] is True)
    return found

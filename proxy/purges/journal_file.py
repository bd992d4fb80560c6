"""The journal on disk: what the processes of a host that share a directory tell each other.

No disk work happens on the event loop, and none at the same time as other: one lane reads and
writes, and looks ten times a second whether others have written. A lane that hangs is given nothing
more until it has come back. Who is slow to let go of the lock is waited for on the loop, so that
the lane may go on reading.

What the lane has read is learned on the loop before who asked for it goes on, and only then said to
the other members.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from proxy.lane import Lane, heard, within
from proxy.model.errors import TierError
from proxy.model.purge import Purge
from proxy.purges.base import Absent, Learn, Note
from proxy.purges.journal_members import Members
from proxy.purges.journal_notes import Busy, NotesFile

T = TypeVar("T")

_AGAIN_S: Final = 0.005  # a purge takes a tenth of a millisecond to write
_ASK_S: Final = 0.05  # between two looks at how far the others are


class FileJournal:
    """The journal on disk. Whatever befalls the directory, it comes back by itself.

    Args:
        directory: for this alone; made if missing, for its owner only. On a local disk.
        replica: what this process is called.
        wall: seconds since 1970.
        report: told of each change: None once it is read as it grows, else why it is not, or why
            what was read cannot be said.
        most: notes to keep. Beyond that the older half is dropped, and with it, for processes that
            start later, all entries from before.
        look_s: between two looks at what others have written.
        timeout_s: how long ``append`` may take, each look of ``absent``, and ``close``.
        moment_s: how long ``start`` waits for what is written.
        patience_s: how long ``absent`` waits for the others.
    """

    name = "file"

    def __init__(
        self,
        directory: Path,
        *,
        replica: str,
        wall: Callable[[], float],
        report: Callable[[TierError | None], None],
        most: int = 10_000,
        look_s: float = 0.1,
        timeout_s: float = 5.0,
        moment_s: float = 1.0,
        patience_s: float = 2.0,
    ) -> None:
        self._notes = NotesFile(directory, wall, most)
        self._members = Members(directory / "members", replica, wall)
        self._report = report
        self._look_s = look_s
        self._timeout_s = timeout_s
        self._moment_s = moment_s
        self._patience_s = patience_s
        self._open = False
        self._failing: bool | None = None  # None: nobody knows yet
        self._late: asyncio.Future[Any] | None = None
        self._next_look: asyncio.TimerHandle | None = None

    @property
    def set_aside(self) -> int:
        """Files that made no sense, and were replaced by a new one."""
        return self._notes.set_aside

    async def start(self, learn: Learn) -> None:
        self._learn = learn
        self._loop = asyncio.get_running_loop()
        self._lane = Lane("journal")
        self._open = True
        try:
            await self._patiently(self._moment_s, self._read)
        except TierError as error:
            self._tell(error)
        else:
            self._tell(None)
        self._look_later()

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._next_look is not None:
            self._next_look.cancel()
        with suppress(TierError):  # a lane that hangs is left behind
            await within(self._timeout_s, self._lane.submit(partial(_guarded, self._leave)))
        self._lane.stop()

    async def append(self, purge: Purge) -> int:
        return await self._patiently(self._timeout_s, partial(self._notes.append, purge))

    async def absent(self, number: int) -> Sequence[Absent]:
        deadline = asyncio.get_running_loop().time() + self._patience_s
        while True:
            behind = await self._in_time(self._timeout_s, partial(self._behind, number))
            if not behind or self._loop.time() >= deadline:
                return behind
            await asyncio.sleep(_ASK_S)

    # -- on the loop --------------------------------------------------------------------------

    async def _patiently(self, limit_s: float, work: Callable[[], T]) -> T:
        """What ``work`` comes to once nobody else is writing. Raises TierError."""
        deadline = asyncio.get_running_loop().time() + limit_s
        while True:
            try:
                return await self._in_time(limit_s, work)
            except Busy:
                if self._loop.time() >= deadline:
                    raise TierError("journal: another process keeps it locked") from None
            await asyncio.sleep(_AGAIN_S)

    async def _in_time(self, limit_s: float, work: Callable[[], T]) -> T:
        """What ``work`` comes to in the lane. Raises Busy, TierError."""
        if not self._open:
            raise TierError("journal: it is not open")
        if self._late is not None and not self._late.done():
            raise TierError("journal: the disk is still busy with something earlier")
        working = self._submit(work)
        try:
            return await within(limit_s, working)
        except TierError:
            if not working.done():
                self._late = working
            raise

    def _submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return self._lane.submit(partial(self._told, partial(_guarded, work)))

    def _look_later(self) -> None:
        if self._open:
            self._next_look = self._loop.call_later(self._look_s, self._look)

    def _look(self) -> None:
        self._submit(self._read).add_done_callback(self._on_looked)

    def _on_looked(self, looking: asyncio.Future[None]) -> None:
        """Look again in a while; a look that hangs is the last until it comes back."""
        error = looking.exception()
        if error is None or isinstance(error, TierError):
            self._tell(error)
        self._look_later()

    def _tell(self, error: TierError | None) -> None:
        if self._open and (error is not None) != self._failing:
            self._failing = error is not None
            self._report(error)

    def _on_news(self, line: str, notes: Sequence[Note]) -> None:
        if not self._open:
            return
        for note in notes:
            self._learn(note)
        said = self._lane.submit(partial(self._members.say, line, notes[-1].number))
        said.add_done_callback(heard)  # what fails is tried again with each look

    # -- in the lane --------------------------------------------------------------------------

    def _told(self, work: Callable[[], T]) -> T:
        """``work``; the loop hears what was read, even by what failed, before it hears of that."""
        try:
            return work()
        finally:
            notes = self._notes.take()
            if notes:
                with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                    self._loop.call_soon_threadsafe(self._on_news, self._notes.line, notes)

    def _read(self) -> None:
        self._notes.make_room()
        try:
            # First a member, then a reader: of what is written later somebody can tell that it is
            # not learned yet.
            self._members.stay()
        finally:
            self._notes.read()

    def _behind(self, number: int) -> Sequence[Absent]:
        return self._members.behind(self._notes.line, number)

    def _leave(self) -> None:
        try:
            self._members.leave()
        finally:
            self._notes.close()


def _guarded(work: Callable[[], T]) -> T:
    """``work``; what it raises in our own words."""
    try:
        return work()
    except Busy:
        raise
    except Exception as error:  # whatever it is: who asked is told, and asks again
        raise TierError(f"journal: {error}") from error

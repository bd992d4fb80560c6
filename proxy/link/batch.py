"""Commands that go over a line together, and who waits for each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final, Protocol

from proxy.link.command import Command
from proxy.link.health import Health
from proxy.link.line import ErrorReply, Line, packed
from proxy.model.errors import TierError

_MOST: Final = 64  # commands: to wake all who asked takes a tenth of a millisecond
_MOST_BYTES: Final = 64 * 1024  # to send; the last command may be as long as it is
_NO_MASTER: Final = "READONLY"


class Owner(Protocol):
    """Who sees to batches."""

    def came(self, batch: Batch, *, last: bool, sound: bool) -> None:
        """Some replies came; whether the last, and whether the line can be trusted with more."""
        ...

    def lost(self, batch: Batch, why: str) -> None:
        """Its line is no more."""
        ...


class Asked:
    """A command that somebody waits for, or did."""

    __slots__ = ("command", "due", "found", "packed")

    def __init__(self, command: Command[object], due: float, found: asyncio.Future[object]) -> None:
        self.command = command
        self.packed = packed(command.words)
        self.due = due  # seconds on the loop's clock
        self.found = found

    @property
    def wanted(self) -> bool:
        """Whether it is to be sent: who is cancelled leaves a write to be done, who is late not."""
        found = self.found
        return not found.done() or (self.command.writes and found.cancelled())


class Batch:
    """Commands in the order in which they are sent.

    Args:
        health: is told what comes of each.
        follows: whether a server that takes no writes is the wrong one, and not to be trusted.
    """

    __slots__ = ("_bytes", "_follows", "_health", "_owner", "asked", "ended", "line", "sent_at")

    def __init__(self, owner: Owner, health: Health, *, follows: bool) -> None:
        self._owner = owner
        self._health = health
        self._follows = follows
        self._bytes = 0
        self.asked: deque[Asked] = deque()  # that have no answer yet
        self.line: Line | None = None  # over which it was sent
        self.sent_at = 0.0
        self.ended: asyncio.Future[None] | None = None  # made by who wants to know

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self._bytes >= _MOST_BYTES or len(self.asked) >= _MOST

    @property
    def wanted(self) -> bool:
        """Whether there is anything to send."""
        return any(asked.wanted for asked in self.asked)

    def add(self, asked: Asked) -> None:
        """Take one more. It was not sent yet."""
        self.asked.append(asked)
        self._bytes += len(asked.packed)

    def send(self, line: Line, now: float) -> bool:
        """Send what is still wanted over a line that is free; False if nothing is."""
        wanted = [asked for asked in self.asked if asked.wanted]
        if not wanted:
            return False
        self.asked = deque(wanted)
        self.line = line
        self.sent_at = now
        self._health.sent += len(wanted)
        line.ask(b"".join([asked.packed for asked in wanted]), len(wanted), self)
        return True

    def let_go(self, now: float) -> float:
        """Let those go who have waited long enough; when the next will have."""
        due = inf
        for asked in self.asked:
            if asked.found.done():
                continue
            if asked.due <= now:
                asked.found.set_exception(self._health.note_late())
            else:
                due = min(due, asked.due)
        return due

    def fail(self, why: str) -> None:
        """Nothing will come of what is left, which is Redis's fault."""
        if self.asked:
            key = self.asked[0].command.key
            why = str(self._health.note_failure(key, why, len(self.asked)))
        self.release(why)

    def release(self, why: str) -> int:
        """Tell all who still wait that nothing will come of it; how many."""
        waiting = [asked.found for asked in self.asked if not asked.found.done()]
        for found in waiting:
            found.set_exception(TierError(why))
        return len(waiting)

    # -- what the line tells ------------------------------------------------------------------

    def replied(self, replies: Sequence[object], *, last: bool) -> None:
        answered, sound = False, True
        for reply in replies:
            asked = self.asked.popleft()
            command, found = asked.command, asked.found
            if isinstance(reply, ErrorReply):
                said = str(reply)
                if command.none_if and said.startswith(command.none_if):
                    reply = None  # noqa: PLW2901 - which is what it says
                else:
                    error, trusted = self._denied(command, said)
                    sound &= trusted
                    if not found.done():
                        found.set_exception(error)
                    continue
            try:
                value = command.read(reply)
            except ValueError as wrong:
                # It may be another's, and what follows too: nobody is told any of it.
                self.asked.appendleft(asked)
                self.fail(f"ValueError: {wrong}")
                self.asked.clear()
                answered, last, sound = False, True, False
                break
            answered = True
            if not found.done():
                found.set_result(value)
        if answered:
            self._health.note_answer()
        self._owner.came(self, last=last, sound=sound)

    def _denied(self, command: Command[object], said: str) -> tuple[TierError, bool]:
        """What an error comes to, and whether the line can be trusted with more."""
        demoted = self._follows and said.startswith(_NO_MASTER)
        refusal = None if demoted else command.refusal(said)
        if refusal is None:
            return self._health.note_failure(command.key, said), not demoted
        self._health.note_refusal(refusal)
        return refusal, True

    def lost(self, why: str) -> None:
        self._owner.lost(self, why)

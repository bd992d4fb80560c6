"""The crew: which processes there are, which there should be, and what is to be done about it.

A plan only: it is told what has happened and answers what to do; ``Arbiter`` does it.

There are so many workers, which serve clients, and one desk, where the operator comes in. Whoever
dies is forked again: at once if it had served for a while, else after a pause that doubles with
each death in a row. Whoever has not been heard of for too long is killed, and then forked again.

The settings have editions. When there is a new one, the crew is replaced, one after the other: a
new worker is forked, and only once it is ready is an old one retired, so that at no time fewer
serve than should. If a new worker dies before it is ready, the new edition is given up, and the old
workers that are left stay. The desk is the last to be replaced. If the workers can take a new
edition over as they are, only the desk is replaced.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

CRASHED: Final = 70
"""The exit status of a process that nobody foresaw the end of: EX_SOFTWARE of sysexits.h."""

REFUSED: Final = 78
"""The exit status of a worker that cannot serve with these settings: EX_CONFIG of sysexits.h."""

_SERVED_S: Final = 1.0  # who was ready for so long did not die of starting
_PAUSE_S: Final = 0.25  # after the second death in a row; doubled with each further one
_LONGEST_PAUSE_S: Final = 10.0
_NO_FORK_S: Final = 1.0  # the pause after a fork that the system refused
_TRIES: Final = 5  # deaths before being ready, in a row, and nobody serves: it is given up
_DESK_SLOT: Final = 0


class Role(StrEnum):
    """What a process is for."""

    WORKER = "worker"
    DESK = "desk"


class Fork(NamedTuple):
    """To be forked."""

    role: Role
    slot: int
    edition: int


class Send(NamedTuple):
    """A signal to be sent."""

    pid: int
    signal: signal.Signals


Action = Fork | Send


class Patience(NamedTuple):
    """How long somebody is waited for, in seconds."""

    start_s: float = 60.0  # until it is ready
    silent_s: float = 30.0  # without a sign of life
    leave_s: float = 45.0  # from being told to leave to its end


class Rolled(NamedTuple):
    """What became of a new edition; ``refused`` is why it was given up, or "" if it was not."""

    edition: int
    refused: str


@dataclass(slots=True, eq=False)
class Member:
    """A process of the crew. Times in seconds on the arbiter's clock."""

    role: Role
    slot: int  # the lowest that was free; a worker's is 1 or more
    edition: int
    pid: int
    born_at: float
    heard_at: float
    ready_at: float | None = None
    leave_by: float | None = None  # it was told to leave
    killed: bool = False

    @property
    def serves(self) -> bool:
        """Whether it is ready, and stays."""
        return self.ready_at is not None and self.leave_by is None


@dataclass(slots=True)
class _Deaths:
    """Of those that died too early, in a row."""

    in_a_row: int = 0
    unready: int = 0  # of these, before they were ready
    not_before: float = 0.0


@dataclass(slots=True)
class Crew:
    """Plans for ``workers`` workers and a desk.

    Attributes:
        edition: of the settings that new workers are forked with.
        restarts: how many were forked in the place of one that had died, by role.
        status: what the arbiter shall exit with; None: it shall go on.
        why: what it then says, or "".
    """

    workers: int
    patience: Patience = field(default_factory=Patience)
    edition: int = 1
    restarts: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(Role, 0))
    status: int | None = None
    why: str = ""
    members: dict[int, Member] = field(default_factory=dict)  # by pid
    _deaths: dict[Role, _Deaths] = field(default_factory=lambda: {r: _Deaths() for r in Role})
    _owed: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(Role, 0))
    _began: bool = False  # some worker has served
    _rolling_from: tuple[int, int] | None = None  # the edition and number of workers before
    _stopping: signal.Signals | None = None
    _rolled: list[Rolled] = field(default_factory=list)

    # -- what happens -------------------------------------------------------------------------

    def born(self, fork: Fork, pid: int, now: float) -> Member:
        """What was to be forked is there."""
        member = Member(fork.role, fork.slot, fork.edition, pid, now, now)
        self.members[pid] = member
        if self._owed[fork.role]:
            self._owed[fork.role] -= 1
            self.restarts[fork.role] += 1
        return member

    def heard(self, pid: int, now: float) -> None:
        """A sign of life has come."""
        if (member := self.members.get(pid)) is not None:
            member.heard_at = now

    def ready(self, pid: int, now: float) -> None:
        """Somebody serves."""
        if (member := self.members.get(pid)) is not None and member.ready_at is None:
            member.ready_at = member.heard_at = now
            self._began |= member.role is Role.WORKER

    def died(self, pid: int, status: int, now: float) -> Member | None:
        """Somebody has come to an end, with an exit status, or minus the number of a signal."""
        member = self.members.pop(pid, None)
        if member is None or self._stopping is not None or member.leave_by is not None:
            return member
        deaths = self._deaths[member.role]
        if member.ready_at is not None and now - member.ready_at >= _SERVED_S:
            self._deaths[member.role] = deaths = _Deaths()
        else:
            deaths.in_a_row += 1
            deaths.unready += member.ready_at is None
        if deaths.in_a_row > 1:
            pause_s = _PAUSE_S * 2 ** min(deaths.in_a_row - 2, 10)
            deaths.not_before = now + min(pause_s, _LONGEST_PAUSE_S)
        self._owed[member.role] += 1
        if member.role is Role.WORKER and member.ready_at is None:
            self._failed_to_start(member, status)
        return member

    def put_off(self, role: Role, now: float) -> None:
        """There could be no fork; it is tried again in a while."""
        self._deaths[role].not_before = now + _NO_FORK_S

    def was_away(self, seconds: float) -> None:
        """Nothing was heard for so long, as nobody listened; nobody is to blame for that."""
        for member in self.members.values():
            member.heard_at += seconds
            if member.ready_at is None:
                member.born_at += seconds
            if member.leave_by is not None:
                member.leave_by += seconds

    def roll(self, edition: int, workers: int, now: float) -> None:
        """There is a new edition of the settings, with so many workers."""
        if self._rolling_from is None:
            self._rolling_from = (self.edition, self.workers)
        self.edition, self.workers = edition, workers
        self._deaths = {role: _Deaths(not_before=now) for role in Role}
        self._owed = dict.fromkeys(Role, 0)

    def adopt(self, edition: int, pids: Collection[int]) -> None:
        """These workers have a new edition of the settings, which they have taken over themselves.

        Others, which nobody knew of when they were asked, are replaced.
        """
        self.edition = edition
        for member in self._of(Role.WORKER):
            if member.pid in pids:
                member.edition = edition

    def stop(self, how: signal.Signals) -> None:
        """All shall end: the workers as ``how`` tells them to, then the desk."""
        if self._stopping is None:
            self._stopping = how

    # -- what follows -------------------------------------------------------------------------

    @property
    def is_rolling(self) -> bool:
        """Whether a new edition is being taken over."""
        return self._rolling_from is not None

    @property
    def stopping(self) -> bool:
        """Whether all shall end."""
        return self._stopping is not None

    @property
    def editions(self) -> frozenset[int]:
        """Those that somebody has, or will have if the new one is given up."""
        before = () if self._rolling_from is None else self._rolling_from[:1]
        return frozenset((self.edition, *before, *(m.edition for m in self.members.values())))

    @property
    def complete(self) -> bool:
        """Whether all serve, the desk too."""
        desks = any(member.serves for member in self._of(Role.DESK))
        return desks and self.serving() >= self.workers

    def serving(self) -> int:
        """How many workers serve."""
        return sum(member.serves for member in self._of(Role.WORKER))

    def rolled(self) -> list[Rolled]:
        """What became of new editions since this was last asked."""
        told, self._rolled = self._rolled, []
        return told

    def due(self, now: float) -> list[Action]:
        """What is to be done now; some of it changes what is known here, as if it were done."""
        actions: list[Action] = [*self._kills(now)]
        if self._stopping is not None:
            actions += self._ending(self._stopping, now)
        elif self.status is None:
            actions += self._workers_due(now)
            actions += self._desk_due(now)
        return actions

    def _of(self, role: Role) -> list[Member]:
        return [member for member in self.members.values() if member.role is role]

    def _failed_to_start(self, member: Member, status: int) -> None:
        why = _told(status)
        if self._rolling_from is not None and member.edition == self.edition:
            self._rolled.append(Rolled(self.edition, why))
            self.edition, self.workers = self._rolling_from
            self._rolling_from = None
            self._deaths[Role.WORKER] = _Deaths()
            self._owed[Role.WORKER] = 0
            return
        hopeless = status == REFUSED or self._deaths[Role.WORKER].unready >= _TRIES
        if hopeless and not self.serving():
            self.status, self.why = status if status == REFUSED else CRASHED, why
            self.stop(signal.SIGTERM)

    def _kills(self, now: float) -> Iterator[Send]:
        """Signals to those who were waited for too long."""
        patience = self.patience
        for member in self.members.values():
            if member.leave_by is not None:
                late = now >= member.leave_by
            elif member.ready_at is None:
                late = now - member.born_at >= patience.start_s
            else:
                late = now - member.heard_at >= patience.silent_s
            if late and not member.killed:
                member.killed = True
                yield Send(member.pid, signal.SIGKILL)

    def _ending(self, how: signal.Signals, now: float) -> Iterator[Send]:
        workers = self._of(Role.WORKER)
        yield from self._leaving(workers, how, now)
        if not workers:
            yield from self._leaving(self._of(Role.DESK), signal.SIGTERM, now)
        if not self.members and self.status is None:
            self.status = 0

    def _leaving(self, members: list[Member], how: signal.Signals, now: float) -> Iterator[Send]:
        for member in members:
            if member.leave_by is None:
                member.leave_by = now + self.patience.leave_s
                yield Send(member.pid, how)

    def _workers_due(self, now: float) -> Iterator[Action]:
        workers = self._of(Role.WORKER)
        staying = [member for member in workers if member.leave_by is None]
        new = [member for member in staying if member.edition == self.edition]
        old = [member for member in staying if member.edition != self.edition]
        starting = [member for member in new if member.ready_at is None]
        surplus = len(new) - len(starting) + len(old) - self.workers
        # The oldest of the old first; if there shall be fewer workers, then of the new.
        yield from self._leaving((old + new)[: max(0, surplus)], signal.SIGUSR1, now)
        if self._rolling_from is not None and not old and len(new) - len(starting) == self.workers:
            self._rolled.append(Rolled(self.edition, ""))
            self._rolling_from = None
        missing = self.workers - len(new)
        if not self._began:
            missing = int(not new)  # what keeps the first from serving is told once
        if now < self._deaths[Role.WORKER].not_before or missing <= 0:
            return
        if self._rolling_from is not None:
            # One at a time, and not while more than a whole crew is still leaving.
            leaving = len(workers) - len(staying)
            missing = int(not starting and leaving <= self.workers)
        taken = {member.slot for member in workers}
        free = (slot for slot in range(1, len(taken) + missing + 1) if slot not in taken)
        for _ in range(missing):
            yield Fork(Role.WORKER, next(free), self.edition)

    def _desk_due(self, now: float) -> Iterator[Action]:
        desks = [member for member in self._of(Role.DESK) if member.leave_by is None]
        new = [member for member in desks if member.edition == self.edition]
        old = [member for member in desks if member.edition != self.edition]
        if any(member.ready_at is not None for member in new):
            yield from self._leaving(old, signal.SIGTERM, now)
        due = not desks or (old and self._rolling_from is None)
        if due and not new and now >= self._deaths[Role.DESK].not_before:
            yield Fork(Role.DESK, _DESK_SLOT, self.edition)


def _told(status: int) -> str:
    """How a process came to its end, in words."""
    if status >= 0:
        return f"a worker ended with status {status} before it was ready"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    return f"a worker was ended by {name} before it was ready"

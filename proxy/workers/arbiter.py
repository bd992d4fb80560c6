"""The arbiter: the first of several processes, which forks all others and does nothing else.

It has neither a loop of asyncio nor threads, so that it can fork at any time, and knows nothing of
HTTP, so that hardly anything can befall it. What it shall do it asks ``Crew``.

What a process of the crew begins with it has from here, in memory: the settings, the sockets. So a
worker that is forked in the place of a dead one has the settings of the others, whatever the files
say by then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, NamedTuple

from proxy.model.errors import ConfigError
from proxy.workers.crew import CRASHED, REFUSED, Crew, Fork, Patience, Role, Send
from proxy.workers.lifeline import Lines, Message, written

log = logging.getLogger("sidecache.workers")

_PASSED_ON: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})
_SIGNALS: Final = (*_PASSED_ON, signal.SIGHUP, signal.SIGCHLD)  # that it hears
_LOOK_S: Final = 0.25  # between two looks at what is due; a death or a message is seen at once
_AWAY_S: Final = 2.0  # between two looks: far more than anything that is done between them takes
_Handler = Callable[[int, FrameType | None], object] | int | None


class Duty(NamedTuple):
    """What a process of the crew is told when it is forked."""

    slot: int
    edition: int
    line: socket.socket  # to the arbiter; see ``Lifeline``


class Next(NamedTuple):
    """A new edition of the settings."""

    edition: int
    workers: int
    patience: Patience


@dataclass(slots=True, eq=False)
class _Child:
    line: socket.socket
    role: Role
    lines: Lines = field(default_factory=Lines)
    unsent: bytes = b""


class Arbiter:
    """Forks a crew, and keeps it going until it is told to stop: ``run`` it in the main thread.

    SIGTERM and SIGINT are passed on to the workers, which end as they are told to; the second one
    ends all at once. SIGHUP is passed on to the desk.

    Args:
        workers: how many.
        patience: how long they are waited for.
        roles: what a process of the crew does; returns its exit status. It is called in a process
            of its own, which ends when it returns.
        renew: loads the settings again when the desk asks for it, given which editions somebody
            has. Raises ConfigError.
        up: told once that all workers serve.
        down: told once that all shall end.
        hung_up: whether SIGHUP tells that the terminal is gone, which is to end all.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        workers: int,
        patience: Patience,
        *,
        roles: Mapping[Role, Callable[[Duty], int]],
        renew: Callable[[frozenset[int]], Next],
        up: Callable[[], None] = lambda: None,
        down: Callable[[], None] = lambda: None,
        hung_up: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crew = Crew(workers, patience)
        self._roles = roles
        self._renew = renew
        self._up = up
        self._down = down
        self._hung_up = hung_up
        self._clock = clock
        self._children: dict[int, _Child] = {}  # by pid
        # Not epoll, which a child would share with the arbiter.
        self._selector = selectors.PollSelector()
        self._waking, self._wakes = socket.socketpair()
        self._told: bytes = b""  # to the desk, last
        self._to_reload = False  # as soon as there is a desk
        self._signalled = False
        self._announced = False

    def run(self) -> int:
        """Go on until told to stop; the exit status."""
        before = self._take_signals()
        looked = self._clock()
        try:
            while self._crew.status is None or self._crew.members:
                # Who was away itself has heard nobody, and nobody may have been there to be heard:
                # a container that is paused, a machine that is moved.
                now = self._clock()
                if now - looked > _AWAY_S:
                    self._crew.was_away(now - looked)
                looked = now
                for action in self._crew.due(now):
                    if isinstance(action, Fork):
                        self._fork(action)
                    else:
                        _send(action)
                self._announce()
                self._tell_the_desk()
                self._look()
        finally:
            self._give_signals_back(before)
        if self._crew.why and self._crew.status != REFUSED:  # which has been told
            log.error("given up", extra={"why": self._crew.why})
        return self._crew.status or 0

    # -- what happens -------------------------------------------------------------------------

    def _look(self) -> None:
        """Wait for something to happen, not for long, and take note of it."""
        for key, _ in self._selector.select(_LOOK_S):
            if key.fileobj is self._waking:
                for number in self._waking.recv(4096):
                    self._on_signal(number)
            else:
                self._listen(key.data)
        self._reap()

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP and not self._hung_up():
            self._to_reload = True
        elif number != signal.SIGCHLD:
            if self._signalled:
                # Somebody asked twice: crash-only, nothing here depends on a clean end.
                for pid in self._children:
                    _send(Send(pid, signal.SIGKILL))
                raise SystemExit(128 + number)
            self._signalled = True
            how = signal.Signals(number) if number in _PASSED_ON else signal.SIGTERM
            log.info("stopping", extra={"signal": how.name})
            self._down()
            self._crew.stop(how)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            child = self._children.pop(pid, None)
            if child is None:
                continue
            self._listen(pid, child)  # what it said at the end
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.line)
            child.line.close()
            member = self._crew.died(pid, code, self._clock())
            if member is not None and member.leave_by is None and not self._crew.stopping:
                log.warning(
                    "a process died",
                    extra={"role": member.role.value, "slot": member.slot, "status": code},
                )

    def _listen(self, pid: int, child: _Child | None = None) -> None:
        child = child or self._children[pid]
        try:
            data = child.line.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # it will be reaped
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.line)
            return
        self._crew.heard(pid, self._clock())
        for message in child.lines.feed(data):
            if message.get("ready") is True:
                self._crew.ready(pid, self._clock())
            elif child.role is Role.DESK and ("roll" in message or "adopted" in message):
                self._renewed(child, message.get("adopted"))

    def _renewed(self, desk: _Child, adopted: object) -> None:
        """There is a new edition; the desk is told what becomes of it.

        Args:
            adopted: the pids of the workers that have taken it over themselves, if any have.
        """
        if self._crew.is_rolling or self._crew.stopping:
            self._write(desk, {"rolled": self._crew.edition, "refused": "busy with another reload"})
            return
        try:
            following = self._renew(self._crew.editions)
        except ConfigError as error:
            self._write(desk, {"rolled": self._crew.edition, "refused": str(error)})
            return
        except Exception as error:  # whatever it is, nobody has to end for it
            log.exception("settings could not be loaded again", exc_info=error)
            why = f"settings could not be loaded: {type(error).__name__}"
            self._write(desk, {"rolled": self._crew.edition, "refused": why})
            return
        self._crew.patience = following.patience
        if isinstance(adopted, list):
            self._crew.adopt(following.edition, adopted)
            self._write(desk, {"rolled": following.edition, "refused": ""})
            return
        self._crew.roll(following.edition, following.workers, self._clock())

    # -- what is told -------------------------------------------------------------------------

    def _announce(self) -> None:
        if not self._announced and self._crew.complete:
            self._announced = True
            self._up()

    def _tell_the_desk(self) -> None:
        desks = [child for child in self._children.values() if child.role is Role.DESK]
        for rolled in self._crew.rolled():
            log.info("rolled", extra=rolled._asdict())
            for desk in desks:
                self._write(desk, {"rolled": rolled.edition, "refused": rolled.refused})
        told = written(self._roster())
        if told != self._told:
            self._told = told
            for desk in desks:
                self._write(desk, self._roster())
        if self._to_reload and desks:
            self._to_reload = False
            for desk in desks:
                self._write(desk, {"reload": True})
        for desk in desks:
            self._flush(desk)

    def _roster(self) -> Message:
        """Who there is, as the desk is told."""
        crew = self._crew
        return {
            "edition": crew.edition,
            "stopping": crew.stopping,
            "restarts": crew.restarts[Role.WORKER],
            "wanted": crew.workers,
            "workers": [
                {
                    "slot": member.slot, "pid": member.pid, "edition": member.edition,
                    "ready": member.ready_at is not None, "leaving": member.leave_by is not None,
                    "age_s": 0.0 if member.ready_at is None else member.ready_at - member.born_at,
                }
                for member in crew.members.values()
                if member.role is Role.WORKER
            ],
        }  # fmt: skip

    def _write(self, child: _Child, message: Message) -> None:
        child.unsent += written(message)
        self._flush(child)

    def _flush(self, child: _Child) -> None:
        while child.unsent:
            try:
                sent = child.line.send(child.unsent)
            except (BlockingIOError, OSError):
                return  # again with the next look; or it is dead
            child.unsent = child.unsent[sent:]

    # -- processes ----------------------------------------------------------------------------

    def _fork(self, fork: Fork) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._put_off(fork.role, error)
            return
        ours.settimeout(0)
        # What comes before the child has let go of the arbiter's handlers would be taken for the
        # arbiter's own, and be lost to the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            ours.close()
            theirs.close()
            self._put_off(fork.role, error)
            return
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            theirs.close()
            self._children[pid] = _Child(ours, fork.role)
            self._selector.register(ours, selectors.EVENT_READ, pid)
            self._crew.born(fork, pid, self._clock())
            self._told = b""  # a desk that is new knows nothing
            return
        status = CRASHED
        try:
            # Not with the others in the terminal: whoever presses Ctrl-C tells the arbiter only.
            os.setpgid(0, 0)
            self._forget(ours)
            status = self._roles[fork.role](Duty(fork.slot, fork.edition, theirs))
        except BaseException as error:
            log.critical("a process failed in a way nobody foresaw", exc_info=error)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _put_off(self, role: Role, error: OSError) -> None:
        """There is no memory, no descriptor, or there are too many processes: again in a while."""
        log.error("cannot fork", extra={"why": error.strerror})
        self._crew.put_off(role, self._clock())

    def _forget(self, ours: socket.socket) -> None:
        """In a child: let go of all that is the arbiter's."""
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for child in self._children.values():
            child.line.close()
        for end in (ours, self._waking, self._wakes):
            end.close()
        self._selector.close()

    def _take_signals(self) -> dict[int, _Handler]:
        self._wakes.settimeout(0)
        self._waking.settimeout(0)
        self._selector.register(self._waking, selectors.EVENT_READ)
        before: dict[int, _Handler] = {
            number: signal.signal(number, lambda *_: None) for number in _SIGNALS
        }
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        return before

    def _give_signals_back(self, before: Mapping[int, _Handler]) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        self._selector.close()
        self._waking.close()
        self._wakes.close()


def _send(action: Send) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(action.pid, action.signal)

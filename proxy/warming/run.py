"""Asking it all: so many at a time, at a steady rate, and again where that may help.

A server that says when to come back is obeyed by all at once, not by the one it said it to. When
told to stop, nothing more is asked, and what is under way comes to its end: so it is known, and
needs not be asked again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from proxy.calling import Heard, Question, Unheard
from proxy.model.outcome import SERVED
from proxy.warming.done import Done

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0
_MOST_OBEYED_S: Final = 600.0  # that a server may ask to wait
_HOPELESS: Final = 20  # questions in a row that fail after all attempts: nobody is there
_DENIED: Final = frozenset({401, 403, 407})
_BUSY: Final = frozenset({429, 503})
_MOST_REASONS: Final = 100


class Asks(Protocol):
    """Brings what comes of a question, or raises Unheard."""

    def ask(self, question: Question) -> Awaitable[Heard]: ...


Wait = Callable[[float, asyncio.Event], Awaitable[None]]


async def wait(seconds: float, stop: asyncio.Event) -> None:
    """Wait so long, or until ``stop``."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


@dataclass(slots=True)
class Tally:
    """How it went."""

    hits: int = 0  # were there already
    fetched: int = 0  # by the backend, through the cache
    stored: int = 0  # of these: known to be kept
    bypassed: int = 0  # answered, but not for the cache
    plain: int = 0  # answered by what is no sidecache
    refused: int = 0  # a status that asking again would not change
    failed: int = 0  # after all attempts
    unreadable: int = 0  # lines that are no question
    again: int = 0  # attempts beyond the first
    reasons: Counter[str] = field(default_factory=Counter)  # why not cached, or why it failed

    @property
    def answered(self) -> int:
        """How many have their answer."""
        return self.hits + self.fetched + self.bypassed + self.plain

    @property
    def troubles(self) -> int:
        """How many have none."""
        return self.refused + self.failed + self.unreadable

    def note(self, reason: str) -> None:
        """Count a reason; there may be many."""
        known = reason in self.reasons or len(self.reasons) < _MOST_REASONS
        self.reasons[reason if known else "other"] += 1

    def count(self, heard: Heard) -> None:
        """Count what is not to be asked again."""
        if not heard.ok:
            self.refused += 1
            self.note(f"status {heard.status}")
        elif heard.verdict in SERVED:
            self.hits += 1
        elif heard.verdict == "miss":
            self.fetched += 1
            self.stored += heard.stored
        elif heard.verdict:
            self.bypassed += 1
            self.note(f"{heard.verdict}: {heard.reason}")
        else:
            self.plain += 1


class Warming:
    """Asks questions of ``front``.

    Args:
        front: where to.
        done: what needs not be asked; added to.
        concurrency: how many at a time.
        rate: how many a second at most; None: as fast as they are answered.
        retries: how often to try again.
        clock: seconds, monotonic.
        dice: from 0 to 1, so that not all come back at the same moment.
        waits: waits for so long, or until told to stop.
    """

    def __init__(
        self,
        front: Asks,
        done: Done,
        *,
        concurrency: int,
        rate: float | None,
        retries: int,
        clock: Callable[[], float],
        dice: Callable[[], float],
        waits: Wait = wait,
    ) -> None:
        self.tally = Tally()
        self.given_up = ""  # why no more is asked, if not for having been told so
        self._front = front
        self._done = done
        self._concurrency = concurrency
        self._interval_s = 1 / rate if rate else 0.0
        self._retries = retries
        self._clock = clock
        self._dice = dice
        self._waits = waits
        self._stop = asyncio.Event()
        self._turn_at = 0.0
        self._not_before = 0.0
        self._failed_in_row = 0

    def stop(self) -> None:
        """Ask no more; what is under way comes to its end."""
        self._stop.set()

    async def run(self, questions: Iterator[tuple[int, Question | None]]) -> None:
        """Ask all of ``questions``: their numbers and what they are, None for what is none."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._concurrency):
                workers.create_task(self._work(questions))

    async def _work(self, questions: Iterator[tuple[int, Question | None]]) -> None:
        for number, question in questions:  # one iterator for all who work
            if number in self._done:
                continue
            if question is None:
                self.tally.unreadable += 1
                continue
            await self._turn()
            if self._stop.is_set():
                return
            await self._ask(number, question)
            if self._stop.is_set():
                return

    async def _turn(self) -> None:
        """Wait until it is one's turn."""
        now = self._clock()
        at = max(now, self._turn_at)
        self._turn_at = at + self._interval_s
        while (at := max(at, self._not_before)) > (
            now := self._clock()
        ) and not self._stop.is_set():
            await self._waits(at - now, self._stop)

    async def _ask(self, number: int, question: Question) -> None:
        """Ask one until it is settled, or there is no more point in it."""
        for attempt in range(self._retries + 1):
            asked_to_wait: float | None = None
            busy = False
            try:
                heard = await self._front.ask(question)
            except Unheard as error:
                why = str(error)
            else:
                if heard.final:
                    self._settle(number, heard)
                    return
                why = f"status {heard.status}"
                busy = heard.status in _BUSY
                asked_to_wait = heard.retry_after_s
            if attempt == self._retries:
                self._fail(why)
            if attempt == self._retries or self._stop.is_set():
                return
            wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * (0.5 + self._dice() / 2)
            if asked_to_wait is not None:
                wait_s = min(max(asked_to_wait, wait_s), _MOST_OBEYED_S)
            if busy:
                self._not_before = max(self._not_before, self._clock() + wait_s)
            await self._waits(wait_s, self._stop)
            if self._stop.is_set():
                return
            self.tally.again += 1

    def _settle(self, number: int, heard: Heard) -> None:
        self._failed_in_row = 0
        if heard.status in _DENIED:
            # Not done: with the right credentials it is another question.
            self._give_up(f"status {heard.status}: give the credentials that clients have")
            return
        self.tally.count(heard)
        self._done.add(number)

    def _fail(self, why: str) -> None:
        self.tally.failed += 1
        self.tally.note(why)
        self._failed_in_row += 1
        if self._failed_in_row >= _HOPELESS:
            self._give_up(f"{_HOPELESS} questions in a row failed, the last because of: {why}")

    def _give_up(self, why: str) -> None:
        self.given_up = self.given_up or why
        self.stop()

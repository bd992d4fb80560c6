"""Embedding: vectors for whoever looks for neighbours, in time and to be trusted, or a doubt.

It begins in the background: the model is loaded, or the service found, as often as it takes, and
then proves in a self-test for each script that it can tell meanings apart. Until then, and for a
script in which it cannot, there are no vectors. Afterwards each text has a deadline. What comes
late is kept for the next who asks for that text, such as who remembers its answer.

A breaker hears how each batch ended. After a few failures in a row nobody asks any more, and a
probe that nobody waits for finds out when vectors come again. It is the same where nothing comes at
all for a second, so that an embedder that hangs is not waited for until it is given up. After that,
and every few minutes, a trial text must have the vector that it had at the start: a service may
have another model by now, whose vectors mean nothing beside those in the index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from proxy.breaker import Breaker
from proxy.model.meaning import Doubt, Script
from proxy.semantic.base import Embedder, EmbedderError
from proxy.semantic.batcher import Batcher, checked
from proxy.semantic.self_test import LATIN_PAIRS, Report, self_test
from proxy.wire.recent import Recent

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_START_S: Final = 900.0  # a model that must be fetched first takes minutes
_PATIENCE_S: Final = 10.0  # for a batch that nobody waits for, or nobody any more
_FIRST_WAIT_S: Final = 1.0  # between attempts to start; doubled each time
_LONGEST_WAIT_S: Final = 60.0
_PROBE_S: Final = 5.0  # between probes of an embedder that failed, on average
_TRIAL_S: Final = 300.0  # between trials of one that does not fail; they cost one text
_CLOSE_S: Final = 5.0
_HANGS_S: Final = 1.0  # in which all were late and no batch ended
_LATE_LEAST: Final = 5  # in a row, as failures
_SAME: Final = 0.98  # cosine of a vector now and before; less is another model's
_MOST_CHARACTERS: Final = 32_768  # of a text: models cut it long before, and the loop reads it


class Standing(StrEnum):
    """What the embedder is good for at present."""

    LOADING = "loading"
    AWAY = "away"  # it did not start; that is tried again
    ON = "on"
    PARTLY = "on for some scripts"
    UNFIT = "unfit"  # it passed no self-test
    RESTING = "resting"  # it failed; it is tried again now and then
    CHANGED = "changed"  # it gives other vectors than before: not to be used until a restart
    CLOSED = "closed"


OnReady = Callable[[str, int], Awaitable[None]]  # fingerprint, dimensions


class Embedding:
    """An embedder, as far as it may be asked. Counters are plain integers that only grow.

    Args:
        clock: seconds on a monotonic clock.
        dice: a number from 0 up to 1, each time another; it spreads the attempts of many replicas.
        report: told once of each change of ``standing``, and why it changed, for an operator.
        threshold: the cosine from which on an answer would be served.
        deadline_s: seconds that a vector may take, unless said otherwise.
        max_unknown: the share of tokens unknown to the model above which a text has no vector.
        recent_bytes: how much to keep of the latest vectors; 0: none.
        sleep: waits for seconds; for tests.
        patience_s: seconds that a batch may take, though nobody waits that long.
        most: texts in a batch.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        clock: Callable[[], float],
        dice: Callable[[], float],
        report: Callable[[Standing, str], None],
        threshold: float,
        deadline_s: float,
        max_unknown: float = 0.05,
        recent_bytes: int = 4 * 2**20,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience_s: float = _PATIENCE_S,
        most: int = 32,
    ) -> None:
        self._embedder = embedder
        self._clock = clock
        self._dice = dice
        self._report = report
        self._threshold = threshold
        self._deadline_s = deadline_s
        self._max_unknown = max_unknown
        self._sleep = sleep
        self._patience_s = patience_s
        self._most = most
        self._recent: Recent[tuple[str, Script], Vector] = Recent(recent_bytes)
        self._batcher = Batcher(
            embedder,
            heard=self._heard,
            most=most,
            wait_s=0.0,  # who asks alone waits for nobody; company gathers while a batch flies
            patience_s=patience_s,
        )
        self._breaker = Breaker(clock=clock, dice=dice, report=self._rested, probe_s=_PROBE_S)
        self._background: set[asyncio.Task[None]] = set()
        self._on_ready: OnReady | None = None
        self._tests: dict[Script, Report] = {}
        self._trial: Vector | None = None  # of a built-in text, to know the model again by
        self._trial_at = 0.0  # on the clock, when to look again
        self._begun = False
        self._fit = Standing.LOADING  # while nothing fails
        self._standing = Standing.LOADING
        self._late_in_a_row = 0  # since a batch has ended
        self._late_since = 0.0  # on the clock, the first of them
        self.late = 0
        self.failed = 0  # batches

    @property
    def standing(self) -> Standing:
        """What the embedder is good for now."""
        return self._standing

    @property
    def ready(self) -> bool:
        """Whether it has started and passed a self-test; it may rest all the same."""
        return self._fit in {Standing.ON, Standing.PARTLY}

    @property
    def name(self) -> str:
        """Of the embedder, for an operator."""
        return self._embedder.name

    @property
    def fingerprint(self) -> str:
        """Of the embedder; known once this is ready."""
        return self._embedder.fingerprint

    @property
    def dimensions(self) -> int:
        """The length of the vectors; known once this is ready."""
        return self._embedder.dimensions

    @property
    def tests(self) -> dict[Script, Report]:
        """How the self-tests went, by script; empty before."""
        return dict(self._tests)

    @property
    def batcher(self) -> Batcher:
        """What counts the calls."""
        return self._batcher

    def start(self, on_ready: OnReady | None = None) -> None:
        """Begin in the background, and return at once.

        Args:
            on_ready: awaited once, with fingerprint and dimensions, just before this is ready. What
                it raises is reported, and changes nothing.
        """
        self._begun = True
        self._on_ready = on_ready
        self._spawn(self._begin)

    async def close(self) -> None:
        """End what is under way, and let go of the embedder. Raises nothing."""
        self._fit = Standing.CLOSED
        self._change(Standing.CLOSED, "closed")
        background = tuple(self._background)
        for task in background:
            task.cancel()
        if background:
            await asyncio.wait(background)
        await self._batcher.close()
        with suppress(Exception):  # nothing depends on it any more
            async with asyncio.timeout(_CLOSE_S):
                await self._embedder.close()

    async def vector(
        self, text: str, script: Script, *, deadline_s: float | None = None
    ) -> Vector | Doubt:
        """The vector of ``text``, of unit length and not to be written to; or why there is none.

        Raises nothing, and takes no longer than the deadline.
        """
        if (doubt := self._unfit()) is not None:
            return doubt
        if (known := self._recent.get((text, script))) is not None:
            return known  # so there was no doubt about the text itself
        if (doubt := self._doubt(text, script)) is not None:
            return doubt
        if not self._may_ask():
            return Doubt.EMBEDDER
        try:
            asked = self._batcher.ask(text)
        except EmbedderError:
            return Doubt.EMBEDDER
        asked.add_done_callback(partial(self._remember, text, script))
        return await self._outcome(asked, self._deadline_s if deadline_s is None else deadline_s)

    async def vectors(
        self, texts: Sequence[str], script: Script, *, deadline_s: float
    ) -> Sequence[Vector] | Doubt:
        """As ``vector``, for each of a few texts, all or none: for work in the background."""
        if (doubt := self._unfit()) is not None:
            return doubt
        for text in texts:
            if (doubt := self._doubt(text, script)) is not None:
                return doubt
        if not self._may_ask():
            return Doubt.EMBEDDER
        try:
            asked = [self._batcher.ask(text) for text in texts]
        except EmbedderError:
            return Doubt.EMBEDDER
        if asked:
            await asyncio.wait(asked, timeout=deadline_s)
        outcomes = [await self._outcome(each, 0.0) for each in asked]
        vectors = [outcome for outcome in outcomes if not isinstance(outcome, Doubt)]
        doubts = [outcome for outcome in outcomes if isinstance(outcome, Doubt)]
        return doubts[0] if doubts else vectors

    # -- of one text --------------------------------------------------------------------------

    def _unfit(self) -> Doubt | None:
        """Why not to ask for any vector at all."""
        if not self._begun or self._fit is Standing.CLOSED:
            return Doubt.NO_EMBEDDER
        if self._fit is Standing.LOADING:
            return Doubt.LOADING
        if self._fit in {Standing.AWAY, Standing.CHANGED}:
            return Doubt.EMBEDDER
        return None

    def _doubt(self, text: str, script: Script) -> Doubt | None:
        """Why not even to ask for the vector of ``text``."""
        if len(text) > _MOST_CHARACTERS:
            return Doubt.TOO_LONG
        share = self._unknown(text)
        if not self._passed(script, visible=share is not None):
            return Doubt.SELF_TEST
        if share is not None and not share <= self._max_unknown:
            return Doubt.COVERAGE
        return None

    def _unknown(self, text: str) -> float | None:
        try:
            return self._embedder.unknown(text)
        except Exception:  # noqa: BLE001 - it is never trusted: then nothing of the text is known
            return 1.0

    def _passed(self, script: Script, *, visible: bool) -> bool:
        """Whether questions in ``script`` may be embedded; ``visible``: their tokens were seen."""
        latin, han = (
            self._tests.get(each) is not None and self._tests[each].passed
            for each in (Script.LATIN, Script.HAN)
        )
        match script:
            case Script.LATIN:
                return latin
            case Script.HAN:
                return han
            case Script.MIXED:
                return latin and han
            case Script.OTHER:  # there is no test of it, so the model must be seen to know it
                return visible and (latin or han)

    def _may_ask(self) -> bool:
        if self._breaker.closed:
            if self._clock() >= self._trial_at:
                self._trial_at = self._clock() + _TRIAL_S
                self._spawn(self._try)
            return True
        if self._breaker.probe_due():
            self._spawn(self._try)
        return False

    async def _outcome(self, asked: asyncio.Future[Vector], deadline_s: float) -> Vector | Doubt:
        if not asked.done():
            await asyncio.wait((asked,), timeout=deadline_s)
        if not asked.done():
            self._was_late()
            return Doubt.LATE
        return Doubt.EMBEDDER if asked.exception() is not None else asked.result()

    def _was_late(self) -> None:
        self.late += 1
        now = self._clock()
        if not self._late_in_a_row:
            self._late_since = now
        self._late_in_a_row += 1
        if self._late_in_a_row >= _LATE_LEAST and now - self._late_since >= _HANGS_S:
            self._late_in_a_row = 0
            self._breaker.trip("it hangs: no vectors came, though several were waited for")

    def _remember(self, text: str, script: Script, asked: asyncio.Future[Vector]) -> None:
        if not asked.cancelled() and asked.exception() is None:
            vector = asked.result()
            # No letter takes more than four bytes.
            self._recent.put((text, script), vector, 4 * len(text) + vector.nbytes)

    # -- in the background --------------------------------------------------------------------

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the root of a task: a bug of ours
                self._change(Standing.RESTING, f"a bug, {type(error).__name__}: {error}")

        task = asyncio.create_task(whole())  # noqa: TID251 - close() ends it
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _begin(self) -> None:
        wait_s = _FIRST_WAIT_S
        while (why := await self._attempt()) is not None:
            self._fit = Standing.AWAY
            self._change(Standing.AWAY, why)
            await self._sleep(wait_s * (0.75 + 0.5 * self._dice()))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        failed = [
            f"{script}: {test.why}" for script, test in self._tests.items() if not test.passed
        ]
        if len(failed) == len(self._tests):
            fit = Standing.UNFIT
        else:
            fit = Standing.PARTLY if failed else Standing.ON
            why = await self._told()
        self._fit = fit
        self._change(
            fit, "; ".join([*failed, *([why] if why else [])]) or "it passed the self-tests"
        )

    async def _attempt(self) -> str | None:
        """Load the model and test it; None, or what went wrong."""
        try:
            async with asyncio.timeout(_START_S):
                await self._embedder.start()
                for script in (Script.LATIN, Script.HAN):
                    self._tests[script] = await self_test(self._embed, script, self._threshold)
                (self._trial,) = await self._embed([LATIN_PAIRS[0][0]])
                self._trial_at = self._clock() + _TRIAL_S
        except EmbedderError as error:
            return str(error)
        except TimeoutError:
            return f"it did not start within {_START_S:g} seconds"
        except Exception as error:  # noqa: BLE001 - it is never trusted, and libraries raise anything
            return f"{type(error).__name__}: {error}"
        return None

    async def _told(self) -> str | None:
        if self._on_ready is None:
            return None
        try:
            await self._on_ready(self._embedder.fingerprint, self._embedder.dimensions)
        except Exception as error:  # noqa: BLE001 - whoever it is must not keep this from being ready
            return f"{type(error).__name__}: {error}"
        return None

    async def _embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Vectors for texts of our own, checked, past the batcher. Raises EmbedderError."""
        vectors: list[Vector] = []
        for first in range(0, len(texts), self._most):
            part = texts[first : first + self._most]
            for result in await checked(self._embedder, part, self._patience_s):
                if isinstance(result, EmbedderError):
                    raise result
                vectors.append(result)
        return vectors

    async def _try(self) -> None:
        """Look whether vectors come, and whether they are those of before."""
        try:
            (trial,) = await self._embed([LATIN_PAIRS[0][0]])
        except EmbedderError as error:
            self._breaker.failed(str(error))
            return
        if self._trial is None or float(np.dot(trial, self._trial)) >= _SAME:
            self._breaker.recovered()
        else:
            self._fit = Standing.CHANGED
            self._change(Standing.CHANGED, "it gives other vectors than before; restart to use it")

    def _heard(self, error: EmbedderError | None) -> None:
        self._late_in_a_row = 0
        if error is None:
            self._breaker.succeeded()
        else:
            self.failed += 1
            self._breaker.failed(str(error))

    def _rested(self, closed: bool, why: str) -> None:  # noqa: FBT001 - as a breaker reports
        resting = not closed and self._fit is not Standing.CHANGED
        self._change(Standing.RESTING if resting else self._fit, why)

    def _change(self, standing: Standing, why: str) -> None:
        if self._standing not in {standing, Standing.CLOSED}:
            self._standing = standing
            self._report(standing, why)

"""The batcher: gathers what many ask of an embedder at the same time into few calls.

A text waits for company, as long as it is told to or until a batch is full, and then for one of a
few places in the air. Whoever asks for a text that waits or flies already shares its vector. They
come and go, the batch stays: it flies in a task of its own, so one that is cancelled or late takes
nobody with it, and what comes after all is of use to the next who asks.

The embedder is not trusted. It has a limit in time; what it returns is counted, and each vector
must be of the right length, finite and not all zero. A vector that is not fails its own text only.
A batch that is refused for one of its texts is asked for again in halves, until that one is alone.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from proxy.semantic.base import Embedder, EmbedderError, TextRefused

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_MOST_CHARACTERS: Final = 4 * 2**20  # waiting; 16 MiB where each takes four bytes
_MOST_WAITING: Final = 1024  # texts


class Batcher:
    """Embeds one text at a time for many callers. Counters are plain integers that only grow.

    Args:
        embedder: one that has started.
        heard: told how each call to it ended: None, or why it failed; of a refusal, nothing.
        most: texts in a batch.
        wait_s: seconds that the first text of a batch waits for others.
        in_the_air: batches at a time.
        patience_s: seconds a batch may take.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        heard: Callable[[EmbedderError | None], None],
        most: int = 32,
        wait_s: float = 0.002,
        in_the_air: int = 2,
        patience_s: float = 10.0,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._embedder = embedder
        self._heard = heard
        self._most = most
        self._wait_s = wait_s
        self._in_the_air = in_the_air
        self._patience_s = patience_s
        self._most_waiting = most_waiting
        self._asked: dict[str, asyncio.Future[Vector]] = {}  # all that wait or fly
        self._waiting: deque[str] = deque()
        self._characters = 0  # of those that wait
        self._timer: asyncio.TimerHandle | None = None
        self._flights: set[asyncio.Task[None]] = set()
        self._closed = False
        self.texts = 0  # sent to the embedder
        self.batches = 0  # that they were sent in
        self.shared = 0  # askers whose text was asked for already
        self.turned_away = 0  # askers, because too much was waiting

    def ask(self, text: str) -> asyncio.Future[Vector]:
        """What will be the vector of ``text``: of unit length, shared, not to be written to.

        It may also become an EmbedderError. It belongs to all who asked: do not cancel it, and so
        wait with ``asyncio.wait`` or ``asyncio.shield``.

        Raises:
            EmbedderError: too much is waiting already, or this is closed.
        """
        if (asked := self._asked.get(text)) is not None:
            self.shared += 1
            return asked
        if self._closed:
            raise EmbedderError("no more texts are taken: closed")
        if (
            len(self._waiting) >= self._most_waiting
            or self._characters + len(text) > _MOST_CHARACTERS
        ):
            self.turned_away += 1
            raise EmbedderError(f"{len(self._waiting)} texts are waiting already")
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve)
        self._asked[text] = future
        self._waiting.append(text)
        self._characters += len(text)
        self._board()
        return future

    async def embed(self, text: str) -> Vector:
        """The vector of ``text``, as of ``ask``. Raises EmbedderError."""
        return await asyncio.shield(self.ask(text))

    async def close(self) -> None:
        """End what is under way; who still waits for a vector has an EmbedderError."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        flights = tuple(self._flights)
        for flight in flights:
            flight.cancel()
        self._waiting.clear()
        self._characters = 0
        for future in tuple(self._asked.values()):
            _fail(future, EmbedderError("closed"))
        self._asked.clear()
        if flights:
            await asyncio.wait(flights)

    def _board(self) -> None:
        """Send what is ready to go, or see to it that this is looked at again."""
        while self._waiting and len(self._flights) < self._in_the_air:
            if len(self._waiting) < self._most and self._wait_s > 0:
                if self._timer is None:
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(self._wait_s, self._time_is_up)
                return
            self._take_off()

    def _time_is_up(self) -> None:
        self._timer = None
        if self._waiting and len(self._flights) < self._in_the_air:
            self._take_off()
            self._board()

    def _take_off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        size = min(self._most, len(self._waiting))
        batch = [self._waiting.popleft() for _ in range(size)]
        self._characters -= sum(map(len, batch))
        flight = asyncio.create_task(self._fly(batch))  # noqa: TID251 - close() ends it
        self._flights.add(flight)
        flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        # Those that waited for a place have waited long enough: no timer for them.
        if self._waiting and not self._closed:
            self._take_off()
            self._board()

    async def _fly(self, batch: Sequence[str]) -> None:
        self.batches += 1
        self.texts += len(batch)
        try:
            results = await checked(self._embedder, batch, self._patience_s)
        except TextRefused as error:
            if len(batch) == 1:
                self._settle(batch[0], error)
            else:
                middle = len(batch) // 2
                await self._fly(batch[:middle])
                await self._fly(batch[middle:])
        except EmbedderError as error:
            for text in batch:
                self._settle(text, error)
            self._heard(error)
        else:
            for text, result in zip(batch, results, strict=True):
                self._settle(text, result)
            faults = [result for result in results if isinstance(result, EmbedderError)]
            self._heard(faults[0] if faults else None)

    def _settle(self, text: str, result: Vector | EmbedderError) -> None:
        future = self._asked.pop(text, None)
        if future is None:
            return  # closed meanwhile
        if isinstance(result, EmbedderError):
            _fail(future, result)
        elif not future.done():
            future.set_result(result)


async def checked(
    embedder: Embedder, texts: Sequence[str], patience_s: float
) -> Sequence[Vector | EmbedderError]:
    """For each text a vector of unit length, not to be written to; or what is wrong with it.

    Raises:
        EmbedderError: it failed, took longer than ``patience_s``, or gave more or fewer.
    """
    try:
        async with asyncio.timeout(patience_s):
            vectors = await embedder.embed(texts)
        results = [_sound(vector, embedder.dimensions) for vector in vectors]
    except EmbedderError:
        raise
    except TimeoutError as error:
        raise EmbedderError(f"no vectors within {patience_s:g} seconds") from error
    except Exception as error:  # it is never trusted; what it says may quote the texts
        raise EmbedderError(f"a bug in it, {type(error).__name__}") from error
    if len(results) != len(texts):
        raise EmbedderError(f"{len(results)} vectors for {len(texts)} texts")
    return results


def _sound(vector: Vector, dimensions: int) -> Vector | EmbedderError:
    wide = np.asarray(vector, np.float64)  # in which no square of a float32 is lost
    if wide.shape != (dimensions,):
        return EmbedderError(f"a vector of {wide.size} numbers where {dimensions} are expected")
    length = math.sqrt(float(np.dot(wide, wide)))
    if not math.isfinite(length):
        return EmbedderError("a vector of what is no finite number")
    if length == 0.0:
        return EmbedderError("a vector of zeros")
    unit: Vector = (wide / length).astype(np.float32)
    unit.flags.writeable = False
    return unit


def _fail(future: asyncio.Future[Vector], error: EmbedderError) -> None:
    if not future.done():
        future.set_exception(error)


def _retrieve(future: asyncio.Future[Vector]) -> None:
    """Look at a failure, which perhaps nobody does, so that nobody is blamed for it."""
    if not future.cancelled():
        future.exception()

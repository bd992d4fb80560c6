"""Garbage that only a collection finds, looked for a little at a time.

Left to itself the interpreter looks at what is new when there are more objects by 700 than the last
time. Where each new answer takes the place of another there never are: the new pile up, and to look
at 20,000 of them takes 20 ms in which nothing is answered. And now and then it looks at all there
is, most of which are stored answers, and no garbage: half a microsecond for each object.

Rules:

1. What is new is looked at by time, and the more often the longer it takes: a fraction of a
   millisecond each time.
2. What outlives that is not looked at again: requests leave no garbage but by failing, and what is
   stored lives long.
3. What was under way outlived it, too, and may fail: an exception and the frames it went through
   hold on to each other. So all is looked at once the process has grown by a half beyond what is
   stored, or by less where nothing else is to be done or memory is scarce. What does not make it
   grow harms nobody.
4. What the system gave does not tell that alone: what was freed stays with the process, and as much
   garbage again goes into it unseen. So small objects are counted as well, and what is freed is
   asked to be given back.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import Final

_TAKES_S: Final = (0.000_3, 0.000_7)  # what a look at the new should take, at least and at most
_EVERY_S: Final = (0.01, 0.25)  # and how far apart two may be
_WEIGHED_S: Final = 1.0  # between two looks at how large the process is
_CALM: Final = 0.05  # of a core, used in that time: nothing else is to be done
_GROWTH: Final = 64 * 2**20  # bytes that a small process may grow by: half a second of garbage
_SHARE: Final = 2  # of its size, that a large one may
_SOONER: Final = 4  # times sooner where it does no harm, or is needed
_UNTOLD_S: Final = 600.0  # between two looks at everything where nobody can tell a process's size


class Garbage:
    """The collector of this process: ``start`` it on the loop, and ``close`` it in the end.

    Args:
        sizes: each tells in one way how many bytes the process takes; None: nobody can say.
        scarce: whether memory runs out.
        freed: told that much may have been freed.
        clock: seconds, monotonic.
        used: seconds of processor time that the process has had.
    """

    def __init__(
        self,
        sizes: Sequence[Callable[[], int | None]],
        scarce: Callable[[], bool],
        freed: Callable[[], None],
        clock: Callable[[], float],
        used: Callable[[], float],
    ) -> None:
        self.full = 0  # looks at everything, so far
        self._sizes = sizes
        self._scarce = scarce
        self._freed = freed
        self._clock = clock
        self._used = used
        self._least: list[int | None] = []  # that each told since the last look at everything
        self._looked_at = self._weighed_at = 0.0
        self._used_then = 0.0
        self._every_s = _EVERY_S[1]
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin. What was made by now counts as stored for good."""
        gc.callbacks.append(_keep)
        gc.collect()
        self._begin_anew()
        self._weigh_next(self._clock())
        self._wait()

    def close(self) -> None:
        """Leave it to the interpreter again. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.callbacks.remove(_keep)
            gc.unfreeze()

    def look(self) -> None:
        """Look at what is new, and at everything if that is due."""
        began = self._clock()
        gc.collect(0)
        now = self._clock()
        self._every_s = paced(self._every_s, now - began)
        if now - self._weighed_at >= _WEIGHED_S:
            if self._is_due(now):
                gc.unfreeze()
                gc.collect()
                self.full += 1
                self._freed()
                self._begin_anew()
            self._weigh_next(now)

    def _is_due(self, now: float) -> bool:
        sizes = self._weigh()
        if None in sizes and now - self._looked_at >= _UNTOLD_S:
            return True
        calm = self._used() - self._used_then < _CALM * (now - self._weighed_at)
        sooner = calm or self._scarce()
        # Given back meanwhile: it is to be seen when it grows into that again.
        self._least = [_lesser(*both) for both in zip(self._least, sizes, strict=True)]
        return any(
            least is not None and size is not None and outgrown(least, size, sooner=sooner)
            for least, size in zip(self._least, sizes, strict=True)
        )

    def _weigh(self) -> list[int | None]:
        return [size() for size in self._sizes]

    def _begin_anew(self) -> None:
        self._least = self._weigh()
        self._looked_at = self._clock()

    def _weigh_next(self, now: float) -> None:
        self._weighed_at, self._used_then = now, self._used()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._on_time)

    def _on_time(self) -> None:
        try:
            self.look()
        finally:
            self._wait()


def paced(every_s: float, took_s: float) -> float:
    """In how many seconds to look at what is new again, where it took ``took_s`` this time."""
    least, most = _TAKES_S
    if took_s > most:
        return max(_EVERY_S[0], every_s / 2)
    return min(_EVERY_S[1], every_s * 2) if took_s < least else every_s


def outgrown(before: int, now: int, *, sooner: bool) -> bool:
    """Whether a process has grown so much, in bytes, that all of it is to be looked at."""
    most = max(_GROWTH, before // _SHARE)
    return now - before >= (most // _SOONER if sooner else most)


def _lesser(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _keep(phase: str, _: dict[str, int]) -> None:
    """After any collection, the interpreter's own among them: what is left is not looked at."""
    if phase == "stop":
        gc.freeze()

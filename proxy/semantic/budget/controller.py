"""The error budget: how near a question must be so that at most so many hits are wrong.

It is told of single answers that were right or wrong, and says for each stratum (an embedder, a
script, family of questions) from which cosine on a neighbour's answer may be served. How the
threshold moves is told in ``course``; here are the strata, the noise, the floors of entries, and
what outlives a restart.

What is reported is an estimate, bounds that hold the true error 95 times in 100, and how many
labels that rests on. It is as honest as its labels: those whose answers nobody could compare are
not in it, and a caller that is wrong about being wrong makes it look worse than it is.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from proxy.semantic.budget.course import Course, Known, Turn
from proxy.semantic.budget.floors import Floors
from proxy.semantic.budget.labels import Label, Sample, Stratum
from proxy.semantic.budget.saved import restore, row, sample_of

_VERSION: Final = 1
_TOP: Final = 0.97  # above, too little is found to tell how much of it is wrong
_STRATA: Final = 256
_FLOORS: Final = 50_000
_NOISE_MEMORY: Final = 2000.0  # exact hits
_HALF_LIFE_S: Final = 14 * 86_400.0  # models behind a name change, without a word, in weeks


class Estimate(NamedTuple):
    """How often hits of a stratum are wrong, as far as is known. Shares from 0 to 1."""

    error: float  # wrong answers per hit, noise taken off; 0 if nothing is known
    low: float  # the true one is between these 95 times in 100
    high: float
    raw: float  # as labelled
    noise: float  # the share of exact hits judged different: the raw one would show it too
    labels: int  # learned of the stratum, ever
    effective: float  # labels, as independent ones of equal weight, at this threshold
    threshold: float  # while open, the one it would start from
    open: bool  # the breaker: nothing is served


class Change(NamedTuple):
    """What a label has changed, for the log: an opened breaker is worth a warning."""

    turn: Turn
    before: float | None  # the threshold; None: nothing was served
    after: float | None
    known: Known  # what made for it: of the last 100 labels or of all, whichever it was


class Budget:
    """Thresholds that keep to a share of wrong answers per hit. Pure, and raises nothing.

    Args:
        delta: that share, above 0 and below 1.
        start: the cosine to start with, for this embedder.
        floor: the lowest it may come to; at most ``start``.
        strata: how many are kept; beyond, the ones not used for longest are forgotten, those whose
            breaker is open last.
        floors: how many entries that were wrong are kept.
    """

    def __init__(
        self,
        delta: float = 0.02,
        start: float = 0.90,
        floor: float = 0.75,
        *,
        strata: int = _STRATA,
        floors: int = _FLOORS,
    ) -> None:
        if not 0 < delta < 1:
            raise ValueError("delta is a share between 0 and 1")
        if not -1 <= floor <= start <= 1:
            raise ValueError("floor and start are cosines, the floor not above the start")
        self.delta = delta
        self.least = floor
        self._grid = _grid(start, floor)
        self._start = self._grid.index(start)
        self._most = strata
        self._courses: OrderedDict[Stratum, Course] = OrderedDict()
        self._noise = Sample()
        self._floors = Floors(floors)

    # -- thresholds ---------------------------------------------------------------------------

    def threshold(self, stratum: Stratum) -> float | None:
        """The cosine from which on a neighbour may be served; None: nothing may be."""
        course = self._courses.get(stratum)
        if course is None:
            return self._grid[self._start]
        self._courses.move_to_end(stratum)
        return None if course.open else course.threshold

    def learn(self, stratum: Stratum, label: Label, now: float) -> Change | None:
        """Learn of one answer; what changed by it, if anything.

        ``now`` is in seconds since 1970: what was learned halves in 14 days.
        """
        if not label.usable:
            return None
        course = self._course(stratum)
        _age(course, now)
        before = _serving(course)
        move = course.learn(label, self._noise.share())
        return None if move is None else Change(move.turn, before, _serving(course), move.known)

    def noise(self, *, different: bool) -> None:
        """Learn of an exact hit, whose answer was compared as if it were another's."""
        self._noise.add(1.0, _NOISE_MEMORY, wrong=different)

    def estimate(self, stratum: Stratum) -> Estimate:
        """What is known of the stratum now."""
        course = self._courses.get(stratum) or Course(self._grid, self._start, self.delta)
        noise = self._noise.share()
        raw, error = course.known(noise)
        return Estimate(
            error=error.value,
            low=error.low,
            high=error.high,
            raw=raw.value,
            noise=noise.value,
            labels=course.labels,
            effective=raw.effective,
            threshold=course.threshold,
            open=course.open,
        )

    def strata(self) -> tuple[Stratum, ...]:
        """Those of which something is known, the one used last at the end."""
        return tuple(self._courses)

    def forget(self, stratum: Stratum | None = None) -> None:
        """Start this stratum anew, breaker and all; None: all of them, and the noise."""
        if stratum is not None:
            self._courses.pop(stratum, None)
            return
        self._courses.clear()
        self._noise = Sample()

    # -- entries ------------------------------------------------------------------------------

    def floor(self, digest: bytes) -> float | None:
        """The cosine up to which the entry is not to be served; None if it was never wrong.

        It can be above 1: not by meaning, then.
        """
        return self._floors.get(digest)

    def wrong(self, digest: bytes, score: float) -> None:
        """Note that the entry's answer was wrong for a question as near as ``score``."""
        self._floors.wrong(digest, score)

    def right(self, digest: bytes) -> None:
        """Let go of the entry's floor: it has another answer now."""
        self._floors.forget(digest)

    # -- across restarts ----------------------------------------------------------------------

    def saved(self) -> dict[str, object]:
        """All that is known, fit for JSON: some 1 KB a stratum and 90 bytes a floor."""
        return {
            "version": _VERSION,
            "grid": list(self._grid),
            "noise": list(self._noise.sums()),
            "strata": [row(stratum, course) for stratum, course in self._courses.items()],
            "floors": self._floors.saved(),
        }

    def restored(self, saved: object) -> bool:
        """Know what was saved, and nothing else; False if it is of no use: then nothing is known.

        With another start or floor the thresholds are others, and only noise and floors are kept.
        Another ``delta`` is no hindrance: what was learned holds for any.
        """
        self.forget()
        self._floors = Floors(self._floors.most)
        match saved:
            case {
                "version": int(version),
                "grid": list(grid),
                "noise": list(noise),
                "strata": list(rows),
                "floors": list(floors),
            } if version == _VERSION:
                self._noise = sample_of(noise) or Sample()
                self._floors.restore(floors)
                if grid == list(self._grid):
                    self._restore(rows)
                return True
            case _:
                return False

    def _restore(self, rows: list[object]) -> None:
        for saved in rows[-self._most :]:
            course = Course(self._grid, self._start, self.delta)
            stratum = restore(course, saved)
            if stratum is not None:
                self._courses[stratum] = course

    def _course(self, stratum: Stratum) -> Course:
        course = self._courses.get(stratum)
        if course is None:
            course = self._courses[stratum] = Course(self._grid, self._start, self.delta)
            if len(self._courses) > self._most:
                self._drop(stratum)
        self._courses.move_to_end(stratum)
        return course

    def _drop(self, new: Stratum) -> None:
        """Forget one other than ``new``; one whose breaker is open would serve again: last."""
        others = [stratum for stratum in self._courses if stratum != new]
        dropped = next((one for one in others if not self._courses[one].open), others[0])
        del self._courses[dropped]


def _serving(course: Course) -> float | None:
    return None if course.open else course.threshold


def _age(course: Course, now: float) -> None:
    """Let what is known fade by the time since it was last told something."""
    if course.seen is not None and now > course.seen:
        course.fade(0.5 ** ((now - course.seen) / _HALF_LIFE_S))
    course.seen = now


def _grid(start: float, floor: float) -> tuple[float, ...]:
    """Thresholds from ``floor`` to the top in hundredths, ``start`` one of them."""
    top = max(start, _TOP)
    down = [start]
    while down[-1] > floor:
        down.append(max(floor, round(start - len(down) / 100, 6)))
    up = [start]
    while up[-1] < top:
        up.append(min(top, round(start + len(up) / 100, 6)))
    return (*reversed(down), *up[1:])

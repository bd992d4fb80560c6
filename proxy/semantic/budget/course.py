"""The course of one stratum: its threshold, what it is known to cost, and when it moves.

For every threshold it might have, from the floor up in hundredths, there is a sample of the labels
with scores at or above it, weighted, with a long memory: it proves. What happens now is told by
three that count each label once and remember few: the hits at this threshold, and the misses below
it, of late and before.

After each label, in this order:

1. Breaker. The lower bound of the error is above twice the budget, at the threshold or among all
   that was served while it only went up: nothing is served by meaning any more, and all that was
   known is forgotten.
2. Up by 0.02. That lower bound is above the budget. At the top, where up is nowhere: the breaker.
3. Up by 0.01. The error is above the budget by more than one standard deviation: not proven, but
   likelier than not, and a wrong answer is worse than a slow one.
4. Doubt. The misses of late contradict those before (their intervals do not meet): the world has
   changed, perhaps above the threshold too. All that was known counts for 20 labels from now on,
   and if it changed for the worse, the threshold goes up by 0.02.
5. Down by up to 0.02. Some lower threshold is proven: the upper bound there is within the budget,
   on at least 40 effective labels, and the hits of late do not speak against it. The lowest such
   is where it goes. Looked at after every 20 labels with scores that it would serve then.

1 to 3 look at the last hits first, then at the sample with the long memory.

While the breaker is open nothing is served, so every neighbour is a miss and its label is free. It
closes when these labels, none older than that, prove a threshold not below the one to start with,
or, on 400 of them, the error and one standard deviation are within the budget. A threshold whose
lower bound is above the budget has failed, and is tried anew with none of these labels. Each time
it opens again it asks for four times as many, until the threshold once came down.
The way back is never by time: else the same wrong answers would be tried on users again and again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from proxy.semantic.budget.labels import Label, Sample, Source
from proxy.semantic.budget.wilson import Corrected, Share, at_most, corrected

LEAST: Final = 40.0  # effective labels, to prove anything
_WARNED: Final = 20.0  # hits of late, to warn of anything: below, two wrong ones would do
_RETURNS: Final = 100.0  # effective labels, to close the breaker
_RETURNS_MOST: Final = 1200.0  # after it opened again and again: the memory is not much longer
_TRIPS: Final = 4  # from there on that is what it wants
_RETURNS_LIKELY: Final = 400.0  # as above, where noise leaves no hope of a proof
_LONG: Final = 1500.0  # effective labels remembered; at 2 % that proves what is truly 1.3 %
_SHORT: Final = 50.0  # labels: so many show a change for the worse
_DOUBTFUL: Final = 20.0  # labels, as which all of the past counts once it is in doubt
_PACE_DOWN: Final = 20  # labels of the step down: without any, nothing is known of it
_PACE_UP: Final = 10  # before a step up by what is only likely: one label of much weight is chance
_LIKELY: Final = 1.0  # standard deviations
_SURE: Final = 2.3  # standard deviations; looked at after every label, 1.96 doubts too often
_HUNDREDTHS: Final = 2  # in a step


class Turn(StrEnum):
    """What a label has changed."""

    RAISED = "raised"
    LOWERED = "lowered"
    OPENED = "opened"  # the breaker: nothing is served
    CLOSED = "closed"
    DOUBTED = "doubted"  # labels are not what they were: look closely


class Known(NamedTuple):
    """What is known of the error at one threshold."""

    raw: Share  # as labelled, noise and all
    error: Corrected


class Move(NamedTuple):
    """A turn, and what made for it."""

    turn: Turn
    known: Known


class Course:
    """One stratum's threshold.

    Args:
        grid: thresholds, upwards, at most 0.01 apart.
        start: which of them it has at first.
        delta: the budget: wrong answers per hit, from 0 to 1.
    """

    def __init__(self, grid: tuple[float, ...], start: int, delta: float) -> None:
        self._grid = grid
        self._start = start
        self._delta = delta
        self.at = start
        self.open = False
        self.trips = 0  # how often it opened since the threshold last came down
        self.labels = 0  # learned since it was made
        self.seen: float | None = None  # when the last one was learned, seconds since 1970
        self.samples = [Sample() for _ in grid]  # of labels at or above each threshold
        self._above = 0  # labels at or above the threshold, since it moved
        self._below = 0  # labels of the next step down, since it moved or that was looked at
        self._settle()

    @property
    def threshold(self) -> float:
        """The one it has, or will look at first when the breaker closes."""
        return self._grid[self.at]

    def jump(self, at: int) -> None:
        """Take the threshold with this index."""
        self.at = at
        self._settle()

    def known(self, noise: Share) -> Known:
        """The error at the threshold."""
        return _known(self.samples[self.at], noise)

    def fade(self, keep: float) -> None:
        """Let all that is known count ``keep`` times as much."""
        for sample in self.samples:
            sample.fade(keep)

    def learn(self, label: Label, noise: Share) -> Move | None:
        """Count a label, and move if that is called for. One below all thresholds says nothing."""
        if label.score < self._grid[0]:
            return None
        self.labels += 1
        self._count(label)
        if self.open:  # and what is below the start says nothing of where it may close
            return self._close(noise) if label.score >= self._grid[self._start] else None
        move = self._up(noise) or self._doubt(noise)
        if move is None and self._below >= _PACE_DOWN:
            self._below = 0
            return self._down(noise)
        return move

    def _count(self, label: Label) -> None:
        for threshold, sample in zip(self._grid, self.samples, strict=True):
            if threshold > label.score:
                break
            sample.add(label.weight, _LONG, wrong=label.wrong)
        if self.open:
            for threshold, trial in zip(self._grid, self._trials, strict=True):
                if threshold > label.score:
                    break
                trial.add(label.weight, _LONG, wrong=label.wrong)
        if label.score >= self.threshold:
            self._above += 1
        elif label.score >= self._grid[max(0, self.at - _HUNDREDTHS)]:
            self._below += 1
        if label.source is Source.FEEDBACK:
            return  # told because it was wrong: no sample of what happens
        if label.served:
            for at in range(self._settled, len(self._grid)):
                if self._grid[at] > label.score:
                    break
                self._hits[at].add(1.0, _SHORT, wrong=label.wrong)
        else:
            self._misses.add(1.0, _SHORT, wrong=label.wrong)
            self._misses_before.add(1.0, _LONG, wrong=label.wrong)

    def _up(self, noise: Share) -> Move | None:
        served = _known(self._hits[self._settled], noise)
        if served.raw.effective >= _WARNED and served.error.low > 2 * self._delta:
            return self._break(served)
        for sample, least in ((self._hits[self.at], _WARNED), (self.samples[self.at], LEAST)):
            known = _known(sample, noise)
            if known.raw.effective < least or known.error.value <= self._delta:
                continue
            if known.error.low > 2 * self._delta:
                return self._break(known)
            if known.error.low > self._delta:
                return self._raise(_HUNDREDTHS, known)
            likely = corrected(known.raw, noise, _LIKELY).low > self._delta
            if likely and self._above >= _PACE_UP:
                return self._raise(1, known)
        return None

    def _raise(self, steps: int, known: Known) -> Move:
        top = len(self._grid) - 1
        if self.at == top:
            return self._break(known)
        self.at = min(top, self.at + steps)
        self._above = self._below = 0
        return Move(Turn.RAISED, known)

    def _break(self, known: Known) -> Move:
        self.open = True
        self.trips += 1
        self.at = self._start
        self.samples = [Sample() for _ in self._grid]
        self._settle()
        return Move(Turn.OPENED, known)

    def _doubt(self, noise: Share) -> Move | None:
        before, late = self._misses_before.share(), self._misses.share()
        if not _contradict(before, late):
            return None
        for sample in self.samples:
            sample.shrink(_DOUBTFUL)
        self._settle()
        known = self.known(noise)
        if late.value > before.value and self.at < len(self._grid) - 1:
            return self._raise(_HUNDREDTHS, known)
        return Move(Turn.DOUBTED, known)

    def _down(self, noise: Share) -> Move | None:
        if _known(self._hits[self.at], noise).error.value > self._delta:
            return None
        for at in range(self.at):
            known = _known(self.samples[at], noise)
            if known.raw.effective >= LEAST and at_most(known.raw, noise) <= self._delta:
                self.at = max(at, self.at - _HUNDREDTHS)
                self.trips = 0
                self._settle()
                return Move(Turn.LOWERED, known)
        return None

    def _close(self, noise: Share) -> Move | None:
        for at in range(self._start, len(self._grid)):
            known = _known(self._trials[at], noise)
            if known.raw.effective >= _WARNED and known.error.low > self._delta:
                self._trials[at] = Sample()  # failed: another one
            elif self._may_return(known, noise):
                self.open = False
                self.at = at
                self.samples = self._trials
                self._settle()
                return Move(Turn.CLOSED, known)
        return None

    def _may_return(self, known: Known, noise: Share) -> bool:
        again = min(_TRIPS, max(0, self.trips - 1))
        wanted = min(_RETURNS_MOST, _RETURNS * 4.0**again)
        if known.raw.effective < wanted:
            return False
        if at_most(known.raw, noise) <= self._delta:
            return True
        if known.raw.effective < _RETURNS_LIKELY:
            return False
        return corrected(known.raw, noise, _LIKELY).high <= self._delta

    def _settle(self) -> None:
        """Begin at a threshold: what are hits and misses is not what it was."""
        self._above = self._below = 0
        self._settled = self.at
        # While the breaker is open. Apart from ``samples``, which are what is reported: of trials,
        # those that went badly are gone, so what is left looks better than it is.
        self._trials = [Sample() for _ in self._grid]
        self._hits = [Sample() for _ in self._grid]  # only those from ``_settled`` on are of use
        self._misses = Sample()
        self._misses_before = Sample()


def _known(sample: Sample, noise: Share) -> Known:
    raw = sample.share()
    return Known(raw, corrected(raw, noise))


def _contradict(before: Share, late: Share) -> bool:
    """Whether both cannot be of one world."""
    if min(before.effective, late.effective) < LEAST:
        return False
    low, high = before.bounds(_SURE)
    late_low, late_high = late.bounds(_SURE)
    return late_low > high or late_high < low

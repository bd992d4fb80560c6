"""Bounds on a share of which only a sample is known, and what noise in the measuring does to it.

Wilson's score interval, two-sided at 95 %. It says a little more than the exact one (Clopper and
Pearson) when none was wrong, which is where it matters here: 0 of 299 gives 1.27 % (exact 1.23 %,
one-sided 1.00 %), 0 of 149 gives 2.51 %. So "the bound is within the budget" is never said of a
sample of 50 or more for which the exact bound would not say so. Just above 0 it is known to miss a
share too small for the sample to show; the lower bound after the first wrong label is therefore the
lower of Wilson's and what a Poisson count of so few would give.

Weighted labels count as so many as their effective number (Kish), ``(sum w)^2 / sum w^2``.

Noise: if a share ``eta`` of the right answers is judged wrong, what is measured is
``e + (1 - e) eta``, so ``e = (measured - eta) / (1 - eta)``. Both are estimates; the bounds of the
difference are put together as Newcombe does (1998, method 10), so that it is as wide as both are.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

Z: Final = 1.96  # 95 %, two-sided: 2.5 % of the normal distribution lie above it
# The means of which 0, 1, 2, 3 or more are seen one time in 40: half of chi-squared's 2.5 % point
# with twice as many degrees of freedom.
_POISSON_LOW: Final = (0.0, 0.025318, 0.242209, 0.618672)
_FEW: Final = float(len(_POISSON_LOW) - 1)  # wrong labels, up to which that bound is looked at
# As noise so much and no more is taken off: else whoever asks for what is never answered twice
# alike could hide any error.
NOISE_MOST: Final = 0.10
_NOISE_LEAST: Final = 20.0  # labels, before which noise is taken to be none

_NOISE_PROVES: Final = 200.0  # labels, before which no proof counts on it


class Bounds(NamedTuple):
    """Shares from 0 to 1 between which the true one lies, 95 times in 100."""

    low: float
    high: float


class Share(NamedTuple):
    """A share as it was measured, and of how many labels."""

    value: float  # 0 to 1; 0 if there are no labels
    effective: float  # labels

    def bounds(self, z: float = Z) -> Bounds:
        """Where the true share lies; 0 to 1 if there are no labels."""
        return wilson(self.value, self.effective, z)


NOTHING: Final = Share(0.0, 0.0)


class Corrected(NamedTuple):
    """A share less the noise in it, all from 0 to 1."""

    value: float
    low: float
    high: float


def wilson(share: float, effective: float, z: float = Z) -> Bounds:
    """Bounds on what ``share``, of ``effective`` labels, is a sample of.

    Args:
        share: 0 to 1.
        effective: how many labels it is measured on; need not be whole. None at all: 0 to 1.
        z: how sure, in standard deviations.
    """
    if effective <= 0:
        return Bounds(0.0, 1.0)
    square = z * z
    whole = effective + square
    middle = (share * effective + square / 2) / whole
    reach = z / whole * sqrt(share * (1 - share) * effective + square / 4)
    low = 0.0 if share <= 0 else max(0.0, middle - reach)
    high = 1.0 if share >= 1 else min(1.0, middle + reach)
    wrong = share * effective
    if 0 < wrong <= _FEW:
        low = min(low, _poisson_low(wrong) / effective)
    return Bounds(low, high)


def corrected(measured: Share, noise: Share, z: float = Z) -> Corrected:
    """``measured`` less ``noise``, with bounds as wide as both make it.

    Noise counts once there are 20 labels of it, and up to 10 %: before and beyond, too much is
    reported, not too little.
    """
    low, high = measured.bounds(z)
    if noise.effective < _NOISE_LEAST:
        return Corrected(measured.value, low, high)
    eta = min(noise.value, NOISE_MOST)
    eta_low, eta_high = (min(bound, NOISE_MOST) for bound in noise.bounds(z))
    rest = 1 - eta
    difference = measured.value - eta
    down = sqrt((measured.value - low) ** 2 + (eta_high - eta) ** 2)
    up = sqrt((high - measured.value) ** 2 + (eta - eta_low) ** 2)
    return Corrected(
        value=_share(difference / rest),
        low=_share((difference - down) / rest),
        high=_share((difference + up) / rest),
    )


def at_most(measured: Share, noise: Share) -> float:
    """What ``measured`` is at most, less as little noise as there may be.

    For proofs: wider than the upper bound of ``corrected``, which trusts that both are not at
    their worst at once.
    """
    eta = 0.0 if noise.effective < _NOISE_PROVES else min(noise.bounds().low, NOISE_MOST)
    return _share((measured.bounds().high - eta) / (1 - eta))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _poisson_low(count: float) -> float:
    """The mean of which ``count`` or more is seen only one time in 40.

    Between whole counts it is drawn straight: weights make such counts, and there is nothing for
    those to be exact about.
    """
    below = min(int(count), len(_POISSON_LOW) - 2)
    left, right = _POISSON_LOW[below : below + 2]
    return left + (right - left) * (count - below)

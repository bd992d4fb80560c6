"""Shadowing: which hits are checked against the upstream after they were served, and what it says.

A stratum's first 50 hits all are; then one in five, until 200 were looked at; from there ever
fewer, in proportion, down to one in 50. What a label stands for is one over that chance. After its
threshold went up, its breaker closed or the budget doubts what it knows, it begins again.

Exact hits are shadowed too, rarely, to learn how often answers to the very same question are judged
different. They have a tenth of the budget, and cannot take more.

A budget of so many a minute bounds the calls. It is one for all, so that no stratum can cost more;
a hit passed over for want of it leaves no label, and the labels of others do not stand for it.
"""

from __future__ import annotations

from collections import OrderedDict
from math import log1p
from typing import Final

from proxy.semantic.budget.labels import Stratum

_ALL: Final = 50  # hits of a stratum that are all looked at
_OFTEN: Final = 0.2
_OFTEN_UNTIL: Final = 200  # looked at
_SELDOM: Final = 0.02
_STRATA: Final = 256
_NOISE_FIRST: Final = 0.25  # of exact hits, until 100 were looked at; then it falls with the square
_NOISE_UNTIL: Final = 100
_NOISE: Final = 0.001  # in the long run
_PATIENT: Final = 16  # doublings, to a quarter of a million hits
_NOISE_PART: Final = 0.1  # of the budget
_MINUTE_S: Final = 60.0


class Purse:
    """So many a minute, and as many at once. It is full at first.

    Args:
        per_minute: what comes in, above 0.
    """

    def __init__(self, per_minute: float) -> None:
        self._rate = per_minute / _MINUTE_S
        self._most = max(1.0, per_minute)
        self._left = self._most
        self._then: float | None = None

    def take(self, now: float) -> bool:
        """Whether there was one left, which is gone now. ``now`` is any clock's, in seconds."""
        if self._then is not None:
            gained = max(0.0, now - self._then) * self._rate
            self._left = min(self._most, self._left + gained)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Looked:
    """How often one stratum was."""

    __slots__ = ("hits", "looked")

    def __init__(self) -> None:
        self.hits = 0
        self.looked = 0


class Shadowing:
    """Decides which hits to shadow. Counters are plain integers that only grow.

    Args:
        per_minute: calls upstream, above 0, exact hits among them.
        least: the chance that a hit is looked at in the long run, above 0, at most 0.2.
        strata: how many are counted apart; beyond, those not used for longest begin again.
    """

    def __init__(
        self, per_minute: float = 60.0, *, least: float = _SELDOM, strata: int = _STRATA
    ) -> None:
        if per_minute <= 0 or not 0 < least <= _OFTEN:
            raise ValueError("the budget and the chance are above 0, the chance at most 0.2")
        self._least = least
        self._most = strata
        self._strata: OrderedDict[Stratum, _Looked] = OrderedDict()
        self._exact = 0
        self._refused = 0  # exact hits in a row that there was nothing left for
        self._hits_purse = Purse(per_minute * (1 - _NOISE_PART))
        self._noise_purse = Purse(per_minute * _NOISE_PART)
        self.drawn = 0
        self.unaffordable = 0  # drawn, but there was nothing left in the budget

    def draw(self, stratum: Stratum, dice: float, now: float) -> float | None:
        """The weight of the label of this hit, if it is to be looked at; None if not.

        To be asked once for each hit that may be looked at (what has effects never is).

        Args:
            stratum: the hit's.
            dice: a number from 0 up to 1, each time another.
            now: on a clock that never goes back, in seconds.
        """
        known = self._strata.get(stratum)
        if known is None:
            known = self._strata[stratum] = _Looked()
            if len(self._strata) > self._most:
                self._strata.popitem(last=False)
        self._strata.move_to_end(stratum)
        chance = self._chance(known)
        known.hits += 1
        if dice >= chance or not self._affords(self._hits_purse, now):
            return None
        known.looked += 1
        return 1 / chance

    def draw_exact(self, dice: float, now: float) -> bool:
        """Whether to look at this exact hit, to learn of the noise."""
        if dice >= self._exact_chance():
            return False
        if not self._affords(self._noise_purse, now):
            self._refused += 1
            return False
        self._refused = 0
        self._exact += 1
        return True

    def gap(self, dice: float) -> int:
        """How many exact hits to pass over before the next that is drawn.

        As if each were drawn for itself, at the cost of one draw: of hits there are many, and they
        are fast. Where there was nothing left for the last ones drawn, it is twice as many for each
        of those: thousands a second would be drawn until there is something again.
        """
        gap = int(log1p(-dice) / log1p(-self._exact_chance()))
        return gap << min(self._refused, _PATIENT)

    def again(self, stratum: Stratum) -> None:
        """Look closely once more: its threshold went up, it serves again, or is in doubt."""
        self._strata.pop(stratum, None)

    def _exact_chance(self) -> float:
        chance = _NOISE_FIRST * min(1.0, _NOISE_UNTIL / max(1, self._exact)) ** 2
        return max(_NOISE, chance)

    def _chance(self, known: _Looked) -> float:
        if known.hits < _ALL:
            return 1.0
        return max(self._least, _OFTEN * min(1.0, _OFTEN_UNTIL / max(1, known.looked)))

    def _affords(self, purse: Purse, now: float) -> bool:
        self.drawn += 1
        if purse.take(now):
            return True
        self.unaffordable += 1
        return False

"""How old a response is, and for how long it is fresh (RFC 9111, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.model.message import Head
from proxy.rfc9111.told import Told
from proxy.wire.cache_control import LONGEST_S, delta_seconds, epoch_of

# Cacheable by heuristics (RFC 9110, section 15.1); 206 is not among what is stored here.
HEURISTIC: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})


@dataclass(frozen=True, slots=True)
class Heuristic:
    """What is assumed of a response that does not say how long it is fresh (section 4.2.2).

    ``fraction`` of the time since it was last modified, ``longest`` seconds at most; 0: nothing.
    """

    fraction: float = 0.0
    longest: float = 86_400.0


def age_at_arrival(head: Head, asked_s: float, wall: float) -> float:
    """How many seconds old a response is when its head is here (section 4.2.3).

    An Age that makes no sense counts as the greatest there is: the response may be of any age.

    Args:
        asked_s: seconds since it was asked for.
        wall: seconds since 1970, now.
    """
    index = head.headers.index()
    made = epoch_of(index.get("date", ""))
    apparent = 0.0 if made is None else max(0.0, wall - made)
    # A clock of whole seconds makes a response look up to one second older than it is.
    apparent = 0.0 if apparent < 1.0 else apparent
    told = 0.0
    if "age" in index:
        # RFC 9111, section 5.1: of several the first. What is no number should be ignored, says the
        # standard; but whoever wrote it has a cache with something in it.
        known = delta_seconds(index["age"].partition(",")[0].strip(" \t"))
        told = float(LONGEST_S) if known is None else known
    return max(apparent, told + asked_s)


def lifetime_of(head: Head, told: Told, heuristic: Heuristic, wall: float) -> float | None:
    """For how many seconds a response is fresh (section 4.2.1); None if it does not say.

    Args:
        wall: seconds since 1970, when it came.
    """
    for seconds in (told.s_maxage, told.max_age):
        if seconds is not None:
            return seconds
    if told.targeted:
        return None
    index = head.headers.index()
    made = epoch_of(index.get("date", ""))
    since = wall if made is None else made
    if "expires" in index:
        # Of several only one that is a date on its own would be read: none is (section 4.2.1).
        ends = epoch_of(index["expires"])
        return 0.0 if ends is None else float(min(max(0, ends - since), LONGEST_S))
    if heuristic.fraction <= 0.0 or not (head.status in HEURISTIC or told.public):
        return None
    changed = epoch_of(index.get("last-modified", ""))
    if changed is None:
        return None
    return min(max(0.0, since - changed) * heuristic.fraction, heuristic.longest)

"""Whether what is stored may answer a request (RFC 9111, sections 4, 4.2.4 and 5.2.1)."""

from __future__ import annotations

from proxy.model.decision import Hit, Miss, Why
from proxy.model.entry import Entry
from proxy.model.query import Controls
from proxy.rfc9111.told import told_by


def reuse(
    entry: Entry, tier: str, controls: Controls, now: float, surrogate: str = ""
) -> Hit | Miss:
    """Whether ``entry`` may be served at ``now``, and why.

    A miss has a fallback if the entry may stand in should the backend fail. A limit that the caller
    sets holds whatever fails.

    Args:
        surrogate: as for ``told_by``.
    """
    if controls.no_cache:
        return Miss(Why.NO_CACHE, tier=tier)
    age = entry.age(now)
    left = entry.lifetime.ttl - age
    if controls.max_age is not None and age > controls.max_age:
        return Miss(Why.MAX_AGE, tier=tier)
    if controls.min_fresh is not None and left < controls.min_fresh:
        return Miss(Why.MIN_FRESH, tier=tier)
    if left > 0:
        return Hit(entry, Why.FRESH, tier)
    life = entry.lifetime
    if controls.max_stale is not None:
        # The windows are 0 where the backend forbids stale answers, but also where it is silent.
        if -left <= controls.max_stale and not told_by(entry.head.headers, surrogate).never_stale:
            return Hit(entry, Why.MAX_STALE, tier)
        return Miss(Why.EXPIRED, tier=tier)
    if controls.max_age is not None or controls.min_fresh is not None:
        return Miss(Why.EXPIRED, tier=tier)
    if -left < life.stale_while_revalidate:
        return Hit(entry, Why.SWR, tier)
    return Miss(Why.EXPIRED, entry if -left < life.stale_if_error else None, tier)

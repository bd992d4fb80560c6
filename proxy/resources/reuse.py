"""Whether a stored response may answer a request: as an answer may, or as its backend forbids."""

from __future__ import annotations

from math import inf

from proxy.model.decision import Hit, Miss
from proxy.model.entry import Entry
from proxy.model.query import Controls
from proxy.policy import judge
from proxy.rfc9111.told import told_by


def reuse(entry: Entry, tier: str, controls: Controls, now: float, surrogate: str) -> Hit | Miss:
    """Whether ``entry`` may be served at ``now``, and why (RFC 9111, sections 4 and 4.2.4).

    A miss has a fallback if the entry may stand in should the backend fail.

    Args:
        surrogate: as for ``told_by``.
    """
    keep = None
    if controls.max_stale is not None:
        # The windows are 0 where the backend forbids stale responses, but also where it is silent.
        keep = 0.0 if told_by(entry.head.headers, surrogate).never_stale else inf
    return judge(entry, tier, controls, now, keep=keep)

"""What would become of a request for a resource."""

from __future__ import annotations

from typing import NamedTuple

from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.outcome import Verdict
from proxy.model.query import Controls
from proxy.policy import Terms
from proxy.resources.shelf import Place, Resource
from proxy.wire.cache_control import UNASKED


class Foreseen(NamedTuple):
    """As far as the backend has no say in it."""

    verdict: Verdict
    why: Why
    resource: Resource | None = None  # None: it is passed on, as is all that follows
    place: Place | None = None
    controls: Controls = UNASKED
    terms: Terms | None = None
    key: CacheKey | None = None
    asks_about: bool = False  # the backend is asked whether what is stored still holds

"""The words of an explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.key import KeyParts
from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.meaning import Doubt
from proxy.model.outcome import Verdict
from proxy.model.query import Controls, Query
from proxy.policy import Rule, Terms
from proxy.semantic.found import Nearby
from proxy.tiers.browsing import Look


@dataclass(frozen=True, slots=True)
class Keyed:
    """What is in the key, and what of the request is not."""

    parts: KeyParts
    scope_fields: tuple[str, ...]  # the headers that make the scope
    headers: tuple[str, ...]  # that count by themselves; all of these in lower case
    left_out_headers: tuple[str, ...]
    members: tuple[str, ...]  # of the body, at the top
    left_out_members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """For how long a new answer would be kept, unless the backend has a say in it."""

    ttl_s: float  # at most: chance may take off a share, ``Terms.jitter``
    because: str


@dataclass(frozen=True, slots=True)
class Meant:
    """What the search by meaning comes to."""

    asked: bool  # whether it is searched at all
    doubt: Doubt | None = None  # why nothing is found
    nearby: Nearby | None = None
    served: CacheKey | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One of several inputs."""

    key: CacheKey
    verdict: Verdict
    why: Why
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request if it came now. What is not known is None or empty."""

    generation: int
    verdict: Verdict
    why: Why
    detail: str = ""
    upstream: str | None = None
    dialect: str | None = None
    query: Query | None = None
    key: CacheKey | None = None  # of what would be served, or asked for
    asked_key: CacheKey | None = None  # of the request
    tier: str = ""
    keyed: Keyed | None = None
    looks: Sequence[Look] = ()
    terms: Terms | None = None
    rules: Sequence[tuple[int, Rule]] = ()  # of cache.rules, with their places counted from 0
    about_now: bool = False
    limits: Limits | None = None
    meant: Meant | None = None
    flying: bool = False  # a flight that can be joined is in the air
    controls: Controls = field(default_factory=Controls)
    variants: int = 1  # answers that chance draws from; what is told is of the first
    parts: Sequence[Part] = ()
    steps: Sequence[str] = ()  # what would be tried if the backend failed, in order
    shortened: str = ""  # how the prompt would be made shorter; "": not at all
    notes: Sequence[str] = ()  # what is up to chance or the backend

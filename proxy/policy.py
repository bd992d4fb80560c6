"""The policy: what may be served, what may be kept, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Final

from proxy.model.decision import Bypass, GiveUp, HeadVerdict, Hit, Miss, Share, Why
from proxy.model.entry import Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Controls, Form, Query
from proxy.wire.cache_control import delta_seconds, response_lifetime

# RFC 5861, section 4, names the 5xx; 429 is how an LLM backend most often says "not now".
FAILING: Final = frozenset({429, 500, 502, 503, 504})

# Errors that are about who asks, or about headers the key leaves out: another may be answered.
_FOR_ONE: Final = frozenset({401, 402, 403, 407, 431})

_TARGETED: Final = frozenset({"cdn-cache-control", "sidecache-cache-control"})

# What belongs to one delivery or one account and must reach nobody else.
_PERSONAL: Final = frozenset(
    {
        "set-cookie", "set-cookie2", "cf-ray", "via", "age", "authentication-info",
        "openai-processing-ms", "server-timing", "alt-svc", "nel", "report-to", "traceparent",
        "tracestate", "x-cloud-trace-context", "x-generation-id", "cf-cache-status", "x-cache",
        "x-cache-reason", "openai-organization", "openai-project", "anthropic-organization-id",
    }
)  # fmt: skip
_PERSONAL_PREFIXES: Final = (
    "x-ratelimit-", "ratelimit-", "anthropic-ratelimit-", "x-envoy-", "x-b3-", "x-datadog-",
    "x-litellm-",
)  # fmt: skip
_PERSONAL_SUFFIXES: Final = ("request-id", "requestid", "trace-id", "correlation-id")


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one route and model. Times in seconds, sizes in bytes."""

    enabled: bool = True
    ttl: float = 3600.0
    max_ttl: float = 86400.0  # the most a caller may ask for
    jitter: float = 0.1  # the share of the ttl that chance may take off; never added
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    max_temperature: float | None = None  # above it, or without one given: not cached
    obey_response: bool = False  # the backend's own Cache-Control decides
    max_entry: int = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Rule:
    """Terms for the routes and models that match; None leaves a term as it is.

    ``path`` and ``model`` are shell patterns (``*``, ``?``, ``[...]``), compared with case.
    """

    path: str = "*"
    model: str = "*"
    enabled: bool | None = None
    ttl: float | None = None
    max_ttl: float | None = None
    jitter: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    max_temperature: float | None = None
    obey_response: bool | None = None
    max_entry: int | None = None

    def changes(self) -> dict[str, object]:
        """The terms this rule sets."""
        own = {f.name: getattr(self, f.name) for f in fields(Terms)}
        return {name: value for name, value in own.items() if value is not None}


class Policy:
    """All rules. Every rule that matches applies, in order, so the later one wins.

    Args:
        default: what holds where no rule says otherwise.
        rules: exceptions, general ones first.
        inert_cookies: cookies that never matter to an answer; a reply may set them and still be
            kept, without them.
        is_inert: whether a request header (lower case) is left out of the key.
        own_scopes: whether every caller has a scope of his own, so that nobody else is ever given
            what was stored for him: what RFC 9111, section 5.2.2.7, calls a private cache.
    """

    def __init__(
        self,
        default: Terms,
        rules: tuple[Rule, ...] = (),
        *,
        inert_cookies: frozenset[str] = frozenset(),
        is_inert: Callable[[str], bool] = lambda _name: False,
        own_scopes: bool = True,
    ) -> None:
        self._default = default
        self._rules = [(rule.path, rule.model, rule.changes()) for rule in rules]
        self._inert_cookies = inert_cookies
        self._is_inert = is_inert
        self._own_scopes = own_scopes

    def terms(self, path: str, model: str) -> Terms:
        """What holds for ``model`` at ``path``."""
        terms = self._default
        for rule_path, rule_model, changes in self._rules:
            if fnmatchcase(path, rule_path) and fnmatchcase(model, rule_model):
                terms = replace(terms, **changes)  # type: ignore[arg-type] # same fields
        return terms

    def weigh(self, head: Head, length: int | None, form: Form | None, terms: Terms) -> HeadVerdict:
        """Who may have the response that begins with ``head``; decided once, before its body.

        Errors are shared with all who wait, so that they do not ask in turn, and never kept. What
        the backend marks as private is shared and kept where every caller has a scope of his own,
        and not otherwise; the rest of its Cache-Control counts where it is obeyed.
        """
        if head.status in _FOR_ONE:
            return GiveUp(Why.STATUS)
        if head.status >= 400:  # noqa: PLR2004 - RFC 9110, section 15
            return Share(storable=False, why=Why.STATUS)
        if head.status != 200:  # noqa: PLR2004 - anything else may mean that something was made
            return GiveUp(Why.STATUS)
        if form is None:
            return GiveUp(Why.MEDIA_TYPE)
        if head.headers.get("content-encoding", "identity").lower() != "identity":
            return GiveUp(Why.ENCODED)
        if not self._only_inert_cookies(head.headers):
            return GiveUp(Why.SET_COOKIE)
        if self._varies(head.headers):
            return GiveUp(Why.VARY)
        refusal = response_lifetime(head.headers).refusal
        if refusal is not None and (
            _obeys(terms, head.headers) or (refusal is Why.PRIVATE and not self._own_scopes)
        ):
            return GiveUp(refusal)
        if length is not None and length > terms.max_entry:
            return GiveUp(Why.TOO_LARGE)
        return Share(storable=True)

    def _only_inert_cookies(self, headers: Headers) -> bool:
        return "set-cookie" not in headers or all(
            cookie.partition("=")[0].strip() in self._inert_cookies
            for cookie in headers.all("set-cookie")
        )

    def _varies(self, headers: Headers) -> bool:
        """Whether the answer depends on something that the key leaves out."""
        names = {name.strip().lower() for name in headers.get("vary").split(",")}
        # The upstream is always asked for identity encoding, so Accept-Encoding selects nothing.
        names -= {"", "accept-encoding"}
        return any(name == "*" or self._is_inert(name) for name in names)


def refuse(query: Query, terms: Terms) -> Bypass | None:
    """Why ``query`` is not for the cache at all, or None."""
    if not terms.enabled:
        return Bypass(Why.DISABLED)
    if query.controls.no_store:
        return Bypass(Why.NO_STORE)
    limit = terms.max_temperature
    if limit is not None and (query.temperature is None or query.temperature > limit):
        # A temperature that is left out is the backend's default, which is seldom 0.
        return Bypass(Why.TEMPERATURE)
    return None


def judge(entry: Entry | None, tier: str, controls: Controls, now: float) -> Hit | Miss:
    """Whether ``entry`` may be served at ``now``, and why (RFC 9111, sections 4 and 5.2.1).

    A limit the caller sets holds whatever fails: it is given nothing older or staler in place of
    an error.
    """
    if entry is None:
        return Miss(Why.UNSEEN)
    if controls.no_cache:
        return Miss(Why.NO_CACHE)
    age = entry.age(now)
    left = entry.lifetime.ttl - age
    if controls.max_age is not None and age > controls.max_age:
        return Miss(Why.MAX_AGE, tier=tier)
    if controls.min_fresh is not None and left < controls.min_fresh:
        return Miss(Why.MIN_FRESH, tier=tier)
    if left > 0:
        return Hit(entry, Why.FRESH, tier)
    if controls.max_stale is not None:
        # Past its keep it is of no use to anybody: the backend may have forbidden stale answers.
        if -left <= controls.max_stale and age < entry.lifetime.keep:
            return Hit(entry, Why.MAX_STALE, tier)
        return Miss(Why.EXPIRED, tier=tier)
    if controls.max_age is not None or controls.min_fresh is not None:
        return Miss(Why.EXPIRED, tier=tier)
    if -left < entry.lifetime.stale_while_revalidate:
        return Hit(entry, Why.SWR, tier)
    return Miss(Why.EXPIRED, entry if -left < entry.lifetime.stale_if_error else None, tier)


def lifetime(head: Head, controls: Controls, terms: Terms, dice: float) -> Lifetime:
    """For how long an answer may be used.

    Args:
        dice: evenly distributed in [0, 1); what jitter takes off, so that entries stored together
            do not expire together. A time the backend or the caller set is never exceeded.
    """
    ttl = terms.ttl if controls.ttl is None else min(controls.ttl, terms.max_ttl)
    revalidate, on_error = terms.stale_while_revalidate, terms.stale_if_error
    if _obeys(terms, head.headers):
        told = response_lifetime(head.headers)
        if told.ttl is not None:
            ttl = told.ttl if controls.ttl is None else min(ttl, told.ttl)
        if told.stale_while_revalidate is not None:
            revalidate = told.stale_while_revalidate
        if told.stale_if_error is not None:
            on_error = told.stale_if_error
        if told.must_revalidate:
            revalidate = on_error = 0.0
    if controls.ttl is not None:
        revalidate = 0.0  # who says how old an answer may be means it while a fresh one can be had
    return Lifetime(ttl * (1.0 - terms.jitter * dice), revalidate, on_error)


def _obeys(terms: Terms, headers: Headers) -> bool:
    """Whether the backend's word counts: by the terms, or because it speaks to caches like this.

    RFC 9213: a targeted field is written for caches on purpose, and not out of habit.
    """
    return terms.obey_response or not _TARGETED.isdisjoint(headers.index())


def initial_age(headers: Headers) -> float:
    """The Age a response arrived with, in seconds; 0 if there is none (RFC 9111, section 5.1)."""
    return delta_seconds(headers.get("age").partition(",")[0].strip(" \t")) or 0.0


def impersonal(headers: Headers) -> Headers:
    """``headers`` less what belongs to one delivery or account: cookies, ids, limits, timings."""
    return Headers(
        (name, value)
        for name, value in headers.pairs
        if (lower := name.lower()) not in _PERSONAL
        and not lower.startswith(_PERSONAL_PREFIXES)
        and not lower.endswith(_PERSONAL_SUFFIXES)
    )

"""The policy: what may be served, what may be kept, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from math import log
from typing import Final

from proxy.model.decision import Bypass, GiveUp, HeadVerdict, Hit, Miss, Share, Why
from proxy.model.entry import Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Controls, Form, Query
from proxy.wire.by_names import by_name
from proxy.wire.cache_control import delta_seconds, is_targeted, response_lifetime

# RFC 5861, section 4, names the 5xx; 429 is how an LLM backend most often says "not now", and 529
# how Anthropic says that it is overloaded.
FAILING: Final = frozenset({429, 500, 502, 503, 504, 529})

# Errors that are about who asks, or about headers the key leaves out: another may be answered.
_FOR_ONE: Final = frozenset({401, 402, 403, 407, 431})

# An error under one of these is about the caller, the moment, the connection or a state that others
# change; some of them clients answer by asking again. None is an answer to the question.
PASSING: Final = _FOR_ONE | {408, 409, 421, 423, 424, 425, 429}

# The most that -ln of a throw can be: dice have 53 bits (see ``random.random``).
_LONGEST_THROW: Final = 53 * log(2)

# What belongs to one delivery or one account and must reach nobody else.
_PERSONAL: Final = frozenset(
    {
        "set-cookie", "set-cookie2", "cf-ray", "via", "age", "authentication-info",
        "openai-processing-ms", "server-timing", "alt-svc", "nel", "report-to", "traceparent",
        "tracestate", "x-cloud-trace-context", "x-generation-id", "cf-cache-status", "x-cache",
        "x-cache-reason", "openai-organization", "openai-project", "anthropic-organization-id",
        "anthropic-workspace-id",
    }
)  # fmt: skip
_PERSONAL_PREFIXES: Final = (
    "x-ratelimit-", "ratelimit-", "anthropic-ratelimit-", "x-envoy-", "x-b3-", "x-datadog-",
    "x-litellm-",
)  # fmt: skip
_PERSONAL_SUFFIXES: Final = ("request-id", "requestid", "trace-id", "correlation-id")
_MATCHED: Final = frozenset({"path", "model", "dialect"})  # of a rule; the rest are terms


# A response without any of these fields may be had by all who wait, whatever else it says.
_MAY_BAR: Final = frozenset(
    {
        "content-encoding", "set-cookie", "vary", "cache-control", "expires",
        "sidecache-cache-control", "cdn-cache-control",
    }
)  # fmt: skip


class AboutNow(StrEnum):
    """What becomes of a question about now."""

    SHORTEN = "shorten"  # its answer is kept for a shorter time
    BYPASS = "bypass"
    IGNORE = "ignore"  # as of any other


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one route, model and dialect. Times in seconds, sizes in bytes."""

    enabled: bool = True
    ttl: float = 3600.0
    max_ttl: float = 86400.0  # the most a caller may ask for
    jitter: float = 0.1  # the share of the ttl that chance may take off; never added
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    max_temperature: float | None = None  # above it, or without one given: not cached
    obey_response: bool = False  # the backend's own Cache-Control decides
    max_entry: int = 4 * 2**20
    negative_ttl: float = 60.0  # at most, for an error or an empty result; 0: not kept
    time_sensitive: AboutNow = AboutNow.SHORTEN
    time_sensitive_factor: float = 0.5  # what all three times above are multiplied by
    confident_above: float = 0.9
    confident_factor: float = 2.0  # what the ttl is multiplied by then, up to max_ttl
    refresh_ahead: float = 1.0  # beta of ``renews``; 0: never before the end
    variants: int = 1  # answers kept for one question, of which chance draws one
    max_variants: int = 20  # the most that a caller may ask for
    by_meaning: bool = True  # the question may be answered by the answer to it in other words
    about_now: bool = False  # the question is; see ``hasten``


@dataclass(frozen=True, slots=True)
class Rule:
    """Terms for what matches; None leaves a term as it is.

    ``path``, ``model`` and ``dialect`` are shell patterns (``*``, ``?``, ``[...]``), compared with
    case.
    """

    path: str = "*"
    model: str = "*"
    dialect: str = "*"
    enabled: bool | None = None
    ttl: float | None = None
    max_ttl: float | None = None
    jitter: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    max_temperature: float | None = None
    obey_response: bool | None = None
    max_entry: int | None = None
    negative_ttl: float | None = None
    time_sensitive: AboutNow | None = None
    time_sensitive_factor: float | None = None
    confident_above: float | None = None
    confident_factor: float | None = None
    refresh_ahead: float | None = None
    variants: int | None = None
    max_variants: int | None = None
    by_meaning: bool | None = None

    def matches(self, path: str, model: str, dialect: str) -> bool:
        """Whether it has a say about ``model`` at ``path``, asked in ``dialect``."""
        return (
            fnmatchcase(path, self.path)
            and fnmatchcase(model, self.model)
            and fnmatchcase(dialect, self.dialect)
        )

    def changes(self) -> dict[str, object]:
        """The terms this rule sets."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _MATCHED}
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
        negative: the statuses of errors that may be kept for a moment; see ``PASSING``.
    """

    def __init__(
        self,
        default: Terms,
        rules: tuple[Rule, ...] = (),
        *,
        inert_cookies: frozenset[str] = frozenset(),
        is_inert: Callable[[str], bool] = lambda _name: False,
        own_scopes: bool = True,
        negative: frozenset[int] = frozenset(),
    ) -> None:
        self._default = default
        self._rules = [(rule, rule.changes()) for rule in rules]
        self._inert_cookies = inert_cookies
        self._is_inert = is_inert
        self._own_scopes = own_scopes
        self._negative = frozenset(range(400, 500)) & negative - PASSING

    def terms(self, path: str, model: str, dialect: str) -> Terms:
        """What holds for ``model`` at ``path``, asked in ``dialect``."""
        terms = self._default
        for rule, changes in self._rules:
            if rule.matches(path, model, dialect):
                terms = replace(terms, **changes)  # type: ignore[arg-type] # same fields
        return terms

    def matching(self, path: str, model: str, dialect: str) -> tuple[tuple[int, Rule], ...]:
        """The rules that have a say there, each with its place among all, counted from 0."""
        return tuple(
            (place, rule)
            for place, (rule, _) in enumerate(self._rules)
            if rule.matches(path, model, dialect)
        )

    def weigh(self, head: Head, length: int | None, form: Form | None, terms: Terms) -> HeadVerdict:
        """Who may have the response that begins with ``head``; decided once, before its body.

        Errors are shared with all who wait, so that they do not ask in turn; a few may be kept for
        a moment. What the backend marks as private is shared and kept where every caller has a
        scope of his own, and not otherwise; the rest of its Cache-Control counts where it is
        obeyed.
        """
        if head.status in _FOR_ONE:
            return GiveUp(Why.STATUS)
        if head.status >= 400:  # noqa: PLR2004 - RFC 9110, section 15
            lasts = head.status in self._negative and terms.negative_ttl > 0
            if lasts and not _says_later(head.headers) and not self._bar(head, length, form, terms):
                return Share(storable=True)
            return Share(storable=False, why=Why.STATUS)
        if head.status != 200:  # noqa: PLR2004 - anything else may mean that something was made
            return GiveUp(Why.STATUS)
        why = self._bar(head, length, form, terms)
        return Share(storable=True) if why is None else GiveUp(why)

    def _bar(self, head: Head, length: int | None, form: Form | None, terms: Terms) -> Why | None:
        """Why nobody else may have what begins with ``head``, whatever its status; or None."""
        if form is None:
            return Why.MEDIA_TYPE
        if _MAY_BAR.isdisjoint(head.headers.index()):  # as is usual
            return Why.TOO_LARGE if length is not None and length > terms.max_entry else None
        if head.headers.get("content-encoding", "identity").lower() != "identity":
            return Why.ENCODED
        if not self._only_inert_cookies(head.headers):
            return Why.SET_COOKIE
        if self._varies(head.headers):
            return Why.VARY
        refusal = response_lifetime(head.headers).refusal
        if refusal is not None and (
            obeys(terms, head.headers) or (refusal is Why.PRIVATE and not self._own_scopes)
        ):
            return refusal
        if length is not None and length > terms.max_entry:
            return Why.TOO_LARGE
        return None

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


def answers_wanted(query: Query, terms: Terms) -> int:
    """How many answers to ``query`` are to be kept, of which chance draws one.

    One, where the caller has seeded the model's dice: he wants the same answer again.
    """
    if query.seeded:
        return 1
    wanted = query.controls.variants
    return terms.variants if wanted is None else min(wanted, terms.max_variants)


def hasten(terms: Terms) -> Terms | Bypass:
    """``terms`` for a question about now, or why it is not for the cache at all."""
    match terms.time_sensitive:
        case AboutNow.IGNORE:
            return terms
        case AboutNow.BYPASS:
            return Bypass(Why.TIME_SENSITIVE)
        case AboutNow.SHORTEN:
            return _shortened(terms)


def _shortened(terms: Terms) -> Terms:
    factor = terms.time_sensitive_factor
    return replace(
        terms,
        ttl=terms.ttl * factor,
        stale_while_revalidate=terms.stale_while_revalidate * factor,
        stale_if_error=terms.stale_if_error * factor,
        about_now=True,
    )


class Standing:
    """The terms that a question is under; worked out when they are first looked at.

    To tell whether a long question is about now takes long. Where that only shortens the life of
    an answer, there is time for it while the backend is asked.

    Args:
        terms: of any question to that model at that path.
        about_now: whether it is about now; asked until it has answered. None: that makes no
            difference.
    """

    __slots__ = ("_about_now", "_terms")

    def __init__(self, terms: Terms, about_now: Callable[[], bool] | None = None) -> None:
        self._terms = terms
        self._about_now = about_now

    @property
    def terms(self) -> Terms:
        """What holds for it."""
        if self._about_now is not None:
            self.settle()
        return self._terms

    def settle(self) -> None:
        """Work them out, if that has yet to be done."""
        if (about_now := self._about_now) is not None:
            if about_now():
                self._terms = _shortened(self._terms)
            self._about_now = None  # not before: where that failed nobody knows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Standing) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.terms)


def judge(
    entry: Entry | None, tier: str, controls: Controls, now: float, *, keep: float | None = None
) -> Hit | Miss:
    """Whether ``entry`` may be served at ``now``, and why (RFC 9111, sections 4 and 5.2.1).

    A limit the caller sets holds whatever fails: it is given nothing older or staler in place of
    an error.

    Args:
        keep: up to which age, in seconds, a stale entry is for whoever asks for one; None: as its
            lifetime says.
    """
    if entry is None:
        return Miss(Why.UNSEEN)
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
    if controls.max_stale is not None:
        # Past its keep it is of no use to anybody: the backend may have forbidden stale answers.
        if -left <= controls.max_stale and age < (entry.lifetime.keep if keep is None else keep):
            return Hit(entry, Why.MAX_STALE, tier)
        return Miss(Why.EXPIRED, tier=tier)
    if controls.max_age is not None or controls.min_fresh is not None:
        return Miss(Why.EXPIRED, tier=tier)
    if -left < entry.lifetime.stale_while_revalidate:
        return Hit(entry, Why.SWR, tier)
    return Miss(Why.EXPIRED, entry if -left < entry.lifetime.stale_if_error else None, tier)


def renews(
    hit: Hit, controls: Controls, terms: Terms, now: float, dice: Callable[[], float]
) -> bool:
    """Whether a new answer is to be fetched in the background while ``hit`` is served.

    Of what is stale by stale-while-revalidate: always. Of what is fresh: by chance, the likelier
    the nearer its end and the longer the backend takes, so that an answer in demand is renewed once
    before it ends, and others are not. The chance is that of XFetch (Vattani, Chierichetti and
    Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015).

    Not for a caller who wants the backend left alone or takes what is stale, nor for one whose wish
    for a lifetime would become that of all.

    Args:
        dice: evenly distributed in [0, 1).
    """
    if hit.why is not Why.FRESH:
        return hit.why is Why.SWR and not controls.only_if_cached
    reach = hit.entry.upstream_s * terms.refresh_ahead
    left = hit.entry.ttl_left(now)
    if left > reach * _LONGEST_THROW:  # the usual case: no throw would do
        return False
    if controls.only_if_cached or controls.max_stale is not None or controls.ttl is not None:
        return False
    return reach * -log(1.0 - dice()) >= left


def certain_until(entry: Entry, controls: Controls, terms: Terms) -> float:
    """Until when ``entry`` is fresh for such a caller, and ``renews`` would say no to any throw.

    Returns:
        Seconds on the clock of ``Entry.stored_at``.
    """
    ttl = entry.lifetime.ttl
    most = ttl - entry.upstream_s * terms.refresh_ahead * _LONGEST_THROW
    if controls.max_age is not None:
        most = min(most, controls.max_age)
    if controls.min_fresh is not None:
        most = min(most, ttl - controls.min_fresh)
    return entry.stored_at + most - entry.initial_age


def lifetime(
    head: Head, controls: Controls, terms: Terms, dice: float, confidence: float | None = None
) -> Lifetime:
    """For how long an answer may be used.

    Args:
        dice: evenly distributed in [0, 1); what jitter takes off, so that entries stored together
            do not expire together. A time the backend or the caller set is never exceeded.
        confidence: of the answer in itself, from 0 to 1, where it says so. It prolongs the time
            that neither of them set.
    """
    ttl = terms.ttl
    revalidate, on_error = terms.stale_while_revalidate, terms.stale_if_error
    if confidence is not None and confidence > terms.confident_above:
        ttl = max(ttl, min(ttl * terms.confident_factor, terms.max_ttl))
    if controls.ttl is not None:
        ttl = min(controls.ttl, terms.max_ttl)
    if obeys(terms, head.headers):
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


def negative_lifetime(head: Head, controls: Controls, terms: Terms, dice: float) -> Lifetime:
    """For how long an error or an empty result may be used; never stale.

    What the caller or an obeyed backend says can only make it shorter than the terms do.
    """
    most = min(terms.ttl, terms.negative_ttl) * (1.0 - terms.jitter * dice)
    return Lifetime(min(most, lifetime(head, controls, terms, dice).ttl))


def _says_later(headers: Headers) -> bool:
    """Whether an error says that asking again may help (RFC 9110, section 10.2.3)."""
    return "retry-after" in headers or headers.get("x-should-retry").lower() == "true"


def obeys(terms: Terms, headers: Headers) -> bool:
    """Whether the backend's word counts: by the terms, or because it speaks to caches like this.

    RFC 9213: a targeted field is written for caches on purpose, and not out of habit.
    """
    return terms.obey_response or is_targeted(headers)


def initial_age(headers: Headers) -> float:
    """The Age a response arrived with, in seconds; 0 if there is none (RFC 9111, section 5.1)."""
    return delta_seconds(headers.get("age").partition(",")[0].strip(" \t")) or 0.0


def impersonal(headers: Headers) -> Headers:
    """``headers`` less what belongs to one delivery or account: cookies, ids, limits, timings."""
    pairs = headers.pairs
    kept = [field for field in pairs if not _is_personal(field[0])]
    return headers if len(kept) == len(pairs) else Headers(kept)


def _tells_of_one(name: str) -> bool:
    lower = name.lower()
    return (
        lower in _PERSONAL
        or lower.startswith(_PERSONAL_PREFIXES)
        or lower.endswith(_PERSONAL_SUFFIXES)
    )


_is_personal: Final = by_name(_tells_of_one, longest=64)  # backends repeat themselves

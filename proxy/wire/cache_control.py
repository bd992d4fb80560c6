"""Cache directives: what callers ask of the cache, and what backends allow it (RFC 9111, 5.2).

Requests speak through ``Cache-Control`` and ``Pragma``, through this proxy's own ``X-Cache-*``
fields, and through the ``cache`` object that LiteLLM's clients put into their JSON bodies.
Responses speak through ``Cache-Control``, ``Expires`` and the targeted fields of RFC 9213.

One rule decides every doubt: what makes no sense is read in the way that trusts the cache least. A
``max-age`` that is no number allows no age at all, and a namespace or a tag that cannot be used
means that the cache is not used. What is merely unknown is ignored (RFC 9111, section 5.2.3).
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_tz
from math import inf
from typing import TypeGuard

from proxy.model.decision import Why
from proxy.model.message import Headers
from proxy.model.query import Controls
from proxy.wire.tags import collected, listed

UNASKED = Controls()  # the common case; one for all, so that it costs nothing
LONGEST_S = 2**31  # what any larger number of seconds counts as (RFC 9111, section 1.2.2)
NAMESPACE_LENGTH = 128  # characters

HEARD = frozenset(
    {
        "cache-control", "pragma", "x-cache-control", "x-cache-ttl", "x-cache-namespace",
        "x-cache-tags", "x-cache-semantic", "x-cache-threshold", "x-cache-feedback",
        "x-cache-variants",
    }
)  # fmt: skip
"""The fields of a request that ``controls_from_headers`` looks at."""

_MEMBER = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.?)*(?:"|$))+', re.DOTALL)
_SHARE = re.compile(r"0(?:\.\d{1,9})?|1(?:\.0{1,9})?")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WISHES = frozenset(
    {
        "ttl", "s-maxage", "s-max-age", "no-cache", "no-store", "use-cache", "namespace", "tags",
        "semantic", "threshold",
    }
)  # fmt: skip
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def directives(value: str) -> dict[str, str | None]:
    """The directives of a ``Cache-Control`` field: lower-case names, arguments without quotes.

    A directive without an argument maps to None. Of repeated directives the first counts
    (RFC 9111, section 4.2.1). Malformed members are kept as far as they can be read; an argument
    keeps the spaces before it, so that ``max-age= 5`` does not pass for a number.
    """
    found: dict[str, str | None] = {}
    for name, argument in members(value):
        found.setdefault(name, argument)
    return found


def members(value: str) -> Iterator[tuple[str, str | None]]:
    """As ``directives``, each as it comes, the repeated ones too."""
    for member in value.split(",") if '"' not in value else _MEMBER.findall(value):
        name, equals, argument = member.strip(" \t").partition("=")
        if argument[:1] == '"':
            argument = _ESCAPED.sub(r"\1", argument[1:].removesuffix('"'))
        if name := name.rstrip(" \t").lower():
            yield name, argument if equals else None


def delta_seconds(argument: str | None) -> float | None:
    """A number of seconds, at most 2^31 (RFC 9111, section 1.2.2); None if it is not one."""
    if not argument or not (argument.isascii() and argument.isdigit()):
        return None
    digits = argument.lstrip("0")
    if len(digits) > len(str(LONGEST_S)):  # int() refuses very long ones
        return float(LONGEST_S)
    return float(min(int(digits or "0"), LONGEST_S))


def controls_from_headers(headers: Headers) -> Controls:
    """What the header fields of a request ask of the cache.

    ``X-Cache-Control`` has the grammar of ``Cache-Control``; directives found there replace those
    of the same name. ``Pragma`` counts only where ``Cache-Control`` is absent (RFC 9111, 5.4).
    ``X-Cache-TTL`` is in seconds, or has a unit: ``30s``, ``5m``, ``2h``, ``1d``. ``X-Cache-Tags``
    has the tags by which the answer is to be purged, with commas. ``X-Cache-Semantic: off`` wants
    no answer to another question, ``X-Cache-Threshold: 0.95`` none to one less similar than that,
    ``X-Cache-Feedback: wrong`` says that the last answer to this question was wrong, and
    ``X-Cache-Variants: 3`` that one of up to three answers will do, whichever chance draws.
    """
    index = headers.index()
    standard = index.get("cache-control")
    own = index.get("x-cache-control")
    ttl = index.get("x-cache-ttl")
    namespace = index.get("x-cache-namespace")
    labels = index.get("x-cache-tags")
    semantic = index.get("x-cache-semantic")
    threshold = index.get("x-cache-threshold")
    feedback = index.get("x-cache-feedback")
    several = index.get("x-cache-variants")
    pragma = index.get("pragma") if standard is None else None
    said = standard or own or pragma or namespace or labels or feedback
    if not said and ttl is None and semantic is None and threshold is None and several is None:
        return UNASKED

    asked = directives(standard) if standard else {}
    if pragma and "no-cache" in directives(pragma):
        asked["no-cache"] = None
    if own:
        asked.update(directives(own))
    tags = listed(labels or "")
    variants = None if several is None else int(delta_seconds(several.strip(" \t")) or 0)
    unusable = not _is_namespace(namespace) or tags is None or variants == 0
    complaint = (feedback or "").strip(" \t").lower() == "wrong"
    least = 0.0 if threshold is None else similarity(threshold)
    return Controls(
        no_cache="no-cache" in asked or unusable or complaint,
        no_store="no-store" in asked or unusable,
        only_if_cached="only-if-cached" in asked,
        max_age=_limit(asked, "max-age", 0.0),
        min_fresh=_limit(asked, "min-fresh", float(LONGEST_S)),
        max_stale=inf if asked.get("max-stale", "") is None else _limit(asked, "max-stale", 0.0),
        ttl=None if ttl is None else duration(ttl),
        namespace="" if unusable else namespace or "",
        tags=tags or (),
        by_meaning=_is_on(semantic) and least is not None,
        least_similarity=least or 0.0,
        complaint=complaint,
        variants=variants or None,
    )


def controls_from_object(wish: Mapping[str, object]) -> Controls | None:
    """What LiteLLM's ``cache`` object asks of the cache; None if ``wish`` is no such object.

    Its ``s-maxage`` (or ``s-max-age``) is the greatest age of a stored answer the caller accepts.
    One member that is unknown or of another type means that the object is somebody else's and
    must stay in the body that goes upstream.
    """
    limits: dict[str, float] = {}
    switches: dict[str, bool] = {}
    namespace = ""
    tags: tuple[str, ...] | None = ()
    for name, value in wish.items():
        if name in {"no-cache", "no-store", "use-cache", "semantic"} and isinstance(value, bool):
            switches[name] = value
        elif name in {"ttl", "s-maxage", "s-max-age"} and _is_seconds(value):
            limits[name] = float(min(value, LONGEST_S))
        elif name == "namespace" and isinstance(value, str):
            namespace = value
        elif name == "tags" and _is_texts(value):
            tags = collected(value)
        elif name == "threshold" and _is_seconds(value) and value <= 1:
            limits[name] = float(value)
        elif name not in _WISHES or value is not None:
            return None
    ages = [limits[name] for name in ("s-maxage", "s-max-age") if name in limits]
    unusable = not _is_namespace(namespace) or tags is None
    unused = unusable or not switches.get("use-cache", True)
    return Controls(
        no_cache=switches.get("no-cache", False) or unused,
        no_store=switches.get("no-store", False) or unused,
        max_age=min(ages, default=None),
        ttl=limits.get("ttl"),
        namespace="" if unusable else namespace,
        tags=tags or (),
        by_meaning=switches.get("semantic", True),
        least_similarity=limits.get("threshold", 0.0),
    )


def merge(a: Controls, b: Controls) -> Controls:
    """What satisfies both ``a`` and ``b``: the stricter of each wish; silence is no wish.

    Two different namespaces become one of their own, so that neither wish is lost. Tags add up.
    """
    if b is UNASKED or a is b:
        return a
    if a is UNASKED:
        return b
    namespaces = dict.fromkeys(name for name in (a.namespace, b.namespace) if name)
    tags = collected(a.tags + b.tags)
    return Controls(
        no_cache=a.no_cache or b.no_cache or tags is None,
        no_store=a.no_store or b.no_store or tags is None,
        only_if_cached=a.only_if_cached or b.only_if_cached,
        max_age=_least(a.max_age, b.max_age),
        min_fresh=b.min_fresh if a.min_fresh is None else max(a.min_fresh, b.min_fresh or 0.0),
        max_stale=_least(a.max_stale, b.max_stale),
        ttl=_least(a.ttl, b.ttl),
        # No caller can write the separator, so nobody gets into this one by its name.
        namespace="\x1f".join(namespaces),
        tags=tags or (),
        by_meaning=a.by_meaning and b.by_meaning,
        least_similarity=max(a.least_similarity, b.least_similarity),
        complaint=a.complaint or b.complaint,
        variants=b.variants if a.variants is None else min(a.variants, b.variants or a.variants),
        ignored=tuple(sorted({*a.ignored, *b.ignored})),
    )


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a response lets a shared cache do with it. Times in seconds; None: it does not say."""

    refusal: Why | None = None  # why it must not be stored: NO_STORE, PRIVATE or NO_CACHE
    ttl: float | None = None  # since the backend made it, so its Age counts against it
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    must_revalidate: bool = False  # never served stale, whoever asks; both windows are 0

    @property
    def storable(self) -> bool:
        """Whether it may be kept at all."""
        return self.refusal is None


UNSAID = Allowance()


def response_lifetime(headers: Headers) -> Allowance:
    """What the header fields of a response allow a shared cache.

    ``Sidecache-Cache-Control``, else ``CDN-Cache-Control``, takes the place of ``Cache-Control``
    and ``Expires`` where it is there and well-formed (RFC 9213, section 2.2).
    """
    index = headers.index()
    if said := said_to_caches(index):
        return _allowance(said, None)
    standard, expires = index.get("cache-control"), index.get("expires")
    if standard is None and expires is None:
        return UNSAID
    lapse = None if expires is None else _lapse(index.get("date", ""), expires)
    return _allowance(directives(standard or ""), lapse)


def is_targeted(headers: Headers) -> bool:
    """Whether a response speaks to caches like this one, in a field written for them."""
    return bool(said_to_caches(headers.index()))


def said_to_caches(index: Mapping[str, str]) -> dict[str, str | None]:
    """The directives of the targeted field that counts, ``index`` being that of the headers.

    Empty if none does (RFC 9213, section 2.2).
    """
    for name in ("sidecache-cache-control", "cdn-cache-control"):
        if name in index and (said := targeted(index[name])):
            return said
    return {}


def _allowance(said: dict[str, str | None], lapse: float | None) -> Allowance:
    """What ``said`` allows; ``lapse`` is the lifetime by Expires, which any directive outranks."""
    ttl = _limit(said, "s-maxage", 0.0)
    if ttl is None:
        ttl = _limit(said, "max-age", 0.0)
    must_revalidate = "must-revalidate" in said or "proxy-revalidate" in said
    # s-maxage alone rules out stale answers (RFC 9111, section 5.2.2.10), but a backend that names
    # a window of RFC 5861 beside it means that window.
    silence = 0.0 if must_revalidate or "s-maxage" in said else None

    def window(name: str) -> float | None:
        return silence if must_revalidate or name not in said else _limit(said, name, 0.0)

    return Allowance(
        next((why for name, why in _REFUSALS.items() if name in said), None),
        lapse if ttl is None else ttl,
        window("stale-while-revalidate"),
        window("stale-if-error"),
        must_revalidate,
    )


# Of several the first is told. Where the others are taken for a habit, ``private`` still counts.
_REFUSALS = {"private": Why.PRIVATE, "no-store": Why.NO_STORE, "no-cache": Why.NO_CACHE}


_KEY = r"[a-z*][a-z0-9_.*-]*"
_BARE = (
    r'(?:-?\d{1,12}\.\d{1,3}|-?\d{1,15}|"(?:[ !#-\[\]-~]|\\["\\])*"'
    r"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*|:[A-Za-z0-9+/=]*:|\?[01])"
)
_PARAMETERS = rf"(?:; *{_KEY}(?:={_BARE})?)*"
_ITEM = _BARE + _PARAMETERS
_TARGETED = re.compile(
    rf"({_KEY})(?:=(\( *(?:{_ITEM}(?: +{_ITEM})* *)?\)|{_BARE}))?{_PARAMETERS}"
    r"(?:[ \t]*(?:,[ \t]*(?=[a-z*])|$))"
)


def targeted(value: str) -> dict[str, str | None]:
    """The directives of a targeted field (RFC 9213, section 2.1), as ``directives`` returns them.

    Empty when ``value`` is, or is no structured Dictionary (RFC 9651, section 3.2): such a field
    counts as absent. Arguments are left as written, so that a quoted number is none.
    """
    value = value.strip(" ")
    found: dict[str, str | None] = {}
    position = 0
    while position < len(value):
        member = _TARGETED.match(value, position)
        if member is None:
            return {}
        found[member[1]] = None if member[2] == "?1" else member[2]  # of repeated keys the last
        position = member.end()
    return {name: argument for name, argument in found.items() if argument != "?0"}


def _lapse(date: str, expires: str) -> float:
    """Seconds from Date to Expires; 0 if either makes no sense (RFC 9111, section 5.3)."""
    made, ends = epoch_of(date), epoch_of(expires)
    return 0.0 if made is None or ends is None else float(min(max(0, ends - made), LONGEST_S))


def epoch_of(date: str) -> int | None:
    """Seconds since 1970 of an HTTP-date, in any of its three forms (RFC 9110, section 5.6.7)."""
    try:
        parts = parsedate_tz(date)
        return None if parts is None else timegm(parts[:6]) - (parts[9] or 0)
    except (ValueError, OverflowError):
        return None  # shaped like a date, but of no calendar


def _limit(said: Mapping[str, str | None], name: str, nonsense: float) -> float | None:
    """The seconds given with directive ``name``; None without it, ``nonsense`` if no number."""
    if name not in said:
        return None
    seconds = delta_seconds(said[name])
    return nonsense if seconds is None else seconds


def duration(text: str) -> float:
    """The seconds meant by ``text``, such as ``90`` or ``5m``; 0 if it makes no sense."""
    unit = _UNITS_S.get(text[-1:].lower())
    seconds = delta_seconds(text if unit is None else text[:-1])
    return min((seconds or 0.0) * (unit or 1), LONGEST_S)


def similarity(text: str) -> float | None:
    """The number from 0 to 1 that ``text`` is, or None."""
    found = _SHARE.fullmatch(text.strip(" \t"))
    return None if found is None else float(found[0])


def _is_on(switch: str | None) -> bool:
    return switch is None or switch.strip(" \t").lower() in {"on", "true", "1", "yes"}


def _least(a: float | None, b: float | None) -> float | None:
    """The smaller of two limits, where None is no limit."""
    return a if b is None else b if a is None else min(a, b)


def _is_seconds(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_namespace(name: str | None) -> bool:
    return not name or (len(name) <= NAMESPACE_LENGTH and name.isprintable())

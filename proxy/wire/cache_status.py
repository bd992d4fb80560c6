"""What the cache did, told in response fields: ``Cache-Status`` (RFC 9211) and its companions.

Every response says it twice: in the standard's words for tools, and in ``X-Cache`` and
``X-Cache-Reason`` for people. ``Age`` is on whatever comes out of a store (RFC 9111, section 5.1);
``Server-Timing`` tells the proxy's own time from the backend's.

The fields are to be added to those of the backend. Its ``Cache-Status`` is the one exception: the
last member is the cache nearest to the client, so ours goes behind it into one field.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import floor

from proxy.model.decision import Why
from proxy.model.outcome import Fwd, Outcome, Verdict

_LIMIT_S = 2**31  # no lifetime or age is told beyond it (RFC 9111, section 1.2.2)
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")  # RFC 9651, section 3.3.4
_UNPRINTABLE = re.compile(r"[^ -~]")

# Reasons that only repeat what hit or fwd has said already.
_SELF_EVIDENT = frozenset(
    {Why.FRESH, Why.UNSEEN, Why.EXPIRED, Why.NO_CACHE, Why.MAX_AGE, Why.MIN_FRESH, Why.METHOD}
)


# Made once: on the way of every hit, even reading an enum's value counts.
_X_CACHE = {verdict: ("X-Cache", verdict.value) for verdict in Verdict}
_X_CACHE_REASON = {why: ("X-Cache-Reason", why.value) for why in Why}


def fields(
    outcome: Outcome, upstream_cache_status: str, *, name: str = "sidecache", total_s: float
) -> tuple[tuple[str, str], ...]:
    """The header fields that tell ``outcome``.

    Args:
        outcome: what was decided, as it is known when the head goes out.
        upstream_cache_status: the backend's own ``Cache-Status``, "" if none. What is returned
            stands in its place.
        name: what this cache calls itself.
        total_s: seconds from the request's arrival until its head goes out.
    """
    told = decided(outcome, upstream_cache_status, name=name)
    return (*told, timing(outcome.upstream_s, total_s))


def decided(
    outcome: Outcome, upstream_cache_status: str, *, name: str = "sidecache"
) -> tuple[tuple[str, str], ...]:
    """As ``fields``, less what the time tells that was taken. Follows from ``visible``."""
    verdict = outcome.verdict
    doubt = outcome.doubt
    reason = _X_CACHE_REASON[outcome.why]
    told = [_X_CACHE[verdict], reason if doubt is None else (reason[0], f"{reason[1]}, {doubt}")]
    status = _member(outcome, name)
    if status and upstream_cache_status:
        status = f"{upstream_cache_status}, {status}"
    if status := status or upstream_cache_status:
        told.append(("Cache-Status", status))
    if outcome.fwd is Fwd.PARTIAL:  # as old as the oldest part
        told.append(("Age", f"{_bounded(outcome.age_s or 0.0, 0)}"))
    if verdict is Verdict.HIT or verdict is Verdict.STALE:
        told.append(("Age", f"{_bounded(outcome.age_s or 0.0, 0)}"))
        if outcome.tier:
            told.append(("X-Cache-Tier", outcome.tier))
        if outcome.similarity is not None:
            told += _of_another(outcome, outcome.similarity)
    if outcome.variant:
        told.append(("X-Cache-Variant", str(outcome.variant)))
    if outcome.compressed:
        told.append(("X-Cache-Compressed", str(outcome.compressed)))
    return tuple(told)


def visible(outcome: Outcome) -> tuple[object, ...]:
    """All that ``decided`` depends on: where this is equal, so are the fields.

    Of the hits on one answer it is the same for the better part of a second.
    """
    age_s, ttl_s = outcome.age_s, outcome.ttl_s
    return (
        outcome.verdict, outcome.why, outcome.tier, outcome.detail, outcome.variant,
        _bounded(age_s or 0.0, 0), None if ttl_s is None else _bounded(ttl_s, -_LIMIT_S),
        outcome.fwd, outcome.fwd_status, outcome.stored, outcome.collapsed, outcome.doubt,
        outcome.similarity, outcome.measured, outcome.match, outcome.compressed,
    )  # fmt: skip


def timing(upstream_s: float | None, total_s: float) -> tuple[str, str]:
    """The field that tells the time until the head went out, and whose it was, in seconds."""
    if upstream_s is None:
        return ("Server-Timing", f"sidecache;dur={total_s * 1e3:.3f}")
    own_s = max(0.0, total_s - upstream_s)
    both = f"sidecache;dur={own_s * 1e3:.3f}, upstream;dur={upstream_s * 1e3:.3f}"
    return ("Server-Timing", both)


def _of_another(outcome: Outcome, similarity: float) -> list[tuple[str, str]]:
    """What there is to tell of an answer to the question in other words."""
    told = [("X-Cache-Similarity", f"{similarity:.4f}"), ("X-Cache-Match", outcome.match)]
    measured = outcome.measured
    if measured is not None:
        bound = f"{measured.high:.4f}; estimate={measured.error:.4f}; labels={measured.labels}"
        told.append(("X-Cache-Error-Bound", bound))
    return told


def _member(outcome: Outcome, name: str) -> str:
    """Our member of ``Cache-Status``; "" where RFC 9211, section 2, wants none."""
    verdict = outcome.verdict
    if verdict is Verdict.ERROR:
        # An error of our own says nothing about the cache, but for the one that is about it.
        absent = outcome.why is Why.ONLY_IF_CACHED
        return f"{item(name)}; detail={outcome.why.value}" if absent else ""
    ttl_s = outcome.ttl_s
    ttl = "" if ttl_s is None else f"; ttl={_bounded(ttl_s, -_LIMIT_S)}"
    detail = outcome.detail or outcome.doubt or _implied_detail(outcome)
    last = f"{ttl}; detail={item(detail)}" if detail else ttl
    fwd = outcome.fwd
    if fwd is None and (verdict is Verdict.HIT or verdict is Verdict.STALE):
        if outcome.similarity is not None:
            last += f"; sidecache-score={outcome.similarity:.3f}"
        return f"{item(name)}; hit{last}"
    if fwd is None:
        fwd = Fwd.BYPASS if verdict is Verdict.BYPASS else Fwd.MISS
    status = "" if outcome.fwd_status is None else f"; fwd-status={outcome.fwd_status}"
    stored = "; stored" if outcome.stored else ""
    collapsed = _COLLAPSED[outcome.collapsed]
    return f"{item(name)}; fwd={fwd.value}{status}{stored}{collapsed}{last}"


_COLLAPSED = {None: "", True: "; collapsed", False: "; collapsed=?0"}


def _bounded(seconds: float, least: int) -> int:
    """Whole seconds, rounded down, from ``least`` to the most that is told."""
    return (
        floor(seconds) if least <= seconds <= _LIMIT_S else least if seconds < least else _LIMIT_S
    )


def _implied_detail(outcome: Outcome) -> str:
    """The word that tells most of what the other parameters leave open; "" if nothing is."""
    why = outcome.why
    if why is Why.FRESH and outcome.fwd is None:
        return outcome.tier.partition("_")[0]  # l1_memory: which level, not which make
    if why not in _SELF_EVIDENT:
        return why.value
    if outcome.verdict is Verdict.MISS and not outcome.stored:
        # While a stream begins nobody knows yet whether it will be whole.
        return "stream" if outcome.stored is None else Why.UNCACHEABLE.value
    return ""


@lru_cache(maxsize=256)
def item(text: str) -> str:
    """``text`` as a Token where it is one, else as a String (RFC 9651, sections 3.3.3, 3.3.4).

    What a String cannot hold, controls and everything beyond ASCII, becomes ``?``.
    """
    if _TOKEN.fullmatch(text):
        return text
    printable = _UNPRINTABLE.sub("?", text)
    return '"' + printable.replace("\\", r"\\").replace('"', r"\"") + '"'

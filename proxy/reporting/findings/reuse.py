"""What keeps answers from being used again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from proxy import figures
from proxy.reporting.findings.finding import ENOUGH, Finding, Rule, Weight, part
from proxy.reporting.told import Told

_MANY: Final = 0.1  # of the requests, or of the misses
_CHURN: Final = 0.2  # of what is put into memory, evicted again
_REUSED: Final = (
    0.05  # of the hits, found below memory: they had been evicted, or came from elsewhere
)
_FULL: Final = 0.9
_L1: Final = "l1_memory"
_SPLITS: Final = 10  # values of a header before one body


class _Remedy(NamedTuple):
    """What is to be done about a reason."""

    title: str
    advice: str
    settings: tuple[str, ...] = ()


_BYPASSED: Final[Mapping[str, _Remedy]] = {
    "no-store": _Remedy(
        "Callers ask to stay out of the cache",
        "They send Cache-Control: no-store, or another gateway's word for it. Find out which "
        "client does, and whether it means to; words of gateways that you do not use need not "
        "be heard.",
        ("cache.compatibility",),
    ),
    "temperature": _Remedy(
        "Requests are too warm to be cached",
        "Their temperature is above the limit, or not given. Raise the limit, or lift it (null) "
        "where the same question may have the same answer.",
        ("cache.max_temperature", "cache.rules.N.max_temperature"),
    ),
    "stateful": _Remedy(
        "Requests leave something behind at the backend, or build on it",
        'Most clients of /v1/responses leave "store" at its default, true: those that say '
        '"store": false, and send what was said before, can be answered from the cache.',
        ("rag.N.stateful",),
    ),
    "hosted-tools": _Remedy(
        "Requests have the backend run tools",
        "What a search or a program brings may change, so these are passed on. Callers that do not "
        "need such tools should not offer them.",
    ),
    "too-large": _Remedy(
        "Requests are too long to be looked at",
        "Raise the limit; bodies are held in memory while they are read.",
        ("cache.max_request_bytes",),
    ),
    "unkeyable": _Remedy(
        "Bodies could be understood in two ways",
        "Duplicate members, huge integers, broken Unicode: JSON readers differ in what they make "
        "of them, so they are passed on as they are. Mend the client that sends them.",
    ),
    "not-understood": _Remedy(
        "Requests are not what their path makes of them",
        "The log line of such a request says what is odd about it. A service of another shape can "
        "be described.",
        ("rag.N.paths",),
    ),
    "time-sensitive": _Remedy(
        "Questions about now are passed on",
        "Their answers may live shorter instead, which is the default.",
        ("cache.time_sensitive.action",),
    ),
    "disabled": _Remedy(
        "Caching is switched off for them",
        "A rule, or the switch for all, says so.",
        ("cache.enabled", "cache.rules.N.enabled"),
    ),
    "route": _Remedy(
        "Requests go to paths that are not known",
        "A RAG service of any shape can be described, GETs cached by HTTP's own rules.",
        ("rag", "http_resource.enabled"),
    ),
    "version": _Remedy(
        "The version of the knowledge base was never read",
        "Until it is, nothing is answered from the cache. See the log for what is wrong with it.",
        ("rag.N.version.url", "rag.N.version.file"),
    ),
    "indivisible": _Remedy(
        "Requests with several inputs cannot be taken apart",
        "The backend's replies are too long, or not one result for each input.",
        ("embeddings.batching.max_reply_bytes",),
    ),
}

_MISSED: Final[Mapping[str, _Remedy]] = {
    "expired": _Remedy(
        "Answers are asked for after they have expired",
        "Let them live longer, or be given while a new one is fetched.",
        ("cache.ttl_s", "cache.stale_while_revalidate_s", "cache.rules.N.ttl_s"),
    ),
    "no-cache": _Remedy(
        "Callers ask for new answers",
        "They send Cache-Control: no-cache. Find out which client does, and whether it means to.",
    ),
    "max-age": _Remedy(
        "Callers want younger answers than there are",
        "They send Cache-Control: max-age. Let answers be fetched anew while they are in demand.",
        ("cache.refresh_ahead", "cache.ttl_s"),
    ),
    "form": _Remedy(
        "Stored streams lack the token counts that documents have",
        'Have streams ask for them ("stream_options": {"include_usage": true}), or do without.',
        ("cache.json_without_usage",),
    ),
    "hit-for-miss": _Remedy(
        "Answers can only be had by one caller each",
        "The backend marks them as private, or sets cookies; see their detail in the log.",
        ("cache.scope.by", "cache.obey_upstream_cache_control"),
    ),
    "give-up": _Remedy(
        "Calls that were shared turned out not to be for all",
        "Each then asks for itself. The detail in the log says what about the answers forbids it.",
        ("cache.scope.by", "flights.hit_for_miss_s"),
    ),
    "wait-timeout": _Remedy(
        "Some gave up waiting for another's call",
        "The backend takes longer to begin than they wait.",
        ("flights.wait_timeout_s",),
    ),
    "crowded": _Remedy(
        "More calls were under way than are allowed to be shared",
        "Raise the limits, if there is memory for it.",
        ("flights.max_flights", "flights.max_followers", "flights.max_total_bytes"),
    ),
}  # fmt: skip

_NOT_KEPT: Final[Mapping[str, _Remedy]] = {
    "truncated": _Remedy(
        "Answers that were cut short are not kept",
        "They ended at a token limit or a content filter. Keep them, or raise the callers' limit.",
        ("cache.store_truncated",),
    ),
    "tool-calls": _Remedy(
        "Answers that call tools are not kept", "Keep them.", ("cache.store_tool_calls",)
    ),
    "first-sighting": _Remedy(
        "Only what is asked twice is kept",
        "That saves room and writes, and costs the first repetition. Keep all where there is room.",
        ("cache.admission.seen_times",),
    ),
    "encoded": _Remedy(
        "Answers come compressed although that was not asked for",
        "They cannot be looked into, and so are not kept. Have the backend, or what stands before "
        "it, compress nothing for the proxy.",
        ("upstreams.N.set_headers",),
    ),
    "private": _Remedy(
        "Answers are marked as private",
        "Each caller then needs a scope of its own, or the backend to say otherwise.",
        ("cache.scope.by",),
    ),
    "set-cookie": _Remedy(
        "Answers set cookies",
        "Name the cookies that mean nothing, such as a load balancer's.",
        ("cache.inert_cookies",),
    ),
    "too-large": _Remedy(
        "Answers are too long to be kept", "Raise the limit.", ("cache.max_entry_bytes",)
    ),
    "incomplete": _Remedy(
        "Answers break off before their end",
        "The backend, or something between, ends them early; what is not whole is not kept.",
        ("upstreams.N.idle_timeout_s",),
    ),
}


def passed_on(told: Told) -> Iterable[Finding]:
    """What never came near the cache, by reason."""
    total = told.stats.requests.total
    if total < ENOUGH:
        return
    for reason, number in told.stats.ended("bypass").items():
        reach = part(number, total)
        if (remedy := _BYPASSED.get(reason)) and reach >= _MANY:
            yield _found(remedy, f"{figures.share(reach)} of all requests ({reason}).", reach)


def missed(told: Told) -> Iterable[Finding]:
    """What was not found although it could have been, by reason."""
    reasons = told.stats.ended("miss", "coalesced")
    total, of = told.stats.requests.total, sum(reasons.values())
    if of < ENOUGH:
        return
    for reason, number in reasons.items():
        remedy = _MISSED.get(reason) or _NOT_KEPT.get(reason)
        share = part(number, of)
        if remedy and share >= _MANY:
            text = f"{figures.share(share)} of all misses ({reason})."
            yield _found(remedy, text, part(number, total))


def not_kept(told: Told) -> Iterable[Finding]:
    """Answers that tiers would not take, or that were not fit to be kept."""
    for tier in told.tiers.tiers:
        declined, puts = tier.did("put", "declined"), tier.did("put")
        share = part(declined, puts)
        if puts >= ENOUGH and share >= _MANY:
            yield Finding(
                Weight.CHANGE,
                f"{tier.tier} declines much of what it should keep",
                f"{figures.count(declined)} of {figures.count(puts)} answers: too long for it, or "
                "seen for the first time where that is not enough.",
                "Raise what one entry may take, or keep what is asked once as well.",
                (
                    "cache.max_entry_bytes",
                    "l1_memory.max_entry_bytes",
                    "cache.admission.seen_times",
                ),
                reach=share * part(told.stats.requests.miss, told.stats.requests.total),
            )


def memory_is_short(told: Told) -> Iterable[Finding]:
    """What is evicted from memory and asked for again costs a lookup below it, or a call."""
    for tier in told.tiers.tiers:
        evicted, taken = tier.removed.evicted, tier.did("put", "taken", "done")
        churn = part(evicted, taken)
        if evicted < ENOUGH or churn < _CHURN:
            continue
        if tier.bytes is not None and part(tier.bytes, tier.max_bytes or 0) < _FULL:
            continue
        setting = f"{tier.tier}.max_bytes"
        hits = tier.did("get", "hit")
        below = _hits_below(told, tier.tier)
        reuse = part(below, hits + below)
        lowest = tier.tier == told.tiers.tiers[-1].tier
        if not lowest and reuse < _REUSED:
            continue
        again = (
            f" {figures.share(reuse)} of the hits were found further down." if not lowest else ""
        )
        yield Finding(
            Weight.CHANGE,
            f"{tier.tier} is too small for what is asked again",
            f"{figures.count(evicted)} of {figures.count(taken)} entries had to make room within "
            f"{figures.size(tier.max_bytes)}.{again}",
            f"Give it more: twice as much, {figures.size(2 * tier.max_bytes)}, is a fair trial."
            if tier.max_bytes
            else "Give it more.",
            (setting,) if tier.tier in ("l1_memory", "l2_disk") else (),
            reach=part(below or evicted, told.stats.requests.total),
        )


def _hits_below(told: Told, name: str) -> int:
    names = [tier.tier for tier in told.tiers.tiers]
    below = told.tiers.tiers[names.index(name) + 1 :]
    return sum(tier.did("get", "hit") for tier in below)


def headers_split(told: Told) -> Iterable[Finding]:
    """A header that differs from request to request makes each a question of its own."""
    for each in told.stats.splitters:
        if each.values >= _SPLITS:
            yield Finding(
                Weight.CHANGE,
                f"The header {each.header} splits the cache",
                f"It had {figures.count(each.values)} values before {figures.count(each.bodies)} "
                f"equal {'body' if each.bodies == 1 else 'bodies'}.",
                "Where the backend's answer does not depend on it, say that it does not count.",
                ("cache.inert_headers",),
                reach=_MANY,
            )


def most_are_new(told: Told) -> Iterable[Finding]:
    """Nothing is wrong, but hardly anything is asked twice in the same words."""
    reasons = told.stats.ended("miss")
    new, requests = reasons.get("uri-miss", 0), told.stats.requests
    share = part(new, requests.total)
    if new < ENOUGH or share < _FULL or told.semantic is not None:
        return
    yield Finding(
        Weight.NOTE,
        "Hardly anything is asked twice in the same words",
        f"{figures.share(share)} of all requests were for what was never stored.",
        "Do callers ask the same in other words? Those can be answered too, within an error "
        "budget. Is each caller alone with its answers? Callers may share them, if the backend "
        "answers all alike.",
        ("semantic.enabled", "cache.scope.by", "cache.inert_fields"),
        reach=share,
    )


def _found(remedy: _Remedy, why: str, reach: float) -> Finding:
    return Finding(Weight.CHANGE, remedy.title, why, remedy.advice, remedy.settings, reach)


RULES: Final[tuple[Rule, ...]] = (
    passed_on, missed, not_kept, memory_is_short, headers_split, most_are_new,
)  # fmt: skip

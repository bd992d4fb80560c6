"""The report in words: what the cache did, what that saved, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterator

from proxy import figures
from proxy.reporting.findings.slow import Bottleneck, bottleneck
from proxy.reporting.stats import Stats
from proxy.reporting.told import Told

_STAGES = {
    "read": "waiting for the client to send its request",
    "key": "understanding the request and making its key",
    "lookup": "looking into the tiers",
    "meaning": "looking for the answer to the question in other words",
    "flight": "waiting for the backend",
    "deliver": "handing the answer to the client",
}


def summary(told: Told) -> list[str]:
    """Some sentences, the most important first."""
    return list(_sentences(told))


def stage_in_words(stage: str) -> str:
    """What happens in a stage."""
    return _STAGES.get(stage, stage)


def _sentences(told: Told) -> Iterator[str]:
    stats = told.stats
    requests = stats.requests
    if not requests.total:
        yield f"Nothing was asked in the {figures.duration(stats.uptime_s)} since the start."
        return
    yield (
        f"In the {figures.duration(stats.uptime_s)} since its start, the proxy had "
        f"{figures.count(requests.total)} requests. {figures.count(requests.spared)} of them were "
        f"answered without a call of their own: {figures.count(requests.hit)} from the cache, "
        f"{figures.count(requests.stale)} of it past its lifetime, and "
        f"{figures.count(requests.coalesced)} by a call that was under way."
    )
    if stats.hit_ratio is not None:
        recent = (
            f" ({figures.share(stats.hit_ratio_recent)} in the last five minutes)"
            if stats.hit_ratio_recent is not None
            else ""
        )
        yield f"Of what could be answered so, {figures.share(stats.hit_ratio)} was{recent}."
    yield _saved(stats)
    yield from _times(stats)
    failed = requests.error + requests.shed
    if failed:
        yield (
            f"{figures.count(failed)} requests ({figures.share(failed / requests.total)}) ended in "
            "an error or were turned away."
        )


def _saved(stats: Stats) -> str:
    saved = stats.saved
    cost = f", {figures.money(saved.money, saved.currency)}" if saved.money else ""
    return (
        f"That saved {figures.count(saved.calls)} calls with {figures.count(saved.input_tokens)} "
        f"tokens of input and {figures.count(saved.output_tokens)} of output{cost}, and callers "
        f"{figures.duration(saved.seconds)} of waiting."
    )


def _times(stats: Stats) -> Iterator[str]:
    hit, miss = stats.took("hit"), stats.took("miss")
    if hit is not None and miss is not None:
        yield (
            f"A hit took {figures.duration(hit.p50_s)} as a rule "
            f"(p99 {figures.duration(hit.p99_s)}), "
            f"a miss {figures.duration(miss.p50_s)} (p99 {figures.duration(miss.p99_s)})."
        )
    if (found := bottleneck(stats)) is not None:
        yield f"Most of the time went into {_part(found)}."
    if (found := bottleneck(stats, "hit", "stale")) is not None:
        yield f"Of stored answers, most went into {_part(found)}."


def _part(found: Bottleneck) -> str:
    return (
        f"{stage_in_words(found.stage)}: {figures.share(found.share)}, "
        f"{figures.duration(found.mean_s)} on average"
    )

"""Where the time goes, and what takes more of it than it should."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from proxy import figures
from proxy.model.outcome import STAGES
from proxy.reporting.findings.finding import ENOUGH, Finding, Rule, Weight, part
from proxy.reporting.stats import Stage, Stats
from proxy.reporting.told import Tier, Told

_STORED: Final = ("hit", "stale")  # answers that are there
_MOSTLY: Final = 0.5  # of the time: then it is the bottleneck
_SLOW_LOOKUP_S: Final = (
    0.01  # p99; memory takes microseconds, a disk or a Redis nearby one or two ms
)
_SLOW_TIER_S: Final = 0.005
_SLOW_MEANING_S: Final = 0.05  # the median; semantic.embedder.timeout_s is 0.03 by default
_DEAR_MEANING: Final = 0.2  # of what a call to the backend takes
_SLOW_KEY_S: Final = 0.005  # the median; long bodies take a millisecond
_SLOW_READ_S: Final = 1.0  # p99
_LATE_S: Final = 0.05  # p99 of the loop's lag: what a client begins to notice
_VERY_LATE_S: Final = 0.25
_NEARLY_FULL: Final = 0.9
_SLOW_FIRST_TOKEN: Final = 3.0  # times as long as the backend's own median


class Bottleneck(NamedTuple):
    """The stage that takes the most.

    Attributes:
        stage: its name.
        share: of all the time that is looked at.
        mean_s: seconds of it for a request that has this stage.
    """

    stage: str
    share: float
    mean_s: float


def _reach(stats: Stats, stages: Iterable[Stage]) -> float:
    """The share of requests that have the outcomes of these stages."""
    ended = stats.requests.by_outcome()
    outcomes = {stage.outcome for stage in stages}
    return part(sum(ended.get(name, 0) for name in outcomes), stats.requests.total)


def bottleneck(stats: Stats, *outcomes: str) -> Bottleneck | None:
    """Where most of the time goes, of requests with these outcomes; without any, of all requests.

    None: nothing was measured.
    """
    measured = [
        each
        for each in stats.stages
        if each.stage in STAGES and each.count and (not outcomes or each.outcome in outcomes)
    ]
    # Of a busy proxy's hits only some are measured: each of these stands for several.
    looked_at: dict[str, int] = {}
    for each in measured:
        looked_at[each.outcome] = max(each.count, looked_at.get(each.outcome, 0))
    ended = stats.requests.by_outcome()
    spent: dict[str, float] = {}
    counts: dict[str, float] = {}
    for each in measured:
        weight = max(1.0, ended.get(each.outcome, 0) / looked_at[each.outcome])
        spent[each.stage] = spent.get(each.stage, 0.0) + weight * each.total_s
        counts[each.stage] = counts.get(each.stage, 0.0) + weight * each.count
    total = sum(spent.values())
    if not total:
        return None
    stage = max(spent, key=lambda name: spent[name])
    return Bottleneck(stage, spent[stage] / total, spent[stage] / counts[stage])


def backend_takes_most(told: Told) -> Iterable[Finding]:
    """The usual case: the proxy waits for the backend."""
    found = bottleneck(told.stats)
    if found is None or found.stage != "flight" or found.share < _MOSTLY:
        return
    requests = told.stats.requests
    asked = requests.total - requests.spared
    yield Finding(
        Weight.NOTE,
        "The backend is the bottleneck",
        f"{figures.share(found.share)} of all the time that requests took was waiting for it, "
        f"{figures.duration(found.mean_s)} each on average; it was asked for "
        f"{figures.share(part(asked, requests.total))} of them.",
        "Only fewer calls, or a faster backend, make this faster; the other findings say which "
        "calls could be spared.",
        reach=found.share,
    )


def lookups_are_slow(told: Told) -> Iterable[Finding]:
    """A tier that takes long keeps every answer waiting."""
    slow = [
        stage
        for outcome in (*_STORED, "miss")
        if (stage := told.stats.stage(outcome, "lookup")) and (stage.p99_s or 0) > _SLOW_LOOKUP_S
    ]
    if not slow:
        return
    worst = max(slow, key=lambda stage: stage.p99_s or 0)
    tier = _slowest(told.tiers.tiers)
    why = (
        f"One lookup in a hundred takes longer than {figures.duration(worst.p99_s)} "
        f"(of a {worst.outcome}; on average {figures.duration(worst.mean_s)})."
    )
    advice = "See /tiers for which one it is."
    settings: tuple[str, ...] = ("l2_disk.read_timeout_s", "l2_redis.timeout_s")
    if tier is not None:
        took = tier.took("get")
        why += (
            f" {tier.tier}: one in a hundred over {figures.duration(took.p99_s if took else None)}."
        )
        advice, settings = _ADVICE.get(tier.tier, (advice, settings))
    yield Finding(
        Weight.CHANGE, "Looking into the tiers takes long", why, advice, settings,
        reach=_reach(told.stats, slow),
    )  # fmt: skip


_ADVICE: Final = {
    "l2_disk": (
        (
            "Put the file on a faster, local disk; have more answered from memory; or give up on a "
            "slow read sooner, which makes it a miss."
        ),
        ("l2_disk.directory", "l1_memory.max_bytes", "l2_disk.read_timeout_s"),
    ),
    "l2_redis": (
        (
            "Look at the network to Redis and at what else it does. Have more answered from "
            "memory, allow more commands at once, or give up on a slow one sooner, which makes it "
            "a miss."
        ),
        ("l1_memory.max_bytes", "l2_redis.max_connections", "l2_redis.timeout_s"),
    ),
}


def _slowest(tiers: Iterable[Tier]) -> Tier | None:
    """The one that takes longest, if that is long."""
    slow = {
        took.p99_s: tier
        for tier in tiers
        if (took := tier.took("get")) and took.p99_s is not None and took.p99_s > _SLOW_TIER_S
    }
    return slow[max(slow)] if slow else None


def meaning_is_slow(told: Told) -> Iterable[Finding]:
    """The search by meaning delays every miss."""
    stage, flight = told.stats.stage("miss", "meaning"), told.stats.stage("miss", "flight")
    if stage is None or stage.count < ENOUGH:
        return
    dear = part(stage.mean_s or 0, (flight.mean_s if flight else None) or 0)
    if (stage.p50_s or 0) <= _SLOW_MEANING_S and dear <= _DEAR_MEANING:
        return
    yield Finding(
        Weight.CHANGE,
        "Looking for answers in other words takes long",
        f"It adds {figures.duration(stage.mean_s)} to a miss on average, "
        f"{figures.share(dear)} of what the backend takes.",
        "Use a faster embedder: one exported to ONNX with int8 takes half the time, a remote one "
        "none of this process's; or wait less long for it.",
        ("semantic.embedder.kind", "semantic.embedder.timeout_s", "semantic.index.timeout_s"),
        reach=part(stage.count, told.stats.requests.total),
    )


def reading_is_slow(told: Told) -> Iterable[Finding]:
    """Clients that send slowly hold connections, and nothing else."""
    slow = [s for s in told.stats.stages if s.stage == "read" and (s.p99_s or 0) > _SLOW_READ_S]
    if not slow:
        return
    worst = max(slow, key=lambda stage: stage.p99_s or 0)
    yield Finding(
        Weight.NOTE,
        "Some clients send slowly",
        f"One request in a hundred (of outcome {worst.outcome}) takes longer than "
        f"{figures.duration(worst.p99_s)} to come.",
        "Nothing is lost by it but connections. If they become scarce, cut off sooner who sends "
        "too slowly.",
        ("downstream.limits.body_min_rate_bytes", "downstream.limits.body_deadline_s"),
        reach=_reach(told.stats, slow) / 100,
    )


def keys_are_slow(told: Told) -> Iterable[Finding]:
    """Reading a request takes the event loop's own time."""
    slow = [s for s in told.stats.stages if s.stage == "key" and (s.p50_s or 0) > _SLOW_KEY_S]
    if not slow:
        return
    worst = max(slow, key=lambda stage: stage.p50_s or 0)
    yield Finding(
        Weight.CHANGE,
        "Understanding requests takes long",
        f"Half of the requests of outcome {worst.outcome} take longer than "
        f"{figures.duration(worst.p50_s)} for it, in which nothing else is done.",
        "Bodies may be very long: what is above a limit is passed on unread. Or the process has "
        "too little processor time: more replicas share the work.",
        ("cache.max_request_bytes",),
        reach=_reach(told.stats, slow),
    )


def the_loop_lags(told: Told) -> Iterable[Finding]:
    """What blocks the event loop delays everybody."""
    lag = told.stats.loop_lag
    if lag.p99_s is None or lag.p99_s <= _LATE_S:
        return
    yield Finding(
        Weight.ACT if lag.p99_s > _VERY_LATE_S else Weight.CHANGE,
        "The event loop comes late",
        f"One time in a hundred by more than {figures.duration(lag.p99_s)}"
        + (f", at worst by {figures.duration(lag.max_s)}." if lag.max_s is not None else "."),
        "The process has more to do than one processor can, or something blocks it: take a profile "
        "(/profile on the admin listener). A model in this process competes with requests; a "
        "remote one does not. More replicas share the work.",
        ("semantic.embedder.kind", "semantic.embedder.threads"),
        reach=1.0,
    )


def connections_run_out(told: Told) -> Iterable[Finding]:
    """Requests wait for a connection to the backend."""
    for each in told.upstreams.upstreams:
        filled = part(each.in_use, each.max_connections or 0)
        if filled >= _NEARLY_FULL:
            yield Finding(
                Weight.ACT,
                f"Nearly all connections to {each.upstream} are in use",
                f"{figures.count(each.in_use)} of {figures.count(each.max_connections)}.",
                "Further requests wait for one of them. Allow more, if the backend can take them.",
                ("upstreams.N.max_connections",),
                reach=1.0,
            )


def followers_wait(told: Told) -> Iterable[Finding]:
    """Who waits for another's call should not wait longer than its own would take."""
    joined, alone = told.stats.stage("coalesced", "flight"), told.stats.stage("miss", "flight")
    if joined is None or joined.count < ENOUGH or alone is None or not alone.p50_s:
        return
    if (joined.p99_s or 0) > _SLOW_FIRST_TOKEN * (alone.p99_s or alone.p50_s):
        yield Finding(
            Weight.CHANGE,
            "Some wait long for another's call",
            f"One in a hundred who share a call waits over {figures.duration(joined.p99_s)}; "
            f"who asks alone waits {figures.duration(alone.p50_s)} as a rule, and "
            f"{figures.duration(alone.p99_s)} at worst.",
            "Let them ask for themselves sooner.",
            ("flights.wait_timeout_s", "flights.stall_timeout_s"),
            reach=part(joined.count, told.stats.requests.total) / 100,
        )


def clients_take_slowly(told: Told) -> Iterable[Finding]:
    """What a hit takes is the client's own doing, if it is in the delivery."""
    found = bottleneck(told.stats, *_STORED)
    if found is None or found.stage != "deliver" or found.share < _MOSTLY or found.mean_s < _LATE_S:
        return
    paced = (told.config.number("cache.replay_chunk_delay_s") or 0) > 0
    yield Finding(
        Weight.CHANGE if paced else Weight.NOTE,
        "Stored answers are held up on their way to the client",
        f"{figures.share(found.share)} of a hit's time; {figures.duration(found.mean_s)} each.",
        "Streams that are replayed pause between their events, as configured; without, they come "
        "at once."
        if paced
        else "Clients, or the network to them, take them slowly; nothing here makes that faster.",
        ("cache.replay_chunk_delay_s",) if paced else (),
        reach=part(told.stats.requests.hit, told.stats.requests.total),
    )


RULES: Final[tuple[Rule, ...]] = (
    backend_takes_most, lookups_are_slow, meaning_is_slow, reading_is_slow, keys_are_slow,
    the_loop_lags, connections_run_out, followers_wait, clients_take_slowly,
)  # fmt: skip

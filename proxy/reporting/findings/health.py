"""What does not work as it should."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from proxy import figures
from proxy.reporting.findings.finding import ENOUGH, Finding, Rule, Weight, part
from proxy.reporting.told import Told, Upstream

_FAILING: Final = 0.05  # of requests, or of what a tier is asked
_SOME_FAIL: Final = 0.01
_HANG_UPS: Final = 0.1
_FALSE: Final = 0.05  # of the guard's passes; it is made for 0.01
_FULL: Final = 0.9

_STATES: Final = {
    "down": "cannot be reached",
    "distrusted": "may hold what was purged, so nothing is taken from it",
}
_TIER_SETTINGS: Final = {
    "l2_redis": ("l2_redis.url", "l2_redis.timeout_s"),
    "l2_disk": ("l2_disk.directory", "l2_disk.read_timeout_s"),
}


def nothing_asked(told: Told) -> Iterable[Finding]:
    """A proxy that nobody uses."""
    if not told.stats.requests.total:
        yield Finding(
            Weight.NOTE,
            "Nothing was asked yet",
            f"No request in {figures.duration(told.stats.uptime_s)}.",
            "Point a client's base URL at the proxy.",
            ("listen",),
        )


def tiers_are_away(told: Told) -> Iterable[Finding]:
    """A tier that is down costs hits, and nothing else."""
    for tier in told.tiers.tiers:
        if says := _STATES.get(tier.state):
            yield Finding(
                Weight.ACT,
                f"{tier.tier} is {tier.state}",
                f"It {says}. Answers come from the other tiers and the backend meanwhile.",
                "See the log for why, and docs/redis.md for what Redis needs.",
                _TIER_SETTINGS.get(tier.tier, ()),
                reach=1.0,
            )


def tiers_fail(told: Told) -> Iterable[Finding]:
    """Each failure is a miss."""
    for tier in told.tiers.tiers:
        for operation in ("get", "put"):
            failed, asked = tier.did(operation, "error"), tier.did(operation)
            share = part(failed, asked)
            if asked >= ENOUGH and share >= _SOME_FAIL:
                yield Finding(
                    Weight.ACT if share >= _FAILING else Weight.CHANGE,
                    f"{tier.tier} fails at {figures.share(share)} of what it is asked",
                    f"{figures.count(failed)} of {figures.count(asked)} ({operation}) failed or "
                    "took longer than they may.",
                    "A slow disk or network, or too short a limit. See the log.",
                    _TIER_SETTINGS.get(tier.tier, ()),
                    reach=part(failed, asked),
                )


def breakers_are_open(told: Told) -> Iterable[Finding]:
    """A backend that is left alone."""
    for each in told.upstreams.upstreams:
        if each.breaker.state == "open":
            yield Finding(
                Weight.ACT,
                f"{each.upstream} is being left alone",
                f"It could not be reached; {figures.count(each.breaker.refused)} requests were "
                "told so at once.",
                "Look after it. Meanwhile stale answers, a second backend or a text can stand in.",
                ("cache.stale_if_error_s", "degradation.standby", "degradation.message"),
                reach=1.0,
            )


def backends_fail(told: Told) -> Iterable[Finding]:
    """Responses that are errors, and none at all."""
    for each in told.upstreams.upstreams:
        bad = {
            **{token: number for token, number in each.errors.items() if number},
            **{status: each.responses.get(status, 0) for status in ("5xx",)},
        }
        asked = _asked(each)
        failed = sum(bad.values())
        if asked < ENOUGH or part(failed, asked) < _SOME_FAIL:
            continue
        most = max(bad, key=lambda name: bad[name])
        yield Finding(
            Weight.ACT if part(failed, asked) >= _FAILING else Weight.CHANGE,
            f"{each.upstream} fails at {figures.share(part(failed, asked))} of its calls",
            f"{figures.count(failed)} of {figures.count(asked)}; most often {most}.",
            "Look after it. Stale answers, a second backend or a text can stand in for errors.",
            ("cache.stale_if_error_s", "degradation.standby", *_ERRORS.get(most, ())),
            reach=part(failed, asked),
        )


_ERRORS: Final = {
    "connection_timeout": ("upstreams.N.connect_timeout_s",),
    "connection_read_timeout": ("upstreams.N.first_byte_timeout_s", "upstreams.N.idle_timeout_s"),
}


def _asked(each: Upstream) -> int:
    return sum(each.responses.values()) + sum(each.errors.values())


def kept_connections_are_stale(told: Told) -> Iterable[Finding]:
    """A backend that closes idle connections sooner than is thought."""
    for each in told.upstreams.upstreams:
        asked = _asked(each)
        if asked >= ENOUGH and part(each.stale_retries, asked) >= _SOME_FAIL:
            yield Finding(
                Weight.CHANGE,
                f"{each.upstream} closes idle connections sooner than they are given up",
                f"{figures.count(each.stale_retries)} of {figures.count(asked)} calls had to be "
                "made twice.",
                "Keep them for less long than the backend does.",
                ("upstreams.N.keepalive_s",),
                reach=part(each.stale_retries, asked),
            )


def errors_are_many(told: Told) -> Iterable[Finding]:
    """What callers were told of failures."""
    requests = told.stats.requests
    share = part(requests.error, requests.total)
    if requests.total < ENOUGH or share < _SOME_FAIL:
        return
    reasons = told.stats.ended("error")
    most = next(iter(reasons), "of no known reason")
    yield Finding(
        Weight.ACT if share >= _FAILING else Weight.CHANGE,
        f"{figures.share(share)} of all requests ended in an error",
        f"{figures.count(requests.error)} of {figures.count(requests.total)}; most often {most}.",
        "See /live for them as they come, and the log for those that were. Where it is the backend "
        "that fails, a stale answer can stand in.",
        ("cache.stale_if_error_s", "degradation.order"),
        reach=share,
    )


def some_are_turned_away(told: Told) -> Iterable[Finding]:
    """A limit on clients was reached."""
    requests = told.stats.requests
    if requests.shed:
        yield Finding(
            Weight.ACT,
            "Clients were turned away",
            f"{figures.count(requests.shed)} requests, as there were more connections than are "
            "allowed.",
            "Allow more, with as many file descriptors for the process; or add a replica.",
            ("downstream.limits.max_connections",),
            reach=part(requests.shed, requests.total),
        )


def clients_hang_up(told: Told) -> Iterable[Finding]:
    """Who does not wait for the answer has a shorter limit than it takes."""
    hang_ups, total = told.stats.clients.hang_ups, told.stats.requests.total
    if total >= ENOUGH and part(hang_ups, total) >= _HANG_UPS:
        yield Finding(
            Weight.CHANGE,
            "Many clients do not wait for their answer",
            f"{figures.count(hang_ups)} hung up before its end.",
            "Their own limit may be shorter than an answer takes; raise it. Calls that everybody "
            "has left go on for a while to be stored.",
            ("flights.orphan_grace_s", "flights.orphan_budget_s"),
            reach=part(hang_ups, total),
        )


def the_guard_is_full(told: Told) -> Iterable[Finding]:
    """A filter that is full lets everything pass."""
    guard = told.tiers.guard
    if guard is None or guard.lookups < ENOUGH:
        return
    passed = guard.lookups - guard.saved
    false = part(guard.false_positives, passed)
    if (guard.fill_ratio or 0) < _FULL and (passed < ENOUGH or false < _FALSE):
        return
    yield Finding(
        Weight.NOTE,
        "The guard of the disk rules out less than it should",
        f"It is {figures.share(guard.fill_ratio)} full; {figures.share(false)} of what it let pass "
        "was not there.",
        "It is made anew as the file changes. If it stays so, another process may write to the "
        "same file: then it is of no use and can be left out.",
        ("l2_disk.guard",),
        reach=false,
    )


def a_configuration_was_refused(told: Told) -> Iterable[Finding]:
    """What was written is not what is in force."""
    refusal = told.config.last_refusal
    if refusal is not None:
        yield Finding(
            Weight.ACT,
            "The last configuration was refused",
            f"At {refusal.at}: {refusal.why}",
            "The one before is still in force. Mend the file; `sidecache check -c FILE` says what "
            "is wrong with it.",
        )


def models_have_no_price(told: Told) -> Iterable[Finding]:
    """What was saved cannot be told in money."""
    unpriced = told.stats.saved.unpriced
    if unpriced and told.stats.saved.calls:
        named = ", ".join(unpriced[:5]) + (" and others" if len(unpriced) > 5 else "")  # noqa: PLR2004 - a line's worth
        yield Finding(
            Weight.NOTE,
            "Some models have no price",
            f"{named}: what their answers would have cost is not in the sums.",
            "Name what a million tokens of them cost.",
            ("savings.prices",),
        )


RULES: Final[tuple[Rule, ...]] = (
    nothing_asked, tiers_are_away, tiers_fail, breakers_are_open, backends_fail,
    kept_connections_are_stale, errors_are_many, some_are_turned_away, clients_hang_up,
    the_guard_is_full, a_configuration_was_refused, models_have_no_price,
)  # fmt: skip

"""The command that sums up what a proxy does, and what it saves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from proxy.commands.asking import Answered, Json, Operator, asks_operator
from proxy.commands.said import Said, number, part, rows, text, texts
from proxy.commands.screen import clean, console, json_option, styled, table, tell
from proxy.figures import count, duration, money, share, size
from proxy.model.outcome import OUTCOMES, STAGES

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

STYLES: Final = {
    "hit": "green", "stale": "yellow", "coalesced": "cyan", "degraded": "yellow", "error": "red",
    "shed": "red",
}  # fmt: skip
_MODELS: Final = 10
_REASONS: Final = 12
_NOT_UP: Final = {"down": "red", "distrusted": "yellow", "off": "dim", "open": "red"}


@click.command()
@click.option("--reasons", is_flag=True, help="Also why: requests by outcome and reason.")
@json_option
@asks_operator
def stats(*, operator: Operator, reasons: bool, as_json: bool) -> None:
    """Show what the proxy does, what it saves, and how its parts are."""
    told: Json = operator.get("/stats")
    for name in ("tiers", "upstreams"):
        try:
            told[name] = operator.get(f"/{name}").get(name)
        except Answered:
            told[name] = None  # of another release; the rest is worth showing
    if as_json:
        tell(told)
        return
    screen = console()
    for each in summary(told, reasons=reasons):
        screen.print(each)


def summary(told: Said, *, reasons: bool = False) -> Iterator[RenderableType]:
    """What ``GET /stats`` told, with the tiers and the upstreams, as tables."""
    up = f"up {duration(number(told, 'uptime_s'))}"
    generation = f"configuration {count(number(told, 'generation'))}"
    replica = text(told, "replica")
    about = [f"sidecache {text(told, 'version')}", replica, up, generation]
    yield styled("  ".join(each for each in about if each), "bold")
    yield _requests(told)
    if reasons and rows(told, "by"):
        yield _by_reason(told)
    yield _saved(told)
    if rows(told, "latency"):
        yield _latency(told)
    if rows(told, "stages"):
        yield _stages(told)
    if rows(told, "models"):
        yield _models(told)
    if rows(told, "tiers"):
        yield _tiers(told)
    if rows(told, "upstreams"):
        yield _upstreams(told)
    for each in rows(told, "splitters"):
        name, values = clean(text(each, "header")), count(number(each, "values"))
        yield styled(
            f"The header {name} splits the cache: {values} values for"
            f" {count(number(each, 'bodies'))} bodies. If it changes no answer, put it into"
            " cache.inert_headers.",
            "yellow",
        )


def _requests(told: Said) -> Table:
    requests = part(told, "requests")
    total = number(requests, "total") or 0
    made = table("requests", "#", "#share")
    for outcome in OUTCOMES:
        seen = number(requests, outcome)
        if seen:
            part_of = share(seen / total if total else None)
            made.add_row(styled(outcome, STYLES.get(outcome, "")), count(seen), part_of)
    made.add_row("all", count(number(requests, "total")), "")
    made.add_section()
    made.add_row("hit ratio", share(number(told, "hit_ratio")), "")
    made.add_row("in the last 5 minutes", share(number(told, "hit_ratio_recent")), "")
    return made


def _by_reason(told: Said) -> Table:
    made = table("outcome", "reason", "dialect", "tier", "#requests", "#bytes")
    by = sorted(rows(told, "by"), key=lambda each: -(number(each, "requests") or 0))
    for each in by[:_REASONS]:
        outcome = text(each, "outcome")
        made.add_row(
            styled(outcome, STYLES.get(outcome, "")),
            *(styled(text(each, name)) for name in ("reason", "dialect", "tier")),
            count(number(each, "requests")),
            size(number(each, "bytes")),
        )
    return made


def _saved(told: Said) -> Table:
    currency = text(told, "saved", "currency")
    made = table("", "#calls", "#input tokens", "#output tokens", "#money", "#time")
    for name in ("saved", "spent"):
        each = part(told, name)
        made.add_row(
            name,
            *(count(number(each, what)) for what in ("calls", "input_tokens", "output_tokens")),
            money(number(each, "money"), currency),
            duration(number(each, "seconds")),
        )
    unpriced = texts(told, "saved", "unpriced")
    if unpriced:
        made.caption = "no price is set for " + ", ".join(map(clean, unpriced[:_MODELS]))
        made.caption_justify = "left"
    return made


def _latency(told: Said) -> Table:
    made = table("latency", "#requests", "#mean", "#p50", "#p90", "#p99", "#max")
    for each in rows(told, "latency"):
        what = text(each, "what")
        times = (
            duration(number(each, f"{name}_s")) for name in ("mean", "p50", "p90", "p99", "max")
        )
        made.add_row(styled(what, STYLES.get(what, "")), count(number(each, "count")), *times)
    return made


def _stages(told: Said) -> Table:
    """The median of each stage, for each outcome."""
    made = table("median of", *(f"#{stage}" for stage in STAGES))
    found = {
        (text(each, "outcome"), text(each, "stage")): number(each, "p50_s")
        for each in rows(told, "stages")
    }
    for outcome in dict.fromkeys(outcome for outcome, _ in found):
        times = (duration(found.get((outcome, stage))) for stage in STAGES)
        made.add_row(styled(outcome, STYLES.get(outcome, "")), *times)
    return made


def _models(told: Said) -> Table:
    currency = text(told, "saved", "currency")
    made = table("model", "#requests", "#hits", "#tokens saved", "#money saved", "#money spent")
    for each in rows(told, "models")[:_MODELS]:
        tokens = [number(each, "saved", f"{way}_tokens") for way in ("input", "output")]
        known = [few for few in tokens if few is not None]
        made.add_row(
            styled(text(each, "model")),
            count(number(each, "requests")),
            count(number(each, "hits")),
            count(sum(known) if known else None),
            money(number(each, "saved", "money"), currency),
            money(number(each, "spent", "money"), currency),
        )
    return made


def _tiers(told: Said) -> Table:
    made = table("tier", "state", "#entries", "#size", "#of", "#hits", "#misses", "#evicted")
    for each in rows(told, "tiers"):
        done = {
            (text(one, "operation"), text(one, "result")): number(one, "count")
            for one in rows(each, "operations")
        }
        made.add_row(
            styled(text(each, "tier")),
            _state(text(each, "state")),
            count(number(each, "entries")),
            size(number(each, "bytes")),
            size(number(each, "max_bytes")),
            count(done.get(("get", "hit"), 0 if done else None)),
            count(done.get(("get", "miss"), 0 if done else None)),
            count(number(each, "removed", "evicted")),
        )
    return made


def _upstreams(told: Said) -> Table:
    made = table("upstream", "breaker", "#in use", "#answers", "#5xx", "#errors", "#p50", "#p99")
    for each in rows(told, "upstreams"):
        responses = part(each, "responses")
        answers = [number(responses, name) or 0 for name in responses]
        errors = part(each, "errors")
        made.add_row(
            styled(text(each, "upstream")),
            _state(text(each, "breaker", "state")),
            count(number(each, "in_use")),
            count(sum(answers)),
            count(number(responses, "5xx") or 0),
            count(sum(number(errors, name) or 0 for name in errors)),
            duration(number(each, "latency", "p50_s")),
            duration(number(each, "latency", "p99_s")),
        )
    return made


def _state(state: str) -> RenderableType:
    return styled(state, _NOT_UP.get(state, ""))

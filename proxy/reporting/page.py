"""The report as one page of HTML that needs nothing else: no script, no font, no request.

All texts come from outside: what callers call a model, what a backend is called. Each goes through
``text``, which leaves nothing of it that HTML could mean; and should that ever fail, the page's own
policy forbids whatever it could bring.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from proxy import figures
from proxy.reporting.anomalies import Anomaly
from proxy.reporting.drawing import Picture
from proxy.reporting.findings.finding import Finding
from proxy.reporting.series import Chart
from proxy.reporting.stats import Spread, Stats
from proxy.reporting.style import STYLE
from proxy.reporting.told import Told

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_LONGEST: Final = 300  # characters of one text from outside
_MOST: Final = 50  # rows of a table that callers can make longer


def text(said: object) -> str:
    """``said``, fit to stand in the page: escaped, bounded, in UTF-8."""
    plain = str(said).encode("utf-8", "replace").decode()
    return escape(plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…")


def page(
    told: Told,
    sentences: Sequence[str],
    found: Sequence[Finding],
    odd: Sequence[Anomaly],
    pictures: Sequence[Picture],
) -> str:
    """The whole page."""
    stats = told.stats
    name = stats.pseudonym or "sidecache"
    sections = [
        _section("summary", "What the cache did", _summary(stats, sentences)),
        _section("findings", "What could be better", _findings(found)),
        _section("charts", "Charts", "".join(_figure(each) for each in pictures) or _no_charts()),
        _section("anomalies", "Out of the ordinary", _anomalies(odd)),
        _section("savings", "Savings", _savings(stats)),
        _section("reasons", "Why requests ended as they did", _reasons(stats)),
        _section("latency", "Latency", _latency(stats)),
        _section("tiers", "Tiers", _tiers(told)),
        _section("backends", "Backends", _backends(told)),
    ]
    if told.semantic is not None:
        sections.append(_section("meaning", "Answers in other words", _meaning(told)))
    sections.append(_section("facts", "About this proxy", _facts(told)))
    title = f"{name}: report of {told.saved_at:%Y-%m-%d %H:%M} UTC"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{text(title)}</title>",
            f"<style>{STYLE}</style></head><body>",
            '<a class="skip" href="#summary">To the summary</a>',
            _header(name, told),
            "<main>",
            *sections,
            "</main></body></html>",
            "",
        ]
    )


def _header(name: str, told: Told) -> str:
    slugs = [
        "findings",
        "charts",
        "anomalies",
        "savings",
        "reasons",
        "latency",
        "tiers",
        "backends",
    ]
    slugs += ["meaning", "facts"] if told.semantic is not None else ["facts"]
    links = "".join(f'<li><a href="#{slug}">{slug.capitalize()}</a></li>' for slug in slugs)
    looks = f"; the charts look back {text(told.span)}" if told.span else ""
    return (
        f'<header><h1>{text(name)}</h1><p class="soft">Report of '
        f"{told.saved_at:%Y-%m-%d %H:%M:%S} UTC{looks}.</p>"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav></header>'
    )


def _section(slug: str, title: str, body: str) -> str:
    head = f'<h2 id="{slug}-h">{title}</h2>'
    return f'<section id="{slug}" aria-labelledby="{slug}-h">{head}{body}</section>'


# -- the sections ------------------------------------------------------------------------------


def _summary(stats: Stats, sentences: Sequence[str]) -> str:
    saved = stats.saved
    cards = [
        ("Hit ratio", figures.share(stats.hit_ratio)),
        ("Calls saved", figures.count(saved.calls)),
        ("Tokens saved", figures.count(saved.input_tokens + saved.output_tokens)),
        ("Money saved", figures.money(saved.money or None, saved.currency)),
        ("Time saved", figures.duration(saved.seconds)),
        ("Errors", figures.count(stats.requests.error + stats.requests.shed)),
    ]
    shown = "".join(f"<div><dt>{name}</dt><dd>{text(said)}</dd></div>" for name, said in cards)
    said = "".join(f"<p>{text(each)}</p>" for each in sentences)
    return f'<dl class="cards">{shown}</dl>{said}'


def _findings(found: Sequence[Finding]) -> str:
    if not found:
        return "<p>Nothing that a setting would change.</p>"
    return f'<ol class="findings">{"".join(_finding(each) for each in found)}</ol>'


def _finding(found: Finding) -> str:
    settings = (
        '<p class="settings">Settings: '
        + ", ".join(f"<code>{text(each)}</code>" for each in found.settings)
        + "</p>"
        if found.settings
        else ""
    )
    return (
        f'<li class="{found.weight.word}"><h3><span class="weight">{found.weight.word}</span> '
        f"{text(found.title)}</h3><p>{text(found.why)}</p>"
        f"<p><strong>{text(found.advice)}</strong></p>{settings}</li>"
    )


def _figure(picture: Picture) -> str:
    chart = picture.chart
    return (
        f'<figure id="figure-{chart.slug}">{picture.svg}<figcaption id="chart-{chart.slug}">'
        f"<b>{text(chart.title)}.</b> {text(chart.caption)}</figcaption>"
        f"<details><summary>The numbers: {text(chart.title.lower())}</summary>{_numbers(chart)}"
        "</details></figure>"
    )


def _numbers(chart: Chart) -> str:
    head = [chart.over, *(line.name for line in chart.lines)]
    rows = [
        [_place(chart, number), *(chart.said(line.values[number]) for line in chart.lines)]
        for number in range(len(chart.places))
    ]
    return _table(chart.title, head, rows, most=len(rows))


def _place(chart: Chart, number: int) -> str:
    place = chart.places[number]
    return place if isinstance(place, str) else f"{place:%Y-%m-%d %H:%M:%S}"


def _no_charts() -> str:
    return "<p>There is no history to draw: nothing was asked while the proxy kept count.</p>"


def _anomalies(odd: Sequence[Anomaly]) -> str:
    if not odd:
        return "<p>Nothing in the time that was recorded.</p>"
    rows = "".join(f"<li><b>{text(each.what)}</b>: {text(each.text)}</li>" for each in odd[:_MOST])
    return f"<ul>{rows}</ul>"


def _savings(stats: Stats) -> str:
    if not stats.models:
        return "<p>No model was asked yet.</p>"
    currency = stats.saved.currency
    rows = [
        [
            each.model, figures.count(each.requests), figures.count(each.hits),
            figures.count(each.saved.input_tokens), figures.count(each.saved.output_tokens),
            figures.money(each.saved.money, currency), figures.duration(each.saved.seconds),
            figures.count(each.spent.input_tokens), figures.count(each.spent.output_tokens),
            figures.money(each.spent.money, currency),
        ]
        for each in sorted(stats.models, key=lambda model: -model.requests)
    ]  # fmt: skip
    head = [
        "model", "requests", "hits", "input saved", "output saved", "money saved", "time saved",
        "input spent", "output spent", "money spent",
    ]  # fmt: skip
    return _table("Savings by model; input and output in tokens", head, rows)


def _reasons(stats: Stats) -> str:
    rows = [
        [each.outcome, each.reason, each.dialect, each.tier, figures.count(each.requests)]
        for each in sorted(stats.by, key=lambda by: -by.requests)
        if each.requests
    ]
    if not rows:
        return "<p>Nothing was asked yet.</p>"
    head = ["outcome", "reason", "dialect", "tier", "requests"]
    return _table("Requests by outcome and reason", head, rows, left=4)


def _latency(stats: Stats) -> str:
    measured: list[tuple[str, str, Spread]] = [(e.what, "all of it", e) for e in stats.latency]
    staged: list[tuple[str, str, Spread]] = [(e.outcome, e.stage, e) for e in stats.stages]
    rows = [
        [outcome, stage, figures.count(took.count), *_times(took)]
        for outcome, stage, took in sorted([*measured, *staged], key=lambda row: row[0])
        if took.count
    ]
    if not rows:
        return "<p>Nothing was measured yet.</p>"
    head = ["outcome", "stage", "requests", "mean", "p50", "p90", "p99"]
    return _table("Time by outcome and stage", head, rows, left=2, most=len(rows))


def _times(took: Spread) -> list[str]:
    return [figures.duration(each) for each in (took.mean_s, took.p50_s, took.p90_s, took.p99_s)]


def _tiers(told: Told) -> str:
    rows = [
        [
            tier.tier, tier.state, figures.count(tier.entries), figures.size(tier.bytes),
            figures.size(tier.max_bytes), figures.count(tier.did("get", "hit")),
            figures.count(tier.did("get", "miss")), figures.count(tier.did("get", "error")),
            figures.count(tier.removed.evicted), figures.count(tier.removed.expired),
            figures.duration(took.p99_s) if (took := tier.took("get")) else figures.UNKNOWN,
        ]
        for tier in told.tiers.tiers
    ]  # fmt: skip
    if not rows:
        return "<p>None was told of.</p>"
    head = [
        "tier", "state", "entries", "size", "at most", "hits", "misses", "errors", "evicted",
        "expired", "lookup p99",
    ]  # fmt: skip
    return _table("The tiers, in the order they are asked", head, rows, left=2)


def _backends(told: Told) -> str:
    rows = [
        [
            each.upstream, each.url, each.breaker.state if each.breaker.enabled else "none",
            f"{figures.count(each.in_use)} of {figures.count(each.max_connections)}",
            _counts(each.responses), _counts(each.errors),
            figures.duration(each.latency.p50_s), figures.duration(each.latency.p99_s),
        ]
        for each in told.upstreams.upstreams
    ]  # fmt: skip
    if not rows:
        return "<p>None was told of.</p>"
    head = ["backend", "URL", "breaker", "connections", "responses", "errors", "p50", "p99"]
    return _table("The backends, and how long their answers take to begin", head, rows, left=3)


def _meaning(told: Told) -> str:
    if told.semantic is None:
        return ""
    rows = [
        [
            each.family, each.script, f"{each.threshold:.3f}", figures.count(each.labels),
            figures.share(each.error), f"{figures.share(each.low)} to {figures.share(each.high)}",
            "open" if each.open else "closed",
        ]
        for each in told.semantic.strata
    ]  # fmt: skip
    if not rows:
        return "<p>Nothing was measured yet.</p>"
    head = ["model", "script", "threshold", "labels", "wrong per hit", "95 % bounds", "breaker"]
    return _table("How often hits by meaning are wrong", head, rows, left=2)


def _facts(told: Told) -> str:
    stats, config = told.stats, told.config
    facts = [
        ("Version", f"{stats.version}, Python {stats.python}"),
        ("Replica", stats.replica or figures.UNKNOWN),
        ("Started", f"{stats.started_at:%Y-%m-%d %H:%M:%S} UTC" if stats.started_at else "?"),
        ("Running for", figures.duration(stats.uptime_s)),
        ("Configuration", f"number {config.generation or stats.generation}"),
        ("Read from", config.file or figures.UNKNOWN),
        ("Memory", figures.size(stats.process.rss_bytes)),
        ("Processor time", figures.duration(stats.process.cpu_s)),
        ("Loop lag, p99", figures.duration(stats.loop_lag.p99_s)),
    ]  # fmt: skip
    facts += [(name, said) for name in _SETTINGS if (said := _setting(told, name)) is not None]
    rows = "".join(f"<div><dt>{text(n)}</dt><dd>{text(said)}</dd></div>" for n, said in facts)
    missing = "".join(f"<li>{text(n)}: {text(why)}</li>" for n, why in told.untold.items())
    untold = f"<p>What was not told:</p><ul>{missing}</ul>" if missing else ""
    return f'<dl class="facts">{rows}</dl>{untold}'


_SETTINGS: Final = (
    "cache.ttl_s", "cache.stale_while_revalidate_s", "cache.stale_if_error_s", "cache.scope.by",
    "cache.max_temperature", "l1_memory.max_bytes", "l2_disk.enabled", "l2_disk.max_bytes",
    "semantic.enabled", "semantic.error_budget", "semantic.threshold",
)  # fmt: skip


def _setting(told: Told, name: str) -> str | None:
    """A setting for people; None: it was not told."""
    found: object = told.config.settings
    for step in name.split("."):
        if not isinstance(found, dict) or step not in found:
            return None
        found = found[step]
    if name.endswith("_bytes") and isinstance(found, int):
        return figures.size(found)
    if name.endswith("_s") and isinstance(found, int | float):
        return figures.duration(found) if found else "0"
    match found:
        case None:
            return "none"
        case bool():
            return "yes" if found else "no"
        case _:
            return str(found)


# -- pieces ------------------------------------------------------------------------------------


def _counts(numbers: dict[str, int]) -> str:
    told = [f"{name}: {figures.count(number)}" for name, number in numbers.items() if number]
    return ", ".join(told) or "none"


def _table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Iterable[str]],
    *,
    left: int = 1,
    most: int = _MOST,
) -> str:
    """A table whose first ``left`` columns are words."""
    heads = "".join(
        f'<th scope="col"{_words(number < left)}>{text(name)}</th>'
        for number, name in enumerate(head)
    )
    body = "".join(f"<tr>{_cells(row, left)}</tr>" for row in rows[:most])
    more = len(rows) - most
    note = f'<p class="soft">and {figures.count(more)} more</p>' if more > 0 else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table><caption>{text(caption)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>{note}"
    )


def _cells(row: Iterable[str], left: int) -> str:
    first, *others = row
    cells = [f'<th scope="row">{text(first)}</th>']
    cells += [f"<td{_words(n < left)}>{text(said)}</td>" for n, said in enumerate(others, 1)]
    return "".join(cells)


def _words(are: bool) -> str:  # noqa: FBT001 - a detail of a table
    return ' class="words"' if are else ""

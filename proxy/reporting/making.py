"""Making a report: asking for what it is about, and putting it together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from proxy.reporting import drawing, series
from proxy.reporting.anomalies import anomalies
from proxy.reporting.findings import findings
from proxy.reporting.findings.finding import Finding
from proxy.reporting.page import page
from proxy.reporting.summary import summary
from proxy.reporting.told import VERSION, Told

Json = dict[str, object]

# What is asked for besides /stats, without which there is nothing to report.
_OTHERS: Final = {
    "history": "/stats/history",
    "tiers": "/tiers",
    "upstreams": "/upstreams",
    "config": "/config",
    "semantic": "/semantic",
}


class Unanswered(Exception):
    """A question to the proxy was not answered; says why."""


class Report(NamedTuple):
    """A report, made.

    Attributes:
        html: the page.
        charts: what is drawn in it.
        found: what could be better, the most pressing first.
    """

    html: str
    charts: list[series.Chart]
    found: list[Finding]


def gather(ask: Callable[[str, Mapping[str, str]], Json], span: str, now: datetime) -> Json:
    """All that a report is made of, as it was told: fit to be saved, and for ``told.read``.

    Args:
        ask: asks the admin API for a path, with a query; raises Unanswered.
        span: how far back the history is to go, as the API has it.
        now: the time.

    Raises:
        Unanswered: not even /stats was.
    """
    document: Json = {"sidecache_report": VERSION, "saved_at": now.isoformat(), "span": span}
    document["stats"] = ask("/stats", {})
    untold: Json = {}
    for name, path in _OTHERS.items():
        try:
            document[name] = ask(path, {"span": span} if name == "history" else {})
        except Unanswered as why:
            document[name] = None
            if name != "semantic":  # which there is only where it is switched on
                untold[path] = str(why)
    document["untold"] = untold
    return document


def report(told: Told) -> Report:
    """The report about ``told``. Raises ConfigError where charts cannot be drawn."""
    drawing.need_matplotlib()
    shown = series.charts(told)
    found = findings(told)
    pictures = [drawing.Picture(chart, drawing.svg(chart)) for chart in shown]
    html = page(told, summary(told), found, anomalies(told), pictures)
    return Report(html, shown, found)

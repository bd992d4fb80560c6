"""Rules and dashboard against the metrics there are, their own tests, and the runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.exposed import exposed

ROOT = Path(__file__).parents[2]
KIT = ROOT / "config" / "monitoring"
RULES = yaml.safe_load((KIT / "prometheus/rules.yaml").read_text())
TESTS = yaml.safe_load((KIT / "prometheus/rules.test.yaml").read_text())
DASHBOARD = json.loads((KIT / "grafana/sidecache.json").read_text())
RUNBOOK = (ROOT / "docs/runbook.md").read_text()

_NAME = re.compile(r"\b(?:\w+:)?sidecache_\w+(?::\w+)?|\bprocess_\w+|\bup\b")
_SELECTOR = re.compile(rf"({_NAME.pattern})\{{([^}}]*)\}}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_SCRAPED = frozenset({"job", "instance"})  # which the scrape adds


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in rules() if "record" in rule}


def shown() -> list[str]:
    """Each expression of the dashboard."""
    panels = [
        target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
    ]
    return panels + [each["expr"] for each in DASHBOARD["annotations"]["list"]]


def variables() -> list[str]:
    return [v["query"]["query"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]


def given_series() -> list[str]:
    """Each series that the rules are tested with."""
    return [given["series"] for test in TESTS["tests"] for given in test["input_series"]]


EVERY = [*(rule["expr"] for rule in rules()), *shown(), *variables(), *given_series()]


@cache
def known() -> dict[str, frozenset[str]]:
    """The labels of every series there is, recorded ones too."""
    scraped = {name: labels | _SCRAPED for name, labels in exposed().items()}
    # A record's labels are in its name, by Prometheus' own custom.
    recorded = {name: frozenset(name.partition(":")[0].split("_")) | {"job"} for name in RECORDS}
    return scraped | recorded | {"up": _SCRAPED}


@pytest.mark.parametrize("expression", EVERY)
def test_every_metric_that_is_named_exists_with_these_labels(expression: str) -> None:
    bare = re.sub(r'"[^"]*"', '""', expression)
    names = _NAME.findall(bare)
    assert names
    assert [name for name in names if name not in known()] == []
    for name, matchers in _SELECTOR.findall(bare):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert labels <= known()[name], name
    grouped = {label.strip() for found in _GROUPING.findall(bare) for label in found.split(",")}
    assert grouped - {"", "le"} <= set().union(*(known()[name] for name in names))


def test_a_record_has_the_labels_of_its_name() -> None:
    for name, rule in RECORDS.items():
        (first, *_) = _GROUPING.findall(rule["expr"]) or [""]
        by = {label.strip() for label in first.split(",")} - {"", "le", "job"}
        if by:
            assert by == set(name.partition(":")[0].split("_")) - {"job"}, name


def test_every_record_is_used_or_tested() -> None:
    rest = [rule["expr"] for rule in ALERTS.values()]
    rest += [rule["expr"] for name, rule in RECORDS.items()]
    rest += [each["expr"] for test in TESTS["tests"] for each in test.get("promql_expr_test", ())]
    for name in RECORDS:
        assert [expression for expression in rest if name in expression], name


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_the_case_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    said = rule["annotations"]

    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(said) == {"summary", "description", "runbook_url"}
    assert said["summary"].endswith((".", ")."))
    assert said["description"].endswith(".")
    assert said["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    entries = re.split(r"^### (\w+)$", RUNBOOK, flags=re.MULTILINE)[1:]
    texts = dict(zip(entries[::2], entries[1::2], strict=True))

    assert set(texts) == set(ALERTS)
    for name, text in texts.items():
        for part in ("**Means.** ", "**Look.** ", "**Do.** "):
            assert part in text, (name, part)


def checked() -> Iterator[tuple[str, bool]]:
    """The alerts that are tested, and whether to fire or not to."""
    for test in TESTS["tests"]:
        for each in test.get("promql_expr_test", ()):
            found = re.search(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}', each["expr"])
            if found:
                yield found[1], bool(each["exp_samples"])


def test_every_alert_is_tested_to_fire_and_not_to() -> None:
    assert set(checked()) == {(name, fires) for name in ALERTS for fires in (True, False)}


# -- the dashboard ----------------------------------------------------------------------------


def test_the_dashboard_can_be_imported_anywhere() -> None:
    assert DASHBOARD["uid"] == "sidecache"
    assert DASHBOARD["id"] is None
    source, *others = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    asking = [*others, *DASHBOARD["annotations"]["list"]]
    asking += [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    asking += [target for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    for each in asking:
        assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_stand_side_by_side_and_say_what_they_show() -> None:
    panels = DASHBOARD["panels"]
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs) > 0
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart, (one, other)


@pytest.mark.parametrize("expression", shown())
def test_an_expression_heeds_what_is_chosen_and_the_width_of_the_screen(expression: str) -> None:
    selected = _SELECTOR.findall(expression)
    for name, matchers in selected:
        assert 'job=~"$job", instance=~"$instance"' in matchers, name
    assert [name for name, _ in selected] == _NAME.findall(re.sub(r'"[^"]*"', "", expression))
    assert set(re.findall(r"\[([^\]]*)\]", expression)) <= {"$__rate_interval", "$__range"}


def test_what_both_dashboards_show_has_a_row() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]

    assert rows == [
        "Overview", "Latency by stage", "Tiers", "Backends", "Answers in other words", "Savings",
        "Process",
    ]  # fmt: skip

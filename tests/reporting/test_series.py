from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from support.reported import Json, model, point, staged, told

from proxy.reporting.series import Chart, Unit, charts, coarser
from proxy.reporting.stats import Point


def drawn(**changes: Any) -> dict[str, Chart]:
    return {chart.slug: chart for chart in charts(told(**changes))}


def points(*changes: Json) -> list[Point]:
    return [Point.model_validate(point(number, **each)) for number, each in enumerate(changes)]


def test_a_busy_proxy_has_every_chart() -> None:
    assert list(drawn()) == [
        "hit-rate", "outcomes", "latency", "tokens", "money", "stages", "stages-of-hits", "models",
    ]  # fmt: skip


def test_every_line_has_a_value_for_every_place_and_no_chart_too_many() -> None:
    for chart in drawn().values():
        assert len(chart.places) <= 96
        assert {len(line.values) for line in chart.lines} == {len(chart.places)}


def test_the_hit_rate_is_told_by_tier_in_their_order() -> None:
    chart = drawn(history={"points": [point(1), point(2, hit=50, coalesced=10, miss=40, bypass=7,
        tiers={"l2_disk": 20, "l1_memory": 30})]})["hit-rate"]  # fmt: skip

    assert {line.name: line.values[1] for line in chart.lines} == {
        "l1_memory": 0.3,
        "l2_disk": 0.2,
        "shared call": 0.1,
    }


def test_outcomes_that_never_were_are_left_out() -> None:
    names = [line.name for line in drawn()["outcomes"].lines]

    assert names == ["hit", "coalesced", "miss", "bypass"]


def test_savings_are_added_up() -> None:
    some = [
        point(n, saved_input_tokens=10, saved_output_tokens=1, saved_money=0.5) for n in (1, 2, 3)
    ]
    charted = drawn(history={"points": some})

    assert [line.values for line in charted["tokens"].lines] == [(10, 20, 30), (1, 2, 3)]
    assert charted["money"].lines[0].values == (0.5, 1.0, 1.5)
    assert charted["money"].said(1.5) == "1.50 USD"


def test_without_prices_there_is_no_chart_of_money() -> None:
    assert "money" not in drawn(history={"points": [point(n, saved_money=None) for n in range(3)]})


def test_the_stages_of_an_outcome_are_shares_of_its_time() -> None:
    stages = [*staged("hit", 10, key=0.001, lookup=0.003), *staged("miss", 5, flight=2.0)]
    charted = drawn(stats={"stages": stages})

    shares = {line.name: line.values for line in charted["stages"].lines}
    assert charted["stages"].places == ("hit, 4.8 ms", "miss, 2.4 s")
    assert shares["key"] == pytest.approx((0.25, 0))
    assert shares["flight"] == (0, 1)
    assert [line.name for line in charted["stages-of-hits"].lines] == ["key", "lookup"]


@pytest.mark.parametrize(
    "changes",
    [
        {"history": {"points": []}},
        {"history": {"points": [point(1)]}},
        {"history": {"points": [point(n, requests=0) for n in range(5)]}},
    ],
)
def test_of_too_little_history_nothing_is_drawn_over_time(changes: Json) -> None:
    charted = drawn(**changes, stats={"stages": [], "models": []})

    assert charted == {}


def test_of_many_models_the_foremost_are_shown_with_names_that_fit() -> None:
    names = ["x" * 200, "two\nlines\x1b[31m", *(f"model-{n}" for n in range(20))]
    models = [model(name, 1_000 - place, None) for place, name in enumerate(names)]
    places = drawn(stats={"models": models})["models"].places

    assert len(places) == 8
    assert places[0] == "x" * 39 + "…"
    assert places[1] == "two\N{REPLACEMENT CHARACTER}lines\N{REPLACEMENT CHARACTER}[31m"


def test_steps_that_are_made_one_keep_their_sums() -> None:
    many = points(*[{"requests": n, "hit": n, "tiers": {"l1_memory": n}} for n in range(100)])
    few = coarser(many, 7)

    assert len(few) == 7
    assert few[0].at == many[0].at
    for value in ("total", "hit", "miss", "bytes", "saved_input_tokens", "saved_output_tokens"):
        assert sum(getattr(each, value) for each in few) == sum(getattr(e, value) for e in many)
    assert sum(each.tiers["l1_memory"] for each in few) == sum(range(100))


def test_steps_that_are_made_one_keep_the_worst_and_the_middle() -> None:
    unknown: Json = {"upstream_p50_s": None, "saved_money": None}
    (one,) = coarser(
        points(
            {"requests": 1, "p50_s": 9.0, "p99_s": 9.5, **unknown},
            {"requests": 10, "p50_s": 2.0, "p99_s": 3.0, **unknown},
            {"requests": 10, "p50_s": 1.0, "p99_s": None, **unknown},
        ),
        1,
    )  # fmt: skip

    assert (one.p50_s, one.p99_s, one.upstream_p50_s, one.saved_money) == (2.0, 9.5, None, None)


def test_few_steps_stay_as_they_are() -> None:
    few = points({}, {}, {})

    assert coarser(few, 96) == few


def test_the_places_of_charts_over_time_are_moments() -> None:
    chart = drawn()["latency"]

    assert all(isinstance(place, datetime) for place in chart.places)
    assert chart.unit is Unit.SECONDS
    assert chart.said(0.002) == "2 ms"

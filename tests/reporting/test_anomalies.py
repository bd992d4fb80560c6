from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reported import NOW, Json, point, saved, told

from proxy.reporting.anomalies import Anomaly, Outlier, anomalies, outliers, since
from proxy.reporting.told import read


def history(changed: dict[int, Json] | None = None, **rest: Any) -> list[Anomaly]:
    """What is odd about six hours in which some minutes were otherwise."""
    points = [point(number, **(changed or {}).get(number, {})) for number in range(360)]
    return anomalies(told(history={"step_s": 60, "points": points}, **rest))


def at(number: int) -> datetime:
    return NOW - timedelta(minutes=360 - number)


def test_a_day_like_any_other_has_nothing_odd() -> None:
    assert history() == []


def test_errors_in_one_quarter_of_an_hour_are_one_anomaly() -> None:
    (odd,) = history({number: {"error": 30} for number in range(200, 215)})

    assert (odd.what, odd.at) == ("errors", at(200))
    assert odd.text.startswith("At 2026-05-04 09:20:00 until 09:34:00: rose to ")
    assert odd.text.endswith("; 0.0 % is usual.")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"p99_s": 30.0}, "slowest requests (p99)"),
        ({"upstream_p50_s": 9.0}, "backend's median"),
        ({"hit": 0, "miss": 60}, "hit ratio"),
        ({"loop_lag_p99_s": 0.9}, "lag of the event loop (p99)"),
        ({"bypass": 40}, "requests passed on"),
    ],
)
def test_what_is_far_from_the_usual_is_told(change: Json, what: str) -> None:
    lag = {n: {"loop_lag_p99_s": 0.001} for n in range(360)}

    (odd,) = history({**lag, 100: {"loop_lag_p99_s": 0.001, **change}})

    assert (odd.what, odd.at) == (what, at(100))


def test_a_quiet_minute_proves_nothing() -> None:
    alone = {"requests": 1, "hit": 0, "coalesced": 0, "miss": 0, "bypass": 0, "error": 1}

    assert history({100: alone}) == []


def test_of_many_anomalies_the_worst_are_told_in_the_order_of_time() -> None:
    odd = history({n: {"p99_s": 10.0 + n} for n in range(10, 300, 20)})

    assert [each.at for each in odd] == [at(n) for n in (230, 250, 270, 290)]


def test_a_gap_in_the_record_is_told() -> None:
    points = [point(number) for number in range(360) if not 100 <= number < 130]
    (odd,) = anomalies(told(history={"step_s": 60, "points": points}))

    assert odd.what == "a gap in the record"
    assert "31 min" in odd.text


def test_a_time_in_which_nobody_asked_is_told_once() -> None:
    none = dict.fromkeys(("requests", "hit", "miss", "coalesced", "bypass"), 0)
    (odd,) = history(dict.fromkeys(range(50, 60), none))

    assert (odd.what, odd.at) == ("nobody asked", at(50))


def test_a_start_within_the_time_that_is_shown_is_told() -> None:
    started = NOW - timedelta(hours=2)
    (odd,) = history(stats={"started_at": started.isoformat(), "uptime_s": 7_200})

    assert (odd.what, odd.at) == ("a start", started)


@pytest.mark.parametrize("span", ["", "all", "h", "2w"])
def test_a_span_that_is_none_makes_no_start_odd(span: str) -> None:
    assert history(span=span, stats={"uptime_s": 10}) == []


def test_counters_that_do_not_add_up_are_told() -> None:
    (odd,) = history(stats={"requests": {"total": 10_100}})

    assert odd.what == "counters that do not add up"
    assert odd.at is None
    assert "10,100 requests came, and 10,000 ended (13 may be under way)" in odd.text


@pytest.mark.parametrize(("received", "odd"), [(10_013, 0), (10_100, 1), (9_900, 1)])
def test_requests_that_came_must_have_ended_or_be_under_way(received: int, odd: int) -> None:
    assert len(history(stats={"received": received})) == odd


def test_a_step_that_is_not_over_is_no_fall() -> None:
    points = [point(number) for number in range(360)]
    points.append(point(360, requests=0, hit=0, miss=0, coalesced=0, bypass=0))

    assert anomalies(told(history={"step_s": 60, "points": points})) == []


def test_requests_under_way_are_no_anomaly() -> None:
    assert history(stats={"requests": {"total": 10_013}}) == []


def test_reasons_for_more_requests_than_there_were_are_told() -> None:
    given = saved()
    given["stats"]["by"][0]["requests"] += 100
    (odd,) = anomalies(read(given))

    assert "6,300 requests have a reason to be a hit, and only 6,200 are one" in odd.text


def test_the_history_begins_with_its_first_point_or_else_the_start() -> None:
    assert since(told()) == at(0)
    assert since(told(history={"points": []})) == NOW - timedelta(days=2)


def test_a_run_is_one_outlier_and_what_is_not_known_does_not_end_it() -> None:
    values = [1.0] * 20 + [9.0, None, 12.0, 8.0] + [1.0] * 20 + [5.0]

    assert outliers(values, floor=1.0) == [Outlier(20, 23, 12.0, 1.0), Outlier(44, 44, 5.0, 1.0)]


def test_only_the_side_that_is_asked_for_counts() -> None:
    values = [1.0] * 20 + [9.0] + [1.0] * 5 + [-9.0]

    assert [each.worst for each in outliers(values, floor=1.0, down=True)] == [9.0, -9.0]
    assert [each.worst for each in outliers(values, floor=1.0, up=False, down=True)] == [-9.0]
    assert outliers(values, floor=10.0, down=True) == []


def test_of_few_values_none_is_out_of_the_ordinary() -> None:
    assert outliers([1.0] * 10 + [99.0], floor=1.0) == []


@given(
    st.lists(st.floats(0, 1), min_size=12, max_size=60), st.floats(0.001, 1), st.floats(-100, 100)
)
def test_where_values_lie_does_not_matter_only_how_far_apart(
    values: list[float], floor: float, shift: float
) -> None:
    moved = [value + shift for value in values]
    some = [(o.first, o.last) for o in outliers(values, floor=floor + 1e-3)]
    other = [(o.first, o.last) for o in outliers(moved, floor=floor)]

    # A little less floor for what rounding may do: all are found again, though runs may grow.
    assert all(any(a <= first and last <= b for a, b in other) for first, last in some)


@given(st.lists(st.floats(-1e6, 1e6), min_size=12, max_size=60))
def test_most_values_are_ordinary(values: list[float]) -> None:
    odd = outliers(values, floor=1e-9, down=True)
    places = {place for each in odd for place in range(each.first, each.last + 1)}

    assert len(places) <= len(values) / 2

from __future__ import annotations

import json

import pytest
from support.reported import NOW, saved, told

from proxy.reporting.told import Unreadable, read


def test_what_was_saved_is_read() -> None:
    read_back = read(json.loads(json.dumps(saved())))

    assert read_back == told()
    assert read_back.saved_at == NOW
    assert read_back.stats.requests.spared == 6_600
    assert read_back.stats.requests.ended == read_back.stats.requests.total
    assert len(read_back.history.points) == 360
    assert read_back.tiers.tiers[0].did("get") == 9_500
    assert read_back.config.number("semantic.error_budget") == 0.02
    assert read_back.config.number("semantic.no.such") is None


def test_what_a_newer_proxy_tells_besides_is_ignored_and_what_is_unknown_is_nought() -> None:
    given = saved(stats={"new": {"a": 1}, "hit_ratio": None, "uptime_s": None, "replica": None})
    given["tiers"] = None

    stats = read(given).stats
    assert (stats.hit_ratio, stats.uptime_s, stats.replica) == (None, 0, "")
    assert read(given).tiers.tiers == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sidecache_report": 9}, "another version"),
        ({"saved_at": "yesterday"}, "saved_at"),
        ({"stats": {"requests": {"total": -1}}}, "stats.requests.total"),
        ({"stats": {"hit_ratio": float("nan")}}, "stats.hit_ratio"),
        ({"history": {"points": [{"requests": 1}]}}, "history.points.0.at"),
        ({"history": {"points": "many"}}, "history.points"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(changes: dict[str, object], says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        read(saved(**changes))


@pytest.mark.parametrize("document", [{}, {"stats": {}}, {"requests": 1}])
def test_a_file_of_another_kind_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(Unreadable, match="not written by `sidecache report --save`"):
        read(document)


def test_times_without_a_zone_are_utc() -> None:
    given = saved(saved_at="2026-05-04T12:00:00")

    assert read(given).saved_at == NOW


def test_requests_that_ended_for_one_reason_are_added_up_the_most_first() -> None:
    by = [
        {"outcome": "miss", "reason": "expired", "requests": 3},
        {"outcome": "miss", "reason": "uri-miss", "requests": 5},
        {"outcome": "miss", "reason": "expired", "requests": 4},
        {"outcome": "hit", "reason": "fresh", "requests": 9},
    ]
    given = saved()
    given["stats"]["by"] = by

    assert list(read(given).stats.ended("miss").items()) == [("expired", 7), ("uri-miss", 5)]

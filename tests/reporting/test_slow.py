from __future__ import annotations

import pytest
from support.reported import staged, told

from proxy.reporting.findings.slow import bottleneck


@pytest.mark.parametrize(
    ("outcomes", "stage", "share"), [((), "flight", 0.99), (("hit", "stale"), "deliver", 0.4)]
)
def test_the_bottleneck_is_the_stage_that_takes_most(
    outcomes: tuple[str, ...], stage: str, share: float
) -> None:
    found = bottleneck(told().stats, *outcomes)

    assert found is not None
    assert found.stage == stage
    assert found.share > share


def test_hits_of_which_few_are_measured_count_as_many_as_there_were() -> None:
    few = [*staged("hit", 8, deliver=0.01), *staged("miss", 1, flight=0.1)]
    requests = {"hit": 6_000, "stale": 0, "miss": 1}

    found = bottleneck(told(stats={"stages": few, "requests": requests}).stats)

    assert found is not None
    assert found.stage == "deliver"
    assert found.mean_s == pytest.approx(0.012)


def test_where_nothing_was_measured_there_is_no_bottleneck() -> None:
    assert bottleneck(told(stats={"stages": []}).stats) is None

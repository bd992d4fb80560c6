"""The bounds of calls, as they are set."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.app import bounds
from proxy.config.settings import Settings
from proxy.overload import Limits


def overload(**chosen: Any) -> Settings:
    return Settings.model_validate({"overload": chosen})


def test_as_many_may_wait_as_may_be_under_way_unless_set() -> None:
    assert bounds.call_limits(overload()) == Limits(1024, 1024, 1.0, 0.5)
    assert bounds.call_limits(overload(max_calls=7)).queued == 7
    chosen = overload(max_calls=7, max_queued=0, queue_s="250ms", scope_share=1)
    assert bounds.call_limits(chosen) == Limits(7, 0, 0.25, 1.0)


def test_what_finds_out_what_backends_bear_is_there_where_wanted_and_goes_on() -> None:
    assert bounds.adaptive(overload(), None) is None
    first = bounds.adaptive(overload(adaptive=True, min_calls=5), None)
    assert first is not None
    assert first.limit == 5
    assert bounds.adaptive(overload(adaptive=True, min_calls=9), first) is first
    assert first.limit == 9
    assert bounds.adaptive(overload(), first) is None


@pytest.mark.parametrize(
    ("chosen", "fault"),
    [
        ({"max_calls": 0}, "greater than or equal to 1"),
        ({"max_queued": -1}, "greater than or equal to 0"),
        ({"scope_share": 0}, "greater than 0"),
        ({"scope_share": 1.5}, "1"),
        ({"queue_s": "2m"}, "at most 60 s"),
    ],
)
def test_what_makes_no_sense_is_refused(chosen: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        overload(**chosen)

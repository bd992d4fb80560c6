"""Bounds that make sense."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.downstream.limits import Limits


@pytest.mark.parametrize("name", ["connections", "idle_s", "min_rate", "body_cap"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_bound_must_be_above_zero(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be above zero, not {value}"):
        replace(Limits(), **{name: value})


def test_lingering_can_be_switched_off() -> None:
    assert Limits(linger_s=0).linger_s == 0


def test_a_head_may_be_as_long_as_its_longest_target_and_field() -> None:
    assert Limits(head_bytes=10, line_bytes=20, field_bytes=30).head_cap == 50
    assert Limits(head_bytes=99, line_bytes=20, field_bytes=30).head_cap == 99

"""Which stored responses may answer a request."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from support.cranked import entry

from proxy.model.decision import Hit, Miss, Why
from proxy.model.entry import Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Controls
from proxy.resources.reuse import reuse

STORED = replace(entry(), lifetime=Lifetime(60.0, 10.0, 20.0, 3600.0), stored_at=0.0)
STRICT = replace(
    STORED, head=Head(200, "OK", Headers([("Cache-Control", "max-age=60, must-revalidate")]))
)


@pytest.mark.parametrize(
    ("now", "controls", "expected"),
    [
        (59.0, Controls(), Hit(STORED, Why.FRESH, "t")),
        (60.0, Controls(), Hit(STORED, Why.SWR, "t")),
        (70.0, Controls(), Miss(Why.EXPIRED, STORED, "t")),
        (80.0, Controls(), Miss(Why.EXPIRED, None, "t")),
        (1.0, Controls(no_cache=True), Miss(Why.NO_CACHE, None, "t")),
        (11.0, Controls(max_age=10.0), Miss(Why.MAX_AGE, None, "t")),
        (9.0, Controls(max_age=10.0), Hit(STORED, Why.FRESH, "t")),
        (51.0, Controls(min_fresh=10.0), Miss(Why.MIN_FRESH, None, "t")),
        (65.0, Controls(max_age=100.0), Miss(Why.EXPIRED, None, "t")),
        (1000.0, Controls(max_stale=inf), Hit(STORED, Why.MAX_STALE, "t")),
        (100.0, Controls(max_stale=10.0), Miss(Why.EXPIRED, None, "t")),
    ],
)
def test_what_is_stored_is_reused_as_sections_4_and_5_2_1_allow(
    now: float, controls: Controls, expected: Hit | Miss
) -> None:
    assert reuse(STORED, "t", controls, now, "") == expected


def test_who_takes_what_is_stale_is_not_given_what_forbids_it() -> None:
    assert reuse(STRICT, "t", Controls(max_stale=inf), 61.0, "") == Miss(Why.EXPIRED, None, "t")


def test_nor_what_surrogates_are_forbidden_to_give() -> None:
    told = Headers([("Surrogate-Control", "max-age=60, must-revalidate")])
    strict = replace(STORED, head=Head(200, "OK", told))
    assert isinstance(reuse(strict, "t", Controls(max_stale=inf), 61.0, ""), Hit)
    assert isinstance(reuse(strict, "t", Controls(max_stale=inf), 61.0, "s"), Miss)

"""How many descriptors there are, and how many clients fit in."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.host.descriptors import RESERVE, clients_that_fit, in_use, needed, raise_limit

_RAISE = """
import resource
from proxy.host.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.parametrize(("soft", "hard"), [(64, 512), (512, 512)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int) -> None:
    script = _RAISE.format(soft=soft, hard=hard)
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [str(hard)] * 3


@pytest.mark.parametrize(
    ("clients", "pools", "most", "fit"),
    [
        (10_000, 1024, None, 10_000),
        (10_000, 1024, 1_048_576, 10_000),
        (10_000, 1024, 10_000 + 1024 + 36 + RESERVE, 10_000),
        (10_000, 1024, 10_000 + 1024 + 35 + RESERVE, 9_999),
        (10_000, 1024, 4096, 4096 - 36 - RESERVE - 1024),
        (10_000, 1024, 1024, (1024 - 36 - RESERVE) // 2),
        (10_000, 1024, 128, (128 - 36 - RESERVE) // 2),
        (10_000, 1024, 64, 8),
        (4, 1024, 64, 4),
        (100, 1024, 1024, 100),
    ],
)
def test_clients_get_what_backends_leave_and_half_at_least(
    clients: int, pools: int, most: int | None, fit: int
) -> None:
    assert clients_that_fit(clients, pools, 36, most) == fit


@given(st.integers(8, 20_000), st.integers(0, 5_000), st.integers(0, 200), st.integers(300, 50_000))
def test_no_more_are_let_in_than_there_is_room_for(
    clients: int, pools: int, open_now: int, most: int
) -> None:
    fit = clients_that_fit(clients, pools, open_now, most)
    assert 8 <= fit <= clients
    assert fit == clients or fit < clients <= needed(clients, pools, open_now)
    assert fit + open_now + RESERVE <= most
    if needed(clients, pools, open_now) <= most:
        assert fit == clients


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_what_was_raised_stays_so() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
    try:
        assert raise_limit() == raise_limit() == (None if hard == resource.RLIM_INFINITY else hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_open_descriptors_cannot_be_counted_there_is_a_guess() -> None:
    assert in_use(("/no/such/folder", "/nor/this")) == 32


def test_open_descriptors_can_be_counted() -> None:
    before = in_use()
    opened = [os.pipe() for _ in range(5)]
    try:
        assert in_use() == before + 10
    finally:
        for pair in opened:
            for each in pair:
                os.close(each)

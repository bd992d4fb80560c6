"""How much memory stored answers may take, where nobody has said it."""

from __future__ import annotations

import pytest

from proxy.host.budget import AT_LEAST, UNLIMITED_AT_MOST, memory_budget

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("limit", "total", "workers", "budget"),
    [
        (GIB, 64 * GIB, 1, int(0.4 * GIB)),
        (GIB, 64 * GIB, 4, int(0.4 * GIB) // 4),
        (32 * GIB, 64 * GIB, 1, int(0.4 * 32 * GIB)),  # who limits it has thought of it
        (16 * MIB, 64 * GIB, 1, AT_LEAST),
        (GIB, None, 100, AT_LEAST),
        (None, 64 * GIB, 1, UNLIMITED_AT_MOST),
        (None, 64 * GIB, 8, UNLIMITED_AT_MOST),
        (None, 512 * MIB, 1, int(0.4 * 512 * MIB)),
        (None, GIB, 4, int(0.4 * GIB) // 4),
        (None, None, 1, UNLIMITED_AT_MOST),
    ],
)
def test_it_is_a_share_of_what_there_is(
    limit: int | None, total: int | None, workers: int, budget: int
) -> None:
    assert memory_budget(limit, total, workers) == budget

"""How much memory something goes on holding."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def holding_less_than(most_bytes: int) -> Iterator[None]:
    """Fails if more than that is held at the end of what was not held at its beginning."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < most_bytes

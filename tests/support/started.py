"""Something that is begun now and awaited later in the same test."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def started(doing: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
    """Begin ``doing``; whoever does so awaits or cancels it."""
    return asyncio.get_running_loop().create_task(doing)

"""What the event loop fails at with nobody to tell: told once where it is always the same."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping
from typing import Final

log = logging.getLogger("sidecache")

_AGAIN_S: Final = 60.0
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Starved:
    """A loop's exception handler. Where there are no descriptors left to accept with, it says so.

    asyncio's own loop then pauses for a second and fails again; uvloop closes what it cannot take,
    without a word.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.count = 0  # of failures to accept
        self._clock = clock
        self._told = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _NONE_LEFT and "socket" in context):
            loop.default_exception_handler(dict(context))
            return
        self.count += 1
        now = self._clock()
        if now - self._told >= _AGAIN_S:
            self._told = now
            log.warning(
                "connections cannot be accepted: no descriptors or no memory is left for them",
                extra={"reason": error.strerror},
            )

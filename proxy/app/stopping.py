"""Signals that tell the process to stop, and which way to leave each of them means."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

from proxy.config.settings import Settings
from proxy.downstream import leaving
from proxy.downstream.leaving import Leaving

_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
# SIGUSR1: another has taken over at the same socket.
_RETIRING: Final = frozenset() if sys.platform == "win32" else frozenset({signal.SIGUSR1})


def way(number: int, settings: Settings) -> Leaving:
    """How to leave when this signal comes."""
    chosen = settings.downstream
    if number == signal.SIGINT:
        return leaving.interrupted(chosen.drain_s)
    if number in _RETIRING:
        return leaving.retiring(chosen.drain_s)
    if settings.mode == "sidecar":
        return leaving.sidecar(chosen.drain_delay_s, chosen.drain_s)
    return leaving.gateway(chosen.drain_delay_s, chosen.drain_s)


class Stopping:
    """Hears what tells the process to stop: SIGTERM, SIGINT, or that it is to retire, SIGUSR1.

    The first of them counts. A second SIGTERM or SIGINT ends the process at once, even if the loop
    is stuck: nothing here depends on a clean end.

    Args:
        settings: those in force.
        loop: what is told; the main thread's.
        end: ends the process.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        loop: asyncio.AbstractEventLoop,
        *,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._end = end or _end
        self._how: asyncio.Future[Leaving] = loop.create_future()
        self._told_to_end = False

    def listen(self) -> None:
        """Hear signals from now on."""
        # Not by the loop, which would tell of them only when it comes round to it. And a call of
        # the system that one of them interrupts is not to be gone on with before it was heard.
        for number in _ENDING | _RETIRING:
            signal.signal(number, self._hear)

    def ask(self, number: int) -> None:
        """Do as if this signal had come, but for a second one."""
        if not self._how.done():
            self._how.set_result(way(number, self._settings()))

    async def asked(self) -> Leaving:
        """Wait to be told; how to leave."""
        return await self._how

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if number in _ENDING:
            if self._told_to_end:
                self._end()
            self._told_to_end = True
        with contextlib.suppress(RuntimeError):  # the loop has come to its end already
            self._loop.call_soon_threadsafe(self.ask, number)


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

"""The body of a response as it comes from a connection: handed on at once, or kept for a while."""

from __future__ import annotations

import asyncio
from typing import Protocol

from proxy.model.pieces import Take

_MOST_BYTES = 128 * 1024  # that wait for a slow reader; with more, reading stops


class Flow(Protocol):
    """Where it comes from."""

    def hold(self) -> None:
        """Let no more come for now."""
        ...

    def go_on(self) -> None:
        """Let it come again."""
        ...


class Incoming:
    """What has come of a body and was not taken yet, and how it ended.

    Outlives the use of its connection: what came whole may be taken later.
    """

    __slots__ = ("_bytes", "_flow", "_take", "_waiting", "_woken", "fault", "whole")

    def __init__(self, flow: Flow) -> None:
        self.whole = False  # its end has come
        self.fault: Exception | None = None  # why it never will
        self._flow = flow
        self._waiting: list[bytes] = []
        self._bytes = 0  # that wait
        self._take: Take | None = None  # who is handed what comes,
        self._woken: asyncio.Future[bool] | None = None  # and how he learns that this is over

    @property
    def taken(self) -> bool:
        """Whether its end has come, and all before that was taken."""
        return self.whole and not self._waiting

    async def pour(self, take: Take) -> bool:
        """Hand pieces to ``take`` as they come, until it takes no more, or the end.

        One at a time. May be cancelled, and called again for what follows.

        Returns whether there may be more; if not, ``fault`` says whether that is all of it.

        Raises:
            Exception: what ``take`` does.
        """
        while self._waiting:
            if not take(self._next()):
                return True
        if self.whole or self.fault is not None:
            return False
        woken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._take, self._woken = take, woken
        try:
            return await woken
        finally:
            self._take = self._woken = None

    # For the connection.

    def came(self, piece: bytes) -> None:
        """A piece has come."""
        take, woken = self._take, self._woken
        if take is None or woken is None or woken.done():
            self._waiting.append(piece)
            self._bytes += len(piece)
            if self._bytes > _MOST_BYTES:
                self._flow.hold()
            return
        try:
            more = take(piece)
        except Exception as fault:  # noqa: BLE001 - goes to the one who pours
            if not woken.done():
                woken.set_exception(fault)
        else:
            if not more and not woken.done():
                woken.set_result(True)

    def finish(self) -> None:
        """Its end has come."""
        if self.fault is None:
            self.whole = True
            self._wake()

    def fail(self, fault: Exception) -> None:
        """Its end will not come. Of several reasons the first counts; none after its end."""
        if not self.whole and self.fault is None:
            self.fault = fault
            self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(False)

    def _next(self) -> bytes:
        """All that waits, in one piece."""
        waiting = self._waiting
        piece = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        waiting.clear()
        held, self._bytes = self._bytes > _MOST_BYTES, 0
        if held:
            self._flow.go_on()
        return piece

"""The streams of all workers as one: each request as it ends, wherever it was answered.

They are listened to only while somebody looks on, and a while longer, so that who comes back finds
what was there before under the same numbers. Numbers are given here, in the order in which requests
ended as far as that can be told, and begin anew with this process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

import orjson

from proxy.admin.colleagues import Colleague, Colleagues, Silent
from proxy.observe.live import Watcher, event

_KEPT: Final = 1000  # events
_BEFORE: Final = 200  # that a worker is asked to begin with
_WATCHERS: Final = 16
_CATCH_UP_S: Final = 0.3  # for what each worker begins with
_TOGETHER_S: Final = 0.05  # for which events of several workers wait for one another
_TEND_S: Final = 0.5
_LINGER_S: Final = 30.0  # without anybody who looks on
_SILENT_S: Final = 10.0  # workers say something every two seconds
_MOST_BYTES: Final = 2**20  # of what has begun, and not ended
_MOST_WAITING: Final = 4 * _KEPT


class _Waiting(NamedTuple):
    at: str
    slot: int
    repeats: int
    said: dict[str, object]


class Streams:
    """Shows them. ``close`` it in the end.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, colleagues: Colleagues, clock: Callable[[], float]) -> None:
        self._colleagues = colleagues
        self._clock = clock
        self._kept: deque[tuple[bytes, int]] = deque(maxlen=_KEPT)  # and of how many requests
        self._seq = 0
        self._latest: dict[tuple[int, int], int] = {}  # number, by slot and pid
        self._waiting: list[_Waiting] = []
        self._watchers: set[Watcher] = set()
        self._begun: set[Watcher] = set()  # of these, those that hear what comes
        self._following: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._tending: asyncio.Task[None] | None = None
        self._flush_at: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self, last: int) -> Watcher | None:
        """Somebody who looks on, and has the ``last`` requests soon; None: too many do."""
        if len(self._watchers) >= _WATCHERS or self._closed:
            return None
        watcher = Watcher(self._leave)
        self._watchers.add(watcher)
        wait_s = 0.0 if self._following else _CATCH_UP_S
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tend())
        asyncio.get_running_loop().call_later(wait_s, self._begin, watcher, last)
        return watcher

    async def close(self) -> None:
        """Nobody looks on any more."""
        self._closed = True
        for watcher in self._watchers:
            watcher.end()
        tasks = [*self._following.values(), *([self._tending] if self._tending else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._flush_at is not None:
            self._flush_at.cancel()

    # -- who looks on -------------------------------------------------------------------------

    def _leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        self._begun.discard(watcher)

    def _begin(self, watcher: Watcher, last: int) -> None:
        if watcher not in self._watchers:
            return
        self._flush()
        for each in islice(self._kept, max(0, len(self._kept) - last), None):
            watcher.put(*each)
        self._begun.add(watcher)

    # -- who is listened to -------------------------------------------------------------------

    async def _tend(self) -> None:
        """Follow all workers for as long as somebody looks on."""
        needed_at = self._clock()
        try:
            while self._watchers or self._clock() - needed_at < _LINGER_S:
                if self._watchers:
                    needed_at = self._clock()
                present = {(each.slot, each.pid): each for each in self._colleagues.present()}
                for name, each in present.items():
                    if name not in self._following or self._following[name].done():
                        self._following[name] = asyncio.create_task(self._follow(each))
                for name in [name for name in self._following if name not in present]:
                    if self._following[name].done():
                        del self._following[name]
                for name in self._latest.keys() - present.keys() - self._following.keys():
                    del self._latest[name]
                await asyncio.sleep(_TEND_S)
        finally:
            for task in self._following.values():
                task.cancel()
            await asyncio.gather(*self._following.values(), return_exceptions=True)
            self._following.clear()

    async def _follow(self, one: Colleague) -> None:
        """Hear what one says, until it is gone."""
        begun = b""
        with suppress(Silent):
            async with self._colleagues.heard(one, f"/live?last={_BEFORE}", _SILENT_S) as pieces:
                async for piece in pieces:
                    *whole, begun = (begun + piece).split(b"\n\n")
                    if len(begun) > _MOST_BYTES:
                        return
                    for each in whole:
                        self._hear(one, each)

    def _hear(self, one: Colleague, block: bytes) -> None:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
        kind = fields.get(b"event")
        if kind not in {b"request", b"dropped"}:
            return
        said = orjson.loads(fields.get(b"data", b"{}"))
        if kind == b"dropped":
            for watcher in self._begun:
                watcher.drop(int(said.get("count", 0)))
            return
        name, number = (one.slot, one.pid), int(said["seq"])
        if number <= self._latest.get(name, 0) or len(self._waiting) >= _MOST_WAITING:
            return
        self._latest[name] = number
        repeats = int(said.get("repeats", 0))
        self._waiting.append(_Waiting(str(said["at"]), one.slot, repeats, said))
        if self._flush_at is None:
            loop = asyncio.get_running_loop()
            self._flush_at = loop.call_later(_TOGETHER_S, self._flush)

    def _flush(self) -> None:
        """Show what has come, in the order in which it happened."""
        if self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        waiting, self._waiting = self._waiting, []
        for each in sorted(waiting, key=lambda one: one.at):
            self._seq += 1
            said = each.said | {"seq": self._seq, "worker": each.slot}
            shown = event("request", said, self._seq)
            requests = 1 + each.repeats
            self._kept.append((shown, requests))
            for watcher in self._begun:
                watcher.put(shown, requests)

"""What happens now: the latest outcomes, for whoever looks on.

Events are names and numbers, as in the request log: never prompts, answers, header values, query
strings or addresses. They are written once for all who watch, and only while somebody does. Who
cannot keep up, or watches more than can be read, misses some, and is told how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

import orjson

from proxy.model.outcome import Outcome
from proxy.observe.gather import Line
from proxy.observe.log import Stamp, printable

_KEPT: Final = 1000  # lines
_WATCHERS: Final = 16
_PENDING_BYTES: Final = 256 * 2**10  # for each who watches; some 300 events
_RENDERED: Final = 64  # of a batch, which comes every 50 ms at most: nobody reads faster
_LONGEST_NAME: Final = 100  # characters
_LONGEST_METHOD: Final = 32

Event = Mapping[str, object]


class Watcher:
    """One who looks on. ``close`` it in the end."""

    def __init__(self, leave: Callable[[Watcher], None]) -> None:
        self._leave = leave
        self._pending: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._some = asyncio.Event()
        self.over = False  # nothing comes any more

    def put(self, event: bytes, requests: int) -> None:
        """Let it have ``event``, which is of so many, unless too much waits for it."""
        if self._bytes + len(event) > _PENDING_BYTES:
            self.drop(requests)
            return
        self._pending.append(event)
        self._bytes += len(event)
        self._some.set()

    def drop(self, count: int) -> None:
        """So many requests it does not have."""
        self._dropped += count
        self._some.set()

    async def some(self, within_s: float) -> bytes:
        """What has come, as server-sent events; b"" if nothing has in so many seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._some.wait()
        except TimeoutError:
            return b""
        self._some.clear()
        pieces = list(self._pending)
        self._pending.clear()
        self._bytes = 0
        if self._dropped:
            pieces.append(event("dropped", {"count": self._dropped}))
            self._dropped = 0
        return b"".join(pieces)

    def end(self) -> None:
        """Nothing more comes."""
        self.over = True
        self._some.set()

    def close(self) -> None:
        """Look on no more. Idempotent."""
        self._leave(self)


class Live:
    """Keeps the latest outcomes and shows them. A ``Reader``."""

    def __init__(self) -> None:
        self._kept: deque[Line] = deque(maxlen=_KEPT)
        self._seq = 0  # of the latest
        self._stamp = Stamp()
        self._watchers: set[Watcher] = set()
        self._closed = False

    def take(self, lines: Sequence[Line]) -> None:
        """Show ``lines``, and keep the latest."""
        bounded = [
            line
            if len(line[4].model) <= _LONGEST_NAME
            and len(line[1]) <= _LONGEST_METHOD
            and not line[6]
            else _shorter(line)
            for line in lines
        ]
        self._kept.extend(bounded)
        self._seq += len(lines)
        if not self._watchers:
            return
        shown = bounded[-_RENDERED:]
        first = self._seq - len(shown) + 1
        events = [(self._event(first + at, line), _of(line)) for at, line in enumerate(shown)]
        left_out = sum([_of(line) for line in lines[: -len(shown)]])
        for watcher in self._watchers:
            if left_out:
                watcher.drop(left_out)
            for written, requests in events:
                watcher.put(written, requests)

    def watch(self, last: int) -> Watcher | None:
        """Somebody who looks on, and has the ``last`` outcomes; None: too many do."""
        if len(self._watchers) >= _WATCHERS or self._closed:
            return None
        watcher = Watcher(self._watchers.discard)
        self._watchers.add(watcher)
        shown = list(islice(self._kept, max(0, len(self._kept) - last), None))
        first = self._seq - len(shown) + 1
        for at, line in enumerate(shown):
            watcher.put(self._event(first + at, line), _of(line))
        return watcher

    def close(self) -> None:
        """Nobody looks on any more."""
        self._closed = True
        for watcher in self._watchers:
            watcher.end()

    def _event(self, seq: int, line: Line) -> bytes:
        return event("request", told(seq, line, self._stamp), seq)


def event(name: str, data: Event, number: int | None = None) -> bytes:
    """A server-sent event."""
    head = b"" if number is None else b"id: %d\n" % number
    return head + b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def told(seq: int, line: Line, stamp: Stamp) -> Event:
    """What is shown of a request; None is what is not known, or not at all."""
    at, method, path, _peer, outcome, delivery, more = line
    usage, key = outcome.usage, outcome.key
    return {
        "seq": seq,
        "at": stamp(at),
        "method": printable(method),
        "path": printable(path),
        "status": delivery.status,
        "outcome": outcome.verdict.value.lower(),
        "reason": outcome.why.value,
        "detail": outcome.detail or None,
        "dialect": outcome.dialect or None,
        "model": printable(outcome.model) or None,
        "tier": outcome.tier or None,
        "scope": None if key is None else printable(key.scope),
        "key": None if key is None else key.digest.hex(),
        "age_s": outcome.age_s,
        "ttl_s": outcome.ttl_s,
        "stored": outcome.stored,
        "duration_s": delivery.duration_s,
        "bytes": delivery.sent,
        "complete": delivery.complete,
        "error": delivery.error or None,
        "similarity": outcome.similarity,
        "doubt": outcome.doubt,
        "match": outcome.match or None,
        "variant": outcome.variant or None,
        "input_tokens": None if usage is None else usage.prompt_tokens,
        "output_tokens": None if usage is None else usage.completion_tokens,
        "repeats": len(more),
        "stages": _stages(outcome),
    }


def _stages(outcome: Outcome) -> Event:
    """Seconds before the head went out; None for what did not happen."""
    return {f"{name}_s": seconds or None for name, seconds in outcome.stages._asdict().items()}


def _of(line: Line) -> int:
    """How many requests it is of."""
    return 1 + len(line[6])


def _shorter(line: Line) -> Line:
    """``line``, of which no more is kept than is shown: of those told with it, how many."""
    at, method, path, peer, outcome, delivery, more = line
    if len(outcome.model) > _LONGEST_NAME:
        outcome = outcome._replace(model=outcome.model[:_LONGEST_NAME])
    return at, method[:_LONGEST_METHOD], path, peer, outcome, delivery, range(len(more))

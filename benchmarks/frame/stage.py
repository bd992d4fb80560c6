"""A backend and its clients in one loop, so that each step of a stream is taken when it is wanted.

The proxy in between is another process, on a core of its own. Events are sent one at a time, each
once all clients have the one before: what is measured is the way of one event, whatever the pace.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Container, Sequence
from functools import partial
from time import perf_counter
from typing import Final, cast
from urllib.parse import urlsplit

from benchmarks.frame.drive import Server, Wrong
from benchmarks.frame.questions import FIELDS, document, members, request
from benchmarks.servers import Framed
from benchmarks.serving import until_quiet

PATIENCE_S: Final = 30.0
_AT_ONCE: Final = 64  # connections being made
_MARK: Final = b'"delta":'  # once in each event
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def event(text: str, finish: str | None = None) -> bytes:
    """One event of a chat, some 250 bytes."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}
    about = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1700000000}
    told = {**about, "model": "bench-model", "system_fingerprint": "fp", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(told, separators=(",", ":")).encode()


EVENT: Final = event(" word")
END: Final = event("", "stop") + b"data: [DONE]\n\n"


def question(number: int) -> bytes:
    """The body of a request for a stream."""
    return document(members(stream=True), number)


class Call(Framed):
    """One that the backend was asked, and answers as it is told."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._room = asyncio.Event()
        self._room.set()

    def asked(self, _request: bytes) -> None:
        self.sent = b""
        self._stage.asked(self)

    def begin(self) -> None:
        self.answer(_HEAD)

    def say(self, data: bytes) -> None:
        self.sent += data
        self.answer(b"%x\r\n%b\r\n" % (len(data), data))

    async def pour(self, data: bytes, times: int) -> None:
        """Say it so many times, each a write of its own, as fast as they are taken."""
        chunk = b"%x\r\n%b\r\n" % (len(data), data)
        self.sent += data * times
        for _ in range(times):
            await self._room.wait()
            self.answer(chunk)

    def end(self) -> None:
        self.say(END)
        self.answer(b"0\r\n\r\n")

    def document(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.answer(head % len(body) + body)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()


class Listener(asyncio.Protocol):
    """A client that asks once, and hears."""

    def __init__(self, stage: Stage, request: bytes) -> None:
        self._stage = stage
        self._request = request
        self._got: list[bytes] = []
        self._tail = b""
        self._is_dismissed = False
        self.began = self.ended = 0.0  # when its first and its last byte came
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if not self.began:
            self.began = now
            self._stage.begun += 1
        self._got.append(data)
        recent = self._tail + data
        self.events += recent.count(_MARK)
        self._tail = recent[1 - len(_MARK) :]
        if recent.endswith(b"0\r\n\r\n"):
            self.ended = now
        self._stage.heard()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._is_dismissed:
            self._stage.cut_off += 1
            self._stage.heard()

    def body(self) -> bytes:
        """What it was answered, without the framing. Raises Wrong if that is no whole answer."""
        head, _, rest = b"".join(self._got).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Wrong(f"a stream was answered {head[:80]!r} {rest[:200]!r}")
        if b"content-length:" in head.lower():
            return rest
        pieces = list[bytes]()
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if not length:
                return b"".join(pieces)
            pieces.append(rest[:length])
            rest = rest[length + 2 :]
        raise Wrong("a stream was cut")

    def close(self) -> None:
        self._transport.close()

    def dismiss(self) -> None:
        """Hang up: it has heard all it was to hear."""
        self._is_dismissed = True
        self.close()


class Stage:
    """The backend at ``url``, what it was asked, and who listens."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.listeners: list[Listener] = []
        # Counted as it happens: a look at each, whenever some have heard something, would take the
        # core that the others are to hear on.
        self.begun = 0  # listeners that have heard something
        self.cut_off = 0  # and that were hung up on
        self._news = asyncio.Event()
        self.url = ""

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Call(self), "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._server.close()

    def asked(self, call: Call) -> None:
        self.calls.append(call)
        self._news.set()

    def heard(self) -> None:
        self._news.set()

    async def gather(self, server: Server, bodies: Sequence[bytes]) -> None:
        """Connect a listener for each of these questions; none asks yet."""
        self.calls, self.listeners, self.begun, self.cut_off = [], [], 0, 0
        parts, loop = urlsplit(server.url), asyncio.get_running_loop()
        host, port = parts.hostname or "", parts.port or 80
        for start in range(0, len(bodies), _AT_ONCE):
            made = [
                loop.create_connection(
                    partial(Listener, self, request(parts.netloc, FIELDS, body)),
                    host,
                    port,
                )
                for body in bodies[start : start + _AT_ONCE]
            ]
            self.listeners += [each for _, each in await asyncio.gather(*made)]

    async def until(self, done: Callable[[], bool]) -> None:
        """Return once it is so. Raises Wrong if that takes too long, or somebody was cut off."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                if self.cut_off:
                    raise Wrong("a connection ended")
                self._news.clear()
                await self._news.wait()

    async def beat(self, events: int) -> None:
        """So many events, one at a time."""
        for _ in range(events):
            goal = self.listeners[0].events + 1
            for call in self.calls:
                call.say(EVENT)
            await self.until(lambda: all(each.events >= goal for each in self.listeners))  # noqa: B023 - awaited here

    async def end(self) -> None:
        """End all streams; see that everybody has heard what was said. Raises Wrong."""
        for call in self.calls:
            call.end()
        await self.until(lambda: all(each.ended for each in self.listeners))
        self.check({call.sent for call in self.calls})

    def check(self, said: Container[bytes]) -> None:
        """See that everybody was answered one of these, and hang up. Raises Wrong."""
        for each in self.listeners:
            if each.body() not in said:
                raise Wrong("an answer is not what the backend said")
            each.dismiss()

    async def quiet(self, server: Server) -> None:
        """Return once the server has done what there was to do, or when time is up."""
        await asyncio.to_thread(until_quiet, server.process)

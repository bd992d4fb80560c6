"""A crowd of callers that keep their connections, and check every answer that they are given."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from time import monotonic
from typing import Any, NamedTuple

from support.raw_chat import EVENTS, JSON, event, question
from support.raw_client import RawClient, RawResponse
from support.scripted import Call

DONE = b"data: [DONE]\n\n"
PIECES = 6  # that a streamed answer comes in
PAUSE_S = 0.03  # between two of them


class Failure(NamedTuple):
    """A request that came to nothing, or to an error that says so."""

    when: float  # seconds on the monotonic clock
    port: int  # the caller's; 0: there was no connection
    why: str


def words(text: str) -> list[str]:
    """The answer to ``text``, in pieces: nobody else's."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    size = -(-len(digest) // PIECES)
    return [digest[start : start + size] for start in range(0, len(digest), size)]


async def answer(call: Call) -> None:
    """A backend that takes its time, and answers each question by itself."""
    asked = json.loads(call.body)
    text = asked["messages"][-1]["content"]
    if not asked.get("stream"):
        await asyncio.sleep(PAUSE_S)
        message = {"role": "assistant", "content": "".join(words(text))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        told = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
        await call.reply(200, JSON, json.dumps(told | {"choices": [choice]}).encode())
        return
    await call.head(200, EVENTS, chunked=True)
    await call.chunk(event(role="assistant", content=""))
    for word in words(text):
        await asyncio.sleep(PAUSE_S)
        await call.chunk(event(content=word))
    await call.chunk(event(finish="stop") + DONE)
    await call.end()


class Crowd:
    """Asks until it is told to stop.

    A third of its questions want a stream, and a third are asked by others, too.

    Args:
        address: where to, each time it connects.
        size: callers.
        asks: questions on one connection at most.
    """

    def __init__(
        self,
        address: Callable[[], tuple[str, int]],
        size: int,
        *,
        asks: int = 10**9,
        seed: int = 1,
    ) -> None:
        self._address = address
        self._size = size
        self._asks = asks
        self._dice = Random(seed)
        self._stopped = asyncio.Event()
        self.seen: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.wrong: list[str] = []
        self.under_way: set[int] = set()  # the ports of callers that wait for an answer
        self.longest_s = 0.0
        self._clients: dict[int, RawClient | None] = {}

    def stop(self) -> None:
        """Ask nothing more; what was asked is awaited."""
        self._stopped.set()

    async def ask(self) -> None:
        """Ask until stopped."""
        await asyncio.gather(*(self._one(number) for number in range(self._size)))

    async def during(self, doing: Coroutine[Any, Any, None]) -> None:
        """Ask for as long as ``doing`` takes."""
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self.ask())
            try:
                await doing
            except BaseException:
                asking.cancel()
                raise
            self.stop()

    async def _one(self, number: int) -> None:
        self._clients[number] = None
        try:
            await self._converse(number)
        finally:
            self._hang_up(number)

    async def _converse(self, number: int) -> None:
        for count in range(10**9):
            if self._stopped.is_set():
                break
            text = f"common {self._dice.randrange(30)}"
            if self._dice.random() < 2 / 3:
                text = f"own {number} {count}"
            streams = self._dice.random() < 1 / 3
            began, port = monotonic(), 0
            try:
                client = self._clients[number]
                if client is None:
                    client = await RawClient.connect(self._address(), limit_s=20)
                    self._clients[number] = client
                port = client.own_address[1]
                self.under_way.add(port)
                await client.send(question(text, stream=streams))
                response = await client.response()
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append(Failure(monotonic(), port, type(error).__name__))
                self._hang_up(number)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self._stopped.wait()
                continue
            finally:
                self.under_way.discard(port)
            self.longest_s = max(self.longest_s, monotonic() - began)
            self._check(text, response, port, streams=streams)
            if response.get("Connection") == "close" or count % self._asks == self._asks - 1:
                self._hang_up(number)

    def _check(self, text: str, response: RawResponse, port: int, *, streams: bool) -> None:
        if response.status != 200:
            self.failures.append(Failure(monotonic(), port, str(response.status)))
            return
        heard, whole = response.body, "".join(words(text))
        if not streams:
            told = json.loads(heard)["choices"][0]["message"]["content"]
        else:
            # It ended cleanly, so it must be all of it.
            pieces = [json.loads(line[6:]) for line in heard.split(b"\n\n")[:-2]]
            told = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
            if not heard.endswith(DONE):
                told = f"cut: {told}"
        if told == whole:
            self.seen[response.get("X-Cache") or "?"] += 1
        else:
            self.wrong.append(f"{text}: {told}")

    def _hang_up(self, number: int) -> None:
        client = self._clients[number]
        if client is not None:
            client.close()
        self._clients[number] = None

"""A load balancer as simple as they come: it asks who is ready, and passes connections on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


@dataclass(eq=False)
class Target:
    """A server behind it."""

    address: tuple[str, int]
    admin: str
    ready: bool = False


class Balancer:
    """On 127.0.0.1 and a free port; each new connection goes to the next one that is ready.

    A connection is passed on as it is: whichever way it ends on one side, it ends on the other.
    A target is asked ``every_s`` seconds whether it is ready. Nothing is tried twice.
    """

    def __init__(self, every_s: float = 0.2) -> None:
        self.targets: list[Target] = []
        self.unserved = 0  # connections that no target took
        self._every_s = every_s
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0, backlog=1024)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        self._keep(asyncio.create_task(self._probe()))  # noqa: TID251 - ended below
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until_ready(self, target: Target) -> None:
        """Wait until ``target`` is sent connections."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: target.ready)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _probe(self) -> None:
        wait = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=wait) as http:
            while True:
                for target in tuple(self.targets):
                    try:
                        async with http.get(f"{target.admin}/readyz") as told:
                            target.ready = told.status == 200
                    except (aiohttp.ClientError, TimeoutError):
                        target.ready = False
                async with self._changed:
                    self._changed.notify_all()
                await asyncio.sleep(self._every_s)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._keep(task)
        ready = [target for target in self.targets if target.ready]
        try:
            self._turn += 1
            far_reader, far_writer = await asyncio.open_connection(
                *ready[self._turn % len(ready)].address
            )
        except (OSError, ZeroDivisionError):
            self.unserved += 1
            _end(writer, reset=True)
            return
        whole = await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))
        for each in (writer, far_writer):
            _end(each, reset=not all(whole))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether one way came to a clean end; else both ends are reset at once."""
    try:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    except OSError:
        _end(writer, reset=True)
        return False
    return True


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
    writer.close()

"""Workers and the desk that answers for them, all on one loop, with a made-up arbiter."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.app import Sidecache
from proxy.app.desk import Desk
from proxy.app.seat import Seat
from proxy.config.load import Loaded
from proxy.config.settings import Settings
from proxy.config.share import share
from proxy.workers.lifeline import Lines, Message, written
from support.proxied import Chosen
from support.started import started

Json = dict[str, Any]


class Arbiter:
    """The other end of the desk's line, which says what a test wants."""

    def __init__(self, line: socket.socket) -> None:
        line.settimeout(0)
        self._line = line
        self._lines = Lines()
        self._heard: list[Message] = []
        self.roster: Json = {"stopping": False, "restarts": 0, "wanted": 0, "workers": []}

    def tell(self, **message: Any) -> None:
        self._line.send(written(message))

    def tell_who_is_there(self, *slots: int, leaving: Sequence[int] = (), **more: Any) -> None:
        workers = [
            {"slot": slot, "pid": os.getpid(), "ready": True, "leaving": slot in leaving}
            for slot in slots
        ]
        self.roster = self.roster | {"wanted": len(slots), "workers": workers} | more
        self.tell(**self.roster)

    async def heard(self, name: str) -> Message:
        """The next message with something so called in it."""
        async with asyncio.timeout(20):
            while True:
                for message in self._heard:
                    if name in message:
                        self._heard.remove(message)
                        return message
                data = await asyncio.get_running_loop().sock_recv(self._line, 65536)
                assert data, "the desk has hung up"
                self._heard += self._lines.feed(data)

    def die(self) -> None:
        self._line.close()


class Crewed:
    """What runs."""

    def __init__(self, directory: Path, chosen: Chosen, arbiter: Arbiter) -> None:
        self.directory = directory
        self.chosen = chosen
        self.arbiter = arbiter
        self.workers: dict[int, Sidecache] = {}
        self.addresses: dict[int, tuple[str, int]] = {}  # of each worker one of its own
        self.admin = ""


def listening() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.settimeout(0)
    return made


def url(bound: socket.socket) -> str:
    return "http://{}:{}".format(*bound.getsockname())


@asynccontextmanager
async def crewed(
    upstream: str, directory: Path, workers: int = 2, **settings: Any
) -> AsyncIterator[Crewed]:
    """Serve with workers without a tier that they share, until the block ends."""
    given = {
        "listen": "127.0.0.1:0",
        "workers": workers,
        "l2_disk": {"enabled": False},
        "upstreams": [{"url": upstream}],
        "reload": {"watch": False},
    } | settings
    chosen = Chosen(given)
    operator = listening()
    ours, theirs = socket.socketpair()
    crew = Crewed(directory, chosen, Arbiter(ours))
    crew.admin = url(operator)
    loaded = Loaded(Settings.model_validate(given), {})
    desk = Desk(loaded, chosen, directory, 1, operator)
    crew.arbiter.tell_who_is_there()
    serving = started(desk.serve(theirs))
    try:
        for slot in range(1, workers + 1):
            seat = Seat(slot, listening(), directory, b"s" * 32, ours)
            crew.addresses[slot] = seat.listening.getsockname()
            crew.workers[slot] = Sidecache(share(loaded.settings), seat=seat, source=chosen)
            await crew.workers[slot].start()
        await crew.arbiter.heard("ready")
        crew.arbiter.tell_who_is_there(*crew.workers)
        yield crew
    finally:
        crew.arbiter.die()
        await serving
        for each in crew.workers.values():
            await each.close(0)
        theirs.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)

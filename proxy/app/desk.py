"""The desk: the process that the operator comes in to where several workers serve."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.admin.api import Admin
from proxy.admin.config import Configurations, Current
from proxy.admin.forward import forwarded
from proxy.admin.gate import Gate
from proxy.admin.purging import Purges
from proxy.app import encryption, operating
from proxy.app.clock import seconds
from proxy.app.machine import Machine
from proxy.app.reloading import Reloading
from proxy.app.seat import worker_socket
from proxy.config.changes import BOUND, contents, refuse_what_is_bound
from proxy.config.faults import Place
from proxy.config.load import Loaded, Source
from proxy.config.settings import Settings
from proxy.config.share import share
from proxy.model.errors import ConfigError
from proxy.model.purge import Purge
from proxy.purges.purging import Receipt
from proxy.workers.lifeline import Lifeline, Message

log = logging.getLogger("sidecache.desk")

_ROLL_S: Final = 600.0  # for all workers to be replaced, each when the one before it has left


@dataclass(slots=True, eq=False)
class Edition:
    """Settings, and when they were loaded, in seconds since the epoch."""

    number: int
    loaded: Loaded
    contents: Mapping[Place, bytes]
    since: float

    @property
    def settings(self) -> Settings:
        return self.loaded.settings


class Desk:
    """Answers the operator for all workers: ``serve`` until told to stop.

    Args:
        loaded: the settings of the workers.
        source: where they are loaded from again.
        directory: where workers can be asked.
        number: of the edition that ``loaded`` is.
        listening: where the operator comes in; None: nowhere.
    """

    def __init__(
        self,
        loaded: Loaded,
        source: Source,
        directory: Path,
        number: int,
        listening: socket.socket | None,
    ) -> None:
        self._directory = directory
        self._listening = listening
        self._machine = Machine.found()
        self._source = source
        self._edition = Edition(number, loaded, contents(loaded.settings), time.time())
        self._roster: Message = {}
        self._rolled: asyncio.Future[str] | None = None  # why a new edition was given up, or ""
        self._lifeline: Lifeline | None = None
        self._reloading = Reloading(
            source,
            current=lambda: self._edition,
            make=self._next,
            adopt=self._roll,
            wall=time.time,
            refuse=refuse_what_is_bound,
        )

    async def serve(self, line: socket.socket) -> None:
        """Serve until told to stop.

        Raises:
            ConfigError: it cannot start.
        """
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        self._lifeline = Lifeline(self._hear, stop.set)
        await self._lifeline.hold(line)
        chosen = self._edition.settings.admin
        admin = Admin(
            self._is_ready,
            Gate(chosen.bearer, chosen.allowed_hosts, clock=seconds),
            endpoints=[
                *Configurations(self._current, self._reloading.reload).endpoints,
                forwarded(Purges(_never).endpoint, self._any_worker),
            ],
            version=operating.release(),
        )
        if self._listening is not None:
            await admin.start_on(self._listening)
        self._reloading.start()
        self._lifeline.ready()
        try:
            await stop.wait()
        finally:
            await self._reloading.close()
            await admin.close()
            self._lifeline.close()

    def workers(self) -> list[Path]:
        """Where those that serve can be asked."""
        found = self._roster.get("workers")
        return [
            worker_socket(self._directory, slot)
            for worker in (found if isinstance(found, list) else [])
            if worker["ready"] and isinstance(slot := worker["slot"], int)
        ]

    def _any_worker(self) -> Path | None:
        return next(iter(self.workers()), None)

    def _is_ready(self) -> bool:
        return bool(self.workers()) and self._roster.get("stopping") is not True

    def _hear(self, message: Message) -> None:
        """The arbiter says something."""
        if "workers" in message:
            self._roster = message
        elif "rolled" in message:
            if self._rolled is not None and not self._rolled.done():
                self._rolled.set_result(str(message.get("refused", "")))
        elif "reload" in message:
            self._reloading.ask()

    def _next(self, loaded: Loaded) -> Edition:
        if not loaded.settings.upstreams:
            raise ConfigError("no backend is given: use --upstream URL, or `upstreams` in the file")
        tls = loaded.settings.tls
        encryption.context(tls.cert_file, tls.key_file)  # which workers would refuse
        number = self._edition.number + 1
        return Edition(number, loaded, contents(loaded.settings), time.time())

    async def _roll(self, edition: Edition) -> None:
        """Have all workers replaced. Raises ConfigError if the new ones cannot serve."""
        if self._lifeline is None:
            raise RuntimeError("not serving yet")
        self._rolled = asyncio.get_running_loop().create_future()
        self._lifeline.tell({"roll": True})
        try:
            async with asyncio.timeout(_ROLL_S):
                refused = await self._rolled
        except TimeoutError:
            raise ConfigError("the workers could not be replaced in time; some may be") from None
        if refused:
            raise ConfigError(refused)
        self._edition = edition

    def _current(self) -> Current:
        chosen = self._machine.chosen(share(self._edition.settings))
        return operating.current(
            self._edition, self._source, self._reloading.refused, BOUND, chosen
        )


async def _never(*_purges: Purge) -> Receipt:
    """Stand where a worker answers."""
    raise NotImplementedError

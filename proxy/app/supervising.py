"""Several processes that serve as one: what the arbiter is made of."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from proxy.app.desk import Desk
from proxy.app.folder import fault_of, runtime_folder
from proxy.app.parts import known_secrets
from proxy.app.seat import Recording, Seat
from proxy.app.serving import has_terminal, ignores_hangup, logging_to, names, run, work
from proxy.app.store import data_directory, key_secret
from proxy.app.systemd import Systemd
from proxy.app.whole import url
from proxy.config.load import Loaded, Source
from proxy.config.settings import Settings
from proxy.config.units import Address
from proxy.model.errors import ConfigError
from proxy.observe.events import events
from proxy.observe.sink import Shared, Straight
from proxy.workers.arbiter import Arbiter, Duty, Next
from proxy.workers.crew import REFUSED, Patience, Role

log = logging.getLogger("sidecache.workers")

_MARGIN_S: Final = 15.0  # to end what is left, and to write what waits to be written
_CANNOT: Final = 2  # the exit status of a command that could not do what it was asked to
_BACKLOG: Final = 1024  # connections that wait to be accepted


@dataclass(slots=True)
class _Edition:
    """Settings, and what keys the hashes under them."""

    loaded: Loaded
    secret: bytes


class _Inheritance:
    """What the processes are forked with: sockets, a folder, and the settings by edition."""

    def __init__(self, loaded: Loaded, source: Source, directory: Path) -> None:
        settings = loaded.settings
        self._source = source
        self._directory = directory
        self._recording = Recording.drawn()
        self._editions = {1: _edition(loaded, None)}
        self._clients = _listen("listen", settings.listen)
        where = settings.admin
        self._operator = _listen("admin.listen", where.listen) if where.enabled else None

    def announce(self) -> None:
        """Tell that all of them serve."""
        settings = self._editions[max(self._editions)].loaded.settings
        scheme = "https" if settings.tls.cert_file else "http"
        operator = None if self._operator is None else url("http", _bound(self._operator))
        where = {"url": url(scheme, _bound(self._clients)), "admin": operator}
        log.info(
            "listening",
            extra=where | {"upstreams": names(settings), "workers": settings.workers},
        )
        Systemd(os.environ).ready()

    def renew(self, in_use: frozenset[int]) -> Next:
        """Load the settings again, and forget all editions but those ``in_use``.

        Raises:
            ConfigError: they cannot be used.
        """
        loaded, number = self._source.load(), max(self._editions) + 1
        last = self._editions[max(in_use)]
        self._editions = {each: self._editions[each] for each in in_use}
        self._editions[number] = _edition(loaded, last)
        return Next(number, loaded.settings.workers, patience(loaded.settings))

    def work(self, duty: Duty) -> int:
        """Be a worker."""
        edition = self._editions[duty.edition]
        if self._operator is not None:
            self._operator.close()
        seat = Seat(
            duty.slot, self._clients, self._directory, edition.secret, duty.line, self._recording,
        )  # fmt: skip
        return _told(
            edition.loaded.settings,
            lambda sink, telling: run(work(edition.loaded, self._source, sink, telling, seat)),
        )

    def serve_operator(self, duty: Duty) -> int:
        """Be the desk."""
        edition = self._editions[duty.edition]
        self._clients.close()
        desk = Desk(
            edition.loaded, self._source, self._directory, duty.edition, self._operator,
        )  # fmt: skip
        return _told(edition.loaded.settings, lambda _sink, _telling: run(desk.serve(duty.line)))


def supervise(loaded: Loaded, source: Source) -> int:
    """Run an arbiter with a crew until told to stop; the exit status.

    Raises:
        ConfigError: it cannot start.
    """
    settings = loaded.settings
    if not hasattr(os, "fork"):
        raise ConfigError("workers: there can be only 1 on this system, which cannot fork")
    with _logging(settings), runtime_folder() as directory:
        # What is here now is shared by all processes for as long as none writes to it.
        gc.collect()
        gc.freeze()
        inherited = _Inheritance(loaded, source, directory)
        attached = not ignores_hangup() and has_terminal()
        arbiter = Arbiter(
            settings.workers,
            patience(settings),
            roles={Role.WORKER: inherited.work, Role.DESK: inherited.serve_operator},
            renew=inherited.renew,
            up=inherited.announce,
            down=Systemd(os.environ).stopping,
            hung_up=lambda: attached and not has_terminal(),
        )
        status = arbiter.run()
        return _CANNOT if status == REFUSED else status


def patience(settings: Settings) -> Patience:
    """How long processes are waited for."""
    chosen = settings.downstream
    return Patience(leave_s=chosen.drain_delay_s + chosen.drain_s + _MARGIN_S)


def _told(settings: Settings, serve: Callable[..., int]) -> int:
    """What ``serve`` comes to, its log written; refusals are told as those of the command line."""
    try:
        with logging_to(Shared(sys.stderr.fileno()), settings) as (sink, telling):
            return serve(sink, telling)
    except ConfigError as error:
        click.echo(f"Error: {error}", err=True)
        return REFUSED


@contextmanager
def _logging(settings: Settings) -> Iterator[None]:
    """Have what the arbiter logs written, without threads."""
    straight = Straight(sys.stderr.fileno())
    with events(
        straight, style=settings.log.format, level=settings.log.level, wall=time.time,
        secrets=known_secrets(settings),
    ):  # fmt: skip
        yield


def _edition(loaded: Loaded, before: _Edition | None) -> _Edition:
    """An edition of the settings, after the one ``before``.

    Where nothing else says what the secret is, it stays: workers that have taken an edition over as
    they are have theirs from the one before, and those who join them name entries, purges and
    flights as they do.
    """
    settings = loaded.settings
    directory = data_directory(settings)
    if before is not None:
        known = before.loaded.settings
        if (settings.cache.scope.key, directory) == (known.cache.scope.key, data_directory(known)):
            return _Edition(loaded, before.secret)
    return _Edition(loaded, key_secret(settings, directory))


def _listen(name: str, where: Address) -> socket.socket:
    """A socket that several processes can accept from. Raises ConfigError."""
    try:
        family, *_, address = socket.getaddrinfo(
            where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(f"{name}: {where}: {fault_of(error)}") from error
    listening.settimeout(0)
    return listening


def _bound(listening: socket.socket) -> tuple[str, int]:
    host, port, *_ = listening.getsockname()
    return str(host), int(port)

"""The whole proxy: every part made, joined, opened and closed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.admin.api import Admin
from proxy.app import operating, parts, spoken
from proxy.app.clock import seconds
from proxy.app.encryption import Shown
from proxy.app.generation import Generation
from proxy.app.house import House
from proxy.app.replicas import relay
from proxy.app.retired import Retired
from proxy.app.store import Store, key_secret
from proxy.config.load import Loaded
from proxy.config.settings import Settings
from proxy.downstream.server import Server
from proxy.flight import Flights
from proxy.model.entry import Entry
from proxy.model.errors import ConfigError
from proxy.model.outcome import Record

if TYPE_CHECKING:
    from proxy.app.semantic import Semantic

log = logging.getLogger("sidecache")


class Sidecache:
    """The whole proxy on the running loop: ``start`` it, and ``close`` it in the end.

    Args:
        settings: checked settings.
        record: told of every request once it is over.

    Raises:
        ConfigError: the settings cannot work together on this machine.
    """

    def __init__(
        self, settings: Settings, record: Callable[[Record], None] = lambda _: None
    ) -> None:
        self._ready = False
        self.store = Store(settings)
        secret = key_secret(settings, self.store.directory)
        self.relay = relay(settings, secret, self.store, _report_bug)
        limits = parts.flight_limits(settings)
        self.flights = Flights(limits, clock=seconds, report=_report_bug, fleet=self.relay)
        self.fetches = Flights(limits, clock=seconds, report=_report_bug)
        self.semantic = _semantic(settings, self.store, self._answer_in)
        self.house = House(
            secret, self.store.ladder, self.flights, self.fetches, self.semantic, _report_bug
        )
        self.generation = Generation(1, Loaded(settings, {}), self.house, None, time.time())
        self.retired = Retired(lambda: self.generation)
        self._apply()
        self.server = Server(self.generation.attending, record, clock=time.time)
        self.admin: Admin = operating.admin(
            settings, lambda: self._ready, self.store, self.semantic
        )
        self._bound: tuple[str, int] | None = None
        self._admin_bound: tuple[str, int] | None = None

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self.generation.settings

    @property
    def url(self) -> str:
        """Where clients come in."""
        return _url("https" if self.settings.tls.cert_file else "http", self._bound)

    @property
    def admin_url(self) -> str | None:
        """Where the operator comes in, if anywhere."""
        return _url("http", self._admin_bound) if self._admin_bound else None

    async def start(self) -> None:
        """Listen. Raises ConfigError where that cannot be done."""
        settings, generation = self.settings, self.generation
        await self.store.open()
        if self.semantic is not None:
            await self.semantic.start()
        if self.relay is not None:
            await self.relay.start()
        await generation.open()
        try:
            if settings.admin.enabled:
                where = settings.admin.listen
                self._admin_bound = await self.admin.start(where.host, where.port)
            listen = settings.listen
            shown = None if generation.encryption is None else Shown(generation.encryption)
            self._bound = await self.server.start(
                listen.host, listen.port, ssl=None if shown is None else shown.listener
            )
        except (ConfigError, OSError) as error:
            await self.close(0)
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"listen: {settings.listen}: {error.strerror}") from error
        self._shown = shown
        self._ready = True

    async def close(self, deadline_s: float | None = None) -> None:
        """Take no more requests, let those under way end until the deadline, and let go of all.

        Args:
            deadline_s: seconds; None: as the settings say.
        """
        self._ready = False
        limit_s = self.settings.downstream.drain_s if deadline_s is None else deadline_s
        until = seconds() + limit_s
        await self.server.close(limit_s)
        # Clients of other replicas may still hear what this one has asked.
        for flights in (self.flights, self.fetches):
            await flights.drain(max(0.0, until - seconds()))
        for flights in (self.flights, self.fetches):
            await flights.close()
        await self.house.versions.close()
        if self.relay is not None:
            await self.relay.close()
        if self.semantic is not None:
            await self.semantic.close()
        await self.admin.close()  # no purge may come that could not be told any more
        await self.store.close()
        await self.retired.close()
        await self.generation.close()

    def _apply(self) -> None:
        """Have everything that lives longer than a generation go by the current one."""
        limits = parts.flight_limits(self.settings)
        for flights in (self.flights, self.fetches):
            flights.adopt(limits, self.generation.number)

    def _answer_in(self, entry: Entry) -> str | None:
        return spoken.answer(self.generation.dialects, entry)


def _semantic(
    settings: Settings, store: Store, answer: Callable[[Entry], str | None]
) -> Semantic | None:
    if not settings.semantic.enabled:
        return None
    from proxy.app.semantic import Semantic  # noqa: PLC0415 - much, for who does without

    semantic = Semantic(
        settings,
        store.ladder,
        directory=store.directory,
        redis=store.redis,
        answer=answer,
    )
    store.freed.append(semantic.clear)
    return semantic


def _url(scheme: str, bound: tuple[str, int] | None) -> str:
    if bound is None:
        raise RuntimeError("not started yet")
    host, port = bound
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _report_bug(bug: BaseException) -> None:
    log.error("a flight failed in a way nobody foresaw", exc_info=bug)

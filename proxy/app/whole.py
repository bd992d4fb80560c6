"""The whole proxy: every part made, joined, opened and closed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from proxy.admin.api import Admin
from proxy.app import operating, parts, spoken
from proxy.app.backends import Backends
from proxy.app.clock import seconds
from proxy.app.knowledge import Knowledge
from proxy.app.replicas import relay
from proxy.app.resources import Others
from proxy.app.store import Store, key_secret
from proxy.batching import Batcher
from proxy.config.settings import Settings
from proxy.downstream.server import Server
from proxy.flight import Flights
from proxy.key import KeyRules
from proxy.model.entry import Entry
from proxy.model.errors import ConfigError
from proxy.model.outcome import Record
from proxy.reply import Replies

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
        if not settings.upstreams:
            raise ConfigError("no backend is given: use --upstream URL, or `upstreams` in the file")
        self._settings = settings
        self._ready = False
        self.backends = Backends(settings)
        self.routes = self.backends.routes
        self.store = Store(settings)
        secret = key_secret(settings, self.store.directory)
        self.relay = relay(settings, secret, self.store, _report_bug)
        self.flights = Flights(
            parts.flight_limits(settings),
            clock=seconds,
            report=_report_bug,
            fleet=self.relay,
        )
        knowledge = Knowledge(settings)
        self.versions = knowledge.versions
        keys = parts.key_rules(settings, secret)
        understood = spoken.dialects(settings, knowledge.version_of)
        self.semantic = _semantic(settings, keys, self.store, partial(spoken.answer, understood))
        self.batcher = Batcher(
            keys.namespace_of,
            parts.batch_limits(settings.embeddings.batching),
            clock=seconds,
            report=_report_bug,
        )
        replies = Replies(settings.pseudonym, seconds)
        passing = parts.passing(settings, self.routes, replies)
        self.others = Others(
            settings, keys=keys, routes=self.routes, ladder=self.store.ladder, passing=passing,
            replies=replies, report=_report_bug,
        )  # fmt: skip
        lifecycle = parts.lifecycle(
            settings,
            keys=keys,
            spoken=understood,
            routes=self.routes,
            ladder=self.store.ladder,
            flights=self.flights,
            meaning=None if self.semantic is None else self.semantic.meaning,
            batcher=self.batcher,
            passing=passing,
            degrading=self.backends.degrading(replies),
            others=self.others.answers,
            replies=replies,
            edition=self.versions.edition,
        )
        self.server = Server(
            lifecycle.answer,
            passing.tunnel,
            record,
            parts.client_limits(settings),
            clock=time.time,
            pseudonym=settings.pseudonym,
        )
        self.admin: Admin = operating.admin(
            settings, lambda: self._ready, self.store, self.semantic
        )
        self._scheme = "https" if settings.tls.cert_file else "http"
        self._bound: tuple[str, int] | None = None
        self._admin_bound: tuple[str, int] | None = None

    @property
    def url(self) -> str:
        """Where clients come in."""
        return _url(self._scheme, self._bound)

    @property
    def admin_url(self) -> str | None:
        """Where the operator comes in, if anywhere."""
        return _url("http", self._admin_bound) if self._admin_bound else None

    async def start(self) -> None:
        """Listen. Raises ConfigError where that cannot be done."""
        settings = self._settings
        encryption = parts.tls(settings)  # first: it fails with nothing listening yet
        await self.store.open()
        if self.semantic is not None:
            await self.semantic.start()
        if self.relay is not None:
            await self.relay.start()
        await self.versions.start()
        try:
            if settings.admin.enabled:
                where = settings.admin.listen
                self._admin_bound = await self.admin.start(where.host, where.port)
            listen = settings.listen
            self._bound = await self.server.start(listen.host, listen.port, ssl=encryption)
        except (ConfigError, OSError) as error:
            await self.close(0)
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"listen: {settings.listen}: {error.strerror}") from error
        self._ready = True

    async def close(self, deadline_s: float | None = None) -> None:
        """Take no more requests, let those under way end until the deadline, and let go of all.

        Args:
            deadline_s: seconds; None: as the settings say.
        """
        self._ready = False
        limit_s = self._settings.downstream.drain_s if deadline_s is None else deadline_s
        until = seconds() + limit_s
        await self.server.close(limit_s)
        # Clients of other replicas may still hear what this one has asked.
        await self.flights.drain(max(0.0, until - seconds()))
        await self.others.drain(max(0.0, until - seconds()))
        await self.flights.close()
        await self.batcher.close()
        await self.others.close()
        await self.versions.close()
        if self.relay is not None:
            await self.relay.close()
        if self.semantic is not None:
            await self.semantic.close()
        await self.admin.close()  # no purge may come that could not be told any more
        await self.store.close()
        await self.backends.close()


def _semantic(
    settings: Settings, keys: KeyRules, store: Store, answer: Callable[[Entry], str | None]
) -> Semantic | None:
    if not settings.semantic.enabled:
        return None
    from proxy.app.semantic import Semantic  # noqa: PLC0415 - much, for who does without

    semantic = Semantic(
        settings,
        keys,
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

"""The whole proxy: every part made, joined, opened and closed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from proxy.admin.api import Admin
from proxy.app import bounds, operating, spoken
from proxy.app.clock import seconds
from proxy.app.encryption import Shown
from proxy.app.generation import Generation
from proxy.app.house import House
from proxy.app.looking import Parts
from proxy.app.machine import Machine
from proxy.app.memory import SPARE_BYTES, MemoryWatch
from proxy.app.observing import Observing
from proxy.app.recording import recorder
from proxy.app.reloading import Refused, Reloaded, Reloading
from proxy.app.replicas import relay
from proxy.app.retired import Retired
from proxy.app.seat import Seat, leave_word
from proxy.app.store import Store, key_secret
from proxy.app.tracing import Traces
from proxy.config.faults import Place
from proxy.config.load import Held, Loaded, Source
from proxy.config.settings import Settings
from proxy.downstream.leaving import Leaving, interrupted
from proxy.downstream.server import Server
from proxy.flight import Flights
from proxy.model.entry import Entry
from proxy.model.errors import ConfigError
from proxy.model.outcome import Record
from proxy.observe.gather import Reader
from proxy.observe.state import ConfigState, ExpressState
from proxy.overload import Limiter

if TYPE_CHECKING:
    from proxy.app.semantic import Semantic


log = logging.getLogger("sidecache")


class Sidecache:
    """The whole proxy on the running loop: ``start`` it, and ``close`` it in the end.

    Args:
        settings: checked settings.
        record: told of every request as soon as it is over.
        readers: told of them, too, a moment later and many at a time.
        dropped: how many log lines were not written.
        source: where they are loaded from again; None: they stay as they are.
        origins: who gave each of them; see ``Loaded``.
        applied: told of settings that are now in force, but for the first.
        machine: what this process may take of; None: that is found out.
        seat: where it sits among several workers; None: it is the only one.

    Raises:
        ConfigError: the settings cannot work together on this machine.
    """

    def __init__(
        self,
        settings: Settings,
        record: Callable[[Record], None] | None = None,
        *,
        readers: Iterable[Reader] = (),
        dropped: Callable[[], int] = lambda: 0,
        source: Source | None = None,
        origins: Mapping[Place, str] = MappingProxyType({}),
        applied: Callable[[Settings], None] = lambda _: None,
        machine: Machine | None = None,
        seat: Seat | None = None,
    ) -> None:
        self._ready = self._counts = False
        self.seat = seat
        self.machine = machine or Machine.found()
        self.store = Store(settings, self.machine, seat)
        self.traces = Traces(settings)
        self.recorder = recorder(settings, seat)
        told = readers if self.recorder is None else [*readers, self.recorder]
        self.observing = Observing(
            settings, version=operating.release(), replica=self.store.place,
            readers=told, dropped=dropped, slot=1 if seat is None else seat.slot,
        )  # fmt: skip
        report = self.observing.report_bug
        secret = seat.secret if seat else key_secret(settings, self.store.directory)
        together = None if seat is None else seat.directory
        self.relay = relay(settings, secret, self.store, report, together)
        limits = bounds.flight_limits(settings)
        watch = self.traces.refreshing
        self.flights = Flights(limits, clock=seconds, report=report, fleet=self.relay, watch=watch)
        self.fetches = Flights(limits, clock=seconds, report=report, watch=watch)
        adaptive = bounds.adaptive(settings, None)
        self.limiter = Limiter(
            bounds.call_limits(settings), clock=seconds, adaptive=adaptive,
            may_call=lambda: self.memory.may_call,
        )  # fmt: skip
        self.semantic = _semantic(settings, self.store, self._answer_in)
        if self.recorder is not None and self.semantic is not None:
            self.semantic.learner.labelled = self.recorder.label
        self.house = House(
            secret, self.store.ladder, self.store.browsing, self.flights, self.fetches,
            self.semantic, self.observing, self.traces, self.limiter, self.machine,
        )  # fmt: skip
        self.generation = Generation(1, Loaded(settings, origins), self.house, None, time.time())
        self.retired = Retired(lambda: self.generation)
        self.source = source or Held(settings)
        self.reloading = Reloading(
            self.source,
            current=lambda: self.generation,
            make=self._next,
            adopt=self._adopt,
            wall=time.time,
        )
        self._applied = applied
        self.memory = MemoryWatch(
            self.machine.memory,
            self.store,
            self.store.heap,
            spare=self._limit_flights,
            clock=seconds,
            workers=settings.workers,
        )
        self._limit_flights()
        self._shown: Shown | None = None
        tell = self.observing.record(record)
        self.record = self.traces.recording(tell)
        self.server = Server(
            self.generation.attending, self.record, clock=time.time,
            tell=tell, lend=self.store.memory.lend,
            express_bytes=bounds.express_bytes(settings, self.store.budget),
        )  # fmt: skip
        self.store.shrinks.append(self.server.express.clear)
        self.store.bounded.append(self._limit_express)
        self.observing.gathering.sources.append(self.server.express.flush)
        self.observing.over(self._parts())
        self.admin: Admin = operating.admin(self, lambda: self._ready)
        self._bound: tuple[str, int] | None = None
        self._admin_bound: tuple[str, int] | None = None

    async def reload(self) -> Reloaded:
        """Load the settings again, and take over what has changed: all of it, or nothing.

        Raises:
            ConfigError: they cannot be used; all is as it was.
        """
        return await self.reloading.reload()

    @property
    def refused(self) -> Refused | None:
        """Why the last reload came to nothing; None: it did not."""
        return self.reloading.refused

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self.generation.settings

    @property
    def url(self) -> str:
        """Where clients come in."""
        return url("https" if self.settings.tls.cert_file else "http", self._bound)

    @property
    def admin_url(self) -> str | None:
        """Where the operator comes in, if anywhere."""
        return url("http", self._admin_bound) if self._admin_bound else None

    async def start(self) -> None:
        """Listen. Raises ConfigError where that cannot be done."""
        settings, generation = self.settings, self.generation
        if self.recorder is not None:
            self.recorder.start()
        self.observing.start()
        self.memory.start()
        await self.store.open()
        if self.semantic is not None:
            await self.semantic.start()
        if self.relay is not None:
            await self.relay.start()
        await generation.open()
        try:
            if self.seat is not None:
                await self.admin.start_at(self.seat.admin)
            elif settings.admin.enabled:
                where = settings.admin.listen
                self._admin_bound = await self.admin.start(where.host, where.port)
            listen = settings.listen
            if generation.encryption is not None:
                self._shown = Shown(generation.encryption)
            self._bound = await self.server.start(
                listen.host,
                listen.port,
                ssl=None if self._shown is None else self._shown.listener,
                sock=None if self.seat is None else self.seat.listening,
            )
        except (ConfigError, OSError) as error:
            await self.close(0)
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"listen: {settings.listen}: {error.strerror}") from error
        if self.seat is None:  # else it is warned of once, by who has forked it
            self.machine.warn(settings)
            self.reloading.start()
        self._ready = self._counts = True

    async def close(self, deadline_s: float | None = None) -> None:
        """Take no more requests, let those under way end until the deadline, and let go of all.

        Args:
            deadline_s: seconds; None: as the settings say.
        """
        limit_s = self.settings.downstream.drain_s if deadline_s is None else deadline_s
        await self.leave(interrupted(limit_s))

    async def leave(self, how: Leaving) -> None:
        """Be ready no more, come to an end in this way, and let go of all."""
        self._ready = False
        await self.reloading.close()
        until = seconds() + how.limit_s
        await self.server.leave(how)
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
        self.observing.close()
        await self._leave_word()
        await self.memory.close()
        await self.admin.close()  # no purge may come that could not be told any more
        await self.store.close()
        await self.retired.close()
        await self.generation.close()
        await self.traces.close()
        if self.recorder is not None:
            await asyncio.to_thread(self.recorder.close)

    async def _leave_word(self) -> None:
        """Have written down what was counted here, for who adds up what all workers have."""
        if self.seat is None or not self._counts:
            return
        word = self.observing.snapshot()
        try:
            await asyncio.to_thread(leave_word, self.seat.directory, self.seat.slot, word)
        except OSError as error:
            log.warning("what this worker has counted last is lost", exc_info=error)

    def _next(self, loaded: Loaded) -> Generation:
        current = self.generation
        return Generation(current.number + 1, loaded, self.house, current, time.time())

    async def _adopt(self, new: Generation) -> None:
        """Put ``new`` in the place of the current generation."""
        old, settings = self.generation, new.settings
        await new.open(old)
        # No waiting from here to the end of this paragraph: nobody sees a part of it.
        self.generation = new
        self.server.attend(new.attending)
        self._limit_flights()
        self.limiter.adopt(
            bounds.call_limits(settings), bounds.adaptive(settings, self.limiter.adaptive)
        )
        self.admin.gate.let_in(operating.token(self), settings.admin.allowed_hosts)
        if self._shown is not None and new.encryption is not None:
            self._shown.show(new.encryption)
        self.observing.adopt(settings)
        self._applied(settings)
        if self.machine.chosen(settings) != self.machine.chosen(old.settings):
            self.machine.tell(settings)
            self.machine.warn(settings)

        await self.retired.add(old)
        await self.store.limit(settings)

    def _limit_flights(self) -> None:
        limits = bounds.flight_limits(self.settings)
        if self.memory.is_scarce:
            limits = bounds.spared(limits, SPARE_BYTES)
        for flights in (self.flights, self.fetches):
            flights.adopt(limits, self.generation.number)

    def _limit_express(self, budget: int) -> None:
        self.server.express.limit(bounds.express_bytes(self.settings, budget))

    def _answer_in(self, entry: Entry) -> str | None:
        return spoken.answer(self.generation.dialects, entry)

    def _parts(self) -> Parts:
        """What is told of."""
        observing = self.observing
        return Parts(
            self.store,
            self.server.counts,
            [self.flights, self.fetches],
            self.limiter,
            lambda: self.generation.backends.routed,
            lambda: self.generation.backends.standing_by,
            observing.compressing,
            observing.batching,
            self.semantic,
            self.relay,
            observing.bugs,
            observing.dropped,
            self._config,
            lambda: self.memory.state,
            self._express,
        )

    def _express(self) -> ExpressState:
        lane = self.server.express
        return ExpressState(lane.hits, len(lane), lane.bytes, lane.max_bytes)

    def _config(self) -> ConfigState:
        generation, refusals = self.generation, self.reloading.refusals
        reloads = {"applied": generation.number - 1, "refused": refusals}
        return ConfigState(generation.number, generation.since, reloads, self.refused is None)


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


def url(scheme: str, bound: tuple[str, int] | None) -> str:
    """What is bound there, as a URL. Raises RuntimeError for what is not bound."""
    if bound is None:
        raise RuntimeError("not started yet")
    host, port = bound
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

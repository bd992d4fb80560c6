"""The desk: the process that the operator comes in to where several workers serve.

It answers for all of them (``answering.py``) with what they have counted together
(``rollcall.py``, ``observe/together.py``), and has them replaced when the settings change.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from proxy.admin import pages
from proxy.admin.api import Admin
from proxy.admin.colleagues import Colleague, Colleagues, fetch
from proxy.admin.config import Configurations, Current
from proxy.admin.gate import Gate
from proxy.admin.snapshots import PATH
from proxy.admin.workers import Worker, Workers
from proxy.app import encryption, operating
from proxy.app.answering import told_by_workers, told_of_all, told_together
from proxy.app.clock import seconds
from proxy.app.generation import need_backend
from proxy.app.looking import nothing
from proxy.app.machine import Machine
from proxy.app.observing import prices, worker_row
from proxy.app.reloading import Reloading
from proxy.app.rollcall import Kept, Present, RollCall
from proxy.app.seat import worker_socket
from proxy.app.store import place_of
from proxy.app.streams import Streams
from proxy.config.changes import (
    BOUND,
    changes,
    contents,
    refuse_what_is_bound,
    refuse_what_is_fixed,
)
from proxy.config.faults import Place
from proxy.config.load import Loaded, Source
from proxy.config.settings import Settings
from proxy.config.share import share
from proxy.histogram import Histogram
from proxy.model.errors import ConfigError
from proxy.observe.metrics import Metrics
from proxy.observe.snapshot import Snapshot
from proxy.observe.state import ConfigState, State
from proxy.observe.stats import Identity, Stats
from proxy.observe.tally import Counted
from proxy.observe.together import Together
from proxy.workers.lifeline import Lifeline, Message

log = logging.getLogger("sidecache.desk")

_ROLL_S: Final = 600.0  # for all workers to be replaced, each when the one before it has left
_TAKE_OVER_S: Final = 60.0  # for the workers to take new settings over as they are
_OK: Final = 200
_ROSTER_S: Final = 5.0  # for the arbiter to say who there is
_ASK_S: Final = 1.0  # so often workers are asked what they have counted
_STOPPING: Final = "this proxy is about to stop"


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
        self._heard = asyncio.Event()  # who there is
        self._rolled: asyncio.Future[tuple[int, str]] | None = None  # why not, or ""
        self._ending = False
        self._lifeline: Lifeline | None = None
        self._applied = self._refusals = 0  # reloads, as far as those before this process know
        self._reloading = Reloading(
            source,
            current=lambda: self._edition,
            make=self._next,
            adopt=self._roll,
            wall=time.time,
            refuse=refuse_what_is_bound,
        )
        settings = loaded.settings
        self._rollcall = RollCall(
            directory,
            lambda path, limit_s: fetch(path, PATH, limit_s),
            socket=lambda slot: worker_socket(directory, slot),
            nothing=Snapshot(Counted(), Histogram(), nothing()),
        )
        self._colleagues = Colleagues(self._serving)
        self._together = Together(prices(settings), settings.metrics.max_models, clock=seconds)
        self._streams = Streams(self._colleagues, seconds)

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
        stats, metrics = await self._begin_to_count()
        settings = self._edition.settings
        chosen = settings.admin
        admin = Admin(
            self._is_ready,
            Gate(chosen.bearer, chosen.allowed_hosts, clock=seconds),
            endpoints=[
                *Configurations(self._current, self._reloading.reload).endpoints,
                *told_by_workers(self._colleagues, semantic=settings.semantic.enabled),
                *told_of_all(stats, metrics, self._streams, self._workers, self._rollcall.now),
                *told_together(settings, self._colleagues, self._tiers, self._busiest),
            ],
            pages=pages.routes(),
            version=operating.release(),
        )
        if self._listening is not None:
            await admin.start_on(self._listening)
        self._reloading.start()
        counting = asyncio.create_task(self._keep_counting())
        self._lifeline.ready()
        try:
            await stop.wait()
        finally:
            self._give_up_rolling()
            await self._streams.close()
            await self._reloading.close()
            await admin.close(settings.downstream.drain_s)
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
            await self._rollcall.close()
            self._lifeline.close()

    # -- who there is -------------------------------------------------------------------------

    def _serving(self) -> Sequence[Colleague]:
        """Those who can be asked, first who stays; who does not answer only if nobody else does."""
        ready = [each for each in self._rollcall.present if each.ready]
        well = [each for each in ready if not each.silent]
        return [
            Colleague(*each.incarnation, worker_socket(self._directory, each.incarnation.slot))
            for each in sorted(well or ready, key=lambda each: each.leaving)
        ]

    def _is_ready(self) -> bool:
        ready = any(each.ready and not each.leaving for each in self._rollcall.present)
        return ready and self._roster.get("stopping") is not True

    def _busiest(self) -> int:
        ready = [each for each in self._rollcall.present if each.ready and not each.silent]
        most = max(ready, key=lambda each: each.busy_s, default=None)
        return 0 if most is None else most.incarnation.slot

    async def _tiers(self) -> Sequence[str]:
        if not self._together.tiers:
            await self._rollcall.fresh()
        return [each.tier for each in self._together.tiers]

    def _number(self, name: str) -> int:
        number = self._roster.get(name)
        return number if isinstance(number, int) else 0

    def _workers(self) -> Workers:
        now = time.time()
        return Workers(
            wanted=self._number("wanted"),
            restarts=self._number("restarts"),
            workers=[_row(each, now) for each in self._rollcall.present],
        )

    # -- what they have counted ---------------------------------------------------------------

    async def _begin_to_count(self) -> tuple[Stats, Metrics]:
        """Go on where a desk before this one was, with what all workers say now."""
        try:
            async with asyncio.timeout(_ROSTER_S):
                await self._heard.wait()
        except TimeoutError:
            raise ConfigError("the process that has started this one is silent") from None
        rollcall, together = self._rollcall, self._together
        kept = await rollcall.take_over()
        if kept is not None:
            self._go_on(kept)
        await rollcall.fresh()
        await rollcall.part()
        self._take()
        rollcall.told = self._take
        history = together.remember(time.time, seconds, () if kept is None else kept.history)
        rollcall.extras.history = lambda: history.kept
        rollcall.extras.models = lambda: list(together.tally.models)
        rollcall.extras.reloads = self._reloads
        settings = self._edition.settings
        identity = Identity(
            operating.release(), settings.pseudonym, place_of(settings, None), rollcall.started_at
        )
        processes = lambda: together.processes(rollcall.started_at, rollcall.cpu_s)  # noqa: E731
        stats = Stats(
            identity,
            together.tally,
            history,
            together.lag,
            state=self._state,
            splitters=lambda: together.splitters,
            flush=lambda: None,
            wall=time.time,
            clock=seconds,
            process=processes,
        )
        metrics = Metrics(
            together.tally,
            together.lag,
            state=self._state,
            flush=lambda: None,
            version=identity.version,
            processes=processes,
        )
        return stats, metrics

    def _go_on(self, kept: Kept) -> None:
        self._together.keep_apart(kept.models)
        self._refusals = kept.refusals
        self._applied = kept.applied + (kept.edition != self._edition.number)

    def _take(self) -> None:
        self._together.take(self._rollcall.counted, self._rollcall.gone)

    async def _keep_counting(self) -> None:
        """The root of a task."""
        while True:
            try:
                await self._rollcall.round()
            except Exception as error:  # a bug in it must not end it
                log.exception("workers could not be asked", exc_info=error)
            await asyncio.sleep(_ASK_S)

    def _state(self) -> State:
        present = self._rollcall.present
        leaving = sum(each.leaving for each in present)
        ready = sum(each.ready and not each.leaving for each in present)
        workers = {"ready": ready, "starting": len(present) - ready - leaving, "leaving": leaving}
        number, applied, refused = self._reloads()
        reloads = {"applied": applied, "refused": refused}
        config = ConfigState(number, self._edition.since, reloads, self._reloading.refused is None)
        return self._together.state(config, workers, self._number("restarts"))

    def _reloads(self) -> tuple[int, int, int]:
        return self._edition.number, self._applied, self._refusals + self._reloading.refusals

    # -- other settings -----------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        """The arbiter says something."""
        if "workers" in message:
            self._roster = message
            self._rollcall.hear(message)
            self._heard.set()
        elif "rolled" in message:
            if self._rolled is not None and not self._rolled.done():
                number, refused = message["rolled"], str(message.get("refused", ""))
                self._rolled.set_result((number if isinstance(number, int) else 0, refused))
        elif "reload" in message:
            self._reloading.ask()

    def _next(self, loaded: Loaded) -> Edition:
        need_backend(loaded.settings)
        tls = loaded.settings.tls
        encryption.context(tls.cert_file, tls.key_file)  # which workers would refuse
        number = self._edition.number + 1
        return Edition(number, loaded, contents(loaded.settings), time.time())

    async def _roll(self, edition: Edition) -> None:
        """Have all workers take ``edition`` over, or replaced where it needs a restart.

        Raises:
            ConfigError: new ones cannot serve.
        """
        if self._lifeline is None:
            raise RuntimeError("not serving yet")
        adopted = await self._adopted(edition.settings)
        if self._ending:
            raise ConfigError(_STOPPING)
        self._rolled = asyncio.get_running_loop().create_future()
        self._lifeline.tell({"roll": True} if adopted is None else {"adopted": adopted})
        try:
            async with asyncio.timeout(_ROLL_S):
                number, refused = await self._rolled
        except TimeoutError:
            raise ConfigError("the workers could not be replaced in time; some may be") from None
        if refused:
            raise ConfigError(refused)
        edition.number = number
        self._edition = edition
        self._applied += 1

    async def _adopted(self, settings: Settings) -> list[int] | None:
        """The pids of all workers, if they have taken over what is new as they are.

        What they know stays then. None: not all have.
        """
        before = self._edition.settings
        try:
            refuse_what_is_fixed(before, settings, changes(before, settings))
        except ConfigError:
            return None
        present = self._rollcall.present
        if not present or any(not each.ready or each.silent for each in present):
            return None  # one that is starting may have the old ones
        answers = await self._colleagues.all("POST", "/reload", _TAKE_OVER_S, body=b"{}")
        if len(answers) < len(present) or any(each.status != _OK for each in answers):
            return None
        return [each.incarnation.pid for each in present]

    def _give_up_rolling(self) -> None:
        """Nobody says any more what becomes of a new edition: wait for that no longer."""
        self._ending = True
        if self._rolled is not None and not self._rolled.done():
            self._rolled.set_exception(ConfigError(_STOPPING))

    def _current(self) -> Current:
        chosen = self._machine.chosen(share(self._edition.settings))
        return operating.current(
            self._edition, self._source, self._reloading.refused, BOUND, chosen
        )


def _row(one: Present, now: float) -> Worker:
    state: Literal["starting", "ready", "leaving"] = (
        "leaving" if one.leaving else "ready" if one.ready else "starting"
    )
    said = one.latest
    if said is not None:
        return worker_row(said, state, said.started_at, now, silent=one.silent)
    slot, pid = one.incarnation
    return Worker(
        slot=slot, pid=pid, state=state, silent=one.silent, age_s=None, rss_bytes=None,
        cpu_s=None, requests=None, in_progress=None, connections=None, loop_lag_p99_s=None,
    )  # fmt: skip

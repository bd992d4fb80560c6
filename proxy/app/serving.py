"""Serving until told to stop: the loop, the signals and the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.app.clock import seconds
from proxy.app.parts import known_secrets
from proxy.app.seat import Seat
from proxy.app.starved import Starved
from proxy.app.stopping import Stopping
from proxy.app.systemd import Systemd
from proxy.app.whole import Sidecache
from proxy.config.load import Loaded, Source
from proxy.config.settings import Settings
from proxy.config.share import share
from proxy.downstream.leaving import interrupted
from proxy.host.garbage import Garbage
from proxy.host.pressure import Level
from proxy.model.errors import ConfigError
from proxy.observe.events import Telling, events
from proxy.observe.log import RequestLog
from proxy.observe.process import own_bytes, small_bytes
from proxy.observe.sink import Sink, Stream
from proxy.workers.crew import CRASHED
from proxy.workers.lifeline import Lifeline

log = logging.getLogger("sidecache")


def serve(
    loaded: Loaded, source: Source, announce: Callable[[Sidecache], None] = lambda _: None
) -> int:
    """Run until told to stop by a signal (see ``Stopping``); the exit status.

    What nobody foresaw ends it with 70, and is told as all else is, without the text of the
    exception: the interpreter would print that, whatever it quotes. SIGHUP has the settings loaded
    again, unless it tells that the terminal is gone.

    Args:
        loaded: the settings to begin with.
        source: where they are loaded from again.
        announce: told of the proxy once it listens.

    Raises:
        ConfigError: it cannot start.
    """
    if loaded.settings.workers > 1:
        from proxy.app.supervising import supervise  # noqa: PLC0415 - it needs what is here

        return supervise(loaded, source)
    with logging_to(sys.stderr.buffer, loaded.settings) as (sink, telling):
        return run(_serve(loaded, source, sink, telling, announce))


@contextlib.contextmanager
def logging_to(stream: Stream, settings: Settings) -> Iterator[tuple[Sink, Telling]]:
    """Have all that is logged while the block lasts written to ``stream``."""
    sink = Sink(stream)
    try:
        with events(
            sink, style=settings.log.format, level=settings.log.level, wall=time.time,
            secrets=known_secrets(settings),
        ) as telling:  # fmt: skip
            yield sink, telling
    finally:
        sink.close()


def run(serving: Coroutine[object, object, None]) -> int:
    """Run ``serving`` on the fastest loop there is; the exit status. Raises ConfigError."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serving)
    except ConfigError:
        raise
    except Exception as error:
        log.critical("the proxy failed in a way nobody foresaw", exc_info=error)
        return CRASHED
    return 0


async def _serve(
    loaded: Loaded,
    source: Source,
    sink: Sink,
    telling: Telling,
    announce: Callable[[Sidecache], None],
) -> None:
    proxy = _proxy(loaded, source, sink, telling)

    def listening() -> None:
        where = {"url": proxy.url, "admin": proxy.admin_url}
        log.info("listening", extra=where | {"upstreams": names(proxy.settings)})
        announce(proxy)
        systemd.ready()

    systemd = Systemd(os.environ)
    await proxy.start()
    stopping = Stopping(lambda: proxy.settings, asyncio.get_running_loop())
    await _until_stopped(proxy, stopping, listening, systemd.stopping)


def _proxy(
    loaded: Loaded, source: Source, sink: Sink, telling: Telling, seat: Seat | None = None
) -> Sidecache:
    """The proxy, not started yet, that logs into ``sink``. Raises ConfigError."""
    settings = loaded.settings
    requests = RequestLog(sink, style=settings.log.format)
    requests.silent = not settings.log.requests

    def applied(settings: Settings) -> None:
        telling.change(settings.log.level, known_secrets(settings))
        requests.silent = not settings.log.requests

    return Sidecache(
        settings, readers=[requests], dropped=lambda: sink.dropped, source=source,
        origins=loaded.sources, applied=applied, seat=seat,
    )  # fmt: skip


async def work(loaded: Loaded, source: Source, sink: Sink, telling: Telling, seat: Seat) -> None:
    """Serve as one of several workers, until told to stop or the arbiter is gone.

    Raises:
        ConfigError: it cannot start.
    """
    proxy = _proxy(_shared(loaded), _Share(source), sink, telling, seat)
    stopping = Stopping(lambda: proxy.settings, asyncio.get_running_loop())
    lifeline = Lifeline(lambda _: None, lambda: stopping.ask(signal.SIGTERM))
    await lifeline.hold(seat.line)
    try:
        await proxy.start()
        await _until_stopped(proxy, stopping, lifeline.ready)
    finally:
        lifeline.close()


@dataclass(frozen=True, slots=True)
class _Share:
    """A worker's share of what ``source`` brings. A ``Source``."""

    source: Source

    @property
    def file(self) -> Path | None:
        return self.source.file

    def load(self) -> Loaded:
        return _shared(self.source.load())


def _shared(loaded: Loaded) -> Loaded:
    return replace(loaded, settings=share(loaded.settings))


async def _until_stopped(
    proxy: Sidecache,
    stopping: Stopping,
    announce: Callable[[], None],
    leaving: Callable[[], None] = lambda: None,
) -> None:
    """Serve until told to stop, and stop."""
    stopping.listen()
    asyncio.get_running_loop().set_exception_handler(Starved(seconds))
    if sys.platform != "win32":
        attached = not ignores_hangup() and has_terminal()
        ask = proxy.reloading.ask
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: _on_hangup(stopping, ask, attached=attached))
    announce()
    proxy.machine.tell(proxy.settings)
    garbage = _garbage(proxy)
    garbage.start()
    how = interrupted(proxy.settings.downstream.drain_s)
    try:
        how = await stopping.asked()
        leaving()
        log.info("draining", extra={"delay_s": how.delay_s, "deadline_s": how.limit_s})
    finally:
        try:
            await proxy.leave(how)
        finally:
            garbage.close()
    log.info("stopped")


def _garbage(proxy: Sidecache) -> Garbage:
    def beside_answers() -> int | None:
        taken = own_bytes()
        return None if taken is None else taken - proxy.store.memory.bytes

    return Garbage(
        (beside_answers, small_bytes),
        lambda: proxy.memory.level > Level.EASE,
        proxy.store.heap.ask,
        clock=time.perf_counter,
        used=time.process_time,
    )


def names(settings: Settings) -> list[str]:
    """The names of the backends that are served."""
    return [each.name for each in settings.upstreams]


def _on_hangup(stopping: Stopping, reload: Callable[[], None], *, attached: bool) -> None:
    """Somebody wants a reload; or the terminal this was started in was closed."""
    if attached and not has_terminal():
        stopping.ask(signal.SIGINT)
    else:
        reload()


def ignores_hangup() -> bool:
    """Whether whoever started this process has it outlive the terminal (nohup)."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def has_terminal() -> bool:
    """Whether there is a terminal that this process belongs to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - where it does not exist, asyncio's own loop does
    except ImportError:
        return None
    return uvloop.new_event_loop

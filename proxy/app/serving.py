"""Serving until told to stop: the loop, the signals, the log and the garbage collector."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Final

from proxy.app.parts import known_secrets
from proxy.app.whole import Sidecache
from proxy.config.load import Loaded, Source
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError
from proxy.observe.events import Telling, events
from proxy.observe.log import RequestLog
from proxy.observe.sink import Sink

log = logging.getLogger("sidecache")

_CRASHED: Final = 70  # EX_SOFTWARE of sysexits.h
_THOROUGH: Final = 8  # of so many full garbage collections one looks at everything


def serve(
    loaded: Loaded, source: Source, announce: Callable[[Sidecache], None] = lambda _: None
) -> int:
    """Run until told to stop (SIGTERM, SIGINT; a second one ends at once); the exit status.

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
    settings = loaded.settings
    sink = Sink(sys.stderr.buffer)
    told = events(
        sink, style=settings.log.format, level=settings.log.level, wall=time.time,
        secrets=known_secrets(settings),
    )  # fmt: skip
    try:
        with told as telling:
            return _run(_serve(loaded, source, sink, telling, announce))
    finally:
        sink.close()


def _run(serving: Coroutine[object, object, None]) -> int:
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serving)
    except ConfigError:
        raise
    except Exception as error:
        log.critical("the proxy failed in a way nobody foresaw", exc_info=error)
        return _CRASHED
    return 0


async def _serve(
    loaded: Loaded,
    source: Source,
    sink: Sink,
    telling: Telling,
    announce: Callable[[Sidecache], None],
) -> None:
    loop, settings = asyncio.get_running_loop(), loaded.settings
    requests = RequestLog(sink, style=settings.log.format)
    requests.silent = not settings.log.requests

    def applied(settings: Settings) -> None:
        telling.change(settings.log.level, known_secrets(settings))
        requests.silent = not settings.log.requests

    proxy = Sidecache(
        settings, readers=[requests], dropped=lambda: sink.dropped, source=source,
        origins=loaded.sources, applied=applied,
    )  # fmt: skip
    await proxy.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt does it
            loop.add_signal_handler(number, _on_signal, stop)
    if sys.platform != "win32":
        # Who ignores it (nohup) is not to be ended by it.
        attached = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()
        ask = proxy.reloading.ask
        loop.add_signal_handler(signal.SIGHUP, lambda: _on_hangup(stop, ask, attached=attached))
    log.info(
        "listening",
        extra={
            "url": proxy.url,
            "admin": proxy.admin_url,
            "upstreams": [each.name for each in settings.upstreams],
        },
    )
    announce(proxy)
    gc.callbacks.append(_keep_survivors)
    gc.collect()
    try:
        await stop.wait()
        log.info("draining", extra={"deadline_s": proxy.settings.downstream.drain_s})
    finally:
        await proxy.close()
    log.info("stopped")


def _keep_survivors(phase: str, info: dict[str, int]) -> None:
    """After a full garbage collection: what survived it is not looked at by the next few.

    Entries live long and hold no cycles; looking at 100,000 of them takes 200 ms in which nothing
    is answered. But what was under way survives too, and whoever hangs up leaves cycles behind (an
    exception and the frames it went through), so now and then everything is looked at.
    """
    if info["generation"] != 2:  # noqa: PLR2004 - the oldest there is
        return
    if phase == "stop":
        gc.freeze()
    elif gc.get_stats()[2]["collections"] % _THOROUGH == 0:
        gc.unfreeze()


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        # Somebody asked twice: crash-only, nothing here depends on a clean end.
        sys.stderr.flush()
        signal.raise_signal(signal.SIGKILL)
    stop.set()


def _on_hangup(stop: asyncio.Event, reload: Callable[[], None], *, attached: bool) -> None:
    """Somebody wants a reload; or the terminal this was started in was closed."""
    if attached and not _has_terminal():
        stop.set()
    else:
        reload()


def _has_terminal() -> bool:
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

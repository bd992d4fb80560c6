"""The command line: which commands there are, and what those that serve open. Thin."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Final

from proxy.commands.grouped import Grouped, Listed, Titled
from proxy.commands.rooms import Rooms

if TYPE_CHECKING:
    from proxy.config.load import Loaded, Origin

__all__ = ["Rooms", "cli", "main"]

_AT: Final = "proxy.commands."

cli: Final = Grouped(
    name="sidecache",
    help="A caching reverse proxy that stands beside any LLM or RAG backend.",
    groups=(
        Titled(
            "Serve",
            (
                Listed("serve", _AT + "serve:serve", "Serve, until told to stop."),
                Listed(
                    "demo",
                    _AT + "demo:demo",
                    "Show what the proxy does, with a backend of its own.",
                ),
                Listed(
                    "check",
                    _AT + "serve:check",
                    "Show the settings in force and where they come from; or all that is wrong with"
                    " them.",
                ),
                Listed("schema", _AT + "serve:schema", "Show all settings there are."),
                Listed("version", _AT + "version:version", "Show the version."),
                Listed(
                    "completion",
                    _AT + "completion:completion",
                    "Print what makes a shell complete commands and options.",
                ),
            ),
        ),
        Titled(
            "See what a running proxy does",
            (
                Listed(
                    "health",
                    _AT + "health:health",
                    "Ask a running proxy whether it is well: status 0, or else 1.",
                ),
                Listed(
                    "stats",
                    _AT + "stats:stats",
                    "Show what the proxy does, what it saves, and how its parts are.",
                ),
                Listed(
                    "top",
                    _AT + "top:top",
                    "Watch requests as they come, and why each was a hit or a miss.",
                ),
                Listed(
                    "explain",
                    _AT + "explain:explain",
                    "Tell what would become of a request, and why, without sending it.",
                ),
                Listed(
                    "report",
                    _AT + "report:report",
                    "Write a report: what the cache did and saved, where the time goes, what to"
                    " change.",
                ),
                Listed(
                    "profile",
                    _AT + "profile:profile",
                    "Look what the running proxy spends its time on.",
                ),
            ),
        ),
        Titled(
            "Change what it holds",
            (
                Listed(
                    "purge",
                    _AT + "purge:purge",
                    "Let stored answers be served no more, on every replica.",
                ),
                Listed(
                    "warm",
                    _AT + "warm:warm",
                    "Ask the questions in FILE, so that their answers are stored.",
                ),
                Listed(
                    "export",
                    _AT + "carry:export",
                    "Write all stored answers to FILE, for another proxy to import.",
                ),
                Listed(
                    "import",
                    _AT + "carry:import_",
                    "Store the answers in FILE, each for as long as it had left.",
                ),
            ),
        ),
        Titled(
            "Measure and fit",
            (
                Listed(
                    "bench",
                    _AT + "bench:bench",
                    "Measure hit ratio, latency and throughput with made-up questions.",
                ),
                Listed("tune", _AT + "tune:tune", "Find settings by replaying what was recorded."),
                Listed(
                    "calibrate",
                    _AT + "calibrate:calibrate",
                    "Suggest a threshold from questions of yours.",
                ),
                Listed(
                    "model",
                    _AT + "model:model",
                    "Make and try the models that tell which questions mean the same.",
                ),
            ),
        ),
    ),
)


def main() -> None:
    """Run the command line."""
    if os.getpid() == 1:
        # The kernel keeps from process 1 the signals that it does not handle, so a container that
        # is stopped while it starts would only end when it is killed.
        signal.signal(signal.SIGTERM, _leave)
    try:
        cli(prog_name="sidecache", obj=Rooms(_serve, _tour, _backend))
    except SystemExit as end:
        _end(end.code)
        raise


def _end(status: object) -> None:
    """End this process here if a thread is left in foreign code, such as a model being loaded.

    The interpreter would end that thread as it comes back, through frames of C++, which answers by
    abort().
    """
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if isinstance(status, int) and any(thread.daemon for thread in others):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _leave(number: int, _frame: FrameType | None) -> None:
    """As the signal would have it, were this any other process."""
    raise SystemExit(128 + number)


def _serve(loaded: Loaded, source: Origin, *, demo: bool = False) -> int:
    if demo:
        from proxy.demo import serving  # noqa: PLC0415 - the whole proxy

        return serving.serve(source)
    from proxy import app  # noqa: PLC0415 - as above

    return app.serve(loaded, source)


def _tour() -> int:
    from proxy.demo import guide  # noqa: PLC0415 - as above

    return guide.tour()


def _backend(host: str, port: int) -> int:
    from proxy.demo import alone  # noqa: PLC0415 - aiohttp

    return alone.serve(host, port)

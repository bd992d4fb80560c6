"""The proxy as it always is, in front of a backend that is made up: ``sidecache serve --demo``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from proxy import app
from proxy.config.settings import Settings
from proxy.config.tiers import L2Disk
from proxy.config.upstreams import Upstream
from proxy.demo.backend import DemoBackend
from proxy.demo.telling import invitation


def serve(settings: Settings) -> int:
    """Serve until told to stop, with the demo backend in place of all others; the exit status.

    Raises:
        ConfigError: as ``app.serve``.
    """
    with _running(DemoBackend()) as backend:
        upstreams = (Upstream(id="demo", url=backend.url),)
        return app.serve(
            # Made-up answers are nothing to keep.
            settings.model_copy(update={"upstreams": upstreams, "l2_disk": L2Disk(enabled=False)}),
            announce=lambda proxy: click.echo(invitation(proxy.url)),
        )


@contextmanager
def _running(backend: DemoBackend) -> Iterator[DemoBackend]:
    """``backend`` on a loop and a thread of its own: the proxy's are the proxy's alone."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="demo backend", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(backend.start(), loop).result()
        yield backend
    finally:
        asyncio.run_coroutine_threadsafe(backend.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

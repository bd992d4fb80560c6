"""The proxy as it always is, in front of a backend that is made up: ``sidecache serve --demo``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from proxy import app
from proxy.config.faults import Given
from proxy.config.load import Origin
from proxy.demo.backend import DemoBackend
from proxy.demo.telling import invitation


def serve(source: Origin) -> int:
    """Serve until told to stop, with the demo backend in place of all others; the exit status.

    Raises:
        ConfigError: as ``app.serve``.
    """
    with _running(DemoBackend()) as backend:
        upstreams = [{"id": "demo", "url": backend.url}]
        # Made-up answers are nothing to keep.
        own = (
            Given(("upstreams",), upstreams, "--demo"),
            Given(("l2_disk",), {"enabled": False}, "--demo"),
            Given(("workers",), 1, "--demo"),  # the backend's thread is in this process
        )
        source = replace(source, flags=(*source.flags, *own))
        return app.serve(
            source.load(),
            source,
            announce=lambda proxy: click.echo(invitation(proxy.url, proxy.admin_url)),
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

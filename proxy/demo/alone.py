"""The made-up backend by itself: something to put a proxy in front of, elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import click

from proxy.demo.backend import DemoBackend


def serve(host: str, port: int) -> int:
    """Answer at ``host``, ``port`` until told to stop (SIGTERM, SIGINT); the exit status."""
    return asyncio.run(serving(host, port))


async def serving(host: str, port: int) -> int:
    """As ``serve``, on this loop."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt does it
            loop.add_signal_handler(number, stop.set)
    backend = DemoBackend(at=(host, port))
    try:
        await backend.start()
    except OSError as error:
        click.echo(f"Error: {host}:{port}: {error.strerror or error}", err=True)
        return 2
    try:
        click.echo(f"the made-up backend answers at {backend.url}")
        await stop.wait()
    finally:
        await backend.close()
    return 0

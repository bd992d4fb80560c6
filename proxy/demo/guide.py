"""The guided tour: the real proxy, on real sockets, asked by a plain client; all in one process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Final, TextIO

import aiohttp
import click

from proxy.app import Sidecache
from proxy.config.faults import Given
from proxy.config.load import load
from proxy.config.settings import Settings
from proxy.demo import steps, telling
from proxy.demo.backend import DemoBackend, Pace
from proxy.demo.caller import Caller, NotAsTold
from proxy.demo.steps import Visit
from proxy.demo.telling import told

Say = Callable[[str], None]

PACE: Final = Pace(first_token_s=0.4, token_s=0.015)  # the whole tour takes some 5 s
_INTERRUPTED: Final = 130  # what shells report for a command ended by Ctrl-C


async def lead(say: Say, pace: Pace = PACE) -> None:
    """Lead through the whole tour, from its opening to its ending. Raises NotAsTold."""
    async with DemoBackend(pace) as backend:
        proxy = Sidecache(_settings(backend.url))
        await proxy.start()
        try:
            say(telling.opening(pace))
            await walk(proxy.url, lambda: backend.calls, say)
            say(telling.ending())
        finally:
            await proxy.close(deadline_s=0.0)  # nobody listens any more


async def walk(url: str, calls: Callable[[], int], say: Say) -> None:
    """The steps, with the proxy at ``url``, whose backend has had so many ``calls``.

    Raises:
        NotAsTold: the step announced last did not go as it should.
    """
    # Without a limit, so that a hundred callers at once are a hundred connections.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        visit = Visit(Caller(session, url), calls)

        say(telling.title(1, "A question nobody has asked yet"))
        first = await steps.unseen(visit)
        say(told(first))

        say(telling.title(2, "The same question again"))
        say(told(await steps.repeated(visit, first)))

        say(telling.title(3, "What is the same, and what is not"))
        say(told(await steps.told_apart(visit, first)))

        say(telling.title(4, "A hundred callers at once"))
        say(told(await steps.crowded(visit)))

        say(telling.title(5, "Joining a stream in its middle"))
        late = await steps.joined_late(visit)
        say(told(late))

        say(telling.title(6, "One answer in both forms"))
        say(told(await steps.reshaped(visit, first, late.early)))

        say(telling.title(7, "What that saved"))
        say(told(steps.saved(visit)))


def tour(leading: Callable[[Say], Coroutine[None, None, None]] = lead) -> int:
    """Show the proxy at work on standard output; the status to exit with.

    0 if all went as told, 1 if the proxy did anything else, 130 after Ctrl-C.
    """
    colours = coloured(sys.stdout, os.environ)

    def say(text: str) -> None:
        click.echo(text, color=colours)

    try:
        asyncio.run(leading(say))
    except NotAsTold as error:
        say("")
        click.echo(f"Not as told: {error}.", err=True)
        return 1
    except KeyboardInterrupt:
        say("")
        return _INTERRUPTED
    return 0


def coloured(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether ``stream`` is for colours: a terminal, unless NO_COLOR says no (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR")


def _settings(backend_url: str) -> Settings:
    """As by default, but on a free port, with nothing kept from one tour to the next."""
    source = "the demo"
    return load(
        flags=[
            Given(("listen",), "127.0.0.1:0", source),
            Given(("upstreams",), [{"url": backend_url}], source),
            Given(("admin", "enabled"), value=False, source=source),
            Given(("l2_disk", "enabled"), value=False, source=source),
        ]
    ).settings

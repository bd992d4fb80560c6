"""A connection that has left HTTP: bytes both ways until either side has had enough."""

from __future__ import annotations

import asyncio
from typing import Protocol

from proxy.downstream.respond import Line, Progress
from proxy.model.errors import UpstreamError
from proxy.model.message import Duplex


class RawLine(Line, Protocol):
    """A client's connection from which bytes can be read as they come."""

    async def receive(self) -> bytes:
        """Some bytes from the client, those sent early first; b"" once it has ended its side."""
        ...


async def splice(
    line: RawLine, duplex: Duplex, head: bytes, progress: Progress, grace_s: float
) -> None:
    """Send ``head``, which switches the protocol, then carry bytes both ways; close ``duplex``.

    Each way waits for the slower side, so nothing piles up. The upstream's end is passed on once
    all it said is written. When the client ends its side, what the upstream still says within
    ``grace_s`` seconds is delivered: a Duplex has no half-closed state to pass that on with.

    Raises:
        ConnectionError: the client went away, or reads too slowly.
    """
    try:
        progress.status = duplex.head.status
        line.write(head)
        async with asyncio.timeout(None) as end:
            upward = asyncio.create_task(  # noqa: TID251 - owned here, and ended below
                _carry_up(line, duplex, progress, end, grace_s)
            )
            try:
                while piece := await duplex.receive():
                    line.write(piece)
                    progress.sent += len(piece)
                    if line.writing_paused:
                        await line.drain()
                progress.complete = True
            finally:
                upward.cancel()
                await asyncio.wait([upward])
    except UpstreamError as error:
        progress.error = type(error).__name__
    except TimeoutError:  # set by the way up: the client has ended its side, or sending failed
        progress.complete = not progress.error
    finally:
        duplex.close()
    if progress.error:
        line.abort(progress.error)


async def _carry_up(
    line: RawLine, duplex: Duplex, progress: Progress, end: asyncio.Timeout, grace_s: float
) -> None:
    try:
        while piece := await line.receive():
            await duplex.send(piece)
    except UpstreamError as error:
        progress.error = type(error).__name__
        grace_s = 0.0
    end.reschedule(asyncio.get_running_loop().time() + grace_s)

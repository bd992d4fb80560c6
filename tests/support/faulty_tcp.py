"""A TCP proxy that delays, splits, resets, hangs and half-closes, to stand before a real server."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from support.cranked import settle

HERE = "127.0.0.1"


@dataclass
class Faults:
    """What goes wrong on the way back from the server; all can be changed at any time."""

    delay_s: float = 0.0  # at most, drawn anew for each piece
    split: bool = False  # replies at random bytes
    reset_share: float = 0.0  # of pieces, after a part of which the connection is reset
    silent: bool = False  # nothing is handed on, either way
    half_close: bool = False  # the server's side ends after its next piece; the client's goes on
    garbage: bytes = b""  # sent in place of whatever the server says
    connections: int = 0  # that came
    requests: int = 0  # pieces that came from clients
    dice: random.Random = field(default_factory=lambda: random.Random(7))


@asynccontextmanager
async def faulty_tcp(port: int, faults: Faults) -> AsyncIterator[int]:
    """A port that leads to ``port`` in the way ``faults`` says."""
    under_way: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        faults.connections += 1
        try:
            await _carry(reader, writer, port, faults)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            under_way.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, HERE, 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await settle()  # who was let in at this moment is under way now
        for task in tuple(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await settle()  # sockets close a turn of the loop after they are told to


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, faults: Faults
) -> None:
    far_reader, far_writer = await asyncio.open_connection(HERE, port)
    there = asyncio.create_task(_requests(reader, far_writer, faults))  # noqa: TID251 - ended below
    back = asyncio.create_task(_replies(far_reader, writer, faults))  # noqa: TID251 - ended below
    try:
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
    finally:
        far_writer.close()  # first: a second cancellation may come while this waits
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)


async def _requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults
) -> None:
    while piece := await reader.read(65536):
        faults.requests += 1
        if not faults.silent:
            writer.write(piece)
            await writer.drain()


async def _replies(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults
) -> None:
    dice = faults.dice
    while piece := await reader.read(65536):
        if faults.silent:
            continue
        piece = faults.garbage or piece
        while piece:
            cut = dice.randint(1, len(piece)) if faults.split else len(piece)
            now, piece = piece[:cut], piece[cut:]
            if faults.delay_s:
                await asyncio.sleep(dice.uniform(0, faults.delay_s))
            if dice.random() < faults.reset_share:
                writer.write(now[: len(now) // 2])
                _reset(writer)
                return
            writer.write(now)
            with suppress(ConnectionError):
                await writer.drain()
        if faults.half_close:
            writer.write_eof()
            await asyncio.Event().wait()  # until the client goes too


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a reset, not an end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()

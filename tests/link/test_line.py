"""One line, told by hand what the loop would tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from proxy.link.line import Line, packed


class Wire(asyncio.Transport):
    """Takes what is written, and hands it on when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unsent += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


class Asking:
    """Who asks, and what he was told."""

    def __init__(self) -> None:
        self.replies: list[object] = []
        self.last = False
        self.why = ""

    def replied(self, replies: Sequence[object], *, last: bool) -> None:
        self.replies += replies
        self.last = last

    def lost(self, why: str) -> None:
        self.why = why


async def opened() -> tuple[Line, Wire]:
    line, wire = Line(), Wire()
    assert not line.open
    line.connection_made(wire)
    assert line.open
    return line, wire


async def test_it_is_still_only_while_nothing_comes_in_and_nothing_goes_out() -> None:
    line, wire = await opened()
    line.ask(packed(["SET", "k", bytes(100_000)]), 1, Asking())
    since = line.still_since()
    assert line.still_since() == since
    wire.unsent -= 1
    sent = line.still_since()
    assert sent > since
    assert line.still_since() == sent
    line.data_received(b"+")
    assert line.still_since() > sent


async def test_who_asks_after_its_end_is_told() -> None:
    line, wire = await opened()
    line.connection_lost(None)
    assert wire.aborted
    assert line.ended.done()
    asking = Asking()
    line.ask(packed(["GET", "k"]), 1, asking)
    assert asking.why == "Redis hung up"
    line.connection_lost(None)  # and no harm is done
    assert line.still_since() >= 0


async def test_the_end_says_why() -> None:
    line, _ = await opened()
    asking = Asking()
    line.ask(packed(["GET", "k"]) * 2, 2, asking)
    line.data_received(b"$1\r\na\r\n")
    assert (asking.replies, asking.last) == ([b"a"], False)
    line.connection_lost(ConnectionResetError("by peer"))
    assert asking.why == "ConnectionResetError: by peer"
    line.data_received(b"$1\r\nb\r\n")
    assert asking.replies == [b"a"]

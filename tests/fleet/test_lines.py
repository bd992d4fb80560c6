"""Lines, at their ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from support.cranked import settle
from support.replicas import until

from proxy.fleet.lines import Hearing, Line


def framed(letter: bytes) -> bytes:
    return len(letter).to_bytes(4) + letter


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    for each in (here, there):
        each.settimeout(0)
    yield here, there
    here.close()
    there.close()


class Ear:
    """Who hears, and may have enough of it."""

    def __init__(self, most: int = 100) -> None:
        self.letters: list[bytes] = []
        self.speakers: list[str] = []
        self.ends = 0
        self._most = most
        self.hearing: Hearing

    def named(self, hearing: Hearing) -> None:
        self.speakers.append(hearing.speaker)

    def came(self, letter: bytes) -> None:
        self.letters.append(letter)
        if len(self.letters) == self._most:
            self.hearing.end()

    def ended(self, hearing: Hearing) -> None:
        assert hearing is self.hearing
        self.ends += 1


Pair = tuple[socket.socket, socket.socket]


async def test_what_is_put_in_comes_out_with_the_name_first(pair: Pair) -> None:
    ended: list[bool] = []
    ear = Ear()
    line, ear.hearing = Line(pair[0], lambda: ended.append(True)), Hearing(pair[1], ear)
    for letter in (b"0123456789abcdef", b"one", b"", b"x" * 900_000):
        assert line.put(letter)
    assert line.waiting
    await line.empty()
    await until(lambda: len(ear.letters) == 3)
    assert ear.speakers == ["0123456789abcdef"]
    assert ear.letters == [b"one", b"", b"x" * 900_000]
    line.end()
    line.end()
    assert ended == [True]
    assert not line.put(b"late")
    await until(lambda: ear.ends)
    ear.hearing.end()
    assert ear.ends == 1


async def test_who_has_heard_enough_hears_no_more(pair: Pair) -> None:
    ear = Ear(most=2)
    ear.hearing = Hearing(pair[1], ear)
    pair[0].send(framed(b"name") + b"".join(framed(b"%d" % number) for number in range(5)))
    await until(lambda: ear.ends)
    await settle()
    assert (ear.letters, ear.ends) == ([b"0", b"1"], 1)


async def test_a_line_that_is_reset_has_ended(pair: Pair) -> None:
    ear = Ear()
    ear.hearing = Hearing(pair[1], ear)
    pair[1].send(b"that nobody reads")
    pair[0].close()  # which resets it
    await until(lambda: ear.ends)
    assert ear.letters == []


async def test_a_line_to_who_is_gone_has_ended_once(pair: Pair) -> None:
    ended: list[bool] = []
    line = Line(pair[0], lambda: ended.append(True))
    pair[1].close()
    assert not line.put(b"letter")
    await line.empty()
    await settle()
    assert ended == [True]


async def test_what_waits_is_dropped_when_who_should_read_it_is_gone(pair: Pair) -> None:
    ended: list[bool] = []
    line = Line(pair[0], lambda: ended.append(True))
    while not line.waiting:
        assert line.put(b"x" * 100_000)
    pair[1].close()
    await line.empty()
    assert ended == [True]

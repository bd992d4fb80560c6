"""What every post promises, whatever it goes by; each one's tests inherit these."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from proxy.fleet.base import OWNER_CHARACTERS, Post, owner
from support.replicas import until


class Box:
    """A mailbox with somebody who reads it."""

    def __init__(self) -> None:
        self.told: list[tuple[bool, str]] = []  # whether it can be read, and why not
        self.letters: list[bytes] = []
        self.gone: list[str] = []
        self.cuts = 0
        self.post: Post

    def receive(self, letter: bytes) -> None:
        self.letters.append(letter)

    def cut_off(self) -> None:
        self.cuts += 1

    def lost(self, replica: str) -> None:
        self.gone.append(replica)

    async def got(self, *letters: bytes) -> None:
        await until(lambda: self.letters == list(letters))


class PostContract:
    """To inherit: give ``box``, a mailbox in a place that all boxes of a test share."""

    def box(self) -> AbstractAsyncContextManager[Box]:
        raise NotImplementedError

    async def test_it_is_open_once_it_was_started_and_says_so_once(self) -> None:
        async with self.box() as one:
            assert one.post.is_open
            assert one.told == [(True, "")]
        assert not one.post.is_open
        assert one.told == [(True, "")]

    async def test_no_two_are_called_the_same(self) -> None:
        async with self.box() as one, self.box() as other:
            assert one.post.owner != other.post.owner
            for box in (one, other):
                assert len(box.post.owner.encode("ascii")) == OWNER_CHARACTERS

    @pytest.mark.parametrize(
        "letters",
        [
            [b"%d" % number for number in range(500)],
            [b"", b"\x00\xff", b"x" * 300_000, b"\n"],
            [bytes([number]) * 100_000 for number in range(30)],
        ],
    )
    async def test_letters_come_whole_and_in_their_order(self, letters: list[bytes]) -> None:
        async with self.box() as one, self.box() as other:
            for letter in letters:
                assert await one.post.send(other.post.owner, letter)
            await other.got(*letters)
            assert one.letters == []

    async def test_letters_come_from_many(self) -> None:
        async with self.box() as one, self.box() as two, self.box() as reader:
            for number in range(50):
                for box in (one, two):
                    assert await box.post.send(reader.post.owner, b"%d" % number)
            await until(lambda: len(reader.letters) == 100)
            assert sorted(map(int, reader.letters)) == sorted([*range(50), *range(50)])

    async def test_one_may_write_to_oneself(self) -> None:
        async with self.box() as one:
            assert await one.post.send(one.post.owner, b"to myself")
            await one.got(b"to myself")

    async def test_two_may_write_to_each_other(self) -> None:
        async with self.box() as one, self.box() as other:
            assert await one.post.send(other.post.owner, b"how are you?")
            await other.got(b"how are you?")
            assert await other.post.send(one.post.owner, b"well")
            await one.got(b"well")

    async def test_who_has_no_box_cannot_be_written_to(self) -> None:
        async with self.box() as one:
            assert not await one.post.send(owner(), b"letter")

    async def test_who_has_left_cannot_be_written_to_any_more(self) -> None:
        async with self.box() as one:
            async with self.box() as other:
                assert await one.post.send(other.post.owner, b"letter")
                await other.got(b"letter")
            assert not await one.post.send(other.post.owner, b"too late")
            assert other.letters == [b"letter"]

    async def test_to_close_it_twice_does_no_harm(self) -> None:
        async with self.box() as one:
            await one.post.close()
            await one.post.close()

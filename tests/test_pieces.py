"""Bodies that come in pieces, iterated and poured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.model.pieces import Coming, Take, pour


async def told(*pieces: bytes, fault: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if fault is not None:
        raise fault


class Bucket:
    """A body that can be poured, and says how it was heard."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)
        self.poured = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("it was to be poured")

    async def pour(self, take: Take) -> bool:
        self.poured += 1
        while self.left:
            if not take(self.left.pop(0)):
                return True
        return False


class Cup:
    """Takes pieces, so many at a time."""

    def __init__(self, holds: int = 1000) -> None:
        self.taken: list[bytes] = []
        self.holds = holds

    def __call__(self, piece: bytes) -> bool:
        self.taken.append(piece)
        return len(self.taken) % self.holds != 0


async def test_any_body_is_poured_to_its_end() -> None:
    cup = Cup()
    assert not await pour(told(b"a", b"b"), cup)
    assert cup.taken == [b"a", b"b"]


async def test_who_takes_no_more_has_the_rest_when_it_asks_again() -> None:
    body, cup = told(b"a", b"b", b"c"), Cup(holds=2)
    assert await pour(body, cup)
    assert cup.taken == [b"a", b"b"]
    assert not await pour(body, cup)
    assert cup.taken == [b"a", b"b", b"c"]


async def test_a_body_that_can_be_poured_is_not_iterated() -> None:
    body, cup = Bucket(b"a", b"b"), Cup()
    assert not await pour(body, cup)
    assert (cup.taken, body.poured) == ([b"a", b"b"], 1)


class Given:
    """How often something was given back."""

    times = 0

    def __call__(self) -> None:
        self.times += 1


async def test_what_a_body_holds_is_given_back_when_all_of_it_was_poured() -> None:
    given, cup = Given(), Cup(holds=1)
    body = Coming(Bucket(b"a"), given)
    assert await pour(body, cup)
    assert given.times == 0
    assert not await pour(body, cup)
    assert given.times == 1
    await body.aclose()
    assert cup.taken == [b"a"]


async def test_what_a_body_holds_is_given_back_when_it_breaks_off() -> None:
    given = Given()
    with pytest.raises(ValueError, match="cut"):
        await pour(Coming(told(b"a", fault=ValueError("cut")), given), Cup())
    assert given.times == 1


async def test_what_a_body_holds_is_given_back_when_its_taker_fails() -> None:
    given = Given()

    def take(_piece: bytes) -> bool:
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await pour(Coming(told(b"a"), given), take)
    assert given.times == 1


async def test_what_a_body_holds_is_given_back_when_nobody_listens_any_more() -> None:
    given = Given()

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    pouring = asyncio.ensure_future(pour(Coming(never(), given), Cup()))  # noqa: TID251 - a test's
    await asyncio.sleep(0)
    pouring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pouring
    assert given.times == 1


async def test_a_body_that_was_not_begun_is_given_back_when_it_is_closed() -> None:
    given = Given()
    await Coming(told(b"a"), given).aclose()
    assert given.times == 1
    await Coming(Bucket(b"a"), given).aclose()
    assert given.times == 2


async def test_a_body_that_is_iterated_is_given_back_at_its_end() -> None:
    given = Given()
    assert [piece async for piece in Coming(told(b"a", b"b"), given)] == [b"a", b"b"]
    assert given.times == 1

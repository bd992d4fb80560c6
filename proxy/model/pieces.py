"""Bodies that come in pieces, and how these are handed on.

There are two ways to hear such a body. Who iterates is woken for each piece. Who has it poured
names a function, and each piece is handed to that the moment it is there: from the backend's
connection to the client's nobody is woken in between. What a body is wrapped in should let it be
poured.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol

Take = Callable[[bytes], bool]
"""Takes a piece; whether it takes another at once. It must not wait; who pours hears its errors."""


class Pouring(Protocol):
    """A body that can be poured. An ``AsyncIterator`` of its pieces, too.

    Known by its method: asking whether a body is one costs more than a small body's whole way.
    """

    async def pour(self, take: Take) -> bool:
        """Hand pieces to ``take`` as they come, until it takes no more, or the end.

        May be cancelled, and called again for what follows: nothing is lost that was not taken.

        Returns whether there may be more; False at the end.

        Raises:
            Exception: what iterating raises, and what ``take`` does.
        """
        ...


async def pour(body: AsyncIterator[bytes], take: Take) -> bool:
    """As ``Pouring.pour``, of any body."""
    poured: Callable[[Take], Awaitable[bool]] | None = getattr(body, "pour", None)
    if poured is not None:
        return await poured(take)
    async for piece in body:
        if not take(piece):
            return True
    return False


class Coming:
    """A body that is still coming; what it holds is given back at its end, heard or not.

    Not a generator: closing one that nobody has begun to read runs none of its code.
    """

    __slots__ = ("_give_back", "_pieces")

    def __init__(self, pieces: AsyncIterator[bytes], give_back: Callable[[], None]) -> None:
        self._pieces = pieces
        self._give_back = give_back

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except BaseException:  # its end, its failure, or the reader's cancellation
            self._give_back()
            raise

    async def pour(self, take: Take) -> bool:
        try:
            more = await pour(self._pieces, take)
        except BaseException:
            self._give_back()
            raise
        if not more:
            self._give_back()
        return more

    async def aclose(self) -> None:
        self._give_back()
        if isinstance(self._pieces, AsyncGenerator):
            await self._pieces.aclose()

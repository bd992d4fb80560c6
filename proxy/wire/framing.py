"""Where a body ends: each way to tell that takes the framing off as the bytes come.

RFC 9112, section 6.3. However the bytes are packed, what is handed out is the same when put
together, and so is whether it has ended, is wrong, or is followed by more.
"""

from __future__ import annotations

from typing import Protocol


class Framing(Protocol):
    """Reads one body. Once it is over it is not fed again."""

    over: bool
    """Nothing that comes is part of the body: it is whole, or ``wrong``."""

    wrong: bool
    """The framing is malformed; all the content before that was handed out."""

    surplus: bool
    """Bytes came together with the body that lie behind its end."""

    @property
    def ends_with_connection(self) -> bool:
        """Whether it is the connection's end that is the body's, rather than cutting it off."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The content in ``data``, the bytes that come next; perhaps none."""
        ...


class Counted:
    """A body of ``length`` bytes, or none at all. Implements ``Framing``."""

    __slots__ = ("_left", "over", "surplus", "wrong")
    ends_with_connection = False

    def __init__(self, length: int) -> None:
        self._left = length
        self.over = length == 0
        self.wrong = self.surplus = False

    def feed(self, data: bytes) -> bytes:
        left = self._left = self._left - len(data)
        if left > 0:
            return data
        self.over = True
        if left == 0:
            return data
        self.surplus = True
        return data[:left]


class UntilClose:
    """A body that ends with its connection. Implements ``Framing``."""

    __slots__ = ("over", "surplus", "wrong")
    ends_with_connection = True

    def __init__(self) -> None:
        self.over = self.wrong = self.surplus = False

    def feed(self, data: bytes) -> bytes:
        return data

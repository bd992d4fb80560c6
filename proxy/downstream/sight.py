"""What a request is known by: its bytes, or all in it that an answer may depend on.

Requests that differ in less than that are one to the express lane. The steps go from what costs
least to find out to what most requests share: all bytes; what is left without fields that no answer
depends on, such as the ids of traces; and that with the body read as a document, as clients write
the members of one object in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp.http_parser import RawRequestMessage

from proxy.wire.strict_json import spelled_plainly

Fields = tuple[tuple[bytes, bytes], ...]
Key = bytes | tuple[str, str, Fields, bytes] | tuple[str, str, Fields, bytes, None]
"""All bytes of a request; or its method, its target, the fields that count, and its body; or these
with a plain spelling of the body, and None."""

# Fields that steer how a message is read and sent on. Some are inert to answers, none is to this.
# The length of the body is not among them: the body itself counts.
_OF_THE_WAY: Final = frozenset(
    {
        "connection", "expect", "host", "http2-settings", "keep-alive", "max-forwards",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "via",
    }
)  # fmt: skip
_MOST_NAMES: Final = 4096
_LONGEST_NAME: Final = 64


class Counting:
    """Which fields count, by their names as they are spelled.

    Args:
        ignores: whether no answer depends on a field, by its name in lower case.
    """

    __slots__ = ("_ignores", "_known")

    def __init__(self, ignores: Callable[[str], bool]) -> None:
        self._ignores = ignores
        self._known: dict[bytes, bool] = {}  # the same few come again and again

    def of(self, fields: Fields) -> Fields:
        """Those of ``fields`` that count, in order."""
        known, counted = self._known, []
        for field in fields:
            name = field[0]
            if (counts := known.get(name)) is None:
                counts = self._find_out(name)
            if counts:
                counted.append(field)
        return tuple(counted)

    def _find_out(self, name: bytes) -> bool:
        lower = name.decode("latin-1").lower()
        counts = lower in _OF_THE_WAY or not self._ignores(lower)
        if len(name) <= _LONGEST_NAME:
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            self._known[name] = counts
        return counts


class Sight:
    """One request as it came. What it is known by is worked out when it is asked for, once.

    Args:
        message: what it was parsed to.
        data: all of its bytes and nothing else.
        counting: which of its fields count.
    """

    __slots__ = ("_alike", "_counting", "_is_read", "_respelled", "data", "message")

    def __init__(self, message: RawRequestMessage, data: bytes, counting: Counting) -> None:
        self.message = message
        self.data = data
        self._counting = counting
        self._alike: tuple[str, str, Fields, bytes] | None = None
        self._respelled: Key | None = None
        self._is_read = False  # for that

    @property
    def alike(self) -> tuple[str, str, Fields, bytes]:
        """Equal for requests that differ in nothing an answer may depend on."""
        if self._alike is None:
            message = self.message
            fields = self._counting.of(message.raw_headers)
            body = self.data.partition(b"\r\n\r\n")[2]
            self._alike = message.method, message.path, fields, body
        return self._alike

    @property
    def respelled(self) -> Key | None:
        """As ``alike``, and for bodies that are one document in another spelling.

        None where that takes a longer look.
        """
        if not self._is_read:
            self._is_read = True
            method, target, fields, body = self.alike
            if (plain := spelled_plainly(body)) is not None:
                self._respelled = method, target, fields, plain, None
        return self._respelled

"""The words of batching: who asks, in whose company, and what he gets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from proxy.model.decision import HeadVerdict
from proxy.model.errors import BrokenReply
from proxy.model.message import Arrival, Head, Headers, Outbound, Request, Upstream
from proxy.model.query import Form, Query

# What is said of a whole body is not true of a part of it.
_OF_THE_BODY: Final = frozenset(
    {"etag", "content-md5", "digest", "content-digest", "repr-digest", "content-range"}
)

# Replies longer than this are taken apart and put together in a thread: a megabyte takes some
# 10 ms, in which nobody else would be answered.
LONG_BYTES: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much goes together, and for how long is waited.

    Args:
        wait_s: seconds that an input waits for others, at most.
        most: inputs of several requests in one call, given the model.
        most_bytes: of a call's body, if it is for several requests.
        reply_bytes: the longest reply that is read to be taken apart.
        total_bytes: of all such replies at a time.
        shun_s: seconds for which nothing is put together where a reply could not be taken apart.
        gathers: whether inputs of different requests go together at all.
    """

    wait_s: float = 0.005
    most: Callable[[str], int] = lambda _model: 64
    most_bytes: int = 1 * 2**20
    reply_bytes: int = 32 * 2**20
    total_bytes: int = 256 * 2**20
    shun_s: float = 60.0
    gathers: bool = True


class Counts:
    """What batchers did, as plain integers that only grow."""

    __slots__ = ("calls", "halved", "inputs", "odd")

    def __init__(self) -> None:
        self.inputs = 0  # asked for
        self.calls = 0  # that they were asked for in, those that were halved included
        self.halved = 0  # batches with an input in them that the backend refused
        self.odd = 0  # replies that could not be taken apart


class Held:
    """How many bytes of replies are held to be taken apart, by all calls together."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class Company:
    """The inputs of one request that are to be asked for: how many there are."""

    __slots__ = ("size",)

    def __init__(self, size: int = 1) -> None:
        self.size = size


class Asker(Protocol):
    """A question with one input."""

    @property
    def request(self) -> Request: ...

    @property
    def upstream(self) -> Upstream: ...

    @property
    def query(self) -> Query: ...

    @property
    def company(self) -> Company | None:
        """The request it is a part of; None if it is all of it."""
        ...

    @property
    def awaited(self) -> bool:
        """Whether a client waits for the answer."""
        ...

    def outbound(self) -> Outbound:
        """The request as it is sent upstream if this is asked alone."""
        ...

    def weigh(self, arrival: Arrival) -> tuple[HeadVerdict, Form | None]:
        """Who may have what is arriving."""
        ...


class Slice:
    """One input's share of a reply. Implements ``Arrival``."""

    def __init__(self, head: Head, body: bytes) -> None:
        self.head = Head(head.status, head.reason, head.headers.without(_OF_THE_BODY))
        self.body = body

    @property
    def length(self) -> int:
        return len(self.body)

    @property
    def delimited(self) -> bool:
        return True  # it was cut out of a whole body

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.body:
            yield self.body

    def close(self) -> None:
        pass  # it holds nothing


class Unsplit:
    """What a part of a request gets where only the request as a whole can be answered.

    Implements ``Arrival``, but there is nothing in it.
    """

    head = Head(HTTPStatus.BAD_GATEWAY, "Bad Gateway", Headers())
    length = None
    delimited = False

    async def chunks(self) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for piece in nothing:
            yield piece
        raise BrokenReply("The inputs of this request could not be asked for one by one.")

    def close(self) -> None:
        pass

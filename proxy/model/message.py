"""What crosses the wire: headers, requests, heads and replies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from proxy.model.outlet import Outlet


class Headers:
    """Header fields in the order and spelling they arrived in; names compare without case.

    Values are text that round-trips to the bytes received (UTF-8 with surrogate escapes).
    Immutable, and equal when their pairs are equal.
    """

    __slots__ = ("_index", "pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: tuple[tuple[str, str], ...] = tuple(pairs)
        self._index: dict[str, str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names in order, as they are spelled."""
        return tuple([name for name, _ in self.pairs])

    @property
    def values(self) -> Sequence[str]:
        """The values in order."""
        return [value for _, value in self.pairs]

    def get(self, name: str, default: str = "") -> str:
        """The value of ``name`` (given in lower case); repeated fields are joined by ``", "``.

        RFC 9110, section 5.3. Not for ``set-cookie``, which must not be joined: use ``all``.
        """
        return self.index().get(name, default)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of ``name`` (given in lower case), in order."""
        return tuple(value for key, value in self.pairs if key.lower() == name)

    def index(self) -> dict[str, str]:
        """Lower-case name to joined value. Do not change what this returns."""
        index = self._index
        if index is None:
            index = {}
            for name, value in self.pairs:
                lower = _LOWER.get(name) or _lower(name)
                index[lower] = f"{index[lower]}, {value}" if lower in index else value
            self._index = index
        return index

    def without(self, names: frozenset[str]) -> Headers:
        """These headers less the fields called ``names`` (lower case)."""
        return Headers(pair for pair in self.pairs if pair[0].lower() not in names)

    def plus(self, *pairs: tuple[str, str]) -> Headers:
        """These headers with ``pairs`` added at the end."""
        return Headers(self.pairs + pairs)

    def __contains__(self, name: str) -> bool:
        return name in self.index()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        # Values may be secrets; names never are.
        return f"Headers({', '.join(name for name, _ in self.pairs)})"


# The lower case of names met so far. The same few come again and again, and a text that was hashed
# before is not hashed anew. Names come from clients: these bounds keep them from filling memory.
_LOWER: dict[str, str] = {}
_MOST_NAMES: Final = 4096
_LONGEST_NAME: Final = 64


def _lower(name: str) -> str:
    lower = name.lower()
    if len(name) <= _LONGEST_NAME:
        if len(_LOWER) >= _MOST_NAMES:
            _LOWER.clear()
        _LOWER[name] = lower
    return lower


class Body(Protocol):
    """The body of a request, read whole or piece by piece; both may be called once, in turn."""

    @property
    def length(self) -> int | None:
        """Bytes declared by Content-Length; 0 when there is no body, None when chunked."""
        ...

    async def whole(self, limit: int) -> bytes | None:
        """All of it, or None if it is longer than ``limit`` bytes.

        After None nothing is lost: ``pieces`` still begins at the first byte.

        Raises:
            RequestError: it came too slowly, broke off, or was malformed.
        """
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """What has not been handed out yet, as it comes. Raises as ``whole`` does."""
        ...


class Request(NamedTuple):
    """A request as it came from downstream."""

    method: str
    path: str  # raw, as received: neither decoded nor normalised; begins with "/"
    query_string: str  # raw, without the "?"
    headers: Headers
    body: Body
    peer: str = ""  # the client's address
    scheme: str = "http"
    # What is told upstream in place of the trace context that came; (): that goes on as it is.
    trace: tuple[tuple[str, str], ...] = ()
    # Where the reply to it may be begun ahead of its task; None: nowhere. Who asks something else
    # on behalf of this request leaves it alone.
    outlet: Outlet | None = None

    @property
    def target(self) -> str:
        """Path and query string, in origin form (RFC 9112, section 3.2.1)."""
        return f"{self.path}?{self.query_string}" if self.query_string else self.path


class Head(NamedTuple):
    """Status line and end-to-end headers of a response; never Content-Length or framing."""

    status: int
    reason: str
    headers: Headers

    @property
    def media_type(self) -> str:
        """The media type in lower case without parameters, "" when absent."""
        return self.headers.get("content-type").partition(";")[0].strip().lower()


class Arrival(Protocol):
    """An upstream response whose head is here and whose body is still coming."""

    @property
    def head(self) -> Head: ...

    @property
    def length(self) -> int | None:
        """Bytes declared by Content-Length, or None."""
        ...

    @property
    def delimited(self) -> bool:
        """Whether it is told where the body ends, so that a body that was cut off is an error.

        A body that ends with its connection looks whole wherever it was cut.
        """
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body's bytes as they come, never empty pieces.

        Raises:
            UpstreamError: the body broke off or fell silent for too long.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; aborts it if the body was not read to its end. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Outbound:
    """A request as the proxy sends it upstream: hop-by-hop fields are gone, Via is there."""

    method: str
    path: str  # of the client; the upstream maps it to its own
    query_string: str
    headers: Headers
    body: bytes | Body
    caller: str = ""  # whose call it is; equal for calls of one caller, and no secret
    awaited: bool = True  # whether a client waits for it


@runtime_checkable
class Duplex(Protocol):
    """A connection that has left HTTP behind: bytes both ways (RFC 9110, section 7.8)."""

    @property
    def head(self) -> Head:
        """The 101 response, with the Connection, Upgrade and Sec-WebSocket fields it came with."""
        ...

    async def receive(self) -> bytes:
        """Some bytes from the upstream; b"" at its end. Raises UpstreamError when it breaks."""
        ...

    async def send(self, data: bytes) -> None:
        """Hand bytes to the upstream, waiting while it is slow. Raises UpstreamError."""
        ...

    def close(self) -> None:
        """End the connection at once. Idempotent."""
        ...


class Upstream(Protocol):
    """One backend, at a fixed origin."""

    @property
    def id(self) -> str:
        """What tells this backend from others in keys, logs and labels; holds no secrets."""
        ...

    async def send(self, outbound: Outbound) -> Arrival:
        """Send a request and wait for the head of its response.

        Raises:
            UpstreamError: see its subclasses; ConnectFailed and Overloaded promise that nothing
                was sent.
            RequestError: the client's body broke off while it was being passed on.
        """
        ...

    async def tunnel(self, outbound: Outbound) -> Duplex | Arrival:
        """Send an Upgrade request; a Duplex if the backend switches, else its plain response.

        Raises:
            UpstreamError: as ``send``.
        """
        ...


class Upstreams(Protocol):
    """All backends."""

    def route(self, path: str) -> Upstream | None:
        """The backend whose prefix is the longest that ``path`` begins with."""
        ...

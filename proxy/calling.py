"""A server, asked as its clients ask it: one question, heard to its end and measured.

What comes is counted and let go: an answer of any length takes no memory. Redirects are not
followed, cookies not kept, and no other proxy is asked, whatever the environment says.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

_CONNECT_S: Final = 10.0
_PIECE: Final = 64 * 1024  # bytes read at once
_FIELD: Final = 64 * 1024  # bytes of a header that a backend may send
_REFUSALS: Final = range(400, 500)
_OWN: Final = re.compile(r"\bsidecache;dur=(\d+(?:\.\d+)?)")
_AGAIN: Final = frozenset({408, 425, 429})  # of these: those that may fare better later


class Question(NamedTuple):
    """A request, whole."""

    method: str
    path: str  # raw, with its query string; begins with a slash
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Heard(NamedTuple):
    """What came, to its end."""

    status: int
    verdict: str  # X-Cache, in lower case; "" where no sidecache answered
    reason: str  # X-Cache-Reason
    stored: bool  # whether it is known to be stored by now
    head_s: float  # seconds until its head was there
    seconds: float  # until its end
    size: int  # bytes
    retry_after_s: float | None = None  # how long to wait before asking again, if that was said
    own_s: float | None = None  # of the time until the head, what sidecache says it took itself

    @property
    def ok(self) -> bool:
        """Whether it is an answer."""
        return self.status in range(200, 300)

    @property
    def final(self) -> bool:
        """Whether asking again would bring the same."""
        return self.ok or (self.status in _REFUSALS and self.status not in _AGAIN)


class Unheard(Exception):
    """No whole answer came: why, in a few words that hold nothing of what was asked."""


class Front:
    """Where clients come in; make it by ``opened``.

    Args:
        session: asks.
        url: the origin.
        headers: sent with every question; its own count more.
        clock: seconds, monotonic.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        clock: Callable[[], float] = time.perf_counter,
        wall: Callable[[], float],
    ) -> None:
        self.url = url
        self._session = session
        self._headers = tuple(headers)
        self._clock = clock
        self._wall = wall

    async def ask(self, question: Question) -> Heard:
        """What comes of ``question``. Raises Unheard."""
        began = self._clock()
        own = {name.lower() for name, _ in question.headers}
        headers = [each for each in self._headers if each[0].lower() not in own]
        url = URL(self.url + question.path, encoded=True)
        size = 0
        try:
            async with self._session.request(
                question.method,
                url,
                headers=[*headers, *question.headers],
                data=question.body or None,
                allow_redirects=False,
            ) as response:
                head_s = self._clock() - began
                async for piece in response.content.iter_chunked(_PIECE):
                    size += len(piece)
        except TimeoutError as error:
            raise Unheard("it took too long") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unheard(_why(error)) from error
        said = response.headers
        return Heard(
            response.status,
            said.get("X-Cache", "").lower(),
            said.get("X-Cache-Reason", ""),
            "; stored" in said.get("Cache-Status", ""),
            head_s,
            self._clock() - began,
            size,
            retry_after_s(said.get("Retry-After", ""), self._wall()),
            _own_s(said.get("Server-Timing", "")),
        )


@asynccontextmanager
async def opened(
    url: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    connections: int,
    timeout_s: float,
    wall: Callable[[], float],
) -> AsyncIterator[Front]:
    """The front at ``url``, with so many connections at most.

    Args:
        timeout_s: how long nothing may come.
        wall: seconds since 1970.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # nothing is read but its length
        trust_env=False,
        max_line_size=_FIELD,
        max_field_size=_FIELD,
        skip_auto_headers=("User-Agent", "Content-Type"),
    ) as session:
        yield Front(session, url, headers, wall=wall)


def origin_of(url: str) -> str:
    """``url`` less a slash at its end. Raises ValueError if it is not the URL of a server."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url}: give a URL, as http://127.0.0.1:8080")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{parts.scheme}://{parts.hostname}: give the origin alone")
    _ = parts.port  # which raises ValueError if it is none
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether ``url`` leads to this very machine, by its own word."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def retry_after_s(said: str, wall: float) -> float | None:
    """Seconds that ``Retry-After`` asks to wait (RFC 9110, section 10.2.3); None: nothing.

    Args:
        said: its value.
        wall: seconds since 1970, now.
    """
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - wall)
    except (ValueError, TypeError, OverflowError):
        return None


def _own_s(said: str) -> float | None:
    """What ``Server-Timing`` tells of the proxy, in seconds."""
    found = _OWN.search(said)
    return None if found is None else float(found[1]) / 1000


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or 'nobody is there'}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed"
    return type(error).__name__

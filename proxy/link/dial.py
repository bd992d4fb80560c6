"""How a connection to the server that takes writes is made: found, secured, logged in.

RESP 2 needs no greeting, and a narrow ACL would not allow one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from proxy.link.command import Word
from proxy.link.line import Address, ErrorReply, Line, packed
from proxy.link.place import Credentials, Place

# To read the system's authorities stops the loop for 20 to 50 ms; many lines may be made at once.
_TLS_KEPT_S: Final = 10.0
_PROBES: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}  # as the library's


class Dial:
    """Makes lines to one place, which is no cluster.

    Args:
        place: where to, and as whom.
        credentials: besides those of the place.
        address: where the server is at present. May raise anything.
        tls_kept_s: seconds until files of certificates are read anew.
    """

    def __init__(
        self,
        place: Place,
        credentials: Credentials,
        address: Callable[[], Awaitable[Address]],
        *,
        tls_kept_s: float = _TLS_KEPT_S,
    ) -> None:
        self._place = place
        self._credentials = credentials
        self._address = address
        self._tls_kept_s = tls_kept_s
        self._tls: ssl.SSLContext | None = None
        self._tls_read_at = 0.0  # on the loop's clock

    async def line(self) -> Line:
        """A line that is logged in. Raises all sorts; how long it takes is for others to bound."""
        address = await self._address()
        host, port = address
        tls = self._context() if self._place.tls else None
        loop = asyncio.get_running_loop()
        transport, line = await loop.create_connection(Line, host, port, ssl=tls)
        line.peer = address
        try:
            _keep_alive(transport.get_extra_info("socket"))
            await self._log_in(line)
        except BaseException:
            line.drop("not logged in")
            raise
        return line

    def _context(self) -> ssl.SSLContext:
        """Read anew now and then: certificates are replaced while the proxy runs."""
        now = asyncio.get_running_loop().time()
        if self._tls is not None and now - self._tls_read_at < self._tls_kept_s:
            return self._tls
        known = self._credentials
        tls = ssl.create_default_context(cafile=known.ca_file or None)
        if known.cert_file:
            tls.load_cert_chain(known.cert_file, known.key_file or None)
        self._tls, self._tls_read_at = tls, now
        return tls

    async def _log_in(self, line: Line) -> None:
        place = self._place
        words: list[Sequence[Word]] = []
        if place.username:
            words.append(("AUTH", place.username, place.password))
        elif place.password:
            words.append(("AUTH", place.password))
        if place.db:
            words.append(("SELECT", place.db))
        if not words:
            return
        login = _Login()
        line.ask(b"".join(map(packed, words)), len(words), login)
        for reply in await login.told:
            if isinstance(reply, ErrorReply):
                raise ConnectionError(str(reply))


def _keep_alive(opened: socket.socket) -> None:
    """Notice a server that is gone without a word, while nothing is asked, within 45 seconds."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, setting in _PROBES.items():
        if hasattr(socket, option):  # not on every system
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), setting)


class _Login:
    """Who asks while a line is not yet anybody's."""

    def __init__(self) -> None:
        self._replies: list[object] = []
        self.told: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()

    def replied(self, replies: Sequence[object], *, last: bool) -> None:
        self._replies += replies
        if last and not self.told.done():
            self.told.set_result(self._replies)

    def lost(self, why: str) -> None:
        if not self.told.done():
            self.told.set_exception(ConnectionError(why))

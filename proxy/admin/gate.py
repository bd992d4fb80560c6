"""Who may ask the operator's listener, told from the head of a request.

Three things stand between it and the web pages in an operator's browser. A request must name a host
that is ours, or a page could reach it by a name that was made to resolve to it. A browser tells
which site a request comes from, and only the listener's own pages may ask. And the token travels in
``Authorization``, which no page can send to another's listener without asking; cookies are not
looked at.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import hdrs, web

from proxy.admin.endpoint import Refused

_ATTEMPTS: Final = 20  # wrong tokens that one address may send in a row
_AGAIN_S: Final = 3.0  # after which it may send one more
_MOST_PEERS: Final = 1024
_UNGUESSED: Final = 16  # bytes of a token that nobody finds by trying, however often
_OWN_SITES: Final = frozenset({"same-origin", "none"})  # none: the user typed the address


class Gate:
    """Lets requests in, or says why not.

    Args:
        token: what callers must send as ``Authorization: Bearer``; None: nothing, which is only
            safe on a loopback address.
        allowed_hosts: further names the listener may be called by.
        clock: seconds, monotonic.
    """

    def __init__(
        self, token: str | None, allowed_hosts: Iterable[str], *, clock: Callable[[], float]
    ) -> None:
        self._authorization: bytes | None = None
        self._is_long = False
        self._own = {"localhost"}
        self._names: frozenset[str] = frozenset()
        self._failures = _Failures(clock)
        self.let_in(token, allowed_hosts)

    @property
    def wants_token(self) -> bool:
        """Whether callers must send one."""
        return self._authorization is not None

    def let_in(self, token: str | None, allowed_hosts: Iterable[str]) -> None:
        """Let in from now on who sends ``token``, and calls the listener by one of these names."""
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self._is_long = token is not None and len(token.encode()) >= _UNGUESSED
        self._names = frozenset(name.lower() for name in allowed_hosts)

    def add_own(self, host: str) -> None:
        """The listener is called ``host``, whatever else it may be called by."""
        self._own.add(host.lower())

    def check(self, request: web.Request, *, is_open: bool) -> None:
        """Return if ``request`` may be answered.

        Args:
            is_open: it asks for what all may know, so probes may use any address, and no token.

        Raises:
            Refused: 401, 403, 421 or 429.
        """
        if not self._is_called(request, by_any_address=is_open):
            raise Refused(421, "this is not the host you asked for")
        if is_open:
            return
        if not _from_own_page(request):
            raise Refused(403, "only pages of this listener may ask")
        if self._authorization is None:
            return
        peer = _network(request.remote or "")
        given = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
        is_right = hmac.compare_digest(given, self._authorization)
        # Many may share an address. One who guesses must not lock the others out; where guesses
        # can come to something, though, even the right one is not told until the time is over.
        if is_right and self._is_long:
            return
        if not self._failures.may_try(peer):
            raise Refused(429, f"too many wrong tokens from this address: wait {_AGAIN_S:g} s")
        if is_right:
            return
        if given:
            self._failures.add(peer)
        raise Refused(401, "send the admin token as Authorization: Bearer")

    def _is_called(self, request: web.Request, *, by_any_address: bool) -> bool:
        """Whether the Host is ours. Browsers always send one; probes in HTTP/1.0 need not."""
        host = request.headers.get(hdrs.HOST)
        if host is None:
            return True
        name = _without_port(host)
        if name in self._own or name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # No web page can have made up an address: rebinding needs a name.
        return by_any_address or address.is_loopback or name == _own_address(request)


class _Failures:
    """How many wrong tokens came from where lately; knows the latest ``_MOST_PEERS`` only."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()  # when all of an address is forgiven

    def may_try(self, peer: str) -> bool:
        return self._until.get(peer, 0.0) - self._clock() <= (_ATTEMPTS - 1) * _AGAIN_S

    def add(self, peer: str) -> None:
        now = self._clock()
        self._until[peer] = max(self._until.pop(peer, now), now) + _AGAIN_S
        if len(self._until) > _MOST_PEERS:
            self._until.popitem(last=False)


def _network(peer: str) -> str:
    """Who ``peer`` is: in IPv6 whoever has one address has 2**64 of them (RFC 6177)."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.version == 4 or address.ipv4_mapped is not None:  # noqa: PLR2004 - IPv4
        return peer
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def _from_own_page(request: web.Request) -> bool:
    """Whether no other site's page is behind it, as far as a browser tells (Fetch Metadata)."""
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITES:
        return False
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return True
    # What ends TLS in front of this listener changes the scheme, not the host.
    return origin.partition("://")[2].lower() == request.headers.get(hdrs.HOST, "").lower()


def _without_port(host: str) -> str:
    """The name or address in a Host header, in lower case and without brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _own_address(request: web.Request) -> str:
    """The address of ours that the client is connected to."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]) if name else ""

"""The connections to one backend: kept, bounded, and looked over before they are used again.

From aiohttp come the pool, the parser and the TLS; its session does not, as everything it adds is
wrong for a proxy and would have to be undone: it tries again by itself, follows redirects, keeps
cookies, invents header fields, merges those whose spelling differs and drops bytes that are not
UTF-8. Doing without it also takes a third off what a request costs (64 to 42 us of CPU on loopback,
1.5 KB up, 2 KB down).
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from time import monotonic

from aiohttp import (
    AddrInfoType,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorSSLError,
    ClientError,
    ClientRequest,
    ClientTimeout,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from proxy.model.errors import ConnectFailed, ConnectTimeout
from proxy.upstream.line import Line
from proxy.upstream.spec import UpstreamSpec

# Seconds of silence after which the kernel asks whether the other end still lives, in between, and
# how often. Middleboxes forget a connection after a minute or more; a dead host shows in 105 s.
_PROBES = {"TCP_KEEPIDLE": 45, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class Pool(TCPConnector):
    """The connections to one backend. With ``keep=False`` none is used twice.

    Made where an event loop runs; belongs to that loop.
    """

    def __init__(
        self,
        spec: UpstreamSpec,
        tls: ssl.SSLContext | None,
        resolver: AbstractResolver,
        *,
        keep: bool,
    ) -> None:
        super().__init__(
            limit=spec.max_connections,
            keepalive_timeout=spec.keepalive_s if keep else None,
            force_close=not keep,
            ssl=tls or True,
            resolver=resolver,
            ttl_dns_cache=spec.dns_ttl_s,
            socket_factory=_open_socket,
        )
        make: Callable[..., ResponseHandler] = Line
        self._factory = functools.partial(make, spec, loop=self._loop)
        # A pool is asked by request, of which it reads only where to go: always the same place.
        self._errand = ClientRequest(
            "GET", spec.origin, loop=self._loop, server_hostname=spec.server_name or None
        )
        self._place = self._errand.connection_key
        self._timeout = ClientTimeout(total=None, connect=spec.connect_timeout_s)

    def at_hand(self) -> tuple[Connection, Line] | None:
        """A kept connection fit for a request, without waiting; None: there is none.

        As ``take`` begins, but for the coroutines and the key that aiohttp makes anew each time.
        """
        idle = self._conns.get(self._place)
        while idle:
            line, since = idle.popleft()
            if not idle:
                del self._conns[self._place]
            kept_s = self._keepalive_timeout
            fresh = kept_s is None or monotonic() - since <= kept_s
            if fresh and isinstance(line, Line) and line.fit:
                self._acquired.add(line)
                return Connection(self, self._place, line, self._loop), line
            line.close()
        return None

    async def take(self, *, unused: bool = False) -> tuple[Connection, Line]:
        """A connection fit for a request; ``unused``: one that has carried none yet.

        Whoever takes it releases or closes it.

        Raises:
            ConnectFailed: there is none to be had.
            ConnectTimeout: not in time; all may be in use.
        """
        while True:
            connection = await self._connect()
            line = connection.protocol
            if not isinstance(line, Line):
                raise TypeError("this version of aiohttp makes its connections otherwise")
            if line.fit and not (unused and line.requests):
                return connection, line
            connection.close()
            if not line.requests:
                raise ConnectFailed("The connection to the backend was of no use from its start.")

    def retire(self) -> None:
        """Keep no connection from now on, and end those that are idle."""
        self._force_close = True
        for idle in self._conns.values():
            for line, _since in idle:
                line.close()
        self._conns.clear()

    async def _connect(self) -> Connection:
        if self.closed:
            raise _failed("the proxy is closing")
        try:
            return await self.connect(self._errand, [], self._timeout)
        except asyncio.CancelledError:
            # A pool that is closed cancels what others wait for, which is not to cancel them.
            task = asyncio.current_task()
            if task is None or task.cancelling() or not self.closed:
                raise
            raise _failed("the proxy is closing") from None
        except TimeoutError:
            limit = f"{self._timeout.connect:g} s, at most {self.limit} at once"
            raise ConnectTimeout(f"No connection to the backend in time ({limit}).") from None
        except ClientConnectorDNSError as fault:
            raise _failed("its name cannot be resolved", "dns_error") from fault
        except ClientConnectorCertificateError as fault:
            raise _failed("its certificate is not valid", "tls_certificate_error") from fault
        except ClientConnectorSSLError as fault:
            raise _failed("TLS failed", "tls_protocol_error") from fault
        except (ClientError, OSError) as fault:
            self.clear_dns_cache()  # it may have moved
            raise _failed(getattr(fault, "strerror", None) or type(fault).__name__) from fault


def _failed(why: str, token: str = ConnectFailed.token) -> ConnectFailed:
    fault = ConnectFailed(f"No connection to the backend: {why}.")
    fault.token = token
    return fault


def _open_socket(address: AddrInfoType) -> socket.socket:
    family, kind, proto, _, _ = address
    opened = socket.socket(family, kind, proto)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES.items():
        if hasattr(socket, option):  # not on every system
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened

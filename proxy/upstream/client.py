"""A backend spoken to in HTTP/1.1: send a request, get its response as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection

from proxy.model.errors import ConnectFailed, NoReply, UpstreamError
from proxy.model.message import Arrival, Body, Duplex, Outbound
from proxy.upstream.arrival import HttpArrival
from proxy.upstream.exchange import Exchange, StaleConnection
from proxy.upstream.head import SWITCHING_PROTOCOLS, RequestHead, ResponseHead
from proxy.upstream.line import Line
from proxy.upstream.mount import Mount
from proxy.upstream.pool import Pool
from proxy.upstream.resolver import Resolver
from proxy.upstream.spec import UpstreamSpec
from proxy.upstream.traffic import Traffic
from proxy.upstream.tunnel import HttpDuplex


class HttpUpstream:
    """One backend. Implements ``Upstream``.

    Belongs to the event loop it is first used on, where ``resolver`` is called to make one.
    ``close`` ends what is in the air.

    Args:
        traffic: where what comes of it is counted.

    Raises:
        ConfigError: a TLS file cannot be used.
    """

    def __init__(
        self,
        spec: UpstreamSpec,
        resolver: Callable[[], AbstractResolver] = Resolver,
        traffic: Traffic | None = None,
    ) -> None:
        self.mount = Mount(spec.prefix, spec.base_path, strip_prefix=spec.strip_prefix)
        self.traffic = traffic or Traffic()
        self._spec = spec
        self._tls = spec.tls_context()
        self._resolver = resolver
        self._request_head = RequestHead(spec)
        self._response_head = ResponseHead()
        self._kept: Pool | None = None
        self._single: Pool | None = None  # for tunnels, which never give a connection back
        self._exchanges: set[Exchange] = set()
        self._retired = False
        self._closed = False

    @property
    def id(self) -> str:
        return self._spec.id

    @property
    def url(self) -> str:
        """Where it is; no user, password or query is part of it."""
        return self._spec.url

    @property
    def max_connections(self) -> int:
        """How many connections may be in use."""
        return self._spec.max_connections

    @property
    def stale_retries(self) -> int:
        """Requests that were sent again because a kept connection had ended."""
        return self.traffic.stale_retries

    @property
    def in_use(self) -> int:
        """How many connections have a request, a response or a tunnel on them."""
        return len(self._exchanges)

    @property
    def is_full(self) -> bool:
        """Whether as many connections are in use as may be."""
        return self.in_use >= self._spec.max_connections

    async def send(self, outbound: Outbound) -> Arrival:
        began = monotonic()  # not the loop's time, which uvloop rounds to milliseconds
        body = _settled(outbound.body)
        head = self._head(outbound, body)
        try:
            try:
                arrival = await self._send(outbound, head, body)
            except StaleConnection:
                # RFC 9112, section 9.3.1: it ended while idle, as far as can be told, so the
                # backend has not begun. On a new connection that excuse is gone; after a timeout,
                # or a byte of a response, there never was one.
                if not (self._spec.retry_stale and isinstance(body, bytes)):
                    raise
                self.traffic.stale_retries += 1
                arrival = await self._send(outbound, head, body, unused=True)
        except UpstreamError as error:
            self.traffic.failed(error.token)
            raise
        self.traffic.answered(arrival.head.status, monotonic() - began)
        return arrival

    async def tunnel(self, outbound: Outbound) -> Duplex | Arrival:
        began = monotonic()
        try:
            opened = await self._tunnelled(outbound)
        except UpstreamError as error:
            self.traffic.failed(error.token)
            raise
        self.traffic.answered(opened.head.status, monotonic() - began)
        return opened

    def retire(self) -> None:
        """Keep no connection from now on: what is idle ends at once, the rest once it is free.

        Whoever still asks is answered as before.
        """
        self._retired = True
        if self._kept is not None:
            self._kept.retire()

    async def close(self) -> None:
        """End every connection at once; who still waits gets NoReply or BrokenReply."""
        self._closed = True
        for exchange in tuple(self._exchanges):
            exchange.abort(NoReply("The proxy is closing."))
        pools = [pool for pool in (self._kept, self._single) if pool is not None]
        await asyncio.gather(*(pool.close() for pool in pools))

    async def _tunnelled(self, outbound: Outbound) -> Duplex | Arrival:
        offered = outbound.headers.get("upgrade")
        body = _settled(outbound.body)
        head = self._head(outbound, body, upgrade=offered)
        if self._single is None:
            self._single = self._pool(keep=False)
        exchange = self._begin(*await self._single.take())
        try:
            exchange.ask(head, body, bodiless=False)
            response = await exchange.response(offered)
        except BaseException:
            exchange.abort(NoReply("The request was given up."))
            raise
        if response.head.status == SWITCHING_PROTOCOLS:
            return HttpDuplex(exchange, response)
        return HttpArrival(exchange, response, self._spec.idle_timeout_s, self.traffic)

    async def _send(
        self, outbound: Outbound, head: bytes, body: bytes | Body, *, unused: bool = False
    ) -> Arrival:
        if (pool := self._kept) is None:
            pool = self._kept = self._pool(keep=True)
        kept = None if unused else pool.at_hand()
        exchange = self._begin(*(kept or await pool.take(unused=unused)))
        try:
            exchange.ask(head, body, bodiless=outbound.method == "HEAD")
            response = await exchange.response()
        except BaseException:
            exchange.abort(NoReply("The request was given up."))
            raise
        return HttpArrival(exchange, response, self._spec.idle_timeout_s, self.traffic)

    def _pool(self, *, keep: bool) -> Pool:
        if self._closed:
            raise ConnectFailed("The proxy is closing.")
        return Pool(self._spec, self._tls, self._resolver(), keep=keep and not self._retired)

    def _begin(self, connection: Connection, line: Line) -> Exchange:
        over = self._exchanges.discard
        exchange = Exchange(connection, line, self._spec, self._response_head, over)
        self._exchanges.add(exchange)
        return exchange

    def _head(self, outbound: Outbound, body: bytes | Body, upgrade: str = "") -> bytes:
        length = len(body) if isinstance(body, bytes) else body.length
        target = self.mount.target(outbound.path, outbound.query_string)
        return self._request_head.write(outbound, target, length, upgrade)


def _settled(body: bytes | Body) -> bytes | Body:
    """``body``, as bytes if there is none: those can be sent twice."""
    return b"" if not isinstance(body, bytes) and body.length == 0 else body

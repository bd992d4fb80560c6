"""Past the cache: what is not the cache's business goes to the upstream and comes back as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.model.decision import Why
from proxy.model.errors import LoopDetected, UpstreamError
from proxy.model.message import (
    Arrival,
    Body,
    Duplex,
    Headers,
    Outbound,
    Request,
    Upstream,
    Upstreams,
)
from proxy.model.outcome import Fwd, Outcome, Reply, Verdict
from proxy.model.pieces import Coming
from proxy.reply import Replies
from proxy.wire.headers import passed_before

_REPEATABLE: Final = 64 * 2**10  # bytes; a longer body is not gathered first


class Passing:
    """Passes requests on.

    Args:
        headers: the fields to send upstream for a request that is passed on untouched.
        clock: seconds, monotonic.
        caller: who sent a request.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        replies: Replies,
        headers: Callable[[Request], Headers],
        clock: Callable[[], float],
        caller: Callable[[Request], str] = lambda _: "",
    ) -> None:
        self._upstreams = upstreams
        self._replies = replies
        self._headers = headers
        self._clock = clock
        self._caller = caller

    async def answer(self, request: Request, upstream: Upstream, began: float) -> Reply:
        """The reply to what no dialect has a name for. Raises RequestError."""
        return await self.on(
            request, upstream, await self.repeatable(request.body), Why.ROUTE, began
        )

    async def on(
        self, request: Request, upstream: Upstream, body: bytes | Body, why: Why, began: float
    ) -> Reply:
        """The upstream's own answer, streamed both ways and left alone."""
        asked = self._clock()
        try:
            arrival = await upstream.send(self._outbound(request, body))
        except UpstreamError as error:
            failed = Outcome(Verdict.ERROR, Why.UPSTREAM_ERROR, fwd=Fwd.BYPASS)
            return self._replies.fail(error, failed, began)
        waited_s = self._clock() - asked
        return self._relay(
            arrival, Outcome(Verdict.BYPASS, why, fwd=Fwd.BYPASS, upstream_s=waited_s), began
        )

    async def repeatable(self, body: Body) -> bytes | Body:
        """``body``, whole if it is short: should a kept connection have ended, it is sent again.

        Raises:
            RequestError: as ``Body.whole`` does.
        """
        if body.length is None or body.length > _REPEATABLE:
            return body
        whole = await body.whole(_REPEATABLE)
        return body if whole is None else whole

    async def tunnel(self, request: Request) -> Duplex | Reply:
        """The two-way connection an Upgrade request asks for, or the upstream's refusal."""
        began = self._clock()
        upstream = self._upstreams.route(request.path)
        if upstream is None or passed_before(request.headers, self._replies.name):
            return self.astray(upstream, began)
        outcome = Outcome(Verdict.BYPASS, Why.UPGRADE, fwd=Fwd.BYPASS)
        try:
            opened = await upstream.tunnel(self._outbound(request, b""))
        except UpstreamError as error:
            failed = outcome._replace(verdict=Verdict.ERROR, why=Why.UPSTREAM_ERROR)
            return self._replies.fail(error, failed, began)
        return opened if isinstance(opened, Duplex) else self._relay(opened, outcome, began)

    def astray(self, upstream: Upstream | None, began: float) -> Reply:
        """The reply to a request that no upstream serves, or that has been here before."""
        if upstream is None:
            outcome = Outcome(Verdict.ERROR, Why.BAD_REQUEST)
            detail = "No upstream serves this path; see `upstreams` in the configuration."
            return self._replies.refuse(404, "no_upstream", detail, outcome, began)
        error = LoopDetected("This request has been through this proxy before.")
        return self._replies.fail(error, Outcome(Verdict.ERROR, Why.LOOP), began)

    def _outbound(self, request: Request, body: bytes | Body) -> Outbound:
        headers, caller = self._headers(request), self._caller(request)
        return Outbound(request.method, request.path, request.query_string, headers, body, caller)

    def _relay(self, arrival: Arrival, outcome: Outcome, began: float) -> Reply:
        body = Coming(arrival.chunks(), arrival.close)
        return self._replies.write(arrival.head, body, outcome, began, length=arrival.length)

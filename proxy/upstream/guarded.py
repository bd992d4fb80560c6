"""A backend that is left alone while it cannot be reached."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from functools import partial

from proxy.breaker import Breaker
from proxy.model.errors import ConnectFailed, ConnectTimeout, Resting, UpstreamError
from proxy.model.message import Arrival, Duplex, Outbound
from proxy.upstream.client import HttpUpstream
from proxy.upstream.mount import Mount

log = logging.getLogger("sidecache.upstream")


class Silence(StrEnum):
    """How a backend can begin no response."""

    TIMEOUT = "timeout"  # no connection in time
    REFUSED = "refused"  # no connection at all, at once
    NO_REPLY = "no-reply"  # a connection, and then nothing, or nothing in time


def _silence(error: UpstreamError) -> Silence:
    if isinstance(error, ConnectTimeout):
        return Silence.TIMEOUT
    return Silence.REFUSED if isinstance(error, ConnectFailed) else Silence.NO_REPLY


class GuardedUpstream:
    """``inner`` behind a breaker. Implements ``Upstream``.

    While it is open, requests are refused at once, but for one in a while that finds out whether
    the backend is back. What is not ``counted`` says nothing, for or against it.

    Args:
        counted: which ways to begin no response are failures.
        statuses: which statuses are; one may be about one model or one caller only.
        failures: how many in a row open the breaker.
        probe_s: seconds between the requests that find out, on average.
        clock: seconds, monotonic.
        dice: evenly distributed in [0, 1).
    """

    def __init__(
        self,
        inner: HttpUpstream,
        *,
        failures: int,
        probe_s: float,
        counted: frozenset[Silence] = frozenset(Silence),
        statuses: frozenset[int],
        clock: Callable[[], float],
        dice: Callable[[], float],
    ) -> None:
        self.inner = inner
        self._counted = counted
        self._statuses = statuses
        self._breaker = Breaker(
            clock=clock,
            dice=dice,
            report=partial(_changed, inner.id),
            consecutive=failures,
            probe_s=probe_s,
        )

    @property
    def closed(self) -> bool:
        """Whether it is asked; else it is left alone."""
        return self._breaker.closed

    @property
    def refused(self) -> int:
        """Requests that were not sent, because it is left alone."""
        return self.inner.traffic.refused

    @property
    def id(self) -> str:
        return self.inner.id

    @property
    def mount(self) -> Mount:
        return self.inner.mount

    @property
    def in_use(self) -> int:
        return self.inner.in_use

    async def send(self, outbound: Outbound) -> Arrival:
        probing = self._let_through()
        try:
            arrival = await self.inner.send(outbound)
        except UpstreamError as error:
            self._failed(error)
            raise
        self._answered(arrival.head.status, probing=probing)
        return arrival

    async def tunnel(self, outbound: Outbound) -> Duplex | Arrival:
        probing = self._let_through()
        try:
            opened = await self.inner.tunnel(outbound)
        except UpstreamError as error:
            self._failed(error)
            raise
        self._answered(opened.head.status, probing=probing)
        return opened

    def retire(self) -> None:
        """As that of ``inner``."""
        self.inner.retire()

    async def close(self) -> None:
        """As that of ``inner``."""
        await self.inner.close()

    def _let_through(self) -> bool:
        """Whether this request finds out if the backend is back. Raises Resting."""
        if self._breaker.closed:
            return False
        if self._breaker.probe_due():
            return True
        self.inner.traffic.refused += 1
        raise Resting("The backend cannot be reached; it is tried again in a moment.")

    def _failed(self, error: UpstreamError) -> None:
        # Who found no room among those being answered has learned nothing of the backend.
        if isinstance(error, ConnectTimeout) and self.inner.is_full:
            return
        if _silence(error) in self._counted:
            self._breaker.failed(error.token)

    def _answered(self, status: int, *, probing: bool) -> None:
        if status in self._statuses:
            self._breaker.failed(f"status {status}")
        elif probing:
            self._breaker.recovered()
        else:
            self._breaker.succeeded()


def _changed(name: str, closed: bool, why: str) -> None:  # noqa: FBT001 - as a breaker reports
    if closed:
        log.info("the backend is back", extra={"upstream": name})
    else:
        log.warning("the backend is left alone", extra={"upstream": name, "why": why})

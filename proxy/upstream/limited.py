"""A backend behind the limiter: nobody asks it who has not been given a place."""

from __future__ import annotations

from collections.abc import AsyncIterator

from proxy.model.message import Arrival, Duplex, Head, Outbound
from proxy.model.pieces import Coming
from proxy.overload import Limiter, Place
from proxy.upstream.client import HttpUpstream
from proxy.upstream.guarded import GuardedUpstream
from proxy.upstream.mount import Mount


class LimitedUpstream:
    """``inner`` behind ``limiter``. Implements ``Upstream``.

    A call has its place until its response has ended, a tunnel until it is closed.

    Raises (both ways of asking):
        Overloaded: there is no place for it; nothing was sent, and ``inner`` knows nothing of it.
    """

    def __init__(self, inner: HttpUpstream | GuardedUpstream, limiter: Limiter) -> None:
        self.inner = inner
        self.mount: Mount = inner.mount
        self.id: str = inner.id
        self._limiter = limiter
        self._guarded = inner if isinstance(inner, GuardedUpstream) else None

    async def send(self, outbound: Outbound) -> Arrival:
        if self._is_left_alone:
            return await self.inner.send(outbound)
        limiter, caller = self._limiter, outbound.caller
        place = limiter.at_once(caller) or await limiter.enter(caller, waits=outbound.awaited)
        try:
            arrival = await self.inner.send(outbound)
        except BaseException:
            place.leave()
            raise
        place.answered(self.id)
        return _Placed(arrival, place)

    async def tunnel(self, outbound: Outbound) -> Duplex | Arrival:
        if self._is_left_alone:
            return await self.inner.tunnel(outbound)
        place = await self._limiter.enter(outbound.caller, waits=outbound.awaited)
        try:
            opened = await self.inner.tunnel(outbound)
        except BaseException:
            place.leave()
            raise
        if not isinstance(opened, Duplex):
            return _Placed(opened, place)
        place.last()
        return _PlacedDuplex(opened, place)

    @property
    def _is_left_alone(self) -> bool:
        """Whether asking is refused at once, but for one that finds out if the backend is back.

        Nobody has to wait for a place to be told so.
        """
        return self._guarded is not None and not self._guarded.closed


class _Placed:
    """``inner`` with the place that its call has. Implements ``Arrival``."""

    __slots__ = ("_inner", "_place", "delimited", "head", "length")

    def __init__(self, inner: Arrival, place: Place) -> None:
        self._inner = inner
        self._place = place
        self.head: Head = inner.head
        self.length: int | None = inner.length
        self.delimited: bool = inner.delimited

    def chunks(self) -> AsyncIterator[bytes]:
        # At its end ``inner`` has let go of its connection, so the place is free.
        return Coming(self._inner.chunks(), self.close)

    def close(self) -> None:
        self._inner.close()
        self._place.leave()


class _PlacedDuplex:
    """``inner`` with the place that its call has. Implements ``Duplex``."""

    __slots__ = ("_inner", "_place", "head")

    def __init__(self, inner: Duplex, place: Place) -> None:
        self._inner = inner
        self._place = place
        self.head: Head = inner.head

    async def receive(self) -> bytes:
        return await self._inner.receive()

    async def send(self, data: bytes) -> None:
        await self._inner.send(data)

    def close(self) -> None:
        self._inner.close()
        self._place.leave()

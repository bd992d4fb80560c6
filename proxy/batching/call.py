"""One call for many inputs, and what becomes of it: shared out, halved, or given up."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from enum import Enum
from http import HTTPStatus

from proxy.batching.likeness import put_together
from proxy.batching.words import LONG_BYTES, Asker, Held, Limits, Slice, Unsplit
from proxy.dialects.base import Divisible
from proxy.model.decision import GiveUp
from proxy.model.errors import BrokenReply, UpstreamError
from proxy.model.message import Arrival, Head
from proxy.model.query import Refusal
from proxy.policy import PASSING


class Waiting:
    """One input and who waits for its answer; None is the leave to ask for it alone."""

    __slots__ = ("alone", "answer", "asker", "call", "company", "request", "size")

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.answer: asyncio.Future[Arrival | None] = asyncio.get_running_loop().create_future()
        self.size = len(asker.query.forward)
        self.request = id(self if asker.company is None else asker.company)
        self.company = 1 if asker.company is None else asker.company.size
        self.call: Call | None = None
        self.alone = False  # it was sent alone at once

    def hear(self, arrival: Arrival | None) -> None:
        if not self.answer.done():
            self.answer.set_result(arrival)

    def fail(self, error: UpstreamError) -> None:
        if not self.answer.done():  # a copy: one error told to many would gather their tracebacks
            self.answer.set_exception(copy.copy(error))


Unit = list[Waiting]
"""The inputs of one request."""


class _Told(Enum):
    """What a call came to, as far as its inputs are concerned."""

    HEARD = "heard"  # each has an answer, or an error that is everybody's
    BLAMED = "blamed"  # the backend refused it, perhaps for one of them
    ODD = "odd"  # an answer that cannot be shared out


class Call:
    """Asks for all inputs of ``units``, and gives each its answer.

    Args:
        units: not one input alone.
        held: what all calls hold at this time.
        odd: told that replies such as this one cannot be shared out.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        dialect: Divisible,
        limits: Limits,
        held: Held,
        odd: Callable[[], None],
    ) -> None:
        self.asked = 0  # calls made
        self.halved = 0
        self.task: asyncio.Task[None] | None = None
        self._units = list(units)
        self._dialect = dialect
        self._limits = limits
        self._held = held
        self._odd = odd
        self._waiting = [each for unit in units for each in unit]
        for each in self._waiting:
            each.call = self

    def left(self) -> None:
        """Somebody waits no longer: with nobody left, it is called off."""
        if self.task is not None and all(each.answer.done() for each in self._waiting):
            self.task.cancel()

    def end(self) -> None:
        """Whoever still waits is told that nothing will come."""
        for each in self._waiting:
            each.fail(BrokenReply("The call was called off."))

    async def settle(self) -> None:
        """Ask, until everybody has an answer."""
        await self._settle(self._units)

    async def _settle(self, units: Sequence[Unit]) -> None:
        match await self._ask(units):
            case _Told.BLAMED if len(units) > 1:
                self.halved += 1
                await self._halve(units)
            case _Told.ODD if len(units) > 1:
                await self._one_by_one(units)
            case _Told.BLAMED | _Told.ODD:
                for each in units[0]:
                    each.hear(Unsplit())
            case _Told.HEARD:
                pass

    async def _halve(self, units: Sequence[Unit]) -> None:
        """Find whom the backend refuses. Where that is not one alone, ask for each by itself.

        So a batch of which all is refused costs three calls more than asking one by one.
        """
        middle = len(units) // 2
        halves = (units[:middle], units[middle:])
        told = await asyncio.gather(*map(self._try, halves))
        blamed = [half for half, what in zip(halves, told, strict=True) if what is not _Told.HEARD]
        if len(blamed) == 1 and len(blamed[0]) > 1 and _Told.ODD not in told:
            await self._halve(blamed[0])
        else:
            for half in blamed:
                await self._one_by_one(half)

    async def _try(self, units: Sequence[Unit]) -> _Told:
        if len(units) == 1:
            await self._one_by_one(units)
            return _Told.HEARD
        return await self._ask(units)

    async def _one_by_one(self, units: Sequence[Unit]) -> None:
        """Ask for each request by itself, all at once."""
        for unit in units:
            if len(unit) == 1:
                unit[0].hear(None)
        await asyncio.gather(*(self._settle([unit]) for unit in units if len(unit) > 1))

    async def _ask(self, units: Sequence[Unit]) -> _Told:
        """Ask for all that somebody still waits for, and share out what comes."""
        waiting = [each for unit in units for each in unit if not each.answer.done()]
        if not waiting:
            return _Told.HEARD
        first = waiting[0].asker
        queries = [each.asker.query for each in waiting]
        awaited = any(each.asker.awaited for each in waiting)
        outbound = put_together(first.outbound(), self._dialect.batch(queries), awaited=awaited)
        self.asked += 1
        try:
            arrival = await first.upstream.send(outbound)
            # By its head alone: how long the parts are that are kept is not known yet.
            verdict, form = first.weigh(Slice(arrival.head, b""))
            body = await self._whole(arrival)
        except UpstreamError as error:
            for each in waiting:
                each.fail(error)
            return _Told.HEARD
        head = arrival.head
        if is_everybodys(head):
            for each in waiting:
                each.hear(Slice(head, body or b""))
            return _Told.HEARD
        if head.status >= HTTPStatus.BAD_REQUEST:
            return _Told.BLAMED
        if body is None or form is None or isinstance(verdict, GiveUp):
            self._odd()
            return _Told.ODD
        if len(body) > LONG_BYTES:
            slices = await asyncio.to_thread(self._dialect.split, body, queries)
        else:
            slices = self._dialect.split(body, queries)
        if isinstance(slices, Refusal):
            self._odd()
            return _Told.ODD
        for each, content in zip(waiting, slices, strict=True):
            each.hear(Slice(head, content))
        return _Told.HEARD

    async def _whole(self, arrival: Arrival) -> bytes | None:
        """All of a body; None if it is too long. Raises UpstreamError."""
        held, limits = self._held, self._limits
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in arrival.chunks():
                size += len(piece)
                held.size += len(piece)
                if size > limits.reply_bytes or held.size > limits.total_bytes:
                    return None
                pieces.append(piece)
        finally:
            held.size -= size
            arrival.close()
        return b"".join(pieces)


def is_everybodys(head: Head) -> bool:
    """Whether a response is an error that no input is to blame for."""
    return head.status >= HTTPStatus.INTERNAL_SERVER_ERROR or head.status in PASSING

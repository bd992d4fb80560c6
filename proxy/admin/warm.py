"""``POST /warm``: requests that are answered ahead of those who will ask.

They live the life of any request, and are recorded, counted and logged like any other: what they
cost is really spent. Only their answers go to nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

from pydantic import Field

from proxy.admin.described import Described
from proxy.admin.endpoint import Call, Endpoint, Nothing, Said, Shown, Told, endpoint
from proxy.explaining.draft import Draft
from proxy.explaining.sentences import tellable
from proxy.model.decision import Why
from proxy.model.errors import RequestError, UpstreamError
from proxy.model.message import Request
from proxy.model.outcome import Delivery, Outcome, Record, Reply, Verdict

log = logging.getLogger("sidecache.admin")


class Attendant(Protocol):
    """Who answers requests; ``under_way`` counts those that are with it."""

    under_way: int

    @property
    def answer(self) -> Callable[[Request], Awaitable[Reply]]:
        """The life of a request. Raises RequestError."""
        ...


_MOST: Final = 100  # requests in one call
_AT_ONCE: Final = 16  # of all calls together
_EACH_S: Final = 120.0  # that a request may take
_ALL_S: Final = 600.0  # after which a call begins no more of them
_MOST_BYTES: Final = 64 * 2**20  # of an answer; what is longer is not kept anyway
_GONE_STATUS: Final = 499  # for records only, as for clients that hang up
_BUG_STATUS: Final = 500
_CUT: Final = "too-long"
_LATE: Final = "timeout"


class Wanted(Said):
    """What is to be asked."""

    requests: list[Described] = Field(min_length=1, max_length=_MOST)
    concurrency: int = Field(default=4, ge=1, le=_AT_ONCE, description="How many at a time.")


class Warmed(Shown):
    """What became of one."""

    status: int | None = Field(description="Of the answer; null: there was none.")
    outcome: str | None = Field(description="What X-Cache says, in lower case.")
    reason: str | None
    detail: str
    stored: bool | None = Field(description="Whether it was stored by this; null: see outcome.")
    key: str | None
    duration_s: float
    error: str | None = Field(description="Why there is no whole answer.")


class AllWarmed(Shown):
    """All of them, in order."""

    results: list[Warmed]


class Warm:
    """Answers it.

    Args:
        attending: who answers requests, now.
        record: told of every request once it is over.
        clock: seconds, monotonic.
        each_s: seconds that a request may take.
        all_s: seconds after which a call begins no more of them.
        most_bytes: of an answer; the rest of a longer one is not waited for.
    """

    def __init__(
        self,
        attending: Callable[[], Attendant],
        record: Callable[[Record], None],
        clock: Callable[[], float],
        *,
        each_s: float = _EACH_S,
        all_s: float = _ALL_S,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._attending = attending
        self._record = record
        self._clock = clock
        self._each_s = each_s
        self._all_s = all_s
        self._most_bytes = most_bytes
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.sent = 0  # requests; grows only

    @property
    def endpoint(self) -> Endpoint:
        """200, whatever became of each."""
        return endpoint(
            "POST",
            "/warm",
            self._answer,
            query=Nothing,
            body=Wanted,
            summary="Ask ahead of those who will",
            answers={200: AllWarmed},
        )

    async def _answer(self, asked: Call[Nothing, Wanted]) -> Told:
        peer = asked.request.remote or ""
        drafts = [each.draft(peer=peer) for each in asked.body.requests]
        until = self._clock() + self._all_s
        results: list[Warmed | None] = [None] * len(drafts)

        async def work(waiting: Iterator[tuple[int, Draft]]) -> None:
            for at, draft in waiting:
                if self._clock() >= until:
                    results[at] = _none(_LATE, 0.0)
                    continue
                async with self._room:
                    results[at] = await self._warm(draft)

        waiting = iter(enumerate(drafts))
        await asyncio.gather(*(work(waiting) for _ in range(asked.body.concurrency)))
        return Told(AllWarmed(results=[each for each in results if each is not None]))

    async def _warm(self, draft: Draft) -> Warmed:
        """What becomes of one, which is recorded. Raises nothing."""
        if draft.tunnel:
            return _none(Why.UPGRADE, 0.0)
        self.sent += 1
        began = self._clock()
        heard = _Heard()
        attending = self._attending()
        attending.under_way += 1
        try:
            async with asyncio.timeout(self._each_s):
                heard.reply = await attending.answer(draft.request)
                await self._hear(heard, heard.reply)
        except TimeoutError:
            heard.error = _LATE
        except (UpstreamError, RequestError) as broken:
            heard.error = type(broken).__name__
        except Exception as bug:  # the root of what stands for a connection
            heard.error = type(bug).__name__
            log.exception("a request that was to warm the cache failed in a way nobody foresaw")
        finally:
            await heard.let_go()
            attending.under_way -= 1
        took_s = self._clock() - began
        status, outcome = heard.told()
        delivery = Delivery(status, heard.sent, not heard.error, took_s, heard.error)
        self._record(Record(draft.request, outcome, delivery))
        if heard.reply is None:
            return _none(heard.error, took_s)
        return Warmed(
            status=status,
            outcome=outcome.verdict.value.lower(),
            reason=outcome.why.value,
            detail=tellable(outcome.detail),
            stored=outcome.stored,
            key=None if outcome.key is None else outcome.key.digest.hex(),
            duration_s=round(took_s, 6),
            error=heard.error or None,
        )

    async def _hear(self, heard: _Heard, reply: Reply) -> None:
        """Read a reply to its end, and keep nothing of it."""
        if isinstance(reply.body, bytes):
            heard.sent = len(reply.body)
            return
        async for piece in reply.body:
            heard.sent += len(piece)
            if heard.sent > self._most_bytes:
                heard.error = _CUT
                return


class _Heard:
    """What came of a request."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.sent = 0  # bytes of its body
        self.error = ""

    def told(self) -> tuple[int, Outcome]:
        """Its status and its outcome, as they are recorded."""
        reply = self.reply
        if reply is not None:
            final = reply.final
            return reply.head.status, reply.outcome if final is None else final(reply.outcome)
        if self.error == _LATE:  # as of a client that did not wait
            return _GONE_STATUS, Outcome(Verdict.ERROR, Why.CLIENT_GONE)
        return _BUG_STATUS, Outcome(Verdict.ERROR, Why.INTERNAL)

    async def let_go(self) -> None:
        """End a body that is coming, read or not."""
        if self.reply is not None and not isinstance(self.reply.body, bytes):
            close = getattr(self.reply.body, "aclose", None)
            if close is not None:
                await close()


def _none(error: str, took_s: float) -> Warmed:
    return Warmed(
        status=None, outcome=None, reason=None, detail="", stored=None, key=None,
        duration_s=round(took_s, 6), error=error,
    )  # fmt: skip

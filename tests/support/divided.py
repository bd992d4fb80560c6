"""Requests with several inputs, with an upstream cranked by hand and a clock turned by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from proxy.batching import Batcher, Limits
from proxy.degrading import Degrading
from proxy.dialects.negative import Negative
from proxy.dialects.openai_embeddings import openai_embeddings
from proxy.dialects.wishes import Wishes
from proxy.dividing import Dividing
from proxy.flight import Flights
from proxy.flight import Limits as FlightLimits
from proxy.key import KeyRules
from proxy.ledger import Ledger
from proxy.lifecycle import Bounds, Lifecycle
from proxy.model.meeting import Admit, Alone, Fleet, Meeting, Sought
from proxy.model.message import Head, Headers, Request
from proxy.model.outcome import Outcome, Reply
from proxy.passing import Passing
from proxy.policy import Policy, Terms
from proxy.question import Rooms
from proxy.reader import Reader
from proxy.reply import Replies
from proxy.tiers.admission import Admission
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder
from proxy.wire.crossing import OutboundFields
from support.cranked import Call, Clock, Crank, Given, settle

JSON = Head(200, "OK", Headers([("Content-Type", "application/json"), ("X-Request-Id", "r1")]))
STALE = Terms(ttl=100.0, jitter=0.0, stale_if_error=50.0, refresh_ahead=0.0)
AHEAD = Terms(ttl=100.0, jitter=0.0, stale_while_revalidate=50.0, refresh_ahead=0.0)


def reply(inputs: list[str], model: str = "m") -> bytes:
    data = [
        {"object": "embedding", "index": at, "embedding": [float(len(text)), 0.5]}
        for at, text in enumerate(inputs)
    ]
    count = sum(map(len, inputs))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return json.dumps({"object": "list", "data": data, "model": model, "usage": usage}).encode()


class Proxy:
    """A whole lifecycle with nothing real at its edges."""

    def __init__(
        self,
        terms: Terms,
        limits: FlightLimits,
        batching: Limits,
        fleet: Fleet | None,
        *,
        twice: bool,
    ) -> None:
        self.clock, self.crank = Clock(), Crank()
        self.bugs: list[BaseException] = []
        self.memory = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=self.clock)
        ladder = Ladder([self.memory], Ledger(), lambda _name, _error: None)
        self.flights = Flights(limits, clock=self.clock, report=self.bugs.append, fleet=fleet)
        keys = KeyRules(b"a secret of sixteen bytes")
        policy = Policy(terms, is_inert=keys.is_inert, negative=frozenset({404}))
        self.batcher = Batcher(
            keys.namespace_of, batching, clock=self.clock, report=self.bugs.append
        )
        rooms = Rooms(
            policy,
            ladder,
            OutboundFields(pseudonym="sidecache", accept_identity=True),
            self.clock,
            lambda: 0.0,
            Admission(3600.0, self.clock) if twice else None,
            batcher=self.batcher,
        )
        replies = Replies("sidecache", self.clock)
        passing = Passing(self.crank, replies, OutboundFields(pseudonym="sidecache"), self.clock)
        reader = Reader(keys, policy)
        wishes = Wishes(negative=Negative(frozenset({"model_not_found"})))
        dialects = [openai_embeddings(wishes)]
        self.lifecycle = Lifecycle(
            upstreams=self.crank,
            dialects=dialects,
            reader=reader,
            flights=self.flights,
            rooms=rooms,
            replies=replies,
            passing=passing,
            others=passing,
            degrading=Degrading(replies=replies, wall=lambda: 1e9),
            bounds=Bounds(),
            dividing=Dividing(dialects, reader, self.flights, replies, passing),
        )
        self.tasks: list[asyncio.Task[tuple[Reply, bytes]]] = []

    async def ask(self, inputs: Any, *headers: tuple[str, str]) -> asyncio.Task:
        """Ask, and let everything go as far as it can."""
        body = json.dumps({"model": "m", "input": inputs}).encode()
        fields = Headers([("Content-Type", "application/json"), *headers])
        request = Request("POST", "/v1/embeddings", "", fields, Given(body))
        task = asyncio.ensure_future(self._told(request))  # noqa: TID251 - a test's
        self.tasks.append(task)
        await settle()
        return task

    async def _told(self, request: Request) -> tuple[Reply, bytes]:
        reply = await self.lifecycle.answer(request)
        if isinstance(reply.body, bytes):
            return reply, reply.body
        return reply, b"".join([piece async for piece in reply.body])

    def inputs(self, number: int = -1) -> Any:
        """The inputs that a call of the upstream's asks for."""
        call = self.crank.calls[number].outbound
        assert call is not None
        assert isinstance(call.body, bytes)
        return json.loads(call.body)["input"]

    async def answer(self, number: int = -1, head: Head = JSON, body: bytes | None = None) -> Call:
        call, inputs = self.crank.calls[number], self.inputs(number)
        said = reply([inputs] if isinstance(inputs, str) else inputs) if body is None else body
        call.answer(head, len(said))
        call.send(said)
        call.end()
        await settle()
        return call

    async def stored(self, inputs: Any) -> Outcome:
        asked = await self.ask(inputs)
        await self.answer()
        outcome: Outcome = (await asked)[0].outcome
        assert outcome.stored
        return outcome

    @property
    def calls(self) -> int:
        return len(self.crank.calls)


@asynccontextmanager
async def proxied(
    terms: Terms | None = None,
    *,
    limits: FlightLimits | None = None,
    batching: Limits | None = None,
    fleet: Fleet | None = None,
    twice: bool = False,
) -> AsyncIterator[Proxy]:
    proxy = Proxy(
        terms or Terms(jitter=0.0, refresh_ahead=0.0),
        limits or FlightLimits(),
        batching or Limits(wait_s=0.0),
        fleet,
        twice=twice,
    )
    yield proxy
    for task in proxy.tasks:
        task.cancel()
    await asyncio.gather(*proxy.tasks, return_exceptions=True)
    await proxy.flights.close()
    await proxy.batcher.close()
    await settle()
    assert proxy.bugs == []
    assert len(proxy.flights) == 0
    assert proxy.batcher._gatherings == {}
    assert proxy.batcher._tasks == set()


def lengths(body: bytes) -> list[float]:
    return [each["embedding"][0] for each in json.loads(body)["data"]]


class OtherReplicas:
    """Meets as it is told to."""

    def __init__(self, *meetings: Meeting | Exception) -> None:
        self.meetings = list(meetings)

    async def meet(self, sought: Sought, admit: Admit) -> Meeting:
        met = self.meetings.pop(0) if self.meetings else Alone()
        if isinstance(met, Exception):
            raise met
        return met

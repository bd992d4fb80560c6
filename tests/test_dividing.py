"""Requests with several inputs, with an upstream cranked by hand and a clock turned by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.cranked import Call, Clock, Crank, Given, settle

from proxy.batching import Batcher, Limits, Slice, Unsplit
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
from proxy.model.decision import Why
from proxy.model.errors import BrokenReply, ConnectFailed, NoReply, RelayBroken
from proxy.model.meeting import Admit, Alone, Fleet, GivenUp, Meeting, Sought, Stored
from proxy.model.message import Head, Headers, Request
from proxy.model.outcome import Fwd, Outcome, Reply, Verdict
from proxy.passing import Passing
from proxy.policy import Policy, Terms
from proxy.question import Rooms
from proxy.reader import Reader
from proxy.reply import Replies
from proxy.tiers.admission import Admission
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder
from proxy.wire.headers import outbound

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
            lambda r: outbound(r, pseudonym="sidecache", accept_identity=True),
            self.clock,
            lambda: 0.0,
            Admission(3600.0, self.clock) if twice else None,
            batcher=self.batcher,
        )
        replies = Replies("sidecache", self.clock)
        passing = Passing(
            self.crank, replies, lambda r: outbound(r, pseudonym="sidecache"), self.clock
        )
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


async def test_the_outcome_of_a_reply_whose_parts_are_partly_stored() -> None:
    async with proxied() as proxy:
        await proxy.stored(["a", "bb"])
        proxy.clock.turn(30.0)
        asked = await proxy.ask(["ccc", "bb", "ccc"])
        assert proxy.inputs() == ["ccc"]
        proxy.clock.turn(2.0)
        await proxy.answer()
        told, body = await asked

        assert lengths(body) == [3.0, 2.0, 3.0]
        assert json.loads(body)["usage"] == {"prompt_tokens": 8, "total_tokens": 8}
        outcome = told.outcome
        assert (outcome.verdict, outcome.why, outcome.fwd) == (
            Verdict.MISS,
            Why.UNSEEN,
            Fwd.PARTIAL,
        )
        assert outcome.detail == "parts:1/3"
        assert outcome.stored
        assert outcome.age_s == 32.0
        assert outcome.upstream_s == 2.0
        assert outcome.dialect == "openai_embeddings"


async def test_a_hit_is_as_old_as_its_oldest_part_and_as_fresh_as_that_which_ends_first() -> None:
    async with proxied(STALE) as proxy:
        await proxy.stored("a")
        proxy.clock.turn(30.0)
        await proxy.stored("bb")
        proxy.clock.turn(10.0)
        told, body = await (await proxy.ask(["bb", "a"]))

        assert lengths(body) == [2.0, 1.0]
        outcome = told.outcome
        assert (outcome.verdict, outcome.why, outcome.tier) == (
            Verdict.HIT,
            Why.FRESH,
            "l1_memory",
        )
        assert (outcome.age_s, outcome.ttl_s) == (40.0, 60.0)


async def test_stale_parts_are_served_and_renewed_in_one_call() -> None:
    async with proxied(AHEAD) as proxy:
        await proxy.stored(["a", "bb", "ccc"])
        proxy.clock.turn(110.0)
        anew = await proxy.ask("bb", ("Cache-Control", "no-cache"))
        await proxy.answer()
        assert (await anew)[0].outcome.stored
        told, _ = await (await proxy.ask(["a", "bb", "ccc"]))
        assert (told.outcome.verdict, told.outcome.why) == (Verdict.STALE, Why.SWR)
        await settle()
        assert proxy.inputs() == ["a", "ccc"]
        await proxy.answer()

        told, _ = await (await proxy.ask(["a", "bb", "ccc"]))
        assert (told.outcome.verdict, proxy.calls) == (Verdict.HIT, 3)


@pytest.mark.parametrize("fault", [Head(503, "", JSON.headers), NoReply("gone")])
async def test_stale_parts_stand_in_where_the_backend_fails(fault: Any) -> None:
    async with proxied(STALE) as proxy:
        await proxy.stored(["a", "bb"])
        proxy.clock.turn(120.0)
        asked = await proxy.ask(["a", "bb"])
        if isinstance(fault, Head):
            await proxy.answer(head=fault, body=b"{}")
        else:
            proxy.crank.calls[-1].fail(fault)
        told, body = await asked

        assert lengths(body) == [1.0, 2.0]
        assert (told.outcome.verdict, told.outcome.why) == (Verdict.STALE, Why.SIE)
        assert proxy.calls == 2


async def test_what_fails_without_a_stale_part_is_told_once() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        proxy.crank.calls[-1].fail(BrokenReply("It broke off."))
        told, _ = await asked
        assert (told.head.status, told.outcome.why) == (502, Why.UPSTREAM_ERROR)
        assert proxy.calls == 1

        asked = await proxy.ask(["a", "bb"])
        await proxy.answer(head=Head(500, "No", Headers()), body=b"sorry")
        told, body = await asked
        assert (told.head.status, body, told.outcome.detail) == (500, b"sorry", Why.STATUS)


async def test_where_no_connection_could_be_made_all_parts_are_asked_for_again() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        proxy.crank.calls[0].fail(ConnectFailed("refused"))
        await settle()
        assert proxy.inputs(1) == ["a", "bb"]
        await proxy.answer(1)
        assert lengths((await asked)[1]) == [1.0, 2.0]


async def test_a_stored_error_is_not_put_together_with_anything() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask("a")
        missing = b'{"error": {"code": "model_not_found"}}'
        await proxy.answer(head=Head(404, "No", JSON.headers), body=missing)
        assert (await asked)[0].outcome.stored
        asked = await proxy.ask(["a", "bb"])
        assert proxy.inputs() == ["a", "bb"]
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE


async def test_where_nothing_but_the_cache_is_wanted_nothing_is_passed_on() -> None:
    async with proxied() as proxy:
        await proxy.stored("a")
        asked = await proxy.ask("bb")
        await proxy.answer(body=reply(["bb"], model="m-2"))
        await asked
        told, _ = await (await proxy.ask(["a", "bb"], ("Cache-Control", "only-if-cached")))
        assert (told.head.status, told.outcome.why) == (504, Why.ONLY_IF_CACHED)
        assert proxy.calls == 2


async def test_a_refused_batch_is_stored_for_no_part() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        missing = b'{"error": {"code": "model_not_found"}}'
        await proxy.answer(head=Head(404, "No", JSON.headers), body=missing)
        assert proxy.inputs() == ["a", "bb"]
        await proxy.answer(head=Head(404, "No", JSON.headers), body=missing)
        told, body = await asked
        assert (told.outcome.verdict, body) == (Verdict.BYPASS, missing)
        assert proxy.memory.entries == 0


async def test_where_there_is_no_place_for_another_flight_the_request_goes_on_whole() -> None:
    async with proxied(limits=FlightLimits(flights=1)) as proxy:
        asked = await proxy.ask(["a", "bb"])
        (whole,) = (n for n in range(proxy.calls) if proxy.inputs(n) == ["a", "bb"])
        await proxy.answer(whole)
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE


async def test_what_only_may_not_be_stored_is_put_together_all_the_same() -> None:
    async with proxied(twice=True) as proxy:
        for stored in (False, True):
            asked = await proxy.ask(["a", "bb"])
            await proxy.answer()
            told, body = await asked
            assert lengths(body) == [1.0, 2.0]
            assert told.outcome.stored is stored
            if not stored:
                assert told.outcome.detail == Why.FIRST_SIGHTING


async def test_whoever_comes_late_hears_what_is_asked_for_already() -> None:
    async with proxied() as proxy:
        first = await proxy.ask(["a", "bb"])
        second = await proxy.ask(["bb", "a"])
        assert proxy.calls == 1
        await proxy.answer()
        (one, _), (other, body) = await first, await second
        assert (one.outcome.verdict, other.outcome.verdict) == (Verdict.MISS, Verdict.COALESCED)
        assert lengths(body) == [2.0, 1.0]
        assert "x-request-id" in one.head.headers
        assert "x-request-id" not in other.head.headers


async def test_an_answer_that_came_alone_and_is_none_is_not_put_together() -> None:
    async with proxied() as proxy:
        lone = await proxy.ask("a")
        both = await proxy.ask(["a", "bb"])
        assert proxy.inputs(1) == ["bb"]
        await proxy.answer(1)
        await proxy.answer(0, body=b'{"data": []}')
        assert (await lone)[1] == b'{"data": []}'
        assert proxy.inputs(2) == ["a", "bb"]
        await proxy.answer(2)
        told, body = await both
        assert (told.outcome.why, lengths(body)) == (Why.INDIVISIBLE, [1.0, 2.0])


class OtherReplicas:
    """Meets as it is told to."""

    def __init__(self, *meetings: Meeting | Exception) -> None:
        self.meetings = list(meetings)

    async def meet(self, sought: Sought, admit: Admit) -> Meeting:
        met = self.meetings.pop(0) if self.meetings else Alone()
        if isinstance(met, Exception):
            raise met
        return met


async def test_a_relay_that_breaks_off_has_the_request_go_on_whole() -> None:
    broken = RelayBroken("gone")
    async with proxied(fleet=OtherReplicas(broken, broken)) as proxy:
        asked = await proxy.ask(["a", "bb"])
        assert proxy.calls == 1
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE


async def test_a_part_that_another_replica_has_stored_is_waited_for_by_nobody() -> None:
    async with proxied(fleet=OtherReplicas(Stored(), GivenUp(Why.STATUS))) as proxy:
        asked = await proxy.ask(["a", "bb"])
        await settle()
        assert proxy.inputs() == ["a", "bb"]
        await proxy.answer()
        assert lengths((await asked)[1]) == [1.0, 2.0]


class Bringing(OtherReplicas):
    """Another replica has stored the answer to the first who meets it."""

    def __init__(self) -> None:
        super().__init__()
        self.bring: Callable[[], Awaitable[object]] | None = None

    async def meet(self, sought: Sought, admit: Admit) -> Meeting:
        if self.bring is None:
            return Alone()
        bring, self.bring = self.bring, None
        await bring()
        return Stored()


async def test_a_part_that_turns_up_elsewhere_is_not_asked_for() -> None:
    fleet = Bringing()
    async with proxied(Terms(ttl=100.0, jitter=0.0), fleet=fleet) as proxy:
        key = (await proxy.stored("a")).key
        assert key is not None
        kept = await proxy.memory.get(key)
        assert kept is not None
        await proxy.memory.clear()
        fleet.bring = lambda: proxy.memory.put(kept)
        asked = await proxy.ask(["a", "bb"])
        assert proxy.inputs() == ["bb"]
        await proxy.answer()
        told, body = await asked
        assert lengths(body) == [1.0, 2.0]
        assert told.outcome.detail == "parts:1/2"


async def test_a_part_whose_answer_is_for_another_caller_only_has_the_request_go_on_whole() -> None:
    async with proxied() as proxy:
        lone = await proxy.ask("a")
        both = await proxy.ask(["a", "bb"])
        await proxy.answer(1)
        personal = Head(200, "OK", JSON.headers.plus(("Set-Cookie", "session=1")))
        await proxy.answer(0, head=personal)
        assert lengths((await lone)[1]) == [1.0]
        assert proxy.inputs(2) == ["a", "bb"]
        await proxy.answer(2)
        assert (await both)[0].outcome.why is Why.INDIVISIBLE


async def test_an_error_about_the_caller_is_told_as_it_came() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer(head=Head(401, "No", JSON.headers), body=b"who?")
        told, body = await asked
        assert (told.head.status, body, proxy.calls) == (401, b"who?", 1)


async def test_what_cannot_be_asked_for_in_parts_is_an_empty_handed_arrival() -> None:
    unsplit = Unsplit()
    with pytest.raises(BrokenReply):
        await anext(aiter(unsplit.chunks()))
    unsplit.close()
    empty = Slice(JSON, b"")
    assert [piece async for piece in empty.chunks()] == []


async def test_without_a_batcher_the_request_goes_on_whole() -> None:
    async with proxied() as proxy:
        rooms = proxy.lifecycle._rooms
        proxy.lifecycle._rooms = Rooms(
            rooms.policy, rooms.ladder, rooms.outbound, rooms.clock, rooms.dice
        )
        asked = await proxy.ask(["a", "bb"])
        assert proxy.inputs() == ["a", "bb"]
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE


async def test_a_bug_is_reported_and_told_as_an_error() -> None:
    class Bug(Exception):
        pass

    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        proxy.crank.calls[0]._answered.set_exception(Bug())
        told, _ = await asked
        assert told.head.status == 502
        assert [type(bug) for bug in proxy.bugs] == [Bug]
        proxy.bugs.clear()


async def test_closing_ends_what_is_under_way() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        waiting = await proxy.ask(["ccc", "dddd"])
        assert proxy.calls in {1, 2}
        await proxy.batcher.close()
        await settle()
        told, _ = await asked
        assert told.head.status == 502
        waiting.cancel()


async def test_where_too_much_is_held_already_the_request_goes_on_whole() -> None:
    async with proxied(batching=Limits(wait_s=0.0, total_bytes=100)) as proxy:
        asked = await proxy.ask(["a" * 10, "b" * 20])
        await proxy.answer()
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE
        assert proxy.batcher._held.size == 0


async def test_what_was_shunned_is_tried_again_after_a_while() -> None:
    async with proxied(batching=Limits(wait_s=0.0, shun_s=60.0)) as proxy:
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer(body=reply(["a"]))
        await proxy.answer()
        await asked
        assert proxy.calls == 2
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE
        assert proxy.calls == 3
        proxy.clock.turn(61.0)
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer()
        assert (await asked)[0].outcome.stored
        assert proxy.batcher.odd == 1


async def test_one_answer_is_kept_of_an_input_however_many_are_wanted() -> None:
    several = ("X-Cache-Variants", "3")
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"], several)
        await proxy.answer()
        told, _ = await asked
        assert told.outcome.variant == 0
        hit, _ = await (await proxy.ask(["bb", "a"], several))
        assert (hit.outcome.verdict, hit.outcome.variant) == (Verdict.HIT, 0)


async def test_what_is_stored_of_one_part_never_stands_in_for_all() -> None:
    async with proxied(STALE) as proxy:
        await proxy.stored("a")
        proxy.clock.turn(120.0)
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer(head=Head(503, "No", JSON.headers), body=b"{}")
        told, body = await asked
        assert (told.head.status, body) == (503, b"{}")

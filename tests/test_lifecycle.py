"""The life of a request, with an upstream cranked by hand and a clock turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest
from support.cranked import Call, Clock, Crank, CrankedTier, Given, settle

from proxy.degrading import Degrading
from proxy.dialects.negative import Negative
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.wishes import Wishes
from proxy.flight import Flights
from proxy.flight import Limits as FlightLimits
from proxy.key import KeyRules
from proxy.ledger import Ledger
from proxy.lifecycle import Bounds, Lifecycle
from proxy.model.decision import Why
from proxy.model.errors import BrokenReply, ConnectFailed, FirstByteTimeout, RelayBroken, TierError
from proxy.model.meeting import Admit, Fleet, Leading, Meeting, Sought, Stored
from proxy.model.message import Head, Headers, Request
from proxy.model.outcome import Outcome, Reply, Verdict
from proxy.model.outlet import Draft
from proxy.model.purge import Kind, Purge
from proxy.passing import Passing
from proxy.policy import Policy, Terms
from proxy.question import Rooms
from proxy.reader import Reader
from proxy.reply import Replies
from proxy.tiers.admission import Admission
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder
from proxy.wire.crossing import OutboundFields

PATH = "/v1/chat/completions"
JSON = Head(200, "OK", Headers([("Content-Type", "application/json"), ("X-Request-Id", "r1")]))
SSE = Head(200, "OK", Headers([("Content-Type", "text/event-stream")]))
ANSWER = orjson.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Four."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
)


NOT_FOUND = Head(
    404,
    "No Such Model",
    Headers([("Content-Type", "application/json"), ("X-Request-Id", "r2"), ("X-Zone", "b")]),
)
NO_MODEL = (
    b'{ "error": {"message": "No m.", "type": "x", "param": null, "code": "model_not_found"}}'
)
EMPTY = ANSWER.replace(b"Four.", b"")


def _chunk(delta: dict, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps({**base, "choices": [choice]}) + b"\n\n"


STREAM = [
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"content": "Fo"}),
    _chunk({"content": "ur."}),
    _chunk({}, "stop"),
    b"data: [DONE]\n\n",
]


class Proxy:
    """A whole lifecycle with nothing real at its edges."""

    def __init__(
        self,
        terms: Terms,
        bounds: Bounds,
        limits: FlightLimits,
        tiers: list | None = None,
        *,
        twice: bool = False,
        fleet: Fleet | None = None,
    ) -> None:
        self.clock = Clock()
        self.crank = Crank()
        self.dice = 0.0
        self.bugs: list[BaseException] = []
        self.trouble: list[str] = []
        self.noted: list[tuple[str, int]] = []  # what was done, and after how many calls
        self.memory = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=self.clock)
        self.ledger = Ledger()
        self.ladder = Ladder(
            [self.memory] if tiers is None else tiers,
            self.ledger,
            lambda name, _error: self.trouble.append(name),
        )
        self.flights = Flights(limits, clock=self.clock, report=self.bugs.append, fleet=fleet)
        keys = KeyRules(b"a secret of sixteen bytes")
        policy = Policy(terms, is_inert=keys.is_inert, negative=frozenset({400, 404}))
        rooms = Rooms(
            policy,
            self.ladder,
            OutboundFields(pseudonym="sidecache", accept_identity=True),
            self.clock,
            lambda: self.dice,
            Admission(3600.0, self.clock) if twice else None,
            unheard=lambda *_: self.noted.append(("unheard", self.calls)),
        )
        replies = Replies("sidecache", self.clock)
        passing = Passing(self.crank, replies, OutboundFields(pseudonym="sidecache"), self.clock)
        self.lifecycle = Lifecycle(
            upstreams=self.crank,
            dialects=[
                OpenAIChat(Wishes(negative=Negative(frozenset({"model_not_found"}), empty=True)))
            ],
            reader=Reader(keys, policy, self._is_about_now),
            flights=self.flights,
            rooms=rooms,
            replies=replies,
            degrading=Degrading(replies=replies, wall=lambda: 1e9),
            passing=passing,
            others=passing,
            bounds=bounds,
        )
        self._tasks: set[asyncio.Task] = set()

    async def ask(
        self, text: str = "2+2?", *, path: str = PATH, method: str = "POST", **more
    ) -> Asked:
        """Send a chat request and let everything go as far as it can."""
        headers = [("Content-Type", "application/json"), *more.pop("headers", [])]
        outlet = more.pop("outlet", None)
        body = more.pop("raw", None) or orjson.dumps(
            {"model": "m", "messages": [{"role": "user", "content": text}], **more}
        )
        request = Request(method, path, "", Headers(headers), Given(body), outlet=outlet)
        task = asyncio.ensure_future(_deliver(self.lifecycle, request))  # noqa: TID251 - a test's
        self._tasks.add(task)
        await settle()
        return Asked(task)

    def call(self, number: int = -1) -> Call:
        return self.crank.calls[number]

    async def answer_json(self, body: bytes = ANSWER, head: Head = JSON) -> None:
        call = self.call()
        call.answer(head, len(body))
        call.send(body)
        call.end()
        await settle()

    async def stored(self, *, took: float = 0.0, head: Head = JSON, **more) -> None:
        """Have the default question answered and kept; ``took`` is seconds."""
        asked = await self.ask(**more)
        self.clock.turn(took)
        await self.answer_json(head=head)
        assert (await asked.reply()).outcome.stored

    @property
    def calls(self) -> int:
        return len(self.crank.calls)

    def _is_about_now(self, question: str) -> bool:
        self.noted.append(("judged", self.calls))
        return "now" in question


class Told:
    """An outlet; ``said`` is what was begun there, and with which times."""

    def __init__(self, *, gone: bool = False) -> None:
        self.said: list[tuple[Draft, str]] = []
        self.own: Callable[[], Outcome] | None = None
        self._gone = gone

    def draft(self, reply: Reply, body: bytes) -> Draft:
        told = reply.body if isinstance(reply.body, bytes) else body
        return Draft(reply, b"", told, len(told), told)

    def begin(self, draft: Draft, timing: str, own: Callable[[], Outcome]) -> bool:
        if not self._gone:
            self.said.append((draft, timing))
            self.own = own
        return not self._gone


class Slow:
    """A tier whose next lookup, once there is a ``gate``, tells what it found when that opens."""

    name = "slow"
    gate: asyncio.Event | None = None

    def __init__(self, inner: L1Memory) -> None:
        self.inner = inner

    async def get(self, key):
        found = await self.inner.get(key)
        if self.gate is not None:
            gate, self.gate = self.gate, None
            await gate.wait()
        return found

    async def put(self, entry):
        return await self.inner.put(entry)

    async def delete(self, key):
        await self.inner.delete(key)

    async def clear(self):
        await self.inner.clear()


class Asked:
    def __init__(self, task: asyncio.Task) -> None:
        self._task = task

    async def reply(self) -> Delivered:
        return await asyncio.wait_for(asyncio.shield(self._task), 5)

    @property
    def waiting(self) -> bool:
        return not self._task.done()

    def hang_up(self) -> None:
        self._task.cancel()


class Delivered:
    def __init__(self, reply: Reply, body: bytes) -> None:
        self.head, self.body, self.outcome = reply.head, body, reply.outcome
        self.final = reply.final(reply.outcome) if reply.final else reply.outcome

    @property
    def status(self) -> int:
        return self.head.status

    def __getitem__(self, name: str) -> str:
        return self.head.headers.get(name.lower())

    @property
    def cache(self) -> tuple[str, str]:
        return self["X-Cache"], self["X-Cache-Reason"]


async def _deliver(lifecycle: Lifecycle, request: Request) -> Delivered:
    reply = await lifecycle.answer(request)
    if isinstance(reply.body, bytes):
        return Delivered(reply, reply.body)
    try:
        return Delivered(reply, b"".join([piece async for piece in reply.body]))
    finally:
        await reply.body.aclose()


@asynccontextmanager
async def proxy(
    terms: Terms | None = None,
    bounds: Bounds | None = None,
    limits: FlightLimits | None = None,
    tiers: list | None = None,
    *,
    twice: bool = False,
    fleet: Fleet | None = None,
) -> AsyncIterator[Proxy]:
    built = Proxy(
        terms or Terms(jitter=0.0),
        bounds or Bounds(settle=5.0),
        limits or FlightLimits(),
        tiers,
        twice=twice,
        fleet=fleet,
    )
    yield built
    await settle()
    await built.flights.close()
    await settle()
    assert len(built.flights) == 0
    assert built.bugs == []


async def test_what_is_asked_is_looked_into_once_the_backend_has_been_asked() -> None:
    async with proxy(Terms(ttl=100.0, jitter=0.0)) as p:
        first = await p.ask("What time is it now?")
        assert p.noted == [("unheard", 1), ("judged", 1)]
        follower = await p.ask("What time is it now?")
        assert p.noted[2:] == [("unheard", 1)]
        await p.answer_json()
        for each in (first, follower):
            outcome = (await each.reply()).outcome
            assert (outcome.about_now, outcome.terms_ttl_s) == (True, 50.0)
        assert len(p.noted) == 3


async def test_memory_is_asked_once_where_nothing_has_landed_since() -> None:
    async with proxy() as p:
        await p.stored()
        assert p.memory.misses == 1
        await p.stored(text="3+3?")
        assert p.memory.misses == 2


async def test_who_has_to_ask_for_himself_is_heard_of_too() -> None:
    async with proxy(limits=FlightLimits(flights=0)) as p:
        asked = await p.ask()
        await p.answer_json()
        assert (await asked.reply())["X-Cache"] == "MISS"
        assert [what for what, _ in p.noted] == ["unheard", "judged"]


async def test_a_question_is_asked_once_and_answered_from_memory_ever_after():
    async with proxy() as p:
        first = await p.ask()
        await p.answer_json()
        miss = await first.reply()
        assert miss.cache == ("MISS", "uri-miss")
        assert miss["Cache-Status"] == "sidecache; fwd=uri-miss; stored; ttl=3600"
        p.clock.turn(10)
        hit = await (await p.ask()).reply()
        assert hit.cache == ("HIT", "fresh")
        assert hit["Cache-Status"] == "sidecache; hit; ttl=3590; detail=l1"
        assert hit["Age"] == "10"
        assert hit.body == miss.body == ANSWER
        assert p.calls == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_waits_is_told_at_his_outlet_and_has_the_rest_for_his_reply(streamed):
    async with proxy() as p:
        leading = Told()
        outlets = [Told() for _ in range(3)]
        await p.ask(stream=streamed, outlet=leading)
        asked = []
        for ttl, outlet in enumerate(outlets, 1):
            p.clock.turn(1.0)
            asked.append(await p.ask(stream=streamed, outlet=outlet, cache={"ttl": ttl}))
        p.clock.turn(1.0)
        call = p.call()
        call.answer(SSE if streamed else JSON)
        call.send(*(STREAM[:2] if streamed else [ANSWER]))
        await settle()
        p.clock.turn(0.5)
        own = [outlet.own() for outlet in outlets if outlet.own]  # before their tasks are woken
        call.send(*(STREAM[2:] if streamed else []))
        call.end()
        replies = [await each.reply() for each in asked]
        assert own == ([reply.outcome for reply in replies] if streamed else [])
        said = [outlet.said[0] for outlet in outlets]
        assert leading.said == []
        assert {id(draft) for draft, _ in said} == {id(said[0][0])}
        assert [timing for _, timing in said] == [
            f"sidecache;dur={0 if streamed else 500}.000, upstream;dur={waited}000.000"
            for waited in (3, 2, 1)
        ]
        whole = b"".join(STREAM) if streamed else ANSWER
        for (draft, _), reply, waited in zip(said, replies, (3.0, 2.0, 1.0), strict=True):
            assert reply.cache == ("COALESCED", "uri-miss")
            assert draft.after + (reply.body if streamed else b"") == whole
            assert reply.outcome.upstream_s == waited
            assert reply.outcome.laps.looked == 1004.0 - waited
            assert reply.final.stored
            assert reply.final.usage is not None or streamed
        for ttl, (outlet, reply) in enumerate(zip(outlets, replies, strict=True), 1):
            assert reply.outcome.controls.ttl == ttl
            assert outlet.own() == reply.outcome


async def test_who_could_not_be_told_at_his_outlet_has_it_all_for_his_reply():
    async with proxy() as p:
        await p.ask(stream=True)
        follower = await p.ask(stream=True, outlet=Told(gone=True))
        call = p.call()
        call.answer(SSE)
        call.send(*STREAM)
        call.end()
        reply = await follower.reply()
        assert reply.cache == ("COALESCED", "uri-miss")
        assert reply.body == b"".join(STREAM)


async def test_nobody_is_told_of_a_failure_in_place_of_which_there_may_be_something_else():
    async with proxy(Terms(ttl=5.0, stale_if_error=100.0, jitter=0.0)) as p:
        await p.stored()
        p.clock.turn(10)
        outlet = Told()
        first = await p.ask()
        follower = await p.ask(outlet=outlet)
        p.call().answer(Head(503, "No", Headers()))
        p.call().end()
        for each in (first, follower):
            reply = await each.reply()
            assert (reply.status, reply.body) == (200, ANSWER)
        assert outlet.said == []


async def test_what_belongs_to_one_delivery_is_not_replayed():
    async with proxy() as p:
        first = await p.ask()
        await p.answer_json()
        assert (await first.reply())["X-Request-Id"] == "r1"
        assert (await (await p.ask()).reply())["X-Request-Id"] == ""


async def test_the_upstream_gets_the_clients_own_bytes_and_credential():
    async with proxy() as p:
        raw = b'{ "messages":[{"content":"hi","role":"user"}],  "model":"m" }'
        await p.ask(raw=raw, headers=[("Authorization", "Bearer k")])
        sent = p.call().outbound
        assert sent.body == raw
        assert sent.headers.get("authorization") == "Bearer k"
        assert sent.headers.get("accept-encoding") == "identity"
        assert sent.headers.get("via") == "1.1 sidecache"


async def test_the_cache_object_of_a_body_is_obeyed_and_not_passed_on():
    async with proxy() as p:
        asked = await p.ask(cache={"ttl": 5})
        assert b"cache" not in p.call().outbound.body
        await p.answer_json()
        await asked.reply()
        p.clock.turn(6)
        await p.ask()
        assert p.calls == 2


async def test_callers_with_different_credentials_never_hear_each_others_answers():
    async with proxy() as p:
        await p.stored(headers=[("Authorization", "Bearer a")])
        other = await p.ask(headers=[("Authorization", "Bearer b")])
        assert other.waiting
        assert p.calls == 2


async def test_where_several_answers_are_kept_chance_draws_one():
    async with proxy() as p:
        several = {"headers": [("X-Cache-Variants", "2")]}
        for dice, verdict in ((0.0, "MISS"), (0.6, "MISS"), (0.4, "HIT"), (0.9, "HIT")):
            p.dice = dice
            asked = await p.ask(**several)
            if verdict == "MISS":
                await p.answer_json(ANSWER.replace(b"Four.", b"4" if dice else b"Four."))
            reply = await asked.reply()
            assert reply.outcome.verdict == verdict
            assert dict(reply.head.headers)["X-Cache-Variant"] == str(int(dice * 2) + 1)
            assert (b"Four." in reply.body) == (dice < 0.5)
        assert p.calls == 2
        p.dice = 0.6
        assert b"Four." in (await (await p.ask()).reply()).body  # the first is the question's own


async def test_identical_questions_at_once_are_one_call():
    async with proxy() as p:
        asked = [await p.ask() for _ in range(20)]
        await p.answer_json()
        replies = [await a.reply() for a in asked]
        assert p.calls == 1
        assert {reply.body for reply in replies} == {ANSWER}
        assert [r["X-Cache"] for r in replies] == ["MISS"] + ["COALESCED"] * 19
        assert "; collapsed" in replies[1]["Cache-Status"]


async def test_a_stream_is_passed_on_as_it_comes_and_replayed_to_the_byte():
    async with proxy() as p:
        first = await p.ask(stream=True)
        call = p.call()
        call.answer(SSE)
        call.send(*STREAM)
        call.end()
        reply = await first.reply()
        assert reply.body == b"".join(STREAM)
        assert reply["Cache-Status"] == "sidecache; fwd=uri-miss; detail=stream"
        again = await (await p.ask(stream=True)).reply()
        assert (again.cache, again.body) == (("HIT", "fresh"), b"".join(STREAM))


async def test_who_joins_a_stream_late_hears_it_from_its_first_byte():
    async with proxy() as p:
        first = await p.ask(stream=True)
        call = p.call()
        call.answer(SSE)
        call.send(*STREAM[:3])
        await settle()
        late = await p.ask(stream=True)
        call.send(*STREAM[3:])
        call.end()
        replies = [await first.reply(), await late.reply()]
        assert replies[0].body == replies[1].body == b"".join(STREAM)
        assert replies[1].cache == ("COALESCED", "joined")
        assert p.calls == 1


async def test_a_stored_document_answers_a_stream_and_keeps_its_counts():
    async with proxy() as p:
        await p.stored()
        reply = await (await p.ask(stream=True, stream_options={"include_usage": True})).reply()
        assert reply["X-Cache"] == "HIT"
        assert reply["Content-Type"].startswith("text/event-stream")
        assert reply.body.endswith(b"data: [DONE]\n\n")
        assert b'"total_tokens":7' in reply.body


async def test_a_stream_without_counts_does_not_answer_for_a_document():
    async with proxy() as p:
        first = await p.ask(stream=True)
        p.call().answer(SSE)
        p.call().send(*STREAM)
        p.call().end()
        await first.reply()
        document = await p.ask()
        await p.answer_json()
        reply = await document.reply()
        assert reply.cache == ("MISS", "form")
        assert reply.body == ANSWER
        assert (await (await p.ask(stream=True)).reply())["X-Cache"] == "HIT"


async def test_a_follower_who_wants_a_document_gets_it_once_the_stream_with_counts_is_whole():
    async with proxy() as p:
        await p.ask(stream=True, stream_options={"include_usage": True})
        document = await p.ask()
        call = p.call()
        call.answer(SSE)
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        counts = orjson.dumps({"id": "c1", "model": "m", "choices": [], "usage": usage})
        call.send(*STREAM[:4], b"data: " + counts + b"\n\n", STREAM[4])
        call.end()
        reply = await document.reply()
        assert orjson.loads(reply.body)["choices"][0]["message"]["content"] == "Four."
        assert orjson.loads(reply.body)["usage"]["total_tokens"] == 7
        assert p.calls == 1


async def test_a_stream_that_breaks_off_is_broken_for_its_hearers_and_never_stored():
    async with proxy() as p:
        first = await p.ask(stream=True)
        p.call().answer(SSE)
        p.call().send(STREAM[0])
        p.call().fail(BrokenReply("cut"))
        try:
            await first.reply()
        except BrokenReply:
            pass
        else:
            raise AssertionError("a cut stream ended cleanly")
        assert p.memory.entries == 0


async def test_who_has_been_sent_nothing_asks_for_himself_when_another_replica_breaks_off():
    async with proxy() as p:
        asked = await p.ask()
        p.call().answer(JSON)
        p.call().send(ANSWER[:5])
        p.call().fail(RelayBroken("the replica that asked fell silent"))
        await settle()
        p.call(1).answer(JSON)
        p.call(1).send(ANSWER)
        p.call(1).end()
        reply = await asked.reply()
        assert (reply.status, reply.body) == (200, ANSWER)
        assert p.calls == 2
        assert p.memory.entries == 0


async def test_a_stream_without_its_end_is_passed_on_and_not_stored():
    async with proxy() as p:
        first = await p.ask(stream=True)
        p.call().answer(SSE)
        p.call().send(*STREAM[:4])
        p.call().end()
        assert (await first.reply()).body == b"".join(STREAM[:4])
        assert (await p.ask(stream=True)).waiting
        assert p.calls == 2


async def test_the_reason_why_an_answer_was_not_stored_is_told():
    async with proxy() as p:
        asked = await p.ask()
        await p.answer_json(ANSWER.replace(b'"stop"', b'"length"'))
        reply = await asked.reply()
        assert reply["Cache-Status"] == "sidecache; fwd=uri-miss; detail=truncated"


async def test_errors_are_passed_on_to_all_who_wait_and_asked_again_by_the_next():
    async with proxy() as p:
        asked = [await p.ask() for _ in range(3)]
        limited = Head(429, "Too Many Requests", Headers([("Retry-After", "3")]))
        await p.answer_json(b'{"error":{}}', limited)
        replies = [await a.reply() for a in asked]
        assert [r.status for r in replies] == [429] * 3
        assert p.calls == 1
        await p.ask()
        assert p.calls == 2


async def test_an_error_that_would_come_again_is_kept_for_a_minute_as_it_was():
    async with proxy() as p:
        asked = await p.ask()
        await p.answer_json(NO_MODEL, NOT_FOUND)
        reply = await asked.reply()
        assert reply["Cache-Status"] == "sidecache; fwd=uri-miss; stored; ttl=60; detail=negative"
        p.clock.turn(59)
        for wish in ({}, {"stream": True}, {"stream": True, "stream_options": {}}):
            hit = await (await p.ask(**wish)).reply()
            assert (hit.status, hit.head.reason, hit.body) == (404, "No Such Model", NO_MODEL)
            assert hit.cache == ("HIT", "fresh")
            assert hit["Cache-Status"] == "sidecache; hit; ttl=1; detail=negative"
            assert (hit["X-Zone"], hit["X-Request-Id"], hit["Age"]) == ("b", "", "59")
        p.clock.turn(1)
        assert (await p.ask()).waiting
        assert p.calls == 2


async def test_an_error_that_is_kept_was_heard_by_all_who_waited_in_whatever_form():
    async with proxy() as p:
        asked = [await p.ask(stream=stream) for stream in (False, True, True)]
        await p.answer_json(NO_MODEL, NOT_FOUND)
        replies = [await each.reply() for each in asked]
        assert [(r.status, r.body) for r in replies] == [(404, NO_MODEL)] * 3
        assert [r["X-Cache"] for r in replies] == ["MISS", "COALESCED", "COALESCED"]
        assert replies[2]["Cache-Status"].endswith("; stored; collapsed; ttl=60; detail=negative")
        assert (await (await p.ask()).reply())["X-Cache"] == "HIT"
        assert p.calls == 1


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (400, [], NO_MODEL.replace(b"model_not_found", b"quota_of_the_day")),
        (404, [], b"<html>No such page</html>"),
        (404, [("Retry-After", "5")], NO_MODEL),
        (422, [], NO_MODEL),
        (401, [], NO_MODEL),
        (429, [], NO_MODEL),
        (500, [], NO_MODEL),
    ],
)
async def test_an_error_that_may_not_come_again_is_asked_for_again(status, headers, body):
    async with proxy() as p:
        asked = await p.ask()
        head = Head(status, "", Headers([("Content-Type", "application/json"), *headers]))
        await p.answer_json(body, head)
        reply = await asked.reply()
        assert reply.status == status
        assert reply["Cache-Status"] == "sidecache; fwd=uri-miss; detail=status"
        assert (await p.ask()).waiting
        assert p.calls == 2
        assert p.memory.entries == 0


async def test_an_answer_takes_the_place_of_an_error_at_once():
    far = CrankedTier("far")
    async with proxy(tiers=[CrankedTier("near"), far]) as p:
        asked = await p.ask()
        await p.answer_json(NO_MODEL, NOT_FOUND)
        await asked.reply()
        asked = await p.ask(headers=[("Cache-Control", "no-cache")])
        await p.answer_json()
        assert (await asked.reply()).body == ANSWER
        hit = await (await p.ask()).reply()
        assert (hit.status, hit.body, hit["X-Cache"]) == (200, ANSWER, "HIT")
        assert [entry.negative for entry in far.kept.values()] == [False]


async def test_an_error_takes_the_place_of_no_answer_that_may_still_be_served():
    terms = Terms(jitter=0.0, ttl=10, stale_if_error=100)
    async with proxy(terms) as p:
        await p.stored()
        for seconds, wish in ((5, [("Cache-Control", "no-cache")]), (45, []), (59, [])):
            p.clock.turn(seconds)
            asked = await p.ask(headers=wish)
            await p.answer_json(NO_MODEL, NOT_FOUND)
            reply = await asked.reply()
            assert reply.status == 404
            assert reply["Cache-Status"].endswith("; detail=superseded")
        asked = await p.ask()
        p.call().fail(FirstByteTimeout("silent"))
        assert (await asked.reply()).body == ANSWER
        p.clock.turn(1)
        asked = await p.ask()
        await p.answer_json(NO_MODEL, NOT_FOUND)
        assert (await asked.reply()).outcome.stored


async def test_an_answer_in_any_tier_is_safe_from_an_error():
    far = CrankedTier("far")
    async with proxy(tiers=[CrankedTier("near"), far]) as p:
        await p.stored()
        p.ladder._tiers[0].kept.clear()
        asked = await p.ask(headers=[("Cache-Control", "no-cache")])
        await p.answer_json(NO_MODEL, NOT_FOUND)
        assert (await asked.reply()).outcome.stored is False
        assert (await (await p.ask()).reply()).body == ANSWER


async def test_an_error_that_is_kept_nearer_hides_no_answer_from_another_error():
    near, far = CrankedTier("near"), CrankedTier("far")
    async with proxy(tiers=[near, far]) as p:
        await p.stored()
        ((digest, answer),) = far.kept.items()
        near.kept[digest] = replace(answer, body=NO_MODEL, head=NOT_FOUND, negative=True)
        asked = await p.ask(headers=[("Cache-Control", "no-cache")])
        await p.answer_json(NO_MODEL, NOT_FOUND)
        assert (await asked.reply()).outcome.stored is False
        assert far.kept == {digest: answer}
        assert (await (await p.ask()).reply()).body == ANSWER


async def test_an_answer_that_comes_while_an_error_is_about_to_be_kept_is_safe_from_it():
    near, far = CrankedTier("near"), CrankedTier("far")
    async with proxy(tiers=[near, far]) as p:
        await p.stored()
        (answer,) = near.kept.values()
        near.kept.clear()
        far.kept.clear()
        asked = await p.ask()
        with far.holding("get"):
            await p.answer_json(NO_MODEL, NOT_FOUND)
            near.kept[answer.key.digest] = answer
        assert (await asked.reply()).outcome.stored is False
        assert list(near.kept.values()) == [answer]


async def test_a_refresh_that_brings_an_error_has_failed():
    terms = Terms(jitter=0.0, ttl=10, stale_while_revalidate=100)
    for there in (True, False):
        async with proxy(terms) as p:
            await p.stored()
            p.clock.turn(20)
            assert (await (await p.ask()).reply()).cache == ("STALE", "swr")
            if not there:  # it was dropped to make room
                p.memory.clear_now()
            await p.answer_json(NO_MODEL, NOT_FOUND)
            assert p.flights.counts.refreshes_failed == 1
            reply = await (await p.ask()).reply()
            assert reply["X-Cache"] == ("STALE" if there else "HIT")
            assert reply.body == (ANSWER if there else NO_MODEL)
            assert p.calls == 2


async def test_an_error_is_never_stale_and_stands_in_for_no_failure():
    terms = Terms(jitter=0.0, stale_while_revalidate=100, stale_if_error=100)
    async with proxy(terms) as p:
        asked = await p.ask()
        await p.answer_json(NO_MODEL, NOT_FOUND)
        await asked.reply()
        p.clock.turn(61)
        asked = await p.ask(headers=[("Cache-Control", "max-stale")])
        p.call().fail(FirstByteTimeout("silent"))
        assert (await asked.reply()).status == 504


async def test_an_error_reaches_nobody_with_another_credential():
    async with proxy() as p:
        asked = await p.ask(headers=[("Authorization", "Bearer sk-a")])
        await p.answer_json(NO_MODEL, NOT_FOUND)
        await asked.reply()
        assert (await p.ask(headers=[("Authorization", "Bearer sk-b")])).waiting
        assert p.calls == 2


async def test_an_answer_that_says_nothing_is_kept_for_a_minute():
    async with proxy() as p:
        asked = await p.ask()
        await p.answer_json(EMPTY)
        reply = await asked.reply()
        assert reply["Cache-Status"] == "sidecache; fwd=uri-miss; stored; ttl=60; detail=negative"
        assert (await (await p.ask()).reply()).body == EMPTY
        stream = await (await p.ask(stream=True)).reply()
        assert stream["X-Cache"] == "HIT"
        assert stream.body.endswith(b"data: [DONE]\n\n")
        p.clock.turn(60)
        assert (await p.ask()).waiting


async def test_without_a_moment_to_keep_them_neither_errors_nor_empty_answers_are_kept():
    async with proxy(Terms(jitter=0.0, negative_ttl=0.0)) as p:
        for body, head, why in ((NO_MODEL, NOT_FOUND, "status"), (EMPTY, JSON, "empty")):
            asked = await p.ask()
            await p.answer_json(body, head)
            told = (await asked.reply())["Cache-Status"]
            assert told == f"sidecache; fwd=uri-miss; detail={why}"
        assert p.memory.entries == 0


async def test_an_answer_has_the_tags_of_the_backend_and_of_whoever_caused_it():
    async with proxy() as p:
        tagged = Head(200, "OK", JSON.headers.plus(("Cache-Tag", "doc:1, doc:2")))
        wish = {"headers": [("X-Cache-Tags", "book, doc:2")], "cache": {"tags": ["Body"]}}
        asked = await p.ask(**wish)
        follower = await p.ask(headers=[("X-Cache-Tags", "too late")])
        assert "x-cache-tags" not in p.call().outbound.headers
        assert b"tags" not in p.call().outbound.body
        await p.answer_json(head=tagged)
        hit = await p.ask(headers=[("X-Cache-Tags", "later still")])
        for each in (asked, follower, hit):
            reply = await each.reply()
            assert reply["Cache-Tag"] == "doc:1, doc:2"
            assert p.memory.get_now(reply.outcome.key).tags == ("doc:1", "doc:2", "book", "Body")
        assert p.calls == 1
        p.ledger.enter(Purge(Kind.TAG, "Body"), p.ledger.generation + 1, p.clock())
        assert (await p.ask()).waiting


async def test_an_answer_whose_tags_cannot_all_be_kept_is_not_kept():
    many = ", ".join(f"doc:{n}" for n in range(64))
    for theirs, ours, why in (
        ("x" * 257, "", "tags"),
        (many + ", doc:64", "", "tags"),
        (many, "one-more", "tags"),
        (many, "doc:7", ""),
    ):
        async with proxy() as p:
            asked = await p.ask(headers=[("X-Cache-Tags", ours)])
            await p.answer_json(head=Head(200, "OK", JSON.headers.plus(("Cache-Tag", theirs))))
            reply = await asked.reply()
            assert reply.outcome.stored is (not why)
            assert reply.outcome.detail == why
            assert reply["Cache-Tag"] == theirs


async def test_tags_of_a_caller_that_cannot_be_used_keep_his_request_out_of_the_cache():
    async with proxy() as p:
        asked = await p.ask(headers=[("X-Cache-Tags", "x" * 257)])
        await p.answer_json()
        assert (await asked.reply()).cache == ("BYPASS", "no-store")


async def test_an_upstream_that_cannot_be_reached_is_told_to_all_at_once():
    async with proxy() as p:
        asked = [await p.ask() for _ in range(3)]
        p.call().fail(ConnectFailed("connection refused"))
        await settle()
        p.call().fail(ConnectFailed("connection refused"))
        replies = [await a.reply() for a in asked]
        assert [r.status for r in replies] == [502] * 3
        assert [r["X-Cache"] for r in replies] == ["ERROR"] * 3
        assert p.calls == 2


async def test_a_stale_answer_stands_in_when_the_upstream_fails():
    terms = Terms(jitter=0.0, ttl=10, stale_if_error=100)
    async with proxy(terms) as p:
        await p.stored()
        p.clock.turn(50)
        asked = await p.ask()
        p.call().fail(FirstByteTimeout("silent"))
        reply = await asked.reply()
        assert reply.cache == ("STALE", "sie")
        assert reply["Cache-Status"] == "sidecache; fwd=stale; ttl=-40; detail=sie"
        asked = await p.ask()
        await p.answer_json(b"{}", Head(503, "Unavailable", Headers()))
        reply = await asked.reply()
        assert reply.body == ANSWER
        assert "fwd=stale; fwd-status=503; ttl=-40; detail=sie" in reply["Cache-Status"]


async def test_what_was_purged_while_the_upstream_was_asked_does_not_stand_in():
    terms = Terms(jitter=0.0, ttl=10, stale_if_error=100)
    for purge, cache in (
        (Purge(Kind.ALL), ("ERROR", "upstream-error")),
        (Purge(Kind.ALL, soft=True), ("STALE", "sie")),
    ):
        async with proxy(terms) as p:
            await p.stored()
            p.clock.turn(50)
            asked = await p.ask()
            p.ledger.enter(purge, 1, p.clock())
            p.call().fail(FirstByteTimeout("silent"))
            assert (await asked.reply()).cache == cache


async def test_what_has_become_too_old_while_the_upstream_was_asked_does_not_stand_in():
    terms = Terms(jitter=0.0, ttl=10, stale_if_error=100)
    async with proxy(terms) as p:
        await p.stored()
        p.clock.turn(50)
        asked = await p.ask()
        p.clock.turn(60)
        await p.answer_json(b"{}", Head(503, "Unavailable", Headers()))
        assert (await asked.reply()).status == 503


async def test_a_stale_answer_is_served_while_one_refresh_is_on_its_way():
    terms = Terms(jitter=0.0, ttl=10, stale_while_revalidate=100)
    async with proxy(terms) as p:
        await p.stored()
        p.clock.turn(20)
        for _ in range(3):
            reply = await (await p.ask()).reply()
            assert reply.cache == ("STALE", "swr")
        assert p.calls == 2
        await p.answer_json(ANSWER.replace(b"Four.", b"4."))
        fresh = await (await p.ask()).reply()
        assert fresh.cache == ("HIT", "fresh")
        assert b"4." in fresh.body


class Met:
    """A fleet in which nobody else is asking, or somebody has just stored the answer."""

    def __init__(self, *, stored: bool = False) -> None:
        self.over: list[bool] = []
        self._meeting = Stored() if stored else Leading(self.over.append)

    async def meet(self, sought: Sought, admit: Admit) -> Meeting:
        return self._meeting


async def test_a_refresh_finds_what_another_replica_has_refreshed():
    near, far, fleet = CrankedTier("near"), CrankedTier("far"), Met()
    terms = Terms(jitter=0.0, ttl=10, stale_while_revalidate=100)
    async with proxy(terms, tiers=[near, far], fleet=fleet) as p:
        await p.stored()
        ((digest, old),) = far.kept.items()
        p.clock.turn(20)
        far.kept[digest] = replace(old, body=old.body.replace(b"Four", b"4"), stored_at=p.clock())
        assert (await (await p.ask()).reply()).cache == ("STALE", "swr")
        fresh = await (await p.ask()).reply()
        assert fresh.cache == ("HIT", "fresh")
        assert b"4." in fresh.body
        assert p.calls == 1
        assert fleet.over == [True, True]


async def test_a_refresh_is_not_content_with_what_it_is_to_replace():
    near, far = CrankedTier("near"), CrankedTier("far")
    terms = Terms(jitter=0.0, ttl=10, stale_while_revalidate=100)
    async with proxy(terms, tiers=[near, far], fleet=Met()) as p:
        await p.stored()
        p.clock.turn(20)
        await (await p.ask()).reply()
        assert p.calls == 2


async def test_what_another_replica_has_stored_meanwhile_is_looked_for_everywhere():
    near, far = CrankedTier("near"), CrankedTier("far")
    async with proxy(tiers=[near, far]) as p:
        await p.stored()
    near.kept.clear()
    async with proxy(tiers=[near, far], fleet=Met(stored=True)) as p:
        with far.holding("get"):
            asked = await p.ask()  # it is found only by the second look, as the first fails
            far.failing.add("get")
        far.failing.clear()
        assert (await asked.reply()).cache == ("HIT", "fresh")
        assert p.calls == 0


async def test_no_cache_asks_again_and_replaces_what_was_stored():
    async with proxy() as p:
        await p.stored()
        asked = await p.ask(headers=[("Cache-Control", "no-cache")])
        await p.answer_json(ANSWER.replace(b"Four.", b"4."))
        reply = await asked.reply()
        assert reply["Cache-Status"] == "sidecache; fwd=request; stored; ttl=3600"
        assert b"4." in (await (await p.ask()).reply()).body


async def test_no_store_is_neither_answered_from_the_cache_nor_kept():
    async with proxy() as p:
        asked = await p.ask(headers=[("Cache-Control", "no-store")])
        await p.answer_json()
        assert (await asked.reply()).cache == ("BYPASS", "no-store")
        assert p.memory.entries == 0


async def test_only_if_cached_never_asks_the_upstream():
    async with proxy() as p:
        reply = await (await p.ask(headers=[("Cache-Control", "only-if-cached")])).reply()
        assert (reply.status, reply.cache) == (504, ("ERROR", "only-if-cached"))
        assert p.calls == 0
        await p.stored()
        reply = await (await p.ask(headers=[("Cache-Control", "only-if-cached")])).reply()
        assert reply["X-Cache"] == "HIT"


async def test_an_age_the_caller_will_not_accept_is_a_miss():
    async with proxy() as p:
        await p.stored()
        p.clock.turn(30)
        hit = await (await p.ask(headers=[("Cache-Control", "max-age=30")])).reply()
        assert hit["X-Cache"] == "HIT"
        await p.ask(headers=[("Cache-Control", "max-age=29")])
        assert p.calls == 2


async def test_a_lookup_that_answers_after_a_flight_landed_asks_nobody():
    """The flight's own look finds what landed since; a no-cache request is not answered so."""

    slow = Slow(L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=Clock()))
    async with proxy(tiers=[slow]) as p:
        slow.gate = gate = asyncio.Event()
        late = await p.ask()
        assert p.calls == 0
        await p.stored()
        gate.set()
        reply = await late.reply()
        assert reply["X-Cache"] == "HIT"
        assert p.calls == 1


async def test_what_cannot_be_shared_is_asked_for_by_each_and_remembered():
    private = Head(200, "OK", Headers([*JSON.headers, ("Set-Cookie", "session=1")]))
    async with proxy() as p:
        first, second = await p.ask(), await p.ask()
        await p.answer_json(head=private)
        reply = await first.reply()
        assert reply["Set-Cookie"] == "session=1"
        assert "detail=set-cookie" in reply["Cache-Status"]
        assert p.calls == 2
        await p.answer_json(ANSWER.replace(b"Four.", b"4."), private)
        other = await second.reply()
        assert b"4." in other.body
        assert "collapsed=?0; detail=give-up" in other["Cache-Status"]
        third = await p.ask()
        await p.answer_json(head=private)
        assert (await third.reply()).outcome.why is Why.HIT_FOR_MISS


async def test_other_routes_are_passed_on_in_both_directions():
    async with proxy() as p:
        asked = await p.ask(path="/v1/files", raw=b"any bytes at all" * 5000)
        call = p.call()
        assert isinstance(call.outbound.body, Given)
        call.answer(Head(201, "Created", Headers([("Location", "/v1/files/1")])))
        call.send(b"made")
        call.end()
        reply = await asked.reply()
        assert (reply.status, reply.body, reply.cache) == (201, b"made", ("BYPASS", "route"))


async def test_a_body_that_readers_may_read_differently_is_passed_on_byte_for_byte():
    async with proxy() as p:
        raw = b'{"model":"m","messages":[],"messages":[{"role":"user","content":"x"}]}'
        for number in range(2):
            asked = await p.ask(raw=raw)
            assert p.call().outbound.body == raw
            await p.answer_json()
            assert (await asked.reply()).cache == ("BYPASS", "unkeyable")
            assert p.calls == number + 1


async def test_a_body_too_large_to_hold_is_passed_on():
    async with proxy(bounds=Bounds(request_bytes=10)) as p:
        asked = await p.ask()
        await p.answer_json()
        assert (await asked.reply()).cache == ("BYPASS", "too-large")


async def test_a_tier_that_fails_is_a_miss_and_nobodys_error():
    class Broken:
        name = "broken"

        async def get(self, key):
            raise TierError("gone")

        put = delete = get

        async def clear(self):
            raise TierError("gone")

    async with proxy(tiers=[Broken()]) as p:
        asked = await p.ask()
        await p.answer_json()
        reply = await asked.reply()
        assert (reply.status, reply.body) == (200, ANSWER)
        assert not reply.outcome.stored
        assert set(p.trouble) == {"broken"}


async def test_what_was_asked_before_a_purge_is_not_stored_after_it():
    async with proxy() as p:
        asked = await p.ask()
        p.ledger.enter(Purge(Kind.ALL), 1, p.clock())
        second = await p.ask()
        assert p.calls == 2
        await p.answer_json()
        assert (await second.reply()).outcome.stored
        p.call(0).answer(JSON)
        p.call(0).send(ANSWER.replace(b"Four.", b"old"))
        p.call(0).end()
        assert not (await asked.reply()).outcome.stored
        assert (await (await p.ask()).reply()).body == ANSWER


async def test_a_request_that_was_here_before_is_refused():
    async with proxy() as p:
        reply = await (await p.ask(headers=[("Via", "1.1 sidecache")])).reply()
        assert reply.status == 508
        assert p.calls == 0


async def test_all_who_hang_up_end_the_call_after_a_moment():
    async with proxy(limits=FlightLimits(orphan_grace=0.0)) as p:
        asked = await p.ask()
        asked.hang_up()
        await settle()
        assert len(p.flights) == 0


async def test_a_reply_that_nobody_reads_gives_back_what_it_holds():
    async with proxy() as p:
        request_body = orjson.dumps({"model": "m", "messages": [], "stream": True})
        request = Request("POST", PATH, "", Headers(), Given(request_body))
        task = asyncio.ensure_future(p.lifecycle.answer(request))  # noqa: TID251 - a test's
        await settle()
        p.call().answer(Head(500, "Oops", Headers([("Content-Type", "text/event-stream")])))
        reply = await task
        assert not isinstance(reply.body, bytes)
        await reply.body.aclose()
        await settle()
        assert p.call().closed


async def test_a_replay_can_be_paced():
    async with proxy(bounds=Bounds(settle=5.0, replay_pause=0.001)) as p:
        await p.stored()
        reply = await (await p.ask(stream=True)).reply()
        assert reply.outcome.verdict is Verdict.HIT
        assert reply.body.count(b"data: ") >= 3


async def test_a_paced_replay_ends_with_all_that_came_after_the_last_event():
    async with proxy(bounds=Bounds(settle=5.0, replay_pause=0.001)) as p:
        asked = await p.ask(stream=True)
        p.call().answer(SSE)
        p.call().send(*STREAM, b": that was all\n")
        p.call().end()
        whole = (await asked.reply()).body
        reply = await (await p.ask(stream=True)).reply()
        assert reply.outcome.verdict is Verdict.HIT
        assert reply.body == whole


async def test_a_paced_stand_in_leaves_its_seat_on_the_flight_that_failed():
    terms = Terms(ttl=10, stale_if_error=60)
    async with proxy(terms=terms, bounds=Bounds(replay_pause=0.001)) as p:
        asked = await p.ask(stream=True)
        p.call().answer(SSE)
        p.call().send(*STREAM)
        p.call().end()
        assert (await asked.reply()).final.stored
        p.clock.turn(20)
        asked = await p.ask(stream=True)
        p.call().answer(Head(503, "Busy", Headers()))
        assert (await asked.reply()).outcome.verdict is Verdict.STALE
        await settle()
        assert p.call().closed
        assert len(p.flights) == 0


async def test_the_longest_wait_of_a_follower_ends_with_an_answer_of_its_own():
    limits = replace(FlightLimits(), wait_timeout=0.001)
    async with proxy(limits=limits) as p:
        await p.ask()
        follower = await p.ask()
        async with asyncio.timeout(10):
            while p.calls < 2:  # noqa: ASYNC110 - what is waited for happens on this very loop
                await asyncio.sleep(0)
        await p.answer_json()
        reply = await follower.reply()
        assert "collapsed=?0; detail=wait-timeout" in reply["Cache-Status"]


async def test_what_memory_declines_is_not_said_to_be_stored():
    async with proxy() as p:
        asked = await p.ask()
        await p.answer_json(ANSWER.replace(b"Four.", b"4" * 2**16))
        reply = await asked.reply()
        assert not reply.outcome.stored
        assert "stored" not in reply["Cache-Status"]


async def test_the_record_of_a_stream_tells_in_the_end_whether_it_was_stored():
    async with proxy() as p:
        whole, cut = await p.ask(stream=True), await p.ask("2+3?", stream=True)
        for call, events in ((p.call(0), STREAM), (p.call(1), STREAM[:-1])):
            call.answer(SSE)
            call.send(*events)
            call.end()
        assert (await whole.reply()).final.stored
        final = (await cut.reply()).final
        assert (final.stored, final.detail) == (False, Why.INCOMPLETE)


async def test_the_cause_of_an_error_is_recorded():
    async with proxy(limits=replace(FlightLimits(), elections=0)) as p:
        asked = await p.ask()
        error = ConnectFailed("no such name")
        error.token = "dns_error"
        p.call().fail(error)
        reply = await asked.reply()
        assert reply.outcome.detail == "dns_error"
        assert reply["Proxy-Status"] == "sidecache; error=dns_error"


async def test_a_followers_timing_is_of_his_own_waiting():
    async with proxy() as p:
        first = await p.ask()
        p.clock.turn(7)
        second = await p.ask()
        p.clock.turn(1)
        await p.answer_json()
        assert (await first.reply()).outcome.upstream_s == 8
        assert (await second.reply()).outcome.upstream_s == 1


async def test_who_wants_only_what_is_stored_causes_no_refresh():
    terms = Terms(jitter=0.0, ttl=10, stale_while_revalidate=100)
    async with proxy(terms) as p:
        await p.stored()
        p.clock.turn(20)
        reply = await (await p.ask(headers=[("Cache-Control", "only-if-cached")])).reply()
        assert reply.cache == ("STALE", "swr")
        assert p.calls == 1


async def test_a_client_is_told_not_to_ask_again_for_what_is_not_stored():
    async with proxy() as p:
        reply = await (await p.ask(headers=[("Cache-Control", "only-if-cached")])).reply()
        assert reply["X-Should-Retry"] == "false"


# -- renewed before it ends ---------------------------------------------------------------------

SLOW = 5.0  # seconds the backend takes
AHEAD = Terms(jitter=0.0, ttl=100.0)
NEW = ANSWER.replace(b"Four.", b"4.")


@asynccontextmanager
async def about_to_end(left: float, terms: Terms = AHEAD, **more) -> AsyncIterator[Proxy]:
    """A proxy that has an answer with ``left`` seconds of its life, and throws high."""
    async with proxy(terms, **more) as p:
        await p.stored(took=SLOW)
        p.clock.turn(terms.ttl - left)
        p.dice = 0.99  # 4.6 times as long as the backend took: 23 s
        yield p


async def test_an_answer_in_demand_is_renewed_once_shortly_before_it_ends():
    async with about_to_end(20) as p:
        for _ in range(5):
            reply = await (await p.ask()).reply()
            assert reply.cache == ("HIT", "fresh")
            assert reply["Cache-Status"] == "sidecache; hit; ttl=20; detail=refresh-ahead"
            assert reply["X-Cache-Tier"] == "l1_memory"
            assert reply.body == ANSWER
        assert p.calls == 2
        p.clock.turn(SLOW)
        await p.answer_json(NEW)
        reply = await (await p.ask()).reply()
        assert reply["Cache-Status"] == "sidecache; hit; ttl=100; detail=l1"
        assert reply.body == NEW
        assert p.calls == 2
        assert p.flights.counts.refreshes == 1


async def test_nothing_is_renewed_far_from_its_end_nor_by_a_low_throw_nor_where_that_is_off():
    async with about_to_end(30) as p:
        assert (await (await p.ask()).reply())["Cache-Status"].endswith("detail=l1")
        p.clock.turn(10)
        p.dice = 0.5
        await (await p.ask()).reply()
        assert p.calls == 1
    async with about_to_end(1, replace(AHEAD, refresh_ahead=0.0)) as p:
        await (await p.ask()).reply()
        assert p.calls == 1


async def test_a_renewal_that_fails_leaves_the_old_answer_to_its_end():
    async with about_to_end(20) as p:
        await (await p.ask()).reply()
        await p.answer_json(b'{"error":{}}', Head(500, "Oops", Headers()))
        for _ in range(3):
            reply = await (await p.ask()).reply()
            assert (reply.cache, reply.body) == (("HIT", "fresh"), ANSWER)
        assert p.calls == 2  # after a failure the key is left alone for a moment
        p.clock.turn(1.5)
        await (await p.ask()).reply()
        assert p.calls == 3
        p.call().fail(BrokenReply("cut"))
        await settle()
        p.clock.turn(18.4)
        assert (await (await p.ask()).reply()).body == ANSWER
        p.clock.turn(0.2)
        assert (await p.ask()).waiting


async def test_who_asks_for_a_new_answer_hears_the_renewal_that_is_on_its_way():
    async with about_to_end(20) as p:
        await (await p.ask()).reply()
        asked = await p.ask(headers=[("Cache-Control", "no-cache")])
        await p.answer_json(NEW)
        assert (await asked.reply()).body == NEW
        assert p.calls == 2


async def test_an_answer_that_ends_while_it_is_renewed_is_waited_for():
    async with about_to_end(20) as p:
        await (await p.ask()).reply()
        p.clock.turn(25)
        asked = await p.ask()
        assert asked.waiting
        await p.answer_json(NEW)
        assert (await asked.reply()).body == NEW
        assert p.calls == 2


async def test_there_is_one_refresh_whether_it_began_before_the_end_or_after():
    async with about_to_end(20, replace(AHEAD, stale_while_revalidate=60.0)) as p:
        await (await p.ask()).reply()
        p.clock.turn(25)
        reply = await (await p.ask()).reply()
        assert reply.cache == ("STALE", "swr")
        assert p.calls == 2
        await p.answer_json(NEW)
        assert (await (await p.ask()).reply()).body == NEW


async def test_nobody_is_kept_waiting_or_told_of_a_renewal_that_he_does_not_want():
    for wish in ("only-if-cached", "max-stale"):
        async with about_to_end(20) as p:
            reply = await (await p.ask(headers=[("Cache-Control", wish)])).reply()
            assert reply["Cache-Status"] == "sidecache; hit; ttl=20; detail=l1"
            assert p.calls == 1


async def test_an_answer_that_cannot_take_the_form_asked_for_is_asked_for_once():
    async with proxy(AHEAD) as p:
        asked = await p.ask(stream=True)
        p.clock.turn(SLOW)
        p.call().answer(SSE)
        p.call().send(*STREAM)
        p.call().end()
        assert (await asked.reply()).final.stored
        p.clock.turn(80)
        p.dice = 0.99
        asked = await p.ask()  # a document, which a stream without token counts cannot become
        await p.answer_json(NEW)
        assert (await asked.reply()).cache == ("MISS", "form")
        assert p.calls == 2
        assert p.flights.counts.refreshes == 0


async def test_what_a_refresh_finds_stored_since_is_not_asked_for_again():
    """A lookup that took long saw the old answer; meanwhile another's refresh has landed."""
    slow = Slow(L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=Clock()))
    async with about_to_end(20, tiers=[slow]) as p:
        slow.gate = gate = asyncio.Event()
        late = await p.ask()
        await (await p.ask()).reply()
        p.clock.turn(SLOW)
        await p.answer_json(NEW)
        gate.set()
        assert (await late.reply()).body == ANSWER
        await settle()
        assert p.flights.counts.refreshes == 2
        assert p.calls == 2
        assert (await (await p.ask()).reply()).body == NEW


# -- the age of what a backend gives a life ------------------------------------------------------


async def test_where_the_backends_word_counts_the_time_it_took_does_too():
    """RFC 9111, section 4.2.3: the delay of the response is part of its age."""
    told = Head(200, "OK", Headers([*JSON.headers, ("CDN-Cache-Control", "max-age=60")]))
    async with proxy() as p:
        await p.stored(took=20, head=told)
        reply = await (await p.ask()).reply()
        assert (reply["Age"], reply.outcome.ttl_s) == ("20", 40)
        p.clock.turn(40)
        assert (await p.ask()).waiting
    async with proxy() as p:
        asked = await p.ask()
        p.clock.turn(60)
        await p.answer_json(head=told)
        assert (await asked.reply()).outcome.detail == Why.EXPIRED


async def test_a_life_of_our_own_begins_when_the_answer_is_whole():
    async with proxy(Terms(jitter=0.0, ttl=10)) as p:
        await p.stored(took=60)
        reply = await (await p.ask()).reply()
        assert (reply["Age"], reply.outcome.ttl_s) == ("0", 10)


# -- only what is asked for twice is stored ------------------------------------------------------


async def test_what_is_asked_for_once_is_answered_and_not_stored_and_that_is_told():
    async with proxy(twice=True) as p:
        for stored in (False, True):
            asked = await p.ask()
            await p.answer_json()
            reply = await asked.reply()
            assert reply.body == ANSWER
            assert reply.cache == ("MISS", "uri-miss")
            assert reply.outcome.stored == stored
            assert ("detail=first-sighting" in reply["Cache-Status"]) != stored
        assert (await (await p.ask()).reply()).cache == ("HIT", "fresh")
        assert p.calls == 2


async def test_a_crowd_that_waits_for_one_answer_has_asked_more_than_once():
    async with proxy(twice=True) as p:
        crowd = [await p.ask() for _ in range(3)]
        await p.answer_json()
        assert {(await asked.reply()).outcome.stored for asked in crowd} == {True}
        assert (await (await p.ask()).reply()).cache == ("HIT", "fresh")
        assert p.calls == 1


async def test_a_crowd_that_asks_in_different_forms_is_one_call_all_the_same():
    async with proxy(twice=True) as p:
        document = await p.ask()
        stream = await p.ask(stream=True)
        await p.answer_json()
        assert (await document.reply()).body == ANSWER
        assert b"Four." in (await stream.reply()).body
        assert p.calls == 1


async def test_an_asker_of_another_scope_is_no_second_sighting():
    async with proxy(twice=True) as p:
        for caller in ("a", "b"):
            asked = await p.ask(headers=[("Authorization", f"Bearer {caller}")])
            await p.answer_json()
            assert (await asked.reply()).outcome.detail == "first-sighting"


async def test_what_has_been_stored_is_renewed_however_long_ago_it_was_asked_for():
    terms = Terms(jitter=0.0, ttl=10_000, stale_while_revalidate=100_000)
    async with proxy(terms, twice=True) as p:
        for _ in range(2):
            asked = await p.ask()
            await p.answer_json()
            await asked.reply()
        p.clock.turn(50_000)
        assert (await (await p.ask()).reply()).cache == ("STALE", "swr")
        await p.answer_json()
        assert (await (await p.ask()).reply()).cache == ("HIT", "fresh")
        p.clock.turn(50_000)
        asked = await p.ask(headers=[("Cache-Control", "no-cache")])
        await p.answer_json()
        assert (await asked.reply()).outcome.stored


async def test_who_wants_nothing_but_what_is_stored_has_not_asked():
    async with proxy(twice=True) as p:
        await (await p.ask(headers=[("Cache-Control", "only-if-cached")])).reply()
        asked = await p.ask()
        await p.answer_json()
        assert not (await asked.reply()).outcome.stored


async def test_who_has_to_ask_for_himself_is_given_the_stale_answer_if_that_fails():
    terms = Terms(jitter=0.0, ttl=10, stale_if_error=100)
    async with proxy(terms, limits=FlightLimits(flights=1)) as p:
        await p.stored()
        p.clock.turn(20)
        await p.ask("Another question?")
        mine = await p.ask()
        await p.answer_json(b"{}", Head(503, "No", JSON.headers))
        reply = await mine.reply()
        assert (reply.cache, reply.body) == (("STALE", "sie"), ANSWER)
        assert p.call().closed

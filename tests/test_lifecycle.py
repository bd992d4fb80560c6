"""The life of a request, with an upstream cranked by hand and a clock turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
from support.cranked import Call, Clock, Crank, Given, settle

from proxy.dialects.openai_chat import OpenAIChat
from proxy.flight import Flights
from proxy.flight import Limits as FlightLimits
from proxy.key import KeyRules
from proxy.lifecycle import Bounds, Lifecycle
from proxy.model.decision import Why
from proxy.model.errors import BrokenReply, ConnectFailed, FirstByteTimeout, TierError
from proxy.model.message import Head, Headers, Request
from proxy.model.outcome import Reply, Verdict
from proxy.policy import Policy, Terms
from proxy.question import Rooms
from proxy.reader import Reader
from proxy.reply import Replies
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder
from proxy.wire.headers import outbound

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
        self, terms: Terms, bounds: Bounds, limits: FlightLimits, tiers: list | None = None
    ) -> None:
        self.clock = Clock()
        self.crank = Crank()
        self.bugs: list[BaseException] = []
        self.trouble: list[str] = []
        self.memory = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=self.clock)
        self.ladder = Ladder(
            [self.memory] if tiers is None else tiers,
            lambda name, _error: self.trouble.append(name),
        )
        self.flights = Flights(limits, clock=self.clock, report=self.bugs.append)
        keys = KeyRules(b"a secret of sixteen bytes")
        policy = Policy(terms, is_inert=keys.is_inert)
        rooms = Rooms(
            policy,
            self.ladder,
            lambda r: outbound(r, pseudonym="sidecache", accept_identity=True),
            self.clock,
            lambda: 0.0,
        )
        self.lifecycle = Lifecycle(
            upstreams=self.crank,
            dialects=[OpenAIChat()],
            reader=Reader(keys, policy),
            flights=self.flights,
            rooms=rooms,
            replies=Replies("sidecache", self.clock),
            passing=lambda r: outbound(r, pseudonym="sidecache"),
            bounds=bounds,
        )
        self._tasks: set[asyncio.Task] = set()

    async def ask(
        self, text: str = "2+2?", *, path: str = PATH, method: str = "POST", **more
    ) -> Asked:
        """Send a chat request and let everything go as far as it can."""
        headers = [("Content-Type", "application/json"), *more.pop("headers", [])]
        body = more.pop("raw", None) or orjson.dumps(
            {"model": "m", "messages": [{"role": "user", "content": text}], **more}
        )
        request = Request(method, path, "", Headers(headers), Given(body))
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

    async def stored(self, **more) -> None:
        """Have the default question answered and kept."""
        asked = await self.ask(**more)
        await self.answer_json()
        assert (await asked.reply()).outcome.stored

    @property
    def calls(self) -> int:
        return len(self.crank.calls)


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
) -> AsyncIterator[Proxy]:
    built = Proxy(
        terms or Terms(jitter=0.0), bounds or Bounds(settle=5.0), limits or FlightLimits(), tiers
    )
    yield built
    await settle()
    await built.flights.close()
    await settle()
    assert len(built.flights) == 0
    assert built.bugs == []


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

    class Slow:
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

    clock = Clock()
    slow = Slow(L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=clock))
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
        await p.ladder.clear()
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

"""A hit that is given again: always what the life of a request would say at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import cycle
from typing import cast

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.cranked import Clock, Crank, Given, settle
from support.properties import unhurried
from support.raw_chat import DOCUMENT

from proxy.again import Again
from proxy.degrading import Degrading
from proxy.dialects.openai_chat import OpenAIChat
from proxy.flight import Flights, Limits
from proxy.key import KeyRules
from proxy.ledger import Ledger
from proxy.lifecycle import Bounds, Lifecycle
from proxy.model.decision import Hit, Why
from proxy.model.entry import Entry, Lifetime
from proxy.model.message import Head, Headers, Request
from proxy.model.outcome import Reply, Verdict
from proxy.model.purge import Kind, Purge
from proxy.passing import Passing
from proxy.policy import Policy, Terms
from proxy.question import Question, Rooms
from proxy.reader import Reader
from proxy.reply import Replies
from proxy.semantic.found import Sought
from proxy.semantic.meaning import Meaning
from proxy.semantic.words.text import Text
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder
from proxy.wire.crossing import OutboundFields

TTL_S = 64.0
TOOK_S = 4.0  # the backend, for each answer
HEAD = Head(200, "OK", Headers([("Content-Type", "application/json"), ("Cache-Tag", "doc:1")]))
PEER = "10.0.0.7"


class World:
    """A whole lifecycle with nothing real at its edges, and the last hit that may be given again.

    Args:
        dice: what they show, over and over.
        controls: what the caller asks of the cache.
    """

    def __init__(self, dice: Sequence[float] = (0.5,), controls: str = "") -> None:
        self.clock = Clock()
        self.crank = Crank()
        self.thrown = 0
        self.version = 0
        self.bugs: list[BaseException] = []
        self.again: Again | None = None
        self.dice = cycle(dice)
        self._answered = 0
        self.memory = L1Memory(max_bytes=2**20, max_entry_bytes=2**16, clock=self.clock)
        self.ledger = Ledger()
        self.ladder = Ladder([self.memory], self.ledger, lambda *_: None)
        self.flights = Flights(Limits(), clock=self.clock, report=self.bugs.append)
        keys = KeyRules(b"a secret of sixteen bytes")
        terms = Terms(ttl=TTL_S, stale_while_revalidate=10.0, jitter=0.0, refresh_ahead=1.0)
        policy = Policy(terms, is_inert=keys.is_inert)
        self.rooms = Rooms(policy, self.ladder, _outbound, self.clock, self._throw)
        replies = Replies("sidecache", self.clock)
        passing = Passing(self.crank, replies, _outbound, self.clock)
        self.lifecycle = Lifecycle(
            upstreams=self.crank,
            dialects=[OpenAIChat()],
            reader=Reader(keys, policy, edition=lambda: self.version),
            flights=self.flights,
            rooms=self.rooms,
            replies=replies,
            passing=passing,
            degrading=Degrading(replies=replies, wall=lambda: 1e9),
            others=passing,
            bounds=Bounds(settle=5.0),
        )
        fields = [("Content-Type", "application/json"), ("Host", "proxy")]
        if controls:
            fields.append(("Cache-Control", controls))
        self._headers = Headers(fields)

    def _throw(self) -> float:
        self.thrown += 1
        return next(self.dice)

    def request(self, peer: str = PEER) -> Request:
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "Why?"}]})
        path = "/v1/chat/completions"
        return Request("POST", path, "", self._headers, Given(body), peer, "http")

    async def ask(self) -> Reply:
        """The reply on the ordinary way; the backend answers whatever it is asked meanwhile."""
        asking = asyncio.ensure_future(self.lifecycle.answer(self.request()))  # noqa: TID251 - awaited
        await settle()
        await self.backend()
        reply = await asyncio.wait_for(asking, 5)
        self.again = cast("Again | None", reply.again)
        return reply

    async def ask_again(self) -> Reply:
        """As ``ask``, by what was given last, for as long as that holds."""
        reply = None if self.again is None else self.again.reply(PEER)
        if reply is None:
            return await self.ask()
        await settle()
        await self.backend()
        return reply

    async def backend(self) -> None:
        while self._answered < len(self.crank.calls):
            call = self.crank.calls[self._answered]
            self._answered += 1
            self.clock.turn(TOOK_S)
            body = DOCUMENT.replace(b"Because", b"Because of %d" % self._answered)
            call.answer(HEAD, len(body))
            call.send(body)
            call.end()
            await settle()

    async def remembered(self) -> Again:
        """A hit that may be given again."""
        await self.ask()
        assert (await self.ask()).outcome.verdict is Verdict.HIT
        assert self.again is not None
        return self.again

    @property
    def entry(self) -> Entry:
        assert self.again is not None
        return self.again._hit.entry

    def purge(self, purge: Purge) -> None:
        self.ledger.enter(purge, self.ledger.generation + 1, self.clock())


def _outbound(request: Request) -> Headers:
    return OutboundFields(pseudonym="sidecache")(request).plus(("X-Peer", request.peer))


@asynccontextmanager
async def world(*dice: float, controls: str = "") -> AsyncIterator[World]:
    built = World(dice or (0.5,), controls)
    yield built
    await built.flights.close()
    await settle()
    assert len(built.flights) == 0
    assert built.bugs == []


def said(reply: Reply) -> tuple[object, ...]:
    """All of a reply but the time it took."""
    fields = [pair for pair in reply.head.headers.pairs if pair[0] != "Server-Timing"]
    outcome = reply.outcome
    return (
        reply.head.status, fields, reply.body, outcome.verdict, outcome.why, outcome.tier,
        outcome.detail, outcome.key, outcome.usage, outcome.spared_s, outcome.model,
    )  # fmt: skip


# -- always the same ------------------------------------------------------------------------------

KEYS = {
    Kind.TAG: "doc:1", Kind.MODEL: "m", Kind.DIALECT: "openai_chat", Kind.PATH: "/v1/",
    Kind.ALL: "",
}  # fmt: skip
KINDS = sorted(KEYS)
TURNS = st.one_of(
    st.integers(0, 3 * 64).map(lambda n: n / 64),  # exact in binary: no doubt at a full second
    st.sampled_from([0.0, 1.0, TTL_S - TOOK_S, TTL_S, 10.0]),
)
PURGES = st.builds(
    lambda kind, soft: Purge(kind, KEYS[kind], soft=soft),
    st.sampled_from(KINDS),
    st.booleans(),
)
EVENTS = st.lists(
    st.one_of(
        TURNS, TURNS, TURNS, TURNS, PURGES,
        st.just(Purge(Kind.TAG, "doc:2")),
        st.sampled_from(["evicted", "version", "replaced", "packed"]),
    ),
    max_size=40,
)  # fmt: skip
DICE = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=7)
CONTROLS = st.sampled_from(
    [
        "",
        "",
        "max-age=20",
        "max-age=0",
        "min-fresh=30",
        "only-if-cached",
        "max-stale=5",
        "max-stale",
    ]
)


@settings(unhurried, max_examples=60)
@given(events=EVENTS, dice=DICE, controls=CONTROLS)
@example(events=[TTL_S - TOOK_S - 1 / 64, 1 / 64, 1 / 64, 1.0, 1.0], dice=[0.1, 0.9], controls="")
@example(events=[1.0] * 40, dice=[0.3, 0.99], controls="max-age=20")
async def test_what_is_given_again_is_what_would_be_given_anew(
    events: list[float | Purge | str], dice: list[float], controls: str
) -> None:
    async with world(*dice, controls=controls) as one, world(*dice, controls=controls) as other:
        for each in (one, other):
            each._headers, wish = Headers(each._headers.pairs[:2]), each._headers
            await each.ask()  # without a wish, or nothing would ever be stored
            each._headers = wish
            await each.ask()
        for event in events:
            for each in (one, other):
                match event:
                    case Purge():
                        each.purge(event)
                    case "evicted":
                        each.memory.clear_now()
                    case "version":
                        each.version += 1
                    case "replaced":
                        for slot in each.memory._order.slots():
                            now = each.clock()
                            stored = each.memory._seen(slot)
                            each.memory.put_now(replace(stored, stored_at=now, body=b"{}"))
                    case "packed":
                        each.memory._lately.clear()
                    case float():
                        each.clock.turn(event)
            assert said(await one.ask_again()) == said(await other.ask()), event
            assert (one.thrown, one.clock()) == (other.thrown, other.clock())
            assert len(one.crank.calls) == len(other.crank.calls)
            assert one.memory.hits == other.memory.hits


# -- how long it holds ----------------------------------------------------------------------------


async def test_as_long_as_nothing_in_it_changes_it_is_the_same_reply() -> None:
    async with world() as w:
        again = await w.remembered()
        w.clock.turn(0.125)  # at a full second it lasts for no time at all
        first = again.reply(PEER)
        assert first is not None
        assert first.head.headers.get("age") == "0"
        w.clock.turn(0.75)
        assert again.reply(PEER) is first
        w.clock.turn(0.125)
        later = again.reply(PEER)
        assert later is not None
        assert later.head.headers.get("age") == "1"
        assert "ttl=63" in (later.head.headers.get("cache-status") or "")
        w.clock.turn(0.25)
        final = again.reply(PEER)
        w.clock.turn(0.5)
        assert again.reply(PEER) is final


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("soft", [False, True])
async def test_it_ends_with_any_purge_that_covers_it(kind: Kind, soft: bool) -> None:
    async with world() as w:
        again = await w.remembered()
        w.purge(Purge(Kind.TAG, "doc:2", soft=soft))
        assert again.reply(PEER) is not None
        w.purge(Purge(kind, KEYS[kind], soft=soft))
        assert again.reply(PEER) is None


async def test_it_ends_with_its_lifetime_and_not_before() -> None:
    async with world(0.0) as w:
        again = await w.remembered()
        w.clock.turn(TTL_S - 1 / 64)
        assert again.reply(PEER) is not None
        w.clock.turn(1 / 64)
        assert again.reply(PEER) is None


@pytest.mark.parametrize(
    ("controls", "ends_s"), [("max-age=20", 20), ("min-fresh=30", 34), ("only-if-cached", 63)]
)
async def test_the_caller_may_want_less(controls: str, ends_s: int) -> None:
    async with world(0.0, controls=controls) as w:
        wish, w._headers = w._headers, Headers(w._headers.pairs[:2])
        await w.ask()
        w._headers = wish
        await w.ask()
        again = w.again
        assert again is not None
        w.clock.turn(ends_s)
        assert again.reply(PEER) is not None
        w.clock.turn(1 + 1 / 64)
        assert again.reply(PEER) is None


async def test_it_ends_with_what_is_stored() -> None:
    async with world() as w:
        again = await w.remembered()
        hits, misses = w.memory.hits, w.memory.misses
        assert again.reply(PEER) is not None
        assert w.memory.hits == hits + 1
        w.memory.put_now(replace(w.entry, body=b"{}"))
        assert again.reply(PEER) is None
        again = await w.remembered()
        w.memory.delete_now(w.entry.key)
        assert again.reply(PEER) is None
        assert w.memory.misses == misses


async def test_it_ends_when_the_answer_is_no_longer_unpacked_and_begins_anew() -> None:
    async with world() as w:
        again = await w.remembered()
        hits, first = w.memory.hits, w.entry
        w.memory._lately.clear()
        assert again.reply(PEER) is None
        assert w.memory.hits == hits
        anew = await w.remembered()
        assert w.entry == first
        assert w.entry is not first
        assert anew.reply(PEER) is not None
        assert again.reply(PEER) is None
        assert len(w.crank.calls) == 1


async def test_it_ends_when_a_question_may_have_to_be_read_anew() -> None:
    async with world() as w:
        again = await w.remembered()
        w.version += 1
        assert again.reply(PEER) is None


# -- chance ---------------------------------------------------------------------------------------


async def test_it_is_renewed_for_whoever_asks_when_chance_wants_it() -> None:
    async with world() as w:
        again = await w.remembered()
        w.dice, w.thrown = cycle((0.0, 0.99)), 0
        w.clock.turn(TTL_S - TOOK_S)
        usual = again.reply("10.0.0.8")
        assert usual is not None
        assert (w.thrown, usual.outcome.detail) == (1, "")
        renewing = again.reply("10.0.0.9")
        assert renewing is not None
        assert (w.thrown, renewing.outcome.detail) == (2, Why.REFRESH_AHEAD)
        await settle()
        assert len(w.crank.calls) == 2
        sent = w.crank.calls[1].outbound
        assert sent is not None
        assert sent.headers.get("x-peer") == "10.0.0.9"
        assert sent.awaited is False
        await w.backend()
        assert again.reply(PEER) is None  # what was fetched has taken its place
        assert b"of 2" in cast("bytes", (await w.ask()).body)


class Sampling:
    """Stands in for meaning where only chance is asked."""

    def __init__(self) -> None:
        self.learner = self
        self.wants = False

    def samples(self) -> bool:
        return self.wants


async def test_it_is_asked_once_more_to_compare_when_chance_wants_it() -> None:
    async with world() as w:
        known, meaning = await w.remembered(), Sampling()
        given = Giver(w.lifecycle)
        rooms = replace(w.rooms, meaning=cast("Meaning", meaning))
        text = cast("Text", None)  # which nobody reads
        sought = Sought(known._question.key, b"", text, text, None, "", acts=False)
        question = known._question._replace(rooms=rooms, sought=sought)
        again = Again(question, known._hit, given)
        w.clock.turn(0.125)
        usual = again.reply(PEER)
        assert given.refreshed == []
        meaning.wants = True
        assert again.reply("10.0.0.9") is usual
        (asked,) = given.refreshed
        assert (asked.sampled, asked.request.peer) == (True, "10.0.0.9")
        assert asked.renews is known._hit.entry


class Giver:
    """A lifecycle whose refreshes are only noted."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self.refreshed: list[Question] = []

    def replay(self, question: Question, hit: Hit, *, renewing: bool) -> Reply | None:
        return self._lifecycle.replay(question, hit, renewing=renewing)

    def refresh(self, question: Question) -> None:
        self.refreshed.append(question)

    def edition(self) -> int:
        return self._lifecycle.edition()


# -- what is not given again ----------------------------------------------------------------------


async def test_neither_a_miss_nor_what_is_stale_may_be_given_again() -> None:
    async with world(0.0) as w:
        assert (await w.ask()).again is None
        w.clock.turn(TTL_S)
        stale = await w.ask()
        assert stale.outcome.verdict is Verdict.STALE
        assert stale.again is None


async def test_its_size_is_that_of_the_answer_and_of_the_question() -> None:
    async with world() as w:
        again = await w.remembered()
        assert w.entry.size + 4000 < again.size < w.entry.size + 5000
        larger = replace(w.entry, body=bytes(10_000), lifetime=Lifetime(1.0))
        more = Again(again._question, Hit(larger, Why.FRESH, "l1_memory"), w.lifecycle)
        assert more.size - again.size == larger.size - w.entry.size

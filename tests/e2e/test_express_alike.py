"""The express lane cannot be told from the ordinary way but by its speed.

Two proxies hear the same conversation, one with the lane and one without, each with a backend of
its own that numbers its answers. All that they say and all that they count must be the same.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.proxied import Proxied, proxied
from support.raw_chat import DOCUMENT, EVENTS, JSON, STREAM, question
from support.raw_client import RawClient, RawResponse
from support.scripted import Call, ScriptedUpstream

from proxy.downstream.service import Counts
from proxy.model.purge import Kind, Purge

Json = dict[str, Any]


class Say(NamedTuple):
    """What a client writes: requests in a row, in as many pieces as there are cuts, and one."""

    client: int
    requests: tuple[bytes, ...]
    blank: bytes  # between two of them
    cuts: tuple[float, ...]  # shares of all of it; 1 and more: bytes


class Operate(NamedTuple):
    """What an operator does meanwhile."""

    how: str


Step = Say | Operate


class Seen(NamedTuple):
    """One response, less what two clocks may disagree about; ``ended`` is the connection, then."""

    response: RawResponse | None
    ended: bool


# -- what is said -------------------------------------------------------------------------------


def _chunked(text: str) -> bytes:
    head, _, body = question(text).partition(b"\r\n\r\n")
    head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head)
    half = len(body) // 2
    pieces = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:])]
    return head + b"\r\n\r\n" + b"".join(pieces) + b"0\r\n\r\n"


def _respelled(request: bytes, old: bytes = b"", new: bytes = b"") -> bytes:
    """The same with the members of the body in another order, and with spaces.

    In what comes of that, ``old`` becomes ``new``.
    """
    head, _, body = request.partition(b"\r\n\r\n")
    members = reversed(json.loads(body).items())
    body = json.dumps(dict(members), indent=1).encode().replace(old or b"\0", new)
    length = b"Content-Length: %d" % len(body)
    return re.sub(rb"Content-Length: \d+", length, head) + b"\r\n\r\n" + body


def _bare(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, "Host: proxy", *fields, "", ""]).encode()


CONTROLS = [
    "no-cache", "no-store", "max-age=0", "max-age=1000", "min-fresh=10", "min-fresh=100000",
    "max-stale", "only-if-cached",
]  # fmt: skip
PLAIN = [question("one"), question("one", stream=True), question("two"), question("three", n=1)]
TRICKY = [
    *(question("one", headers=f"Cache-Control: {each}\r\n") for each in CONTROLS),
    *(
        question("one", headers=f"{each}\r\n")
        for each in (
            f"traceparent: 00-{'a' * 32}-{'b' * 16}-01", "X-Request-Id: 17", "Connection: close",
            "Expect: 100-continue", "Expect: 7", "Cookie: a=b\r\nX-Forwarded-For: 10.0.0.9",
            "Upgrade: h2c\r\nConnection: Upgrade",
        )
    ),
    question("one", version="1.0"),
    question("one", version="1.0", headers="Connection: keep-alive\r\n"),
    question("one", stream=True, stream_options={"include_usage": True}), _chunked("one"),
    question("one").replace(b"sk-one", b"sk-two"), question("one")[:-1] + b"!", b"x y\r\n\r\n",
    question("one").replace(b"POST", b"post"), question("one") + b"\r\n",
    _bare("HEAD /v1/models HTTP/1.1"), _bare("GET /v1/models HTTP/1.1"),
    _bare("OPTIONS * HTTP/1.1"), _bare("TRACE / HTTP/1.1"), _bare("GET / HTTP/2.0"),
    _bare("POST /v1/chat/completions HTTP/1.1", "Content-Length: 0"),
]  # fmt: skip

RESPELLED = [
    *map(_respelled, PLAIN),
    _respelled(question("one", n=2)),
    _respelled(question("three", n=1), b'"n"', rb'"\u006e"'),
    _respelled(question("three", n=1), b'"n": 1', b'"n": 1.0'),
    _respelled(question("one"), b'"model"', b'"messages"'),
    _respelled(question("one"), b'"m"', b'"m'),
    _respelled(question("one", cache={"no-store": True})),
    _respelled(question("one", headers="Cache-Control: no-cache\r\n")),
    _respelled(question("one", headers=f"traceparent: 00-{'a' * 32}-{'b' * 16}-01\r\n")),
]
REQUESTS = st.one_of(
    *(st.sampled_from(each) for each in (PLAIN, PLAIN, TRICKY, RESPELLED, RESPELLED))
)
WHOLE = st.builds(
    lambda client, request, times: [Say(client, (request,), b"", ())] * times,
    st.integers(0, 1), REQUESTS, st.integers(1, 4),
)  # fmt: skip
CUT = st.builds(
    lambda client, requests, blank, cuts: [Say(client, tuple(requests), blank, tuple(cuts))],
    st.integers(0, 1),
    st.lists(REQUESTS, min_size=1, max_size=3),
    st.sampled_from([b"", b"", b"\r\n", b"\r\n\r\n"]),
    st.lists(st.floats(0.01, 0.99), max_size=3).map(sorted),
)
# What follows a head that has begun is a part of it, though it reads like a request.
BEGUN = b"POST /v1/chat/completions HTTP/1.1\r\nX-Quote: "
QUOTED = Say(0, (PLAIN[0], BEGUN + PLAIN[0]), b"", (len(PLAIN[0]) + len(BEGUN),))
# Cut behind its head, so that it is told to go on.
EXPECTING = question("one", headers="Expect: 100-continue\r\n")
INVITED = Say(0, (EXPECTING, PLAIN[0]), b"", (EXPECTING.index(b"\r\n\r\n") + 4,))
OPERATE = st.sampled_from(["all", "tag", "other tag", "soft", "key", "reload", "swept"]).map(
    lambda how: [Operate(how)]
)
CONVERSATIONS = st.lists(
    st.one_of(WHOLE, WHOLE, CUT, CUT, OPERATE, st.just([QUOTED])), min_size=2, max_size=8
).map(lambda parts: [step for part in parts for step in part])


# -- who says it, and hears the answers -----------------------------------------------------------


class Side:
    """One of the two proxies, with its clients."""

    def __init__(self, proxy: Proxied, backend: ScriptedUpstream) -> None:
        self.proxy = proxy
        self.backend = backend
        self.clients: dict[int, RawClient] = {}
        self.told = 0  # records that were looked at

    async def do(self, step: Step) -> tuple[list[Seen], list[tuple[object, ...]]]:
        """What came of ``step``: the responses, and what was recorded."""
        seen = await self._say(step) if isinstance(step, Say) else await self._operate(step.how)
        await self.proxy.landed()
        records = self.proxy.records[self.told :]
        self.told += len(records)
        # In no order: those of the lane are told a moment later.
        return seen, sorted(
            (
                (
                    record.request.path, record.request.peer, outcome.verdict.value,
                    outcome.why.value, outcome.detail, outcome.tier, outcome.dialect,
                    outcome.variant, delivery.status, delivery.sent, delivery.complete,
                    delivery.error,
                )
                for record in records
                for outcome, delivery in [(record.outcome, record.delivery)]
            ),
            key=repr,
        )  # fmt: skip

    async def _say(self, step: Say) -> list[Seen]:
        if (client := self.clients.get(step.client)) is None:
            client = self.clients[step.client] = await RawClient.connect(self.proxy.address)
        said = step.blank.join(step.requests)
        begin = 0
        with suppress(ConnectionError):  # the answer to what came before may have been the last
            ends = [int(cut if cut >= 1 else cut * len(said)) for cut in step.cuts]
            for end in [*ends, len(said)]:
                await client.send(said[begin:end])
                begin = end
        seen: list[Seen] = []
        for request in step.requests:
            seen.append(await _heard(client, head_only=request.startswith(b"HEAD")))
            if seen[-1].ended:
                client.close()
                del self.clients[step.client]
                break
        return seen

    async def _operate(self, how: str) -> list[Seen]:
        purging = self.proxy.store.purging
        match how:
            case "reload":
                # In force at once, and seen in each response.
                name = "another" if self.proxy.settings.pseudonym == "sidecache" else "sidecache"
                await self.proxy.change(pseudonym=name)
            case "swept":
                await self.proxy.store.hold(2**20, None)
                await self.proxy.store.hold(None, None)
            case "all":
                await purging.purge(Purge(Kind.ALL))
            case "soft":
                await purging.purge(Purge(Kind.ALL, soft=True))
            case "key":
                keys = [key for r in self.proxy.records if (key := r.outcome.key) is not None]
                if keys:
                    await purging.purge(Purge(Kind.KEY, keys[-1].digest.hex()))
            case tag:
                await purging.purge(Purge(Kind.TAG, tag))
        return []

    @property
    def counts(self) -> dict[str, int]:
        return {name: getattr(self.proxy.server.counts, name) for name in Counts.__slots__}


async def _heard(client: RawClient, *, head_only: bool) -> Seen:
    response: RawResponse | None = None
    try:
        while response is None or response.status == 100:
            response = await client.response(head_only=head_only)
    except (EOFError, ConnectionError):
        return Seen(None, ended=True)
    ends = response.get("Connection") == "close"
    if ends:
        with suppress(ConnectionError):
            assert await client.rest() == b""
    fields = [(name, _timeless(name, value)) for name, value in response.headers]
    return Seen(replace(response, headers=fields), ends)


def _timeless(name: str, value: str) -> str:
    match name:
        case "Date" | "Age":
            return ""
        case "Cache-Status":
            return re.sub(r"ttl=-?\d+", "ttl=", value)
        case "Server-Timing":
            return re.sub(r"dur=\d+\.\d{3}\b", "dur=", value)
    return value


@asynccontextmanager
async def side(share: float) -> AsyncIterator[Side]:
    async def answer(call: Call) -> None:
        if call.method != "POST":
            await call.reply(200, [("Content-Type", "text/plain")], b"models")
            return
        number = b"Because of %d" % backend.calls
        tag = ("Cache-Tag", "tag")
        if b'"stream":true' in await call.whole():
            body = b"".join(STREAM).replace(b"Be", number)
            await call.reply(200, [*EVENTS, tag], body)
        else:
            await call.reply(200, [*JSON, tag], DOCUMENT.replace(b"Because", number))

    async with (
        ScriptedUpstream() as backend,
        proxied(
            backend.url,
            cache={"jitter": 0, "ttl_s": 10_000},
            l1_memory={"express_share": share},
            http_resource={"enabled": True},
        ) as proxy,
    ):
        backend.answer_with(answer)
        one = Side(proxy, backend)
        try:
            yield one
        finally:
            for client in one.clients.values():
                client.close()
            await proxy.counted(lambda: proxy.server.counts.open == 0)


AGAIN = [
    *(Say(client, (request,), b"", ()) for request in PLAIN for client in (0, 0, 1, 0, 1)),
    *(Say(0, (request,), b"", ()) for request in map(_respelled, PLAIN)),
]
"""Each of them often enough to be known by its bytes, and each in another spelling."""


async def both_hear(conversation: list[Step]) -> None:
    async with side(0.1) as with_lane, side(0.0) as without:
        for step in [*AGAIN, *conversation, *AGAIN]:
            one, other = await asyncio.gather(with_lane.do(step), without.do(step))
            assert one == other, step
            assert with_lane.backend.calls == without.backend.calls, step
        assert with_lane.counts == without.counts
        assert with_lane.proxy.server.express.hits > 0
        assert without.proxy.server.express.hits == 0
        tiers = [each.proxy.store.memory for each in (with_lane, without)]
        assert tiers[0].hits == tiers[1].hits
        assert tiers[0].misses == tiers[1].misses


@given(conversation=CONVERSATIONS)
@example(conversation=[INVITED])
@example(conversation=[QUOTED, Operate("soft"), *AGAIN, Operate("tag"), Operate("reload")])
@settings(max_examples=12)
async def test_whoever_is_answered_by_the_lane_hears_what_he_would_without_it(
    conversation: list[Step],
) -> None:
    await both_hear(conversation)


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@given(conversation=CONVERSATIONS)
@settings(max_examples=300)
async def test_so_does_he_in_any_of_very_many_conversations(conversation: list[Step]) -> None:
    await both_hear(conversation)

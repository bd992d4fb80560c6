"""The tour's steps, before the real proxy and before impostors that are wrong in one way each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.app import Sidecache
from proxy.config.faults import Given
from proxy.config.load import load
from proxy.demo import steps
from proxy.demo.backend import DemoBackend, Pace
from proxy.demo.caller import Caller, NotAsTold, question, respelled
from proxy.demo.steps import Visit

QUICK = Pace(first_token_s=0.02, token_s=0.005)
STAMPEDE = "What is a cache stampede?"


@pytest.fixture
async def backend() -> AsyncIterator[DemoBackend]:
    async with DemoBackend(QUICK) as backend:
        yield backend


@asynccontextmanager
async def visiting(url: str, backend: DemoBackend) -> AsyncIterator[Visit]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Visit(Caller(session, url), lambda: backend.calls)


@pytest.fixture
async def visit(backend: DemoBackend) -> AsyncIterator[Visit]:
    """A visit to the real proxy."""
    flags = [
        Given(("listen",), "127.0.0.1:0", "test"),
        Given(("upstreams",), [{"url": backend.url}], "test"),
        Given(("admin", "enabled"), False, "test"),
    ]
    proxy = Sidecache(load(flags=flags).settings)
    await proxy.start()
    try:
        async with visiting(proxy.url, backend) as visit:
            yield visit
    finally:
        await proxy.close(deadline_s=0)


Key = Callable[[bytes, Any, str], object]


class Impostor:
    """Something that looks like a caching proxy, and is as wrong as a test wants it.

    Args:
        key: what it takes for the same request, of its body, its members and the credential.
        says: its X-Cache for what it has (True) or has not.
        spoils: what it makes of bodies it has.
    """

    def __init__(
        self,
        backend: DemoBackend,
        *,
        key: Key = lambda _body, asked, who: (json.dumps(asked, sort_keys=True), who),
        says: Callable[[bool], str] = lambda found: "HIT" if found else "MISS",
        spoils: Callable[[bytes], bytes] = lambda body: body,
    ) -> None:
        self._backend = backend
        self._key = key
        self._says = says
        self._spoils = spoils
        self._kept: dict[object, tuple[str, bytes]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        key = self._key(body, json.loads(body), request.headers["Authorization"])
        found = key in self._kept
        if not found:
            async with (
                aiohttp.ClientSession(self._backend.url) as session,
                session.post(request.path, data=body) as response,
            ):
                self._kept[key] = response.content_type, await response.read()
        media_type, kept = self._kept[key]
        return web.Response(
            body=self._spoils(kept) if found else kept,
            headers={"Content-Type": media_type, "X-Cache": self._says(found)},
        )


@asynccontextmanager
async def impostor(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], backend: DemoBackend
) -> AsyncIterator[Visit]:
    """A visit to something that answers so, with ``backend`` behind it."""
    application = web.Application()
    application.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with visiting(f"http://127.0.0.1:{site.port}", backend) as visit:
            yield visit
    finally:
        await runner.cleanup()


# -- the real proxy -----------------------------------------------------------------------------


async def test_a_question_nobody_has_asked_is_a_miss(visit: Visit) -> None:
    heard = await steps.unseen(visit)

    assert (heard.verdict, heard.why) == ("MISS", "uri-miss")
    assert heard.took_s >= QUICK.first_token_s


async def test_its_repetition_is_a_hit(visit: Visit) -> None:
    found = await steps.repeated(visit, await steps.unseen(visit))

    assert (found.again.verdict, found.again.why) == ("HIT", "fresh")
    assert found.times_as_fast == found.first.took_s / found.again.took_s


async def test_other_json_is_the_same_but_other_words_and_other_callers_are_not(
    visit: Visit,
) -> None:
    found = await steps.told_apart(visit, await steps.unseen(visit))

    verdicts = [found.respelled.verdict, found.other.verdict, found.stranger.verdict]
    assert verdicts == ["HIT", "MISS", "MISS"]
    assert visit.calls() == 3


async def test_a_hundred_at_once_are_one_call(visit: Visit) -> None:
    found = await steps.crowded(visit)

    assert found.verdicts.total() == 100
    assert found.verdicts["MISS"] == 1
    assert len({heard.body for heard in found.heard}) == 1
    assert found.took_s >= QUICK.first_token_s


async def test_a_late_joiner_hears_all_of_a_live_stream(visit: Visit) -> None:
    found = await steps.joined_late(visit)

    assert found.late.verdict == "COALESCED"
    assert found.missed >= steps.MIDDLE
    assert found.early.moments[found.missed - 1] < found.late.asked_at < found.caught_up_at
    assert found.caught_up_at < found.early.moments[-1]


async def test_stored_answers_are_heard_in_the_other_form(visit: Visit) -> None:
    first = await steps.unseen(visit)
    late = await steps.joined_late(visit)

    found = await steps.reshaped(visit, first, late.early)

    assert found.streamed.media_type == "text/event-stream"
    assert found.streamed.answer == first.answer
    assert found.whole.media_type == "application/json"
    assert found.whole.answer == late.early.answer


async def test_savings_are_counted_from_what_was_heard(visit: Visit) -> None:
    first = await steps.unseen(visit)
    await steps.repeated(visit, first)
    await steps.repeated(visit, first)

    found = steps.saved(visit)

    assert (found.without.calls, found.spent.calls) == (3, 1)
    assert found.spent.seconds == first.took_s
    assert found.without.seconds == pytest.approx(3 * first.took_s)
    assert found.without.tokens == 3 * first.answer.tokens == 3 * found.spent.tokens


# -- impostors ----------------------------------------------------------------------------------


async def test_the_bare_backend_is_not_taken_for_a_cache(backend: DemoBackend) -> None:
    async with visiting(backend.url, backend) as visit:
        with pytest.raises(NotAsTold, match="the first answer came with no X-Cache, not MISS"):
            await steps.unseen(visit)


Step = Callable[[Visit], Awaitable[object]]


async def first_and_repeated(visit: Visit) -> object:
    return await steps.repeated(visit, await visit.ask(question(STAMPEDE)))


async def first_and_told_apart(visit: Visit) -> object:
    return await steps.told_apart(visit, await visit.ask(question(STAMPEDE)))


async def both_and_reshaped(visit: Visit) -> object:
    document = await visit.ask(question(STAMPEDE))
    stream = await visit.ask(question("How does a streamed answer arrive?", stream=True))
    return await steps.reshaped(visit, document, stream)


async def one_and_saved(visit: Visit) -> object:
    await visit.ask(question(STAMPEDE))
    return steps.saved(visit)


def words_only(_body: bytes, asked: Any, who: str) -> object:
    return json.dumps(asked["messages"]), who


@pytest.mark.parametrize(
    ("step", "wrong", "complaint"),
    [
        (steps.unseen, {"says": lambda _: "HIT"}, "came with X-Cache: HIT, not MISS"),
        (first_and_repeated, {"key": lambda *_: object()}, "asked once, not 0 times"),
        (first_and_repeated, {"says": lambda _: "MISS"}, "came with X-Cache: MISS, not HIT"),
        (first_and_repeated, {"spoils": lambda body: body + b" "}, "not the same to the byte"),
        (first_and_told_apart, {"key": lambda body, _, who: (body, who)}, "asked once, not 0"),
        (first_and_told_apart, {"key": lambda _, asked, who: who}, "asked 0 times, not once"),
        (
            first_and_told_apart,
            {"key": lambda _, asked, who: str(asked["messages"])},
            "asked 0 times, not once",
        ),
        (steps.crowded, {}, "asked 100 times, not once"),
        (steps.joined_late, {"key": lambda *_: object()}, "asked 2 times, not once"),
        (steps.joined_late, {}, "had not caught up before the stream was over"),
        (both_and_reshaped, {}, "asked 2 times, not 0 times"),
        (both_and_reshaped, {"key": words_only}, "came as application/json"),
        (
            both_and_reshaped,
            {"key": words_only, "spoils": lambda body: b"data: [DONE]\n\n"},
            "no chat completion",
        ),
        (one_and_saved, {"says": lambda _: "HIT"}, "0 answers came of once asking the backend"),
    ],
)
async def test_an_impostor_is_found_out(
    backend: DemoBackend, step: Step, wrong: dict[str, Any], complaint: str
) -> None:
    async with impostor(Impostor(backend, **wrong).answer, backend) as visit:
        with pytest.raises(NotAsTold, match=complaint):
            await step(visit)


class Hoarder:
    """Passes a stream on to the first as it comes; who joins is told the rest at its end."""

    def __init__(self, backend: DemoBackend) -> None:
        self._backend = backend
        self._events: list[bytes] | None = None
        self._over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream", "X-Cache": "COALESCED"}
        response = web.StreamResponse(headers=headers)
        if self._events is not None:
            await response.prepare(request)
            told = len(self._events)
            await response.write(b"".join(self._events))
            await self._over.wait()
            await response.write(b"".join(self._events[told:]))
            return response
        self._events = []
        async with (
            aiohttp.ClientSession(self._backend.url) as session,
            session.post(request.path, data=await request.read()) as arrival,
        ):
            await response.prepare(request)
            async for line in arrival.content:
                self._events.append(line)
                await response.write(line)
        self._over.set()
        return response


async def test_a_stream_that_is_only_replayed_to_the_late_is_found_out(
    backend: DemoBackend,
) -> None:
    async with impostor(Hoarder(backend).answer, backend) as visit:
        with pytest.raises(NotAsTold, match="the late joiner heard the rest at once"):
            await steps.joined_late(visit)


async def test_an_answer_to_another_question_is_found_out(visit: Visit) -> None:
    await visit.ask(question(STAMPEDE))
    weather = await visit.ask(question("What is the weather like?"))
    stream = await visit.ask(question("How does a streamed answer arrive?", stream=True))

    with pytest.raises(NotAsTold, match="the stream made of a document says something else"):
        await steps.reshaped(visit, weather, stream)


def test_respelled_json_is_other_bytes_for_the_same_value() -> None:
    plain = question(STAMPEDE, stream=True)

    other = respelled(plain)

    assert other != plain
    assert json.loads(other) == json.loads(plain)
    assert list(json.loads(other)) == list(reversed(json.loads(plain)))

"""RAG services with a protocol of their own: the one of the documentation, and others."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import aiohttp
import pytest
import yaml
from aiohttp import web
from support.operating import ADMIN, purged
from support.proxied import Proxied, proxied
from support.scripted import Call, ScriptedUpstream
from support.worded import NO_SHADOW, learned

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "docs/examples/rag_service.py"
CONFIGURATION = ROOT / "config/examples/rag.yaml"
AT = "http://127.0.0.1:8000"  # where both say that the service listens

HOLIDAYS, FLIGHTS = "When must holidays be asked for?", "Who gives consent for flights?"
COFFEE, BOTH = "Is coffee made on fridays?", "Who gives consent for holidays?"


class Said(NamedTuple):
    """What was answered."""

    verdict: str
    body: bytes
    reason: str


class Service:
    """The service of the documentation, running."""

    def __init__(self, module: ModuleType, url: str) -> None:
        self.state: Json = module.service[module.STATE]
        self.url = url

    @property
    def asked(self) -> int:
        return len(self.state["asked"])


class Client:
    """Asks the service, through the proxy."""

    def __init__(self, proxy: Proxied, session: aiohttp.ClientSession) -> None:
        self.proxy = proxy
        self._session = session

    async def ask(self, question: str, headers: Json | None = None, **more: Any) -> Said:
        body = {"question": question, **more}
        async with self._session.post(f"{self.proxy.url}/ask", json=body, headers=headers) as reply:
            return await self._said(reply)

    async def search(self, **parameters: str) -> Said:
        async with self._session.get(f"{self.proxy.url}/search", params=parameters) as reply:
            return await self._said(reply)

    async def get(self, path: str) -> Said:
        async with self._session.get(self.proxy.url + path) as reply:
            return await self._said(reply)

    async def _said(self, reply: aiohttp.ClientResponse) -> Said:
        assert reply.status == 200
        body = await reply.read()
        await self.proxy.landed()
        headers = reply.headers
        return Said(headers["X-Cache"], body, headers.get("X-Cache-Reason", ""))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    spec = importlib.util.spec_from_file_location("rag_service", SERVICE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    runner = web.AppRunner(module.service, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Service(module, f"http://127.0.0.1:{site.port}")
    await runner.cleanup()


@asynccontextmanager
async def calling(*upstreams: Any, **settings: Any) -> AsyncIterator[Client]:
    async with (
        proxied(*upstreams, **ADMIN, **settings) as proxy,
        aiohttp.ClientSession() as session,
    ):
        yield Client(proxy, session)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    text = CONFIGURATION.read_text(encoding="utf-8")
    assert text.count(AT) == 2
    tree = yaml.safe_load(text.replace(AT, service.url))
    del tree["listen"]
    async with calling(*tree.pop("upstreams"), **tree) as client:
        await client.proxy.counted(lambda: client.proxy.house.versions.edition() == 1)
        yield client


# -- the service of the documentation, by configuration alone --------------------------------------


def test_the_service_is_short() -> None:
    assert len(SERVICE.read_text(encoding="utf-8").splitlines()) <= 60


async def test_an_answer_is_kept_and_what_is_inert_does_not_count(
    client: Client, service: Service
) -> None:
    first = await client.ask(HOLIDAYS, trace_id="1")
    again = await client.ask(HOLIDAYS, trace_id="2")
    assert [first.verdict, again.verdict] == ["MISS", "HIT"]
    assert first.body == again.body
    assert b"two weeks" in first.body
    assert (await client.ask(HOLIDAYS, language="fr")).verdict == "MISS"
    assert service.asked == 2


async def test_a_stream_is_replayed_to_the_byte_and_is_not_the_document(
    client: Client, service: Service
) -> None:
    first = await client.ask(HOLIDAYS, stream=True)
    again = await client.ask(HOLIDAYS, stream=True)
    assert [first.verdict, again.verdict] == ["MISS", "HIT"]
    assert first.body == again.body
    assert first.body.endswith(b'data: {"done": true}\n\n')
    assert (await client.ask(HOLIDAYS)).verdict == "MISS"
    assert service.asked == 2


async def test_a_search_is_kept_by_its_parameters(client: Client, service: Service) -> None:
    first = await client.search(q="holidays", k="1", trace_id="1")
    again = await client.search(trace_id="2", k="1", q="holidays")
    assert [first.verdict, again.verdict] == ["MISS", "HIT"]
    assert first.body == again.body
    assert (await client.search(q="holidays", k="2")).verdict == "MISS"
    assert service.asked == 2


async def test_a_document_that_changes_takes_exactly_the_answers_with_it_that_are_built_on_it(
    client: Client, service: Service
) -> None:
    async def verdicts() -> list[str]:
        said = [await client.ask(each) for each in (HOLIDAYS, FLIGHTS, BOTH, COFFEE)]
        said += [await client.ask(each, stream=True) for each in (HOLIDAYS, FLIGHTS)]
        said += [await client.search(q="holidays"), await client.search(q="flights")]
        return [each.verdict for each in said]

    assert await verdicts() == ["MISS"] * 8
    assert await verdicts() == ["HIT"] * 8

    service.state["documents"]["travel"] = "No more flights, nor consent to them."
    await purged(client.proxy.admin_url, "tag", "doc:travel")

    assert await verdicts() == ["HIT", "MISS", "MISS", "HIT", "HIT", "MISS", "HIT", "MISS"]
    assert b"No more flights" in (await client.ask(FLIGHTS)).body
    await purged(client.proxy.admin_url, "tag", "doc:trave")
    assert await verdicts() == ["HIT"] * 8


async def test_another_version_of_the_index_has_answers_of_its_own(
    client: Client, service: Service
) -> None:
    assert (await client.ask(HOLIDAYS)).verdict == "MISS"
    assert (await client.ask(HOLIDAYS)).verdict == "HIT"
    service.state["version"] = 2
    await client.proxy.counted(lambda: client.proxy.house.versions.edition() == 2)
    assert (await client.ask(HOLIDAYS)).verdict == "MISS"
    assert (await client.search(q="holidays")).verdict == "MISS"
    service.state["version"] = 1
    await client.proxy.counted(lambda: client.proxy.house.versions.edition() == 3)
    assert (await client.ask(HOLIDAYS)).verdict == "HIT"
    assert (await client.search(q="holidays")).verdict == "MISS"


async def test_what_belongs_to_a_conversation_is_passed_on(client: Client) -> None:
    for _ in range(2):
        said = await client.ask(HOLIDAYS, session_id="s")
        assert (said.verdict, said.reason) == ("BYPASS", "stateful")


async def test_what_was_under_way_when_its_document_was_purged_is_not_kept() -> None:
    route = {"paths": ["/ask"], "methods": ["GET"], "sources": "/sources"}
    async with ScriptedUpstream() as up, calling(up.url, rag=[route]) as client:

        async def answer(call: Call) -> None:
            if up.calls == 1:
                await purged(client.proxy.admin_url, "tag", "doc:1")
            body = b'{"answer":"Yes.","sources":[{"id":1}]}'
            await call.reply(200, [("Content-Type", "application/json")], body)

        up.answer_with(answer)
        assert [(await client.get("/ask?q=1")).verdict for _ in range(3)] == ["MISS", "MISS", "HIT"]


# -- versions -------------------------------------------------------------------------------------

ASK: Json = {"paths": ["/ask"], "sources": "/sources"}


async def test_a_version_that_was_never_read_leaves_requests_alone(service: Service) -> None:
    version = {"url": f"{service.url}/nowhere", "poll_s": 0.001}
    async with calling(service.url, rag=[{**ASK, "version": version}]) as client:
        for _ in range(2):
            said = await client.ask(HOLIDAYS)
            assert (said.verdict, said.reason) == ("BYPASS", "version")


async def test_a_version_in_a_file_counts_from_the_first_request_on(
    service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "version"
    file.write_text("1")
    version = {"file": str(file), "poll_s": 0.001}
    async with calling(service.url, rag=[{**ASK, "version": version}]) as client:
        assert (await client.ask(HOLIDAYS)).verdict == "MISS"
        assert (await client.ask(HOLIDAYS)).verdict == "HIT"
        file.write_text("2")
        await client.proxy.counted(lambda: client.proxy.house.versions.edition() == 2)
        assert (await client.ask(HOLIDAYS)).verdict == "MISS"


async def test_a_version_in_a_header_of_the_request_counts_as_any_header_does(
    service: Service,
) -> None:
    async with calling(service.url, rag=[ASK]) as client:
        said = [await client.ask(HOLIDAYS, {"X-KB-Version": each}) for each in ("1", "2", "1")]
        assert [each.verdict for each in said] == ["MISS", "MISS", "HIT"]


async def test_an_answer_that_took_longer_than_its_version_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.write_text("1")
    route = {"paths": ["/ask"], "methods": ["GET"], "version": {"file": str(file), "poll_s": 0.001}}
    async with ScriptedUpstream() as up, calling(up.url, rag=[route]) as client:

        async def answer(call: Call) -> None:
            if up.calls == 1:
                file.write_text("2")
                await client.proxy.counted(lambda: client.proxy.house.versions.edition() == 2)
            await call.reply(200, [("Content-Type", "application/json")], b'{"answer":"Yes."}')

        up.answer_with(answer)
        assert (await client.get("/ask?q=1")).verdict == "MISS"
        file.write_text("1")
        await client.proxy.counted(lambda: client.proxy.house.versions.edition() == 3)
        assert (await client.get("/ask?q=1")).verdict == "MISS"
        assert (await client.get("/ask?q=1")).verdict == "HIT"


# -- where only HTTP tells the end ----------------------------------------------------------------

PLAIN: Json = {"paths": ["/ask"], "methods": ["GET"], "stream": {"kind": "plain"}}
TEXT = [("Content-Type", "text/plain; charset=utf-8")]


@pytest.mark.parametrize(
    ("framing", "kept"), [("length", True), ("chunked", True), ("close_delimited", False)]
)
async def test_plain_text_is_kept_only_if_its_end_is_told(framing: str, kept: bool) -> None:
    async def answer(call: Call) -> None:
        await call.head(200, TEXT, **{framing: 4 if framing == "length" else True})
        await call.chunk(b"Ye")
        await call.chunk(b"s.")
        await call.end()

    async with ScriptedUpstream() as up, calling(up.url, rag=[PLAIN]) as client:
        up.answer_with(answer)
        first, again = await client.get("/ask?q=1"), await client.get("/ask?q=1")
        assert [first.body, again.body] == [b"Yes.", b"Yes."]
        assert again.verdict == ("HIT" if kept else "MISS")
        assert client.proxy.flights.counts.stored == (1 if kept else 0)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_plain_text_that_was_cut_off_is_not_kept(framing: str) -> None:
    async def answer(call: Call) -> None:
        await call.head(200, TEXT, **{framing: 4 if framing == "length" else True})
        await call.chunk(b"Ye")
        if up.calls == 1:
            await call.cut()
        else:
            await call.chunk(b"s.")
            await call.end()

    async with ScriptedUpstream() as up, calling(up.url, rag=[PLAIN]) as client:
        up.answer_with(answer)
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.get("/ask?q=1")
        said = await client.get("/ask?q=1")
        assert (said.verdict, said.body) == ("MISS", b"Yes.")


async def test_a_stream_that_tells_its_end_may_end_with_its_connection() -> None:
    events = b'data: {"answer":"Yes."}\n\ndata: [DONE]\n\n'

    async def answer(call: Call) -> None:
        await call.head(200, [("Content-Type", "text/event-stream")], close_delimited=True)
        await call.chunk(events)
        await call.end()

    stream = {"kind": "sse", "done": {"data": "[DONE]"}}
    async with (
        ScriptedUpstream() as up,
        calling(up.url, rag=[{**PLAIN, "stream": stream}]) as client,
    ):
        up.answer_with(answer)
        assert [(await client.get("/ask?q=1")).verdict for _ in range(2)] == ["MISS", "HIT"]


# -- in other words -------------------------------------------------------------------------------


async def test_a_question_in_other_words_is_answered_and_all_else_counts(service: Service) -> None:
    words = {"enabled": True, "embedder": {"kind": "none"}, **NO_SHADOW}
    search = {
        "paths": ["/search"], "methods": ["GET"], "question": "/q", "answer": "/results",
        "sources": "/results",
    }  # fmt: skip
    async with calling(service.url, rag=[ASK, search], semantic=words) as client:
        await client.ask("How do I ask for holidays?", k=1)
        await client.search(q="How do I ask for holidays?")
        await learned(client.proxy)
        polite = "Please, how do I ask for holidays"
        said = [await client.ask(polite, k=1), await client.search(q=polite)]
        assert [(each.verdict, each.reason) for each in said] == [("HIT", "canonical")] * 2
        assert (await client.ask(polite, k=2)).verdict == "MISS"
        assert (await client.search(q=polite, k="2")).verdict == "MISS"

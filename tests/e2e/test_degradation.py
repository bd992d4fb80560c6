"""What callers get when the backend fails, by OpenAI's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import web
from support.openai_backend import Fault, OpenAIBackend
from support.proxied import Proxied, proxied
from support.sdk_caller import Caller, chat

Json = dict[str, Any]
AWAY = "http://127.0.0.1:9"
SORRY = {"text": "Back in a few minutes."}
DOWN = Fault(503, "No.")


@asynccontextmanager
async def before(
    first: str, degradation: Json, **settings: Any
) -> AsyncIterator[tuple[Proxied, Caller]]:
    async with (
        proxied(first, degradation=degradation, **settings) as proxy,
        Caller(proxy) as caller,
    ):
        yield proxy, caller


async def told(caller: Caller, **more: Any) -> tuple[Any, str]:
    raw = await caller.sdk.chat.completions.with_raw_response.create(**chat(**more))
    return raw.headers, raw.parse().choices[0].message.content


async def test_the_operators_text_is_an_answer_like_any_other_and_never_stored() -> None:
    async with before(AWAY, {"message": [SORRY]}) as (proxy, caller):
        for _ in range(2):
            headers, text = await told(caller)
            assert text == SORRY["text"]
            assert headers["x-cache"] == "DEGRADED"
            assert headers["x-cache-reason"] == "message"
            assert "detail=connection_refused" in headers["cache-status"]
            assert "stored" not in headers["cache-status"]
            assert headers["cache-control"] == "no-store"
        verdict, chunks = await caller.hear(chat())
        assert verdict == "DEGRADED"
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
        assert chunks[-1].choices[0].finish_reason == "stop"
        done = await caller.sdk.completions.create(model="m", prompt="Why?")
        assert done.choices[0].text == SORRY["text"]
        assert proxy.flights.counts.stored == 0


async def test_a_text_with_an_error_status_is_an_error() -> None:
    async with before(AWAY, {"message": [{**SORRY, "status": 503}]}) as (_, caller):
        with pytest.raises(openai.InternalServerError, match="Back in a few minutes"):
            await caller.ask(chat())


async def test_without_steps_the_failure_is_told(backend: OpenAIBackend) -> None:
    async with before(backend.url, {}) as (_, caller):
        backend.faults.append(DOWN)
        with pytest.raises(openai.InternalServerError):
            await caller.ask(chat())


async def test_the_steps_are_tried_in_their_order(backend: OpenAIBackend) -> None:
    keep = {"ttl_s": 0.05, "jitter": 0, "stale_if_error_s": 60}
    async with before(backend.url, {"message": [SORRY]}, cache=keep) as (_, caller):
        _, text = await told(caller)
        await asyncio.sleep(0.06)  # its lifetime: a real time, as it goes through the whole proxy
        backend.faults.append(DOWN)
        headers, again = await told(caller)
        assert (headers["x-cache"], headers["x-cache-reason"], again) == ("STALE", "sie", text)
        assert "fwd-status=503" in headers["cache-status"]
        backend.faults.append(DOWN)
        headers, other = await told(caller, text="Never asked before.")
        assert (headers["x-cache"], other) == ("DEGRADED", SORRY["text"])
        assert "fwd-status=503" in headers["cache-status"]


@pytest.fixture
async def second() -> AsyncIterator[OpenAIBackend]:
    async with OpenAIBackend() as second:
        yield second


async def test_another_backend_is_asked_once_by_all_and_streams_live(
    second: OpenAIBackend,
) -> None:
    step = {"url": second.url, "rename": "small"}
    async with before(AWAY, {"standby": [step], "message": [SORRY]}) as (proxy, caller):
        second.hold()
        crowd = [asyncio.ensure_future(caller.hear(chat())) for _ in range(10)]  # noqa: TID251
        await second.was_asked(1)
        second.release()
        heard = await asyncio.gather(*crowd)
        assert {verdict for verdict, _ in heard} == {"DEGRADED"}
        assert len({str(chunks) for _, chunks in heard}) == 1
        (asked,) = second.asked
        assert asked.json["model"] == "small"
        assert "authorization" not in {name.lower() for name in asked.headers}
        headers, _ = await told(caller)
        assert headers["x-cache-reason"] == "standby"
        assert len(second.asked) == 2
        assert proxy.flights.counts.stored == 0


async def test_it_gets_the_callers_credential_only_where_that_is_wanted(
    second: OpenAIBackend,
) -> None:
    step = {"url": second.url, "credentials": True}
    async with before(AWAY, {"standby": [step]}) as (_, caller):
        await told(caller)
        assert second.asked[0].credential == "sk-one"


async def test_no_spelling_of_a_credential_gets_to_another_backend(second: OpenAIBackend) -> None:
    async with before(AWAY, {"standby": [{"url": second.url}]}) as (_, caller):
        await caller.ask(chat(extra_headers={"X_Api_Key": "sk-two", "X_Other": "1"}))
    asked = second.asked[0].headers
    assert (asked.get("x_api_key"), asked.get("x_other")) == (None, "1")


async def test_where_another_backend_fails_too_the_next_step_is_taken(
    backend: OpenAIBackend, second: OpenAIBackend
) -> None:
    for url in (AWAY, second.url):
        second.faults.append(DOWN)
        backend.faults.append(DOWN)
        both = {"standby": [{"url": url}], "message": [SORRY]}
        async with before(backend.url, both) as (_, caller):
            assert (await told(caller))[1] == SORRY["text"]


async def test_what_a_search_finds_is_told_without_an_answer() -> None:
    asked: list[Json] = []

    async def search(request: web.Request) -> web.Response:
        asked.append(await request.json())
        found = [
            {"page": {"text": "Whales are mammals."}},
            {"page": {}},
            {"page": {"text": "Two."}},
        ]
        return web.json_response({"hits": found if "whales" in asked[-1]["q"] else []})

    app = web.Application()
    app.router.add_post("/find", search)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    step = {
        "url": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "route": "/find",
        "body": {"q": "{question}", "k": 3},
        "documents": "/hits",
        "text": "/page/text",
    }
    try:
        async with before(AWAY, {"retrieval": [step], "message": [SORRY]}) as (_, caller):
            headers, text = await told(caller, text="What are whales?")
            assert headers["x-cache-reason"] == "documents"
            assert "[1] Whales are mammals." in text
            assert "[2] Two." in text
            assert asked == [{"q": "What are whales?", "k": 3}]
            headers, text = await told(caller, text="What are ships?")
            assert (headers["x-cache-reason"], text) == ("message", SORRY["text"])
    finally:
        await runner.cleanup()


async def test_a_step_is_only_for_the_paths_and_models_that_it_names() -> None:
    texts = [{"text": "A", "model": "other"}, {"text": "B", "path": "/v2/*"}]
    async with before(AWAY, {"message": texts}) as (_, caller):
        with pytest.raises(openai.InternalServerError):
            await caller.ask(chat())
    async with before(AWAY, {"message": [*texts, SORRY, {"text": "D"}]}) as (_, caller):
        assert (await told(caller))[1] == SORRY["text"]


async def test_who_wants_only_what_is_stored_is_told_that_nothing_is() -> None:
    async with before(AWAY, {"message": [SORRY]}) as (_, caller):
        with pytest.raises(openai.InternalServerError) as told:
            await caller.ask(chat(extra_headers={"Cache-Control": "only-if-cached"}))
        assert told.value.status_code == 504


async def test_a_backend_that_cannot_be_reached_is_left_alone_until_it_is_back() -> None:
    async with OpenAIBackend() as backend:
        where = backend.url  # from here on nobody listens there
    breaker = {"failures": 2, "probe_s": 0.05, "counts": ["refused"]}
    async with proxied({"url": where, "breaker": breaker}) as proxy, Caller(proxy) as caller:
        codes = []
        for number in range(4):
            with pytest.raises(openai.InternalServerError) as told:
                await caller.ask(chat(text=str(number)))
            codes.append(told.value.code)
        assert codes[0] == "connection_refused"
        assert "destination_unavailable" in codes
        async with OpenAIBackend(int(where.rpartition(":")[2])):
            async with asyncio.timeout(10):
                while True:
                    try:
                        verdict, _ = await caller.ask(chat())
                        break
                    except openai.InternalServerError:
                        await asyncio.sleep(0.02)
            assert verdict == "MISS"


async def test_what_another_backend_refuses_is_not_heard(
    backend: OpenAIBackend, second: OpenAIBackend
) -> None:
    for status in (400, 401, 404):
        backend.faults.append(DOWN)
        second.faults.append(Fault(status, "Who are you?"))
        both = {"standby": [{"url": second.url}], "message": [SORRY]}
        async with before(backend.url, both) as (_, caller):
            headers, text = await told(caller, text=str(status))
            assert (headers["x-cache-reason"], text) == ("message", SORRY["text"])


async def test_a_credential_in_the_url_is_kept_from_another_backend(
    second: OpenAIBackend,
) -> None:
    query = {"api-version": "1 2", "api-key": "sk-secret", "key": "sk-other", "keys": "x"}
    for credentials, rest in ((False, "api-version=1+2&keys=x"), (True, None)):
        step = {"url": second.url, "credentials": credentials}
        async with before(AWAY, {"standby": [step]}) as (_, caller):
            await caller.ask(chat(extra_query=query))
        asked = second.asked[-1].query
        assert asked == rest if rest else "sk-secret" in asked


async def test_a_list_of_inputs_takes_the_same_steps_as_one(
    backend: OpenAIBackend, second: OpenAIBackend
) -> None:
    steps = {"standby": [{"url": second.url}], "message": [{**SORRY, "status": 503}]}
    for url in (AWAY, backend.url):
        backend.faults.append(DOWN)
        async with before(url, steps) as (proxy, caller):
            raw = await caller.sdk.embeddings.with_raw_response.create(model="m", input=["a", "b"])
            assert raw.headers["x-cache"] == "DEGRADED"
            assert raw.headers["x-cache-reason"] == "standby"
            assert len(raw.parse().data) == 2
            assert proxy.flights.counts.stored == 0
    async with before(AWAY, {"message": [{**SORRY, "status": 503}]}) as (_, caller):
        with pytest.raises(openai.InternalServerError, match="Back in a few minutes"):
            await caller.sdk.embeddings.create(model="m", input=["a", "b"])


async def test_any_status_can_be_a_failure_and_is_one_for_all_who_wait(
    backend: OpenAIBackend,
) -> None:
    steps = {"statuses": [402, 503], "message": [SORRY]}
    async with before(backend.url, steps) as (_, caller):
        backend.hold()
        backend.faults += [Fault(402, "Pay.")] * 3
        crowd = [asyncio.ensure_future(told(caller)) for _ in range(3)]  # noqa: TID251
        await backend.was_asked(1)
        backend.release()
        for headers, text in await asyncio.gather(*crowd):
            assert (headers["x-cache-reason"], text) == ("message", SORRY["text"])

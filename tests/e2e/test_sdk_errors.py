"""Errors as OpenAI's client sees them: the backend's own, and its retries, through the proxy."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from support.openai_backend import REVOKED, Fault, OpenAIBackend
from support.proxied import SHORT_GRACE, Proxied, proxied
from support.scripted import ScriptedUpstream
from support.sdk_caller import Caller, chat, counted
from support.started import started

FAULTS = [
    (400, openai.BadRequestError),
    (403, openai.PermissionDeniedError),
    (409, openai.ConflictError),
    (422, openai.UnprocessableEntityError),
    (429, openai.RateLimitError),
    (500, openai.InternalServerError),
    (503, openai.InternalServerError),
]


@pytest.mark.parametrize(("status", "kind"), FAULTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_is_the_backends_own_and_never_kept(
    status: int,
    kind: type[openai.APIStatusError],
    stream: bool,
    backend: OpenAIBackend,
    caller: Caller,
) -> None:
    backend.faults.append(Fault(status, "So sorry.", {"X-Request-Id": "req-7"}))

    with pytest.raises(kind) as told:
        await caller.sdk.chat.completions.create(**chat(), stream=stream)

    assert told.value.status_code == status
    assert told.value.code == "scripted_code"
    assert "So sorry." in told.value.message
    assert told.value.request_id == "req-7"
    assert told.value.response.headers["x-cache"] == "MISS"
    assert (await caller.ask(chat()))[0] == "MISS"
    assert len(backend.asked) == 2


async def test_a_credential_that_the_backend_refuses_gets_no_answer_from_the_cache(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    await caller.ask(chat())
    async with Caller(proxy, REVOKED) as refused:
        for _ in range(2):
            with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
                await refused.ask(chat())

    assert (await caller.ask(chat()))[0] == "HIT"
    assert len(backend.asked) == 3


async def test_an_unknown_model_is_the_backends_to_refuse(caller: Caller) -> None:
    with pytest.raises(openai.NotFoundError, match="The model `unknown` does not exist"):
        await caller.ask(chat(model="unknown"))


async def test_a_path_the_backend_does_not_know_is_its_to_refuse(caller: Caller) -> None:
    with pytest.raises(openai.NotFoundError, match="Unknown request URL: GET /v1/batches/b"):
        await caller.sdk.batches.retrieve("b")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_the_clients_own_retry_gets_through_and_its_answer_is_kept(
    status: int, backend: OpenAIBackend, proxy: Proxied
) -> None:
    at_once = {"retry-after-ms": "1"}
    backend.faults += [Fault(status, "Later.", at_once), Fault(status, "Later.", at_once)]
    async with Caller(proxy, max_retries=2) as patient:
        verdict, completion = await patient.ask(chat())
        assert verdict == "MISS"
        assert await patient.ask(chat()) == ("HIT", completion)

    assert len(backend.asked) == 3
    retries = [asked.headers["x-stainless-retry-count"] for asked in backend.asked]
    assert retries == ["0", "1", "2"]


async def test_a_crowd_that_meets_a_full_backend_is_told_when_to_come_back(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    backend.hold()
    backend.faults.append(Fault(429, "Busy.", {"Retry-After": "7", "x-should-retry": "false"}))
    create = caller.sdk.chat.completions.create
    asking = asyncio.gather(*(create(**chat()) for _ in range(5)), return_exceptions=True)
    await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 4)
    backend.release()
    told = await asking

    assert len(backend.asked) == 1
    assert [type(each) for each in told] == [openai.RateLimitError] * 5
    waits = [each.response.headers.get("retry-after") for each in told]  # type: ignore[union-attr]
    assert waits == ["7"] * 5
    hints = [each.response.headers.get("x-should-retry") for each in told]  # type: ignore[union-attr]
    assert hints == ["false"] * 5


async def test_an_error_is_told_to_all_who_wait_whatever_form_of_answer_they_want(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    backend.hold()
    backend.faults.append(Fault(429, "Busy."))
    create = caller.sdk.chat.completions.create
    forms: list[Any] = [{}, {"stream": True}, counted({"stream": True})]
    asking = []
    for form in forms:
        asking.append(started(create(**chat(), **form)))
        await backend.was_asked(1)  # by the first, who wants a document
    await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 2)
    backend.release()
    told = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(each) for each in told] == [openai.RateLimitError] * 3
    assert len(backend.asked) == 1


async def test_a_client_that_runs_out_of_patience_asks_again_without_costing_a_second_call(
    backend: OpenAIBackend,
) -> None:
    backend.hold()
    async with (
        proxied(backend.url, flights={"orphan_grace_s": 60}) as proxy,
        Caller(proxy, timeout=0.6) as hasty,
        Caller(proxy) as patient,
    ):
        with pytest.raises(openai.APITimeoutError):
            await hasty.ask(chat())
        second = started(patient.ask(chat()))
        await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 1)
        backend.release()
        verdict, completion = await second

    assert verdict == "COALESCED"
    assert "Why?" in (completion.choices[0].message.content or "")
    assert len(backend.asked) == 1


async def test_the_answer_to_a_question_that_all_have_left_is_not_waited_for_long(
    backend: OpenAIBackend,
) -> None:
    backend.hold()
    async with (
        proxied(backend.url, flights={"orphan_grace_s": 0.01}, downstream=SHORT_GRACE) as proxy,
        Caller(proxy, timeout=0.6) as hasty,
    ):
        with pytest.raises(openai.APITimeoutError):
            await hasty.ask(chat())
        await backend.was_left(1)

        assert proxy.flights.counts.cancelled_orphans == 1


async def test_a_backend_that_does_not_answer_in_time_is_a_504_of_the_proxys_own(
    backend: OpenAIBackend,
) -> None:
    backend.hold()
    slow = {"url": backend.url, "first_byte_timeout_s": 0.1}
    async with proxied(slow) as proxy, Caller(proxy) as caller:
        with pytest.raises(openai.InternalServerError) as told:
            await caller.ask(chat())

    assert told.value.status_code == 504
    assert told.value.code == "connection_read_timeout"
    assert told.value.response.headers["x-cache"] == "ERROR"


async def test_a_backend_that_cannot_be_reached_is_a_502_of_the_proxys_own() -> None:
    async with ScriptedUpstream() as up:
        up.refuse()
        async with proxied(up.url) as proxy, Caller(proxy) as caller:
            with pytest.raises(openai.InternalServerError) as told:
                await caller.ask(chat())

    assert told.value.status_code == 502
    assert told.value.code == "connection_refused"
    body: Any = told.value.body
    assert body["type"]


async def test_a_stream_that_breaks_off_is_an_error_to_the_client_and_not_an_end() -> None:
    async with (
        ScriptedUpstream() as up,
        proxied(up.url) as proxy,
        Caller(proxy) as caller,
    ):
        asking = started(caller.sdk.chat.completions.create(**chat(), stream=True))
        call = await up.next_call()
        await call.head(200, [("Content-Type", "text/event-stream")], chunked=True)
        await call.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"He"}}]}\n\n')
        stream = await asking
        assert (await anext(stream)).choices[0].delta.content == "He"
        await call.reset()
        with pytest.raises(openai.APIConnectionError):
            await anext(stream)


async def test_an_error_inside_a_stream_reaches_the_client_and_is_not_kept() -> None:
    async def scold(call: Any) -> None:
        await call.head(200, [("Content-Type", "text/event-stream")], chunked=True)
        await call.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"He"}}]}\n\n')
        await call.chunk(b'data: {"error":{"message":"out of memory","code":"oom"}}\n\n')
        await call.chunk(b"data: [DONE]\n\n")
        await call.end()

    async with ScriptedUpstream() as up, proxied(up.url) as proxy, Caller(proxy) as caller:
        up.answer_with(scold)
        for _ in range(2):
            with pytest.raises(openai.APIError, match="out of memory"):
                await caller.hear(chat())
            await proxy.landed()

        assert up.calls == 2
        assert proxy.store.memory.entries == 0

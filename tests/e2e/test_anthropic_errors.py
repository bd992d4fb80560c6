"""Errors as Anthropic's client sees them: the backend's own, and what is done about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import orjson
import pytest
from support.anthropic_backend import EVENTS, AnthropicBackend, Fault
from support.anthropic_caller import AnthropicCaller, said
from support.proxied import Proxied, proxied
from support.scripted import Call, ScriptedUpstream

FAULTS = [
    (Fault(400, "invalid_request_error"), anthropic.BadRequestError),
    (Fault(401, "authentication_error"), anthropic.AuthenticationError),
    (Fault(403, "permission_error"), anthropic.PermissionDeniedError),
    (Fault(413, "request_too_large"), anthropic.APIStatusError),
    (Fault(429, "rate_limit_error"), anthropic.RateLimitError),
    (Fault(500, "api_error"), anthropic.InternalServerError),
    (Fault(529, "overloaded_error"), anthropic.InternalServerError),
]


@pytest.fixture
async def backend() -> AsyncIterator[AnthropicBackend]:
    async with AnthropicBackend() as backend:
        yield backend


@pytest.fixture
async def proxy(backend: AnthropicBackend) -> AsyncIterator[Proxied]:
    async with proxied(backend.url) as proxy:
        yield proxy


@pytest.fixture
async def caller(proxy: Proxied) -> AsyncIterator[AnthropicCaller]:
    async with AnthropicCaller(proxy) as caller:
        yield caller


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_is_the_backends_own_and_never_kept(
    fault: Fault,
    kind: type[anthropic.APIStatusError],
    stream: bool,
    backend: AnthropicBackend,
    caller: AnthropicCaller,
) -> None:
    backend.faults.append(fault)
    with pytest.raises(kind, match="So sorry") as told:
        await caller.sdk.messages.create(**said(), stream=stream)

    assert told.value.status_code == fault.status
    assert told.value.request_id == "req_1"
    assert told.value.response.headers["x-cache"] == "MISS"
    assert (await caller.ask(said()))[0] == "MISS"
    assert len(backend.asked) == 2


async def test_a_model_that_does_not_exist_is_asked_for_once(
    backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    told = []
    for stream in (False, True, False):
        with pytest.raises(anthropic.NotFoundError, match="model: unknown") as error:
            await caller.sdk.messages.create(**said(model="unknown"), stream=stream)
        told.append(error.value.response.headers["x-cache"])

    assert told == ["MISS", "HIT", "HIT"]
    assert len(backend.asked) == 1


async def test_an_overloaded_backend_is_stood_in_for_by_a_stale_answer(
    backend: AnthropicBackend,
) -> None:
    stale = {"ttl_s": 1e-6, "stale_if_error_s": 600}
    async with proxied(backend.url, cache=stale) as proxy, AnthropicCaller(proxy) as caller:
        _, first = await caller.ask(said())
        backend.faults.append(Fault(529, "overloaded_error"))
        verdict, again = await caller.ask(said())

    assert verdict == "STALE"
    assert again == first
    assert len(backend.asked) == 2


@pytest.mark.parametrize("status", [429, 529])
async def test_the_clients_own_retries_find_the_answer_that_is_there_by_then(
    status: int, backend: AnthropicBackend, proxy: Proxied
) -> None:
    at_once = (("retry-after-ms", "1"),)
    backend.faults += [Fault(status, "overloaded_error", headers=at_once)] * 2
    async with AnthropicCaller(proxy, max_retries=2) as patient:
        verdict, message = await patient.ask(said())
        assert verdict == "MISS"
        assert await patient.ask(said()) == ("HIT", message)
    assert len(backend.asked) == 3


async def test_an_error_of_the_proxys_own_is_one_of_the_clients(caller: AnthropicCaller) -> None:
    wish = {"Cache-Control": "only-if-cached"}
    with pytest.raises(anthropic.InternalServerError, match="No stored answer") as told:
        await caller.ask(said(extra_headers=wish))

    assert told.value.status_code == 504
    assert told.value.type == "sidecache_error"
    body: Any = told.value.body
    assert body["type"] == "error"


def event(**told: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (told["type"].encode(), orjson.dumps(told))


BEGUN = event(
    type="message_start",
    message={"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m",
             "stop_reason": None, "usage": {"input_tokens": 1, "output_tokens": 1}},
)  # fmt: skip


async def test_an_error_inside_a_stream_reaches_the_client_and_is_not_kept() -> None:
    async def scold(call: Call) -> None:
        await call.head(200, EVENTS, chunked=True)
        await call.chunk(BEGUN)
        error = {"type": "overloaded_error", "message": "Overloaded"}
        await call.chunk(event(type="error", error=error))
        await call.end()

    async with ScriptedUpstream() as up, proxied(up.url) as proxy, AnthropicCaller(proxy) as caller:
        up.answer_with(scold)
        for _ in range(2):
            with pytest.raises(anthropic.APIError, match="Overloaded"):
                await caller.hear(said())
            await proxy.landed()

        assert up.calls == 2
        assert proxy.store.memory.entries == 0
        assert [record.outcome.detail for record in proxy.records] == ["error-in-body"] * 2


async def test_a_stream_that_ends_before_it_says_so_is_not_kept() -> None:
    async def trail_off(call: Call) -> None:
        await call.head(200, EVENTS, chunked=True)
        await call.chunk(BEGUN)
        await call.end()

    async with ScriptedUpstream() as up, proxied(up.url) as proxy, AnthropicCaller(proxy) as caller:
        up.answer_with(trail_off)
        for _ in range(2):
            assert (await caller.hear(said()))[0] == "MISS"

        assert up.calls == 2
        assert proxy.store.memory.entries == 0

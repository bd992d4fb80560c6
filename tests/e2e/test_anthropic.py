"""Messages by Anthropic's own client: what it parses is the same from the cache, in every form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel
from support.anthropic_backend import RECORDED, AnthropicBackend
from support.anthropic_caller import AnthropicCaller, plain, said
from support.proxied import Proxied, proxied
from support.started import started

Json = dict[str, Any]


class About(BaseModel):
    about: str


def tool(name: str) -> Json:
    schema = {"type": "object", "properties": {"about": {"type": "string"}}}
    return {"name": name, "input_schema": schema}


THINKS = {"type": "enabled", "budget_tokens": 1024}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PARTS = [{"type": "text", "text": "What is this?"}, IMAGE]
# The client goes by the names of events, which one has not; and has MCP on its beta side only.
APART = {"odd_framing", "mcp"}
QUESTIONS = [
    pytest.param(said(), id="plain"),
    pytest.param(said("Grüße, 世界! 🌍", system=[{"type": "text", "text": "Hi."}]), id="unicode"),
    pytest.param(said(thinking=THINKS), id="thinking"),
    pytest.param(said(tools=[tool("find")]), id="a tool"),
    pytest.param(said(tools=[tool("find"), tool("weigh")], thinking=THINKS), id="parallel tools"),
    pytest.param(said() | {"messages": [{"role": "user", "content": PARTS}]}, id="an image"),
    *(pytest.param(said(model=name), id=name) for name in RECORDED if name not in APART),
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


# The same from the cache.


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_question_asked_twice_is_answered_twice_by_one_call_with_equal_objects(
    question: Json, backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    first = await caller.ask(question)
    second = await caller.ask(question)

    assert (first[0], second[0]) == ("MISS", "HIT")
    assert second[1].model_dump() == first[1].model_dump()
    assert len(backend.asked) == 1


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_stream_is_replayed_event_by_event_as_the_backend_sent_it(
    question: Json, backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    first = await caller.hear(question)
    second = await caller.hear(question)

    assert (first[0], second[0]) == ("MISS", "HIT")
    assert second[1] == first[1]
    assert len(first[1]) > 4
    assert first[1][-1].type == "message_stop"
    assert len(backend.asked) == 1


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_stored_document_is_streamed_to_who_wants_it_so(
    question: Json, backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    _, document = await caller.ask(question)
    verdict, message = await caller.follow(question)

    assert verdict == "HIT"
    assert message == plain(document)
    assert len(backend.asked) == 1


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_stored_stream_is_one_document_to_who_wants_that(
    question: Json, backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    _, message = await caller.follow(question)
    verdict, document = await caller.ask(question)

    assert verdict == "HIT"
    assert plain(document) == message
    assert len(backend.asked) == 1


async def test_the_synchronous_client_is_answered_from_what_the_asynchronous_one_asked(
    backend: AnthropicBackend, proxy: Proxied, caller: AnthropicCaller
) -> None:
    questions: list[Json] = [param.values[0] for param in QUESTIONS]
    first = [await caller.ask(question) for question in questions]

    def ask_all() -> tuple[list[Any], list[Any]]:
        with anthropic.Anthropic(base_url=proxy.url, api_key="sk-ant-one", max_retries=0) as client:
            documents = [client.messages.create(**question) for question in questions]
            messages = []
            for question in questions:
                with client.messages.stream(**question) as stream:
                    messages.append(stream.get_final_message())
            return documents, messages

    documents, messages = await asyncio.to_thread(ask_all)

    assert documents == [message for _, message in first]
    assert [plain(each) for each in messages] == [plain(message) for _, message in first]
    assert len(backend.asked) == len(questions)


@pytest.mark.parametrize("name", ["mcp", "thinking_omitted", "web_search"])
async def test_the_clients_beta_side_is_answered_in_both_forms_too(
    name: str, backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    create = caller.sdk.beta.messages
    question = said(model=name, betas=["mcp-client-2025-11-20"])
    document = await create.create(**question)
    async with create.stream(**question) as stream:
        message = await stream.get_final_message()

    assert plain(message) == plain(document)
    assert stream.response.headers["x-cache"] == "HIT"
    assert backend.asked[0].field("anthropic-beta") == "mcp-client-2025-11-20"
    assert len(backend.asked) == 1


async def test_structured_output_is_parsed_the_same_from_the_cache(
    backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    parse = caller.sdk.messages.parse
    told = [await parse(**said("Why?"), output_format=About) for _ in range(2)]
    async with caller.sdk.messages.stream(**said("Why?"), output_format=About) as stream:
        told.append(await stream.get_final_message())

    assert [each.parsed_output for each in told] == [About(about="Why?")] * 3
    assert len({each.id for each in told}) == 1
    assert len(backend.asked) == 1


async def test_a_conversation_with_thoughts_and_tools_goes_round_the_cache_turn_by_turn(
    backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    async def converse(result: str) -> list[str]:
        more: Json = {"tools": [tool("find"), tool("weigh")], "thinking": THINKS}
        messages: list[Json] = [{"role": "user", "content": "How heavy is it?"}]
        first, turn = await caller.ask(said(**more) | {"messages": messages})
        assert [block.type for block in turn.content] == ["thinking", "tool_use", "tool_use"]
        calls = [block.id for block in turn.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call, "content": result} for call in calls
        ]
        messages += [turn.to_param(), {"role": "user", "content": results}]  # type: ignore[list-item]
        second, turn = await caller.ask(said(**more) | {"messages": messages})
        assert turn.content[-1].type == "text"
        assert result in turn.content[-1].text
        return [first, second]

    assert await converse("a kilo") == ["MISS", "MISS"]
    assert await converse("a kilo") == ["HIT", "HIT"]
    assert await converse("two kilos") == ["HIT", "MISS"]  # another result, another question
    assert len(backend.asked) == 3


async def test_tokens_are_counted_once(backend: AnthropicBackend, caller: AnthropicCaller) -> None:
    asked = {"model": "m", "messages": said()["messages"]}
    count = caller.sdk.messages.with_raw_response.count_tokens
    told = [await count(**asked), await count(**asked), await count(**asked, system="Hi.")]

    assert [each.headers["x-cache"] for each in told] == ["MISS", "HIT", "MISS"]
    assert (await told[0].parse()).input_tokens == (await told[1].parse()).input_tokens
    assert [call.target for call in backend.asked] == ["/v1/messages/count_tokens"] * 2


# As it comes.


async def test_who_asks_while_a_stream_is_on_its_way_hears_it_live(
    backend: AnthropicBackend, proxy: Proxied, caller: AnthropicCaller
) -> None:
    backend.hold()
    create = caller.sdk.messages.with_raw_response.create
    first = await create(**said(), stream=True)
    events = await first.parse()
    began = await anext(events)  # the backend has said no more than that
    second = await create(**said(), stream=True)
    others = await second.parse()
    assert await anext(others) == began
    whole = started(caller.ask(said()))
    await proxy.counted(lambda: proxy.flights.counts.joined_after_head == 2)
    backend.release()
    rest, other_rest = [each async for each in events], [each async for each in others]
    verdict, document = await whole

    assert rest == other_rest
    assert rest[-1].type == "message_stop"
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "COALESCED")
    assert verdict == "COALESCED"
    assert plain(document) == (await caller.follow(said()))[1]
    assert len(backend.asked) == 1


async def test_who_asks_while_a_document_is_on_its_way_can_have_it_as_a_stream(
    backend: AnthropicBackend, proxy: Proxied, caller: AnthropicCaller
) -> None:
    backend.hold()
    first = started(caller.ask(said()))
    await proxy.counted(lambda: len(backend.asked) == 1)
    second = started(caller.follow(said()))
    await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 1)
    backend.release()

    assert (await first)[0] == "MISS"
    assert await second == ("COALESCED", plain((await first)[1]))
    assert len(backend.asked) == 1


# What is not the same question, and what is none.


@pytest.mark.parametrize(
    "different",
    [
        said(extra_body={"temperature": 0.5}),
        said(max_tokens=101),
        said(system="Be brief."),
        said(thinking=THINKS),
        said(tools=[tool("find")]),
        said(metadata={"user_id": "u"}),
        said(stop_sequences=["."]),
        said("why?"),
        said(extra_headers={"anthropic-version": "2099-01-01"}),
        said(extra_headers={"anthropic-beta": "context-1m-2025-08-07"}),
        said(extra_headers={"x-api-key": "sk-ant-two"}),
        said(extra_query={"beta": "true"}),
        said(extra_body={"of_tomorrow": 1}),
        said(workspace_id="wrkspc_2"),
    ],
    ids=str,
)
async def test_whatever_may_change_the_answer_makes_another_question(
    different: Json, backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    first = await caller.ask(said())
    other = await caller.ask(different)

    assert (first[0], other[0]) == ("MISS", "MISS")
    assert first[1].id != other[1].id
    assert len(backend.asked) == 2


async def test_no_two_keys_share_an_answer_even_at_the_same_moment(
    backend: AnthropicBackend, proxy: Proxied, caller: AnthropicCaller
) -> None:
    backend.hold()
    async with (
        AnthropicCaller(proxy, "sk-ant-two") as second,
        AnthropicCaller(proxy, api_key=None, auth_token="token") as third,
    ):
        callers = (caller, second, third)
        asking = [started(each.follow(said())) for each in callers]
        await proxy.counted(lambda: len(backend.asked) == 3)
        backend.release()
        told = await asyncio.gather(*asking)
        again = [await each.ask(said()) for each in callers]

    for (verdict, message), name in zip(told, ("sk-ant-one", "sk-ant-two", "token"), strict=True):
        assert verdict == "MISS"
        assert name in message["content"][0]["text"]
    assert [(verdict, plain(message)) for verdict, message in again] == [
        ("HIT", message) for _, message in told
    ]
    assert len({record.outcome.key.scope for record in proxy.records if record.outcome.key}) == 3


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
        {"container": "container_1"},
        {"extra_body": {"mcp_servers": [{"type": "url", "url": "https://example.org"}]}},
        {"max_tokens": 0},
    ],
    ids=str,
)
async def test_a_call_that_does_more_than_answer_is_passed_on_and_says_why(
    more: Json, backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    for _ in range(2):
        raw = await caller.sdk.messages.with_raw_response.create(**said(**more))
        assert raw.headers["x-cache"] == "BYPASS"
        assert raw.headers["x-cache-reason"] in {"stateful", "hosted-tools"}
    assert len(backend.asked) == 2


@pytest.mark.parametrize(
    "reason", ["max_tokens", "model_context_window_exceeded", "refusal", "pause_turn"]
)
async def test_an_answer_that_did_not_come_to_its_end_is_not_kept(
    reason: str, backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    question = said(model=f"stops: {reason}")
    told = [await caller.ask(question), await caller.ask(question)]
    verdicts = [verdict for verdict, _ in told] + [(await caller.hear(question))[0]]

    assert [message.stop_reason for _, message in told] == [reason] * 2
    assert verdicts == ["MISS"] * 3
    assert len(backend.asked) == 3


async def test_a_message_posted_to_something_else_is_passed_on(
    backend: AnthropicBackend, caller: AnthropicCaller
) -> None:
    note = {"role": "user", "content": "to a thread"}
    for _ in range(2):
        with pytest.raises(anthropic.NotFoundError) as told:
            await caller.sdk.post("/v1/threads/t/messages", body=note, cast_to=object)
        headers = told.value.response.headers
        assert (headers["x-cache"], headers["x-cache-reason"]) == ("BYPASS", "not-understood")
    assert len(backend.asked) == 2


@pytest.mark.parametrize(
    "name", ["request-id", "anthropic-organization-id", "anthropic-workspace-id"]
)
async def test_the_headers_of_one_delivery_are_not_replayed(
    name: str, caller: AnthropicCaller
) -> None:
    create = caller.sdk.messages.with_raw_response.create
    miss, hit = await create(**said()), await create(**said())

    assert name in miss.headers
    assert name not in hit.headers

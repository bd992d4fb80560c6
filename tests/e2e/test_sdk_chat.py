"""Chats by OpenAI's own client: what it parses is the same from the cache, in every form."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel
from support.openai_backend import OpenAIBackend
from support.proxied import Proxied
from support.sdk_caller import Caller, chat, counted

Json = dict[str, Any]


class Steps(BaseModel):
    question: str
    steps: list[str]


def tool(name: str) -> Json:
    about = {"type": "object", "properties": {"about": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": about}}


PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
]
SCHEMA = {"name": "steps", "schema": Steps.model_json_schema()}
TOOL_RESULT = [
    {"role": "user", "content": "Look it up."},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "It is 42."},
]
QUESTIONS = [
    pytest.param(chat(), id="plain"),
    pytest.param(chat("Grüße, 世界! 🌍"), id="beyond ascii"),
    pytest.param(chat(n=3), id="several choices"),
    pytest.param(chat(logprobs=True), id="logprobs"),
    pytest.param(chat(tools=[tool("find")]), id="a tool"),
    pytest.param(chat(tools=[tool("find"), tool("weigh")], n=2), id="parallel tools"),
    pytest.param(
        {"model": "m", "messages": TOOL_RESULT, "tools": [tool("find")]}, id="tool result"
    ),
    pytest.param(
        chat(response_format={"type": "json_schema", "json_schema": SCHEMA}), id="structured"
    ),
    pytest.param(chat(model="refuses"), id="a refusal"),
    pytest.param(chat(model="reasons"), id="reasoning"),
    pytest.param({"model": "m", "messages": [{"role": "user", "content": PARTS}]}, id="an image"),
]


def summed(chunks: list[ChatCompletionChunk]) -> Json:
    """The document that the client's own rules make of a stream."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    return plain(state.get_final_completion())


def plain(completion: ChatCompletion) -> Json:
    """``completion`` less what the client adds, empty members, and what a sum of chunks shows."""
    document = completion.model_dump(mode="json")
    for choice in document["choices"]:
        choice["message"].pop("parsed", None)
        choice["message"].pop("annotations")
        for call in choice["message"]["tool_calls"] or ():
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
    return _told(document)


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _told(each) for name, each in value.items() if each not in (None, "", [])}
    return [_told(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_question_asked_twice_is_answered_twice_by_one_call_with_equal_objects(
    question: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    first = await caller.ask(question)
    second = await caller.ask(question)

    assert (first[0], second[0]) == ("MISS", "HIT")
    assert second[1].model_dump() == first[1].model_dump()
    assert len(backend.asked) == 1


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
async def test_a_stream_is_replayed_chunk_by_chunk_as_the_backend_sent_it(
    question: Json, options: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    first = await caller.hear(question | options)
    second = await caller.hear(question | options)

    assert (first[0], second[0]) == ("MISS", "HIT")
    assert second[1] == first[1]
    assert len(first[1]) > 3
    assert (first[1][-1].usage is not None) == bool(options)
    assert len(backend.asked) == 1


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_stored_document_is_streamed_to_who_wants_it_so(
    question: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    _, document = await caller.ask(question)
    with_counts = await caller.hear(counted(question))
    without = await caller.hear(question)

    assert (with_counts[0], without[0]) == ("HIT", "HIT")
    assert summed(with_counts[1]) == plain(document)
    assert with_counts[1][-1].usage == document.usage
    assert all(chunk.usage is None for chunk in without[1])
    uncounted = document.model_copy(update={"usage": None})
    assert summed(without[1]) == plain(uncounted)
    assert len(backend.asked) == 1


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_stored_stream_that_tells_its_token_counts_serves_every_other_form(
    question: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    _, chunks = await caller.hear(counted(question))
    as_document = await caller.ask(question)
    without_counts = await caller.hear(question)

    assert (as_document[0], without_counts[0]) == ("HIT", "HIT")
    assert plain(as_document[1]) == summed(chunks)
    assert as_document[1].usage == chunks[-1].usage
    assert without_counts[1] == chunks[:-1]
    assert len(backend.asked) == 1


async def test_a_document_is_never_made_of_a_stream_that_did_not_tell_its_token_counts(
    backend: OpenAIBackend, caller: Caller
) -> None:
    await caller.hear(chat())
    asked_again = await caller.ask(chat())

    assert asked_again[0] == "MISS"
    assert asked_again[1].usage is not None
    assert (await caller.hear(chat()))[0] == "HIT"  # the document serves both forms from now on
    assert len(backend.asked) == 2


async def test_the_synchronous_client_is_answered_from_what_the_asynchronous_one_asked(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    questions: list[Json] = [param.values[0] for param in QUESTIONS]
    first = [await caller.ask(question) for question in questions]

    def ask_all() -> tuple[list[ChatCompletion], list[list[ChatCompletionChunk]]]:
        with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="sk-one", max_retries=0) as client:
            create = client.chat.completions.create
            documents = [create(**question) for question in questions]
            streams = [create(**question, stream=True) for question in questions]
            return documents, [list(stream) for stream in streams]

    documents, streams = await asyncio.to_thread(ask_all)

    assert documents == [completion for _, completion in first]
    assert [len(chunks) > 2 for chunks in streams] == [True] * len(questions)
    assert len(backend.asked) == len(questions)


async def test_text_completions_are_cached_in_both_forms(
    backend: OpenAIBackend, caller: Caller
) -> None:
    create = caller.sdk.completions.create
    first = await create(model="m", prompt="Once upon a time")
    second = await create(model="m", prompt="Once upon a time")
    stream = await create(model="m", prompt="Once upon a time", stream=True)
    text = "".join([chunk.choices[0].text async for chunk in stream])

    assert second == first
    assert text == first.choices[0].text
    assert len(backend.asked) == 1
    assert (await create(model="m", prompt="Twice upon a time")).id != first.id


async def test_a_raw_response_tells_what_the_cache_did(caller: Caller) -> None:
    miss = await caller.sdk.chat.completions.with_raw_response.create(**chat())
    hit = await caller.sdk.chat.completions.with_raw_response.create(**chat())

    assert miss.headers["x-cache"] == "MISS"
    assert miss.headers["x-cache-reason"] == "uri-miss"
    assert "stored" in miss.headers["cache-status"]
    assert "age" not in miss.headers
    assert hit.headers["x-cache"] == "HIT"
    assert hit.headers["x-cache-tier"] == "l1_memory"
    assert hit.headers["cache-status"].startswith("sidecache; hit; ttl=")
    assert hit.headers["age"] == "0"
    assert hit.text == miss.text


async def test_a_streaming_response_is_read_line_by_line_from_the_cache_too(
    caller: Caller, proxy: Proxied
) -> None:
    heard = []
    for _ in range(2):
        async with caller.sdk.chat.completions.with_streaming_response.create(
            **chat(), stream=True
        ) as response:
            heard.append([line async for line in response.iter_lines()])

    assert heard[0] == heard[1]
    assert heard[0][-2:] == ["data: [DONE]", ""]


async def test_structured_output_is_parsed_the_same_from_the_cache(
    backend: OpenAIBackend, caller: Caller
) -> None:
    parse = caller.sdk.chat.completions.parse
    first = await parse(**chat("How?"), response_format=Steps)
    second = await parse(**chat("How?"), response_format=Steps)

    assert first.choices[0].message.parsed == Steps(question="How?", steps=["think", "answer"])
    assert second == first
    assert len(backend.asked) == 1


async def test_a_parsed_stream_is_the_same_from_the_cache(
    backend: OpenAIBackend, caller: Caller
) -> None:
    heard = []
    for _ in range(2):
        async with caller.sdk.chat.completions.stream(
            **chat("How?"), response_format=Steps
        ) as stream:
            events = [event async for event in stream]
            heard.append((events, await stream.get_final_completion()))

    assert heard[0] == heard[1]
    assert heard[0][1].choices[0].message.parsed == Steps(
        question="How?", steps=["think", "answer"]
    )
    assert len(backend.asked) == 1


async def test_a_conversation_with_tools_goes_round_the_cache_turn_by_turn(
    backend: OpenAIBackend, caller: Caller
) -> None:
    async def converse(result: str) -> list[str]:
        tools, seen = [tool("find"), tool("weigh")], []
        messages: list[Json] = [{"role": "user", "content": "How heavy is it?"}]
        verdict, turn = await caller.ask({"model": "m", "messages": messages, "tools": tools})
        seen.append(verdict)
        message = turn.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        calls = message.tool_calls or ()
        messages += [{"role": "tool", "tool_call_id": call.id, "content": result} for call in calls]
        verdict, turn = await caller.ask({"model": "m", "messages": messages, "tools": tools})
        seen.append(verdict)
        assert turn.choices[0].message.content == f"You asked {result!r} as sk-one (0)."
        return seen

    assert await converse("a kilo") == ["MISS", "MISS"]
    assert await converse("a kilo") == ["HIT", "HIT"]
    assert await converse("two kilos") == ["HIT", "MISS"]  # another result, another question
    assert len(backend.asked) == 3


async def test_the_client_for_azure_is_answered_from_the_cache_and_told_apart_by_its_key(
    backend: OpenAIBackend, proxy: Proxied
) -> None:
    told = []
    for key, version in (("one", "v1"), ("one", "v1"), ("two", "v1"), ("one", "v2")):
        async with openai.AsyncAzureOpenAI(
            azure_endpoint=proxy.url, api_key=key, api_version=version
        ) as azure:
            create = azure.chat.completions.with_raw_response.create
            raw = await create(**chat(model="deployment"))
            told.append(raw.headers["x-cache"])
            assert f"as {key} " in (raw.parse().choices[0].message.content or "")

    assert told == ["MISS", "HIT", "MISS", "MISS"]
    assert backend.asked[0].path == "/openai/deployments/deployment/chat/completions"


async def test_an_answer_cut_short_by_a_limit_is_not_kept(
    backend: OpenAIBackend, caller: Caller
) -> None:
    question = chat(model="cut-short")
    verdicts = [(await caller.ask(question))[0] for _ in range(2)]
    verdicts += [(await caller.hear(question))[0] for _ in range(2)]

    assert verdicts == ["MISS"] * 4
    assert len(backend.asked) == 4


async def test_a_stream_that_is_left_half_way_is_heard_whole_by_the_next_who_asks(
    backend: OpenAIBackend, caller: Caller
) -> None:
    backend.hold()
    async with await caller.sdk.chat.completions.create(**chat(), stream=True) as stream:
        await anext(stream)  # and then the client loses interest
    backend.release()
    verdict, chunks = await caller.hear(chat())

    assert verdict in {"COALESCED", "HIT"}
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(backend.asked) == 1


@pytest.mark.parametrize(
    "different",
    [
        chat("Why?", temperature=0.5),
        chat("Why?", seed=1),
        chat("Why?", max_tokens=10),
        chat("Why?", n=1),
        chat("Why?", user="somebody"),
        chat("Why?", metadata={"tenant": "b"}),
        chat("Why?", tools=[tool("find")]),
        chat("Why?", model="m2"),
        chat("why?"),
        chat("Why? "),
        chat("Why?", extra_body={"top_k": 3}),
        chat("Why?", extra_headers={"OpenAI-Project": "other"}),
        chat("Why?", extra_headers={"Authorization": "Bearer sk-two"}),
        chat("Why?", extra_query={"api-version": "2"}),
    ],
)
async def test_whatever_may_change_the_answer_makes_another_question(
    different: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    first = await caller.ask(chat("Why?"))
    other = await caller.ask(different)

    assert (first[0], other[0]) == ("MISS", "MISS")
    assert first[1].id != other[1].id
    assert len(backend.asked) == 2

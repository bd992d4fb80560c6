"""Responses by OpenAI's own client: what it parses is the same from the cache, in every form."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel
from support.openai_backend import REVOKED, Fault, OpenAIBackend
from support.proxied import Proxied, proxied
from support.sdk_caller import Caller
from support.started import started

Json = dict[str, Any]


class Steps(BaseModel):
    question: str
    steps: list[str]


def ask(said: str = "Why?", /, **more: Any) -> Json:
    return {"model": "m", "input": said, **more}


def tool(name: str) -> Json:
    about = {"type": "object", "properties": {"about": {"type": "string"}}}
    return {"type": "function", "name": name, "parameters": about, "strict": False}


SCHEMA = {"type": "json_schema", "name": "steps", "schema": Steps.model_json_schema()}
PARTS = [
    {"type": "input_text", "text": "What is this?"},
    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
]
TOOL_RESULT = [
    {"role": "user", "content": "Look it up."},
    {"type": "function_call", "call_id": "call_0", "name": "find", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_0", "output": "It is 42."},
]
QUESTIONS = [
    pytest.param(ask(), id="plain"),
    pytest.param(ask("Grüße, 世界! 🌍"), id="beyond ascii"),
    pytest.param(ask(store=False), id="not stored"),
    pytest.param(ask(include=["message.output_text.logprobs"]), id="logprobs"),
    pytest.param(ask(tools=[tool("find")]), id="a tool"),
    pytest.param(
        ask(tools=[tool("find"), tool("weigh"), {"type": "custom", "name": "note"}]),
        id="parallel tools",
    ),
    pytest.param({"model": "m", "input": TOOL_RESULT, "tools": [tool("find")]}, id="tool result"),
    pytest.param(ask(text={"format": SCHEMA}), id="structured"),
    pytest.param(ask(model="refuses"), id="a refusal"),
    pytest.param(ask(model="reasons"), id="reasoning"),
    pytest.param(ask(model="cites"), id="citations"),
    pytest.param({"model": "m", "input": [{"role": "user", "content": PARTS}]}, id="an image"),
]


def ended(events: list[ResponseStreamEvent]) -> Response:
    """The response that a stream ends with."""
    assert events[-1].type == "response.completed"
    return events[-1].response


def texts(events: list[ResponseStreamEvent]) -> dict[tuple[str, int], str]:
    """What the pieces of each item add up to."""
    heard: dict[tuple[str, int], str] = {}
    for event in events:
        if event.type.endswith(".delta"):
            key = (event.type, event.output_index)
            heard[key] = heard.get(key, "") + event.delta
    return heard


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_question_asked_twice_is_answered_twice_by_one_call_with_equal_objects(
    question: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    first = await caller.ask_for_response(question)
    second = await caller.ask_for_response(question)

    assert (first[0], second[0]) == ("MISS", "HIT")
    assert second[1] == first[1]
    assert second[1].id == "resp_1"
    assert len(backend.asked) == 1


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_stream_is_replayed_event_by_event_as_the_backend_sent_it(
    question: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    first = await caller.hear_response(question)
    second = await caller.hear_response(question)

    assert (first[0], second[0]) == ("MISS", "HIT")
    assert second[1] == first[1]
    assert [event.sequence_number for event in first[1]] == list(range(len(first[1])))
    assert len(backend.asked) == 1


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_stored_document_is_streamed_to_who_wants_it_so(
    question: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    _, document = await caller.ask_for_response(question)
    verdict, events = await caller.hear_response(question)
    anew = {"extra_headers": {"Cache-Control": "no-cache"}}
    _, as_sent = await caller.hear_response(question | anew)

    assert verdict == "HIT"
    assert ended(events) == document
    assert texts(events) == texts(as_sent)
    assert {event.type for event in events} == {event.type for event in as_sent}
    assert len(backend.asked) == 2


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_stored_stream_serves_who_wants_a_document(
    question: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    _, events = await caller.hear_response(question)
    verdict, document = await caller.ask_for_response(question)

    assert verdict == "HIT"
    assert document == ended(events)
    assert document.usage
    assert document.usage.output_tokens_details.reasoning_tokens == 3
    assert len(backend.asked) == 1


async def test_the_clients_own_sum_of_a_stream_is_the_same_from_the_cache_and_from_a_document(
    backend: OpenAIBackend, caller: Caller
) -> None:
    async def summed(said: str) -> tuple[list[str], Any]:
        async with caller.sdk.responses.stream(**ask(said), text_format=Steps) as stream:
            kinds = [event.type async for event in stream]
            return kinds, await stream.get_final_response()

    live, replayed = await summed("How?"), await summed("How?")
    document = await caller.sdk.responses.parse(**ask("Who?"), text_format=Steps)
    made = await summed("Who?")

    assert replayed == live
    assert live[1].output_parsed == Steps(question="How?", steps=["think", "answer"])
    assert made[1] == document
    assert set(made[0]) == set(live[0])
    assert len(backend.asked) == 2


async def test_structured_output_is_parsed_the_same_from_the_cache(
    backend: OpenAIBackend, caller: Caller
) -> None:
    parse = caller.sdk.responses.parse
    first = await parse(**ask("How?"), text_format=Steps)
    second = await parse(**ask("How?"), text_format=Steps)

    assert first.output_parsed == Steps(question="How?", steps=["think", "answer"])
    assert second == first
    assert len(backend.asked) == 1


async def test_who_joins_hears_the_stream_live_and_who_wants_a_document_gets_it_at_the_end(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    async def begin() -> tuple[Any, ResponseStreamEvent]:
        stream = await caller.sdk.responses.create(**ask(), stream=True)
        return stream, await anext(stream)

    async def finish(stream: Any, first: ResponseStreamEvent) -> list[ResponseStreamEvent]:
        return [first, *[event async for event in stream]]

    backend.hold()
    begun = [await begin() for _ in range(5)]
    assert not proxy.flights.counts.landed  # all have heard the beginning of it, live
    asking = started(caller.ask_for_response(ask()))
    await proxy.counted(lambda: proxy.flights.counts.joined_after_head == 5)
    backend.release()
    heard = await asyncio.gather(*(finish(*each) for each in begun))
    verdict, document = await asking

    assert all(events == heard[0] for events in heard)
    assert document == ended(heard[0])
    assert verdict == "COALESCED"
    assert len(backend.asked) == 1


async def test_a_stream_that_is_left_half_way_is_heard_whole_by_the_next_who_asks(
    backend: OpenAIBackend, caller: Caller
) -> None:
    backend.hold()
    async with await caller.sdk.responses.create(**ask(), stream=True) as stream:
        await anext(stream)  # and then the client loses interest
    backend.release()
    verdict, events = await caller.hear_response(ask())

    assert verdict in {"COALESCED", "HIT"}
    assert ended(events).id == "resp_1"
    assert len(backend.asked) == 1


async def test_the_synchronous_client_is_answered_from_what_the_asynchronous_one_asked(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    _, document = await caller.ask_for_response(ask())

    def ask_both() -> tuple[Response, list[ResponseStreamEvent]]:
        with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="sk-one", max_retries=0) as client:
            create = client.responses.create
            return create(**ask()), list(create(**ask(), stream=True))

    again, events = await asyncio.to_thread(ask_both)

    assert again == ended(events) == document
    assert len(backend.asked) == 1


async def test_a_conversation_with_tools_goes_round_the_cache_turn_by_turn(
    backend: OpenAIBackend, caller: Caller
) -> None:
    async def converse(result: str) -> list[str]:
        seen, tools = [], [tool("find"), tool("weigh")]
        items: list[Json] = [{"role": "user", "content": "How heavy is it?"}]
        verdict, turn = await caller.ask_for_response(
            {"model": "m", "input": items, "tools": tools}
        )
        seen.append(verdict)
        items += [item.model_dump(exclude_none=True) for item in turn.output]
        items += [
            {"type": "function_call_output", "call_id": call.call_id, "output": result}
            for call in turn.output
        ]
        verdict, turn = await caller.ask_for_response(
            {"model": "m", "input": items, "tools": tools}
        )
        seen.append(verdict)
        assert turn.output_text == f"You asked {result!r} as sk-one."
        return seen

    assert await converse("a kilo") == ["MISS", "MISS"]
    assert await converse("a kilo") == ["HIT", "HIT"]
    assert await converse("two kilos") == ["HIT", "MISS"]  # another result, another question
    assert len(backend.asked) == 3


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"store": True}, "stateful"),
        ({"background": True}, "stateful"),
        ({"previous_response_id": "resp_0"}, "stateful"),
        ({"conversation": "conv_1"}, "stateful"),
        ({"prompt": {"id": "pmpt_1"}}, "stateful"),
        ({"input": [{"type": "item_reference", "id": "msg_0"}]}, "stateful"),
        ({"tools": [{"type": "web_search", "name": "x"}]}, "hosted-tools"),
        ({"tools": [{"type": "mcp", "name": "x", "server_label": "x"}]}, "hosted-tools"),
        ({"extra_headers": {"Cache-Control": "no-store"}}, "no-store"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_only_the_backend_can_answer_is_passed_on_and_the_caller_is_told_why(
    more: Json, why: str, stream: bool, backend: OpenAIBackend, caller: Caller
) -> None:
    create = caller.sdk.responses.with_raw_response.create
    for _ in range(2):
        raw = await create(**ask() | more, stream=stream)
        assert raw.headers["x-cache"] == "BYPASS"
        assert raw.headers["x-cache-reason"] == why
        if stream:
            assert [event async for event in raw.parse()]
    assert len(backend.asked) == 2


async def test_who_continues_from_a_response_out_of_the_cache_continues_from_what_the_backend_kept(
    backend: OpenAIBackend, caller: Caller
) -> None:
    await caller.ask_for_response(ask())
    _, replayed = await caller.ask_for_response(ask())
    verdict, more = await caller.ask_for_response(ask("And?", previous_response_id=replayed.id))

    assert verdict == "BYPASS"
    assert more.previous_response_id == "resp_1"  # what the backend called the first one


async def test_other_calls_of_the_api_are_passed_on(backend: OpenAIBackend, caller: Caller) -> None:
    for call in (
        caller.sdk.responses.retrieve("resp_1"),
        caller.sdk.responses.cancel("resp_1"),
        caller.sdk.responses.input_tokens.count(model="m", input="Why?"),
    ):
        with pytest.raises(openai.NotFoundError) as told:
            await call
        assert told.value.response.headers["x-cache-reason"] == "route"
    assert len(backend.asked) == 3


@pytest.mark.parametrize(
    "different",
    [
        ask("Why?", temperature=0.5),
        ask("Why?", instructions="Be brief."),
        ask("Why?", reasoning={"effort": "high"}),
        ask("Why?", max_output_tokens=16),
        ask("Why?", store=False),
        ask("Why?", metadata={"tenant": "b"}),
        ask("Why?", include=["reasoning.encrypted_content"]),
        ask("Why?", tools=[tool("find")]),
        ask("Why?", model="m2"),
        ask("why?"),
        {"model": "m", "input": [{"role": "user", "content": "Why?"}]},
        ask("Why?", extra_body={"top_k": 3}),
        ask("Why?", extra_headers={"OpenAI-Project": "other"}),
        ask("Why?", extra_headers={"Authorization": "Bearer sk-two"}),
    ],
)
async def test_whatever_may_change_the_answer_makes_another_question(
    different: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    first = await caller.ask_for_response(ask("Why?"))
    other = await caller.ask_for_response(different)

    assert (first[0], other[0]) == ("MISS", "MISS")
    assert first[1].id != other[1].id


async def test_an_answer_cut_short_by_a_limit_is_kept_only_if_that_is_wanted(
    backend: OpenAIBackend, caller: Caller
) -> None:
    question = ask(model="cut-short")
    verdicts = [(await caller.ask_for_response(question))[0] for _ in range(2)]
    verdicts += [(await caller.hear_response(question))[0] for _ in range(2)]
    assert verdicts == ["MISS"] * 4

    async with (
        proxied(backend.url, cache={"store_truncated": True}) as proxy,
        Caller(proxy) as lenient,
    ):
        _, events = await lenient.hear_response(question)
        verdict, document = await lenient.ask_for_response(question)
    assert verdict == "HIT"
    assert events[-1].type == "response.incomplete"
    assert document == events[-1].response


async def test_a_stream_that_breaks_off_is_not_kept(
    backend: OpenAIBackend, caller: Caller, proxy: Proxied
) -> None:
    backend.mischief = lambda: "break"
    with pytest.raises(openai.APIConnectionError):
        await caller.hear_response(ask())
    await proxy.landed()
    backend.mischief = lambda: ""
    assert (await caller.hear_response(ask()))[0] == "MISS"
    assert (await caller.hear_response(ask()))[0] == "HIT"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_is_the_backends_own_and_never_kept_unless_it_is_about_the_question(
    stream: bool, backend: OpenAIBackend, caller: Caller
) -> None:
    backend.faults.append(Fault(429, "So sorry."))
    with pytest.raises(openai.RateLimitError, match="So sorry"):
        await caller.sdk.responses.create(**ask(), stream=stream)

    assert (await caller.ask_for_response(ask()))[0] == "MISS"
    assert len(backend.asked) == 2


async def test_a_credential_that_the_backend_refuses_gets_no_answer_from_the_cache(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    await caller.ask_for_response(ask())
    async with Caller(proxy, REVOKED) as refused:
        with pytest.raises(openai.AuthenticationError):
            await refused.ask_for_response(ask())
    assert (await caller.ask_for_response(ask()))[0] == "HIT"


async def test_the_same_question_in_other_words_is_answered_from_the_cache(
    backend: OpenAIBackend,
) -> None:
    words = {"enabled": True, "embedder": {"kind": "none"}, "shadow": {"enabled": False}}
    async with proxied(backend.url, semantic=words) as proxy, Caller(proxy) as caller:
        first = await caller.ask_for_response(ask("How do I reset my router?"))
        await proxy.landed()
        assert proxy.semantic is not None
        await proxy.semantic.learner.settled()
        alike = ask("Please, how do I reset my router")
        again = await caller.ask_for_response(alike)
        streamed = await caller.hear_response(alike)
        other = await caller.ask_for_response({**alike, "instructions": "Be brief."})

    assert (first[0], again[0], streamed[0], other[0]) == ("MISS", "HIT", "HIT", "MISS")
    assert again[1] == ended(streamed[1]) == first[1]

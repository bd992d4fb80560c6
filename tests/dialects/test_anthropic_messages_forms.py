"""A message is the same message as a document and as a stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from support.anthropic_answers import Json, documents, streams, written
from support.chat_answers import same
from support.properties import unhurried

from proxy.dialects.anthropic_messages.forms import document_of, stream_of
from proxy.dialects.shapes import NoOtherForm
from proxy.wire import frames

GOLDEN = sorted(Path(__file__).with_name("golden").glob("anthropic/*.sse"))
EVENTS: TypeAdapter[BetaRawMessageStreamEvent] = TypeAdapter(BetaRawMessageStreamEvent)
USAGE = {"input_tokens": 3, "output_tokens": 1}
SAYS = {"type": "text", "text": "Hi"}


def dump(document: object) -> bytes:
    return json.dumps(document).encode()


def message(*content: object, **members: object) -> Json:
    told = {"type": "message", "content": list(content), "stop_reason": "end_turn"}
    return {**told, "usage": USAGE, **members}


def events(stream: bytes) -> list[Json]:
    found, rest = frames.split(stream)
    assert not rest
    told = [event for event in map(frames.parse, found) if event]
    for event in told:
        assert event.name.decode() == json.loads(event.data)["type"]
    return [json.loads(event.data) for event in told]


def of_block(opening: Json, *deltas: Json) -> list[Json]:
    """The events of a message with one block."""
    opened = message(stop_reason=None)
    return [
        {"type": "message_start", "message": opened},
        {"type": "content_block_start", "index": 0, "content_block": opening},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
        {"type": "message_stop"},
    ]


def block(opening: Json, *deltas: Json) -> Json:
    """What a block that opens so adds up to."""
    found: Json = json.loads(document_of(written(of_block(opening, *deltas))))["content"][0]
    return found


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_recorded_stream_adds_up_to_the_document_its_backend_would_have_sent(path: Path) -> None:
    document = json.loads(document_of(path.read_bytes()))
    assert same(document, json.loads(path.with_suffix(".json").read_text()))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_vendors_own_library_understands_both_forms_of_what_was_recorded(path: Path) -> None:
    raw = path.with_suffix(".json").read_bytes()
    BetaMessage.model_validate_json(document_of(path.read_bytes()))
    for event in events(stream_of(raw)):
        EVENTS.validate_python(event)


@unhurried
@given(documents())
def test_a_document_made_a_stream_and_back_is_the_same_document(document: Json) -> None:
    assert same(json.loads(document_of(stream_of(dump(document)))), document)


@unhurried
@given(st.data(), documents(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_however_a_backend_cuts_an_answer_it_adds_up(
    data: st.DataObject, document: Json, eol: str
) -> None:
    stream = written(data.draw(streams(document)), eol)
    assert same(json.loads(document_of(stream)), document)


def test_a_stream_tells_each_block_in_the_order_that_clients_are_used_to() -> None:
    cited = {"type": "char_location", "cited_text": "Hi"}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, "ü"]}}
    idle = {"type": "tool_use", "id": "t2", "name": "g", "input": {}}
    whole = {"type": "redacted_thinking", "data": "x"}
    content = (thought, whole, {**SAYS, "citations": [cited]}, call, idle)
    usage = {**USAGE, "cache_read_input_tokens": 7, "server_tool_use": None, "service_tier": "s"}
    document = message(*content, id="msg_1", stop_sequence=None, usage=usage)
    first, *told, last, stop = events(stream_of(dump(document)))

    assert first == {
        "type": "message_start",
        "message": {
            **document,
            "content": [],
            "stop_reason": None,
            "usage": {**usage, "output_tokens": 0},
        },
    }
    assert [(each["type"].removeprefix("content_block_"), each["index"]) for each in told] == [
        *(("start", 0), ("delta", 0), ("delta", 0), ("stop", 0), ("start", 1), ("stop", 1)),
        *(("start", 2), ("delta", 2), ("delta", 2), ("stop", 2)),
        *(("start", 3), ("delta", 3), ("stop", 3), ("start", 4), ("delta", 4), ("stop", 4)),
    ]
    assert [each["content_block"] for each in told if "content_block" in each] == [
        {"type": "thinking", "thinking": "", "signature": ""},
        whole,
        {"type": "text", "text": "", "citations": []},
        {**call, "input": {}},
        idle,
    ]
    assert [each["delta"] for each in told if "delta" in each] == [
        {"type": "thinking_delta", "thinking": "Hm."},
        {"type": "signature_delta", "signature": "c2ln"},
        {"type": "text_delta", "text": "Hi"},
        {"type": "citations_delta", "citation": cited},
        {"type": "input_json_delta", "partial_json": '{"a":[1,"ü"]}'},
        {"type": "input_json_delta", "partial_json": ""},
    ]
    assert last == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {**USAGE, "cache_read_input_tokens": 7},
    }
    assert stop == {"type": "message_stop"}


def test_how_a_message_ends_is_told_last_and_what_it_leaves_out_stays() -> None:
    stream = of_block(SAYS)
    opening = {"usage": {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 5}}
    stream[0]["message"] |= opening | {"stop_sequence": "x", "container": {"id": "c"}}
    counts = {"output_tokens": 9, "input_tokens": None, "server_tool_use": None, "iterations": [1]}
    ending = {"stop_reason": "end_turn", "container": None}
    told = {"usage": counts, "delta": ending, "context_management": {"applied_edits": []}}
    stream[-2] |= told
    assert json.loads(document_of(written(stream))) == {
        **message(SAYS, container={"id": "c"}, stop_sequence=None),
        "context_management": {"applied_edits": []},
        "usage": {
            "input_tokens": 3,
            "output_tokens": 9,
            "cache_read_input_tokens": 5,
            "server_tool_use": None,
            "iterations": [1],
        },
    }


def test_token_counts_may_come_at_the_end_alone_or_not_at_all() -> None:
    stream = of_block(SAYS)
    del stream[0]["message"]["usage"]
    assert json.loads(document_of(written(stream)))["usage"] == USAGE
    del stream[-2]["usage"]
    assert "usage" not in json.loads(document_of(written(stream)))


def test_a_block_may_open_with_a_part_of_what_it_says() -> None:
    said = block({"type": "text", "text": "H"}, {"type": "text_delta", "text": "i"})
    assert said == SAYS
    cited = {"type": "text", "text": "", "citations": [{"a": 1}]}
    more = {"type": "citations_delta", "citation": {"a": 2}}
    assert block(cited, more)["citations"] == [{"a": 1}, {"a": 2}]
    given = {"type": "tool_use", "id": "t", "input": {"a": 1}}
    assert block(given, {"type": "input_json_delta", "partial_json": ""}) == given


def test_an_estimate_of_how_much_was_thought_is_no_part_of_the_thought() -> None:
    hint = {"type": "thinking_delta", "thinking": "Hm.", "estimated_tokens": 50}
    thought = {"type": "thinking", "thinking": ""}
    assert block(thought, hint) == {"type": "thinking", "thinking": "Hm."}


CALL: Json = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
THOUGHT: Json = {"type": "thinking", "thinking": "", "signature": ""}


@pytest.mark.parametrize(
    ("opening", "deltas"),
    [
        ({"type": "a_kind_of_tomorrow"}, []),
        ({"type": None}, []),
        ({"type": ["text"]}, []),
        (SAYS, [{"type": "delta_of_tomorrow", "text": "a"}]),
        (SAYS, [{"type": "text_delta", "text": None}]),
        (SAYS, [{"type": "text_delta", "text": "a", "logprobs": [1]}]),
        (SAYS, [{"type": "thinking_delta", "thinking": "a"}]),
        (SAYS, [{"type": "citations_delta", "citation": "a"}]),
        (SAYS, [{"type": "citations_delta", "citation": {}, "at": 1}]),
        ({"type": "text", "text": ["a"]}, [{"type": "text_delta", "text": "a"}]),
        ({**SAYS, "citations": 1}, [{"type": "citations_delta", "citation": {}}]),
        (THOUGHT, [{"type": "thinking_delta", "thinking": "a", "score": 1}]),
        (THOUGHT, [{"type": "signature_delta", "signature": "a"}] * 2),
        (THOUGHT | {"signature": "a"}, [{"type": "signature_delta", "signature": "b"}]),
        (THOUGHT, [{"type": "signature_delta", "signature": "a", "of": 1}]),
        ({"type": "redacted_thinking"}, [{"type": "text_delta", "text": "a"}]),
        (CALL, [{"type": "text_delta", "text": "a"}]),
        (CALL, [{"type": "input_json_delta", "partial_json": '{"a'}]),
        (CALL, [{"type": "input_json_delta", "partial_json": "[1]"}]),
        (CALL, [{"type": "input_json_delta", "partial_json": '{"a":1,"a":2}'}]),
        (CALL, [{"type": "input_json_delta", "partial_json": '{"a":9007199254740993}'}]),
        (CALL, [{"type": "input_json_delta", "partial_json": "{}", "at": 1}]),
        (CALL | {"input": {"a": 1}}, [{"type": "input_json_delta", "partial_json": '{"a":2}'}]),
        (SAYS, [{"type": "input_json_delta", "partial_json": "{}"}]),
    ],
)
def test_a_block_that_would_need_guessing_has_no_document(
    opening: Json, deltas: list[Json]
) -> None:
    with pytest.raises(NoOtherForm):
        block(opening, *deltas)


START: Json = {"type": "message_start", "message": message(stop_reason=None)}


@pytest.mark.parametrize(
    ("at", "event"),
    [
        (0, {"type": "event_of_tomorrow"}),
        (1, {"type": "event_of_tomorrow"}),
        (1, START),
        (1, {"type": "content_block_start", "index": 1, "content_block": SAYS}),
        (1, {"type": "content_block_stop", "index": 0}),
        (1, {"type": "content_block_stop", "index": True}),
        (1, {"type": "content_block_delta", "index": 0, "delta": {}, "padding": "x"}),
        (3, {"type": "content_block_stop", "index": 0}),
        (3, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}}),
        (3, {"type": "content_block_delta", "index": -1, "delta": {"type": "text_delta"}}),
        (3, {"type": "content_block_start", "index": 1, "content_block": SAYS}),
        (3, {"type": "content_block_start", "index": 1, "content_block": "Hi"}),
        (3, {"type": "message_delta", "delta": {"stop_reason": "end_turn", "model": "m"}}),
        (3, {"type": "message_delta", "delta": {}, "confidence": 1}),
        (3, {"type": "message_delta", "delta": {}, "usage": 1}),
        (0, {"type": "message_delta", "delta": {}}),
        (0, {"type": "message_stop"}),
        (0, {"type": "message_start", "message": message(SAYS)}),
        (0, {"type": "error", "error": {}}),
    ],
)
def test_events_of_no_known_meaning_or_place_have_no_document(at: int, event: Json) -> None:
    stream = of_block(SAYS)
    document_of(written(stream))
    stream.insert(at, event)
    with pytest.raises(NoOtherForm):
        document_of(written(stream))


def test_a_stream_of_nothing_but_its_end_has_no_document() -> None:
    with pytest.raises(NoOtherForm):
        document_of(written([{"type": "message_stop"}]))


@pytest.mark.parametrize(
    "document",
    [
        message(SAYS, type="completion"),
        message(SAYS, usage=None),
        message(SAYS, usage={"input_tokens": 3}),
        message(SAYS, usage={"output_tokens": "3"}),
        message(content=None),
        message("Hi"),
        message({"type": "a_kind_of_tomorrow"}),
        message({"type": "text"}),
        message({"type": ["text"], "text": "Hi"}),
        message({**SAYS, "citations": "a"}),
        message({**SAYS, "citations": ["a"]}),
        message({"type": "thinking", "thinking": 1}),
        message({"type": "thinking", "thinking": "", "signature": 1}),
        message({"type": "tool_use", "input": "{}"}),
        message({"type": "tool_use"}),
    ],
)
def test_documents_of_another_shape_have_no_stream(document: Json) -> None:
    with pytest.raises(NoOtherForm):
        stream_of(dump(document))


@pytest.mark.parametrize("more", [b'"n":9007199254740993', b'"a":1,"a":2', b'"a":1,"A":2'])
def test_what_readers_may_read_differently_keeps_its_form(more: bytes) -> None:
    whole = dump(message(SAYS))
    with pytest.raises(NoOtherForm):
        stream_of(whole[:-1] + b"," + more + b"}")
    with pytest.raises(NoOtherForm):
        document_of(written(of_block(SAYS)).replace(b'"Hi"', b'"Hi",' + more))
    with pytest.raises(NoOtherForm):
        stream_of(b"[]")


def test_what_a_stream_leaves_out_of_its_message_is_not_guessed() -> None:
    events = of_block(SAYS)
    del events[0]["message"]["type"]
    with pytest.raises(NoOtherForm):
        document_of(written(events))


def test_the_end_of_a_gateways_streams_adds_nothing() -> None:
    told = written(of_block(SAYS))
    assert document_of(told + b"data: [DONE]\n\n") == document_of(told)

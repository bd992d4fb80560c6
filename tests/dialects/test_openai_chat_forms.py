"""An answer is the same answer as a document and as a stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.chat_answers import Json, documents, same, streams
from support.golden import CHATS
from support.properties import unhurried

from proxy.dialects.openai_chat.forms import (
    DONE,
    assemble,
    disassemble,
    document_of,
    stream_of,
)
from proxy.dialects.shapes import NoOtherForm
from proxy.wire import frames


def chunk(delta: object, **choice: object) -> Json:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, **choice}]}


def message(*deltas: object) -> Json:
    """What ``deltas`` add up to."""
    choices = assemble([chunk(delta) for delta in deltas])["choices"]
    assert isinstance(choices, list)
    found: Json = choices[0]["message"]
    return found


def call(index: int, **members: object) -> Json:
    return {"tool_calls": [{"index": index, **members}]}


@pytest.mark.parametrize("path", CHATS, ids=lambda path: path.stem)
def test_a_recorded_stream_adds_up_to_the_document_its_backend_would_have_sent(path: Path) -> None:
    document = json.loads(document_of(path.read_bytes()))
    assert same(document, json.loads(path.with_suffix(".json").read_text()))


@pytest.mark.parametrize("path", CHATS, ids=lambda path: path.stem)
def test_the_vendors_own_library_understands_both_forms_of_what_was_recorded(path: Path) -> None:
    raw = path.with_suffix(".json").read_bytes()
    text = json.loads(raw)["object"] == "text_completion"
    (Completion if text else ChatCompletion).model_validate_json(document_of(path.read_bytes()))
    found, rest = frames.split(stream_of(raw, usage=True))
    data = [event.data for event in map(frames.parse, found) if event]
    assert data.pop() == DONE
    assert not rest
    for each in data:
        (Completion if text else ChatCompletionChunk).model_validate_json(each)


@unhurried
@given(documents)
def test_a_document_made_a_stream_and_back_is_the_same_document(document: Json) -> None:
    raw = json.dumps(document).encode()
    assert same(json.loads(document_of(stream_of(raw, usage=True))), document)


@unhurried
@given(documents)
def test_without_token_counts_nothing_else_is_missing(document: Json) -> None:
    chunks = list(disassemble(document, usage=False))
    assert not any("usage" in each for each in chunks)
    document.pop("usage")
    assert same(assemble(chunks), document)


@unhurried
@given(st.data(), documents)
def test_however_a_backend_cuts_and_mixes_an_answer_it_adds_up(
    data: st.DataObject, document: Json
) -> None:
    assert same(assemble(data.draw(streams(document))), document)


def test_token_counts_come_once_at_the_end_and_are_announced_before() -> None:
    document: Json = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}],
        "usage": {"prompt_tokens": 1},
    }
    *chunks, last = disassemble(document, usage=True)
    assert [each["usage"] for each in chunks] == [None] * len(chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 1}


def test_a_stream_opens_with_the_role_and_tells_thoughts_before_words() -> None:
    spoken = {"role": "assistant", "content": "Hi", "refusal": None, "reasoning_content": "Hm"}
    choice = {"index": 0, "message": spoken, "logprobs": {"content": []}, "finish_reason": "stop"}
    chunks: list[Json] = list(disassemble({"choices": [choice]}, usage=False))
    told = [each["choices"][0] for each in chunks]
    assert [each["delta"] for each in told] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"reasoning_content": "Hm"},
        {"content": "Hi"},
        {},
    ]
    assert [each["finish_reason"] for each in told] == [None, None, None, "stop"]
    assert [each["logprobs"] for each in told] == [None, None, {"content": []}, None]


def test_required_members_that_no_delta_had_are_there_all_the_same() -> None:
    assert message(call(0, id="a"), None) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a"}],
    }


def test_names_and_ids_that_are_repeated_are_not_joined() -> None:
    function = {"name": "f", "arguments": "1"}
    first = call(0, id="a", type="function", function=function)
    again = call(0, id="", type="function", function={"name": "f", "arguments": "2"})
    calls = message(first, again, first)["tool_calls"]
    assert calls == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "121"}}]


def test_log_probabilities_of_silence_are_told_once_whatever_else_is_said() -> None:
    spoken = {"role": "assistant", "content": None, "": True}
    logprobs = {"content": [{"token": "a"}]}
    choice = {"index": 0, "message": spoken, "logprobs": logprobs, "finish_reason": "stop"}
    assert assemble(disassemble({"choices": [choice]}, usage=False)) == {"choices": [choice]}


def test_of_numbers_the_last_one_counts() -> None:
    assert message({"score": 1}, {"score": None}, {"score": 0.5})["score"] == 0.5


def test_tool_calls_stand_in_the_order_of_their_index() -> None:
    calls = message(call(1, id="b"), call(0, id="a"))["tool_calls"]
    assert calls == [{"id": "a"}, {"id": "b"}]


def test_unpadded_base64_cut_anywhere_is_joined_as_text() -> None:
    parts = [{"audio": {"data": "AAE"}}, {"audio": {"data": "C"}}, {"audio": {"expires_at": 1}}]
    assert message(*parts)["audio"] == {"data": "AAEC", "expires_at": 1}


def test_statements_about_the_whole_count_in_their_latest_version() -> None:
    first = {"id": "a", "created": 7, "cost": 1, "sources": [1], "zone": {"a": 1, "b": {"c": 1}}}
    later = {"id": "", "created": 0, "cost": 0, "sources": [1, 2], "zone": {"b": {"d": 2}}}
    assert assemble([first, later, {"cost": None, "sources": None}]) == {
        "id": "a",
        "created": 7,
        "cost": 0,
        "sources": [1, 2],
        "zone": {"a": 1, "b": {"c": 1, "d": 2}},
        "choices": [],
    }


@pytest.mark.parametrize(
    "deltas",
    [
        (call(0, id="a"), call(0, id="b")),
        (call(0, function={"name": "get_"}), call(0, function={"name": "weather"})),
        ({"tool_calls": [{"id": "a"}]},),
        ({"tool_calls": [{"index": True}]},),
        ({"tool_calls": {"index": 0}},),
        ({"role": "assistant"}, {"role": "tool"}),
        ({"content": "a"}, {"content": ["b"]}),
        ({"mood": {"a": 1}}, {"mood": "b"}),
        ({"audio": {"data": "AA=="}}, {"audio": {"data": "?"}}),
        ("a delta that is text",),
    ],
)
def test_fragments_that_would_need_guessing_are_not_joined(deltas: tuple[object, ...]) -> None:
    with pytest.raises(NoOtherForm):
        message(*deltas)


@pytest.mark.parametrize(
    "chunks",
    [
        [{"choices": [{"index": 0, "message": {"content": "a"}, "delta": {"content": "a"}}]}],
        [{"choices": [{"index": -1, "delta": {}}]}],
        [{"choices": {"index": 0}}],
        [{"sources": [1]}, {"sources": [2]}],
        [{"sources": 1}, {"sources": [2]}],
        [{"zone": 1}, {"zone": {}}],
    ],
)
def test_chunks_that_contradict_each_other_have_no_document(chunks: list[Json]) -> None:
    with pytest.raises(NoOtherForm):
        assemble(chunks)


@pytest.mark.parametrize(
    "document",
    [
        {"choices": None},
        {"choices": ["a"]},
        {"choices": [{"message": "a"}]},
        {"choices": [{"message": {}, "delta": {}}]},
        {"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]},
        {"choices": [{"message": {"tool_calls": [{"index": 1}, {"index": 0}]}}]},
    ],
)
def test_documents_of_another_shape_have_no_stream(document: Json) -> None:
    with pytest.raises(NoOtherForm):
        list(disassemble(document, usage=False))


def test_token_counts_nobody_gave_are_not_made_up() -> None:
    with pytest.raises(NoOtherForm):
        stream_of(b'{"choices":[{"text":"a"}],"usage":null}', usage=True)


@pytest.mark.parametrize(
    "raw", [b'{"choices":[],"n":9007199254740993}', b'{"choices":[],"a":1,"a":2}', b"[]"]
)
def test_what_readers_may_read_differently_keeps_its_form(raw: bytes) -> None:
    with pytest.raises(NoOtherForm):
        stream_of(raw, usage=False)
    with pytest.raises(NoOtherForm):
        document_of(frames.frame(raw) + frames.frame(DONE))

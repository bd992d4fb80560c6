"""An answer of Ollama's is the same answer as a document and as a stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama import ChatResponse, GenerateResponse
from support.chat_answers import Json, same
from support.ollama_answers import documents, streams
from support.properties import unhurried

from proxy.dialects.ollama.forms import (
    NoOtherForm,
    assemble,
    disassemble,
    document_of,
    stream_of,
)
from proxy.wire import lines

GOLDEN = sorted(Path(__file__).with_name("golden").glob("ollama_*.ndjson"))


def told(stream: bytes) -> list[Json]:
    found, rest = lines.split(stream)
    assert not rest
    return [json.loads(each) for each in found]


def written(parts: list[Json]) -> bytes:
    return b"".join(lines.line(json.dumps(each).encode()) for each in parts)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_stream_adds_up_to_the_document_the_server_would_have_sent(path: Path) -> None:
    document = document_of(path.read_bytes())
    expected = json.loads(path.with_suffix(".json").read_text())
    assert same(json.loads(document), expected)
    assert list(json.loads(document)) == list(expected) or "logprobs" in path.stem


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_vendors_own_library_understands_both_forms_of_what_was_golden(path: Path) -> None:
    raw = path.with_suffix(".json").read_bytes()
    shape = GenerateResponse if "response" in json.loads(raw) else ChatResponse
    whole = shape.model_validate_json(document_of(path.read_bytes()))
    assert whole == shape.model_validate_json(raw)
    parts = [shape.model_validate(each) for each in told(stream_of(raw))]
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) >= 2


@unhurried
@given(documents)
def test_a_document_made_a_stream_and_back_is_the_same_document(document: Json) -> None:
    raw = json.dumps(document).encode()
    assert same(json.loads(document_of(stream_of(raw))), document)


@unhurried
@given(st.data(), documents)
def test_however_the_server_cuts_an_answer_it_adds_up(data: st.DataObject, document: Json) -> None:
    stream = written(data.draw(streams(document)))
    assert same(json.loads(document_of(stream)), document)


def test_thoughts_are_told_before_words_and_words_before_calls() -> None:
    message = {"role": "assistant", "content": "Hi", "thinking": "Hm", "tool_calls": [{"id": "a"}]}
    document = {"model": "m", "message": message, "done": True, "logprobs": [1], "eval_count": 2}
    *parts, end = disassemble(document)
    assert [each["message"] for each in parts] == [
        {"role": "assistant", "content": "", "thinking": "Hm"},
        {"role": "assistant", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]},
    ]
    assert [each["model"] for each in parts] == ["m"] * 3
    assert [each["done"] for each in parts] == [False] * 3
    assert [each.get("logprobs") for each in parts] == [None, None, [1]]
    assert end == {
        "model": "m",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "eval_count": 2,
    }


def test_what_says_nothing_is_but_an_end() -> None:
    document = {"response": "", "thinking": "", "context": [1], "done": True, "logprobs": [1]}
    assert list(disassemble(document)) == [document]
    assert assemble([document]) == document


def test_what_the_end_tells_of_the_whole_is_as_the_last_line_has_it() -> None:
    first = {"created_at": "1", "response": "a", "done": False, "eval_count": 1, "load_duration": 5}
    last = {"created_at": "2", "response": "b", "done": True, "eval_count": 2}
    assert assemble([first, last]) == {**last, "response": "ab"}


def test_null_is_no_fragment() -> None:
    parts: list[Json] = [
        {"message": {"content": None, "tool_calls": None}, "done": False},
        {"message": {"content": "Hi", "tool_calls": None}, "done": True},
    ]
    message = {"content": "Hi", "tool_calls": None}
    assert assemble(parts) == {"message": message, "done": True}


def test_a_message_that_the_last_line_lacks_is_there_all_the_same() -> None:
    parts: list[Json] = [{"message": {"content": "Hi"}, "done": False}, {"done": True}]
    assert assemble(parts) == {"done": True, "message": {"content": "Hi"}}


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{"model": "a", "response": "x"}, {"model": "b", "response": ""}],
        [{"model": "a", "response": "x"}, {"response": ""}],
        [{"response": "x", "sure": True}, {"response": "", "sure": 1}],
        [{"response": "", "completed": 1, "total": 8}, {"response": "", "image": "AAAA"}],
        [{"response": "", "tool_calls": [1]}, {"response": ""}],
        [{"response": 1}, {"response": "x"}],
        [{"response": "", "logprobs": {}}],
        [{"message": "Hi"}],
        [{"message": {"role": "assistant"}}, {"message": {"role": "tool"}}],
        [{"message": {"content": "", "images": ["A"]}}, {"message": {"content": ""}}],
        [{"message": {"tool_calls": {"a": 1}}}],
    ],
)
def test_where_the_rules_would_have_to_guess_there_is_no_document(parts: list[Json]) -> None:
    with pytest.raises(NoOtherForm):
        document_of(written(parts))


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b"{}",
        b'{"done":true,"done":true}',
        b'{"response":"a","message":{}}',
        b'{"response":1}',
        b'{"message":"Hi"}',
        b'{"message":{"content":["Hi"]}}',
        b'{"message":{"tool_calls":"no"}}',
        b'{"response":"a","context":[9007199254740993]}',
    ],
)
def test_a_document_of_another_shape_is_made_no_stream(document: bytes) -> None:
    with pytest.raises(NoOtherForm):
        stream_of(document)


@pytest.mark.parametrize("stream", [b"", b"\n", b"{\n", b"[]\n", b'{"a":1,"A":2}\n'])
def test_what_is_no_stream_is_made_no_document(stream: bytes) -> None:
    with pytest.raises(NoOtherForm):
        document_of(stream)

"""Only what is whole, and an answer, is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.chat_answers import Json, documents, says_something, streams
from support.golden import CHATS
from support.properties import unhurried

from proxy.dialects.openai_chat.seal import FINISHED, Keep, seal
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed, Usage
from proxy.wire.json_pointer import Pointer

KEEP = Keep(truncated=False, tool_calls=True, finished=FINISHED)
JSON, STREAM = Form(), Form(stream=True)


def choice(finish: object = "stop", **message: object) -> Json:
    return {"index": 0, "message": message or {"content": "Hi"}, "finish_reason": finish}


def document(*choices: object, **members: object) -> bytes:
    return json.dumps({"choices": choices or [choice()], **members}).encode()


def stream(*chunks: object, end: str = "data: [DONE]\n\n") -> bytes:
    return "".join([*(f"data: {json.dumps(each)}\n\n" for each in chunks), end]).encode()


def delta(finish: object = None, index: object = 0, **members: object) -> Json:
    return {"choices": [{"index": index, "delta": members, "finish_reason": finish}]}


HELLO = (delta(role="assistant", content=""), delta(content="Hi"), delta("stop"))


def why(body: bytes, form: Form = STREAM, keep: Keep = KEEP) -> Why | None:
    verdict = seal(body, form, keep)
    return verdict.why if isinstance(verdict, Refusal) else None


@pytest.mark.parametrize("path", CHATS, ids=lambda path: path.stem)
def test_no_proper_prefix_of_a_recorded_answer_is_whole(path: Path) -> None:
    for form, whole in (
        (STREAM, path.read_bytes()),
        (JSON, path.with_suffix(".json").read_bytes()),
    ):
        assert why(whole, form) is None
        # What follows without meaning may be missing: a comment, the last line end of a file.
        meant = whole.rstrip(b"\n") if form == JSON else whole.removesuffix(b": bye\r\r")
        assert all(why(meant[:end], form) is not None for end in range(len(meant)))


@unhurried
@given(st.data(), documents.filter(says_something), st.sampled_from(["\n", "\r\n", "\r"]))
def test_no_proper_prefix_of_any_answer_is_whole(
    data: st.DataObject, answer: Json, eol: str
) -> None:
    chunks = data.draw(streams(answer))
    for form, whole in (
        (STREAM, stream(*chunks).replace(b"\n", eol.encode())),
        (JSON, json.dumps(answer).encode()),
    ):
        assert why(whole, form) is None
        missing = data.draw(st.integers(1, 9) | st.integers(1, len(whole)))
        assert why(whole[:-missing], form) is not None


def test_what_is_sealed_is_the_backends_own_bytes_and_says_whether_tokens_are_counted() -> None:
    counted = stream(*HELLO, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    assert seal(counted, STREAM, KEEP) == Sealed(Form(True, True), counted, Usage(3, 1))
    plain = stream(*HELLO)
    assert seal(plain, Form(True, True), KEEP) == Sealed(Form(True, False), plain, None)
    body = document()
    assert seal(body, JSON, KEEP) == Sealed(JSON, body, None)


def test_token_counts_that_are_no_numbers_are_not_passed_on() -> None:
    verdict = seal(document(usage={"prompt_tokens": "3"}), JSON, KEEP)
    assert isinstance(verdict, Sealed)
    assert verdict.usage is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (stream(*HELLO, end=""), Why.INCOMPLETE),
        (stream(*HELLO, end="data: [DONE]\n"), Why.INCOMPLETE),
        (stream(*HELLO, end="data: [DONE]\r\n\r"), Why.INCOMPLETE),
        (stream(*HELLO, end="data: [DONE]\n\ndata: {}\n\n"), Why.INCOMPLETE),
        (stream(*HELLO, end="data: [DONE]\n\ndata: [DO"), Why.INCOMPLETE),
        (stream(*HELLO[:2]), Why.INCOMPLETE),
        (stream(*HELLO, delta(index=1, content="Hey")), Why.INCOMPLETE),
        (stream(delta("stop", index=1, content="Hey")), Why.INCOMPLETE),
        (stream(), Why.INCOMPLETE),
        (b"", Why.INCOMPLETE),
        (b"data: {\n\n" + stream(*HELLO), Why.INCOMPLETE),
        (stream(*HELLO[:2], delta("abort")), Why.INCOMPLETE),
        (stream(*HELLO[:2], delta("error")), Why.ERROR_IN_BODY),
        (stream(*HELLO, {"error": {"message": "out of memory"}}), Why.ERROR_IN_BODY),
        (stream(*HELLO, {"object": "error", "message": "no"}), Why.ERROR_IN_BODY),
        (b"event: error\ndata: {}\n\n" + stream(*HELLO), Why.ERROR_IN_BODY),
        (stream(*HELLO, {"choices": [{"index": 0, "error": {"code": 502}}]}), Why.ERROR_IN_BODY),
        (stream(*HELLO, [1]), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, {"choices": {}, "x": 1}, {"choices": "no"}), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, {"choices": ["no"]}), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, delta(index="0")), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, delta({"why": "stop"})), Why.NOT_UNDERSTOOD),
        (stream(*HELLO[:2], delta("length")), Why.TRUNCATED),
        (stream(*HELLO[:2], delta("content_filter")), Why.TRUNCATED),
        (stream(delta(role="assistant", content=""), delta("stop")), Why.EMPTY),
        (stream(*HELLO, delta("stop", index=1, content="")), Why.EMPTY),
    ],
)
def test_a_stream_that_is_not_a_whole_answer_is_not_kept(body: bytes, reason: Why) -> None:
    assert why(body) is reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Why.INCOMPLETE),
        (b"<html>", Why.INCOMPLETE),
        (document()[:-1], Why.INCOMPLETE),
        (document() + document(), Why.INCOMPLETE),
        (b"[]", Why.NOT_UNDERSTOOD),
        (b"null", Why.NOT_UNDERSTOOD),
        (b"{}", Why.INCOMPLETE),
        (b'{"choices":[]}', Why.INCOMPLETE),
        (document(choice(None)), Why.INCOMPLETE),
        (document(choice(), choice(None)), Why.INCOMPLETE),
        (document(choice("")), Why.INCOMPLETE),
        (document({"finish_reason": "stop", "message": "Hi"}), Why.NOT_UNDERSTOOD),
        (document(error={"message": "no"}), Why.ERROR_IN_BODY),
        (document(choice("length")), Why.TRUNCATED),
        (document(choice("max_tokens")), Why.TRUNCATED),
        (document(choice(content=None)), Why.EMPTY),
        (document(choice(content="", annotations=[1], name="x")), Why.EMPTY),
        (document(choice(), choice(content="")), Why.EMPTY),
        (document({"delta": {"content": "Hi"}, "finish_reason": "stop"}), Why.EMPTY),
    ],
)
def test_a_document_that_is_not_a_whole_answer_is_not_kept(body: bytes, reason: Why) -> None:
    assert why(body, JSON) is reason


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "text", "text": "Hi"}]},
        {"content": None, "refusal": "No."},
        {"content": "", "reasoning_content": "Hm"},
        {"content": "", "reasoning": "Hm"},
        {"content": None, "audio": {"id": "a"}},
        {"content": None, "tool_calls": [{"id": "a"}]},
        {"content": None, "function_call": {"name": "f"}},
    ],
)
def test_an_answer_need_not_be_text(message: Json) -> None:
    assert why(document(choice(**message)), JSON) is None
    assert why(stream(delta(**message), delta("stop"))) is None


def test_a_text_completion_is_an_answer_if_there_is_text() -> None:
    assert why(document({"text": "Hi", "finish_reason": "stop"}), JSON) is None
    assert why(document({"text": "", "finish_reason": "stop"}), JSON) is Why.EMPTY


def test_what_means_nothing_takes_nothing_from_an_answer() -> None:
    silence = [{"choices": []}, {"choices": None}, {"event": "sources"}, {"error": None}]
    end = "data:[DONE]\n\n: bye\n\n\n"
    body = b": ping\n\n" + stream(*HELLO, *silence, delta(""), delta(None), end=end)
    assert why(body) is None
    assert why(body + b": unend") is None
    assert why(b" \n" + document(error=None) + b"\n", JSON) is None


def test_choices_without_an_index_are_one_in_a_stream_and_count_up_in_a_document() -> None:
    spoken = [{"choices": [{"delta": {"content": "Hi"}}]}, {"choices": [{"finish_reason": "stop"}]}]
    assert why(stream(*spoken)) is None
    assert why(document(choice(), choice()), JSON) is None


@unhurried
@given(finish=st.sampled_from(["length", "content_filter", "max_tokens", "model_length"]))
def test_answers_cut_short_are_kept_where_that_is_wanted(finish: str) -> None:
    keep = Keep(truncated=True, tool_calls=True, finished=FINISHED)
    assert why(document(choice(finish)), JSON, keep) is None
    assert why(document(choice(finish, content="")), JSON, keep) is Why.EMPTY


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (document(choice(content="")), JSON),
        (document(choice(), choice(content=None)), JSON),
        (document({"text": "", "finish_reason": "stop"}), JSON),
        (stream(delta(role="assistant", content=""), delta("stop")), STREAM),
    ],
)
def test_an_answer_that_says_nothing_is_kept_for_a_moment_where_that_is_wanted(
    body: bytes, form: Form
) -> None:
    kept = seal(body, form, replace(KEEP, empty=True))
    assert isinstance(kept, Sealed)
    assert kept.negative
    assert kept.body == body
    spoken = seal(document(), JSON, replace(KEEP, empty=True))
    assert isinstance(spoken, Sealed)
    assert not spoken.negative


@pytest.mark.parametrize(
    ("body", "form", "reason"),
    [
        (document(choice(content=""), choice("length")), JSON, Why.TRUNCATED),
        (document(choice(content=""), choice(None)), JSON, Why.INCOMPLETE),
        (stream(delta("stop", content=""), end=""), STREAM, Why.INCOMPLETE),
        (b"{}", JSON, Why.INCOMPLETE),
    ],
)
def test_an_answer_is_empty_only_if_it_is_whole(body: bytes, form: Form, reason: Why) -> None:
    assert why(body, form, replace(KEEP, empty=True)) is reason


def test_tool_calls_are_not_kept_where_that_is_not_wanted() -> None:
    keep = Keep(truncated=False, tool_calls=False, finished=FINISHED)
    calls = {"content": "Look:", "tool_calls": [{"index": 0, "id": "a"}]}
    assert why(document(choice("tool_calls", **calls)), JSON, keep) is Why.TOOL_CALLS
    assert why(stream(delta(**calls), delta("tool_calls")), STREAM, keep) is Why.TOOL_CALLS
    assert why(stream(*HELLO), STREAM, keep) is None


def test_a_backend_may_have_its_own_word_for_the_end() -> None:
    keep = Keep(truncated=False, tool_calls=True, finished=FINISHED | {"COMPLETE"})
    assert why(document(choice("COMPLETE")), JSON) is Why.INCOMPLETE
    assert why(document(choice("COMPLETE")), JSON, keep) is None


@unhurried
@given(
    st.binary(max_size=60) | st.text('data: []{}\n\r"choices:,1null', max_size=60).map(str.encode)
)
def test_garbage_is_refused_and_never_an_error_of_ours(body: bytes) -> None:
    assume(b"stop" not in body)
    assert why(body) is not None
    assert why(body, JSON) is not None


# How sure an answer is of itself.


def sure(body: bytes, form: Form, pointer: str = "/confidence") -> float | None:
    verdict = seal(body, form, KEEP, Pointer(pointer))
    assert isinstance(verdict, Sealed)
    return verdict.confidence


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (0.97, 0.97),
        (0, 0.0),
        (1, 1.0),
        (1.0, 1.0),
        (1.0001, None),
        (97, None),
        (-0.1, None),
        (True, None),
        ("0.97", None),
        (None, None),
        ([0.97], None),
    ],
)
def test_how_sure_an_answer_is_must_be_a_number_from_0_to_1(
    said: object, meant: float | None
) -> None:
    assert sure(document(confidence=said), JSON) == meant
    assert sure(stream(*HELLO, {"choices": [], "confidence": said}), STREAM) == meant
    assert sure(document(), JSON) is None


def test_in_a_stream_the_last_word_counts_and_null_is_none() -> None:
    chunks = [
        {**each, "confidence": word} for each, word in zip(HELLO, (0.2, 0.9, None), strict=True)
    ]
    assert sure(stream(*chunks), STREAM) == 0.9
    # What makes no sense takes back what was said before.
    assert sure(stream(*chunks, {"confidence": 95}), STREAM) is None


def test_it_is_looked_for_where_the_pointer_leads() -> None:
    body = document(x=[{"a/b": 0.5}], confidence=0.9)
    assert sure(body, JSON, "/x/0/a~1b") == 0.5
    assert sure(body, JSON, "/choices/0/message/content") is None
    verdict = seal(body, JSON, KEEP)
    assert isinstance(verdict, Sealed)
    assert verdict.confidence is None


# Nothing is left out of a stream that has a carriage return, and a comment changes nothing else.
ALL_OF_IT = b":\r\n\r\n"
TEXTS = st.sampled_from(
    [
        b"",
        b"a",
        b"bc",
        b"\\n",
        b"\xc3\xa9",
        b"\xff",
        b"\t",
        b'"',
        b'","finish_reason":"stop',
        b"\r",
        b"\n",
    ]
)
SHAPES = st.sampled_from(
    [
        b'{"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}',
        b'{"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":"stop"}]}',
        b'{"choices":[{"index":0,"delta":{"content": "%b"},"finish_reason":"length"}]}',
        b'{"choices":[{"index":1,"delta":{"content":"%b"},"finish_reason":"stop"}]}',
        b'{"choices":[{"index":1,"delta":{"x":{"content":"%b"}},"finish_reason":"stop"}]}',
        b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"content":"%b"}}',
        b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop","obfuscation":"%b"}]}',
        b'{"error":{"content":"%b"}}',
        b'{"confidence":0.5,"content":"%b"}',
        b'{"confidence":{"content":"%b"}}',
        b'{"confidence":"0.1","choices":[{"index":0,"delta":{"content":"%b"}}]}',
        b'{"x":"\\"content":"%b"}',
        b'{"x":"a"content":"%b"}',
        b'{"choices":[{"index":0,"delta":{"content":"%b","content":"b"}}]}',
        b'"content":"%b"',
        b"[DONE]",
    ]
)
SAID = st.tuples(SHAPES, st.lists(TEXTS, min_size=1, max_size=3))


@unhurried
@given(st.lists(SAID, max_size=6), st.sampled_from([b"data: ", b"event: error\ndata: ", b": "]))
def test_events_that_are_alike_count_as_if_each_had_been_heard(
    said: list[tuple[bytes, list[bytes]]], begins: bytes
) -> None:
    frames = [
        begins + (shape % text if b"%b" in shape else shape) + b"\n\n"
        for shape, texts in said
        for text in texts
    ]
    body = b"".join([*frames, b"data: [DONE]\n\n"])
    for keep in (KEEP, replace(KEEP, truncated=True), replace(KEEP, empty=True)):
        for pointer in (None, Pointer("/confidence"), Pointer("/choices/0/delta/content")):
            told, heard = (seal(each, STREAM, keep, pointer) for each in (body, ALL_OF_IT + body))
            if isinstance(heard, Sealed):
                heard = heard._replace(body=heard.body.removeprefix(ALL_OF_IT))
            assert told == heard

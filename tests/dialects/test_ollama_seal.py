"""Only what is whole, and an answer, is kept of what Ollama says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.chat_answers import Json
from support.ollama_answers import documents, says_something, streams
from support.properties import unhurried

from proxy.dialects.negative import Negative
from proxy.dialects.ollama.seal import seal
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed, Usage
from proxy.wire.json_pointer import Pointer

GOLDEN = sorted(Path(__file__).with_name("golden").glob("ollama_*.ndjson"))
JSON, STREAM = Form(), Form(stream=True)


def stream(*parts: object) -> bytes:
    return "".join(f"{json.dumps(each)}\n" for each in parts).encode()


def says(text: str = "", **more: object) -> Json:
    return {"message": {"role": "assistant", "content": text, **more}, "done": False}


def ends(reason: object = "stop", **more: object) -> Json:
    return {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": reason,
        **more,
    }


HELLO = says("Hi")


def why(body: bytes, form: Form = STREAM, wishes: Wishes = NO_WISHES) -> Why | None:
    verdict = seal(body, form, wishes)
    return verdict.why if isinstance(verdict, Refusal) else None


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_no_proper_prefix_of_a_golden_answer_is_whole(path: Path) -> None:
    for form, whole in (
        (STREAM, path.read_bytes()),
        (JSON, path.with_suffix(".json").read_bytes()),
    ):
        assert why(whole, form) is None
        meant = whole.rstrip()  # white space means nothing: not even a last line lacks it
        assert why(meant, form) is None
        assert all(why(meant[:end], form) is not None for end in range(len(meant)))


@unhurried
@given(st.data(), documents.filter(says_something), st.sampled_from(["\n", "\r\n"]))
def test_no_proper_prefix_of_any_answer_is_whole(
    data: st.DataObject, answer: Json, eol: str
) -> None:
    parts = data.draw(streams(answer))
    assume(not any(part.get("done") for part in parts[:-1]))
    for form, whole in (
        (STREAM, stream(*parts).replace(b"\n", eol.encode())),
        (JSON, json.dumps(answer).encode()),
    ):
        assert why(whole, form) is None
        meant = whole.rstrip()
        missing = data.draw(st.integers(1, 9) | st.integers(1, len(meant)))
        assert why(meant[:-missing], form) is not None


def test_what_is_sealed_is_the_backends_own_bytes_with_its_token_counts() -> None:
    body = stream(HELLO, ends(prompt_eval_count=3, eval_count=1))
    assert seal(body, STREAM, NO_WISHES) == Sealed(STREAM, body, Usage(3, 1))
    known = stream(HELLO, ends(eval_count=1))  # a prompt that was still in memory is not counted
    assert seal(known, STREAM, NO_WISHES) == Sealed(STREAM, known, Usage(0, 1))
    document = json.dumps({"response": "Hi", "done": True, "done_reason": "stop"}).encode()
    assert seal(document, JSON, NO_WISHES) == Sealed(JSON, document)


@pytest.mark.parametrize("counts", [{}, {"eval_count": "1"}, {"eval_count": True}])
def test_token_counts_that_are_no_numbers_are_not_passed_on(counts: Json) -> None:
    verdict = seal(stream(HELLO, ends(**counts)), STREAM, NO_WISHES)
    assert isinstance(verdict, Sealed)
    assert verdict.usage is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Why.INCOMPLETE),
        (b"\n\n", Why.INCOMPLETE),
        (stream(HELLO), Why.INCOMPLETE),
        (stream(HELLO, ends())[:-2], Why.INCOMPLETE),
        (stream(HELLO, ends(), HELLO), Why.INCOMPLETE),
        (stream(HELLO, ends(), ends()), Why.INCOMPLETE),
        (stream(HELLO, ends()) + b"{", Why.INCOMPLETE),
        (b"{\n" + stream(HELLO, ends()), Why.INCOMPLETE),
        (stream(HELLO, ends()).replace(b"\n", b" "), Why.INCOMPLETE),
        (stream(HELLO, {**ends(), "done": "true"}), Why.INCOMPLETE),
        (stream(HELLO, {**ends(), "done": 1}), Why.INCOMPLETE),
        (stream(HELLO, ends(None)), Why.INCOMPLETE),
        (stream(HELLO, ends("")), Why.INCOMPLETE),
        (stream(HELLO, ends("load")), Why.INCOMPLETE),
        (stream(HELLO, ends("unload")), Why.INCOMPLETE),
        (stream(HELLO, ends("aborted")), Why.INCOMPLETE),
        (stream(HELLO, ends(["stop"])), Why.NOT_UNDERSTOOD),
        (
            stream(HELLO, {"error": "an error was encountered while running the model"}),
            Why.ERROR_IN_BODY,
        ),
        (stream(HELLO, ends(error={"code": 500})), Why.ERROR_IN_BODY),
        (stream([1], ends()), Why.NOT_UNDERSTOOD),
        (stream({"message": "Hi"}, ends()), Why.NOT_UNDERSTOOD),
        (stream(HELLO, ends("length")), Why.TRUNCATED),
        (stream(HELLO, ends("content_filter")), Why.TRUNCATED),
        (stream(ends()), Why.EMPTY),
        (stream(says(tool_calls=[]), ends(message=None)), Why.EMPTY),
        (stream({"response": "", "done": True, "done_reason": "stop", "context": [1]}), Why.EMPTY),
    ],
)
def test_a_stream_that_is_not_a_whole_answer_is_not_kept(body: bytes, reason: Why) -> None:
    assert why(body) is reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Why.INCOMPLETE),
        (b"<html>", Why.INCOMPLETE),
        (stream(HELLO, ends()), Why.INCOMPLETE),
        (stream(HELLO), Why.INCOMPLETE),
        (b"[]", Why.NOT_UNDERSTOOD),
        (b"null", Why.NOT_UNDERSTOOD),
        (b"{}", Why.INCOMPLETE),
        (b'{"error":"model \'m\' not found"}', Why.ERROR_IN_BODY),
        (b'{"response":"","done":true,"done_reason":"load"}', Why.INCOMPLETE),
        (b'{"response":"Hi","done":true,"done_reason":"length"}', Why.TRUNCATED),
        (b'{"response":"","done":true,"done_reason":"stop"}', Why.EMPTY),
        (b'{"_debug_info":{"rendered_template":"Hi"},"done":false}', Why.INCOMPLETE),
    ],
)
def test_a_document_that_is_not_a_whole_answer_is_not_kept(body: bytes, reason: Why) -> None:
    assert why(body, JSON) is reason


@pytest.mark.parametrize(
    "spoken",
    [
        {"response": "Hi"},
        {"response": "", "thinking": "Hm"},
        {"image": "AAAA"},
        {"tool_calls": [{"function": {"name": "f"}}]},
        {"message": {"content": "", "thinking": "Hm"}},
        {"message": {"content": "", "images": ["AAAA"]}},
        {"message": {"content": "", "tool_calls": [{"function": {"name": "f"}}]}},
    ],
)
def test_an_answer_need_not_be_text(spoken: Json) -> None:
    end = {"done": True, "done_reason": "stop"}
    assert why(json.dumps({**spoken, **end}).encode(), JSON) is None
    assert why(stream({**spoken, "done": False}, end)) is None


def test_empty_lines_take_nothing_from_an_answer() -> None:
    assert why(b"\n" + stream(HELLO) + b"\r\n \n" + stream(ends(error=None)) + b"\n\n ") is None


def test_settings_say_what_else_is_kept() -> None:
    cut, calls = stream(HELLO, ends("length")), stream(says(tool_calls=[{"id": "a"}]), ends())
    assert why(cut, STREAM, Wishes(store_truncated=True)) is None
    assert why(stream(ends("length")), STREAM, Wishes(store_truncated=True)) is Why.EMPTY
    assert why(calls) is None
    assert why(calls, STREAM, Wishes(store_tool_calls=False)) is Why.TOOL_CALLS


def test_an_answer_that_says_nothing_is_kept_for_a_moment_where_that_is_wanted() -> None:
    wishes = Wishes(negative=Negative(empty=True))
    kept = seal(stream(ends()), STREAM, wishes)
    assert isinstance(kept, Sealed)
    assert kept.negative
    spoken = seal(stream(HELLO, ends()), STREAM, wishes)
    assert isinstance(spoken, Sealed)
    assert not spoken.negative
    assert why(stream(ends("load")), STREAM, wishes) is Why.INCOMPLETE


@pytest.mark.parametrize(
    ("said", "meant"), [(0.97, 0.97), (1, 1.0), (97, None), (True, None), ("1", None), (None, None)]
)
def test_how_sure_an_answer_is_must_be_a_number_from_0_to_1(
    said: object, meant: float | None
) -> None:
    wishes = Wishes(confidence=Pointer("/confidence"))
    verdict = seal(stream({**HELLO, "confidence": said}, ends()), STREAM, wishes)
    assert isinstance(verdict, Sealed)
    assert verdict.confidence == meant


@unhurried
@given(st.binary(max_size=60) | st.text('[]{}\n\r": ,1ndotrue', max_size=60).map(str.encode))
def test_garbage_is_refused_and_never_an_error_of_ours(body: bytes) -> None:
    assert why(body) is not None
    assert why(body, JSON) is not None

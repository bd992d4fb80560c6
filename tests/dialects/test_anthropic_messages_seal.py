"""Only a message that is whole, and an answer, is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.anthropic_answers import Json, documents, streams, written
from support.properties import unhurried

from proxy.dialects.anthropic_messages.seal import seal
from proxy.dialects.negative import Negative
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed, Usage
from proxy.wire.json_pointer import Pointer

GOLDEN = sorted(Path(__file__).with_name("golden").glob("anthropic/*.sse"))
JSON, STREAM = Form(), Form(stream=True)
EMPTY = Wishes(negative=Negative(empty=True))


def message(*content: Json, stop: object = "end_turn", **members: object) -> Json:
    told = {"type": "message", "role": "assistant", "content": list(content), "stop_reason": stop}
    return {**told, "usage": {"input_tokens": 3, "output_tokens": 1}, **members}


def text(said: object = "Hi") -> Json:
    return {"type": "text", "text": said}


def start(**members: object) -> Json:
    return {"type": "message_start", "message": message(stop=None, **members)}


def opened(index: object, **block: object) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block or text("")}


def delta(index: object, **told: object) -> Json:
    told = told or {"type": "text_delta", "text": "Hi"}
    return {"type": "content_block_delta", "index": index, "delta": told}


def closed(index: object) -> Json:
    return {"type": "content_block_stop", "index": index}


def end(stop: object = "end_turn", **usage: object) -> Json:
    told = {"stop_reason": stop, "stop_sequence": None}
    return {"type": "message_delta", "delta": told, "usage": {"output_tokens": 9, **usage}}


STOP: Json = {"type": "message_stop"}
HELLO = (start(), opened(0), delta(0), closed(0))
PING: Json = {"type": "ping"}


def stream(*events: Json) -> bytes:
    return written([*events])


def dump(document: object) -> bytes:
    return json.dumps(document).encode()


def why(body: bytes, form: Form = STREAM, wishes: Wishes = NO_WISHES) -> Why | None:
    verdict = seal(body, form, wishes)
    return verdict.why if isinstance(verdict, Refusal) else None


def sealed(body: bytes, form: Form = STREAM, wishes: Wishes = NO_WISHES) -> Sealed:
    verdict = seal(body, form, wishes)
    assert isinstance(verdict, Sealed)
    return verdict


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_no_proper_prefix_of_a_recorded_answer_is_whole(path: Path) -> None:
    for form, whole in (
        (STREAM, path.read_bytes()),
        (JSON, path.with_suffix(".json").read_bytes()),
    ):
        assert why(whole, form) is None
        # What follows without meaning may be missing: a comment, the last line end of a file.
        meant = whole.rstrip(b"\n") if form == JSON else whole.removesuffix(b": bye\r\n\r\n")
        assert all(why(meant[:at], form) is not None for at in range(len(meant)))


@unhurried
@given(st.data(), documents(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_no_proper_prefix_of_any_answer_is_whole(
    data: st.DataObject, document: Json, eol: str
) -> None:
    for form, whole in (
        (STREAM, written(data.draw(streams(document)), eol)),
        (JSON, dump(document)),
    ):
        assert why(whole, form) is None
        missing = data.draw(st.integers(1, 9) | st.integers(1, len(whole)))
        assert why(whole[:-missing], form) is not None


def test_what_is_sealed_is_the_backends_own_bytes() -> None:
    body = stream(*HELLO, end(), STOP)
    assert seal(body, STREAM, NO_WISHES) == Sealed(STREAM, body, Usage(3, 9))
    body = dump(message(text()))
    assert seal(body, JSON, NO_WISHES) == Sealed(JSON, body, Usage(3, 1))


@pytest.mark.parametrize(
    ("begin", "finish", "read"),
    [
        ({"input_tokens": 3}, {}, 3),
        ({"input_tokens": 3}, {"input_tokens": 4}, 4),
        ({"input_tokens": 3}, {"input_tokens": None}, 3),
        ({"input_tokens": 3, "cache_read_input_tokens": 40}, {}, 43),
        ({"input_tokens": 3, "cache_creation_input_tokens": 5}, {"cache_read_input_tokens": 2}, 10),
        ({"input_tokens": 3, "cache_read_input_tokens": None}, {}, 3),
    ],
)
def test_what_was_read_from_the_backends_own_cache_was_read(
    begin: Json, finish: Json, read: int
) -> None:
    body = stream(start(usage=begin), *HELLO[1:], end(**finish), STOP)
    assert sealed(body).usage == Usage(read, 9)


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": "3"}, {"output_tokens": "3"}, 4])
def test_token_counts_that_are_no_numbers_are_not_passed_on(usage: object) -> None:
    assert sealed(dump(message(text(), usage=usage)), JSON).usage is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Why.INCOMPLETE),
        (stream(*HELLO, end()), Why.INCOMPLETE),
        (stream(*HELLO, STOP), Why.INCOMPLETE),
        (stream(*HELLO, end(None), STOP), Why.INCOMPLETE),
        (stream(*HELLO, end(), end(None), STOP), Why.INCOMPLETE),
        (stream(*HELLO, end(["end_turn"]), STOP), Why.INCOMPLETE),
        (stream(*HELLO, end("pause_turn"), STOP), Why.INCOMPLETE),
        (stream(*HELLO, end("compaction"), STOP), Why.INCOMPLETE),
        (stream(*HELLO[:3], end(), STOP), Why.INCOMPLETE),
        (stream(*HELLO, opened(1), end(), STOP), Why.INCOMPLETE),
        (stream(STOP), Why.INCOMPLETE),
        (stream(*HELLO, end(), STOP).removesuffix(b"\n"), Why.INCOMPLETE),
        (stream(*HELLO, end(), STOP, PING), Why.INCOMPLETE),
        (stream(*HELLO, end(), STOP) + b"data: x", Why.INCOMPLETE),
        (b"data: {\n\n" + stream(*HELLO, end(), STOP), Why.INCOMPLETE),
        (stream(*HELLO, end("max_tokens"), STOP), Why.TRUNCATED),
        (stream(*HELLO, end("model_context_window_exceeded"), STOP), Why.TRUNCATED),
        (stream(*HELLO, end("refusal"), STOP), Why.TRUNCATED),
        (stream(start(), end(), STOP), Why.EMPTY),
        (stream(start(), opened(0), closed(0), end(), STOP), Why.EMPTY),
        (stream(*HELLO, {"type": "error", "error": {}}), Why.ERROR_IN_BODY),
        (b"event: error\ndata: overloaded\n\n" + stream(*HELLO, end(), STOP), Why.ERROR_IN_BODY),
        (b'data: {"type":"error"}\n\n' + stream(*HELLO, end(), STOP), Why.ERROR_IN_BODY),
        (stream(*HELLO[1:], end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(end(), *HELLO, STOP), Why.NOT_UNDERSTOOD),
        (stream(start(), *HELLO, end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(start(content=[text()]), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(start(content=None), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(start(type="error"), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream({"type": "message_start"}, end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(start(), opened(1), closed(1), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, opened(0), closed(0), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, opened(True), closed(1), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, delta(0), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, delta(1), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, closed(0), end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, opened(1, type=4), closed(1), end(), STOP), Why.NOT_UNDERSTOOD),
        (b"data: []\n\n" + stream(*HELLO, end(), STOP), Why.NOT_UNDERSTOOD),
        (b"data: {}\n\n" + stream(*HELLO, end(), STOP), Why.NOT_UNDERSTOOD),
        (stream(*HELLO, end(), STOP).replace(b"event: message_stop", b"event: end"), None),
    ],
)
def test_a_stream_that_is_not_a_whole_answer_is_not_kept(body: bytes, reason: Why | None) -> None:
    assert why(body) is (reason or Why.NOT_UNDERSTOOD)


def test_a_stream_as_vllm_tells_it_is_kept() -> None:
    # What is so by default is left out, and [DONE] stands at the end as in its other streams.
    begin = start()
    del begin["message"]["type"], begin["message"]["role"]
    body = stream(begin, *HELLO[1:], end(), STOP) + b"data: [DONE]\n\n"
    assert sealed(body).body == body
    missing = body.removesuffix(b"data: [DONE]\n\n")
    assert all(why(missing[:at]) is not None for at in range(len(missing)))
    assert why(body[:-1]) is Why.INCOMPLETE
    assert why(body + b"data: x\n\n") is Why.INCOMPLETE
    assert why(stream(*HELLO, end()) + b"data: [DONE]\n\n") is not None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Why.INCOMPLETE),
        (b"<html>", Why.INCOMPLETE),
        (dump(message(text()))[:-1], Why.INCOMPLETE),
        (dump(message(text())) * 2, Why.INCOMPLETE),
        (b"[]", Why.NOT_UNDERSTOOD),
        (b"{}", Why.NOT_UNDERSTOOD),
        (dump(message(text(), type="completion")), Why.NOT_UNDERSTOOD),
        (dump(message(text(), content="Hi")), Why.NOT_UNDERSTOOD),
        (dump(message(text(), content=["Hi"])), Why.NOT_UNDERSTOOD),
        (dump(message(text(), stop=None)), Why.INCOMPLETE),
        (dump(message(text(), stop="")), Why.INCOMPLETE),
        (dump(message(text(), stop="pause_turn")), Why.INCOMPLETE),
        (dump(message(text(), stop="max_tokens")), Why.TRUNCATED),
        (dump(message(text(), stop="refusal")), Why.TRUNCATED),
        (dump({"type": "error", "error": {"type": "overloaded_error"}}), Why.ERROR_IN_BODY),
        (dump(message(text(), error={"message": "no"})), Why.ERROR_IN_BODY),
        (dump(message()), Why.EMPTY),
        (dump(message(text(""), {"type": "thinking", "thinking": ""})), Why.EMPTY),
        (dump(message(text(), container={"id": "container_1"})), Why.UNCACHEABLE),
    ],
)
def test_a_document_that_is_not_a_whole_answer_is_not_kept(body: bytes, reason: Why) -> None:
    assert why(body, JSON) is reason


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}},
        {"type": "a_kind_of_tomorrow"},
    ],
)
def test_an_answer_need_not_be_text(block: Json) -> None:
    assert why(dump(message(block)), JSON) is None
    assert why(stream(start(), opened(0, **block), closed(0), end(), STOP)) is None


def test_what_means_nothing_takes_nothing_from_an_answer() -> None:
    events = (PING, start(), PING, opened(0), PING, delta(0), closed(0), {"type": "of_tomorrow"})
    body = b": hello\n\n" + stream(*events, end(), PING, STOP) + b": bye\n\n"
    assert why(body) is None
    assert why(body + b": unend") is None
    assert why(body + b"data: [DONE]\n\n") is None  # which some gateways put behind all streams
    unnamed = b"".join(line + b"\n" for line in body.split(b"\n") if not line.startswith(b"event"))
    assert why(unnamed) is None
    assert why(b" \n" + dump(message(text(), error=None)) + b"\n", JSON) is None


def test_blocks_may_be_told_in_turns() -> None:
    turns = (start(), opened(0), opened(1), delta(0), delta(1), closed(1), delta(0), closed(0))
    assert why(stream(*turns, end(), STOP)) is None


def test_answers_cut_short_are_kept_where_that_is_wanted() -> None:
    keep = Wishes(store_truncated=True)
    for stop in ("max_tokens", "model_context_window_exceeded", "refusal"):
        assert why(dump(message(text(), stop=stop)), JSON, keep) is None
        assert why(stream(*HELLO, end(stop), STOP), wishes=keep) is None
    assert why(dump(message(text(), stop="pause_turn")), JSON, keep) is Why.INCOMPLETE


def test_a_credit_that_is_good_once_is_never_kept() -> None:
    credit = {"stop_details": {"type": "refusal", "fallback_credit_token": "c1"}}
    keep = Wishes(store_truncated=True)
    assert why(dump(message(text(), stop="refusal", **credit)), JSON, keep) is Why.TRUNCATED
    ending = end("refusal")
    ending["delta"] |= credit
    assert why(stream(*HELLO, ending, STOP), wishes=keep) is Why.TRUNCATED


def test_an_answer_that_names_a_container_is_not_kept() -> None:
    ending: Json = end()
    ending["delta"]["container"] = {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"}
    assert why(stream(*HELLO, ending, STOP)) is Why.UNCACHEABLE
    assert why(stream(start(container={"id": "c"}), *HELLO[1:], end(), STOP)) is Why.UNCACHEABLE
    assert why(stream(start(container=None), *HELLO[1:], end(), STOP)) is None


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (dump(message()), JSON),
        (dump(message(text(""))), JSON),
        (stream(start(), end(), STOP), STREAM),
        (stream(start(), opened(0), closed(0), end(), STOP), STREAM),
    ],
)
def test_an_answer_that_says_nothing_is_kept_for_a_moment_where_that_is_wanted(
    body: bytes, form: Form
) -> None:
    kept = sealed(body, form, EMPTY)
    assert kept.negative
    assert kept.body == body
    assert not sealed(dump(message(text())), JSON, EMPTY).negative


@unhurried
@given(st.data(), documents())
def test_both_forms_of_an_answer_are_judged_alike(data: st.DataObject, document: Json) -> None:
    streamed, whole = written(data.draw(streams(document))), dump(document)
    for wishes in (NO_WISHES, EMPTY, Wishes(store_tool_calls=False)):
        assert why(streamed, STREAM, wishes) is why(whole, JSON, wishes)
    assert sealed(streamed).usage == sealed(whole, JSON).usage


def test_tool_calls_are_not_kept_where_that_is_not_wanted() -> None:
    keep = Wishes(store_tool_calls=False)
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    done = {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}
    assert why(dump(message(text(), call)), JSON, keep) is Why.TOOL_CALLS
    assert why(dump(message(text(), stop="tool_use")), JSON, keep) is Why.TOOL_CALLS
    assert why(dump(message(text(), done)), JSON, keep) is None
    calls = stream(start(), opened(0, **call), closed(0), end("tool_use"), STOP)
    assert why(calls, wishes=keep) is Why.TOOL_CALLS
    assert why(stream(*HELLO, end(), STOP), wishes=keep) is None


@pytest.mark.parametrize(
    ("said", "meant"), [(0.97, 0.97), (0, 0.0), (1, 1.0), (97, None), (True, None), ("1", None)]
)
def test_how_sure_an_answer_is_must_be_a_number_from_0_to_1(said: Any, meant: float | None) -> None:
    wishes = Wishes(confidence=Pointer("/confidence"))
    assert sealed(dump(message(text(), confidence=said)), JSON, wishes).confidence == meant
    for events in (
        (start(confidence=said), *HELLO[1:], end(), STOP),
        (start(confidence=0.1), *HELLO[1:], {**end(), "confidence": said}, STOP),
    ):
        assert sealed(stream(*events), STREAM, wishes).confidence == meant
    assert sealed(dump(message(text(), confidence=said)), JSON).confidence is None


@unhurried
@given(st.binary(max_size=60) | st.text('data: []{}\n\r"type:,1null', max_size=60).map(str.encode))
def test_garbage_is_refused_and_never_an_error_of_ours(body: bytes) -> None:
    assume(b"message" not in body)
    assert why(body) is not None
    assert why(body, JSON) is not None

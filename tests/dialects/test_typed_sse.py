"""Streams of typed events: what they say, and where they end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chat_answers import Json, values, words
from support.properties import unhurried

from proxy.dialects.typed_sse import Told, told, written
from proxy.model.decision import Why
from proxy.model.query import Refusal

ENDS = frozenset({"over"})
BEGIN = b'event: begin\ndata: {"type":"begin"}\n\n'
OVER = b'event: over\ndata: {"type":"over","n":1}\n\n'


def kinds(body: bytes) -> list[str] | Why:
    events = told(body, ENDS)
    return events.why if isinstance(events, Refusal) else [event.type for event in events]


@pytest.mark.parametrize(
    "body",
    [
        BEGIN + OVER,
        (BEGIN + OVER).replace(b"\n", b"\r\n"),
        (BEGIN + OVER).replace(b"\n", b"\r"),
        b": hello\n\n" + BEGIN + b"\n: still there\n\n" + OVER + b": bye\n\n",
        BEGIN + OVER + b"data: [DONE]\n\n",
        BEGIN + OVER + b"data: [DONE]\n\n: bye\n",
        b'data: {"type":"begin"}\n\ndata: {"type":"over"}\n\n',  # without names
        b"event: begin\ndata: {}\n\nevent: over\ndata: {}\n\n",  # with nothing but names
        b'event: begin\ndata: {"type":\ndata: "begin"}\n\n' + OVER,
    ],
)
def test_a_stream_is_whole_by_its_last_event_whatever_its_framing(body: bytes) -> None:
    assert kinds(body) == ["begin", "over"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", Why.INCOMPLETE),
        (BEGIN, Why.INCOMPLETE),
        (BEGIN + OVER[:-1], Why.INCOMPLETE),
        ((BEGIN + OVER).replace(b"\n", b"\r\n")[:-1], Why.INCOMPLETE),
        (BEGIN + b"data: [DONE]\n\n" + OVER, Why.INCOMPLETE),
        (BEGIN + OVER + BEGIN, Why.INCOMPLETE),
        (BEGIN + OVER + OVER, Why.INCOMPLETE),
        (BEGIN + OVER + b"data: [DO", Why.INCOMPLETE),
        (BEGIN + OVER + b"data: [DONE]\n", Why.INCOMPLETE),
        (b"data: {\n\n" + OVER, Why.INCOMPLETE),
        (b"data: []\n\n" + OVER, Why.NOT_UNDERSTOOD),
        (b"data: {}\n\n" + OVER, Why.NOT_UNDERSTOOD),
        (b'data: {"type":7}\n\n' + OVER, Why.NOT_UNDERSTOOD),
        (b'event: begin\ndata: {"type":"over"}\n\n', Why.NOT_UNDERSTOOD),
        (b'event: over\ndata: {"type":"begin"}\n\n', Why.NOT_UNDERSTOOD),
        (b'event: \xff\ndata: {"type":"over"}\n\n', Why.NOT_UNDERSTOOD),
        (BEGIN + b'event: error\ndata: {"type":"begin"}\n\n' + OVER, Why.ERROR_IN_BODY),
        (BEGIN + b'data: {"type":"error"}\n\n' + OVER, Why.ERROR_IN_BODY),
        (BEGIN + b'data: {"type":"begin","error":{"code":1}}\n\n' + OVER, Why.ERROR_IN_BODY),
        (BEGIN + b'data: {"error":"no"}\n\n' + OVER, Why.ERROR_IN_BODY),
    ],
)
def test_what_is_amiss_is_said(body: bytes, why: Why) -> None:
    assert kinds(body) is why


def test_an_error_that_is_null_is_none() -> None:
    assert kinds(b'data: {"type":"begin","error":null}\n\n' + OVER) == ["begin", "over"]


def test_an_event_keeps_its_bytes() -> None:
    assert told(OVER, ENDS) == [Told("over", {"type": "over", "n": 1}, b'{"type":"over","n":1}')]


@unhurried
@given(st.lists(st.tuples(words, values), max_size=5))
def test_what_is_written_is_read_again_and_whole_at_no_earlier_byte(
    members: list[tuple[str, object]],
) -> None:
    events: list[Json] = [{name: value, "type": "part"} for name, value in members]
    events = [{**event, "error": None} for event in events] + [{"type": "over"}]
    body = written(events)
    read = told(body, ENDS)
    assert not isinstance(read, Refusal)
    assert [event.says for event in read] == events
    assert all(isinstance(told(body[:end], ENDS), Refusal) for end in range(len(body)))

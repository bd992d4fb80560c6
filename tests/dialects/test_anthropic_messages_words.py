"""A message taken apart: the words of the question, all the rest, and the words of the answer."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from support.cranked import entry, posted

from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.anthropic_messages.words import question_of
from proxy.model.query import Asking, Form, Query

DIALECT = AnthropicMessages()
GOLDEN = Path(__file__).with_name("golden") / "anthropic"
USER = {"role": "user", "content": "Why?"}
PART = {"type": "text", "text": "Why?"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "42"}


def asking(**body: object) -> Asking | None:
    raw = orjson.dumps({"model": "m", "max_tokens": 9, **body})
    query = DIALECT.read(posted(raw, path="/v1/messages"), raw)
    assert isinstance(query, Query)
    return DIALECT.asking(query)


@pytest.mark.parametrize("content", ["Why?", [PART], [{**PART, "cache_control": {"ttl": "5m"}}]])
def test_the_text_is_that_of_the_last_message(content: object) -> None:
    asked = asking(messages=[{"role": "user", "content": content}], system="Be brief.")
    assert asked is not None
    assert (asked.text, asked.follows, asked.acts) == ("Why?", False, False)
    assert b"Why?" not in asked.rest
    assert orjson.loads(asked.rest)["system"] == "Be brief."


@pytest.mark.parametrize(
    "other",
    [
        {"system": "Be rude."},
        {"system": [{"type": "text", "text": "Be rude."}]},
        {"messages": [{"role": "user", "content": [PART]}]},
        {"messages": [{"role": "user", "content": [{**PART, "cache_control": {"ttl": "5m"}}]}]},
        {"messages": [{"role": "user", "content": "Hi"}, USER]},
        {"model": "n"},
        {"max_tokens": 10},
        {"thinking": {"type": "adaptive"}},
        {"temperature": 1.0},
        {"tools": [{"name": "f", "input_schema": {}}]},
    ],
)
def test_whatever_else_differs_the_rest_does(other: dict[str, object]) -> None:
    one, another = asking(messages=[USER]), asking(**{"messages": [USER], **other})
    assert one is not None
    assert another is not None
    assert one.text == another.text
    assert one.rest != another.rest


def test_it_follows_what_was_said_before_and_may_act_where_there_are_tools() -> None:
    before = [USER, {"role": "assistant", "content": "So."}, USER]
    asked = asking(messages=before, tools=[{"name": "f", "input_schema": {}}])
    assert asked is not None
    assert asked.follows
    assert asked.acts


def test_it_may_act_where_tools_came_in_a_message() -> None:
    added = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}
    asked = asking(messages=[{"role": "system", "content": [added]}, USER])
    assert asked is not None
    assert asked.acts


@pytest.mark.parametrize(
    "last",
    [
        {"role": "assistant", "content": "Because"},
        {"role": "user", "content": [PART, PART]},
        {"role": "user", "content": [IMAGE]},
        {"role": "user", "content": [IMAGE, PART]},
        {"role": "user", "content": [RESULT]},
        {"role": "user", "content": []},
        {"role": "user"},
        "Why?",
    ],
)
def test_what_is_not_one_text_that_comes_last_cannot_be_told_in_other_words(last: object) -> None:
    assert asking(messages=[USER, last]) is None
    assert asking(messages=[]) is None


@pytest.mark.parametrize(
    ("messages", "question"),
    [
        ([USER], "Why?"),
        ([USER, {"role": "assistant", "content": "So."}], "Why?"),
        ([USER, {"role": "user", "content": [RESULT]}], "Why?"),
        ([USER, {"role": "user", "content": [RESULT, {"type": "text", "text": "And?"}]}], "And?"),
        ([USER, {"role": "user", "content": [IMAGE]}], ""),
        ([{"role": "user", "content": [IMAGE, PART, PART]}], "Why?\nWhy?"),
        ([{"role": "user", "content": "a" * 4096 + "z" * 2048}], "a" * 2048 + "\n" + "z" * 2048),
        ([USER, {"role": "user", "content": None}], ""),
        ([USER, None, 1], "Why?"),
        ([], ""),
        (None, ""),
    ],
)
def test_the_question_is_what_the_user_said_last(messages: object, question: str) -> None:
    assert question_of({"messages": messages}) == question


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thinking", "27 · 453 = 12231. ✓"),
        ("thinking_omitted", "Because."),
        ("redacted_thinking", "I thought about it."),
        ("cached_prompt", "One, two, "),
        ("odd_framing", "World, 世界! 🌍"),
        ("parallel_tools", None),
        ("citations", None),
        ("web_search", None),
        ("mcp", None),
    ],
)
def test_an_answer_is_one_text_and_the_thoughts_before_it(name: str, text: str | None) -> None:
    streamed = (GOLDEN / f"{name}.sse").read_bytes()
    whole = (GOLDEN / f"{name}.json").read_bytes()
    assert DIALECT.answer(entry(body=streamed, form=Form(stream=True))) == text
    assert DIALECT.answer(entry(body=whole, form=Form())) == text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"content":[{"type":"text","text":""}]}',
        b'{"content":["Hi"]}',
        b'{"content":[{"type":["text"]}]}',
    ],
)
def test_what_is_no_message_says_nothing(body: bytes) -> None:
    assert DIALECT.answer(entry(body=body, form=Form())) is None
    assert DIALECT.answer(entry(body=body, form=Form(stream=True))) is None


def test_every_recording_is_looked_at() -> None:
    assert len(list(GOLDEN.glob("*.sse"))) == 9
    assert all(json.loads(path.read_bytes()) for path in GOLDEN.glob("*.json"))

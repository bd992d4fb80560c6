"""A chat taken apart: the words of the question, all the rest, and the words of the answer."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from support.cranked import entry, posted

from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_chat.forms import stream_of
from proxy.model.query import Asking, Form, Query

DIALECT = OpenAIChat()
DOCUMENT = orjson.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Because."},
                "finish_reason": "stop",
            }
        ],
    }
)
USER = {"role": "user", "content": "Why?"}


def asking(**body: object) -> Asking | None:
    raw = orjson.dumps({"model": "m", **body})
    query = DIALECT.read(posted(raw), raw)
    assert isinstance(query, Query)
    return DIALECT.asking(query)


class TestAsking:
    def test_the_text_is_that_of_the_last_message_and_the_rest_is_all_else(self) -> None:
        asked = asking(messages=[{"role": "system", "content": "Be brief."}, USER], seed=1)
        assert asked is not None
        assert asked.text == "Why?"
        rest = orjson.loads(asked.rest)
        assert rest == {
            "model": "m",
            "seed": 1,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": None},
            ],
        }

    def test_two_questions_have_the_same_rest_if_only_their_words_differ(self) -> None:
        one = asking(messages=[USER])
        other = asking(messages=[{"role": "user", "content": "How?"}])
        assert one is not None
        assert other is not None
        assert one.rest == other.rest

    @pytest.mark.parametrize(
        "body",
        [
            {"messages": [{"role": "system", "content": "Be rude."}, USER]},
            {"messages": [{"role": "user", "content": "Hi"}, USER]},
            {"messages": [{**USER, "name": "Ann"}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]},
            {"messages": [USER], "temperature": 0},
            {"messages": [USER], "tools": [{"type": "function"}]},
            {"messages": [USER], "response_format": {"type": "json_object"}},
            {"messages": [USER], "documents": ["a"]},
        ],
    )
    def test_whatever_else_differs_the_rest_does(self, body: dict[str, object]) -> None:
        one, other = asking(messages=[USER]), asking(**body)
        assert one is not None
        assert other is not None
        assert one.rest != other.rest

    def test_one_text_in_parts_is_a_text(self) -> None:
        part = {"type": "text", "text": "Why?", "cache_control": {"type": "ephemeral"}}
        asked = asking(messages=[{"role": "user", "content": [part]}])
        assert asked is not None
        assert asked.text == "Why?"
        assert b"ephemeral" in asked.rest

    @pytest.mark.parametrize(
        "messages",
        [
            [],
            ["Why?"],
            [{"role": "user", "content": None}],
            [{"role": "user"}],
            [{"role": "user", "content": []}],
            [{"role": "user", "content": [{"type": "text", "text": 1}]}],
            [{"role": "user", "content": ["Why?"]}],
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}],
            [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2}],
            [USER, {"role": "assistant", "content": "Bec"}],
            [USER, {"role": "tool", "content": "42"}],
            [{"role": "system", "content": "Be brief."}],
        ],
    )
    def test_what_does_not_end_in_a_text_of_the_user_is_no_question(
        self, messages: list[object]
    ) -> None:
        assert asking(messages=messages) is None

    def test_a_bare_prompt_is_none_either(self) -> None:
        assert asking(prompt="Why?") is None

    def test_it_is_told_whether_something_was_said_before(self) -> None:
        setup = [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}]
        first = asking(messages=[*setup, USER])
        later = asking(messages=[*setup, USER, {"role": "assistant", "content": "c"}, USER])
        assert first is not None
        assert later is not None
        assert not first.follows
        assert later.follows

    @pytest.mark.parametrize("name", ["tools", "functions", "web_search_options"])
    def test_it_is_told_whether_the_answer_may_do_something(self, name: str) -> None:
        plain, armed = asking(messages=[USER]), asking(messages=[USER], **{name: [{"a": 1}]})
        assert plain is not None
        assert armed is not None
        assert not plain.acts
        assert armed.acts


class TestAnswer:
    def test_a_document_says_the_content_of_its_only_choice(self) -> None:
        stored = replace(entry(), form=Form(), body=DOCUMENT)
        assert DIALECT.answer(stored) == "Because."

    def test_a_stream_says_what_it_adds_up_to(self) -> None:
        stream = stream_of(DOCUMENT, usage=False)
        stored = replace(entry(), form=Form(stream=True, usage=False), body=stream)
        assert DIALECT.answer(stored) == "Because."

    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"[]",
            b"{}",
            b'{"choices":[]}',
            b'{"choices":[1]}',
            b'{"choices":[{"message":1}]}',
            b'{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}',
            b'{"choices":[{"message":{"content":""}}]}',
            b'{"choices":[{"message":{"content":["a"]}}]}',
            b'{"choices":[{"message":{"content":"a","tool_calls":[{"id":"x"}]}}]}',
            b'{"choices":[{"message":{"content":"a","refusal":"no"}}]}',
        ],
    )
    def test_what_is_not_one_text_says_none(self, document: bytes) -> None:
        assert DIALECT.answer(replace(entry(), form=Form(), body=document)) is None

    def test_a_stream_that_adds_up_to_nothing_says_none(self) -> None:
        stored = replace(entry(), form=Form(stream=True), body=b"data: {\n\n")
        assert DIALECT.answer(stored) is None

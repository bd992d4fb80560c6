"""A question to Ollama taken apart, and the words of the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from support.cranked import entry, posted

from proxy.dialects.ollama import Ollama
from proxy.dialects.ollama.words import asking_of
from proxy.model.query import Asking, Form, Query

GOLDEN = Path(__file__).with_name("golden")
OLLAMA = Ollama()
USER = {"role": "user", "content": "Why?"}
SYSTEM = {"role": "system", "content": "Be brief."}


def asking(**body: object) -> Asking | None:
    raw = orjson.dumps({"model": "m", **body})
    path = "/api/chat" if "messages" in body else "/api/generate"
    query = OLLAMA.read(posted(raw, path=path), raw)
    assert isinstance(query, Query)
    return OLLAMA.asking(query)


class TestAsking:
    def test_the_text_is_that_of_the_last_message_and_the_rest_is_all_else(self) -> None:
        asked = asking(messages=[SYSTEM, USER], options={"seed": 1}, keep_alive="5m")
        assert asked is not None
        assert asked.text == "Why?"
        assert orjson.loads(asked.rest) == {
            "model": "m",
            "options": {"seed": 1},
            "messages": [SYSTEM, {"role": "user", "content": None}],
        }
        assert not asked.follows
        assert not asked.acts

    def test_a_prompt_is_a_question_too(self) -> None:
        asked = asking(prompt="Why?", system="Be brief.", raw=False)
        assert asked is not None
        assert asked.text == "Why?"
        rest = {"model": "m", "prompt": None, "raw": False, "system": "Be brief."}
        assert orjson.loads(asked.rest) == rest
        assert not asked.follows

    @pytest.mark.parametrize(
        "body",
        [
            {"messages": [SYSTEM, USER]},
            {"messages": [USER], "think": True},
            {"messages": [USER], "format": "json"},
            {"messages": [USER], "options": {"num_predict": 5}},
            {"messages": [{**USER, "name": "Ann"}]},
            {"prompt": "Why?"},
        ],
    )
    def test_whatever_else_differs_the_rest_does(self, body: dict[str, object]) -> None:
        one, other = asking(messages=[USER]), asking(**body)
        assert one is not None
        assert other is not None
        assert one.rest != other.rest

    @pytest.mark.parametrize(
        "body",
        [
            {"messages": [USER, {"role": "assistant", "content": "Be"}]},
            {"messages": [USER, {"role": "tool", "content": "21 C"}]},
            {"messages": [{**USER, "images": ["AAAA"]}]},
            {"messages": [{"role": "user"}]},
            {"messages": ["Why?"]},
            {"prompt": "Why?", "raw": True},
            {"prompt": "def f(", "suffix": "return 1"},
            {"prompt": "What is this?", "images": ["AAAA"]},
            {"messages": [USER], "prompt": "Why?"},
        ],
    )
    def test_what_cannot_be_told_in_other_words_is_no_question(
        self, body: dict[str, object]
    ) -> None:
        assert asking(**body) is None

    def test_a_body_of_which_nothing_is_left_is_none(self) -> None:
        assert asking_of(b"{}") is None
        assert asking_of(b'{"messages":[]}') is None

    def test_it_follows_what_was_said_before(self) -> None:
        followed = asking(messages=[SYSTEM, USER, {"role": "assistant", "content": "So."}, USER])
        assert followed is not None
        assert followed.follows
        went_on = asking(prompt="And then?", context=[1, 2])
        assert went_on is not None
        assert went_on.follows

    def test_it_may_act_if_it_has_tools(self) -> None:
        armed = asking(messages=[USER], tools=[{"type": "function"}])
        assert armed is not None
        assert armed.acts


class TestAnswer:
    @pytest.mark.parametrize(
        "name", ["ollama_thinking", "ollama_generate_context", "ollama_generate_logprobs"]
    )
    def test_it_says_the_same_in_both_forms(self, name: str) -> None:
        document = (GOLDEN / f"{name}.json").read_bytes()
        told = json.loads(document)
        words = told["message"]["content"] if "message" in told else told["response"]
        stream = (GOLDEN / f"{name}.ndjson").read_bytes()
        for form, body in ((Form(), document), (Form(stream=True), stream)):
            assert OLLAMA.answer(replace(entry(), form=form, body=body)) == words

    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"[]",
            b"{}",
            b'{"message":1}',
            b'{"message":{"content":""}}',
            b'{"message":{"content":["a"]}}',
            b'{"message":{"content":"a","tool_calls":[{"id":"x"}]}}',
            b'{"message":{"content":"a","images":["AAAA"]}}',
            b'{"response":""}',
            b'{"response":"a","image":"AAAA"}',
        ],
    )
    def test_what_is_not_one_text_says_none(self, document: bytes) -> None:
        assert OLLAMA.answer(replace(entry(), form=Form(), body=document)) is None

    def test_a_stream_that_adds_up_to_nothing_says_none(self) -> None:
        assert OLLAMA.answer(replace(entry(), form=Form(stream=True), body=b"{\n")) is None

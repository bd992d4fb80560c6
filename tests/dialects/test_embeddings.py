"""The embeddings dialects: what is asked, input by input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.embedding_bodies import (
    COHERE,
    LEGACY,
    OLLAMA,
    OPENAI,
    ROUTES,
    Json,
    asked,
    body_of,
    protocols,
    read,
)

from proxy.dialects.base import Dialect, Divisible
from proxy.dialects.openai_embeddings import openai_embeddings
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.query import Query, Refusal

# Which requests.


@pytest.mark.parametrize(
    ("dialect", "path", "matches"),
    [
        (OPENAI, "/v1/embeddings", True),
        (OPENAI, "/openai/deployments/e/embeddings", True),
        (OPENAI, "/v1/embeddings/", False),
        (OPENAI, "/v1/embed", False),
        (OLLAMA, "/api/embed", True),
        (OLLAMA, "/api/embeddings", False),
        (LEGACY, "/api/embeddings", True),
        (LEGACY, "/v1/embeddings", False),
        (COHERE, "/v1/embed", True),
        (COHERE, "/compatibility/v2/embed", True),
        (COHERE, "/api/embed", False),
    ],
)
def test_a_route_is_known_by_its_end(dialect: Dialect, path: str, matches: bool) -> None:
    assert dialect.matches("POST", path) is matches
    assert not dialect.matches("GET", path)


def test_all_but_the_oldest_can_be_divided() -> None:
    dialects: list[Dialect] = [OPENAI, OLLAMA, COHERE, LEGACY]
    assert [isinstance(each, Divisible) for each in dialects] == [True, True, True, False]


# What they ask.


@pytest.mark.parametrize(("lone", "listed"), [("a", ["a"]), ([1, 2], [[1, 2]]), ([1], [[1]])])
def test_one_input_is_the_same_question_with_a_list_around_it_and_without(
    lone: Any, listed: Any
) -> None:
    one, other = (asked(OPENAI, {"model": "m", "input": each}) for each in (lone, listed))
    assert one.canonical == other.canonical
    assert (OPENAI.parts(one), OPENAI.parts(other)) == ((), ())
    assert json.loads(OPENAI.batch([one, other, one]))["input"] == [listed[0]] * 3


@protocols
def test_a_part_is_the_question_it_would_be_alone(protocol: str) -> None:
    dialect, path, name, rest = ROUTES[protocol]
    parts = dialect.parts(asked(dialect, body_of(protocol, ["a", "é", "a"]), path))

    for part, text in zip(parts, ["a", "é", "a"], strict=True):
        alone = asked(dialect, {name: [text], **dict(reversed(rest.items()))}, path)
        assert part.canonical == alone.canonical
        assert json.loads(part.forward) == {**rest, name: [text]}
        assert dialect.rest(part) == dialect.rest(alone)
        assert asked(dialect, json.loads(part.forward), path).canonical == part.canonical
    assert parts[0].canonical != parts[1].canonical
    assert json.loads(dialect.batch(parts)) == body_of(protocol, ["a", "é", "a"])


def test_every_other_member_tells_questions_apart_and_keeps_them_apart() -> None:
    plain = asked(OPENAI, {"model": "m", "input": "a"})
    for more in ({"dimensions": 3}, {"encoding_format": "base64"}, {"user": "u"}, {"x": None}):
        other = asked(OPENAI, {"model": "m", "input": "a", **more})
        assert other.canonical != plain.canonical
        assert OPENAI.rest(other) != OPENAI.rest(plain)


def test_what_is_inert_is_no_part_of_the_question_but_is_sent() -> None:
    inert = openai_embeddings(Wishes(inert=frozenset({"user"})))
    one, other = (asked(inert, {"model": "m", "input": "a", "user": who}) for who in "ab")
    assert one.canonical == other.canonical
    assert inert.rest(one) != inert.rest(other)
    loaded, not_loaded = (
        asked(OLLAMA, {"model": "m", "input": "a", **more}) for more in ({"keep_alive": 0}, {})
    )
    assert loaded.canonical == not_loaded.canonical


def test_orders_to_the_cache_are_taken_out_of_every_part() -> None:
    query = asked(OPENAI, {"cache": {"ttl": 60}, "model": "m", "input": ["a", "b"]})
    assert query.controls.ttl == 60
    for part in OPENAI.parts(query):
        assert part.controls == query.controls
        assert b"cache" not in part.forward


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (OPENAI, {}),
        (OPENAI, {"input": []}),
        (OPENAI, {"input": None}),
        (OPENAI, {"input": {"text": "a"}}),
        (OPENAI, {"input": [{"text": "a"}]}),
        (OPENAI, {"input": ["a", [1]]}),
        (OPENAI, {"input": [1, "a"]}),
        (OPENAI, {"input": [True]}),
        (OPENAI, {"input": [1.0]}),
        (OPENAI, {"input": [[1], []]}),
        (OPENAI, {"input": "a", "model": 1}),
        (OPENAI, {"input": "a", "messages": []}),
        (OLLAMA, {"input": [1, 2]}),
        (OLLAMA, {"input": [[1], [2]]}),
        (LEGACY, {"prompt": ["a"]}),
        (LEGACY, {"input": "a"}),
        (COHERE, {"texts": "a"}),
        (COHERE, {"texts": ["a"], "images": ["data:"]}),
        (COHERE, {"inputs": [{"content": []}]}),
    ],
)
def test_what_is_not_understood_is_passed_on(dialect: Dialect, body: Json) -> None:
    refusal = read(dialect, body)
    assert isinstance(refusal, Refusal)
    assert refusal.why is Why.NOT_UNDERSTOOD


def test_more_inputs_than_anybody_takes_are_passed_on() -> None:
    assert isinstance(read(OPENAI, {"input": ["a"] * 2048}), Query)
    assert isinstance(read(OPENAI, {"input": [1] * 5000}), Query)  # one input of so many tokens
    refusal = read(OPENAI, {"input": ["a"] * 2049})
    assert isinstance(refusal, Refusal)
    assert refusal.why is Why.INDIVISIBLE


def test_orders_to_the_cache_in_a_body_are_obeyed_only_where_they_are_known() -> None:
    body = {"model": "m", "input": "a", "cache": {"no-store": True}}
    obeyed = asked(openai_embeddings(Wishes(steered=True)), body)
    assert obeyed.controls.no_store
    assert "cache" not in json.loads(obeyed.forward)
    passed = asked(openai_embeddings(Wishes(steered=False)), body)
    assert not passed.controls.no_store
    assert json.loads(passed.forward) == body
    assert json.loads(passed.canonical)["cache"] == body["cache"]


@pytest.mark.parametrize("protocol", ["openai", "ollama", "cohere"])
def test_texts_in_another_spelling_have_other_vectors(protocol: str) -> None:
    dialect, path, _, _ = ROUTES[protocol]
    composed, apart = "\u00e9", "e\u0301"  # equal in Unicode NFC, and other tokens
    one, other = (asked(dialect, body_of(protocol, [text]), path) for text in (composed, apart))
    assert one.canonical != other.canonical
    parts = dialect.parts(asked(dialect, body_of(protocol, [composed, apart]), path))
    assert [part.canonical for part in parts] == [one.canonical, other.canonical]

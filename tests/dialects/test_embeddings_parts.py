"""The embeddings dialects: replies taken apart, and put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.embedding_backend import packed
from support.embedding_bodies import (
    OK,
    OPENAI,
    ROUTES,
    Json,
    asked,
    body_of,
    dump,
    item,
    said,
    same,
)
from support.properties import unhurried

from proxy.dialects.embeddings import DivisibleEmbeddings
from proxy.model.query import Form, Query, Refusal, Sealed

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
tokens = st.lists(st.integers(0, 50_000), min_size=1, max_size=6)


def query_of(dialect: DivisibleEmbeddings, protocol: str, one: Any) -> Query:
    _, path, _, _ = ROUTES[protocol]
    return asked(dialect, body_of(protocol, [one]), path)


@unhurried
@given(st.data(), st.sampled_from(sorted(ROUTES)))
def test_for_any_division_between_cache_and_upstream_the_reply_is_the_uncached_one(
    data: st.DataObject, protocol: str
) -> None:
    dialect, path, _, _ = ROUTES[protocol]
    kind = data.draw(st.sampled_from([texts, tokens])) if dialect is OPENAI else texts
    inputs: list[Any] = data.draw(st.lists(kind, min_size=2, max_size=8))
    whole = dump(body_of(protocol, inputs))
    parts = dialect.parts(asked(dialect, json.loads(whole), path))
    assert len(parts) == len(inputs)

    distinct = list({part.canonical: part for part in parts}.values())
    calls = data.draw(st.lists(st.integers(0, 3), min_size=len(distinct), max_size=len(distinct)))
    known: dict[bytes, bytes] = {}
    for number in set(calls):
        batch = [part for part, call in zip(distinct, calls, strict=True) if call == number]
        if len(batch) == 1 and data.draw(st.booleans()):  # alone, in its own words
            bodies: Sequence[bytes] | Refusal = [said(batch[0].forward, path)]
        else:
            bodies = dialect.split(said(dialect.batch(batch), path), batch)
        assert not isinstance(bodies, Refusal)
        for part, body in zip(batch, bodies, strict=True):
            assert isinstance(dialect.seal(OK, body, Form()), Sealed)
            known[part.canonical] = body

    joined = dialect.join([known[part.canonical] for part in parts])
    assert joined is not None
    assert same(joined, said(whole, path))


@unhurried
@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.integers(0, 10_000))
def test_what_is_shared_out_adds_up_to_what_there_was(weights: list[int], tokens: int) -> None:
    from proxy.dialects.vectors import shared, summed

    usage = {"prompt_tokens": tokens, "cost": 0.25, "details": {"cached": 0, "audio": None}}
    shares = shared(usage, weights)
    assert len(shares) == len(weights)
    total: Any = summed(shares)
    assert total["cost"] == pytest.approx(0.25)
    assert total | {"cost": 0.25} == usage


def test_tokens_that_are_told_one_by_one_are_each_ones_own() -> None:
    parts = OPENAI.parts(asked(OPENAI, {"model": "m", "input": [[1], [2, 3], [4, 5, 6]]}))
    bodies = OPENAI.split(said(OPENAI.batch(parts), "/v1/embeddings"), parts)
    assert not isinstance(bodies, Refusal)
    counts = [json.loads(body)["usage"]["prompt_tokens"] for body in bodies]
    assert counts == [1, 2, 3]


def several(document: Json) -> Sequence[bytes] | Refusal:
    """``document`` as the reply to two inputs."""
    return OPENAI.split(dump(document), OPENAI.parts(asked(OPENAI, {"input": ["a", "bc"]})))


TWO = [item([1.0, 2.0]), item([3.0, 4.0], 1)]


@pytest.mark.parametrize(
    "document",
    [
        {"data": TWO[:1]},
        {"data": [*TWO, item([5.0, 6.0], 2)]},
        {"data": [TWO[0], TWO[0]]},
        {"data": [TWO[0], item([3.0, 4.0], 2)]},
        {"data": [TWO[0], item([3.0], 1)]},
        {"data": [TWO[0], item([], 1)]},
        {"data": [TWO[0], item(packed([3.0, 4.0]), 1)]},
        {"data": TWO, "usage": {"prompt_tokens": "3"}},
        {"data": TWO, "usage": {"prompt_tokens": -3}},
        {"data": TWO, "usage": [3]},
        {"error": "no"},
    ],
)
def test_a_reply_without_just_one_vector_for_each_input_is_shared_out_to_nobody(
    document: Json,
) -> None:
    assert isinstance(several(document), Refusal)


def test_a_vector_of_another_length_than_was_asked_for_is_shared_out_to_nobody() -> None:
    parts = OPENAI.parts(asked(OPENAI, {"input": ["a", "b"], "dimensions": 3}))
    refusal = OPENAI.split(dump({"data": TWO}), parts)
    assert isinstance(refusal, Refusal)


def test_vectors_come_in_any_order_and_what_else_is_said_is_kept() -> None:
    document = {"data": TWO[::-1], "model": "m", "x": {"y": [1]}, "usage": None}
    bodies = several(document)
    assert not isinstance(bodies, Refusal)
    first, second = map(json.loads, bodies)
    assert first == {**document, "data": [item([1.0, 2.0])]}
    assert second == {**document, "data": [item([3.0, 4.0])]}
    assert several({"data": TWO}) is not None  # no counts at all


ONE: Json = {"data": [item([1.0, 2.0])], "model": "m", "usage": {"prompt_tokens": 1}}


@pytest.mark.parametrize(
    "other",
    [
        {**ONE, "model": "m-2"},
        {**ONE, "warning": "cut"},
        {**ONE, "data": [item([1.0])]},
        {**ONE, "data": [item(packed([1.0, 2.0]))]},
        {**ONE, "usage": {"prompt_tokens": 1, "total_tokens": 1}},
        {**ONE, "usage": {"prompt_tokens": None}},
        {**ONE, "usage": None},
        {**ONE, "data": None},
    ],
)
def test_answers_that_do_not_go_together_are_not_put_together(other: Json) -> None:
    assert OPENAI.join([dump(ONE), dump(other)]) is None
    assert OPENAI.join([dump(ONE), dump(ONE)]) is not None


def test_what_tells_of_one_call_may_differ() -> None:
    joined = OPENAI.join([dump({**ONE, "id": "a"}), dump({**ONE, "id": "b"})])
    assert joined is not None
    assert json.loads(joined)["id"] == "b"
    assert json.loads(joined)["usage"] == {"prompt_tokens": 2}

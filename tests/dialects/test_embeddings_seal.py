"""The embeddings dialects: which answers to one input are kept."""

from __future__ import annotations

from typing import Any

import pytest
from support.cranked import entry
from support.embedding_bodies import (
    LEGACY,
    OK,
    OPENAI,
    ROUTES,
    asked,
    body_of,
    dump,
    item,
    protocols,
    said,
)

from proxy.dialects.base import Relay
from proxy.dialects.negative import Negative
from proxy.dialects.openai_embeddings import openai_embeddings
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Refusal, Sealed, Usage


def test_a_vector_is_no_answer_in_words() -> None:
    query = asked(OPENAI, {"model": "m", "input": "a"})
    assert OPENAI.asking(query) is None
    assert OPENAI.answer(entry()) is None


# What comes.


def test_only_json_in_the_clear_is_an_answer() -> None:
    assert OPENAI.arriving(OK, Form()) == Form()
    other = Head(200, "OK", Headers([("Content-Type", "text/html")]))
    assert OPENAI.arriving(other, Form()) is None
    packed_ = Head(200, "OK", OK.headers.plus(("Content-Encoding", "gzip")))
    assert OPENAI.arriving(packed_, Form()) is None


def test_there_is_but_one_form() -> None:
    assert OPENAI.relay(Form(), Form()) is Relay.VERBATIM
    assert OPENAI.sieve(Form())(b"a") == b"a"
    kept = Sealed(Form(), b"body")
    rendered = OPENAI.render(kept, Form())
    assert rendered is not None
    assert rendered.body == b"body"


@protocols
def test_an_answer_to_one_input_is_kept_as_it_came_and_no_part_of_it_is(protocol: str) -> None:
    dialect, path, _, _ = ROUTES[protocol]
    body = said(dump(body_of(protocol, ["Why?"])), path)

    assert dialect.seal(OK, body, Form()) == Sealed(Form(), body, Usage(4, 0))
    for cut in range(len(body)):
        assert isinstance(dialect.seal(OK, body[:cut], Form()), Refusal)


def test_the_older_protocol_of_ollama_is_kept_too() -> None:
    body = said(dump({"model": "m", "prompt": "Why?"}), "/api/embeddings")
    assert LEGACY.seal(OK, body, Form()) == Sealed(Form(), body)
    for odd in (b'{"embedding": []}', b'{"embedding": [null]}', b'{"error": "no"}', b"{}"):
        assert isinstance(LEGACY.seal(OK, odd, Form()), Refusal)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"data": []}, Why.EMPTY),
        ({"data": [item([])]}, Why.EMPTY),
        ({"data": [item("")]}, Why.EMPTY),
        ({"data": [item([1.0]), item([1.0], 1)]}, Why.INCOMPLETE),
        ({"data": [item([1.0], 1)]}, Why.NOT_UNDERSTOOD),
        ({"data": [item([1.0], True)]}, Why.NOT_UNDERSTOOD),
        ({"data": [{"embedding": [1.0]}]}, Why.NOT_UNDERSTOOD),
        ({"data": [{"index": 0}]}, Why.NOT_UNDERSTOOD),
        ({"data": [item([None])]}, Why.NOT_UNDERSTOOD),
        ({"data": [item([True])]}, Why.NOT_UNDERSTOOD),
        ({"data": [item(["1"])]}, Why.NOT_UNDERSTOOD),
        ({"data": [item(1.0)]}, Why.NOT_UNDERSTOOD),
        ({"data": [item("AAAA")]}, Why.NOT_UNDERSTOOD),  # three bytes
        ({"data": [item("AAA?AAA=")]}, Why.NOT_UNDERSTOOD),
        ({"data": [item("AADAfwAAgH8=")]}, Why.NOT_UNDERSTOOD),  # not a number, infinity
        ({"data": {}}, Why.NOT_UNDERSTOOD),
        ({"data": [[1.0]]}, Why.NOT_UNDERSTOOD),
        ({"data": [item([1.0])], "error": {"message": "no"}}, Why.ERROR_IN_BODY),
        ({"error": {"message": "no"}}, Why.ERROR_IN_BODY),
        ([], Why.NOT_UNDERSTOOD),
    ],
)
def test_an_answer_in_which_something_is_amiss_is_not_kept(document: Any, why: Why) -> None:
    refusal = OPENAI.seal(OK, dump(document), Form())
    assert isinstance(refusal, Refusal)
    assert refusal.why is why


def test_numbers_beyond_a_double_are_not_kept() -> None:
    body = b'{"data": [{"index": 0, "embedding": [1e999]}]}'
    assert isinstance(OPENAI.seal(OK, body, Form()), Refusal)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(3, 0)),
        ({"total_tokens": 3}, Usage(3, 0)),
        ({"prompt_tokens": None}, None),
        (None, None),
    ],
)
def test_tokens_are_counted_where_they_are_told(usage: Any, counted: Usage | None) -> None:
    sealed = OPENAI.seal(OK, dump({"data": [item([1.0])], "usage": usage}), Form())
    assert isinstance(sealed, Sealed)
    assert sealed.usage == counted


def test_an_error_about_the_question_is_kept_for_a_moment() -> None:
    dialect = openai_embeddings(Wishes(negative=Negative(frozenset({"model_not_found"}))))
    missing = Head(404, "No", OK.headers)
    known = dump({"error": {"code": "model_not_found", "message": "no"}})
    assert dialect.seal(missing, known, Form()) == Sealed(Form(), known, negative=True)
    assert dialect.seal(missing, b"{}", Form()) == Refusal(Why.STATUS)

"""Protocols of one document each: rerank and moderations."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.chat_answers import Json, same, values, words
from support.cranked import entry, posted
from support.properties import unhurried

from proxy.dialects.base import Dialect, Relay
from proxy.dialects.negative import Negative
from proxy.dialects.whole_body import MODERATIONS, RERANK, Kind, WholeBody
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.entry import Entry
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Query, Refusal, Results, Sealed, Usage

RERANKING: Dialect = WholeBody(RERANK)
MODERATING: Dialect = WholeBody(MODERATIONS)
OK = Head(200, "OK", Headers([("Content-Type", "application/json")]))
RANKS = {"model": "rerank-v3.5", "query": "capital?", "documents": ["Paris", "Oslo", "Rome"]}
_RULED = "model query documents texts top_n top_k input cache"
free = words.filter(lambda name: name.casefold() not in _RULED.split())


def ask(dialect: Dialect, members: object) -> Query | Refusal:
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return dialect.read(posted(body), body)


def asked(dialect: Dialect, members: object) -> Query:
    query = ask(dialect, members)
    assert isinstance(query, Query)
    return query


def seal(dialect: Dialect, document: object, head: Head = OK) -> Sealed | Refusal:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return dialect.seal(head, body, Form())


def why(dialect: Dialect, document: object) -> Why | None:
    verdict = seal(dialect, document)
    return verdict.why if isinstance(verdict, Refusal) else None


def ranked(*indexes: object, **more: object) -> Json:
    return {"results": [{"index": at, "relevance_score": 0.5} for at in indexes], **more}


# Which requests.


@pytest.mark.parametrize(
    ("dialect", "method", "path", "matches"),
    [
        (RERANKING, "POST", "/rerank", True),
        (RERANKING, "POST", "/v1/rerank", True),
        (RERANKING, "POST", "/v2/rerank", True),
        (RERANKING, "POST", "/v1/reranking", True),
        (RERANKING, "POST", "/prerank", False),
        (RERANKING, "POST", "/v1/rerank/", False),
        (RERANKING, "GET", "/v1/rerank", False),
        (RERANKING, "POST", "/v1/moderations", False),
        (MODERATING, "POST", "/v1/moderations", True),
        (MODERATING, "POST", "/v1/moderations/x", False),
        (MODERATING, "POST", "/v1/rerank", False),
    ],
)
def test_a_route_is_known_by_its_last_segment(
    dialect: Dialect, method: str, path: str, matches: bool
) -> None:
    assert dialect.matches(method, path) is matches


# What they ask.


def test_a_question_is_read_whole() -> None:
    body = json.dumps(RANKS).encode()
    query = asked(RERANKING, body)
    assert (query.dialect, query.model, query.form) == ("rerank", "rerank-v3.5", Form())
    assert query.forward is body
    assert json.loads(query.canonical) == RANKS
    assert RERANKING.asking(query) is None
    assert query.temperature == 0  # as nothing is drawn, no bound on that keeps it out
    moderated = asked(MODERATING, {"input": "Why?"})
    assert (moderated.dialect, moderated.model) == ("moderations", "")


@unhurried
@given(st.dictionaries(free, values, max_size=3), free, values)
@pytest.mark.parametrize(
    ("dialect", "question"), [(RERANKING, RANKS), (MODERATING, {"input": "a"})]
)
def test_any_other_member_is_part_of_the_question_whatever_it_is_called(
    dialect: Dialect, question: Json, more: Json, name: str, value: object
) -> None:
    assume(name not in more or not same(more[name], value))
    names = [each.casefold() for each in {*more, name}]
    assume(len(set(names)) == len(names))
    query = asked(dialect, {**more, **question})
    assert asked(dialect, {**more, **question, name: value}).canonical != query.canonical


def test_the_order_of_documents_counts_and_that_within_them_too() -> None:
    def canonical(*documents: object) -> bytes:
        return asked(RERANKING, {**RANKS, "documents": documents}).canonical

    assert canonical("a", "b") != canonical("b", "a")
    assert canonical({"title": "a", "text": "b"}) != canonical({"text": "b", "title": "a"})


def test_members_known_to_be_inert_are_not_part_of_the_question() -> None:
    dialect = WholeBody(RERANK, Wishes(inert=frozenset({"user"})))
    assert asked(dialect, {**RANKS, "user": "a"}).canonical == asked(dialect, RANKS).canonical


@pytest.mark.parametrize(
    ("more", "results"),
    [
        ({}, Results(3, 0, 3)),
        ({"top_n": 2}, Results(3, 0, 2)),
        ({"top_k": 1}, Results(3, 0, 1)),
        ({"top_n": 9}, Results(3, 0, 3)),
        ({"top_n": 0}, Results(3, 0, 3)),  # vLLM: all of them
        ({"top_n": None}, Results(3, 0, 3)),
        ({"top_n": -1}, Results(3, 0, 3)),
        ({"documents": [{"text": "a"}]}, Results(1, 0, 1)),
    ],
)
def test_no_more_results_are_asked_for_than_there_are_documents(
    more: Json, results: Results
) -> None:
    assert asked(RERANKING, {**RANKS, **more}).results == results


def test_texts_are_documents_too() -> None:
    assert asked(RERANKING, {"query": "a", "texts": ["b", "c"]}).results == Results(2, 0, 2)


@pytest.mark.parametrize(
    ("given", "results"),
    [
        ("a", Results(1, 1, 1)),
        ("", Results(1, 1, 1)),
        (["a", "b"], Results(2, 2, 2)),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}], Results(2, 1, 2)),
    ],
)
def test_each_text_is_judged_for_itself(given: object, results: Results) -> None:
    assert asked(MODERATING, {"input": given}).results == results


@pytest.mark.parametrize(
    ("dialect", "body", "reason"),
    [
        (RERANKING, b"{", Why.UNKEYABLE),
        (RERANKING, b"[]", Why.NOT_UNDERSTOOD),
        (RERANKING, {"documents": ["a"]}, Why.NOT_UNDERSTOOD),
        (RERANKING, {"query": "a"}, Why.NOT_UNDERSTOOD),
        (RERANKING, {"query": "a", "documents": []}, Why.NOT_UNDERSTOOD),
        (RERANKING, {"query": "a", "documents": {"content": ["b"]}}, Why.NOT_UNDERSTOOD),
        (RERANKING, {**RANKS, "top_n": "2"}, Why.NOT_UNDERSTOOD),
        (RERANKING, {**RANKS, "model": 1}, Why.NOT_UNDERSTOOD),
        (MODERATING, {}, Why.NOT_UNDERSTOOD),
        (MODERATING, {"input": []}, Why.NOT_UNDERSTOOD),
        (MODERATING, {"input": None}, Why.NOT_UNDERSTOOD),
    ],
)
def test_what_is_not_surely_understood_is_not_a_question(
    dialect: Dialect, body: object, reason: Why
) -> None:
    refusal = ask(dialect, body)
    assert isinstance(refusal, Refusal)
    assert refusal.why is reason


# What comes back.


COHERE = {
    "id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf",
    "results": [
        {"index": 2, "relevance_score": 0.999071, "document": {"text": "Rome"}},
        {"index": 0, "relevance_score": 0.7867867},
    ],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
}
JINA = {"model": "jina-reranker-v2", "usage": {"total_tokens": 815}, **ranked(1, 0)}
VLLM = {"id": "rerank-1", "usage": {"prompt_tokens": 9, "total_tokens": 9}, **ranked(0)}
VOYAGE = {"object": "list", "data": ranked(1, 0)["results"], "usage": {"total_tokens": 26}}
TEI = [{"index": 1, "score": 0.9987405}, {"index": 0, "score": 1}]
JUDGED = {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 1e-7}}


@pytest.mark.parametrize(
    ("document", "about", "usage"),
    [
        (COHERE, (2, 0), None),
        (JINA, (1, 0), Usage(815, 0)),
        (VLLM, (0,), Usage(9, 0)),
        (VOYAGE, (1, 0), Usage(26, 0)),
        (TEI, (1, 0), None),
    ],
    ids=["cohere", "jina", "vllm", "voyage", "tei"],
)
def test_a_ranking_is_sealed_in_every_shape(
    document: object, about: tuple[int, ...], usage: Usage | None
) -> None:
    body = json.dumps(document).encode()
    assert seal(RERANKING, body) == Sealed(Form(), body, usage, about=about)
    assert all(isinstance(seal(RERANKING, body[:end]), Refusal) for end in range(len(body)))


def test_a_judgement_is_sealed_with_one_result_for_each_input() -> None:
    body = json.dumps({"id": "modr-1", "model": "m", "results": [JUDGED, JUDGED]}).encode()
    assert seal(MODERATING, body) == Sealed(Form(), body, about=(0, 1))


@pytest.mark.parametrize(
    ("dialect", "document", "reason"),
    [
        (RERANKING, b"", Why.INCOMPLETE),
        (RERANKING, b"<html>", Why.INCOMPLETE),
        (RERANKING, {}, Why.NOT_UNDERSTOOD),
        (RERANKING, 1, Why.NOT_UNDERSTOOD),
        (RERANKING, {"results": {"0": 1}}, Why.NOT_UNDERSTOOD),
        (RERANKING, {"results": [1]}, Why.NOT_UNDERSTOOD),
        (RERANKING, ranked("0"), Why.NOT_UNDERSTOOD),
        (RERANKING, ranked(True), Why.NOT_UNDERSTOOD),
        (RERANKING, {"results": [{"index": 0}]}, Why.NOT_UNDERSTOOD),
        (RERANKING, {"results": [{"index": 0, "score": "0.5"}]}, Why.NOT_UNDERSTOOD),
        (RERANKING, {"results": [{"index": 0, "score": None}]}, Why.NOT_UNDERSTOOD),
        (RERANKING, ranked(0, error={"message": "no"}), Why.ERROR_IN_BODY),
        (RERANKING, ranked(), Why.EMPTY),
        (RERANKING, [], Why.EMPTY),
        (MODERATING, {}, Why.NOT_UNDERSTOOD),
        (MODERATING, [JUDGED], Why.NOT_UNDERSTOOD),
        (MODERATING, {"results": [1]}, Why.NOT_UNDERSTOOD),
        (MODERATING, {"results": []}, Why.EMPTY),
        (MODERATING, {"error": "overloaded"}, Why.ERROR_IN_BODY),
    ],
)
def test_what_is_no_list_of_results_is_not_kept(
    dialect: Dialect, document: object, reason: Why
) -> None:
    assert why(dialect, document) is reason


def test_no_result_at_all_is_kept_for_a_moment_where_that_is_wanted() -> None:
    dialect = WholeBody(RERANK, Wishes(negative=Negative(empty=True)))
    verdict = seal(dialect, ranked())
    assert isinstance(verdict, Sealed)
    assert verdict.negative
    full = seal(dialect, ranked(0))
    assert isinstance(full, Sealed)
    assert not full.negative


def test_an_error_is_kept_for_a_moment_if_it_is_about_the_question() -> None:
    wishes = Wishes(inert=frozenset({"user"}), negative=Negative(frozenset({"invalid_value"})))
    dialect = WholeBody(MODERATIONS, wishes)
    bad = Head(400, "", OK.headers)
    for param, kept in (("input", True), ("user", False)):
        error = {"error": {"code": "invalid_value", "param": param}}
        assert isinstance(seal(dialect, error, bad), Sealed) is kept


@pytest.mark.parametrize(
    ("about", "fits"),
    [
        ((2, 0), True),
        ((1,), True),
        ((), True),
        ((0, 1, 2), False),
        ((0, 0), False),
        ((0, 3), False),
        ((-1, 0), False),
    ],
)
def test_results_are_counted_against_what_was_asked_for(about: tuple[int, ...], fits: bool) -> None:
    assert Results(inputs=3, least=0, most=2).fit(about) is fits


def test_too_few_results_do_not_fit_either() -> None:
    assert not Results(2, 2, 2).fit((0,))
    assert Results(2, 2, 2).fit((0, 1))


# Who can hear it.


def test_there_is_but_one_form() -> None:
    stream = Form(stream=True)
    assert RERANKING.relay(Form(), stream) is Relay.VERBATIM
    assert RERANKING.sieve(Form())(b"{") == b"{"
    stored: Entry = entry(body=b"[]", form=Form())
    rendered = RERANKING.render(stored, Form())
    assert rendered
    assert (rendered.body, rendered.content_type) == (b"[]", "")
    assert RERANKING.answer(stored) is None


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", Form()),
        ("application/json; charset=utf-8", Form()),
        ("application/x-ndjson", None),
        ("text/event-stream", None),
        ("", None),
    ],
)
def test_an_answer_is_json_or_none_of_ours(content_type: str, form: Form | None) -> None:
    head = Head(200, "OK", Headers([("Content-Type", content_type)]))
    assert RERANKING.arriving(head, Form()) == form
    packed = Head(200, "OK", head.headers.plus(("Content-Encoding", "gzip")))
    assert RERANKING.arriving(packed, Form()) is None


@unhurried
@given(values)
@pytest.mark.parametrize("kind", [RERANK, MODERATIONS], ids=lambda kind: kind.name)
def test_whatever_comes_no_error_is_of_our_making(kind: Kind, value: object) -> None:
    dialect = WholeBody(kind)
    for each in (value, {"results": value}, {"results": [value]}, {"input": value}):
        body = json.dumps(each).encode()
        assert isinstance(dialect.seal(OK, body, Form()), Sealed | Refusal)
        assert isinstance(ask(dialect, body), Query | Refusal)
        assert isinstance(ask(dialect, {**RANKS, "documents": value}), Query | Refusal)


def test_a_text_in_another_spelling_is_measured_anew() -> None:
    composed, apart = "\u00e9", "e\u0301"  # equal in Unicode NFC, and other tokens
    one, other = (asked(RERANKING, {**RANKS, "query": text}) for text in (composed, apart))
    assert one.canonical != other.canonical

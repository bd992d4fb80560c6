"""The embeddings dialects: what is asked input by input, what is kept, what is put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cranked import entry, posted
from support.embedding_backend import Asked, answer, packed
from support.properties import unhurried

from proxy.dialects.base import Dialect, Divisible, Relay
from proxy.dialects.cohere_embed import cohere_embed
from proxy.dialects.embeddings import DivisibleEmbeddings
from proxy.dialects.negative import Negative
from proxy.dialects.ollama_embed import ollama_embed, ollama_embeddings
from proxy.dialects.openai_embeddings import openai_embeddings
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Query, Refusal, Sealed, Usage

Json = dict[str, Any]
OK = Head(200, "OK", Headers([("Content-Type", "application/json")]))
OPENAI, OLLAMA, COHERE = openai_embeddings(), ollama_embed(), cohere_embed()
LEGACY = ollama_embeddings()
ROUTES: dict[str, tuple[DivisibleEmbeddings, str, str, Json]] = {
    "openai": (OPENAI, "/v1/embeddings", "input", {"model": "m"}),
    "base64": (OPENAI, "/v1/embeddings", "input", {"model": "m", "encoding_format": "base64"}),
    "dimensions": (OPENAI, "/v1/embeddings", "input", {"model": "m", "dimensions": 3}),
    "ollama": (OLLAMA, "/api/embed", "input", {"model": "m", "keep_alive": "5m"}),
    "cohere": (COHERE, "/v1/embed", "texts", {"model": "m", "input_type": "search_query"}),
    "cohere, by type": (
        COHERE,
        "/v2/embed",
        "texts",
        {"model": "m", "embedding_types": ["float", "int8", "base64"]},
    ),
}
protocols = pytest.mark.parametrize("protocol", ROUTES)


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def read(dialect: Dialect, body: Json, path: str = "/v1/embeddings") -> Query | Refusal:
    raw = dump(body)
    return dialect.read(posted(raw, path=path), raw)


def asked(dialect: Dialect, body: Json, path: str = "/v1/embeddings") -> Query:
    query = read(dialect, body, path)
    assert isinstance(query, Query), query
    return query


def said(body: bytes, path: str) -> bytes:
    """What a backend says to ``body``: numbers with more digits than they need."""
    import orjson

    return orjson.dumps(answer(Asked(path, {}, body)), option=orjson.OPT_INDENT_2)


def body_of(protocol: str, inputs: Any) -> Json:
    _, _, name, rest = ROUTES[protocol]
    return {**rest, name: inputs}


def same(one: bytes, other: bytes) -> bool:
    """Whether two replies say the same but for what tells of one call only."""
    told = [json.loads(each, parse_float=str) for each in (one, other)]
    for each in told:
        for name in ("id", "total_duration", "load_duration"):
            each.pop(name, None)
    return bool(told[0] == told[1])


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
    assert OPENAI.relay(Form(), Form(stream=True)) is Relay.NEVER
    assert OPENAI.sieve(Form())(b"a") == b"a"
    kept = Sealed(Form(), b"body")
    rendered = OPENAI.render(kept, Form())
    assert rendered is not None
    assert rendered.body == b"body"
    assert OPENAI.render(kept, Form(stream=True)) is None


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


def item(embedding: Any, index: Any = 0) -> Json:
    return {"object": "embedding", "index": index, "embedding": embedding}


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


# Taken apart, and put together.


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

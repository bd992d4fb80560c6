"""What counts of a request to a RAG service, and what it asks."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.cranked import Given
from support.properties import unhurried

from proxy.dialects.rag_json import RagJson
from proxy.dialects.rag_json.route import Empty, Route
from proxy.dialects.wishes import Wishes
from proxy.key import KeyRules
from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.message import Headers, Request
from proxy.model.query import Asking, Query, Refusal
from proxy.wire import json_members

ROUTE = Route(
    paths=("/ask", "/v*/search"),
    methods=frozenset({"GET", "POST"}),
    question="/question",
    history="/history",
    filters=("/filters/tags",),
    inert=("/trace", "/client/version"),
    inert_parameters=frozenset({"trace"}),
    stateful=("/session_id",),
)
RAG = RagJson(ROUTE)
KEYS = KeyRules(b"a secret of sixteen bytes")
BODY: dict[str, Any] = {
    "question": "Why?",
    "history": [],
    "filters": {"tags": ["a", "b"], "year": [2020, 2024]},
    "k": 5,
    "trace": "t-1",
    "client": {"version": 3, "name": "web"},
}


def request(query_string: str = "", method: str = "POST", path: str = "/ask") -> Request:
    return Request(method, path, query_string, Headers(), Given(b""))


def read(
    body: Any = None, query_string: str = "", method: str = "POST", rag: RagJson = RAG
) -> Query | Refusal:
    raw = b"" if method == "GET" else json.dumps(BODY if body is None else body).encode()
    return rag.read(request(query_string, method), raw)


def key(*args: Any, **more: Any) -> CacheKey:
    query = read(*args, **more)
    assert isinstance(query, Query)
    method = more.get("method", "POST")
    query_string = args[1] if len(args) > 1 else more.get("query_string", "")
    return KEYS.key_of(request(query_string, method), query, "up")


def changed(**members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(BODY), **members}


# -- the key --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        changed(trace="t-2"),
        {name: value for name, value in BODY.items() if name != "trace"},
        changed(client={"version": 4, "name": "web"}),
        changed(filters={"tags": ["b", "a"], "year": [2020, 2024]}),
        dict(reversed(BODY.items())),
    ],
)
def test_what_is_inert_does_not_count_nor_does_the_order_of_members_and_filters(
    other: dict[str, Any],
) -> None:
    assert key(other) == key()


@pytest.mark.parametrize(
    "other",
    [
        changed(question="Why? "),
        changed(history=[{"q": "What?"}]),
        changed(filters={"tags": ["a", "b", "c"], "year": [2020, 2024]}),
        changed(filters={"tags": ["a", "b"], "year": [2024, 2020]}),
        changed(filters={"tags": [1, "b"], "year": [2020, 2024]}),
        changed(k=6),
        changed(k=None),
        changed(client={"version": 3, "name": "app"}),
        changed(traces="t-1"),
        changed(stream=True),
        {"question": "Why?"},
    ],
)
def test_everything_else_does(other: dict[str, Any]) -> None:
    assert key(other) != key()


def test_a_list_of_filters_that_is_no_list_of_texts_keeps_its_order() -> None:
    one, other = ({"filters": {"tags": [1, "b"]}}, {"filters": {"tags": ["b", 1]}})
    assert key(one) != key(other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner),
    max_leaves=4,
)


@given(name=st.sampled_from(["question", "history", "filters", "k", "client", "new"]), value=JSON)
@unhurried
def test_any_member_that_is_not_inert_changes_the_key(name: str, value: Any) -> None:
    other = changed(**{name: value})
    # 1 and true are equal to Python, not to JSON.
    assume(
        json.dumps(other.get(name), sort_keys=True) != json.dumps(BODY.get(name), sort_keys=True)
    )
    if name == "client" and isinstance(value, dict):
        assume(value.get("name") != "web")
    if name == "new":
        assume(name in other)
    assert key(other) != key()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_parameters_count_but_for_the_inert_and_their_order(method: str) -> None:
    def of(query_string: str) -> CacheKey:
        return key(query_string=query_string, method=method)

    assert of("q=1&k=2&trace=7") == of("trace=8&k=2&q=1") == of("k=2&q=1")
    assert (
        len({of(each).digest for each in ("", "q=1", "q=2", "q=1&q=1", "Trace=7", "trace[]=7")})
        == 6
    )


def test_a_get_and_a_post_are_never_the_same_question() -> None:
    assert key(query_string="q=1", method="GET") != key(BODY, "q=1")


def test_what_a_route_is_told_to_do_is_part_of_the_key() -> None:
    stricter = RagJson(Route(paths=ROUTE.paths, methods=ROUTE.methods, empty=Empty(sources=True)))
    assert key({"a": 1}, rag=stricter) != key({"a": 1}, rag=RagJson(Route(paths=ROUTE.paths)))


def test_the_version_is_part_of_the_key_and_without_one_nothing_is() -> None:
    version: list[str | None] = [None]
    rag = RagJson(ROUTE, version=lambda: version[0])
    assert read(rag=rag) == Refusal(Why.VERSION)
    version[0] = "1"
    first = read(rag=rag)
    assert isinstance(first, Query)
    one = key(rag=rag)
    assert rag.current(first)
    version[0] = "2"
    assert not rag.current(first)
    assert key(rag=rag) != one
    version[0] = "1"
    assert key(rag=rag) == one
    version[0] = None
    assert not rag.current(first)


def test_members_that_are_inert_everywhere_are_inert_here() -> None:
    rag = RagJson(ROUTE, Wishes(inert=frozenset({"user"})))
    assert key(changed(user="a"), rag=rag) == key(rag=rag)


# -- what is passed on ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "query_string", "method", "why"),
    [
        (changed(session_id="s"), "", "POST", Why.STATEFUL),
        (None, "q=1&session_id=s", "GET", Why.STATEFUL),
        ([1], "", "POST", Why.NOT_UNDERSTOOD),
        (None, "q=1;k=2", "GET", Why.UNKEYABLE),
        (None, "q=ö", "POST", Why.UNKEYABLE),
        (BODY, "session_id=s", "POST", Why.STATEFUL),
    ],
)
def test_what_is_not_a_question_of_its_own_is_passed_on(
    body: Any, query_string: str, method: str, why: Why
) -> None:
    said = read(body, query_string, method)
    assert isinstance(said, Refusal)
    assert said.why is why


def test_a_get_with_a_body_is_passed_on() -> None:
    said = RAG.read(request("q=1", "GET"), b"{}")
    assert isinstance(said, Refusal)
    assert said.why is Why.UNKEYABLE


def test_what_is_declared_inert_is_no_reason_to_pass_a_request_on() -> None:
    route = Route(paths=("/ask",), stateful=("/session_id", "/chat"), inert=("/session_id",))
    rag = RagJson(route, Wishes(inert=frozenset({"chat"})))
    assert key({"session_id": 1, "chat": 2}, rag=rag) == key({}, rag=rag)


@pytest.mark.parametrize(
    ("session", "there"), [(None, False), ("", False), (False, False), ({}, False), (0, True)]
)
def test_an_empty_session_is_none(session: Any, there: bool) -> None:
    assert isinstance(read(changed(session_id=session)), Refusal) is there


@pytest.mark.parametrize(
    ("method", "path", "ours"),
    [
        ("POST", "/ask", True),
        ("GET", "/v2/search", True),
        ("PUT", "/ask", False),
        ("POST", "/ask/", False),
        ("POST", "/%61sk", False),
    ],
)
def test_a_route_is_known_by_its_raw_path_and_method(method: str, path: str, ours: bool) -> None:
    assert RAG.matches(method, path) is ours


# -- the question ---------------------------------------------------------------------------------


def asking(*args: Any, **more: Any) -> Asking | None:
    query = read(*args, **more)
    assert isinstance(query, Query)
    return RAG.asking(query)


def test_only_the_question_may_be_put_in_other_words() -> None:
    one, other = asking(), asking(changed(question="How come?"))
    assert one is not None
    assert other is not None
    assert (one.text, other.text) == ("Why?", "How come?")
    assert one.rest == other.rest
    assert not one.follows
    assert not one.acts
    for different in (changed(k=6), changed(filters={}), changed(history=[1])):
        told = asking(different)
        assert told is not None
        assert told.rest != one.rest
    assert asking(changed(history=[1])).follows  # type: ignore[union-attr] # else it fails
    assert asking(changed(tools=[1])).acts  # type: ignore[union-attr] # else it fails


def test_the_question_of_a_get_is_a_parameter() -> None:
    one = asking(query_string="question=why%20so&k=1", method="GET")
    other = asking(query_string="k=1&question=how+come", method="GET")
    assert one is not None
    assert other is not None
    assert (one.text, other.text) == ("why so", "how come")
    assert one.rest == other.rest
    later = asking(query_string="question=and&k=1&history=x", method="GET")
    assert later is not None
    assert later.follows
    assert later.rest != one.rest
    assert key(query_string="question=why&k=1", method="GET") != key(
        query_string="question=how&k=1", method="GET"
    )


@pytest.mark.parametrize("query_string", ["", "question=a&question=b", "question=%ff", "q=a"])
def test_what_is_no_one_text_is_no_question(query_string: str) -> None:
    assert asking(query_string=query_string, method="GET") is None
    assert asking({"question": ["a"]}) is None


def test_a_route_without_a_question_has_none() -> None:
    rag = RagJson(Route(paths=("/ask",), question=None, model=None))
    query = read(rag=rag)
    assert isinstance(query, Query)
    assert (rag.asking(query), query.question, query.model) == (None, "", "")


def test_what_else_is_to_be_known_is_read_where_it_usually_stands() -> None:
    query = read(changed(model="m", temperature=0.5, seed=1, question="Why?" + "!" * 9000))
    assert isinstance(query, Query)
    assert (query.model, query.temperature, query.seeded) == ("m", 0.5, True)
    assert query.question.startswith("Why?!!")
    assert len(query.question) < 5000


def test_a_member_that_the_caller_has_left_out_leaves_out_nothing_else() -> None:
    query = read(changed(version=1), "q=1")
    assert isinstance(query, Query)
    body, apart, rest = query.canonical.partition(b"\n")
    left = json_members.without(query.canonical, "k")
    assert left == json_members.without(body, "k") + apart + rest
    assert "k" not in json.loads(left.partition(b"\n")[0])
    asked = read(query_string='q={"k":1}&k=2', method="GET")
    assert isinstance(asked, Query)
    for name in ("k", "q", ""):
        assert json_members.without(asked.canonical, name) == asked.canonical


def test_orders_to_the_cache_are_taken_out() -> None:
    query = read(changed(cache={"no-cache": True}))
    assert isinstance(query, Query)
    assert query.controls.no_cache
    assert json.loads(query.forward) == BODY

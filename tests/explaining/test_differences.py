"""Why two requests have different keys, or the same: never a wrong word about what matters."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.explained import SECRET

from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.wishes import Wishes
from proxy.explaining.differences import MOST, Difference, Side, Where, differences
from proxy.explaining.draft import draft
from proxy.explaining.explanation import Explanation, Keyed
from proxy.key import KeyRules
from proxy.model.decision import Why
from proxy.model.outcome import Verdict
from proxy.model.query import Refusal
from proxy.wire.cache_control import controls_from_headers

CHAT = "/v1/chat/completions"
KEYS = KeyRules(b"a secret of sixteen bytes")
DIALECT = OpenAIChat(Wishes(inert=frozenset({"user"})))
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}


def side(
    body: object = None,
    *headers: tuple[str, str],
    target: str = CHAT,
    method: str = "POST",
    upstream: str = "up",
) -> Side:
    """A request as it is explained, as far as it matters here."""
    content = body if isinstance(body, bytes) else orjson.dumps(ASKED if body is None else body)
    made = draft(method, target, headers, content)
    query = DIALECT.read(made.request, content)
    keyed = key = None
    if not isinstance(query, Refusal):
        query = query._replace(controls=controls_from_headers(made.request.headers))
        parts = KEYS.parts_of(made.request, query, upstream)
        keyed = Keyed(parts, KEYS.scope_fields(made.request), (), (), (), ())
        key = KEYS.key_of(made.request, query, upstream)
    told = Explanation(
        0, Verdict.MISS, Why.UNSEEN, upstream=upstream, dialect="openai_chat", key=key,
        asked_key=key, keyed=keyed,
    )  # fmt: skip
    return Side(told, made.request, content)


def only(one: Side, other: Side) -> Difference:
    (found,) = differences(one, other)
    assert found.matters == (one.explanation.key != other.explanation.key)
    return found


def test_equal_requests_differ_in_nothing() -> None:
    assert differences(side(), side()) == []


@pytest.mark.parametrize(
    ("other", "where", "name", "said"),
    [
        (side({**ASKED, "model": "n"}), Where.BODY, "/model", ('"m"', '"n"')),
        (side({**ASKED, "n": 2}), Where.BODY, "/n", (None, "2")),
        (side({**ASKED, "a/b~c": 1}), Where.BODY, "/a~1b~0c", (None, "1")),
        (side({**ASKED, "messages": []}), Where.BODY, "/messages/0",
         ('{"content":"Why?","role":"user"}', None)),
        (side(None, ("X-A", "1")), Where.HEADER, "x-a", (None, "1")),
        (side(None, ("Cookie", "a=canary")), Where.HEADER, "cookie", (None, None)),
        (side(None, ("X-Auth-Token", "canary")), Where.HEADER, "x-auth-token", (None, None)),
        (side(target=f"{CHAT}?key2=canary"), Where.QUERY, "", (None, None)),
        (side(target=f"/other{CHAT}"), Where.PATH, "", (CHAT, f"/other{CHAT}")),
        (side(upstream="down"), Where.UPSTREAM, "", ("up", "down")),
        (side(None, ("X-Cache-Namespace", "a")), Where.NAMESPACE, "", None),
        (side(None, ("Authorization", f"Bearer {SECRET}")), Where.SCOPE, "", None),
        # what makes no difference
        (side({**ASKED, "user": "u"}), Where.BODY, "/user", (None, '"u"')),
        (side({**ASKED, "stream": True}), Where.BODY, "/stream", (None, "true")),
        (side(None, ("X-Request-Id", "1")), Where.HEADER, "x-request-id", (None, "1")),
        (side(orjson.dumps(ASKED, option=orjson.OPT_INDENT_2)), Where.BODY, "", (None, None)),
        (side(dict(reversed(ASKED.items()))), Where.BODY, "", (None, None)),
    ],
)  # fmt: skip
def test_what_differs_is_named_and_it_is_said_whether_that_matters(
    other: Side, where: Where, name: str, said: tuple[str | None, str | None] | None
) -> None:
    found, *more = differences(side(), other)

    assert found.matters == (side().explanation.key != other.explanation.key)
    assert [each.name for each in more] == (["x-cache-namespace"] if where == "namespace" else [])
    assert (found.where, found.name) == (where, name)
    if said is not None:
        assert (found.one, found.other) == said
    assert "canary" not in repr(found)
    assert SECRET not in repr(found)


def test_the_order_of_members_is_told_where_it_counts() -> None:
    def schema(names: str) -> dict[str, object]:
        members = {name: {"type": "string"} for name in names}
        return {**ASKED, "response_format": {"type": "json_schema", "json_schema": members}}

    found = only(side(schema("ab")), side(schema("ba")))

    assert (found.where, found.name) == (Where.BODY, "/response_format/json_schema")
    assert "order" in found.says


def test_numbers_that_are_written_otherwise_and_count_as_others_are_told() -> None:
    found = only(side({**ASKED, "top_p": 1}), side({**ASKED, "top_p": 1.0}))

    assert (found.name, found.one, found.other) == ("/top_p", "1", "1.0")


def test_what_has_no_key_is_compared_as_it_came() -> None:
    found = differences(side({**ASKED, "store": True}), side({**ASKED, "store": 1}))
    assert [(each.where, each.name) for each in found] == [(Where.BODY, "/store")]
    (found_too,) = differences(side(b"no json"), side(b"nor this"))
    assert found_too == Difference(
        Where.BODY, "", None, None, matters=True, says="Their bodies differ."
    )


def test_there_is_an_end_to_what_is_told() -> None:
    many = {f"x{n}": n for n in range(500)}
    long = {"long": "x" * 10_000}
    deep = b'{"model":"m","messages":[],"deep":' + b"[" * 300 + b"]" * 300 + b"}"

    found = differences(side({**ASKED, **many, **long}), side())
    assert len(found) == MOST
    assert all(len(each.one or "") <= 200 for each in found)
    shown = differences(side(deep), side({**ASKED, "messages": [], "deep": 1}))
    assert "/deep" in {each.name for each in shown}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from("mn"), "messages": st.just([])},
    optional={"user": values, "stream": st.booleans(), "x": values, "tools": values},
)
fields = st.lists(
    st.sampled_from(
        [("X-A", "1"), ("X-A", "2"), ("User-Agent", "u"), ("Authorization", "Bearer a"),
         ("Cookie", "a=b"), ("X-Request-Id", "r")]
    ),
    max_size=3,
)  # fmt: skip


@given(bodies, bodies, fields, fields)
def test_something_that_matters_is_told_if_and_only_if_the_keys_differ(
    one: object, other: object, some: list[tuple[str, str]], more: list[tuple[str, str]]
) -> None:
    left, right = side(one, *some), side(other, *more)
    keys = left.explanation.key, right.explanation.key
    if None in keys:
        return
    assert any(each.matters for each in differences(left, right)) == (keys[0] != keys[1])

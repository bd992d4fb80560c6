"""Counting tokens: a question whose answer is one number."""

from __future__ import annotations

import json

import pytest
from support.cranked import entry, posted

from proxy.dialects.anthropic_count_tokens import AnthropicCountTokens
from proxy.dialects.base import Dialect, Relay
from proxy.dialects.negative import Negative
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Query, Refusal, Sealed

DIALECT: Dialect = AnthropicCountTokens()
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
PATH = "/v1/messages/count_tokens"


def dump(members: object) -> bytes:
    return json.dumps(members).encode()


def ask(members: object, dialect: Dialect = DIALECT) -> Query | Refusal:
    body = dump(members)
    return dialect.read(posted(body, path=PATH), body)


def head(content_type: str = "application/json", status: int = 200) -> Head:
    return Head(status, "", Headers([("Content-Type", content_type)]))


@pytest.mark.parametrize(
    ("method", "path", "matches"),
    [
        ("POST", PATH, True),
        ("POST", "/anthropic/v1/messages/count_tokens", True),
        ("POST", "/v1/messages", False),
        ("POST", "/v1/count_tokens", False),
        ("GET", PATH, False),
    ],
)
def test_a_route_is_known_by_its_end(method: str, path: str, matches: bool) -> None:
    assert DIALECT.matches(method, path) is matches


def test_the_whole_body_is_the_question() -> None:
    query = ask(ASKED)
    assert isinstance(query, Query)
    assert (query.dialect, query.model, query.form) == ("anthropic_count_tokens", "m", Form())
    assert json.loads(query.canonical) == ASKED
    for more in ({"system": "Be brief."}, {"stream": True}, {"tools": [{"type": "web_search_1"}]}):
        other = ask({**ASKED, **more})
        assert isinstance(other, Query)
        assert other.canonical != query.canonical
    inert = AnthropicCountTokens(Wishes(inert=frozenset({"speed"})))
    hurried = ask({**ASKED, "speed": "fast"}, inert)
    assert isinstance(hurried, Query)
    assert hurried.canonical == query.canonical


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], Why.NOT_UNDERSTOOD),
        ({"model": "m"}, Why.NOT_UNDERSTOOD),
        ({"messages": []}, Why.NOT_UNDERSTOOD),
        ({**ASKED, "mcp_servers": [{"url": "https://example.org"}]}, Why.HOSTED_TOOLS),
        ({**ASKED, "thread": {"type": "create"}}, Why.STATEFUL),
    ],
)
def test_what_is_more_or_less_than_that_is_left_alone(members: object, why: Why) -> None:
    refusal = ask(members)
    assert isinstance(refusal, Refusal)
    assert refusal.why is why


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"input_tokens": 12}\n', None),
        (b'{"input_tokens": 0, "context_management": {}}', None),
        (b'{"input_tokens": 1', Why.INCOMPLETE),
        (b"", Why.INCOMPLETE),
        (b'{"input_tokens": true}', Why.NOT_UNDERSTOOD),
        (b'{"input_tokens": "12"}', Why.NOT_UNDERSTOOD),
        (b"{}", Why.NOT_UNDERSTOOD),
        (b"12", Why.NOT_UNDERSTOOD),
    ],
)
def test_only_a_count_is_kept(body: bytes, why: Why | None) -> None:
    verdict = DIALECT.seal(head(), body, Form())
    if why is None:
        assert verdict == Sealed(Form(), body)
        rendered = DIALECT.render(Sealed(Form(), body), Form())
        assert rendered
        assert rendered.body is body
    else:
        assert isinstance(verdict, Refusal)
        assert verdict.why is why


def test_an_error_is_kept_if_it_is_about_the_question() -> None:
    dialect = AnthropicCountTokens(Wishes(negative=Negative(frozenset({"not_found_error"}))))
    body = dump({"type": "error", "error": {"type": "not_found_error", "message": "model: m"}})
    verdict = dialect.seal(head(status=404), body, Form())
    assert isinstance(verdict, Sealed)
    assert verdict.negative
    assert isinstance(DIALECT.seal(head(status=404), body, Form()), Refusal)


def test_it_has_one_form_and_no_other_words() -> None:
    query = ask(ASKED)
    assert isinstance(query, Query)
    assert DIALECT.asking(query) is None
    assert DIALECT.answer(entry(body=b'{"input_tokens":1}')) is None
    assert DIALECT.arriving(head(), Form()) == Form()
    assert DIALECT.arriving(head("text/event-stream"), Form()) is None
    assert DIALECT.relay(Form(), Form()) is Relay.VERBATIM
    assert DIALECT.sieve(Form())(b"1") == b"1"


def test_a_text_in_another_spelling_is_counted_anew() -> None:
    composed, apart = "\u00e9", "e\u0301"  # equal in Unicode NFC, and other tokens
    one, other = (ask({**ASKED, "system": text}) for text in (composed, apart))
    assert isinstance(one, Query)
    assert isinstance(other, Query)
    assert one.canonical != other.canonical

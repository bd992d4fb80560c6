"""The Messages dialect: what is asked, what comes, and who can hear it in which form."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.anthropic_answers import Json, documents, streams, values, written
from support.anthropic_answers import names as free
from support.chat_answers import same
from support.cranked import posted
from support.properties import unhurried
from support.speech import dump, head, sealed_by

from proxy.dialects.anthropic_count_tokens import AnthropicCountTokens
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.base import Dialect, Relay
from proxy.dialects.negative import Negative
from proxy.dialects.wishes import Wishes
from proxy.key import KeyRules
from proxy.model.decision import Why
from proxy.model.query import Form, Query, Refusal, Sealed

GOLDEN = sorted(Path(__file__).with_name("golden").glob("anthropic/*.sse"))
DIALECT: Dialect = AnthropicMessages()
JSON, STREAM = Form(), Form(stream=True)
MESSAGES = [{"role": "user", "content": "Why?"}]
ASKED: Json = {"model": "m", "max_tokens": 9, "messages": MESSAGES}
PATH = "/v1/messages"


def ask(members: object, *headers: tuple[str, str], dialect: Dialect = DIALECT) -> Query | Refusal:
    body = members if isinstance(members, bytes) else dump(members)
    return dialect.read(posted(body, *headers, path=PATH), body)


def asked(members: object, *headers: tuple[str, str], dialect: Dialect = DIALECT) -> Query:
    query = ask(members, *headers, dialect=dialect)
    assert isinstance(query, Query)
    return query


def sealed(body: bytes, form: Form) -> Sealed:
    return sealed_by(DIALECT, body, form)


# Which requests.


@pytest.mark.parametrize(
    ("method", "path", "matches"),
    [
        ("POST", "/v1/messages", True),
        ("POST", "/messages", True),
        ("POST", "/anthropic/v1/messages", True),
        ("POST", "/v1/messages/", False),
        ("POST", "/v1/messages/count_tokens", False),
        ("POST", "/v1/messages/batches", False),
        ("POST", "/v1/messages/batches/msgbatch_1/cancel", False),
        ("POST", "/v1/Messages", False),
        ("GET", "/v1/messages", False),
    ],
)
def test_a_route_is_known_by_its_last_segment(method: str, path: str, matches: bool) -> None:
    assert DIALECT.matches(method, path) is matches


# What they ask.


def test_a_question_is_read_whole() -> None:
    body = dump({**ASKED, "temperature": 0, "stream": True, "system": [{"type": "text"}]})
    query = asked(body)
    assert query.dialect == "anthropic_messages"
    assert query.model == "m"
    assert query.form == STREAM
    assert query.forward is body
    assert query.temperature == 0.0
    assert query.question == "Why?"
    assert json.loads(query.canonical) == {**ASKED, "temperature": 0, "system": [{"type": "text"}]}


@pytest.mark.parametrize(("stream", "form"), [(True, STREAM), (False, JSON), (None, JSON)])
def test_the_form_is_not_part_of_the_question(stream: bool | None, form: Form) -> None:
    query = asked({**ASKED, "stream": stream})
    assert query.form == form
    assert query.canonical == asked(ASKED).canonical


@unhurried
@given(st.dictionaries(free, values, max_size=4), st.randoms(use_true_random=False))
def test_spelling_is_not_part_of_the_question(more: Json, shuffler: Random) -> None:
    members = [*more.items(), *ASKED.items()]
    query = asked(dict(members))
    shuffler.shuffle(members)
    respelt = json.dumps(dict(members), indent=2, ensure_ascii=False).encode()
    assert asked(respelt).canonical == query.canonical
    assert asked(respelt).forward == respelt


@unhurried
@given(st.dictionaries(free, values, max_size=3), free, values)
def test_any_other_member_is_whatever_it_is_called(more: Json, name: str, value: object) -> None:
    assume(name not in more or not same(more[name], value))
    query = asked({**more, **ASKED})
    assert asked({**more, **ASKED, name: value}).canonical != query.canonical


CHANGES: list[Json] = [
    {"model": "m2"},
    {"max_tokens": 10},
    {"messages": [{"role": "user", "content": "why?"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]},
    {"system": "Be brief."},
    {"temperature": 0.5},
    {"top_p": 0.5},
    {"top_k": 5},
    {"stop_sequences": ["\n"]},
    {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    {"thinking": {"type": "adaptive", "display": "omitted"}},
    {"tools": [{"name": "f", "input_schema": {}}]},
    {"tool_choice": {"type": "auto"}},
    {"metadata": {"user_id": "u"}},
    {"service_tier": "auto"},
    {"cache_control": {"type": "ephemeral"}},
    {"context_management": {"edits": []}},
    {"output_config": {"effort": "low"}},
    {"inference_geo": "eu"},
    {"speed": "fast"},
    {"fallbacks": "default"},
    {"container": None},
    {"mcp_servers": []},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_each_member_of_the_protocol_is_part_of_the_question(change: Json) -> None:
    assert asked({**ASKED, **change}).canonical != asked(ASKED).canonical


KEYED = [
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "interleaved-thinking-2025-05-14"),
    ("anthropic-user-profile-id", "p"),
    ("anthropic-workspace-id", "w"),
    ("x-api-key", "sk-ant-two"),
    ("authorization", "Bearer two"),
]


@pytest.mark.parametrize(("name", "value"), KEYED)
def test_its_headers_are_part_of_the_question_and_its_credential_says_whose_answers_they_are(
    name: str, value: str
) -> None:
    rules = KeyRules(b"a secret of 16 bytes")
    body = dump(ASKED)
    base = [("x-api-key", "sk-ant-one"), ("anthropic-version", "2099-01-01")]
    plain = posted(body, *base, path=PATH)
    others = [pair for pair in base if pair[0] != name]
    changed = posted(body, *others, (name, value), path=PATH)
    keys = [rules.key_of(each, asked(body), "up") for each in (plain, changed)]
    assert keys[0].digest != keys[1].digest
    assert (keys[0].scope != keys[1].scope) == (name in {"x-api-key", "authorization"})


def test_what_only_says_how_a_request_travels_is_not() -> None:
    rules = KeyRules(b"a secret of 16 bytes")
    body = dump(ASKED)
    noise = [
        ("User-Agent", "Anthropic/Python"),
        ("x-stainless-stream-helper", "messages"),
        ("X-Stainless-Retry-Count", "1"),
        ("Accept", "application/json"),
    ]
    one, two = posted(body, path=PATH), posted(body, *noise, path=PATH)
    assert rules.key_of(one, asked(body), "up") == rules.key_of(two, asked(body), "up")


def test_members_known_to_be_inert_are_not() -> None:
    dialect = AnthropicMessages(Wishes(inert=frozenset({"metadata", "container"})))
    body = dump({**ASKED, "metadata": {"user_id": "u1"}, "container": "c"})
    query = asked(body, dialect=dialect)
    assert query.canonical == asked(ASKED).canonical
    assert query.forward is body


@pytest.mark.parametrize("member", ["tools", "output_config", "output_format"])
def test_the_order_of_properties_in_a_schema_counts_as_models_write_in_it(member: str) -> None:
    thinks, blurts = {"why": {}, "answer": {}}, {"answer": {}, "why": {}}
    bodies = [{**ASKED, member: [{"properties": each}]} for each in (thinks, blurts)]
    assert asked(bodies[0]).canonical != asked(bodies[1]).canonical


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "mcp_tool_listing", "mcp_server_name": "s", "tools": {}},
        {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {}}},
    ],
)
def test_the_order_counts_in_what_messages_bring_of_calls_and_tools(block: Json) -> None:
    def given(*names: str) -> Json:
        brought = {**block, "x": dict.fromkeys(names, 1)}
        return {**ASKED, "messages": [*MESSAGES, {"role": "assistant", "content": [brought]}]}

    assert asked(given("a", "b")).canonical != asked(given("b", "a")).canonical
    count = AnthropicCountTokens()
    assert asked(given("a", "b"), dialect=count) != asked(given("b", "a"), dialect=count)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", Why.UNKEYABLE),
        (b'{"model":"m","max_tokens":9,"messages":[],"a":1,"a":2}', Why.UNKEYABLE),
        (b"[]", Why.NOT_UNDERSTOOD),
        (b"{}", Why.NOT_UNDERSTOOD),
        (dump({"role": "user", "content": "to a thread of assistants"}), Why.NOT_UNDERSTOOD),
        (dump({**ASKED, "messages": "Why?"}), Why.NOT_UNDERSTOOD),
        (dump({**ASKED, "model": None}), Why.NOT_UNDERSTOOD),
        (dump({**ASKED, "max_tokens": None}), Why.NOT_UNDERSTOOD),
        (dump({**ASKED, "max_tokens": True}), Why.NOT_UNDERSTOOD),
        (dump({**ASKED, "stream": 1}), Why.NOT_UNDERSTOOD),
        (dump({**ASKED, "stream": "true"}), Why.NOT_UNDERSTOOD),
    ],
)
def test_what_is_not_surely_understood_is_not_a_question(body: bytes, why: Why) -> None:
    refusal = ask(body)
    assert isinstance(refusal, Refusal)
    assert refusal.why is why


@pytest.mark.parametrize(
    ("more", "detail"),
    [
        ({"container": "container_1"}, "container"),
        ({"container": {"skills": []}}, "container"),
        ({"mcp_servers": [{"type": "url", "url": "https://example.org"}]}, "mcp_servers"),
        ({"thread": {"type": "create"}}, "thread"),
        ({"diagnostics": {"previous_message_id": None}}, "diagnostics"),
        ({"fallback_credit_token": "c"}, "fallback_credit_token"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [{"type": "web_search_20250305"}]}, "web_search_20250305"),
        ({"tools": [{"type": "web_fetch_20260318"}]}, "web_fetch_20260318"),
        (
            {"tools": [{"name": "f"}, {"type": "code_execution_20250825"}]},
            "code_execution_20250825",
        ),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}]}, "mcp_toolset"),
        ({"tools": [{"type": "advisor_20260301"}]}, "advisor_20260301"),
        ({"tools": [{"type": "tool_of_tomorrow"}]}, "tool_of_tomorrow"),
        ({"tools": [{"type": 4}]}, "a tool of no known type"),
    ],
)
def test_a_call_that_does_more_than_answer_is_left_alone(more: Json, detail: str) -> None:
    body = dump({**ASKED, **more})
    tools = "tools" in more or "mcp_servers" in more
    assert ask(body) == Refusal(Why.HOSTED_TOOLS if tools else Why.STATEFUL, detail, body)


def test_a_tool_that_comes_in_a_message_is_judged_as_one_that_came_before() -> None:
    def given(tool: Json) -> bytes:
        block = {"type": "tool_addition", "tool": tool}
        return dump({**ASKED, "messages": [{"role": "system", "content": [block]}, *MESSAGES]})

    search = {"type": "web_search_20260318", "name": "web_search"}
    body = given({"type": "tool_definition", "definition": search})
    assert ask(body) == Refusal(Why.HOSTED_TOOLS, "web_search_20260318", body)
    body = given({"type": "tool_definition", "definition": "x"})
    assert isinstance(ask(body), Query)
    assert asked(given({"type": "tool_definition", "definition": {"name": "f"}}))
    assert asked(given({"type": "tool_reference", "name": "f"}))


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "f", "input_schema": {}},
        {"type": None, "name": "f"},
        {"type": "custom", "name": "f"},
        {"type": "bash_20250124"},
        {"type": "text_editor_20250728"},
        {"type": "computer_20251124"},
        {"type": "computer_toolset_20260801"},
        {"type": "browser_toolset_20260801"},
        {"type": "memory_20250818"},
        {"type": "tool_search_tool_regex"},
        {"type": "tool_search_tool_bm25_20251119"},
        "odd",
    ],
)
def test_tools_that_the_client_runs_are_part_of_the_question(tool: object) -> None:
    assert asked({**ASKED, "tools": [tool]}).canonical != asked(ASKED).canonical


def test_state_that_is_declined_is_no_state() -> None:
    members = {"container": None, "mcp_servers": [], "thread": None, "tools": None}
    assert asked({**ASKED, **members}).form == JSON


# What comes back.


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("text/event-stream", STREAM),
        ("Text/Event-Stream; charset=utf-8", STREAM),
        ("application/json", JSON),
        ("text/html", None),
        ("", None),
    ],
)
def test_the_form_of_an_answer_is_told_by_its_media_type(
    content_type: str, form: Form | None
) -> None:
    for wanted in (JSON, STREAM):
        assert DIALECT.arriving(head(content_type), wanted) == form
    assert DIALECT.arriving(head(content_type, ("Content-Encoding", "br")), JSON) is None


def error(kind: str, **more: object) -> bytes:
    told = {"type": kind, "message": "No."}
    return dump({"type": "error", "error": told, "request_id": "req_1", **more})


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("not_found_error", True),
        ("invalid_request_error", False),  # an empty purse is one, too
        ("permission_error", False),
        ("overloaded_error", False),
    ],
)
def test_an_error_is_kept_if_it_is_about_the_question(kind: str, kept: bool) -> None:
    dialect = AnthropicMessages(Wishes(negative=Negative(frozenset({"not_found_error"}))))
    verdict = dialect.seal(head(status=404), error(kind), JSON)
    assert isinstance(verdict, Sealed) is kept
    if isinstance(verdict, Sealed):
        assert verdict.negative


# Who can hear it.


def test_either_form_can_be_heard_as_the_other_once_it_is_whole() -> None:
    for offered, wanted, relay in (
        (JSON, JSON, Relay.VERBATIM),
        (STREAM, STREAM, Relay.VERBATIM),
        (STREAM, JSON, Relay.AT_END),
        (JSON, STREAM, Relay.AT_END),
    ):
        assert DIALECT.relay(offered, wanted) is relay
    assert DIALECT.sieve(STREAM)(b"data: {}") == b"data: {}"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_recorded_answer_is_replayed_to_the_byte(path: Path) -> None:
    for body, form in (
        (path.read_bytes(), STREAM),
        (path.with_suffix(".json").read_bytes(), JSON),
    ):
        answer = sealed(body, form)
        rendered = DIALECT.render(answer, answer.form)
        assert rendered
        assert rendered.body is body
        assert rendered.content_type == ""


@unhurried
@given(st.data(), documents())
def test_one_entry_answers_in_every_form(data: st.DataObject, document: Json) -> None:
    streamed = written(data.draw(streams(document)))
    for answer in (sealed(streamed, STREAM), sealed(dump(document), JSON)):
        verbatim = DIALECT.render(answer, answer.form)
        assert verbatim
        assert verbatim.body is answer.body
        whole = DIALECT.render(answer, JSON)
        assert whole
        assert same(json.loads(whole.body), document)
        stream = DIALECT.render(answer, STREAM)
        assert stream
        told = sealed(stream.body, STREAM)
        assert told.usage == answer.usage
        back = DIALECT.render(told, JSON)
        assert back
        assert same(json.loads(back.body), document)


def test_a_form_made_of_another_says_what_it_is() -> None:
    stream = DIALECT.render(sealed(GOLDEN[0].with_suffix(".json").read_bytes(), JSON), STREAM)
    assert stream
    assert stream.content_type == "text/event-stream; charset=utf-8"
    whole = DIALECT.render(sealed(stream.body, STREAM), JSON)
    assert whole
    assert whole.content_type == "application/json"


def test_what_cannot_be_had_in_another_form_is_not_made_up() -> None:
    block = {"type": "a_kind_of_tomorrow", "value": 4}
    message = {"type": "message", "content": [block], "stop_reason": "end_turn"}
    answer = sealed(dump({**message, "usage": {"output_tokens": 1}}), JSON)
    assert DIALECT.render(answer, STREAM) is None
    assert DIALECT.render(answer, JSON)

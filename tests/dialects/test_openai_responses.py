"""The OpenAI Responses dialect: what is asked, and what is the backend's alone."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.chat_answers import same, values, words
from support.cranked import posted
from support.properties import unhurried
from support.responses_answers import Json
from support.speech import dump, head, sealed_by

from proxy.dialects.base import Dialect
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.query import Form, Query, Refusal, Sealed

RESPONSES_API: Dialect = OpenAIResponses()
JSON, STREAM, UNCOUNTED = Form(), Form(stream=True), Form(stream=True, usage=False)
_RULED = """
    input prompt model stream stream_options cache tools
    store background previous_response_id conversation
"""
free = words.filter(lambda name: name not in _RULED.split())  # members without rules of their own


def ask(
    members: object, *headers: tuple[str, str], api: Dialect = RESPONSES_API
) -> Query | Refusal:
    body = members if isinstance(members, bytes) else dump(members)
    return api.read(posted(body, *headers, path="/v1/responses"), body)


def asked(members: object, *headers: tuple[str, str], api: Dialect = RESPONSES_API) -> Query:
    query = ask(members, *headers, api=api)
    assert isinstance(query, Query)
    return query


def why(members: object, api: Dialect = RESPONSES_API) -> Why | None:
    read = ask(members, api=api)
    return read.why if isinstance(read, Refusal) else None


def sealed(body: bytes, form: Form, api: Dialect = RESPONSES_API) -> Sealed:
    return sealed_by(api, body, form)


# Which requests.


@pytest.mark.parametrize(
    ("method", "path", "matches"),
    [
        ("POST", "/v1/responses", True),
        ("POST", "/responses", True),
        ("POST", "/openai/v1/responses", True),
        ("POST", "/v1/responses/", False),
        ("POST", "/v1/responses/compact", False),
        ("POST", "/v1/responses/input_tokens", False),
        ("POST", "/v1/responses/resp_1/cancel", False),
        ("POST", "/v1/responses/resp_1", False),
        ("GET", "/v1/responses/resp_1", False),
        ("GET", "/v1/responses", False),
        ("DELETE", "/v1/responses/resp_1", False),
        ("POST", "/v1/chat/completions", False),
        ("POST", "/v1/Responses", False),
        ("POST", "/v1/my_responses", False),
    ],
)
def test_a_route_is_known_by_its_last_segment(method: str, path: str, matches: bool) -> None:
    assert RESPONSES_API.matches(method, path) is matches


# What they ask.


def test_a_question_is_read_whole() -> None:
    body = dump({"model": "gpt-5", "input": "Why?", "temperature": 0, "stream": True})
    query = asked(body)
    assert query.dialect == "openai_responses"
    assert query.model == "gpt-5"
    assert query.form == STREAM
    assert query.forward is body
    assert query.temperature == 0.0
    assert json.loads(query.canonical) == {"model": "gpt-5", "input": "Why?", "temperature": 0}


@pytest.mark.parametrize(
    ("members", "form"),
    [
        ({}, JSON),
        ({"stream": False}, JSON),
        ({"stream": None}, JSON),
        ({"stream": True}, STREAM),
        ({"stream": True, "stream_options": None}, STREAM),
        ({"stream": True, "stream_options": {}}, STREAM),
    ],
)
def test_the_form_is_not_part_of_the_question(members: Json, form: Form) -> None:
    query = asked({"input": "Why?", **members})
    assert query.form == form
    assert query.canonical == asked({"input": "Why?"}).canonical


def test_whether_a_stream_is_padded_against_eavesdroppers_is_part_of_the_question() -> None:
    keys = {
        asked({"input": "Why?", "stream": True, **options}).canonical
        for options in (
            {},
            {"stream_options": {"include_obfuscation": False}},
            {"stream_options": {"include_obfuscation": True}},
        )
    }
    assert len(keys) == 3


def test_options_of_a_stream_that_is_not_wanted_count_as_backends_may_refuse_them() -> None:
    for options in ({}, None, {"include_obfuscation": False}):
        query = asked({"input": "Why?", "stream_options": options})
        assert query.canonical != asked({"input": "Why?"}).canonical


@unhurried
@given(st.dictionaries(free, values, max_size=4), st.integers())
def test_the_order_of_members_and_the_space_between_them_do_not_matter(
    more: Json, seed: int
) -> None:
    query = asked({**more, "input": "Why?"})
    members = list({**more, "input": "Why?"}.items())
    Random(seed).shuffle(members)
    respelt = json.dumps(dict(members), indent=2, ensure_ascii=False).encode()
    assert asked(respelt).canonical == query.canonical
    assert asked(respelt).forward == respelt


@unhurried
@given(st.dictionaries(free, values, max_size=3), free, values)
def test_any_other_member_is_whatever_it_is_called(more: Json, name: str, value: object) -> None:
    assume(name not in more or not same(more[name], value))
    query = asked({**more, "input": "Why?"})
    assert asked({**more, "input": "Why?", name: value}).canonical != query.canonical


@pytest.mark.parametrize(
    "member",
    [
        "access_programs", "context_management", "image", "include", "instructions",
        "max_output_tokens", "max_tool_calls", "metadata", "model", "moderation",
        "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "temperature",
        "text", "tool_choice", "top_logprobs", "top_p", "truncation", "user", "seed",
    ],
)  # fmt: skip
def test_every_member_of_the_protocol_changes_the_key(member: str) -> None:
    keys = {
        asked({"input": "Why?", **more}).canonical
        for more in ({}, {member: None}, {member: "a"}, {member: "b"})
    }
    assert len(keys) == 4


@pytest.mark.parametrize("member", ["text", "tools", "extra_body"])
def test_the_order_of_properties_in_a_schema_counts_as_models_write_in_it(member: str) -> None:
    thinks, blurts = {"why": {}, "answer": {}}, {"answer": {}, "why": {}}
    given = [[{"type": "function", "parameters": {"properties": p}}] for p in (thinks, blurts)]
    bodies = [{"input": "Why?", member: each} for each in given]
    assert asked(bodies[0]).canonical != asked(bodies[1]).canonical
    swapped = {member: given[0], "input": "Why?"}
    assert asked(swapped).canonical == asked(bodies[0]).canonical


def test_the_order_of_properties_counts_for_tools_that_come_with_the_input() -> None:
    def given(*names: str) -> Json:
        schema = {"properties": {name: {} for name in names}}
        tool = {"type": "function", "parameters": schema}
        return {"input": [{"type": "additional_tools", "role": "developer", "tools": [tool]}]}

    assert asked(given("why", "answer")).canonical != asked(given("answer", "why")).canonical


@pytest.mark.parametrize(
    "item",
    [
        {"type": "configuration_update", "text": {"format": {"type": "json_schema"}}},
        {"type": "tool_search_call", "arguments": {"goal": "x"}},
    ],
)
def test_the_order_of_properties_counts_in_other_items_that_bring_json(item: Json) -> None:
    def given(*names: str) -> Json:
        brought = {**item, "x": {name: {} for name in names}}
        return {"input": [brought, {"role": "user", "content": "Why?"}]}

    assert asked(given("why", "answer")).canonical != asked(given("answer", "why")).canonical


def test_members_known_to_be_inert_are_not() -> None:
    api = OpenAIResponses(Wishes(inert=frozenset({"user", "store", "temperature"})))
    body = dump({"input": "Why?", "user": "u1", "store": True, "temperature": 0.5})
    query = asked(body, api=api)
    assert query.canonical == asked({"input": "Why?"}, api=api).canonical
    assert query.forward is body
    assert query.temperature == 0.5


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Why.UNKEYABLE),
        (b'{"input":"a","x":1,"x":2}', Why.UNKEYABLE),
        (b'{"input":"a","seed":9007199254740993}', Why.UNKEYABLE),
        (b'{"input":["\xff"]}', Why.UNKEYABLE),
        (b"[]", Why.NOT_UNDERSTOOD),
        (b"{}", Why.NOT_UNDERSTOOD),
        (b'{"input":null}', Why.NOT_UNDERSTOOD),
        (b'{"input":{}}', Why.NOT_UNDERSTOOD),
        (b'{"prompt":"pmpt_1"}', Why.NOT_UNDERSTOOD),
        (b'{"messages":[]}', Why.NOT_UNDERSTOOD),
        (b'{"input":"a","model":4}', Why.NOT_UNDERSTOOD),
        (b'{"input":"a","stream":1}', Why.NOT_UNDERSTOOD),
        (b'{"input":"a","stream":"true"}', Why.NOT_UNDERSTOOD),
    ],
)
def test_what_is_not_surely_understood_is_not_a_question(body: bytes, reason: Why) -> None:
    assert why(body) is reason


def test_a_body_must_be_what_its_headers_say() -> None:
    refused = ask({"input": "Why?"}, ("Content-Type", "text/plain"))
    assert isinstance(refused, Refusal)
    assert refused.why is Why.NOT_UNDERSTOOD


def test_wishes_are_taken_out_of_the_body_whether_it_is_cached_or_not() -> None:
    query = asked(b'{"input": "Why?", "cache": {"ttl": 60}, "top_p": 1.00}')
    assert query.controls.ttl == 60
    assert query.forward == b'{"input": "Why?", "top_p": 1.00}'
    refused = ask(b'{"input": "Why?", "cache": {"ttl": 60}, "store": true}')
    assert isinstance(refused, Refusal)
    assert refused.forward == b'{"input": "Why?", "store": true}'


# What is the backend's alone.


@pytest.mark.parametrize(
    "members",
    [
        {"store": True},
        {"store": "yes"},
        {"background": True},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"prompt": {"id": "pmpt_1"}},
        {"prompt": {"id": "pmpt_1", "version": None}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"role": "user", "content": "Why?"}, {"id": "msg_1"}]},
        {"input": [{"type": None, "id": "msg_1"}]},
        {"generate": False},
        {"prompt_cache_options": {"prewarm": True}},
        {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
    ],
)
def test_what_builds_on_the_backends_memory_or_adds_to_it_is_not_cached(members: Json) -> None:
    assert why({"input": "Why?", **members}) is Why.STATEFUL


@pytest.mark.parametrize(
    "members",
    [
        {},  # the default of a backend is no statement of the caller's
        {"store": False},
        {"store": None, "background": False, "previous_response_id": None, "conversation": None},
        {"prompt": {"id": "pmpt_1", "version": "2", "variables": {"city": "Brest"}}},
        {"input": [{"role": "user", "content": "Why?"}]},
        {"input": [{"type": None, "role": "user", "content": "Why?"}]},
        {"input": [{"type": "message", "id": "msg_1", "role": "assistant", "content": []}]},
        {"input": ["odd"]},
        {"prompt_cache_options": {"mode": "explicit", "prewarm": False}, "generate": True},
        {"prompt_cache_options": "odd"},
        {"context_management": [{"type": "compaction", "compact_threshold": 9000}]},
    ],
)
def test_what_does_neither_is_cached(members: Json) -> None:
    assert why({"input": "Why?", **members}) is None


def test_who_declines_to_be_stored_shares_nothing_with_those_who_are() -> None:
    declined = asked({"input": "Why?", "store": False})
    assert declined.canonical != asked({"input": "Why?"}).canonical


@pytest.mark.parametrize("name", ["store", "background", "previous_response_id", "conversation"])
def test_state_that_the_user_calls_inert_is_none(name: str) -> None:
    api = OpenAIResponses(Wishes(inert=frozenset({name})))
    assert why({"input": "Why?", name: "x"}) is Why.STATEFUL
    assert why({"input": "Why?", name: "x"}, api) is None
    told_back = {"object": "response", "status": "completed", name: "x"}
    answer = dump({**told_back, "output": [{"type": "function_call"}]})
    assert isinstance(api.seal(head(""), answer, JSON), Sealed)


FUNCTION = {"type": "function", "name": "f", "parameters": {}}


@pytest.mark.parametrize(
    "tools",
    [
        None,
        [],
        [FUNCTION],
        [FUNCTION, {"type": "custom", "name": "c"}],
        [{"type": "namespace", "name": "crm", "tools": [FUNCTION, {"type": "custom"}]}],
        [{"type": "local_shell"}],
        [{"type": "shell", "environment": {"type": "local"}}],
        [{"type": "apply_patch"}],
        [{"type": "computer"}],
        [{"type": "computer_use_preview", "display_width": 9, "display_height": 9}],
        [{"type": "tool_search", "execution": "client"}],
    ],
)
def test_tools_that_the_caller_runs_are_cached(tools: object) -> None:
    assert why({"input": "Why?", "tools": tools}) is None
    assert why({"input": [{"type": "additional_tools", "tools": tools}]}) is None


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search"},
        {"type": "web_search_2025_08_26"},
        {"type": "web_search_preview"},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
        {"type": "mcp", "server_label": "x", "server_url": "https://example.org"},
        {"type": "programmatic_tool_calling"},
        {"type": "shell"},
        {"type": "shell", "environment": None},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "shell", "environment": {"type": "container_reference", "container_id": "c"}},
        {"type": "tool_search"},
        {"type": "tool_search", "execution": "server"},
        {"type": "namespace", "name": "x", "tools": [FUNCTION, {"type": "mcp"}]},
        {"type": "namespace", "name": "x"},
        {"type": "a_tool_of_next_year"},
        {"type": 7},
        {"name": "f"},
        "web_search",
    ],
)
def test_tools_that_the_backend_may_run_are_not(tool: object) -> None:
    assert why({"input": "Why?", "tools": [FUNCTION, tool]}) is Why.HOSTED_TOOLS
    brought = {"type": "additional_tools", "role": "developer", "tools": [tool]}
    assert why({"input": [brought]}) is Why.HOSTED_TOOLS
    assert why({"input": "Why?", "tools": tool}) is Why.HOSTED_TOOLS

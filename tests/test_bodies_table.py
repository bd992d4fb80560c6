"""Bodies, member by member: each is part of the question in every protocol, but for a few by name.

Whatever a member is called, known to an API or never heard of: with another value the question is
another one, or the request is passed on.
"""

from __future__ import annotations

import copy
import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cranked import posted
from support.properties import unhurried

from proxy.app.spoken import dialects
from proxy.config.settings import Settings
from proxy.dialects.base import Dialect
from proxy.key import KeyRules
from proxy.model.query import Query

Json = dict[str, Any]


class Asks(NamedTuple):
    """A question in some protocol.

    Args:
        inert: the members that are no part of it.
        inputs: the member in which a text and a list of only that text are the same.
    """

    path: str
    body: Json
    inert: frozenset[str] = frozenset({"stream"})
    inputs: str = ""


SAID = [{"role": "user", "content": "Why?"}]
TABLE = [
    Asks("/v1/chat/completions", {"model": "m", "messages": SAID}),
    Asks("/v1/completions", {"model": "m", "prompt": "Why?"}),
    Asks("/v1/responses", {"model": "m", "input": "Why?"}),
    Asks("/v1/messages", {"model": "m", "messages": SAID, "max_tokens": 9}),
    Asks("/v1/messages/count_tokens", {"model": "m", "messages": SAID}, frozenset()),
    Asks("/api/chat", {"model": "m", "messages": SAID}, frozenset({"stream", "keep_alive"})),
    Asks("/api/generate", {"model": "m", "prompt": "Why?"}, frozenset({"stream", "keep_alive"})),
    Asks("/v1/rerank", {"model": "m", "query": "Why?", "documents": ["a", "b"]}, frozenset()),
    Asks("/v1/moderations", {"model": "m", "input": "Why?"}, frozenset()),
    Asks("/v1/embeddings", {"model": "m", "input": "Why?"}, frozenset(), "input"),
    Asks("/api/embed", {"model": "m", "input": "Why?"}, frozenset({"keep_alive"}), "input"),
    Asks("/api/embeddings", {"model": "m", "prompt": "Why?"}, frozenset({"keep_alive"})),
    Asks("/v2/embed", {"model": "m", "texts": ["Why?"]}, frozenset()),
]
IDS = [row.path for row in TABLE]

DIALECTS = dialects(Settings.model_validate({"upstreams": [{"url": "http://127.0.0.1:9"}]}))
RULES = KeyRules(b"sixteen bytes or")

# What some API has, once or now. None of these lists is known to the proxy.
_KNOWN = """
    model messages prompt input query documents texts system instructions suffix tools tool_choice
    parallel_tool_calls functions function_call response_format text format temperature top_p top_k
    top_n min_p typical_p n best_of max_tokens max_completion_tokens max_output_tokens
    max_tool_calls min_tokens stop stop_sequences seed logprobs top_logprobs prompt_logprobs echo
    logit_bias presence_penalty frequency_penalty repetition_penalty reasoning reasoning_effort
    thinking verbosity user safety_identifier metadata store background previous_response_id
    conversation service_tier prompt_cache_key prompt_cache_retention modalities audio prediction
    web_search_options include truncation context_management container mcp_servers betas stream
    stream_options options template raw images context think keep_alive logits_processors
    guided_json guided_regex guided_choice structured_outputs chat_template chat_template_kwargs
    add_generation_prompt lora adapter provider models route transforms plugins extra_body
    data_sources session_id tenant filters collection knowledge_base history dimensions
    encoding_format input_type truncate return_documents rank_fields max_chunks_per_doc cache
"""
KNOWN = _KNOWN.split()
names = st.text("abcxyz_-/ 0", min_size=1, max_size=12) | st.sampled_from(KNOWN)
# No two of them are one to a canonical form: JSON readers disagree about 1, 1.0 and true.
VALUES: list[Any] = [
    None, True, 2, 0.5, "", "a", "A", "a ", [], ["a"], [["a"]], {}, {"a": None}, {"a": "b"},
]  # fmt: skip
pairs = st.permutations(range(len(VALUES))).map(lambda drawn: drawn[:2])


def dialect_of(path: str) -> Dialect:
    return next(dialect for dialect in DIALECTS if dialect.matches("POST", path))


def key(row: Asks, body: Json) -> bytes | None:
    """The digest of the question; None if the request is passed on."""
    content = json.dumps(body).encode()
    request = posted(content, path=row.path)
    query = dialect_of(row.path).read(request, content)
    return RULES.key_of(request, query, "up").digest if isinstance(query, Query) else None


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_the_question_by_itself_is_cached(row: Asks) -> None:
    assert key(row, row.body) is not None


def test_every_protocol_is_in_the_table() -> None:
    assert {dialect_of(row.path).name for row in TABLE} == {each.name for each in DIALECTS}


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_every_value_of_a_known_member_makes_a_question_of_its_own_or_none(row: Asks) -> None:
    for name in {*KNOWN} - row.inert:
        bare = {member: value for member, value in row.body.items() if member != name}
        keys = [key(row, bare), *(key(row, {**bare, name: value}) for value in VALUES)]
        made = [each for each in keys if each is not None]
        same = name in {"cache", row.inputs}  # an empty ``cache`` orders nothing
        assert len({*made}) == len(made) - same, name


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_what_is_inert_in_a_protocol_really_is(row: Asks) -> None:
    for name in row.inert:
        keys = [key(row, {**row.body, name: value}) for value in VALUES]
        made = [each for each in keys if each is not None]
        assert len({*made}) < len(made), name


@pytest.mark.parametrize("row", TABLE, ids=IDS)
@unhurried
@given(name=names, pair=pairs)
def test_another_value_of_a_member_nobody_has_heard_of_makes_another_question(
    row: Asks, name: str, pair: list[int]
) -> None:
    one, two = (key(row, {**row.body, name: VALUES[at]}) for at in pair)

    ruled = name in row.inert or name == row.inputs
    assert ruled or one is None or two is None or one != two


def places(value: Any) -> list[Json]:
    """Every object within ``value``."""
    inner = list(value.values()) if isinstance(value, dict) else value
    found = [place for each in inner for place in places(each)] if isinstance(inner, list) else []
    return [value, *found] if isinstance(value, dict) else found


DEEP: Json = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "options": {"num_ctx": 1},
    "unheard_of": {"in": [{"it": {}}]},
}


@pytest.mark.parametrize("row", TABLE, ids=IDS)
@unhurried
@given(data=st.data(), name=names, pair=pairs)
def test_members_of_members_count_wherever_they_stand_and_none_of_them_is_inert(
    row: Asks, data: st.DataObject, name: str, pair: list[int]
) -> None:
    whole = {**DEEP, **row.body}
    count = len(places(whole))
    at = data.draw(st.integers(1, count - 1))  # the first is the body itself
    keys = []
    for which in pair:
        body = copy.deepcopy(whole)
        places(body)[at][name] = VALUES[which]
        keys.append(key(row, body))

    assert keys[0] is None or keys[1] is None or keys[0] != keys[1]


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_what_is_inert_in_a_protocol_is_inert_only_at_its_top(row: Asks) -> None:
    for name in row.inert | {"stream", "cache"}:
        asked = [key(row, {**row.body, "x": {name: value}}) for value in (True, False)]
        assert asked[0] != asked[1] or asked == [None, None]


@pytest.mark.parametrize("name", ["user", "metadata", "unheard_of"])
@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_a_member_that_the_settings_name_is_no_part_of_the_question(row: Asks, name: str) -> None:
    told = {"upstreams": [{"url": "http://127.0.0.1:9"}], "cache": {"inert_fields": [name]}}
    spoken = dialects(Settings.model_validate(told))
    dialect = next(each for each in spoken if each.matches("POST", row.path))
    queries = []
    for value in ("a", "b"):
        content = json.dumps({**row.body, name: value}).encode()
        query = dialect.read(posted(content, path=row.path), content)
        assert isinstance(query, Query)
        queries.append(query.canonical)

    assert queries[0] == queries[1]

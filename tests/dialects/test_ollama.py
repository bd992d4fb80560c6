"""The dialect of Ollama: what is asked."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.chat_answers import Json, same, values, words
from support.cranked import posted
from support.properties import unhurried
from support.speech import dump, sealed_by

from proxy.dialects.base import Dialect
from proxy.dialects.ollama import Ollama
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.query import Form, Query, Refusal, Sealed

GOLDEN = sorted(Path(__file__).with_name("golden").glob("ollama_*.ndjson"))
OLLAMA: Dialect = Ollama()
JSON, STREAM = Form(), Form(stream=True)
MESSAGES = [{"role": "user", "content": "Why?"}]
_RULED = "messages prompt model name options stream keep_alive cache"
free = words.filter(lambda name: name.casefold() not in _RULED.split())


def ask(
    members: object, *headers: tuple[str, str], path: str = "/api/chat", ollama: Dialect = OLLAMA
) -> Query | Refusal:
    body = members if isinstance(members, bytes) else dump(members)
    return ollama.read(posted(body, *headers, path=path), body)


def asked(
    members: object, *headers: tuple[str, str], path: str = "/api/chat", ollama: Dialect = OLLAMA
) -> Query:
    query = ask(members, *headers, path=path, ollama=ollama)
    assert isinstance(query, Query)
    return query


def sealed(body: bytes, form: Form) -> Sealed:
    return sealed_by(OLLAMA, body, form)


def written(parts: list[Json]) -> bytes:
    return b"".join(dump(each) + b"\n" for each in parts)


# Which requests.


@pytest.mark.parametrize(
    ("method", "path", "matches"),
    [
        ("POST", "/api/chat", True),
        ("POST", "/api/generate", True),
        ("POST", "/ollama/api/chat", True),
        ("POST", "/api/chat/", False),
        ("POST", "/api/chats", False),
        ("POST", "/chat", False),
        ("POST", "/api/embed", False),
        ("POST", "/api/embeddings", False),
        ("POST", "/api/show", False),
        ("POST", "/api/pull", False),
        ("GET", "/api/tags", False),
        ("GET", "/api/chat", False),
    ],
)
def test_a_route_is_known_by_its_last_segments(method: str, path: str, matches: bool) -> None:
    assert OLLAMA.matches(method, path) is matches


# What they ask.


def test_a_chat_is_read_whole() -> None:
    body = dump({"model": "qwen3", "messages": MESSAGES, "options": {"temperature": 0, "seed": 1}})
    query = asked(body)
    assert query.dialect == "ollama"
    assert query.model == "qwen3"
    assert query.form == STREAM
    assert query.forward is body
    assert query.temperature == 0.0
    assert query.question == "Why?"
    assert json.loads(query.canonical) == json.loads(body)


def test_a_prompt_is_read_whole() -> None:
    members = {"model": "m", "prompt": "Why?", "context": [1, 2], "raw": True, "system": "Be kind."}
    query = asked(members, path="/api/generate")
    assert query.question == "Why?"
    assert json.loads(query.canonical) == members


@pytest.mark.parametrize(
    ("members", "model"),
    [({"model": "a"}, "a"), ({"name": "b"}, "b"), ({"model": "a", "name": "b"}, "a")],
)
def test_a_model_is_called_by_its_model_or_its_name(members: Json, model: str) -> None:
    query = asked({"messages": MESSAGES, **members})
    assert query.model == model
    assert json.loads(query.canonical) == {"messages": MESSAGES, **members}


@pytest.mark.parametrize(
    ("options", "read"),
    [({"temperature": 0.7}, 0.7), ({"temperature": 1}, 1.0), ({}, None), (None, None)],
)
def test_a_temperature_is_a_number_among_the_options(options: object, read: float | None) -> None:
    assert asked({"model": "m", "messages": MESSAGES, "options": options}).temperature == read
    assert asked({"model": "m", "messages": MESSAGES, "temperature": 0}).temperature is None


@pytest.mark.parametrize(
    ("members", "form"),
    [
        ({}, STREAM),
        ({"stream": None}, STREAM),
        ({"stream": True}, STREAM),
        ({"stream": False}, JSON),
    ],
)
@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/api/chat", {"model": "m", "messages": MESSAGES}),
        ("/api/generate", {"model": "m", "prompt": "a"}),
    ],
)
def test_an_answer_is_a_stream_unless_that_is_declined_and_it_is_the_same_answer(
    members: Json, form: Form, path: str, question: Json
) -> None:
    query = asked({**question, **members}, path=path)
    assert query.form == form
    assert query.canonical == asked(question, path=path).canonical


@pytest.mark.parametrize("keep_alive", ["5m", 300, 0, -1, 0.5, "0", None])
def test_how_long_the_model_stays_loaded_is_not_part_of_the_question(keep_alive: object) -> None:
    body = dump({"model": "m", "messages": MESSAGES, "keep_alive": keep_alive})
    query = asked(body)
    assert query.canonical == asked({"model": "m", "messages": MESSAGES}).canonical
    assert query.forward is body


@pytest.mark.parametrize("keep_alive", [{}, ["5m"], {"a": 1}])
def test_what_is_no_time_to_stay_loaded_is(keep_alive: object) -> None:
    odd = asked({"model": "m", "messages": MESSAGES, "keep_alive": keep_alive})
    assert odd.canonical != asked({"model": "m", "messages": MESSAGES}).canonical


@unhurried
@given(st.dictionaries(free, values, max_size=4), st.randoms(use_true_random=False))
def test_spelling_is_not_part_of_the_question(more: Json, shuffler: Random) -> None:
    assume(not {"format", "tools"} & {name.casefold() for name in more})
    members = [*more.items(), ("model", "m"), ("messages", MESSAGES)]
    assume(len({name.casefold() for name, _ in members}) == len(members))
    query = asked(dict(members))
    shuffler.shuffle(members)
    respelt = json.dumps(dict(members), indent=2, ensure_ascii=False).encode()
    assert asked(respelt).canonical == query.canonical
    assert asked(respelt).forward == respelt


@unhurried
@given(st.dictionaries(free, values, max_size=3), free, values)
@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/api/chat", {"model": "m", "messages": MESSAGES}),
        ("/api/generate", {"model": "m", "prompt": "a"}),
    ],
)
def test_any_other_member_is_whatever_it_is_called(
    path: str, question: Json, more: Json, name: str, value: object
) -> None:
    assume(name not in more or not same(more[name], value))
    names = [each.casefold() for each in {*more, name}]
    assume(len(set(names)) == len(names))
    query = asked({**more, **question}, path=path)
    assert asked({**more, **question, name: value}, path=path).canonical != query.canonical


@pytest.mark.parametrize(
    "member",
    [
        "format",
        "tools",
        "think",
        "options",
        "images",
        "system",
        "template",
        "context",
        "raw",
        "suffix",
    ],
)
def test_every_member_the_server_knows_is(member: str) -> None:
    one = asked({"model": "m", "prompt": "a", member: {"a": 1}}, path="/api/generate")
    other = asked({"model": "m", "prompt": "a", member: {"a": 2}}, path="/api/generate")
    assert (
        len(
            {
                one.canonical,
                other.canonical,
                asked({"model": "m", "prompt": "a"}, path="/api/generate").canonical,
            }
        )
        == 3
    )


@pytest.mark.parametrize("member", ["format", "tools"])
def test_the_order_of_properties_in_a_schema_counts_as_models_write_in_it(member: str) -> None:
    thinks, blurts = {"why": {}, "answer": {}}, {"answer": {}, "why": {}}
    bodies = [
        {"model": "m", "messages": MESSAGES, member: [{"properties": each}]}
        for each in (thinks, blurts)
    ]
    assert asked(bodies[0]).canonical != asked(bodies[1]).canonical


def test_so_does_the_order_of_what_a_tool_was_called_with_as_models_read_it() -> None:
    def called(arguments: Json) -> bytes:
        call = {"role": "assistant", "tool_calls": [{"function": {"arguments": arguments}}]}
        return asked({"model": "m", "messages": [*MESSAGES, call]}).canonical

    assert called({"a": 1, "b": 2}) != called({"b": 2, "a": 1})
    swapped = {"model": "m", "messages": [{"content": "Why?", "role": "user"}]}
    assert asked(swapped).canonical == asked({"model": "m", "messages": MESSAGES}).canonical


def test_members_known_to_be_inert_are_not() -> None:
    ollama = Ollama(Wishes(inert=frozenset({"user", "options"})))
    body = dump({"model": "m", "messages": MESSAGES, "user": "u1", "options": {"temperature": 0.5}})
    query = asked(body, ollama=ollama)
    assert query.canonical == asked({"model": "m", "messages": MESSAGES}, ollama=ollama).canonical
    assert query.forward is body
    assert query.temperature == 0.5


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/api/chat", b"", Why.UNKEYABLE),
        ("/api/chat", b'{"model":"m","messages":[{}],"Messages":[{"a":1}]}', Why.UNKEYABLE),
        (
            "/api/chat",
            b'{"model":"m","messages":[{}],"options":{"seed":9007199254740993}}',
            Why.UNKEYABLE,
        ),
        ("/api/chat", b"[]", Why.NOT_UNDERSTOOD),
        ("/api/chat", b'{"model":"m","messages":"Why?"}', Why.NOT_UNDERSTOOD),
        ("/api/chat", b'{"messages":[{}],"model":4}', Why.NOT_UNDERSTOOD),
        ("/api/chat", b'{"messages":[{}],"model":""}', Why.NOT_UNDERSTOOD),
        ("/api/chat", b'{"messages":[{"role":"user","content":"Why?"}]}', Why.NOT_UNDERSTOOD),
        ("/api/generate", b'{"prompt":"Why?"}', Why.NOT_UNDERSTOOD),
        ("/api/chat", b'{"model":"m","messages":[{}],"options":[1]}', Why.NOT_UNDERSTOOD),
        ("/api/chat", b'{"model":"m","messages":[{}],"stream":"false"}', Why.NOT_UNDERSTOOD),
        ("/api/chat", b'{"model":"m","messages":[{}],"stream":0}', Why.NOT_UNDERSTOOD),
        ("/api/generate", b'{"model":"m","prompt":["a"]}', Why.NOT_UNDERSTOOD),
        ("/api/generate", b'{"model":"m","prompt":1}', Why.NOT_UNDERSTOOD),
        # These only load a model, or unload it.
        ("/api/chat", b'{"model":"m"}', Why.STATEFUL),
        ("/api/chat", b'{"model":"m","messages":[]}', Why.STATEFUL),
        ("/api/chat", b'{"model":"m","messages":null,"keep_alive":0}', Why.STATEFUL),
        ("/api/chat", b'{"model":"m","prompt":"Why?"}', Why.STATEFUL),
        ("/api/generate", b'{"model":"m"}', Why.STATEFUL),
        ("/api/generate", b'{"model":"m","prompt":""}', Why.STATEFUL),
        ("/api/generate", b'{"model":"m","prompt":"","keep_alive":0}', Why.STATEFUL),
        ("/api/generate", b'{"model":"m","messages":[{"role":"user"}]}', Why.STATEFUL),
    ],
)
def test_what_is_not_surely_understood_is_not_a_question(path: str, body: bytes, why: Why) -> None:
    refusal = ask(body, path=path)
    assert isinstance(refusal, Refusal)
    assert refusal.why is why


def test_wishes_of_the_body_are_heard_and_a_seed_is_known() -> None:
    body = b'{"model":"m", "messages": [{}], "cache": {"ttl": 60}, "options": {"top_p": 1.00}}'
    query = asked(body)
    assert query.controls.ttl == 60
    assert not query.seeded
    assert asked(body.replace(b'"top_p": 1.00', b'"seed": 7')).seeded
    assert query.forward == b'{"model":"m", "messages": [{}], "options": {"top_p": 1.00}}'

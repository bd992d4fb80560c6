"""The OpenAI chat dialect: what is asked, what comes, and who can hear it in which form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.chat_answers import Json, documents, same, says_something, streams, values, words
from support.cranked import posted
from support.golden import CHATS
from support.properties import unhurried
from support.speech import dump, head, sealed_by

from proxy.dialects.base import Dialect, Relay
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.query import Controls, Form, Query, Refusal, Sealed
from proxy.wire import frames
from proxy.wire.json_pointer import Pointer

CHAT: Dialect = OpenAIChat()
JSON, COUNTED, PLAIN = Form(), Form(stream=True, usage=True), Form(stream=True, usage=False)
MESSAGES = [{"role": "user", "content": "Why?"}]
_RULED = "messages prompt model stream stream_options cache store background previous_response_id"
free = words.filter(lambda name: name not in _RULED.split())  # members without rules of their own


def ask(members: object, *headers: tuple[str, str], chat: Dialect = CHAT) -> Query | Refusal:
    body = members if isinstance(members, bytes) else dump(members)
    return chat.read(posted(body, *headers), body)


def asked(members: object, *headers: tuple[str, str], chat: Dialect = CHAT) -> Query:
    query = ask(members, *headers, chat=chat)
    assert isinstance(query, Query)
    return query


def sealed(body: bytes, form: Form, chat: Dialect = CHAT) -> Sealed:
    return sealed_by(chat, body, form)


def written(chunks: Iterable[object]) -> bytes:
    return b"".join([*(frames.frame(dump(each)) for each in chunks), b"data: [DONE]\n\n"])


def events(stream: bytes) -> list[Json]:
    found = [event.data for event in map(frames.parse, frames.split(stream)[0]) if event]
    return [json.loads(data) for data in found if data != b"[DONE]"]


# Which requests.


@pytest.mark.parametrize(
    ("method", "path", "matches"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/chat/completions", True),
        ("POST", "/v1/completions", True),
        ("POST", "/openai/deployments/gpt-4o/chat/completions", True),
        ("POST", "/v1/chat/completions/", False),
        ("POST", "/v1/chat/completions/chatcmpl-1", False),
        ("POST", "/v1/batch_completions", False),
        ("POST", "/v1/chat%2Fcompletion%73", False),
        ("POST", "/v1/chat/Completions", False),
        ("GET", "/v1/chat/completions", False),
        ("DELETE", "/v1/completions", False),
    ],
)
def test_a_route_is_known_by_its_last_segment(method: str, path: str, matches: bool) -> None:
    assert CHAT.matches(method, path) is matches


# What they ask.


def test_a_question_is_read_whole() -> None:
    body = dump({"model": "gpt-4o", "messages": MESSAGES, "temperature": 0, "stream": True})
    query = asked(body)
    assert query.dialect == "openai_chat"
    assert query.model == "gpt-4o"
    assert query.form == PLAIN
    assert query.forward is body
    assert query.temperature == 0.0
    assert json.loads(query.canonical) == {
        "model": "gpt-4o",
        "messages": MESSAGES,
        "temperature": 0,
    }


@pytest.mark.parametrize("prompt", ["Once", "", ["a", "b"], [1, 2], [[1], [2]]])
def test_a_prompt_is_a_question_too_and_the_model_may_be_in_the_path(prompt: object) -> None:
    assert asked({"prompt": prompt}).model == ""
    assert asked({"prompt": prompt, "model": None}).model == ""


@pytest.mark.parametrize(
    ("temperature", "read"), [(0.7, 0.7), (1, 1.0), (None, None), (True, None), ("0", None)]
)
def test_a_temperature_is_a_number(temperature: object, read: float | None) -> None:
    assert asked({"messages": [], "temperature": temperature}).temperature == read
    assert asked({"messages": []}).temperature is None


FORMS: list[tuple[Json, Form]] = [
    ({}, JSON),
    ({"stream": False}, JSON),
    ({"stream": None}, JSON),
    ({"stream": True}, PLAIN),
    ({"stream": True, "stream_options": None}, PLAIN),
    ({"stream": True, "stream_options": {}}, PLAIN),
    ({"stream": True, "stream_options": {"include_usage": False}}, PLAIN),
    ({"stream": True, "stream_options": {"include_usage": None}}, PLAIN),
    ({"stream": True, "stream_options": {"include_usage": True}}, COUNTED),
]


@pytest.mark.parametrize(("members", "form"), FORMS)
def test_the_form_is_not_part_of_the_question(members: Json, form: Form) -> None:
    query = asked({"messages": MESSAGES, **members})
    assert query.form == form
    assert query.canonical == asked({"messages": MESSAGES}).canonical


@pytest.mark.parametrize(
    "members",
    [
        {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"stream_options": {"include_usage": True}},
        {"stream": False, "stream_options": {}},
    ],
)
def test_other_options_of_streams_are(members: Json) -> None:
    assert asked({"messages": [], **members}).canonical != asked({"messages": []}).canonical


@unhurried
@given(st.dictionaries(free, values, max_size=4), st.randoms(use_true_random=False))
def test_spelling_is_not_part_of_the_question(more: Json, shuffler: Random) -> None:
    members = [*more.items(), ("messages", MESSAGES)]
    assume(len({name.casefold() for name, _ in members}) == len(members))
    query = asked(dict(members))
    shuffler.shuffle(members)
    respelt = json.dumps(dict(members), indent=2, ensure_ascii=False).encode()
    assert asked(respelt).canonical == query.canonical
    assert asked(respelt).forward == respelt


@unhurried
@given(st.dictionaries(free, values, max_size=3), free, values)
def test_any_other_member_is_whatever_it_is_called(more: Json, name: str, value: object) -> None:
    assume(name not in more or not same(more[name], value))
    names = {*more, name}
    assume(len({each.casefold() for each in names}) == len(names))
    query = asked({**more, "messages": MESSAGES})
    assert asked({**more, "messages": MESSAGES, name: value}).canonical != query.canonical


def test_members_known_to_be_inert_are_not() -> None:
    chat = OpenAIChat(Wishes(inert=frozenset({"user", "store", "temperature"})))
    body = dump({"messages": [], "user": "u1", "store": True, "temperature": 0.5})
    query = asked(body, chat=chat)
    assert query.canonical == asked({"messages": []}, chat=chat).canonical
    assert query.forward is body
    assert query.temperature == 0.5


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", Why.UNKEYABLE),
        (b"{", Why.UNKEYABLE),
        (b'{"messages":[],"a":1,"a":2}', Why.UNKEYABLE),
        (b'{"messages":[],"seed":9007199254740993}', Why.UNKEYABLE),
        (b'{"messages":[],"e\xcc\x81":1,"\xc3\xa9":2}', Why.UNKEYABLE),
        (b'{"messages":["\xff"]}', Why.UNKEYABLE),
        (b"[]", Why.NOT_UNDERSTOOD),
        (b"null", Why.NOT_UNDERSTOOD),
        (b"{}", Why.NOT_UNDERSTOOD),
        (b'{"messages":"Why?"}', Why.NOT_UNDERSTOOD),
        (b'{"messages":null,"prompt":null}', Why.NOT_UNDERSTOOD),
        (b'{"messages":[],"model":4}', Why.NOT_UNDERSTOOD),
        (b'{"messages":[],"stream":1}', Why.NOT_UNDERSTOOD),
        (b'{"messages":[],"stream":0}', Why.NOT_UNDERSTOOD),
        (b'{"messages":[],"stream":"true"}', Why.NOT_UNDERSTOOD),
        (b'{"messages":[],"stream":true,"stream_options":[]}', Why.NOT_UNDERSTOOD),
        (b'{"messages":[],"stream":true,"stream_options":{"include_usage":1}}', Why.NOT_UNDERSTOOD),
        (b'{"messages":[],"store":true}', Why.STATEFUL),
        (b'{"messages":[],"background":true}', Why.STATEFUL),
        (b'{"messages":[],"previous_response_id":"resp_1"}', Why.STATEFUL),
    ],
)
def test_what_is_not_surely_understood_is_not_a_question(body: bytes, why: Why) -> None:
    refusal = ask(body)
    assert isinstance(refusal, Refusal)
    assert refusal.why is why


def test_state_that_is_declined_is_no_state() -> None:
    members = {"store": False, "background": None, "previous_response_id": None}
    assert asked({"messages": [], **members}).form == JSON


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("Content-Encoding", "gzip", Why.UNKEYABLE),
        ("Content-Encoding", "Identity", None),
        ("Content-Type", "application/json", None),
        ("Content-Type", "Application/JSON; charset=utf-8", None),
        ("Content-Type", "application/vnd.api+json", None),
        ("Content-Type", "multipart/form-data; boundary=x", Why.NOT_UNDERSTOOD),
        ("Content-Type", "text/plain", Why.NOT_UNDERSTOOD),
    ],
)
def test_a_body_must_be_what_its_headers_say(name: str, value: str, why: Why | None) -> None:
    read = ask({"messages": []}, (name, value))
    assert (read.why if isinstance(read, Refusal) else None) is why


def test_wishes_of_the_body_are_heard_unless_they_are_for_somebody_else() -> None:
    wish = {"ttl": 60, "no-store": True}
    query = asked({"messages": [], "cache": wish})
    assert query.controls == Controls(ttl=60, no_store=True)
    other = asked({"messages": [], "cache": wish}, chat=OpenAIChat(Wishes(steered=False)))
    assert other.controls == Controls()
    assert b'"cache"' in other.canonical
    assert b'"cache"' in other.forward


def test_who_names_a_seed_is_known() -> None:
    assert asked({"messages": [], "seed": 0}).seeded
    assert not asked({"messages": [], "seed": None}).seeded


def test_the_wish_is_taken_out_of_the_body_and_no_other_byte_is_touched() -> None:
    body = b'{"messages": [], "cache": {"ttl": 60}, "top_p": 1.00,\n "x": 1E2}'
    query = asked(body)
    assert query.forward == b'{"messages": [], "top_p": 1.00,\n "x": 1E2}'
    assert query.canonical == asked(query.forward).canonical


@pytest.mark.parametrize("cache", [True, "no", None, [], {"ttl": 5, "size": 3}, {"ttl": "5"}])
def test_somebody_elses_cache_member_stays_and_is_part_of_the_question(cache: object) -> None:
    body = dump({"messages": [], "cache": cache})
    assert asked(body).forward is body
    assert asked(body).canonical != asked({"messages": []}).canonical


# What comes back.


@pytest.mark.parametrize(
    ("content_type", "asked_for", "form"),
    [
        ("text/event-stream", COUNTED, COUNTED),
        ("Text/Event-Stream; charset=utf-8", PLAIN, PLAIN),
        ("text/event-stream", JSON, PLAIN),
        ("application/json", JSON, JSON),
        ("application/json; charset=utf-8", PLAIN, JSON),
        ("application/problem+json", COUNTED, JSON),
        ("text/html", JSON, None),
        ("application/x-ndjson", PLAIN, None),
        ("", JSON, None),
    ],
)
def test_the_form_of_an_answer_is_told_by_its_media_type(
    content_type: str, asked_for: Form, form: Form | None
) -> None:
    assert CHAT.arriving(head(content_type), asked_for) == form


def test_an_encoded_answer_is_in_no_form_of_ours() -> None:
    assert CHAT.arriving(head("application/json", ("Content-Encoding", "br")), JSON) is None
    identity = head("application/json", ("Content-Encoding", "identity"))
    assert CHAT.arriving(identity, JSON) == JSON


def test_what_is_kept_follows_the_settings() -> None:
    choice = {"message": {"content": "Hi"}, "finish_reason": "length"}
    calls = {"message": {"tool_calls": [{"id": "a"}]}, "finish_reason": "tool_calls"}
    lenient = OpenAIChat(Wishes(store_truncated=True))
    strict = OpenAIChat(Wishes(store_tool_calls=False), finished=frozenset({"length"}))
    for chat, kept in (
        (CHAT, (False, True)),
        (lenient, (True, True)),
        (strict, (False, False)),
    ):
        verdicts = [
            chat.seal(head(""), dump({"choices": [each]}), JSON) for each in (choice, calls)
        ]
        assert tuple(isinstance(verdict, Sealed) for verdict in verdicts) == kept


# Who can hear it.


@pytest.mark.parametrize(
    ("offered", "wanted", "relay"),
    [
        (JSON, JSON, Relay.VERBATIM),
        (PLAIN, PLAIN, Relay.VERBATIM),
        (COUNTED, COUNTED, Relay.VERBATIM),
        (COUNTED, PLAIN, Relay.FILTERED),
        (PLAIN, COUNTED, Relay.NEVER),
        (COUNTED, JSON, Relay.AT_END),
        (PLAIN, JSON, Relay.NEVER),
        (JSON, PLAIN, Relay.AT_END),
        (JSON, COUNTED, Relay.AT_END),
    ],
)
def test_an_answer_can_be_heard_in_another_form_if_nothing_is_lost(
    offered: Form, wanted: Form, relay: Relay
) -> None:
    assert CHAT.relay(offered, wanted) is relay


def test_documents_without_token_counts_are_made_where_that_is_wanted() -> None:
    chat = OpenAIChat(Wishes(json_without_usage=True))
    assert chat.relay(PLAIN, JSON) is Relay.AT_END
    assert chat.relay(PLAIN, COUNTED) is Relay.NEVER
    chunks = [{"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}]
    answer = sealed(written(chunks), PLAIN, chat)
    assert CHAT.render(answer, JSON) is None
    rendered = chat.render(answer, JSON)
    assert rendered
    assert "usage" not in json.loads(rendered.body)


@pytest.mark.parametrize("path", CHATS, ids=lambda path: path.stem)
def test_a_stream_is_replayed_to_the_byte(path: Path) -> None:
    body = path.read_bytes()
    answer = sealed(body, COUNTED)
    rendered = CHAT.render(answer, answer.form)
    assert rendered
    assert rendered.body is body
    assert rendered.content_type == ""


@unhurried
@given(st.data(), documents.filter(says_something))
def test_one_entry_answers_in_every_form(data: st.DataObject, document: Json) -> None:
    chunks = data.draw(streams(document))
    uncounted = {name: document[name] for name in document if name != "usage"}
    for answer in (sealed(written(chunks), COUNTED), sealed(dump(document), JSON)):
        whole = CHAT.render(answer, JSON)
        assert whole
        assert same(json.loads(whole.body), document)
        for form, expected in ((COUNTED, document), (PLAIN, uncounted)):
            stream = CHAT.render(answer, form)
            assert stream
            told = sealed(stream.body, form)
            assert told.form == form
            back = OpenAIChat(Wishes(json_without_usage=True)).render(told, JSON)
            assert back
            assert same(json.loads(back.body), expected)


def test_a_form_made_of_another_says_what_it_is() -> None:
    document = json.loads(CHATS[0].with_suffix(".json").read_text())
    stream = CHAT.render(sealed(dump(document), JSON), COUNTED)
    assert stream
    assert stream.content_type == "text/event-stream; charset=utf-8"
    whole = CHAT.render(sealed(stream.body, COUNTED), JSON)
    assert whole
    assert whole.content_type == "application/json"


def test_what_cannot_be_had_in_another_form_is_not_made_up() -> None:
    choice = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    document = sealed(dump({"choices": [choice]}), JSON)
    assert CHAT.render(document, COUNTED) is None
    assert CHAT.render(document, PLAIN)
    stream = sealed(written([{"choices": [{"delta": {"content": "a"}, **choice}]}]), PLAIN)
    assert CHAT.render(stream, COUNTED) is None


# Without the token counts.


def test_without_token_counts_a_stream_is_as_if_nobody_had_asked_for_them() -> None:
    plain = [
        {"id": "a", "choices": [{"index": 0, "delta": {"content": 'of "usage"'}}]},
        {"id": "a", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    counted = [*({**each, "usage": None} for each in plain), {"choices": [], "usage": {"n": 1}}]
    assert CHAT.sieve(PLAIN)(written(counted)) == written(plain)
    assert CHAT.sieve(PLAIN)(written(plain)) == written(plain)
    assert CHAT.sieve(COUNTED)(written(counted)) == written(counted)


@pytest.mark.parametrize(
    ("frame", "left"),
    [
        (b'data: {"usage":null,"choices":[1]}\n\n', b'data: {"choices":[1]}\n\n'),
        (b'data:{"a":1, "usage" : null}\r\n\r\n', b'data:{"a":1}\r\n\r\n'),
        (
            b'data: {"x":{"a":1,"usage":null},"b":2,"usage":null}\n\n',
            b'data: {"x":{"a":1,"usage":null},"b":2}\n\n',
        ),
        (b'data: {"x":{"a":1,"usage":null}}\n\n', None),
        (b'data: {"choices":[1],"usage":{"n":1}}\n\n', None),
        (b'data: {"answer":1,"usage":{"n":1}}\n\n', None),
        (b'data: {"choices":[],"usage":{"n":1}}\n\n', b""),
        (b'data: {"a":1,\ndata: "usage":null}\n\n', None),
        (b'data: "usage"\n\n', None),
        (b'data: {"usage":nul\n\n', None),
        (b': "usage":null\n\n', None),
    ],
)
def test_only_the_token_counts_of_the_whole_go(frame: bytes, left: bytes | None) -> None:
    assert CHAT.sieve(PLAIN)(frame) == (frame if left is None else left)


@pytest.mark.parametrize("eol", [b"\n", b"\r\n", b"\r"])
def test_filtered_byte_by_byte_a_stream_is_whole_to_its_last_byte(eol: bytes) -> None:
    chunks = [{"choices": [1], "usage": None}, {"choices": [], "usage": {}}]
    sieve = CHAT.sieve(PLAIN)
    passed = b"".join(sieve(bytes([byte])) for byte in written(chunks).replace(b"\n", eol))
    assert passed.startswith(frames.frame(b'{"choices": [1]}').replace(b"\n", eol))
    assert passed.endswith(frames.frame(b"[DONE]").replace(b"\n", eol))


@unhurried
@given(st.data(), st.sampled_from(CHATS))
def test_a_stream_is_filtered_alike_wherever_it_is_cut(data: st.DataObject, path: Path) -> None:
    body = path.read_bytes()
    rendered = CHAT.render(sealed(body, COUNTED), PLAIN)
    assert rendered
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    sieve = CHAT.sieve(PLAIN)
    passed = [sieve(body[a:b]) for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert events(b"".join(passed)) == events(rendered.body)
    assert b"".join(passed).endswith(rendered.body[-16:])
    assert not any(each.get("usage", 0) is None for each in events(rendered.body))


def test_nothing_is_held_back_from_a_frame_too_long_to_look_at() -> None:
    sieve = CHAT.sieve(PLAIN)
    long = b'data: {"usage":null,"a":"' + b"x" * 2**20
    assert sieve(long) == long
    assert sieve(b'"}\n\ndata: {"a":1,"usage":null}\n\n').endswith(b'{"a":1,"usage":null}\n\n')


@pytest.mark.parametrize("member", ["response_format", "tools", "functions", "guided_json"])
def test_the_order_of_properties_in_a_schema_counts_as_models_write_in_it(member: str) -> None:
    thinks, blurts = {"why": {}, "answer": {}}, {"answer": {}, "why": {}}
    bodies = [{"messages": [], member: [{"properties": each}]} for each in (thinks, blurts)]
    assert asked(bodies[0]).canonical != asked(bodies[1]).canonical
    swapped = {member: bodies[0][member], "messages": []}
    assert asked(swapped).canonical == asked(bodies[0]).canonical


# The text of what was asked last.


@pytest.mark.parametrize(
    ("members", "question"),
    [
        ({"messages": MESSAGES}, "Why?"),
        ({"messages": [*MESSAGES, {"role": "user", "content": "And then?"}]}, "And then?"),
        ({"messages": [*MESSAGES, {"role": "assistant", "content": "So."}]}, "Why?"),
        ({"messages": [*MESSAGES, {"role": "tool", "content": "21 C"}]}, "Why?"),
        ({"messages": [{"role": "system", "content": "Be kind."}]}, ""),
        ({"messages": []}, ""),
        ({"messages": [*MESSAGES, {"role": "user", "content": None}]}, ""),
        ({"messages": [*MESSAGES, {"role": "user"}]}, ""),
        ({"messages": [*MESSAGES, 1, None]}, "Why?"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is"},
                            {"type": "image_url", "image_url": {"url": "data:,"}},
                            {"type": "text", "text": "this?"},
                            {"type": "text", "text": 1},
                            "odd",
                        ],
                    }
                ]
            },
            "What is\nthis?",
        ),
        (
            {"messages": [{"role": "user", "content": "a" * 2048 + "long" * 900 + "z" * 2048}]},
            "a" * 2048 + "\n" + "z" * 2048,
        ),
        ({"prompt": "Once upon"}, "Once upon"),
        ({"prompt": "x" * 4096}, "x" * 4096),
        ({"prompt": "a" * 4096 + "z" * 2048}, "a" * 2048 + "\n" + "z" * 2048),
        ({"prompt": ["Once", "upon"]}, ""),
        ({"prompt": [1, 2]}, ""),
        ({"messages": MESSAGES, "prompt": "no"}, "Why?"),
    ],
)
def test_the_question_is_what_the_user_said_last(members: Json, question: str) -> None:
    assert asked(members).question == question


def test_a_dialect_that_knows_where_tells_how_sure_an_answer_is() -> None:
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}
    answer = dump({"choices": [choice], "rag": {"confidence": 0.75}})
    told = OpenAIChat(Wishes(confidence=Pointer("/rag/confidence")))
    assert sealed(answer, JSON, told).confidence == 0.75
    assert sealed(answer, JSON).confidence is None

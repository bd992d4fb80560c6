"""The dialect of Ollama: what comes back, and who can hear it in which form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chat_answers import Json, same
from support.cranked import entry, posted
from support.ollama_answers import documents, says_something, streams
from support.properties import unhurried
from support.speech import dump, head, sealed_by

from proxy.dialects.base import Dialect, Relay
from proxy.dialects.negative import Negative
from proxy.dialects.ollama import Ollama
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.query import Form, Query, Refusal, Sealed

GOLDEN = sorted(Path(__file__).with_name("golden").glob("ollama_*.ndjson"))
OLLAMA: Dialect = Ollama()
JSON, STREAM = Form(), Form(stream=True)


def ask(
    members: object, *headers: tuple[str, str], path: str = "/api/chat", ollama: Dialect = OLLAMA
) -> Query | Refusal:
    body = members if isinstance(members, bytes) else dump(members)
    return ollama.read(posted(body, *headers, path=path), body)


def sealed(body: bytes, form: Form) -> Sealed:
    return sealed_by(OLLAMA, body, form)


def written(parts: list[Json]) -> bytes:
    return b"".join(dump(each) + b"\n" for each in parts)


# What comes back.


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/x-ndjson", STREAM),
        ("Application/X-NDJSON; charset=utf-8", STREAM),
        ("application/ndjson", STREAM),
        ("application/jsonl", STREAM),
        ("application/json; charset=utf-8", JSON),
        ("application/json", JSON),
        ("text/event-stream", None),
        ("text/plain", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("wanted", [JSON, STREAM])
def test_the_form_of_an_answer_is_told_by_its_media_type(
    content_type: str, form: Form | None, wanted: Form
) -> None:
    assert OLLAMA.arriving(head(content_type), wanted) == form


def test_an_encoded_answer_is_in_no_form_of_ours() -> None:
    assert (
        OLLAMA.arriving(head("application/x-ndjson", ("Content-Encoding", "gzip")), STREAM) is None
    )


def test_an_error_in_ollamas_words_has_no_code_and_is_not_kept() -> None:
    ollama = Ollama(Wishes(negative=Negative(frozenset({"not_found_error"}))))
    body = b'{"error":"model \'m\' not found"}'
    refusal = ollama.seal(head("application/json", status=404), body, JSON)
    assert isinstance(refusal, Refusal)
    assert refusal.why is Why.STATUS


@pytest.mark.parametrize("member", ["keep_alive", "stream"])
def test_an_error_about_what_is_not_part_of_the_question_is_not_kept(member: str) -> None:
    ollama = Ollama(Wishes(negative=Negative(frozenset({"invalid_value"}))))
    for param, kept in ((member, False), ("options", True)):
        body = dump({"error": {"code": "invalid_value", "param": param}})
        verdict = ollama.seal(head("application/json", status=400), body, JSON)
        assert isinstance(verdict, Sealed) is kept


# Who can hear it.


@pytest.mark.parametrize(
    ("offered", "wanted", "relay"),
    [
        (JSON, JSON, Relay.VERBATIM),
        (STREAM, STREAM, Relay.VERBATIM),
        (STREAM, JSON, Relay.AT_END),
        (JSON, STREAM, Relay.AT_END),
    ],
)
def test_an_answer_can_be_heard_in_the_other_form_once_it_is_whole(
    offered: Form, wanted: Form, relay: Relay
) -> None:
    assert OLLAMA.relay(offered, wanted) is relay


def test_nothing_is_left_out_of_a_stream_for_anybody() -> None:
    assert OLLAMA.sieve(STREAM)(b'{"done":false}\n{"do') == b'{"done":false}\n{"do'


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_either_form_is_replayed_to_the_byte(path: Path) -> None:
    for body, form in (
        (path.read_bytes(), STREAM),
        (path.with_suffix(".json").read_bytes(), JSON),
    ):
        rendered = OLLAMA.render(sealed(body, form), form)
        assert rendered
        assert rendered.body is body
        assert rendered.content_type == ""


@unhurried
@given(st.data(), documents.filter(says_something))
def test_one_entry_answers_in_either_form(data: st.DataObject, document: Json) -> None:
    parts = data.draw(streams(document))
    for answer in (sealed(written(parts), STREAM), sealed(dump(document), JSON)):
        whole = OLLAMA.render(answer, JSON)
        assert whole
        assert same(json.loads(whole.body), document)
        stream = OLLAMA.render(answer, STREAM)
        assert stream
        back = OLLAMA.render(sealed(stream.body, STREAM), JSON)
        assert back
        assert same(json.loads(back.body), document)


def test_a_form_made_of_another_says_what_it_is() -> None:
    document = GOLDEN[0].with_suffix(".json").read_bytes()
    stream = OLLAMA.render(sealed(document, JSON), STREAM)
    assert stream
    assert stream.content_type == "application/x-ndjson"
    whole = OLLAMA.render(sealed(stream.body, STREAM), JSON)
    assert whole
    assert whole.content_type == "application/json; charset=utf-8"


def test_what_cannot_be_had_in_the_other_form_is_not_made_up() -> None:
    end = {"done": True, "done_reason": "stop"}
    steps = [{"completed": 1, "total": 2, "done": False}, {"image": "AAAA", **end}]
    picture = sealed(written(steps), STREAM)
    assert OLLAMA.render(picture, JSON) is None
    assert OLLAMA.render(picture, STREAM)
    assert OLLAMA.render(sealed(dump({"image": "AAAA", **end}), JSON), STREAM) is None


_MEMBERS = st.sampled_from(
    ["model", "messages", "prompt", "message", "response", "content", "thinking", "tool_calls",
     "logprobs", "done", "done_reason", "options", "stream", "role", "images", "eval_count"]
)  # fmt: skip
_odd = st.recursive(
    st.sampled_from([None, True, False, 0, 1.5, "", "m", "stop", "user", "assistant"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_MEMBERS, inner, max_size=5),
    max_leaves=12,
)


@unhurried
@given(st.dictionaries(_MEMBERS, _odd), st.dictionaries(_MEMBERS, _odd))
def test_whatever_comes_no_error_is_of_our_making(one: Json, other: Json) -> None:
    for path in ("/api/chat", "/api/generate"):
        for body in (
            {**one, "model": "m"},
            {**one, "model": "m", "prompt": "a", "messages": [other]},
        ):
            query = ask(body, path=path)
            if isinstance(query, Query):
                OLLAMA.asking(query)
    ended = {**other, "done": True, "done_reason": "stop"}
    for body, form in ((written([one, ended]), STREAM), (dump(ended), JSON)):
        verdict = OLLAMA.seal(head(""), body, form)
        stored = verdict if isinstance(verdict, Sealed) else Sealed(form, body)
        for wanted in (STREAM, JSON):
            rendered = OLLAMA.render(stored, wanted)
            if rendered and wanted != form and isinstance(verdict, Sealed):
                assert isinstance(OLLAMA.seal(head(""), rendered.body, wanted), Sealed)
        OLLAMA.answer(entry(body=body, form=form))

"""The OpenAI Responses dialect: what comes back, and who can hear it in which form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chat_answers import same
from support.golden import RESPONSES
from support.properties import unhurried
from support.responses_answers import Json, documents, says_something, streams
from support.responses_told import as_stream, told
from support.speech import dump, head, sealed_by

from proxy.dialects.base import Dialect, Relay
from proxy.dialects.negative import Negative
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.wishes import Wishes
from proxy.model.query import Form, Sealed
from proxy.wire.json_pointer import Pointer

RESPONSES_API: Dialect = OpenAIResponses()
JSON, STREAM, UNCOUNTED = Form(), Form(stream=True), Form(stream=True, usage=False)


def sealed(body: bytes, form: Form, api: Dialect = RESPONSES_API) -> Sealed:
    return sealed_by(api, body, form)


# What comes back.


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("text/event-stream", STREAM),
        ("Text/Event-Stream; charset=utf-8", STREAM),
        ("application/json", JSON),
        ("application/problem+json", JSON),
        ("text/html", None),
        ("", None),
    ],
)
def test_the_form_of_an_answer_is_told_by_its_media_type(
    content_type: str, form: Form | None
) -> None:
    assert RESPONSES_API.arriving(head(content_type), JSON) == form
    assert RESPONSES_API.arriving(head(content_type), STREAM) == form


def test_an_encoded_answer_is_in_no_form_of_ours() -> None:
    encoded = head("application/json", ("Content-Encoding", "br"))
    assert RESPONSES_API.arriving(encoded, JSON) is None


def test_errors_are_kept_by_their_code_unless_they_are_about_the_form() -> None:
    api = OpenAIResponses(Wishes(negative=Negative(frozenset({"model_not_found"}))))
    for code, param, kept in (
        ("model_not_found", "model", True),
        ("model_not_found", "stream", False),
        ("rate_limit_exceeded", None, False),
    ):
        error = {"error": {"message": "No.", "type": "x", "param": param, "code": code}}
        verdict = api.seal(head("application/json", status=404), dump(error), JSON)
        assert isinstance(verdict, Sealed) is kept


def test_what_is_kept_follows_the_settings() -> None:
    call = {"id": "x", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    whole = {"object": "response", "status": "completed", "output": [call]}
    cut = {
        **whole,
        "status": "incomplete",
        "incomplete_details": {"reason": "content_filter"},
    }
    lenient = OpenAIResponses(Wishes(store_truncated=True))
    strict = OpenAIResponses(Wishes(store_tool_calls=False))
    for api, kept in ((RESPONSES_API, [True, False]), (lenient, [True] * 2), (strict, [False] * 2)):
        verdicts = [api.seal(head(""), dump(each), JSON) for each in (whole, cut)]
        assert [isinstance(verdict, Sealed) for verdict in verdicts] == kept


def test_a_dialect_that_knows_where_tells_how_sure_an_answer_is() -> None:
    document = json.loads(RESPONSES[0].with_suffix(".json").read_text())
    answer = dump({**document, "rag": {"confidence": 0.75}})
    api = OpenAIResponses(Wishes(confidence=Pointer("/rag/confidence")))
    assert sealed(answer, JSON, api).confidence == 0.75
    assert sealed(answer, JSON).confidence is None


# Who can hear it.


@pytest.mark.parametrize(
    ("offered", "wanted", "relay"),
    [
        (JSON, JSON, Relay.VERBATIM),
        (STREAM, STREAM, Relay.VERBATIM),
        (UNCOUNTED, STREAM, Relay.VERBATIM),
        (STREAM, JSON, Relay.AT_END),
        (UNCOUNTED, JSON, Relay.NEVER),
        (JSON, STREAM, Relay.AT_END),
    ],
)
def test_an_answer_can_be_heard_in_another_form_if_nothing_is_lost(
    offered: Form, wanted: Form, relay: Relay
) -> None:
    assert RESPONSES_API.relay(offered, wanted) is relay


def test_no_stream_is_filtered() -> None:
    assert RESPONSES_API.sieve(STREAM)(b"data: {}\n\n") == b"data: {}\n\n"


def test_documents_without_token_counts_are_made_where_that_is_wanted() -> None:
    api = OpenAIResponses(Wishes(json_without_usage=True))
    assert api.relay(UNCOUNTED, JSON) is Relay.AT_END
    document = json.loads(RESPONSES[0].with_suffix(".json").read_text())
    stream = as_stream(told({**document, "usage": None}))
    answer = sealed(stream, STREAM, api)
    assert answer.form == UNCOUNTED
    assert RESPONSES_API.render(answer, JSON) is None
    rendered = api.render(answer, JSON)
    assert rendered
    assert json.loads(rendered.body)["usage"] is None


@pytest.mark.parametrize("path", RESPONSES, ids=lambda path: path.stem)
def test_a_stream_is_replayed_to_the_byte(path: Path) -> None:
    body = path.read_bytes()
    answer = sealed(body, STREAM)
    assert answer.form == STREAM
    rendered = RESPONSES_API.render(answer, answer.form)
    assert rendered
    assert rendered.body is body
    assert rendered.content_type == ""


@unhurried
@given(st.data(), documents.filter(says_something))
def test_one_entry_answers_in_every_form(data: st.DataObject, document: Json) -> None:
    stream = as_stream(data.draw(streams(document)))
    for answer in (sealed(stream, STREAM), sealed(dump(document), JSON)):
        whole = RESPONSES_API.render(answer, JSON)
        assert whole
        assert same(json.loads(whole.body), document)
        told_again = RESPONSES_API.render(answer, STREAM)
        assert told_again
        back = RESPONSES_API.render(sealed(told_again.body, STREAM), JSON)
        assert back
        assert same(json.loads(back.body), document)


def test_a_form_made_of_another_says_what_it_is() -> None:
    document = RESPONSES[0].with_suffix(".json").read_bytes()
    stream = RESPONSES_API.render(sealed(document, JSON), STREAM)
    assert stream
    assert stream.content_type == "text/event-stream; charset=utf-8"
    whole = RESPONSES_API.render(sealed(stream.body, STREAM), JSON)
    assert whole
    assert whole.content_type == "application/json"


def test_what_cannot_be_had_in_another_form_is_not_made_up() -> None:
    odd = {"id": "x", "type": "a_thing_of_next_year"}
    document = {"object": "response", "status": "completed", "output": [odd], "usage": {}}
    assert RESPONSES_API.render(sealed(dump(document), JSON), STREAM) is None
    done = {"type": "response.output_item.done", "output_index": 0, "item": odd}
    end = {"type": "response.completed", "response": {**document, "output": []}}
    assert RESPONSES_API.render(sealed(as_stream([done, end]), STREAM), JSON) is None

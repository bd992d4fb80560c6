"""Which errors are about the question, and so come again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chat_answers import values
from support.properties import unhurried

from proxy.dialects.negative import Negative, seal_error
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Refusal, Sealed

CODES = frozenset(
    {"model_not_found", "unsupported_parameter", "NotFoundError", "not_found_error", "missing"}
)
UNKEYED = frozenset({"stream", "stream_options", "metadata"})


def openai(**members: Any) -> Any:
    error = {"message": "The model `m` does not exist.", "type": "invalid_request_error"}
    return {"error": {**error, "param": None, "code": None, **members}}


def fastapi(*faults: tuple[str, list[Any]]) -> Any:
    return {"detail": [{"type": kind, "loc": loc, "msg": "No."} for kind, loc in faults]}


def sealed(document: Any) -> bool:
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    verdict = seal_error(body, CODES, UNKEYED)
    assert verdict in {Sealed(Form(), body, negative=True), Refusal(Why.STATUS)}
    return isinstance(verdict, Sealed)


@pytest.mark.parametrize(
    "document",
    [
        openai(code="model_not_found"),
        openai(code="model_not_found", param="model"),
        openai(type="NotFoundError", code=404),
        openai(code="model_not_found", param="messages[3].content"),
        openai(code="model_not_found", param="streamlined"),
        {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}},
        {"object": "error", "message": "No.", "type": "NotFoundError", "param": None, "code": 404},
        fastapi(("missing", ["body", "model"])),
        fastapi(("missing", ["body", "model"]), ("missing", ["body", "messages", 0, "role"])),
    ],
)
def test_an_error_with_a_known_code_is_kept(document: Any) -> None:
    assert sealed(document)


@pytest.mark.parametrize(
    "document",
    [
        openai(),
        openai(code="billing_hard_limit_reached"),
        openai(code="MODEL_NOT_FOUND"),
        openai(code=404),
        openai(code=["model_not_found"]),
        {"error": "model_not_found"},
        {"error": ["model_not_found"]},
        {"code": "model_not_found"},
        {"message": "model_not_found", "type": "NotFoundError"},
        {"object": "chat.completion", "type": "NotFoundError"},
        {"detail": "Not Found"},
        {"detail": []},
        {"detail": {"type": "missing", "loc": ["body", "model"]}},
        {"detail": ["missing"]},
        fastapi(("string_type", ["body", "model"])),
        fastapi(("missing", ["body", "model"]), ("string_type", ["body", "user"])),
        # What no key has in it: headers, the position of a byte.
        fastapi(("missing", ["header", "x-user"])),
        fastapi(("missing", ["body"])),
        fastapi(("missing", ["body", 17])),
        fastapi(("missing", [])),
        {},
        [],
        None,
        "model_not_found",
        b"",
        b"model_not_found",
        b"<html>model_not_found</html>",
    ],
)
def test_an_error_for_a_reason_that_is_not_known_is_not_kept(document: Any) -> None:
    assert not sealed(document)


@pytest.mark.parametrize("param", ["stream", "stream_options", "stream_options.x", "metadata[0]"])
def test_an_error_about_what_is_not_in_the_key_is_not_kept(param: str) -> None:
    assert not sealed(openai(code="model_not_found", param=param))
    assert not sealed(fastapi(("missing", ["body", param.partition(".")[0].partition("[")[0]])))


def test_no_part_of_an_error_is_an_error() -> None:
    body = orjson.dumps(openai(code="model_not_found", param="model"))
    assert sealed(body)
    assert not any(sealed(body[:end]) for end in range(len(body)))


@unhurried
@given(values | st.fixed_dictionaries({}, optional={"error": values, "detail": values}))
def test_no_shape_of_an_error_is_kept_without_a_known_code(document: Any) -> None:
    verdict = seal_error(orjson.dumps(document), frozenset(), UNKEYED)
    assert verdict == Refusal(Why.STATUS)


# -- the chat dialect ----------------------------------------------------------------------------

NOT_FOUND = Head(404, "Not Found", Headers([("Content-Type", "application/json")]))


def test_a_chat_keeps_the_errors_it_is_told_to_and_by_default_none() -> None:
    body = orjson.dumps(openai(code="model_not_found"))
    told = OpenAIChat(Wishes(negative=Negative(CODES)))
    assert told.seal(NOT_FOUND, body, Form()) == Sealed(Form(), body, negative=True)
    assert OpenAIChat().seal(NOT_FOUND, body, Form()) == Refusal(Why.STATUS)


def test_a_field_that_is_inert_is_not_what_a_kept_error_is_about() -> None:
    body = orjson.dumps(openai(code="model_not_found", param="metadata.run"))
    keyed = OpenAIChat(Wishes(negative=Negative(CODES)))
    inert = OpenAIChat(Wishes(negative=Negative(CODES), inert=frozenset({"metadata"})))
    assert isinstance(keyed.seal(NOT_FOUND, body, Form()), Sealed)
    assert inert.seal(NOT_FOUND, body, Form()) == Refusal(Why.STATUS)


@pytest.mark.parametrize("param", [None, "", ["stream"]])
def test_an_error_about_a_member_that_is_not_named_is_not_kept(param: object) -> None:
    assert not sealed(openai(code="unsupported_parameter", param=param))
    assert sealed(openai(code="unsupported_parameter", param="logit_bias"))

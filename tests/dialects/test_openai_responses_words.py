"""A request taken apart: the words of the question, all the rest, and the words of the answer."""

from __future__ import annotations

import orjson
import pytest
from openai.types.responses import Response
from support.cranked import entry, posted
from support.responses_answers import Json
from support.responses_told import as_stream, told

from proxy.dialects.openai_responses import OpenAIResponses
from proxy.model.query import Asking, Form, Query

DIALECT = OpenAIResponses()
USER: Json = {"role": "user", "content": "Why?"}
PART: Json = {"type": "input_text", "text": "Why?"}
FUNCTION = {"type": "function", "name": "f"}


def read(**body: object) -> Query:
    raw = orjson.dumps({"model": "m", **body})
    query = DIALECT.read(posted(raw, path="/v1/responses"), raw)
    assert isinstance(query, Query)
    return query


def asking(**body: object) -> Asking | None:
    return DIALECT.asking(read(**body))


# The question.


@pytest.mark.parametrize(
    ("given", "question"),
    [
        ("Why?", "Why?"),
        ("a" * 2048 + "long" * 900 + "z" * 2048, "a" * 2048 + "\n" + "z" * 2048),
        ([USER], "Why?"),
        ([{**USER, "content": [PART, {"type": "input_image"}, {"text": "How?"}]}], "Why?\nHow?"),
        ([USER, {"type": "function_call_output", "call_id": "c", "output": "21 C"}], "Why?"),
        ([{"role": "developer", "content": "Be kind."}], ""),
        ([{"role": "user", "content": None}], ""),
        ([{"role": "user", "content": ["odd", {"text": 1}]}], ""),
        ([USER, "odd"], "Why?"),
        ([], ""),
    ],
)
def test_the_question_is_what_the_user_said_last(given: object, question: str) -> None:
    assert read(input=given).question == question


def test_the_variables_of_a_prompt_are_no_question() -> None:
    assert read(prompt={"id": "p", "version": "1", "variables": {"city": "Brest"}}).question == ""


@pytest.mark.parametrize(
    ("given", "rest"),
    [
        ("Why?", None),
        ([USER], [{"role": "user", "content": None}]),
        (
            [{"role": "user", "content": [PART]}],
            [{"role": "user", "content": [{**PART, "text": None}]}],
        ),
        (
            [{"role": "system", "content": "Be brief."}, USER],
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": None}],
        ),
    ],
)
def test_the_text_is_that_of_what_comes_last_and_the_rest_is_all_else(
    given: object, rest: object
) -> None:
    asked = asking(input=given, instructions="Be kind.")
    assert asked is not None
    assert asked.text == "Why?"
    assert orjson.loads(asked.rest) == {"model": "m", "instructions": "Be kind.", "input": rest}
    assert not asked.follows
    assert not asked.acts


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"role": "developer", "content": "Be rude."}, USER]},
        {"input": [{"role": "user", "content": "Hi"}, USER]},
        {"input": [{"role": "user", "content": [PART]}]},
        {"input": "Why?"},
        {"input": [USER], "instructions": "Be rude."},
        {"input": [USER], "tools": [FUNCTION]},
        {"input": [USER], "text": {"format": {"type": "json_object"}}},
        {"input": [USER], "store": False},
    ],
)
def test_whatever_else_differs_the_rest_does(body: Json) -> None:
    one, other = asking(input=[USER]), asking(**body)
    assert one is not None
    assert other is not None
    assert one.rest != other.rest


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["Why?"],
        [{"role": "assistant", "content": "Because"}],
        [USER, {"type": "function_call_output", "call_id": "c", "output": "21 C"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": ["Why?"]}],
        [{"role": "user", "content": [PART, PART]}],
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}],
        [{"role": "user", "content": [{"type": "input_text", "text": 1}]}],
    ],
)
def test_what_cannot_be_told_in_other_words_is_not_taken_apart(given: object) -> None:
    assert asking(input=given) is None


def test_a_prompt_alone_is_not_taken_apart() -> None:
    assert asking(prompt={"id": "p", "version": "1"}) is None


@pytest.mark.parametrize(
    ("before", "follows"),
    [
        ({"role": "user", "content": "Hi"}, True),
        ({"type": "reasoning", "id": "rs", "summary": []}, True),
        ("odd", True),
        ({"role": "developer", "content": "Be kind."}, False),
    ],
)
def test_it_is_known_whether_something_was_said_before(before: object, follows: bool) -> None:
    asked = asking(input=[before, USER])
    assert asked is not None
    assert asked.follows is follows


@pytest.mark.parametrize(
    ("body", "acts"),
    [
        ({"tools": [FUNCTION]}, True),
        ({"tool_choice": "required"}, True),
        ({"tools": []}, False),
        ({"input": [{"type": "additional_tools", "tools": [FUNCTION]}, USER]}, True),
    ],
)
def test_it_is_known_whether_the_answer_may_act(body: Json, acts: bool) -> None:
    asked = asking(**{"input": [USER], **body})
    assert asked is not None
    assert asked.acts is acts


# The answer.

MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Because.", "annotations": []}],
}
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": []}


def said(*items: object) -> str | None:
    document = {"object": "response", "status": "completed", "output": items}
    as_document = entry(body=orjson.dumps(document), form=Form(), dialect="openai_responses")
    return DIALECT.answer(as_document)


def test_an_answer_is_one_text_in_either_form() -> None:
    document = {"object": "response", "status": "completed", "output": [THOUGHT, MESSAGE]}
    stream = entry(body=as_stream(told(document)), form=Form(stream=True))
    assert said(THOUGHT, MESSAGE) == DIALECT.answer(stream) == "Because."


@pytest.mark.parametrize(
    "items",
    [
        (),
        (THOUGHT,),
        (MESSAGE, MESSAGE),
        (MESSAGE, {"type": "function_call"}),
        ({**MESSAGE, "content": []},),
        ({**MESSAGE, "content": [{"type": "refusal", "refusal": "No."}]},),
        ({**MESSAGE, "content": [*MESSAGE["content"], *MESSAGE["content"]]},),
        ({**MESSAGE, "content": [{"type": "output_text", "text": ""}]},),
        ("odd",),
    ],
)
def test_what_is_not_one_text_has_no_words(items: tuple[object, ...]) -> None:
    assert said(*items) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output":{}}'])
def test_a_body_of_another_shape_has_no_words(body: bytes) -> None:
    assert DIALECT.answer(entry(body=body, form=Form())) is None
    assert DIALECT.answer(entry(body=body, form=Form(stream=True))) is None


def test_what_the_proxy_says_itself_is_a_response_with_all_that_clients_require() -> None:
    said = DIALECT.speak("Sorry.", read(input="Why?"), 1_700_000_000)
    response = Response.model_validate_json(said)
    assert (response.model, response.output_text, response.status) == ("m", "Sorry.", "completed")

"""Only responses that are whole, and everybody's, are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import RESPONSES
from support.properties import unhurried
from support.responses_answers import Json, documents, says_something, streams
from support.responses_told import as_stream, told

from proxy.dialects.openai_responses.seal import Keep, seal
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed, Usage
from proxy.wire.json_pointer import Pointer

KEEP = Keep()
JSON, STREAM = Form(), Form(stream=True)
TEXT = {"type": "output_text", "text": "Hi", "annotations": []}
MESSAGE: Json = {"id": "msg_1", "type": "message", "role": "assistant", "content": [TEXT]}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
COUNTS = {"input_tokens": 3, "output_tokens": 1}


def response(*items: object, **members: object) -> Json:
    output = list(items) or [MESSAGE]
    return {"id": "r", "object": "response", "status": "completed", "output": output, **members}


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def why(body: bytes, form: Form = JSON, keep: Keep = KEEP) -> Why | None:
    verdict = seal(body, form, keep)
    return verdict.why if isinstance(verdict, Refusal) else None


@pytest.mark.parametrize("path", RESPONSES, ids=lambda path: path.stem)
def test_no_proper_prefix_of_a_recorded_answer_is_whole(path: Path) -> None:
    for form, whole in (
        (STREAM, path.read_bytes()),
        (JSON, path.with_suffix(".json").read_bytes()),
    ):
        assert why(whole, form) is None
        # What follows without meaning may be missing: [DONE], the last line end of a file.
        meant = whole.rstrip(b"\n") if form == JSON else whole.removesuffix(b"data: [DONE]\n\n")
        ends = [*range(0, len(meant), 13), *range(max(0, len(meant) - 300), len(meant))]
        assert all(why(meant[:end], form) is not None for end in ends)


@unhurried
@given(st.data(), documents.filter(says_something), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_no_proper_prefix_of_any_answer_is_whole(
    data: st.DataObject, answer: Json, eol: bytes
) -> None:
    stream = as_stream(data.draw(streams(answer))).replace(b"\n", eol)
    for form, whole in ((STREAM, stream), (JSON, dump(answer))):
        assert why(whole, form) is None
        missing = data.draw(st.integers(1, 9) | st.integers(1, len(whole)))
        assert why(whole[:-missing], form) is not None


@unhurried
@given(st.data(), documents.filter(says_something))
def test_a_stream_of_which_any_event_but_the_first_is_missing_is_not_whole(
    data: st.DataObject, answer: Json
) -> None:
    events = data.draw(streams(answer))
    del events[data.draw(st.integers(1, len(events) - 1))]
    assert why(as_stream(events), STREAM) is Why.INCOMPLETE


def test_what_is_sealed_is_the_backends_own_bytes_and_says_whether_tokens_are_counted() -> None:
    counted, plain = response(usage=COUNTS), response()
    for document, usage in ((counted, Usage(3, 1)), (plain, None)):
        body = dump(document)
        assert seal(body, JSON, KEEP) == Sealed(JSON, body, usage)
        stream = as_stream(told(document))
        form = Form(stream=True, usage=usage is not None)
        assert seal(stream, STREAM, KEEP) == Sealed(form, stream, usage)


def test_token_counts_that_are_no_numbers_are_not_passed_on() -> None:
    verdict = seal(dump(response(usage={"input_tokens": "3"})), JSON, KEEP)
    assert isinstance(verdict, Sealed)
    assert verdict.usage is None


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([1], Why.NOT_UNDERSTOOD),
        (response(object="chat.completion"), Why.NOT_UNDERSTOOD),
        (response(output="Hi"), Why.NOT_UNDERSTOOD),
        (response(output=None), Why.NOT_UNDERSTOOD),
        (response("Hi"), Why.NOT_UNDERSTOOD),
        (response({"id": "x"}), Why.NOT_UNDERSTOOD),
        (response(error={"code": "server_error"}), Why.ERROR_IN_BODY),
        (response(status="failed"), Why.ERROR_IN_BODY),
        ({"object": "error", "message": "no"}, Why.ERROR_IN_BODY),
        ({"error": {"message": "no"}}, Why.ERROR_IN_BODY),
        (response(status="in_progress"), Why.INCOMPLETE),
        (response(status="queued"), Why.INCOMPLETE),
        (response(status="cancelled"), Why.INCOMPLETE),
        (response(status=None), Why.INCOMPLETE),
        (response({**MESSAGE, "status": "incomplete"}), Why.INCOMPLETE),
        (response(MESSAGE, {**CALL, "status": "in_progress"}), Why.INCOMPLETE),
        (response(**CUT), Why.TRUNCATED),
        (response(status="incomplete", incomplete_details={"reason": "steered"}), Why.INCOMPLETE),
        (response(status="incomplete", incomplete_details=None), Why.INCOMPLETE),
        (response(output=[]), Why.EMPTY),
        (response(THOUGHT), Why.EMPTY),
        (response({**MESSAGE, "content": []}), Why.EMPTY),
        (response({**MESSAGE, "content": [{**TEXT, "text": ""}]}), Why.EMPTY),
        (response({**MESSAGE, "content": [{"type": "refusal", "refusal": ""}]}), Why.EMPTY),
        (response({**MESSAGE, "content": None}), Why.EMPTY),
        (response(background=True), Why.STATEFUL),
        (response(previous_response_id="resp_0"), Why.STATEFUL),
        (response(conversation={"id": "conv_1"}), Why.STATEFUL),
        (response(tools=[{"type": "web_search"}]), Why.HOSTED_TOOLS),
        (response(tools=[{"type": "function"}, {"type": "mcp"}]), Why.HOSTED_TOOLS),
    ],
)
def test_what_is_not_a_whole_answer_for_everybody_is_not_kept(
    document: object, reason: Why
) -> None:
    assert why(dump(document)) is reason


@pytest.mark.parametrize(
    "document",
    [
        response(THOUGHT, MESSAGE),
        response(CALL),
        response({**MESSAGE, "content": [{"type": "refusal", "refusal": "No."}]}),
        response({**MESSAGE, "content": [{"type": "output_hologram"}]}),
        response({"id": "x", "type": "an_item_of_next_year"}),
        response({"id": "x", "type": "file_search_call", "status": "searching"}, MESSAGE),
        response(error=None, background=False, previous_response_id=None, conversation=None),
        response(store=True, tools=[{"type": "function"}]),  # as a backend says by default
    ],
)
def test_whatever_an_answer_consists_of_it_is_kept(document: Json) -> None:
    assert why(dump(document)) is None


HELLO = list(told(response(usage=COUNTS)))


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (HELLO[:-1], Why.INCOMPLETE),
        ([*HELLO[:-1], {"type": "response.completed"}], Why.NOT_UNDERSTOOD),
        ([*HELLO[:-1], {**HELLO[-1], "type": "response.incomplete"}], Why.NOT_UNDERSTOOD),
        ([*HELLO[:-1], {"type": "response.failed", "response": {}}], Why.ERROR_IN_BODY),
        ([*HELLO[:4], {"type": "error", "code": "server_error"}], Why.ERROR_IN_BODY),
        ([*HELLO[:4], {**HELLO[-1], "sequence_number": 4}], Why.INCOMPLETE),  # an item is not done
        ([*HELLO[:4], *HELLO[5:]], Why.INCOMPLETE),
        (list(told(response(**CUT))), Why.TRUNCATED),
        (list(told(response(THOUGHT))), Why.EMPTY),
        (list(told(response(tools=[{"type": "mcp"}]))), Why.HOSTED_TOOLS),
        (
            [{"type": "response.output_item.done", "output_index": "0", "item": {}}, HELLO[-1]],
            Why.NOT_UNDERSTOOD,
        ),
    ],
)
def test_a_stream_that_is_not_a_whole_answer_is_not_kept(events: list[Json], reason: Why) -> None:
    assert why(as_stream(events), STREAM) is reason


@pytest.mark.parametrize(
    "events",
    [
        HELLO,
        [{**event, "sequence_number": None} for event in HELLO],  # backends that do not count
        [{**event, "sequence_number": 0} for event in HELLO],
        [{**event, "sequence_number": event["sequence_number"] + 1} for event in HELLO],
        [*HELLO[:-1], {**HELLO[-1], "response": response(output=[])}],  # told before, left out now
        [*HELLO[:-1], {**HELLO[-1], "response": response(output=None)}],
        [*HELLO[:-1], {**HELLO[-1], "response": {"object": "response", "output": [MESSAGE]}}],
        [HELLO[0], {"type": "response.output_item.added", "output_index": 7}, *HELLO[1:]],
    ],
)
def test_backends_that_are_careless_about_less_are_believed(events: list[Json]) -> None:
    assert why(as_stream(events), STREAM) is None


def test_what_is_kept_follows_the_settings() -> None:
    lenient = replace(KEEP, truncated=True, empty=True, state=())
    for body, form in ((dump(response(**CUT)), JSON), (as_stream(told(response(**CUT))), STREAM)):
        assert why(body, form, lenient) is None
    assert why(dump(response(previous_response_id="resp_0")), keep=lenient) is None
    nothing = seal(dump(response(THOUGHT)), JSON, lenient)
    assert isinstance(nothing, Sealed)
    assert nothing.negative


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("function_call", True),
        ("custom_tool_call", True),
        ("computer_call", True),
        ("local_shell_call", True),
        ("apply_patch_call", True),
        ("mcp_approval_request", True),
        ("reasoning", False),
        ("compaction", False),
    ],
)
def test_answers_that_call_tools_can_be_left_out(kind: str, calls: bool) -> None:
    document = dump(response(MESSAGE, {"id": "x", "type": kind}))
    refused = why(document, keep=replace(KEEP, tool_calls=False))
    assert refused is (Why.TOOL_CALLS if calls else None)
    assert why(document) is None


@pytest.mark.parametrize(
    ("told_as", "sure"),
    [(0.75, 0.75), (1, 1.0), (0, 0.0), (True, None), ("0.5", None), (1.5, None), (None, None)],
)
def test_an_answer_says_how_sure_it_is_in_either_form(told_as: object, sure: float | None) -> None:
    document = response(rag={"confidence": told_as})
    for body, form in ((dump(document), JSON), (as_stream(told(document)), STREAM)):
        sealed = seal(body, form, KEEP, Pointer("/rag/confidence"))
        assert isinstance(sealed, Sealed)
        assert sealed.confidence == sure

"""A response is the same response as a document and as a stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from support.chat_answers import same
from support.golden import RESPONSES
from support.properties import unhurried
from support.responses_answers import Json, documents, streams
from support.responses_told import as_stream, told

from proxy.dialects.openai_responses.forms import document_of, stream_of
from proxy.dialects.shapes import NoOtherForm
from proxy.wire import frames

OWN_WAYS = {"responses_retrieval"}  # those with items that cannot be told as they came
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
TEXT = {"type": "output_text", "text": "Hi", "annotations": []}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "content": [TEXT]}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


def response(*items: object, **members: object) -> Json:
    return {"id": "r", "object": "response", "status": "completed", "output": items, **members}


def read(stream: bytes) -> list[Json]:
    found, rest = frames.split(stream)
    assert not rest
    data = [event.data for event in map(frames.parse, found) if event]
    return [json.loads(each) for each in data if each != b"[DONE]"]


def made(*items: object, **members: object) -> list[Json]:
    return read(stream_of(json.dumps(response(*items, **members)).encode()))


@pytest.mark.parametrize("path", RESPONSES, ids=lambda path: path.stem)
def test_a_recorded_stream_holds_the_document_its_backend_would_have_sent(path: Path) -> None:
    document = json.loads(document_of(path.read_bytes()))
    assert same(document, json.loads(path.with_suffix(".json").read_text()))


@pytest.mark.parametrize("path", RESPONSES, ids=lambda path: path.stem)
def test_the_vendors_own_library_understands_both_forms_of_what_was_recorded(path: Path) -> None:
    raw = path.with_suffix(".json").read_bytes()
    whole = Response.model_validate_json(document_of(path.read_bytes()), strict=False)
    if path.stem in OWN_WAYS:
        with pytest.raises(NoOtherForm):
            stream_of(raw)
        return
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=[], text_format=omit)
    for event in read(stream_of(raw)):
        state.handle_event(EVENT.validate_python(event))
    assert state._completed_response
    assert state._completed_response.output_text == whole.output_text
    assert len(state._output_items) == len(whole.output)


@pytest.mark.parametrize(
    "path", [path for path in RESPONSES if path.stem not in OWN_WAYS], ids=lambda path: path.stem
)
def test_a_stream_that_is_made_tells_what_the_recorded_one_told_piece_by_piece(path: Path) -> None:
    def gathered(stream: bytes) -> dict[tuple[str, str], str]:
        """All that the deltas of each kind add up to, in the order of their items."""
        texts: dict[tuple[str, str], str] = {}
        for event in read(stream):
            if event["type"].endswith(".delta"):
                about = ("output_index", "content_index", "summary_index")
                place = str([event.get(name) for name in about])
                key = (event["type"], place)
                texts[key] = texts.get(key, "") + event["delta"]
        return texts

    def kinds(stream: bytes) -> set[str]:
        return {event["type"] for event in read(stream)}

    stream = stream_of(path.with_suffix(".json").read_bytes())
    assert gathered(stream) == gathered(path.read_bytes())
    assert kinds(stream) == kinds(path.read_bytes())


@unhurried
@given(documents)
def test_a_document_made_a_stream_and_back_is_the_same_document(document: Json) -> None:
    raw = json.dumps(document).encode()
    assert same(json.loads(document_of(stream_of(raw))), document)


@unhurried
@given(st.data(), documents)
def test_however_a_backend_cuts_an_answer_its_document_is_found(
    data: st.DataObject, document: Json
) -> None:
    stream = as_stream(data.draw(streams(document)))
    assert same(json.loads(document_of(stream)), document)


@unhurried
@given(documents)
def test_a_stream_that_is_made_says_no_more_and_no_less_than_a_backends(document: Json) -> None:
    # How things look before they are done, and which piece has which probability, is its own.
    own = {"sequence_number", "obfuscation", "response", "item", "part", "logprobs"}

    def said(events: list[Json]) -> list[Json]:
        spoken = [event for event in events if event.get("delta") != ""]
        return [{name: event[name] for name in event.keys() - own} for event in spoken]

    ours = read(stream_of(json.dumps(document).encode()))
    assert said(ours) == said(list(told(document, lambda text: [text])))
    assert [event["sequence_number"] for event in ours] == list(range(len(ours)))


def test_log_probabilities_are_told_with_the_text_and_again_with_the_whole_of_it() -> None:
    logprobs = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]
    for text in ("Hi", ""):  # one may have them of nothing but an end
        events = made({**MESSAGE, "content": [{**TEXT, "text": text, "logprobs": logprobs}]})
        told_with = [event["type"] for event in events if event.get("logprobs") == logprobs]
        assert told_with == ["response.output_text.delta", "response.output_text.done"]


def test_a_stream_begins_with_nothing_known_and_ends_with_all() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2}
    details = {"incomplete_details": None, "completed_at": 7, "usage": usage}
    first, second, *_, last = made(MESSAGE, **details)
    begun = response(incomplete_details=None, completed_at=None, usage=None, status="in_progress")
    assert first == {
        "type": "response.created",
        "sequence_number": 0,
        "response": {**begun, "output": []},
    }
    assert second == {**first, "type": "response.in_progress", "sequence_number": 1}
    assert last["type"] == "response.completed"
    assert same(last["response"], response(MESSAGE, **details))


def test_an_item_is_begun_empty_and_done_whole() -> None:
    begun = {**MESSAGE, "status": "completed", "phase": "final_answer"}
    _, _, added, *_, done, _ = made(begun)
    assert added["item"] == {**begun, "status": "in_progress", "content": []}
    assert done["item"] == begun
    assert "status" not in made(CALL)[2]["item"]  # nothing is said that the backend did not say


def test_a_truncated_document_ends_as_a_truncated_stream_does() -> None:
    details = {"reason": "max_output_tokens"}
    *_, last = made(MESSAGE, status="incomplete", incomplete_details=details)
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == details


@pytest.mark.parametrize(
    "document",
    [
        [1],
        {"object": "response", "output": []},
        response(status="in_progress"),
        response(output=None),
        response("an item that is text"),
        response({"id": "x", "type": "web_search_call"}),
        response({"id": "x", "type": ["message"]}),
        response({**MESSAGE, "id": None}),
        response(MESSAGE, {**CALL, "id": MESSAGE["id"]}),
        response({**MESSAGE, "content": None}),
        response({**MESSAGE, "content": [{"type": "output_audio"}]}),
        response({**MESSAGE, "content": [{**TEXT, "text": None}]}),
        response({**MESSAGE, "content": [{**TEXT, "annotations": [1]}]}),
        response({**MESSAGE, "content": [{**TEXT, "logprobs": "no"}]}),
        response({**CALL, "arguments": {}}),
        response({"id": "x", "type": "reasoning", "summary": None}),
        response({"id": "x", "type": "reasoning", "summary": [{"type": "poem", "text": "a"}]}),
    ],
)
def test_documents_whose_events_are_not_known_have_no_stream(document: object) -> None:
    with pytest.raises(NoOtherForm):
        stream_of(json.dumps(document).encode())


def ended(items: list[object], **last: object) -> bytes:
    """A stream that tells ``items`` and ends with a response that has other members."""
    done = [
        {"type": "response.output_item.done", "output_index": at, "item": item}
        for at, item in enumerate(items)
    ]
    end = {"type": "response.completed", "response": {**response(MESSAGE), **last}}
    return as_stream([*done, end])


@pytest.mark.parametrize(
    "stream",
    [
        ended([]),
        ended([MESSAGE], output=[]),
        ended([MESSAGE], output=None),
        ended([MESSAGE], status=None),
        ended([MESSAGE], status="incomplete"),
        ended([MESSAGE], object="chat.completion"),
        ended([MESSAGE, CALL]),
        ended([CALL, MESSAGE], output=[MESSAGE, CALL]),
        ended([{**MESSAGE, "content": [{**TEXT, "text": "Hi!"}]}]),
        ended([{**MESSAGE, "content": [{**TEXT, "annotations": [{"type": "url_citation"}]}]}]),
        ended([MESSAGE]).replace(b'"output_index":0', b'"output_index":null'),
        ended([MESSAGE], n=2**53),
        ended([MESSAGE]).replace(b'"id":"r"', b'"id":"r","id":"s"'),
        ended([MESSAGE])[:-1],
    ],
)
def test_an_end_that_does_not_hold_what_was_told_is_no_document(stream: bytes) -> None:
    with pytest.raises(NoOtherForm):
        document_of(stream)


@pytest.mark.parametrize(
    "item",
    [
        MESSAGE,
        {**MESSAGE, "id": "msg_other", "status": "completed"},
        {**MESSAGE, "content": [{**TEXT, "logprobs": []}]},
        {**MESSAGE, "phase": None},
    ],
)
def test_what_an_item_is_called_at_the_end_does_not_matter(item: Json) -> None:
    assert same(json.loads(document_of(ended([item]))), response(MESSAGE))


@pytest.mark.parametrize(
    "raw", [b'{"output":[],"n":9007199254740993}', b'{"status":"completed","a":1,"a":2}', b"{"]
)
def test_what_readers_may_read_differently_keeps_its_form(raw: bytes) -> None:
    with pytest.raises(NoOtherForm):
        stream_of(raw)

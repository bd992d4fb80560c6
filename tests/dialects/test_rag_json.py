"""The dialect of a RAG service of any shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.cranked import Given

from proxy.degrading import Speaker
from proxy.dialects.base import Framed, Relay, Versioned
from proxy.dialects.negative import Negative
from proxy.dialects.rag_json import RagJson, rag_json
from proxy.dialects.rag_json.route import Done, Route, Stream, Streaming
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers, Request
from proxy.model.query import Form, Query, Refusal, Sealed

PATHS = ("/ask",)
EVENTS = frozenset({"text/event-stream"})
SSE = RagJson(Route(PATHS, stream=Stream(Streaming.SSE, EVENTS, done=Done(data="end"))))
PLAIN = RagJson(Route(PATHS, stream=Stream(Streaming.PLAIN, frozenset({"text/plain"}))))
NONE = RagJson(Route(PATHS, answer="/data/text"))


def head(media_type: str, status: int = 200, *more: tuple[str, str]) -> Head:
    return Head(status, "", Headers([("Content-Type", media_type), *more]))


@pytest.mark.parametrize(
    ("rag", "head", "form"),
    [
        (SSE, head("application/json"), Form()),
        (SSE, head("text/event-stream; charset=utf-8"), Form(stream=True)),
        (SSE, head("text/event-stream", 404), None),
        (SSE, head("text/plain"), None),
        (SSE, head("application/json", 200, ("Content-Encoding", "gzip")), None),
        (PLAIN, head("text/plain"), Form(stream=True)),
        (NONE, head("text/event-stream"), None),
    ],
)
def test_what_comes_is_known_by_its_type(rag: RagJson, head: Head, form: Form | None) -> None:
    assert rag.arriving(head, Form()) == form


def test_only_what_does_not_tell_its_own_end_needs_http_to_tell_it() -> None:
    framed = RagJson(Route(PATHS, stream=Stream(Streaming.SSE, EVENTS)))
    stream, whole = Form(stream=True), Form()
    assert [rag.framed(stream) for rag in (SSE, PLAIN, framed)] == [False, True, True]
    assert [rag.framed(whole) for rag in (SSE, PLAIN, framed)] == [False, False, False]
    assert isinstance(SSE, Framed)
    assert isinstance(SSE, Versioned)


def entry(rag: RagJson, body: bytes, form: Form, path: str = "/ask") -> Entry:
    return Entry(
        CacheKey("anon", bytes(32)), rag.name, "", head("text/plain"), form, body, 0.0,
        Lifetime(60.0), path=path,
    )  # fmt: skip


def test_an_entry_is_replayed_as_it_came() -> None:
    stored = entry(SSE, b"data: x\n\n", Form(stream=True))
    for wanted in (Form(), Form(stream=True)):
        rendered = SSE.render(stored, wanted)
        assert rendered is not None
        assert (rendered.body, rendered.content_type) == (b"data: x\n\n", "")
        assert SSE.relay(stored.form, wanted) is Relay.VERBATIM
    assert SSE.sieve(Form())(b"abc") == b"abc"


def test_what_an_entry_says_is_its_text() -> None:
    stream = b'data: {"answer":"Ye"}\n\ndata: {"answer":"s."}\n\ndata: end\n\n'
    assert SSE.answer(entry(SSE, stream, Form(stream=True))) == "Yes."
    assert SSE.answer(entry(SSE, b'{"answer":"Yes."}', Form())) == "Yes."
    assert SSE.answer(entry(SSE, b'{"answer":["Yes."]}', Form())) is None
    assert SSE.answer(entry(SSE, b'{"answer":""}', Form())) is None
    assert SSE.answer(entry(SSE, b"{", Form())) is None
    assert SSE.answer(entry(SSE, b'{"answer":"Yes."}', Form(), path="/other")) is None


def test_an_answer_is_sealed_and_an_error_if_it_is_about_the_question() -> None:
    wishes = Wishes(negative=Negative(frozenset({"not_found"}), empty=True))
    rag = RagJson(Route(PATHS, inert=("/trace/id",), sources="/sources"), wishes)
    ok, missing = head("application/json"), head("application/json", 404)

    def error(param: str) -> bytes:
        return json.dumps({"error": {"code": "not_found", "param": param}}).encode()

    empty = rag.seal(ok, b'{"answer":"","sources":[]}', Form())
    assert isinstance(empty, Sealed)
    assert empty.negative
    sealed = rag.seal(missing, error("collection"), Form())
    assert isinstance(sealed, Sealed)
    assert sealed.negative
    refused = rag.seal(missing, error("trace"), Form())
    assert isinstance(refused, Refusal)
    assert refused.why is Why.STATUS


def test_the_head_of_a_plain_text_may_say_what_it_is_built_on() -> None:
    route = Route(PATHS, sources="/sources", stream=Stream(Streaming.PLAIN))
    plain, form = RagJson(route), Form(stream=True)
    untagged = plain.seal(head("text/plain"), b"Yes.", form)
    assert isinstance(untagged, Refusal)
    assert untagged.why is Why.TAGS
    told = head("text/plain", 200, ("Cache-Tag", "doc:1"))
    assert isinstance(plain.seal(told, b"Yes.", form), Sealed)


def said(route: Route) -> Any:
    """What the proxy says at ``route``; None if it cannot."""
    rag = rag_json(route)
    if not isinstance(rag, Speaker):
        return None
    asked = rag.read(Request("POST", "/ask", "", Headers(), Given(b"")), b"{}")
    assert isinstance(asked, Query)
    return json.loads(rag.speak("Sorry.", asked, 0))


def test_the_proxy_can_speak_where_no_stream_can_be_asked_for() -> None:
    assert said(Route(PATHS, answer="/data/text")) == {"data": {"text": "Sorry."}}
    assert said(Route(PATHS, answer="")) == "Sorry."
    assert said(Route(PATHS, answer="/answers/0")) is None
    assert said(Route(PATHS, stream=Stream(Streaming.PLAIN))) is None

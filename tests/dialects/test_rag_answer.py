"""Only what is whole, and tells what it is built on, is kept."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.dialects.rag_json.answer import RagAnswer, tag_of
from proxy.dialects.rag_json.route import Done, Empty, Route, Stream, Streaming
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed

JSON, STREAM = Form(), Form(stream=True)
PATHS = ("/ask",)
PLAIN = Route(PATHS, stream=Stream(Streaming.PLAIN))
DOCUMENT = Route(PATHS, sources="/sources", confidence="/sure")
LAST = Done(pointer="/done", equals=True)


def streamed(kind: Streaming, done: Done, **more: Any) -> Route:
    return Route(
        PATHS, sources="/sources", stream=Stream(kind, done=done, sources="/sources", **more)
    )


SSE = streamed(Streaming.SSE, LAST)
NDJSON = streamed(Streaming.NDJSON, LAST)


def seal(
    route: Route, body: bytes, form: Form = STREAM, *, tagged: bool = False, keep: bool = False
) -> Sealed | Refusal:
    return RagAnswer(route).seal(body, form, tagged=tagged, keep_empty=keep)


def why(route: Route, body: bytes, form: Form = STREAM, **more: Any) -> Why | None:
    verdict = seal(route, body, form, **more)
    return verdict.why if isinstance(verdict, Refusal) else None


def document(**members: Any) -> bytes:
    return json.dumps({"answer": "Yes.", "sources": [{"id": 1}], **members}).encode()


def events(*parts: Any, end: str = "\n\n") -> bytes:
    texts = (part if isinstance(part, str) else json.dumps(part) for part in parts)
    return "".join(f"data: {text}{end}" for text in texts).encode()


def lines_of(*parts: Any) -> bytes:
    return "".join(json.dumps(part) + "\n" for part in parts).encode()


STORY = ({"sources": [{"id": "a"}]}, {"answer": "Ye"}, {"answer": "s."}, {"done": True})


# -- tags -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source_id", "tag"),
    [
        ("a", "doc:a"),
        ("a b, c/ä?#%20", "doc:a b, c/ä?#%20"),
        (17, "doc:17"),
        (0, "doc:0"),
        ("x" * 252, "doc:" + "x" * 252),
        ("x" * 253, "doc:sha256:" + sha256(b"x" * 253).hexdigest()),
        ("a\nb", "doc:sha256:" + sha256(b"a\nb").hexdigest()),
        ("ä\x1f", "doc:sha256:" + sha256("ä\x1f".encode()).hexdigest()),
        ("", None),
        (None, None),
        (True, None),
        (1.5, None),
        ({"id": 1}, None),
    ],
)
def test_every_id_has_one_tag(source_id: object, tag: str | None) -> None:
    assert tag_of(source_id) == tag


def test_an_answer_is_tagged_with_each_of_its_sources_once() -> None:
    sealed = seal(DOCUMENT, document(sources=[{"id": 2}, {"id": "a"}, {"id": 2}]), JSON)
    assert isinstance(sealed, Sealed)
    assert sealed.tags == ("doc:2", "doc:a")


@pytest.mark.parametrize(
    ("sources", "source_id", "tags"),
    [
        ([], "/id", ()),
        ({"id": 1}, "/id", ("doc:1",)),
        (["a", 2], "", ("doc:a", "doc:2")),
        ([{"meta": {"doc": "a"}}], "/meta/doc", ("doc:a",)),
        ([{"meta": {}}], "/meta/doc", None),
        ([{"id": 1}, {"name": "x"}], "/id", None),
        ([None], "", None),
        ({"a": 1}, "/id", None),
        (None, "/id", None),
    ],
)
def test_a_source_without_an_id_is_never_lost(
    sources: Any, source_id: str, tags: tuple[str, ...] | None
) -> None:
    route = Route(PATHS, sources="/sources", source_id=source_id)
    sealed = seal(route, document(sources=sources), JSON)
    if tags is None:
        assert isinstance(sealed, Refusal)
        assert sealed.why is Why.TAGS
    else:
        assert isinstance(sealed, Sealed)
        assert sealed.tags == tags


def test_sources_of_a_stream_are_gathered_from_all_events() -> None:
    body = events({"sources": [1]}, {"answer": "a", "sources": [2]}, {"done": True, "sources": 3})
    route = Route(
        PATHS, sources="/sources", source_id="",
        stream=Stream(Streaming.SSE, done=LAST, sources="/sources"),
    )  # fmt: skip
    sealed = seal(route, body)
    assert isinstance(sealed, Sealed)
    assert sealed.tags == ("doc:1", "doc:2", "doc:3")
    assert why(route, events({"answer": "a"}, {"done": True})) is Why.TAGS


def test_a_plain_text_is_kept_only_if_its_head_says_what_it_is_built_on() -> None:
    told = Route(PATHS, sources="/sources", stream=Stream(Streaming.PLAIN))
    assert why(told, b"Yes.") is Why.TAGS
    assert why(told, b"Yes.", tagged=True) is None
    assert why(told, document(sources=None), JSON, tagged=True) is Why.TAGS
    assert why(PLAIN, b"Yes.") is None


# -- documents ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (document(), None),
        (document(answer={"text": "Yes."}), None),
        (document(answer=0), None),
        (document(answer=None), Why.INCOMPLETE),
        (b'{"sources":[]}', Why.INCOMPLETE),
        (b"", Why.INCOMPLETE),
        (b"12", Why.NOT_UNDERSTOOD),
        (document(error="overloaded"), Why.ERROR_IN_BODY),
        (document(status="error"), Why.ERROR_IN_BODY),
        (document(error=None, status="ok"), None),
        (document(answer=" \n"), Why.EMPTY),
        (document(answer=[]), Why.EMPTY),
    ],
)
def test_a_document_is_kept_if_it_has_an_answer(body: bytes, reason: Why | None) -> None:
    assert why(DOCUMENT, body, JSON) is reason


def test_the_answer_may_be_the_whole_document() -> None:
    route = Route(PATHS, answer="")
    assert why(route, b'"Yes."', JSON) is None
    assert why(route, b'[{"id":1}]', JSON) is None
    assert why(route, b"[]", JSON) is Why.EMPTY


@pytest.mark.parametrize(
    ("sure", "confidence"),
    [(0.5, 0.5), (1, 1.0), (0, 0.0), (2, None), ("1", None), (True, None), (None, None)],
)
def test_how_sure_it_is_is_a_number_from_0_to_1(sure: Any, confidence: float | None) -> None:
    sealed = seal(DOCUMENT, document(sure=sure), JSON)
    assert isinstance(sealed, Sealed)
    assert sealed.confidence == confidence


# -- what says nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("empty", "members", "silent"),
    [
        (Empty(), {"answer": ""}, True),
        (Empty(answer=False), {"answer": ""}, False),
        (Empty(), {"sources": []}, False),
        (Empty(sources=True), {"sources": []}, True),
        (Empty(sources=True), {}, False),
        (Empty(phrases=("I don't know.",)), {"answer": "  i DON'T\nknow"}, True),
        (Empty(phrases=("I don't know",)), {"answer": "I don't know why."}, False),
        (Empty(phrases=("I don't know",)), {"answer": ["I don't know"]}, False),
    ],
)
def test_what_says_nothing_is_as_configured(
    empty: Empty, members: dict[str, Any], silent: bool
) -> None:
    route = Route(PATHS, sources="/sources", empty=empty)
    assert why(route, document(**members), JSON) is (Why.EMPTY if silent else None)
    sealed = seal(route, document(**members), JSON, keep=True)
    assert isinstance(sealed, Sealed)
    assert sealed.negative is silent


def test_a_stream_that_says_nothing_is_empty_too() -> None:
    assert why(SSE, events({"sources": []}, {"answer": ""}, {"done": True})) is Why.EMPTY
    assert why(PLAIN, b" \n") is Why.EMPTY


# -- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (SSE, events(*STORY)),
        (SSE, events(*STORY, end="\r\n\r\n")),
        (NDJSON, lines_of(*STORY)),
        (streamed(Streaming.SSE, Done(data="[DONE]")), events(*STORY[:3], "[DONE]")),
        (
            streamed(Streaming.SSE, Done(event="end")),
            events(*STORY[:3]) + b"event: end\ndata: {}\n\n",
        ),
        (
            streamed(Streaming.SSE, Done(event="end")),
            events(*STORY[:3]) + b"event: end\ndata: bye\n\n",
        ),
        (streamed(Streaming.SSE, Done(pointer="/reason")), events(*STORY[:3], {"reason": "stop"})),
        (streamed(Streaming.NDJSON, Done(data="[DONE]")), lines_of(*STORY[:3]) + b"[DONE]\n"),
        (
            streamed(Streaming.SSE, Done(data="[DONE]"), text=True),
            events({"sources": [{"id": "a"}]}, "Ye", "s.", "[DONE]"),
        ),
    ],
)
def test_no_proper_prefix_of_a_stream_is_whole(route: Route, body: bytes) -> None:
    sealed = seal(route, body)
    assert isinstance(sealed, Sealed)
    assert sealed.body == body
    assert sealed.tags == ("doc:a",)
    assert seal(route, body + b"\n") == Sealed(STREAM, body + b"\n", tags=("doc:a",))
    assert why(route, body + b'data: {"answer":"more"}\n\n') is not None
    meant = body.rstrip(b"\n") if route.stream.kind is Streaming.NDJSON else body
    for end in range(len(meant)):
        assert why(route, body[:end]) is not None, body[:end]


TEXT = st.text(max_size=5)
SOURCES = st.lists(st.fixed_dictionaries({"id": st.text(min_size=1, max_size=3)}), max_size=2)
PIECES = st.lists(st.fixed_dictionaries({"answer": TEXT}, optional={"sources": SOURCES}))


@given(pieces=PIECES, sources=SOURCES, kind=st.sampled_from(["sse", "ndjson", "document"]))
@unhurried
def test_no_proper_prefix_of_any_answer_is_sealed(
    pieces: list[dict[str, Any]], sources: Any, kind: str
) -> None:
    story = [{"sources": sources, "answer": "x"}, *pieces, {"done": True}]
    if kind == "document":
        route, form, body = DOCUMENT, JSON, document(sources=sources, answer=story)
    else:
        made = events(*story) if kind == "sse" else lines_of(*story).rstrip(b"\n")
        route, form, body = SSE if kind == "sse" else NDJSON, STREAM, made
    assert isinstance(seal(route, body, form), Sealed)
    for end in range(len(body)):
        assert isinstance(seal(route, body[:end], form), Refusal)


@pytest.mark.parametrize(
    ("route", "body", "reason"),
    [
        (SSE, events({"error": "no"}, {"done": True}), Why.ERROR_IN_BODY),
        (SSE, events({"type": "error"}, {"done": True}), Why.ERROR_IN_BODY),
        (SSE, b"event: error\ndata: no\n\n" + events({"done": True}), Why.ERROR_IN_BODY),
        (SSE, events({"done": True, "error": "late"}), Why.ERROR_IN_BODY),
        (SSE, events("Ye", {"done": True}), Why.INCOMPLETE),
        (SSE, events(*STORY[:3], {"done": 1}), Why.INCOMPLETE),
        (SSE, events(*STORY[:3], {"done": "true"}), Why.INCOMPLETE),
        (SSE, events({"sources": []}, {"done": True}), Why.INCOMPLETE),
        (SSE, events(*STORY[:2], {"sources": [{}]}, {"done": True}), Why.TAGS),
        (NDJSON, lines_of(*STORY[:3]) + b'{"done":', Why.INCOMPLETE),
        (NDJSON, lines_of(*STORY) + lines_of(STORY[1]), Why.INCOMPLETE),
        (NDJSON, lines_of("text", *STORY), Why.INCOMPLETE),
    ],
)
def test_a_stream_that_is_not_whole_or_fails_is_not_kept(
    route: Route, body: bytes, reason: Why
) -> None:
    assert why(route, body) is reason


def test_signs_of_life_say_nothing() -> None:
    assert why(SSE, b": ping\n\ndata: \n\n" + events(*STORY)) is None
    assert why(NDJSON, b"\n \n" + lines_of(*STORY)) is None


def test_where_http_tells_the_end_all_of_it_must_be_whole_events() -> None:
    route = streamed(Streaming.SSE, Done())
    assert why(route, events(*STORY[:3])) is None
    assert why(route, events(*STORY[:3])[:-1]) is Why.INCOMPLETE
    assert why(streamed(Streaming.NDJSON, Done()), lines_of(*STORY[:3]).rstrip()) is None


def test_an_event_may_be_a_piece_of_text_in_quotation_marks() -> None:
    route = Route(PATHS, answer="", stream=Stream(Streaming.SSE, answer="", done=Done(data="end")))
    heard = RagAnswer(route).hear(events('"Ye"', '"s."', "end"), STREAM)
    assert not isinstance(heard, Refusal)
    assert heard.text == "Yes."


def test_what_is_about_the_answer_is_no_part_of_its_text() -> None:
    done = Done(pointer="/done", equals=True)
    route = Route(
        PATHS, sources="/sources", confidence="/sure",
        stream=Stream(Streaming.SSE, text=True, sources="/sources", done=done),
    )  # fmt: skip
    body = events({"sources": []}, "Ye", {"sure": 0.5}, "s", "[1]", {"done": True})
    heard = RagAnswer(route).hear(body, STREAM)
    assert not isinstance(heard, Refusal)
    assert (heard.text, heard.confidence) == ("Yes[1]", 0.5)
    assert why(route, events({"sources": []}, {"done": True})) is Why.INCOMPLETE


def test_a_text_that_is_not_utf8_is_kept_and_not_read() -> None:
    for route, body in (
        (PLAIN, b"\xff"),
        (
            Route(PATHS, stream=Stream(Streaming.SSE, text=True, done=Done(data="end"))),
            b"data: \xff\n\ndata: end\n\n",
        ),
    ):
        heard = RagAnswer(route).hear(body, STREAM)
        assert not isinstance(heard, Refusal)
        assert heard.text is None
        assert why(route, body) is None

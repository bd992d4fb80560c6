"""The settings of RAG services, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.app.knowledge import Knowledge
from proxy.app.spoken import dialects, rag_route
from proxy.config.settings import Settings
from proxy.dialects.rag_json.route import Done, Streaming

SSE: dict[str, Any] = {"kind": "sse", "done": {"data": "[DONE]"}}


def made(**route: Any) -> Settings:
    return Settings.model_validate({"rag": [{"paths": ["/ask"], **route}]})


def complaint(**route: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        made(**route)
    return "\n".join(error["msg"] for error in refused.value.errors())


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ({"paths": []}, "at least 1 item"),
        ({"paths": ["ask"]}, "pattern"),
        ({"methods": ["DELETE"]}, "'GET', 'POST' or 'PUT'"),
        ({"question": "q"}, 'must begin with "/"'),
        ({"question": ""}, "must lead to a member"),
        ({"inert": [""]}, "must lead to a member"),
        ({"inert": ["/a~b"]}, "~0"),
        ({"source_id": "id"}, 'must begin with "/"'),
        ({"stream": {"kind": "sse"}}, "say what the last event is known by"),
        ({"stream": {"kind": "ndjson"}}, "say what the last event is known by"),
        ({"stream": {"answer": "/x"}}, "`answer` needs a `kind`"),
        ({"stream": {"done": {"data": "x"}}}, "`done` needs a `kind`"),
        ({"stream": {"kind": "plain", "done": {"data": "x"}}}, "only HTTP says"),
        ({"stream": {"kind": "plain", "answer": "/x"}}, "plain text has none"),
        ({"stream": {"kind": "ndjson", "done": {"event": "x"}}}, "lines have no names"),
        ({"stream": {"kind": "ndjson", "text": True, "done": {"data": "x"}}}, "lines are JSON"),
        ({"stream": {**SSE, "text": True, "answer": "/x"}}, "all of an event is the answer"),
        ({"stream": {**SSE, "media_types": ["text"]}}, "must be a media type"),
        ({"stream": {**SSE, "media_types": ["text/html; charset=utf-8"]}}, "must be a media type"),
        ({"stream": {**SSE, "sources": "/s"}}, "`sources` of a document must be given"),
        ({"stream": {"kind": "sse", "done": {"equals": 1}}}, "`equals` needs a `pointer`"),
        (
            {"stream": {"kind": "sse", "done": {"data": "x", "framing": True}}},
            "one of `data` and `framing`",
        ),
        ({"empty": {"sources": True}}, "`empty.sources` needs `sources`"),
        ({"empty": {"phrases": [" "]}}, "more than blanks"),
        ({"version": {"pointer": "/v"}}, "needs a `file` or a `url`"),
        ({"version": {"url": "ftp://h"}}, "must be a URL"),
        ({"version": {"url": "http://user:pw@h/v"}}, "user name or password"),
        ({"version": {"file": "/no/such/file"}}, "readable file"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(route: dict[str, Any], told: str) -> None:
    assert told in complaint(**route)


def test_a_version_has_one_place(tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.write_text("1")
    both = {"file": str(file), "url": "http://127.0.0.1/v"}
    assert "cannot both be given" in complaint(version=both)
    assert made(version={"file": str(file)}).rag[0].version.is_given


def test_settings_written_out_can_be_read_again() -> None:
    for route in ({}, {"sources": "/s", "stream": SSE}, {"stream": {"kind": "plain"}}):
        settings = made(**route)
        again = Settings.model_validate({"rag": [each.model_dump() for each in settings.rag]})
        assert again.rag == settings.rag


def test_what_an_event_does_not_say_otherwise_is_as_in_a_document() -> None:
    settings = made(answer="/a", sources="/s", stream=SSE)
    route = rag_route(settings, settings.rag[0])
    assert (route.stream.answer, route.stream.sources) == ("/a", "/s")
    assert route.confidence == "/confidence"
    own = made(sources="/s", stream={**SSE, "answer": "", "sources": "/e"}, confidence="/sure")
    route = rag_route(own, own.rag[0])
    assert (route.stream.answer, route.stream.sources, route.confidence) == ("", "/e", "/sure")


def test_the_end_is_told_as_configured() -> None:
    for given, done in (
        ({"data": "[DONE]"}, Done(data="[DONE]")),
        ({"event": "end"}, Done(event="end")),
        ({"pointer": "/more", "equals": False}, Done(pointer="/more", equals=False)),
        ({"pointer": "/n", "equals": 1}, Done(pointer="/n", equals=1)),
        ({"pointer": "/n", "equals": "1"}, Done(pointer="/n", equals="1")),
        ({"framing": True}, Done()),
    ):
        settings = made(stream={"kind": "ndjson" if "event" not in given else "sse", "done": given})
        told = rag_route(settings, settings.rag[0]).stream.done
        assert told == done
        assert type(told.equals) is type(done.equals)


def test_a_stream_calls_itself_what_is_usual_unless_told_otherwise() -> None:
    usual = made(stream={"kind": "plain"})
    assert "text/plain" in rag_route(usual, usual.rag[0]).stream.media_types
    own = made(stream={"kind": "plain", "media_types": ["Text/X-Answer"]})
    route = rag_route(own, own.rag[0])
    assert route.stream.media_types == {"text/x-answer"}
    assert route.stream.kind is Streaming.PLAIN


def test_routes_of_ones_own_come_before_all_other_protocols() -> None:
    settings = made(paths=["/v1/chat/completions"])
    matching = (
        each for each in dialects(settings) if each.matches("POST", settings.rag[0].paths[0])
    )
    assert next(matching).name == "rag_json"


def test_routes_with_equal_versions_share_one() -> None:
    version = {"url": "http://127.0.0.1/v"}
    settings = Settings.model_validate(
        {
            "rag": [
                {"paths": ["/a"], "version": version},
                {"paths": ["/b"]},
                {"paths": ["/c"], "version": version},
            ]
        }
    )
    knowledge = Knowledge(settings)
    one, none, other = (knowledge.version_of(each) for each in settings.rag)
    assert one is other
    assert (one(), none()) == (None, "")

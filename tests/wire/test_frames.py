"""Server-sent events are cut as browsers cut them, and no byte is lost."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.wire.frames import Event, Splitter, frame, is_last, parse, silent, split

MARK = b"\xef\xbb\xbf"
LINE_ENDS = [b"\n", b"\r", b"\r\n"]
PARTS = [*LINE_ENDS, b"data: x", b"data", b":", b" ", b"event", b"id: 1", b"\xc3\xa9", MARK]
soup = st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join)


def as_a_browser_does(stream: bytes) -> list[Event]:
    """The events of ``stream``, line by line, with nothing in mind but the standard."""
    lines = stream.removeprefix(MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events: list[Event] = []
    name = b""
    data: list[bytes] = []
    for line in lines[:-1]:  # what follows the last line end is no line yet
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            if data:
                events.append(Event(name, b"\n".join(data)))
            name = b""
            data.clear()
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return events


def pieces_of(stream: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted(min(place, len(stream)) for place in places)
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def told(frames: list[bytes]) -> list[Event]:
    return [event for event in map(parse, frames) if event]


@unhurried
@given(soup)
@example(b"data: a\r\n\r\ndata: b\n\n\n\ndata: c\r\r")
@example(b"data: a\r\ndata: b\r\n\r\n")
@example(MARK + b"data: x\n\n" + MARK + b"data: y\n\n")
@example(b"data\n\ndata:\n\ndata: \n\n")
def test_a_whole_stream_holds_the_events_a_browser_would_tell_of(stream: bytes) -> None:
    frames, rest = split(stream)
    assert told(frames) == as_a_browser_does(stream)
    assert b"".join(frames) + rest == stream


@unhurried
@given(soup, st.lists(st.integers(0, 99), max_size=8))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [9, 10, 11, 12])
@example(MARK + b"data: a\n\n", [1, 2])
def test_wherever_a_stream_is_cut_the_events_are_the_same(stream: bytes, places: list[int]) -> None:
    splitter = Splitter()
    frames = [found for piece in pieces_of(stream, places) for found in splitter.feed(piece)]
    assert told(frames) == as_a_browser_does(stream)
    assert b"".join(frames) + splitter.rest == stream
    assert splitter.rest == split(stream)[1]


def test_a_crlf_split_between_two_pieces_holds_nothing_back() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: a\r\n\r") == [b"data: a\r\n\r"]
    assert splitter.feed(b"") == []
    assert splitter.feed(b"\n") == [b"\n"]
    assert splitter.feed(b"data: b\r\r") == [b"data: b\r\r"]
    assert splitter.feed(b"data: c\r\n\r\n") == [b"data: c\r\n\r\n"]
    assert splitter.feed(b"\ndata: d\n\n") == [b"\ndata: d\n\n"]


def test_a_frame_that_outgrows_the_limit_ends_the_cutting_and_loses_nothing() -> None:
    splitter = Splitter(limit=20)
    assert splitter.feed(b"data: 1\n\ndata: 2\n\n") == [b"data: 1\n\n", b"data: 2\n\n"]
    assert (splitter.feed(b"data: " + b"x" * 14), splitter.overlong) == ([], False)
    assert (splitter.feed(b"x"), splitter.overlong) == ([b"data: " + b"x" * 15], True)
    assert splitter.feed(b"y\n\ndata: 3\n\n") == [b"y\n\ndata: 3\n\n"]
    assert splitter.feed(b"") == []
    assert splitter.rest == b""


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (b"data: {}\n\n", Event(b"", b"{}")),
        (b"data:{}\r\n\r\n", Event(b"", b"{}")),
        (b"data:  {}\n\n", Event(b"", b" {}")),
        (b"event: error\ndata: {}\n\n", Event(b"error", b"{}")),
        (b"data: a\revent: b\n\n", Event(b"b", b"a")),
        (b"data: [\ndata\ndata:1]\nid: 3\nretry: 9\n\n", Event(b"", b"[\n\n1]")),
        (b": ping\n\n", None),
        (b"event: ping\n\n", None),
        (b"database: x\n\n", None),
        (b"\n\n", None),
    ],
)
def test_a_frame_says_what_its_fields_say(raw: bytes, event: Event | None) -> None:
    assert parse(raw) == event


@pytest.mark.parametrize(
    ("raw", "quiet"),
    [(b"", True), (b"\n: x\r\n\n: unended", True), (b"id: 1\n\n", False), (b"\n\ndat", False)],
)
def test_only_comments_and_empty_lines_are_silent(raw: bytes, quiet: bool) -> None:
    assert silent(raw) is quiet


def test_an_event_written_is_the_event_read() -> None:
    assert parse(frame(b"{}")) == Event(b"", b"{}")
    assert parse(frame(b"{}", b"message_stop")) == Event(b"message_stop", b"{}")


@pytest.mark.parametrize(
    ("ending", "after", "last"),
    [
        (b"data: a\n\n", b"", True),
        (b"data: a\r\n\r\n", b": bye\n\n: by", True),
        (b"data: a\r\r", b"\n", True),
        (b"data: a\r\n\r", b"", False),  # half of an empty line
        (b"data: a\n", b"", False),
        (b"data: a\n\n", b"data: b\n\n", False),
    ],
)
def test_a_frame_is_the_last_if_its_end_is_there_and_nothing_is_said_after_it(
    ending: bytes, after: bytes, last: bool
) -> None:
    assert is_last(ending, after) is last

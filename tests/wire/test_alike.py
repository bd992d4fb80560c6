"""Streams less the events that are like the one before."""

from __future__ import annotations

import pytest

from proxy.wire.alike import Thinning

THIN = Thinning(b"content", b"note")


def events(*says: bytes) -> bytes:
    return b"".join(b"data: %b\n\n" % each for each in says)


def content(text: bytes) -> bytes:
    return b'{"index":0,"content":"%b","finish":null}' % text


def test_of_events_that_differ_in_a_text_only_the_first_is_left() -> None:
    stream = events(content(b"a"), content(b"bc"), content("d\u00e9".encode()), b"[DONE]")
    assert THIN(stream) == events(content(b"a"), b"[DONE]")


def test_several_texts_may_differ() -> None:
    says = [b'{"content": "%b","note":"%b","b":1}' % each for each in ((b"a", b"x"), (b"b", b"yz"))]
    assert THIN(events(*says)) == events(says[0])


def test_an_event_may_follow_without_its_end() -> None:
    stream = events(content(b"a"), content(b"b")) + b"data: "
    assert THIN(stream) == events(content(b"a")) + b"data: "
    assert THIN(b"") == b""


def test_after_one_that_differs_it_begins_anew() -> None:
    other = content(b"c").replace(b"null", b"1")
    stream = events(content(b"a"), content(b"b"), other, content(b"d"), content(b"e"))
    assert THIN(stream) == events(content(b"a"), other, content(b"d"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (content(b""), content(b"b")),  # it may matter that something is said
        (content(b"a"), content(b"b").replace(b"0", b"1")),
        (content(b"a"), content(b"b") + b" "),
        (content(b"a"), content(b"b")[:-1]),
        (content(b"a"), content(b'b"')),
        (content(b"a"), content(b"b\\n")),
        (content(b"a"), content(b"b\t")),
        (content(b"a"), content(b"b\n")),
        (b'{"text":"a"}', b'{"text":"b"}'),
        (b'{"contents":"a"}', b'{"contents":"b"}'),
        (b'{"content":1}', b'{"content":2}'),
        (b'{"content":"a"}\nid: 1', b'{"content":"b"}\nid: 1'),
        (b'{"content":"a","note":"b"}', b'{"content":"c","note":"d'),
    ],
)
def test_what_differs_otherwise_stays(first: bytes, second: bytes) -> None:
    assert THIN(events(first, second)) == events(first, second)


@pytest.mark.parametrize(
    "stream",
    [
        b"data: {}\r\n\r\n" + events(content(b"a"), content(b"b")),
        events(content(b"a"), content(b"\xff")),
        events(content(b"a"), content(b"\xed\xa0\x80")),
        b"event: x\n" + events(content(b"a")) + b"event: x\n" + events(content(b"b")),
    ],
    ids=["carriage returns", "no UTF-8", "a surrogate", "events with names"],
)
def test_what_is_not_plain_stays_as_it_is(stream: bytes) -> None:
    assert THIN(stream) == stream


def test_who_finds_nothing_alike_for_long_does_not_look_further() -> None:
    apart = [b'{"index":%d,"content":"a"}' % number for number in range(64)]
    alike = [content(b"a"), content(b"b")]
    assert THIN(events(*apart[1:], *alike)) == events(*apart[1:], alike[0])
    assert THIN(events(*apart, *alike)) == events(*apart, *alike)

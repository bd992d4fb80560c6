"""Chunks come off however they are packed; what two readers could take differently is refused."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.http import HttpResponseParser
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import example, given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.wire.chunked import Chunked

WHOLE, WRONG, COMING = "whole", "wrong", "coming"


def heard(pieces: list[bytes]) -> tuple[bytes, str, bool]:
    """The content of a body that comes in these pieces, how it stands, and if more lies behind."""
    reader, content, behind = Chunked(), b"", False
    for piece in pieces:
        if reader.over:
            behind = behind or bool(piece)
        else:
            content += reader.feed(piece)
    standing = WRONG if reader.wrong else WHOLE if reader.over else COMING
    return content, standing, standing == WHOLE and (behind or reader.surplus)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted(place % (len(stream) + 1) for place in places)
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


class _Protocol:
    """All that aiohttp's reader of bodies wants of a connection."""

    _reading_paused = False

    def resume_reading(self, *, resume_parser: bool) -> None:
        pass


def as_aiohttp_does(stream: bytes) -> tuple[bytes, str]:
    """The content of ``stream``, and how it stands, as aiohttp has it."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpResponseParser(_Protocol(), loop, 1 << 20, read_until_eof=True)
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ((_, body),), _, _ = parser.feed_data(head)
        standing = COMING
        for byte in bytewise(stream):
            if body.is_eof():
                break
            try:
                parser.feed_data(byte)
            except HttpProcessingError:
                standing = WRONG
                break
        return b"".join(body._buffer), WHOLE if body.is_eof() else standing
    finally:
        loop.close()


def chunk(content: bytes, size: str = "", extension: bytes = b"") -> bytes:
    said = (size or f"{len(content):x}").encode()
    return b"%b%b\r\n%b\r\n" % (said, extension, content)


extensions = st.sampled_from([b"", b"", b"", b";a", b";a=b", b';a="b c";d=e', b" ;a=b"])
sizes = st.sampled_from(["{:x}", "{:X}", "{:04x}", "{:x}  "])
contents = st.one_of(
    st.binary(min_size=1, max_size=40), st.sampled_from([b"\r\n", b"0\r\n\r\n", b"x" * 3000])
)
chunks = st.lists(st.tuples(contents, sizes, extensions), max_size=6)
trailers = st.lists(st.sampled_from([b"A: b\r\n", b"C:\r\n", b"Server-Timing: x;dur=1\r\n"]))
PARTS = [
    b"\r", b"\n", b"\r\n", b"0", b"1", b"a", b"Fe", b"g", b";", b" ", b"\t", b"x", b":", b"A: b",
    b"\0", b"0\r\n\r\n", b"1\r\na\r\n", b"3\r\nabc\r\n", b";a=b", b"+", b"-", b"_", b"\xe9",
]  # fmt: skip
soups = st.lists(st.sampled_from(PARTS), max_size=14).map(b"".join)
places = st.lists(st.integers(0, 1 << 16), max_size=8)


@unhurried
@given(chunks, trailers, extensions, st.sampled_from([b"", b"more"]), places)
def test_a_body_is_the_same_however_it_is_packed_and_as_aiohttp_has_it(
    said: list[tuple[bytes, str, bytes]],
    trailer: list[bytes],
    extension: bytes,
    behind: bytes,
    where: list[int],
) -> None:
    content = b"".join(each for each, _, _ in said)
    stream = b"".join(
        chunk(each, size.format(len(each)), with_) for each, size, with_ in said
    ) + b"0%b\r\n%b\r\n" % (extension, b"".join(trailer))
    expected = (content, WHOLE, bool(behind))
    assert heard([stream + behind]) == expected
    assert heard(cut(stream + behind, where)) == expected
    assert heard(bytewise(stream + behind)) == expected
    assert as_aiohttp_does(stream) == (content, WHOLE)


@unhurried
@given(soups, places)
@example(b"1\r\na\r\n0\r\n\r\n1", [])
@example(b"1\r\na\r\n0\r\nA: b\r\n\r\n\r\n", [3])
def test_what_becomes_of_any_bytes_does_not_depend_on_how_they_are_packed(
    stream: bytes, where: list[int]
) -> None:
    expected = heard([stream])
    assert heard(cut(stream, where)) == expected
    assert heard(bytewise(stream)) == expected


@unhurried
@given(soups)
def test_nothing_is_taken_for_a_body_that_aiohttp_would_read_otherwise(stream: bytes) -> None:
    content, standing, _ = heard([stream])
    if standing == WHOLE:
        assert as_aiohttp_does(stream) == (content, WHOLE)


@unhurried
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"data: word\n\n", b"data: {}\n\n", b"x"]),
            st.sampled_from([b"data: a\r\n\r\n", b"a\r", b"\r\n", b"\r\n1\r\na"]),
        ),
        min_size=10,
        max_size=60,
    ),
    st.sampled_from(
        [b"0\r\n\r\n", b"0\r\nA: b\r\n\r\nmore", b"", b"5", b"1\r\nab", b"g\r\n", b"\n"]
    ),
    places,
)
def test_many_chunks_at_once_are_what_they_are_one_by_one(
    contents: list[bytes], last: bytes, where: list[int]
) -> None:
    stream = b"".join(map(chunk, contents)) + last
    expected = heard(bytewise(stream))
    assert expected[0].startswith(b"".join(contents))
    assert heard(cut(stream, [1, *where])) == expected
    assert heard([chunk(contents[0]), stream[len(chunk(contents[0])) :]]) == expected


@pytest.mark.parametrize(
    "stream",
    [
        b"3\r\nhel\r\n2;a\r\nlo\r\n0\r\nA: b\r\n\r\nmore",
        b"2\r\nab\r\n0000 \r\n\r\n",
        b"3\r\nabc\r\n2\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_a_body_in_three_pieces_is_the_same_wherever_it_is_cut(stream: bytes) -> None:
    expected = heard([stream])
    for first in range(len(stream)):
        for second in range(first, len(stream)):
            assert heard(cut(stream, [first, second])) == expected


@unhurried
@given(chunks, st.integers(0, 1 << 16))
def test_a_body_that_is_cut_is_not_whole_and_nothing_of_it_is_held_back(
    said: list[tuple[bytes, str, bytes]], where: int
) -> None:
    stream = b"".join(chunk(each) for each, _, _ in said) + b"0\r\n\r\n"
    begun = stream[: where % len(stream)]
    content, standing, _ = heard([begun])
    assert standing == COMING
    assert content == as_aiohttp_does(begun)[0]


@pytest.mark.parametrize(
    "malformed",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"\r\n",
        b";a\r\n",
        b"\xd9\xa1\r\n",
        b"1\nx",
        b"1;a\nx",
        b"1;a\rx",
        b"1;a\0\r\n",
        b"1 a\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1\r\na\rx",
        b"1\r\na1\r\n",
        b"1" * 17 + b"\r\n",
        b"1;" + b"a" * 2000,
        b"1;" + b"a" * 2000 + b"\r\n",
        b"0\r\nA\r\n",
        b"0\r\nA : b\r\n",
        b"0\r\n A: b\r\n",
        b"0\r\nA: b\n",
        b"0\r\nA: \0",
        b"0\r\n\n",
        b"0\r\n:",
        b"0\r\n" + b"A: b\r\n" * 5000,
        b"0\r\nA: " + b"b" * 20_000,
        b"0\r\nA: " + b"b" * 20_000 + b"\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", b"2\r\nok\r\n"])
def test_a_malformed_one_is_refused_as_soon_as_it_shows(before: bytes, malformed: bytes) -> None:
    stream = before + malformed
    assert heard([stream])[1] == WRONG
    assert heard([stream])[0] in {b"", b"a", b"ok", b"oka"}
    assert heard(bytewise(stream)) == heard([stream])
    assert heard([stream + b"\r\n0\r\n\r\n"])[1] == WRONG


def test_a_size_says_how_much_and_no_more_is_waited_for() -> None:
    reader = Chunked()
    assert reader.feed(b"ffffffffffffffff\r\nabc") == b"abc"
    assert reader.feed(b"def") == b"def"
    assert not reader.over


@pytest.mark.parametrize(("length", "expected"), [(1024, COMING), (1025, WRONG)])
def test_extensions_have_a_bound_to_the_byte(length: int, expected: str) -> None:
    line = b"1;" + b"a" * (length - 2)
    assert heard([line + b"\r\n"])[1] == expected
    assert heard(bytewise(line + b"\r\n"))[1] == expected


def test_trailers_have_a_bound_to_the_byte() -> None:
    for size, expected in ((16 * 1024, WHOLE), (16 * 1024 + 1, WRONG)):
        stream = b"0\r\nA:" + b"b" * (size - 2) + b"\r\n\r\n"
        assert heard([stream])[1] == expected
        assert heard(cut(stream, [500, 16_000, 16_388, 16_389, 16_390]))[1] == expected

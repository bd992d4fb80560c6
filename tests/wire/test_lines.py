"""Lines of JSON are cut where they end, and no byte is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.wire.lines import line, silent, split


@unhurried
@given(st.lists(st.sampled_from([b"\n", b"\r", b"{}", b'"\\n"', b" ", b"\xc3\xa9"])).map(b"".join))
def test_lines_joined_are_the_stream_again(stream: bytes) -> None:
    found, rest = split(stream)
    assert b"".join(found) + rest == stream
    assert all(each.count(b"\n") == 1 and each.endswith(b"\n") for each in found)
    assert b"\n" not in rest


def test_a_line_ends_with_a_line_feed_and_with_nothing_else() -> None:
    assert split(b'{"a":"\x0b\x0c"}\r\n{"b":\r1}\n') == (
        [b'{"a":"\x0b\x0c"}\r\n', b'{"b":\r1}\n'],
        b"",
    )
    assert split(b'{}\n{"half') == ([b"{}\n"], b'{"half')
    assert split(b"") == ([], b"")


def test_a_value_is_made_a_line() -> None:
    assert split(line(b"{}") + line(b"1")) == ([b"{}\n", b"1\n"], b"")


@pytest.mark.parametrize(
    ("raw", "nothing"), [(b"", True), (b"\n", True), (b" \r\n\t", True), (b" 0\n", False)]
)
def test_white_space_says_nothing(raw: bytes, nothing: bool) -> None:
    assert silent(raw) is nothing

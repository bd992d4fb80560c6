"""A body ends where its length says, or with its connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.wire.chunked import Chunked
from proxy.wire.framing import Counted, Framing, UntilClose


@unhurried
@given(st.lists(st.binary(max_size=5)), st.integers(0, 12))
def test_a_counted_body_is_so_many_bytes_however_they_come(
    pieces: list[bytes], length: int
) -> None:
    framing, content, behind = Counted(length), b"", b""
    for piece in pieces:
        if framing.over:
            behind += piece
        else:
            content += framing.feed(piece)
    whole = b"".join(pieces)
    assert content == whole[:length]
    assert framing.over is (len(whole) >= length)
    assert (framing.surplus or bool(behind)) is (len(whole) > length)
    assert not framing.wrong


def test_a_body_of_no_bytes_is_over_at_once() -> None:
    assert Counted(0).over
    assert not Counted(1).over


def test_one_that_ends_with_its_connection_is_all_that_comes() -> None:
    framing = UntilClose()
    assert framing.feed(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert not framing.over


def test_only_that_one_is_whole_when_the_connection_ends() -> None:
    each: list[Framing] = [Counted(1), Chunked(), UntilClose()]
    assert [framing.ends_with_connection for framing in each] == [False, False, True]

"""Parts of a stored response."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rfc9111.ranges import UNSATISFIABLE, Part, multipart, parts


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-1", [(0, 2)]),
        ("bytes=5-", [(5, 11)]),
        ("bytes=-1", [(10, 11)]),
        ("bytes=-100", [(0, 11)]),
        ("bytes=0-100", [(0, 11)]),
        ("BYTES = 0-1", [(0, 2)]),
        ("bytes=0-0, 2-2", [(0, 1), (2, 3)]),
        ("bytes=2-2,,0-0", [(2, 3), (0, 1)]),
        ("bytes=0-0, 50-60", [(0, 1)]),
    ],
)
def test_the_parts_that_are_asked_for(value: str, expected: list[tuple[int, int]]) -> None:
    assert parts(value, 11) == tuple(Part(*each) for each in expected)


@pytest.mark.parametrize("value", ["bytes=11-", "bytes=-0", "bytes=100-200"])
def test_what_is_beyond_the_end_is_not_there(value: str) -> None:
    assert parts(value, 11) == UNSATISFIABLE


@pytest.mark.parametrize(
    "value",
    [
        "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=2-1", "lines=1-2", "bytes=0-1;x",
        "bytes=0-10,0-10",  # more than there is
        "bytes=" + ",".join(["0-0"] * 17), "bytes=\u0661-\u0662",
    ],
)  # fmt: skip
def test_what_makes_no_sense_or_asks_for_too_much_is_ignored(value: str) -> None:
    assert parts(value, 11) is None


@given(st.text(max_size=30), st.integers(0, 50))
def test_no_text_makes_it_fail_or_reach_beyond_the_body(text: str, size: int) -> None:
    for part in parts(f"bytes={text}", size) or ():
        assert 0 <= part.start < part.end <= size


def test_several_parts_come_as_one_body() -> None:
    body = multipart(b"0123456789", (Part(0, 2), Part(5, 6)), "text/plain", "B")
    assert body == (
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/10\r\n\r\n5"
        b"\r\n--B--\r\n"
    )
    assert b"Content-Type" not in multipart(b"0", (Part(0, 1),), "", "B")

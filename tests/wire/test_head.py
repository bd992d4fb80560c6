"""Heads of responses as bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.errors import ProtocolViolation
from proxy.model.headers import Beginning
from proxy.model.message import Head, Headers
from proxy.wire.head import write_head, write_switch

DATE = "Date: now\r\n"


def head(*pairs: tuple[str, str], status: int = 200, reason: str = "OK") -> Head:
    return Head(status, reason, Headers(pairs))


def test_a_head_is_its_fields_then_the_framing_then_the_date() -> None:
    written = write_head(head(("x-A", "1"), ("X-a", "")), "Content-Length: 3\r\n", DATE)
    assert written == (
        b"HTTP/1.1 200 OK\r\nx-A: 1\r\nX-a: \r\nContent-Length: 3\r\nDate: now\r\n\r\n"
    )


def test_a_head_without_fields_or_reason_is_well_formed() -> None:
    assert write_head(head(reason=""), "", DATE) == b"HTTP/1.1 200 \r\nDate: now\r\n\r\n"


def test_a_date_is_not_added_to_one_that_is_there() -> None:
    assert write_head(head(("DATE", "then")), "", DATE) == b"HTTP/1.1 200 OK\r\nDATE: then\r\n\r\n"


@pytest.mark.parametrize(
    "name", ["content-length", "Transfer-Encoding", "CONNECTION", "Keep-Alive"]
)
def test_framing_is_nobody_elses_to_say(name: str) -> None:
    assert write_head(head((name, "x")), "", "") == b"HTTP/1.1 200 OK\r\n\r\n"


def test_a_switch_keeps_its_connection_fields() -> None:
    switch = head(("Connection", "Upgrade"), ("Upgrade", "x"), status=101, reason="Switching")
    assert write_switch(switch) == (
        b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    )


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\n", "ä", "a\0", "(a)", "a,b"])
def test_a_name_that_is_no_token_cannot_be_sent(name: str) -> None:
    for write in (lambda it: write_head(it, "", ""), write_switch):
        with pytest.raises(ProtocolViolation, match="no token"):
            write(head((name, "x")))


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 1000, -200])
def test_a_status_that_is_not_final_cannot_be_sent(status: int) -> None:
    with pytest.raises(ProtocolViolation, match="cannot have the status"):
        write_head(head(status=status), "", "")


@given(st.text(), st.text())
def test_whatever_a_field_holds_it_stays_one_line(value: str, reason: str) -> None:
    try:
        written = write_head(head(("X-A", value), reason=reason), "A: b\r\n", DATE)
    except ProtocolViolation:
        return
    lines = written.split(b"\r\n")
    assert len(lines) == 6
    assert lines[1] == b"X-A: " + value.encode("utf-8", "surrogateescape")
    assert not any(stop in line for line in lines for stop in (b"\r", b"\n", b"\0"))


@given(st.binary().filter(lambda it: not set(it) & set(b"\r\n\0")))
def test_every_byte_that_may_be_in_a_value_round_trips(value: bytes) -> None:
    written = write_head(head(("X-A", value.decode("utf-8", "surrogateescape"))), "", "")
    assert written == b"HTTP/1.1 200 OK\r\nX-A: " + value + b"\r\n\r\n"


PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["A", "date", "Content-Length", "x y", "b"]),
        st.text(alphabet="ab\r\n\0\ud800ä", max_size=2),
    ),
    max_size=3,
)


@given(PAIRS, PAIRS, st.sampled_from(["OK", "", "O\nK"]))
def test_a_head_that_begins_as_another_is_written_as_if_it_were_the_first(
    first: list[tuple[str, str]], rest: list[tuple[str, str]], reason: str
) -> None:
    beginning = Beginning(first)
    for more in (rest, [], rest):
        plain = head(*first, *more, reason=reason)
        begun = plain._replace(headers=beginning.then(*more))
        try:
            expected = write_head(plain, "Content-Length: 3\r\n", DATE)
        except ProtocolViolation as refusal:
            with pytest.raises(ProtocolViolation, match=re.escape(str(refusal))):
                write_head(begun, "Content-Length: 3\r\n", DATE)
        else:
            assert write_head(begun, "Content-Length: 3\r\n", DATE) == expected

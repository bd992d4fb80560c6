"""Replies: which shapes make sense, and that all others are an error and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.link import replies

RECORD = (b"1-0", {b"a": b"b"})
NAMES = {b"{x}s": "{x}s"}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary() | st.text(),
    lambda some: (
        st.lists(some)
        | st.tuples(some, some)
        | st.sets(st.binary() | st.integers())
        | st.dictionaries(st.binary() | st.integers(), some)
    ),
)


@pytest.mark.parametrize(
    ("read", "reply", "found"),
    [
        (replies.flag, None, False),
        (replies.flag, False, False),
        (replies.flag, 0, False),
        (replies.flag, True, True),
        (replies.flag, 1, True),
        (replies.record_id, b"1-0", b"1-0"),
        (replies.members, set(), frozenset()),
        (replies.members, {b"a", b"b"}, frozenset({b"a", b"b"})),
        (replies.records, [], []),
        (replies.records, [RECORD], [RECORD]),
        (lambda reply: replies.streams(reply, NAMES), [], []),
        (lambda reply: replies.streams(reply, NAMES), [[b"{x}s", [RECORD]]], [("{x}s", [RECORD])]),
    ],
)
def test_a_reply_of_the_shape_that_was_asked_for_is_read(
    read: Callable[[Any], object], reply: Any, found: object
) -> None:
    assert read(reply) == found


@pytest.mark.parametrize(
    ("read", "reply"),
    [
        (replies.flag, b"QUEUED"),
        (replies.flag, 2),
        (replies.record_id, None),
        (replies.record_id, "1-0"),
        (replies.members, [b"a"]),
        (replies.members, {b"a", 1}),
        (replies.records, None),
        (replies.records, [(b"1-0", None)]),
        (replies.records, [(None, None)]),
        (replies.records, [(b"1-0", {b"a": 1})]),
        (lambda reply: replies.streams(reply, NAMES), None),
        (lambda reply: replies.streams(reply, NAMES), [[b"other", [RECORD]]]),
        (lambda reply: replies.streams(reply, NAMES), [[b"{x}s"]]),
    ],
)
def test_a_reply_of_another_shape_is_an_error(read: Callable[[Any], object], reply: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - that it is one is all that is promised
        read(reply)


@given(ANYTHING)
def test_no_reply_is_worse_than_an_error(reply: Any) -> None:
    for read in (replies.flag, replies.record_id, replies.members, replies.records):
        with suppress(ValueError):
            read(reply)
    with suppress(ValueError):
        replies.streams(reply, NAMES)


def test_what_redis_repeats_of_a_command_is_not_told() -> None:
    """It would stand in the log: a password, or an answer."""
    said = "ERR unknown command 'AUTH', with args beginning with: 'me' 'secret' "
    assert replies.unquoting(said) == "ERR unknown command 'AUTH'"
    assert replies.unquoting("LOADING Redis is loading") == "LOADING Redis is loading"

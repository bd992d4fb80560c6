"""What is in letters, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.fleet.content import (
    Wish,
    failure_as_bytes,
    head_as_bytes,
    read_failure,
    read_head,
    read_why,
    read_wish,
    wish_as_bytes,
)
from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.errors import ConnectTimeout, LoopDetected, UpstreamError
from proxy.model.meeting import Begun
from proxy.model.message import Head, Headers

texts = st.text(st.characters(exclude_characters="\0", codec=None), max_size=20)
pairs = st.lists(st.tuples(texts, texts), max_size=5)


@given(
    st.integers(100, 999), texts, pairs, st.none() | st.integers(0, 2**60), st.floats(0, 1e9)
)  # surrogates among the texts: bytes that were no UTF-8
def test_a_head_comes_back_as_it_was(status, reason, pairs, length, asked_s):
    begun = Begun(Head(status, reason, Headers(pairs)), length, asked_s)
    assert read_head(head_as_bytes(begun)) == begun


@given(st.text(max_size=20), st.text(max_size=20), st.binary(max_size=64), st.integers(0, 2**63),
       st.booleans())  # fmt: skip
def test_a_wish_comes_back_as_it_was(mailbox, scope, digest, generation, fresh):
    wish = Wish(mailbox, CacheKey(scope, digest), generation, fresh)
    assert read_wish(wish_as_bytes(wish)) == wish


@given(st.binary(max_size=60))
def test_what_makes_no_sense_is_nothing(content):
    assert read_head(content) is None or isinstance(read_head(content), Begun)
    assert read_wish(content) is None or isinstance(read_wish(content), Wish)
    assert isinstance(read_failure(content), UpstreamError)
    assert isinstance(read_why(content), Why)


@pytest.mark.parametrize("kind", [UpstreamError, ConnectTimeout, LoopDetected])
def test_a_failure_comes_back_as_what_it_was(kind):
    error = read_failure(failure_as_bytes(kind("no connection: é \udcff")))
    assert type(error) is kind
    assert str(error).startswith("no connection: é")


@pytest.mark.parametrize("content", [b"TierError\0x", b"Exception\0x", b"x", b"ConfigError\0x"])
def test_a_failure_that_is_not_known_is_one_like_any_other(content):
    assert type(read_failure(content)) is UpstreamError


def test_a_reason_that_is_not_known_is_that_it_was_given_up():
    assert read_why(b"set-cookie") is Why.SET_COOKIE
    assert read_why(b"of a later release") is Why.GIVE_UP

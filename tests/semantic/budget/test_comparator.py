"""Answers that say the same, and such that do not."""

# ruff: noqa: RUF001 - answers as they are written, with their own punctuation

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.budget.comparator import Judgement, compare

SAME, DIFFERENT, UNKNOWN = Judgement

LONG = (
    "To send a parcel back, open the page of your order, choose the items that you do not want any "
    "more, tell us the reason, and print the label that we send you by mail. Put the label on the "
    "parcel and hand it in at any shop of our partners."
)
OTHER_WORDS = (
    "Go to your orders and pick the things you want to return. We will then ask you why, and mail "
    "a label, which goes onto the box. Partner shops everywhere take the box, so it need not be "
    "brought to us; the money is paid back as soon as it has arrived and was looked at."
)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Paris.", "paris"),
        ("30 days", "Thirty days."),
        ("需要3天。", "需要三天"),
        ("Ｙｅｓ！", "yes"),
        ("1. Open it\n2. Close it", "- Open it\n- Close it"),
        ("", ""),
        ("!", "!"),
        (LONG, LONG.upper()),
    ],
)
def test_equal_but_for_how_it_is_written_is_the_same_without_vectors(a: str, b: str) -> None:
    assert compare(a, b, None) is SAME


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("30 days", "14 days"),
        ("It costs $5.", "It costs $5.50."),
        ("5%", "5"),
        ("三天", "五天"),
        ("It is possible.", "It is not possible."),
        ("You can do that.", "You can't do that."),
        ("Yes, within a week.", "No, within a week."),
        ("可以退款", "不可以退款"),
        ("Error E1234 means full.", "Error E1235 means full."),
        ("Use v2.1", "Use v2.2"),
        ("See docs.example.com", "See docs.example.org"),
        ("Call foo_bar", "Call foo_baz"),
        ("Paris", ""),
        ("Paris", "?"),
        (f"Yes. {LONG}", f"No. {LONG}"),
        (f"{LONG} It costs 5, 6, 7.", f"{LONG} It costs 8, 9, 10."),
    ],
)
def test_other_facts_are_different_however_near(a: str, b: str) -> None:
    assert compare(a, b, 0.99) is DIFFERENT
    assert compare(b, a, None) is DIFFERENT


@pytest.mark.parametrize(
    ("cosine", "judgement"),
    [
        (0.95, SAME),
        (0.90, SAME),
        (0.89, UNKNOWN),
        (0.70, UNKNOWN),
        (0.69, DIFFERENT),
        (-1.0, DIFFERENT),
        (None, UNKNOWN),
        (nan, UNKNOWN),
    ],
)
@pytest.mark.parametrize(("a", "b"), [("It is Paris.", "The capital, Paris"), (LONG, OTHER_WORDS)])
def test_other_words_are_for_the_vectors(
    a: str, b: str, cosine: float | None, judgement: Judgement
) -> None:
    assert compare(a, b, cosine) is judgement


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Paris", "Paris, with 2 million people"),
        ("It is full", "It is full: E1234"),
        (
            f"{LONG} Within 30 days, for 5 euros, call 112.",
            f"{LONG} Within 14 days, for 5 euros, call 112.",
        ),
    ],
)
def test_facts_of_one_alone_are_never_the_same(a: str, b: str) -> None:
    assert compare(a, b, 0.99) is UNKNOWN
    assert compare(a, b, 0.5) is DIFFERENT


def test_what_a_long_answer_leaves_out_proves_nothing() -> None:
    assert compare(f"{LONG} It takes 5 days.", OTHER_WORDS, 0.95) is SAME


def test_no_denial_is_seen_where_there_is_none() -> None:
    assert compare("不过可以", "可以的", 0.95) is SAME
    assert compare("不仅可以退款", "可以退款", 0.95) is SAME


@unhurried
@given(st.text(max_size=200), st.text(max_size=200), st.none() | st.floats(-1, 1))
def test_the_order_does_not_matter_and_any_text_will_do(
    a: str, b: str, cosine: float | None
) -> None:
    assert compare(a, b, cosine) is compare(b, a, cosine)
    assert compare(a, a, cosine) is SAME

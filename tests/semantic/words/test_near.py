"""Slips of the finger, told from other words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.words.near import masks, near
from proxy.semantic.words.reading import read

_DATA = Path(__file__).parents[2] / "data" / "semantic"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("how do i cancel my subscription", "how do i cancel my subscripton"),
        ("what is the capital of germany", "what is the captial of germany"),
        ("who invented the telephone", "Who invnted the telephone?"),
        ("what is my address", "what is my adress"),
        ("what is my account", "what is my acccount"),
        ("how do i reset my router", "how do i reset my rouetr"),
        (
            "how do i change the delivery address of my order",
            "how do i change the delviery adress of my order",
        ),
        ("how do i log in", "How do I log in?"),
        ("怎么登录my account", "怎么登录my acount"),
    ],
)  # fmt: skip
def test_a_slip_is_near_and_shares_a_mask_if_it_is_the_only_one(one: str, other: str) -> None:
    a, b = read(one), read(other)
    assert near(a, b)
    if sum(x != y for x, y in zip(a.tokens, b.tokens, strict=True)) == 1:
        assert set(masks(a)) & set(masks(b))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Two words.
        ("what is a trial", "what is a trail"),
        ("what is the affect of it", "what is the effect of it"),
        ("how do i import a file", "how do i export a file"),
        ("how do i enable it", "how do i unable it"),
        ("is the county large", "is the country large"),
        ("is it unclear", "is it nuclear"),
        ("how do i increase it", "how do i decrease it"),
        ("what is a contract", "what is a contact"),
        ("a sweet dessert", "a sweet desert"),
        ("what is hoping", "what is hopping"),
        ("i was signing here", "i was singing here"),
        ("the patient is here", "the patent is here"),
        ("is it a medical student", "is it a medial student"),
        ("what is finnish food", "what is finish food"),
        # Ends of words.
        ("how do i add a user", "how do i add a users"),
        ("how do i close accounts", "how do i close account"),
        ("what is a princess", "what is a princes"),
        ("who is the employer", "who is the employee"),
        # Short words, numbers, identifiers, signs.
        ("what is a form", "what is a from"),
        ("what is a coast", "what is a cost"),
        ("what is error 12345", "what is error 12354"),
        ("what is abcde1", "what is abdce1"),
        ("what is max_size", "what is mxa_size"),
        ("is it now", "is it not"),
        # Too many, or too few words around them.
        ("what is the captial of germany", "waht is the capital of germnay"),
        ("captial letters", "capital letters"),
        ("delete account", "delete acount"),
        ("what is the capital", "what is the capital city"),
        # Case, and what has to be taken as it stands.
        ("how is the US acount", "how is the us account"),
        ("how big is the US", "how big is the us"),
        ("no, cancel my account", "no cancel my acount"),
        ("correct this: my adress", "correct this: my address"),
        ('search for "my adress"', 'search for "my address"'),
        ("how do you spell address", "how do you spell adress"),
        ("怎么修改密码", "怎么修该密码"),
        ("how do i reset it", "怎么登录"),
        # Other letters.
        ("what is adsorption here", "what is absorption here"),
        ("what is hyperthermia here", "what is hypothermia here"),
        ("what is acocunt one", "what is accuont one"),
        ("what is a chosen thing", "what is a choosen thing"),
    ],
)
def test_other_words_are_not_near(one: str, other: str) -> None:
    assert not near(read(one), read(other))
    assert not near(read(other), read(one))


def test_no_pair_made_by_hand_that_must_not_match_is_near() -> None:
    for line in (_DATA / "handmade_dev.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        assert row["label"] or not near(read(row["a"]), read(row["b"]))


_WORDS = st.lists(
    st.sampled_from(
        [
            "how",
            "do",
            "i",
            "cancel",
            "cancle",
            "my",
            "subscription",
            "subscripton",
            "trial",
            "trail",
            "US",
            "us",
            "5",
            "account",
            "acount",
            ",",
            "captial",
            "capital",
            "spell",
            "怎",
            "么",
            "C++",
            "users",
            "user",
        ]
    ),
    max_size=10,
).map(" ".join)


@unhurried
@given(_WORDS, _WORDS)
def test_near_is_symmetric(one: str, other: str) -> None:
    assert near(read(one), read(other)) == near(read(other), read(one))


@unhurried
@given(st.text(), st.text())
def test_no_text_is_too_odd(one: str, other: str) -> None:
    near(read(one), read(other))
    assert all(len(mask) == 16 for mask in masks(read(one)))


@unhurried
@given(
    st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), min_size=3, max_size=12),
    st.data(),
)
def test_questions_that_differ_in_one_long_word_share_one_mask(
    words: list[str], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(words) - 1))
    one, other = [*words], [*words]
    one[at], other[at] = "receipt", "reciept"
    assert len(set(masks(read(" ".join(one)))) & set(masks(read(" ".join(other))))) == 1


def test_where_the_gap_is_counts() -> None:
    assert not set(masks(read("receipt now here"))) & set(masks(read("now receipt here")))


def test_short_and_very_long_questions_have_no_masks() -> None:
    assert masks(read("cancel account")) == ()
    assert masks(read("account " * 65)) == ()
    assert len(masks(read("account " * 64))) == 64

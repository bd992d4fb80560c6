"""All vetoes together."""

# ruff: noqa: RUF001 - questions as people write them, with their own punctuation

from __future__ import annotations

import json
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.model.meaning import Doubt
from proxy.semantic.verifier import Verifier
from proxy.semantic.words.reading import read

VERIFIER = Verifier(words=[["gold", "silver"]])
PAIRS = Path(__file__).parents[1] / "data" / "semantic" / "handmade_dev.jsonl"
VETOES = frozenset(doubt for doubt in Doubt if doubt.startswith("veto-")) | {Doubt.LENGTH}

_PARTS = """
how long what who when why can't isn't not without from to than into Paris TypeError v2.3 0x80 5 km
% $ " ` “ ” == \\d+ a_b twice May Q1 last week 怎么 不 没有 给 比 从 到
上海 三 元 Ｆ é ß İ \u0301 \U0001f600
, . ? ( 's
"""
ODD = st.text() | st.lists(st.sampled_from(_PARTS.split()), max_size=30).map(" ".join)


@pytest.mark.parametrize(
    ("a", "b", "doubt"),
    [
        ("What is Docker?", "什么是Docker", Doubt.VETO_SCRIPT),
        ("Tell me about 5", "Tell me about 6", Doubt.VETO_NUMBERS),
        ("How many metres is it?", "How many yards is it?", Doubt.VETO_UNITS),
        ("Open on Monday?", "Open on Friday?", Doubt.VETO_DATES),
        ("Say it in Thai", "Say it in Dutch", Doubt.VETO_LANGUAGE),
        ("Is it safe?", "Is it not safe?", Doubt.VETO_NEGATION),
        ("Is it before that?", "Is it after that?", Doubt.VETO_ANTONYMS),
        ("Explain foo_bar", "Explain foo_baz", Doubt.VETO_IDENTIFIERS),
        ("Explain 'so be it'", "Explain 'let it be'", Doubt.VETO_QUOTES),
        ("Where can I renew it?", "When can I renew it?", Doubt.VETO_QUESTION_WORD),
        ("Is a dog smarter than a cat?", "Is a cat smarter than a dog?", Doubt.VETO_ORDER),
        ("Restaurants of Rome", "Restaurants of Lima", Doubt.VETO_ENTITIES),
        ("Is gold dear?", "Is silver dear?", Doubt.VETO_ANTONYMS),
        ("What is it?", "What is it? " + "I really would like to know. " * 5, Doubt.LENGTH),
        ("How do I reset my router?", "HOW CAN I RESET MY ROUTER", None),
    ],
)
def test_the_first_veto_that_speaks_is_the_reason(a: str, b: str, doubt: Doubt | None) -> None:
    assert VERIFIER.refuse(read(a), read(b)) == doubt


def test_all_that_speak_are_told_and_the_first_of_them_is_the_reason() -> None:
    a, b = read("Is gold before 5 dear?"), read("Is silver after 6 not dear?")
    told = VERIFIER.all_of(a, b)
    assert {Doubt.VETO_NUMBERS, Doubt.VETO_NEGATION, Doubt.VETO_WORDS} <= {*told}
    assert VERIFIER.refuse(a, b) == told[0]


def test_a_veto_that_is_off_is_not_asked() -> None:
    a, b = read("Tell me about 5"), read("Tell me about 6")
    assert Verifier(off=[Doubt.VETO_NUMBERS]).all_of(a, b) == ()
    assert Verifier(off=VETOES, words=[["5", "6"]]).refuse(a, b) is None


def test_own_words_are_told_apart_where_nothing_else_does() -> None:
    a, b = read("Does it work there?"), read("Does it still work there?")
    assert Verifier().refuse(a, b) is None
    assert Verifier(words=[["still"]]).refuse(a, b) == Doubt.VETO_WORDS


@unhurried
@given(ODD)
def test_no_question_is_refused_its_own_answer(text: str) -> None:
    a, b = read(text), read(f" {text} ")
    assert VERIFIER.refuse(a, a) is None
    assert VERIFIER.all_of(a, a) == ()
    assert VERIFIER.all_of(a, b) == ()


@unhurried
@given(ODD, ODD)
def test_nothing_is_too_odd_and_which_was_asked_first_makes_no_difference(a: str, b: str) -> None:
    one, other = read(a), read(b)
    told = VERIFIER.all_of(one, other)
    assert {*told} == {*VERIFIER.all_of(other, one)}
    assert {*told} <= VETOES
    assert VERIFIER.refuse(one, other) == next(iter(told), None)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a" * 8000, "a" * 7999 + "b"),
        ("foo bar " * 1000, "bar foo " * 1000),
        ('"' * 8000, "'" * 8000),
        ("“(" * 4000, "‘" * 8000),
        ("a_" * 4000, "_a" * 4000),
        ("a." * 4000, "1." * 4000),
        ("=<" * 4000, "<=" * 4000),
        ("aB" * 4000, "aBc" * 2600),
        ("a@" * 4000, "a@b." * 2000),
        ("/a" * 4000, "-a " * 2600),
        ("不没" * 4000, "没不" * 4000),
        ("从北京到上海" * 1300, "从上海到北京" * 1300),
        ("1" * 8000, "1," * 4000),
        ("have a " * 1100, "isn't " * 1300),
        ("how long what is the " * 400, "what is the average " * 400),
        (" ".join(map(str, range(1500))), " ".join(map(str, range(1499, -1, -1)))),
        (
            " ".join(f"w{chr(97 + at % 26)}{chr(97 + at // 26 % 26)}x" for at in range(1600)),
            " ".join(f"w{chr(97 + at % 26)}{chr(97 + at // 26 % 26)}y" for at in range(1600)),
        ),
    ],
)
def test_no_text_of_8000_characters_takes_long(a: str, b: str) -> None:
    one, other = read(a[:8000]), read(b[:8000])
    before = process_time()
    VERIFIER.all_of(one, other)
    assert process_time() - before < 1  # some 0.05 s; a quadratic one took 5


def test_questions_that_only_look_alike_are_refused_and_most_paraphrases_are_not() -> None:
    pairs = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    refused: dict[tuple[str, int], list[bool]] = {}
    for pair in pairs:
        doubt = VERIFIER.refuse(read(pair["a"]), read(pair["b"]))
        refused.setdefault((pair["lang"], pair["label"]), []).append(doubt is not None)
    share = {which: sum(found) / len(found) for which, found in refused.items()}
    assert share["en", 0] >= 0.95
    assert share["zh", 0] >= 0.95
    assert share["en", 1] <= 0.15  # typos, which the canonical question sees to
    assert share["zh", 1] <= 0.25

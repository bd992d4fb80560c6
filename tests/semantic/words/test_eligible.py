"""Questions that may be answered by meaning, and those that are left alone."""

# ruff: noqa: RUF001 - questions as people write them, with their own punctuation

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.model.meaning import Doubt
from proxy.semantic.words.eligible import Eligibility
from proxy.semantic.words.reading import read
from proxy.timely import Timely

_DATA = Path(__file__).parents[2] / "data" / "semantic"
ELIGIBLE = Eligibility(Timely().asks)


def _doubt(asked: str, *, has_history: bool = False) -> Doubt | None:
    return ELIGIBLE.doubt(read(asked), has_history=has_history)


@pytest.mark.parametrize(
    "asked",
    [
        "What is Kubernetes?",
        "What is an API?",
        "How do I fix TypeError in my_func(x)?",
        "What does the regex \\d+ match?",
        "What is the difference between == and === in JavaScript?",
        "Why was I charged $1 (or £1) twice?",
        "Is a blood pressure of 120/80 normal?",
        "My card is lost. What do I do with it?",
        "What is pneumonoultramicroscopic disease?",
        "How do I pronounce rhythm and Knightsbridge?",
        "See https://example.com/a/b?x=3f9a8b7c6d5e4f3a2b1c: what is it about?",
        "How do I write to help@example.com?",
        "如何退款",
        "怎么用Java写单例",
        "什么是AI",
        "小乔·R·坎帕是谁？",
        "Сколько стоит билет до Москвы?",
        "What is the plot of the second part?",
    ],
)
def test_plain_questions_are_in_no_doubt(asked: str) -> None:
    assert _doubt(asked) is None


@pytest.mark.parametrize(
    ("asked", "doubt"),
    [
        ("Why is this slow?\n```\nfor x in y: pass\n```", Doubt.CODE),
        ("def f(x):\n  return x+1", Doubt.CODE),
        ("int main() {\n  puts(\"a\");\n}", Doubt.CODE),
        ("<div class=a>hello there</div>", Doubt.CODE),
        ("x = {a: [1, 2], b: (c && d)};", Doubt.CODE),
        ("What is the weather in Oslo today?", Doubt.VOLATILE),
        ("今天北京天气怎么样", Doubt.VOLATILE),
        ("why?", Doubt.ANAPHORA),
        ("Why not?", Doubt.ANAPHORA),
        ("what about it", Doubt.ANAPHORA),
        ("What about my children?", Doubt.ANAPHORA),
        ("and the second one?", Doubt.ANAPHORA),
        ("Continue", Doubt.ANAPHORA),
        ("ok, go on", Doubt.ANAPHORA),
        ("yes", Doubt.ANAPHORA),
        ("tell me more about that", Doubt.ANAPHORA),
        ("Can you explain that again please?", Doubt.ANAPHORA),
        ("What do you mean?", Doubt.ANAPHORA),
        ("how does it work", Doubt.ANAPHORA),
        ("make it shorter and funnier", Doubt.ANAPHORA),
        ("那这个呢", Doubt.ANAPHORA),
        ("那花呗呢？", Doubt.ANAPHORA),
        ("为什么", Doubt.ANAPHORA),
        ("继续", Doubt.ANAPHORA),
        ("第二个呢", Doubt.ANAPHORA),
        ("这是什么意思", Doubt.ANAPHORA),
        ("好的，然后呢", Doubt.ANAPHORA),
        ("详细说说", Doubt.ANAPHORA),
        ("test", Doubt.TOO_SHORT),
        ("Hello there!", Doubt.TOO_SHORT),
        ("退款", Doubt.TOO_SHORT),
        ("换货吗", Doubt.TOO_SHORT),
        ("", Doubt.TOO_SHORT),
        ("why is the sky blue " * 120, Doubt.TOO_LONG),
        ("天空为什么是蓝色的" * 60, Doubt.TOO_LONG),
        ("a" * 8001, Doubt.TOO_LONG),
        ("?!", Doubt.ODD),
        ("How do I reset my router? xK9qLm2PzR4tVw8YbN1cD", Doubt.ODD),
        ("dGhpcyBpcyBhIHRlc3Qgb2YgYmFzZTY0IGVuY29kaW5n is what", Doubt.ODD),
        ("how do I qwrtzx plkjhg mnbvcxz", Doubt.ODD),
        (
            'describing.\\ + similarlyNow oppositeley.](Me giving**ONE please? revert "\\!--Two',
            Doubt.ODD,
        ),
        ("test test test test test test test test test", Doubt.ODD),
        ("aaaaaaaaaaaa bbbbbbbbbbbb what", Doubt.ODD),
        ("what is \ue000\ue001 here then", Doubt.ODD),
        (
            "apple river stone cloud window green table music sad run blue ox sea pen far map",
            Doubt.ODD,
        ),
        ("what is a Donaudampfschifffahrtsgesellschaftskapitän", Doubt.ODD),
    ],
)  # fmt: skip
def test_each_doubt_has_its_questions(asked: str, doubt: Doubt) -> None:
    assert _doubt(asked) is doubt


@pytest.mark.parametrize(
    "asked",
    [
        "Is it available in blue and green?",
        "Which of them is the cheapest?",
        "How long does that take on average?",
        "Write another poem on the sea",
        "它的保修期是多久",
        "这个产品的保修期是多久",
        "第二种方案的缺点是什么",
    ],
)
def test_what_may_point_back_is_in_doubt_only_where_something_was_said(asked: str) -> None:
    assert _doubt(asked) is None
    assert _doubt(asked, has_history=True) is Doubt.ANAPHORA


def test_a_whole_question_is_in_no_doubt_even_after_others() -> None:
    assert _doubt("What is the capital of France?", has_history=True) is None
    assert _doubt("I know that the sky is blue, but why?", has_history=True) is None
    assert _doubt("法国的首都是哪里", has_history=True) is None


def test_how_much_is_too_little_and_too_much_can_be_set() -> None:
    lax = Eligibility(lambda question: False, least=2, most=6)
    assert lax.doubt(read("Explain OAuth"), has_history=False) is None
    assert lax.doubt(read("What is the weather today?"), has_history=False) is None
    assert (
        lax.doubt(read("What is the weather like in Oslo today?"), has_history=False)
        is Doubt.TOO_LONG
    )


def test_hardly_any_question_of_the_own_sets_is_odd_or_code() -> None:
    asked = []
    for name in ("handmade_dev.jsonl", "zh_faq_stream.jsonl"):
        for line in (_DATA / name).read_text("utf-8").splitlines():
            row = json.loads(line)
            asked.extend([row["q"]] if "q" in row else [row["a"], row["b"]])
    doubts = [_doubt(one) for one in asked]
    assert not {Doubt.ODD, Doubt.CODE, Doubt.ANAPHORA, Doubt.TOO_LONG} & set(doubts)
    assert doubts.count(None) >= 0.9 * len(asked)


@unhurried
@given(st.text(), st.booleans())
def test_no_text_is_too_odd_to_doubt(asked: str, has_history: bool) -> None:
    _doubt(asked, has_history=has_history)


@pytest.mark.parametrize(
    "part", ["\n", "a ", "x = ", "; ", "at a.", "<a", "and ", "好的", "](", "1a"]
)
def test_texts_made_to_take_long_take_no_longer_than_others(part: str) -> None:
    _doubt((part * 8000)[:8000], has_history=True)  # in a time that grows with the square: minutes

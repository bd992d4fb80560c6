"""What makes prose shorter and leaves what it says."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.compression.rules import Rule, tightened
from proxy.compression.segments import segments

LONG = "The harbour opens at eight on weekdays and at nine on Saturdays, but never on Sundays."
CODE = "```python\nif  x :\n\n\n\n    please  =  1\n```\n"
FIXED = (
    CODE,
    '{"a":  [1,\n\n\n\n 2], "please": "Please do"}',
    "`a   b`",
    "| a   | b |\n|-----|---|\n",
    ">  quoted   text\n",
    "    indented   code\n",
    "<document  id=1>\n",
)
ANY = frozenset(Rule)


def blank(text: str) -> str:
    return tightened(text, frozenset({Rule.BLANK}))


def unpadded(text: str) -> str:
    return tightened(text, frozenset({Rule.FILLER}))


def once(text: str) -> str:
    return tightened(text, frozenset({Rule.REPEATED}))


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("a  b", "a b"),
        ("a \t b  \nc", "a b\nc"),
        ("a\n\n\n\nb", "a\n\nb"),
        ("  a", "  a"),  # what a line is set in by may mean something
        ("name    age    town", "name    age    town"),  # columns
        ("see  `a  b`  there", "see  `a  b`  there"),
    ],
)
def test_blank_space_is_said_once(text: str, shorter: str) -> None:
    assert blank(text) == shorter


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("Please summarise this.", "summarise this."),
        ("Could you please kindly explain?", "explain?"),
        ("Could you please kindly please explain?", "explain?"),
        ("Fine. Please go on", "Fine. go on"),
        ("Do it. Thanks in advance!", "Do it. "),
        ("I'd appreciate it if you could help", "help"),
        ("请帮我翻译这句话。", "翻译这句话。"),
        ("好的。麻烦您看一下", "好的。看一下"),
        # not filler
        ("Do what you please with it.", "Do what you please with it."),
        ("They aim to please customers.", "They aim to please customers."),
        ('Translate "Please help" into French.', 'Translate "Please help" into French.'),
        ("申请帮我做的事", "申请帮我做的事"),
        ("Please", "Please"),
        ("Can you swim?", "Can you swim?"),
    ],
)
def test_filler_goes_where_it_is_filler(text: str, shorter: str) -> None:
    assert unpadded(text) == shorter


def test_a_paragraph_is_said_once() -> None:
    text = f"First.\n\n{LONG}\n\nThen.\n\n{LONG}\n\nLast."
    assert once(text) == f"First.\n\n{LONG}\n\nThen.\n\nLast."
    assert once(f"Short.\n\n{LONG}\n\nShort.\n\nEnd.") == f"Short.\n\n{LONG}\n\nShort.\n\nEnd."


@pytest.mark.parametrize("fixed", FIXED)
def test_what_has_a_grammar_of_its_own_is_left_alone(fixed: str) -> None:
    text = f"Please   look at this:\n{fixed}\n\n\n\nPlease   tell me more."
    assert fixed in tightened(text, ANY)


words = st.sampled_from(
    ["Please ", "no ", "not ", "7 ", "3.5 ", "Ada ", "never ", "can you please ", "tell", ".", "\n",
     "\n\n", "  ", " ", "{", "}", '"', "`", "[1]", "```\n", LONG, "请你", "看", "。", "\t", "|"]
)  # fmt: skip
texts = st.lists(words, max_size=40).map("".join)


@given(texts)
@unhurried
def test_segments_joined_are_the_text_again(text: str) -> None:
    assert "".join(piece.text for piece in segments(text)) == text
    assert all(piece.text for piece in segments(text))


@given(texts, st.sets(st.sampled_from(Rule)).map(frozenset))
@unhurried
def test_nothing_that_counts_is_lost_and_nothing_is_added(
    text: str, rules: frozenset[Rule]
) -> None:
    shorter = tightened(text, rules)
    assert len(shorter) <= len(text)
    if Rule.REPEATED not in rules:
        counted = re.compile(r"\d+(?:\.\d+)?|\bno\b|\bnot\b|\bnever\b|\bAda\b|[{}\"`|]")
        assert counted.findall(shorter) == counted.findall(text)
    kept = Counter(piece.text for piece in segments(text) if not piece.prose)
    assert not kept - Counter(piece.text for piece in segments(shorter) if not piece.prose) or all(
        piece in shorter for piece in kept
    )


@pytest.mark.parametrize("odd", ["[" * 100_000, '{"a":' * 20_000, "{ " * 50_000, "`" * 100_000])
def test_what_never_ends_is_read_in_time_that_grows_with_its_length(odd: str) -> None:
    assert "".join(piece.text for piece in segments(odd)) == odd

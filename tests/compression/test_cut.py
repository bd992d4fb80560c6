"""A text cut to a number of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.compression.cut import Cut, cut, tokens
from proxy.compression.segments import segments

LINES = "".join(f"Line {number:03} says something about the harbour.\n" for number in range(100))
BLOCK = "```\n" + "".join(f"code {number}\n" for number in range(50)) + "```\n"


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("word", 1), ("words", 2), ("你好", 2), ("Ünü", 2), ("привет", 3)]
)
def test_tokens_are_told_by_script(text: str, count: int) -> None:
    assert tokens(text) == count


@pytest.mark.parametrize(
    ("where", "kept", "gone"),
    [
        (Cut.HEAD, ["Line 099"], ["Line 000"]),
        (Cut.TAIL, ["Line 000"], ["Line 099"]),
        (Cut.MIDDLE, ["Line 000", "Line 099"], ["Line 050"]),
    ],
)
def test_lines_go_where_they_are_to_go(where: Cut, kept: list[str], gone: list[str]) -> None:
    shorter = cut(LINES, 400, where)
    assert all(line in shorter for line in kept)
    assert not any(line in shorter for line in gone)
    assert tokens(LINES) - tokens(shorter) >= 400
    assert "tokens left out ...]" in shorter


def test_a_block_goes_whole_or_stays_whole() -> None:
    text = LINES + BLOCK + LINES
    for excess in range(50, tokens(text), 150):
        for where in Cut:
            shorter = cut(text, excess, where)
            assert BLOCK in shorter or "code " not in shorter


def test_the_first_and_the_last_paragraph_of_what_is_asked_stay() -> None:
    asks = f"What does it say of whales?\n\n{LINES}\n\nAnswer in one word."
    for where in Cut:
        shorter = cut(asks, 10_000, where, guarded=True)
        assert shorter.startswith("What does it say of whales?\n")
        assert shorter.endswith("\nAnswer in one word.")
        assert "Line" not in shorter
    assert cut("One paragraph.\nOf two lines.", 10, Cut.TAIL, guarded=True).count("\n") == 1


pieces = st.sampled_from([LINES[:200], BLOCK, "word " * 30, "\n", "\n\n", '{"a": [1]}', "你好。"])


@given(st.lists(pieces, max_size=12).map("".join), st.integers(1, 600), st.sampled_from(Cut))
@unhurried
def test_it_is_never_longer_and_no_block_is_broken(text: str, excess: int, where: Cut) -> None:
    shorter = cut(text, excess, where)
    assert tokens(shorter) <= tokens(text)
    fixed = [piece.text.strip() for piece in segments(text) if not piece.prose]
    left = [piece.text.strip() for piece in segments(shorter) if not piece.prose]
    assert all(any(part in whole for whole in fixed) or part.startswith("[...") for part in left)

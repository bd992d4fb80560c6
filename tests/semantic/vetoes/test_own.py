"""Words of the user's own, of which two questions must mention the same."""

# ruff: noqa: RUF001 - full width, as some people write

from __future__ import annotations

import pytest

from proxy.semantic.vetoes.gist import gist_of
from proxy.semantic.vetoes.own import Words
from proxy.semantic.words.reading import read

GROUPS = [["gold", "silver", "White Gold"], ["iOS", "Android"], ["C++", "C"], ["黄金", "白银"]]


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [
        ("Is gold dear?", "Is silver dear?", True),
        ("Is gold dear?", "Is it dear?", True),
        ("Is GOLD dear?", "is ｇｏｌｄ dear", False),
        ("Is gold dear?", "Is gold, gold dear?", False),
        ("Is gold or silver dear?", "Is silver or gold dear?", False),
        ("Is white  gold dear?", "Is gold dear?", True),
        ("Are golden rings dear?", "Are rings dear?", False),
        ("On iOS, is gold dear?", "On Android, is gold dear?", True),
        ("What is C++?", "What is C?", True),
        ("黄金多少钱", "白银多少钱", True),
        ("黄金多少钱", "买黄金多少钱", False),
    ],
)
def test_two_questions_must_mention_the_same_of_each_group(a: str, b: str, *, differ: bool) -> None:
    words = Words(GROUPS)
    one, other = gist_of(read(a)), gist_of(read(b))
    assert words(one, other) is differ
    assert words(other, one) is differ


def test_no_groups_tell_nothing_apart() -> None:
    assert not Words([[]])(gist_of(read("gold")), gist_of(read("silver")))

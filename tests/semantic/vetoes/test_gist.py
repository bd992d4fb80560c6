"""What questions come down to."""

from __future__ import annotations

import pytest

from proxy.semantic.vetoes.gist import gist_of, root_of
from proxy.semantic.words.reading import read


@pytest.mark.parametrize(
    ("words", "root"),
    [
        ("card cards card's", "card"),
        ("delivery deliveries", "delivery"),
        ("carry carries carried", "carry"),
        ("charge charges charged charging", "charg"),
        ("stopped stopping stop", "stop"),
        ("install installed installing installs", "instal"),
        ("class classes", "class"),
        ("match matches matched", "match"),
        ("organise organize organised organizing", "organiz"),
        ("analyse analyze analysed", "analyz"),
        ("box", "box"),
        ("need needed", "need"),
        ("nothing", "nothing"),
        ("bring", "bring"),
        ("status", "status"),
        ("uk's uk", "uk"),
        ("bees bee", "bee"),
        ("plane planes", "plane"),
        ("plan plans", "plan"),
    ],
)
def test_forms_of_a_word_have_one_root(words: str, root: str) -> None:
    assert {root_of(word) for word in words.split()} == {root}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How can I update my email address?", "how do I change my e-mail address"),
        ("Could you please tell me what the refund policy is?", "What is the refund policy?"),
        ("How do I log in?", "How do I sign in?"),
        ("Who wrote Hamlet?", "Who is the author of Hamlet?"),
        ("Give me five tips", "Give me 5 tips"),
        ("如何查询订单", "怎么查订单"),
        ("我收不到验证码", "我没收到验证码"),
    ],
)
def test_ways_to_ask_the_same_have_one_content(a: str, b: str) -> None:
    assert gist_of(read(a)).counts == gist_of(read(b)).counts


def test_what_goes_beyond_another_question_is_told_in_order_and_as_often_as_it_does() -> None:
    one, other = gist_of(read("red fox, red hen, blue fox")), gist_of(read("red fox"))
    assert one.beyond(other) == ["red", "hen", "blu", "fox"]
    assert other.beyond(one) == []

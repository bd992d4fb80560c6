"""Numbers in words, as digits."""

# ruff: noqa: RUF001 - questions as people write them, with their own punctuation

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.words.numerals import numbers, spelled
from proxy.semantic.words.reading import read

_UNITS = "零一二三四五六七八九"


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("twenty-five", "25"),
        ("two hundred and five", "205"),
        ("two hundred five", "205"),
        ("a hundred", "100"),
        ("a hundred and one", "101"),
        ("one hundred", "100"),
        ("twelve hundred", "1200"),
        ("a dozen eggs", "12 eggs"),
        ("two dozen", "24"),
        ("five million", "5000000"),
        ("1.5 million", "1500000"),
        ("two million three hundred thousand and four", "2300004"),
        ("between two hundred and three hundred", "between 200 and 300"),
        ("between one thousand and two thousand", "between 1000 and 2000"),
        ("one, two hundred", "one 200"),
        ("1,000", "1000"),
        ("1,234,567.5", "1234567.5"),
        ("10,20", "10 20"),
        ("f(1,200)", "f ( 1 200"),
        ("fifteen percent", "15%"),
        ("15 per cent", "15%"),
        ("15 %", "15%"),
        ("one percent", "1%"),
        ("the first", "the 1st"),
        ("the twenty-first", "the 21st"),
        ("the twelfth of the thirtieth", "the 12th of the 30th"),
        ("the twenty-third and the forty-fourth", "the 23rd and the 44th"),
        ("zero", "0"),
        # Where digits may not stand, or another word could be meant.
        ("which one", "which one"),
        ("one of them", "one of them"),
        ("one third", "one third"),
        ("a third", "a third"),
        ("wait a second", "wait a second"),
        ("a million", "1000000"),
        ("million dollar", "million dollar"),
        ("a house", "a house"),
        ("hundreds of", "hundreds of"),
        ("3.10", "3.10"),
        ("007", "007"),
        ("9999999999999999 million", "9999999999999999 million"),
    ],
)
def test_english_number_words_become_digits_where_that_is_sure(words: str, digits: str) -> None:
    assert " ".join(read(words).tokens) == digits


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("三百二十元", "320元"),
        ("两万", "20000"),
        ("一亿三千万", "130000000"),
        ("一万二", "12000"),
        ("三千五", "3500"),
        ("两千零三", "2003"),
        ("一百零五", "105"),
        ("十五", "15"),
        ("百分之五", "5%"),
        ("百分之三点五", "3.5%"),
        ("百分之12", "12%"),
        ("百分之百", "100%"),
        ("百分之十", "10%"),
        ("二〇二六年", "2026年"),
        ("二零二六年", "2026年"),
        ("三点五倍", "3.5倍"),
        ("三点五万", "35000"),
        ("3万", "30000"),
        ("1.5亿", "150000000"),
        ("１００元", "100元"),
        ("三个", "3个"),
        ("两天", "2天"),
        ("三小时", "3小时"),
        ("十分钟", "10分钟"),
        ("第三", "第3"),
        ("逾期一天", "逾期1天"),
        ("一个月", "1个月"),
        ("第三，十天内", "第310天内"),  # two numbers, side by side
        # Where they are no numbers, or not for sure.
        ("万一", "万一"),
        ("千万别", "千万别"),
        ("百万", "百万"),
        ("一下", "一下"),
        ("一个", "一个"),
        ("一样", "一样"),
        ("有一天", "有一天"),
        ("一年级", "一年级"),
        ("周一天气", "周一天气"),
        ("三星", "三星"),
        ("张三", "张三"),
        ("三小", "三小"),
        ("三四个", "三四个"),
        ("七八百", "七八百"),
        ("几十个", "几十个"),
        ("十几个", "十几个"),
        ("十分好", "十分好"),
        ("周三天", "周三天"),
        ("5千瓦", "5千瓦"),
        ("3万5", "3万5"),
        ("2十", "2十"),
        ("百分之", "百分之"),
        ("百分之多少", "百分之多少"),
        ("百分之万", "百分之万"),
        ("一万万万", "一万万万"),
        ("一十百", "一十百"),
        ("零万", "零万"),
        ("三点", "3点"),
    ],
)
def test_chinese_numerals_become_digits_where_that_is_sure(words: str, digits: str) -> None:
    assert "".join(read(words).tokens) == digits


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("5.0%", ("5%",)),
        ("007", ("7",)),
        ("v2.1", ("2.1",)),
        ("120/80", ("120", "80")),
        ("2.3.1", ("2.3.1",)),
        ("-5 or 0.50", ("-5", "0.5")),
        (".5", ("0.5",)),
        ("-0", ("0",)),
        ("no number", ()),
        ("三百 and 300", ("300", "300")),
        ("covid-19", ("19",)),
    ],
)
def test_the_numbers_of_a_question_are_told_one_way(asked: str, found: tuple[str, ...]) -> None:
    assert numbers(read(asked).tokens) == found


@given(st.integers(10, 99_999_999))
def test_every_number_reads_as_its_chinese_numerals(number: int) -> None:
    assert "".join(read(f"第{_chinese(number)}").tokens) == f"第{number}"


def _chinese(number: int) -> str:
    if number >= 10_000:
        rest = number % 10_000
        gap = "零" if 0 < rest < 1000 else ""
        return f"{_chinese(number // 10_000)}万{gap}{_chinese(rest) if rest else ''}"
    digits, zero = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // unit % 10
        if digit:
            digits += ("零" if zero and digits else "") + _UNITS[digit] + name
            zero = False
        else:
            zero = True
    return digits


@unhurried
@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "one",
                "two",
                "third",
                "hundred",
                "and",
                "dozen",
                "million",
                "percent",
                "per",
                "cent",
                "3",
                "1.5",
                "一",
                "两",
                "十",
                "百",
                "千",
                "万",
                "亿",
                "点",
                "五",
                "分",
                "之",
                "个",
                "月",
                "零",
                ",",
                "第",
            ]
        )
    )
)
def test_no_row_of_numerals_is_too_odd_and_none_is_lost(tokens: list[str]) -> None:
    assert bool(spelled(tokens)) == bool(tokens)
    assert all(spelled(tokens))

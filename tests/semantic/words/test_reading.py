"""Reading a question: its tokens and its script."""

# ruff: noqa: RUF001 - questions as people write them, with their own punctuation

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.model.meaning import Script
from proxy.semantic.words.reading import read, script_of
from proxy.semantic.words.simplified import simplified


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        ("What's the URL?", "what's the url"),
        ("What’s “this”?", "what's this"),
        ("and/or", "and / or"),
        ("two-factor 2-factor", "2 factor 2 factor"),
        ("well-known", "well known"),
        ("C++ vs C# vs C", "c++ vs c# vs c"),
        (".NET node.js Notepad++", ".net node.js notepad++"),
        ("e.g. U.S.", "e.g u.s"),
        ("5km 5 km 4k E1234 v2.1", "5 km 5 km 4k e1234 v2.1"),
        ("-5 10-20 5 - 3 120/80 10:30", "-5 10-20 5 - 3 120/80 10:30"),
        ("零下-5度", "零 下 -5 度"),
        ("foo_bar my_func(x) a+b", "foo_bar my_func ( x a + b"),
        ("covid-19 gpt-4 x-y", "covid-19 gpt-4 x-y"),
        (r"\d+ and \w+", r"\d + and \w +"),
        ("== vs ===", "== vs ==="),
        ("a != b, 5! !important", "a != b 5 ! ! important"),
        ("$5 €5 5°", "$ 5 € 5 5 °"),
        ("f'(x) f(x)", "f' x f ( x"),
        ("std::vector key:value", "std::vector key value"),
        ("--force -v -", "--force -v"),
        ("a@b.de @foo /etc/passwd", "a@b.de @foo /etc/passwd"),
        ("see https://a.b/c?d=e.", "see https://a.b/c?d=e."),
        ("thanks 👍", "thanks 👍"),
        ("怎么用Java写", "怎 么 用 java 写"),
        ("什麼是機器學習", "什 么 是 机 器 学 习"),
        ("日本語の後", "日 本 語 の 後"),
        ("ｔｏｄａｙ", "today"),
        ("zero\u200bwidth so\u00adft", "zerowidth soft"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("Привет, мир!", "привет мир"),
        ("... — ?!", ""),
        ("", ""),
    ],
)
def test_what_means_something_is_a_token_and_nothing_else(asked: str, tokens: str) -> None:
    assert " ".join(read(asked).tokens) == tokens


@pytest.mark.parametrize(
    ("asked", "script"),
    [
        ("How do I log in?", Script.LATIN),
        ("¿Qué hay mañana?", Script.LATIN),
        ("what is α in statistics", Script.LATIN),
        ("怎么登录", Script.HAN),
        ("怎么用Java写", Script.MIXED),
        ("日本語の後", Script.OTHER),
        ("Привет", Script.OTHER),
        ("오늘의 날씨", Script.OTHER),
        ("123 !?", Script.OTHER),
        ("", Script.OTHER),
    ],
)
def test_the_script_is_told(asked: str, script: Script) -> None:
    assert read(asked).script is script
    assert script_of(asked) is script


def test_folding_keeps_punctuation_and_drops_case_width_and_spaces() -> None:
    text = read("  How  DO I\n “log” in？ ")
    assert text.folded == 'how do i "log" in?'
    assert text.raw == "  How  DO I\n “log” in？ "


def test_traditional_characters_become_simplified_and_simplified_ones_stay() -> None:
    assert (
        simplified("請問為什麼銀行卡綁定後還沒有收到驗證碼")
        == "请问为什么银行卡绑定后还没有收到验证码"
    )
    stays = "请问为什么银行卡绑定后还没有收到验证码，乾隆著名的书"
    assert simplified(stays) == stays
    assert simplified(simplified("後裡麵")) == simplified("後裡麵")


@unhurried
@given(st.text())
def test_any_text_can_be_read(raw: str) -> None:
    text = read(raw)
    assert text.raw == raw
    assert all(token and not token.isspace() for token in text.tokens)


@unhurried
@given(st.text(st.characters(codec="utf-8")))
def test_what_has_been_folded_is_folded(raw: str) -> None:
    folded = read(raw).folded
    assert folded == " ".join(folded.split())


@unhurried
@given(
    st.lists(st.sampled_from(["how", "to", "reset", "my", "router", "in", "5", "days"]), min_size=1)
)
def test_case_spaces_and_closing_punctuation_make_no_difference(words: list[str]) -> None:
    asked = " ".join(words)
    assert read(asked).tokens == read(f"  {'  '.join(words).upper()} ?!").tokens

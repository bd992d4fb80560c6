"""The canonical question: who asks the same, and who does not."""

# ruff: noqa: RUF001 - questions as people write them, with their own punctuation

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.words.canonical import canonical
from proxy.semantic.words.reading import read

_DATA = Path(__file__).parents[2] / "data" / "semantic"


def _lines(name: str) -> list[str]:
    return (_DATA / name).read_text("utf-8").splitlines()


def _form(asked: str) -> str:
    return canonical(read(asked))


@pytest.mark.parametrize(
    "asked",
    [
        ["How do I log in?", "how do i log in", "HOW DO I LOG IN?!", "How do I login?"],
        ["How do I log in?", "How to log in", "How can I log in?", "What is the way to log in?"],
        ["How do I add a user?", "Hi, I hope you're well. How do I add a user? Thanks in advance."],
        [
            "How do I add a user?",
            "hello how do i add a user please",
            "Quick question, how do I add a user?",
        ],
        [
            "What is a kernel?",
            "What's a kernel",
            "whats a kernel??",
            "Could you tell me what a kernel is?",
        ],
        [
            "Who is the king of Spain?",
            "Do you know who the king of Spain is?",
            "who's the king of spain",
        ],
        [
            "Explain OAuth",
            "Would you mind explaining OAuth to me, please?",
            "Can you explain OAuth?",
        ],
        [
            "Where can I park?",
            "I would like to know where I can park",
            "Please tell me where I can park.",
        ],
        ["Can I park here?", "Is it possible to park here?", "I was wondering if I can park here"],
        [
            "How do I reset my PIN?",
            "Can you tell me how to reset my PIN?",
            "tell me how i can reset my pin",
        ],
        ["I cannot log in", "I can't log in", "I can not log in", "I am unable to log in"],
        ["Why can't I log in?", "Why am I not able to log in?", "why can i not log in"],
        ["List 5 fruits", "Please list five fruits for me"],
        ["List 5 fruits", "can you please list five fruits"],
        ["Set a timer for 25 minutes", "set a timer for twenty-five minutes"],
        ["Convert 1000 km", "convert 1,000km"],
        ["How do I organize my files by color?", "How do I organise my files by colour?"],
        ["What is the population of the USA?", "what is the population of the United States"],
        ["How do I sort a list in Python?", "In Python, how do I sort a list?"],
        ["What does e.g. mean?", 'What does "e.g." mean?', "What is the meaning of e.g.?"],
        ["How do cats and dogs differ?", "What are the differences between cats and dogs?",
         "How are cats and dogs different?"],
        ["How big is 16 GB?", "how big is 16gb"],
        ["Dear Sir or Madam, how do I pay?", "So how do I pay?", "how can i pay, thanks a lot"],
        ["怎么登录", "如何登录？", "请问怎样登录", "您好，请问怎么登陆呢", "怎么登录啊，谢谢"],
        ["怎么登录", "请问一下如何登录", "想问一下怎么登录", "怎么才能登录", "你知道怎么登录吗"],
        [
            "可以开发票吗",
            "能不能开发票",
            "能开发票吗？",
            "是否可以开发票",
            "可不可以开发票呢",
            "请问能否开发票",
        ],
        ["花呗怎么提前还款", "花呗如何提前还款", "花呗該怎麼提前還款呢"],
        ["法國的首都是哪裡", "法国的首都是哪里"],
        [
            "为什么登录不了",
            "为什么无法登录",
            "为啥不能登录呢",
            "登录不了是什么原因",
            "登录不了怎么回事",
        ],
        ["为什么天空是蓝色的", "天空为什么是蓝色的"],
        ["什么是机器学习", "机器学习是什么", "请问啥是机器学习？"],
        ["满１００元包邮吗", "满100元包邮么", "满一百元包邮吗？"],
        ["2024年有多少天", "2024 年有多少天？", "二〇二四年有多少天"],
        ["退款多久到账", "退款多长时间到账呢"],
        ["介绍一下长城", "请介绍长城", "麻烦你介绍一下长城，谢谢", "帮我介绍一下长城吧"],
        ["什么时候发货", "何时发货", "啥时候发货呀"],
        ["到账了吗", "到账了没有", "到账了没"],
        ["这个要押金吗", "这个要不要押金"],
        ["有优惠吗", "有没有优惠"],
        ["这款手机多少钱", "这款手机要多少钱", "请问这款手机多少钱啊"],
        ["上海有哪些好玩的地方", "上海都有什么好玩的地方？"],
        ["利息是怎么算的", "利息怎么算"],
        ["这是什么意思", "这什么意思啊"],
        ["Wie spät ist es?", "wie spät ist es"],
        ["Сколько стоит?", "сколько стоит"],
        ["今日は何ですか？", "今日は何ですか"],
    ],
    ids=lambda asked: asked[0],
)  # fmt: skip
def test_these_ask_the_same(asked: list[str]) -> None:
    assert len({_form(one) for one in asked}) == 1
    assert _form(asked[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Signs that mean something.
        ("What is C++?", "What is C#?"),
        ("What is C++?", "What is C?"),
        ("Is it 3.5?", "Is it 35?"),
        ("Is it 3.10?", "Is it 3.1?"),
        ("Is it -5?", "Is it 5?"),
        ("What is 5!", "What is 5"),
        ("What is 2+2?", "What is 2-2?"),
        ("What is 2*3?", "What is 2^3?"),
        ("Is a<b?", "Is a>b?"),
        ("5% of 10", "5 of 10"),
        ("$5 in yen", "€5 in yen"),
        ("What is == in JS", "What is = in JS"),
        ("f(1,200)", "f(1200)"),
        ("What does 👍 mean?", "What does 👎 mean?"),
        (r"What does \d match?", r"What does \D match?"),
        ("What does ls -a do", "What does ls a do"),
        ("What does ls -a do", "What does ls -A do"),
        ("what is .net", "what is net"),
        ("error 0x80070005", "error 0x80070057"),
        ("No, can I pay later?", "No can I pay later?"),
        # Case that means something.
        ("How big is the US?", "How big is us?"),
        ("What is a MW?", "What is a mW?"),
        ("Convert MW to mW", "Convert mW to MW"),
        ("How many MB/s is 8 Mb/s", "How many Mb/s is 8 MB/s"),
        ("How do I say Polish?", "How do I say polish?"),
        ("How do I remove rust?", "How do I remove Rust?"),
        ("How do I clean windows", "How do I clean Windows"),
        ("what is g in physics", "what is G in physics"),
        ("what does CO do", "what does Co do"),
        # Small words.
        ("Can I park here?", "How can I park here?"),
        ("How do I verify it?", "How do you verify it?"),
        ("How do I log in?", "Why do I log in?"),
        ("Do I have little time?", "Do I have a little time?"),
        ("What is a kernel?", "What is the kernel?"),
        ("Is Pluto a planet?", "Is Pluto not a planet?"),
        ("Can I return it with a receipt?", "Can I return it without a receipt?"),
        ("I would like to know where I can park", "I would like to know when I can park"),
        ("How to please my wife", "How to my wife"),
        ("hello world program in c", "world program in c"),
        ("I hope to visit Paris, what can I see?", "What can I see?"),
        ("What is best for me", "What is best"),
        ("Who is the mother of Victoria?", "Who is the daughter of Victoria?"),
        ("A week one report", "A week 1 report"),
        ("move from A to B", "move from B to A"),
        # Words about words, and texts to work on.
        ("How do you spell colour?", "How do you spell color?"),
        ("How do you say thank you", "How do you say"),
        ("How do you say please in French", "How do you say in French"),
        ("Translate: hello, how are you", "Translate: how are you"),
        ("Translate to French: please sit", "Translate to French: sit"),
        ('Translate "US" to German', 'Translate "us" to German'),
        ("Correct this: its fine", "Correct this: it's fine"),
        ("Summarize this:\nHi there", "Summarize this:\nHi, there"),
        ("What does AI stand for?", "What does artificial intelligence stand for?"),
        ("谢谢用法语怎么说", "用法语怎么说"),
        ("你好用日语怎么说", "用日语怎么说"),
        ("翻译：你好，谢谢", "翻译：你好"),
        ("如何和怎么的意思一样吗", "怎么和怎么的意思一样吗"),
        # Chinese.
        ("你喜欢我", "你喜欢我吗"),
        ("你好像病了", "像病了"),
        ("请假怎么请", "假怎么请"),
        ("怎么绑定手机号", "怎么解绑手机号"),
        ("会员可以退款吗", "会员为什么不能退款"),
        ("会员可以退款吗", "会员不可以退款吗"),
        ("孕妇可以吃哪些水果", "孕妇不可以吃哪些水果"),
        ("怎么退款了", "怎么退款"),
        ("味道怎么样", "味道怎么"),
        ("无论如何都要去吗", "无论怎么样都要去吗"),
        ("他知道我为什么来", "他为什么知道我来"),
        ("信用卡逾期一天", "信用卡逾期三十天"),
        ("不，可以退吗", "不可以退吗"),
        ("万一逾期了怎么办", "逾期了怎么办"),
        ("人民币怎么换成美元", "美元怎么换成人民币"),
        ("有三个吗", "有三四个吗"),
        ("苹果呢", "苹果"),
        ("5千瓦是多少", "5000瓦是多少"),
        ("怎么登录《花呗》", "怎么登录《借呗》"),
        ("今日は何ですか", "明日は何ですか"),
    ],
)  # fmt: skip
def test_these_do_not(one: str, other: str) -> None:
    assert _form(one) != _form(other)
    assert _form(one)
    assert _form(other)


@pytest.mark.parametrize("asked", ["", " ", "?!", "…", "\n", '"', "``"])
def test_where_nothing_is_left_there_is_no_form(asked: str) -> None:
    assert _form(asked) == ""


def test_no_pair_made_by_hand_that_must_not_match_does_and_many_that_should_do() -> None:
    rows = [json.loads(line) for line in _lines("handmade_dev.jsonl")]
    equal = [row for row in rows if _form(row["a"]) == _form(row["b"])]
    assert [row for row in equal if row["label"] == 0] == []
    for language in ("en", "zh"):
        asked = [row for row in rows if row["label"] == 1 and row["lang"] == language]
        found = [row for row in equal if row["lang"] == language]
        assert len(found) >= 0.4 * len(asked)


def test_no_two_questions_of_different_intents_have_one_form() -> None:
    forms = defaultdict(set)
    for line in _lines("zh_faq_stream.jsonl"):
        row = json.loads(line)
        forms[_form(row["q"])].add(row["group"])
    assert [groups for groups in forms.values() if len(groups) > 1] == []
    assert len(forms) < 144


_SNIPPETS = (
    "please", "thanks", ",", "?", "how do i", "tell me", "what", "is", "not", "can't", "can", "i",
    "you", "US", "us", "in Python", "five", "5", "5.0", "-5", "25", "%", "one", "first", "colour",
    '"', ":", "\n", "A", "and", "the", "for me", "请问", "怎么", "如何", "吗", "不",
    "能", "能不能", "三十", "两", "万", "一", "的", "谢谢", "，", "。", "呢",
    "为什么", "是什么", "什么是", "登录不了", "花呗", "GB", "mW", "👍", "是", "没有", "有没有",
)  # fmt: skip
_QUESTIONS = st.lists(st.sampled_from(_SNIPPETS), min_size=1, max_size=9)


@unhurried
@given(st.one_of(st.text(), _QUESTIONS.map(" ".join), _QUESTIONS.map("".join)))
def test_a_form_is_its_own_form(asked: str) -> None:
    form = _form(asked)
    assert _form(form) == form


@unhurried
@given(_QUESTIONS, st.integers(2, 99_999), st.integers(2, 99_999), st.data())
def test_questions_whose_numbers_differ_never_have_one_form(
    words: list[str], one: int, other: int, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(words)))
    forms = {
        _form(" ".join((*words[:at], f"order {number} x", *words[at:]))) for number in (one, other)
    }
    assert forms == {""} or len(forms) == len({one, other})


@unhurried
@given(_QUESTIONS.map(" ".join), st.sampled_from(["?", " ", "!", "。", " ?"]))
def test_what_ends_a_question_makes_no_difference(asked: str, end: str) -> None:
    if "\n" not in asked and not asked[-1:].isdecimal():
        assert _form(asked) == _form(asked + end)


def test_the_longest_texts_are_taken_as_they_stand() -> None:
    long = "please " + "tell me more about it and " * 100
    assert _form(long) == long.strip()


def test_all_pairs_of_a_table_of_confusable_questions_differ() -> None:
    asked = [
        f"{frame} {verb} {thing}"
        for frame in ("How do I", "Can I", "Why can't I", "When can I", "Where do I", "Should I")
        for verb in ("enable", "disable", "find", "not find")
        for thing in ("it", "the log in page", "5 users", "15 users", "US users", "all of us")
    ]
    assert len(set(map(_form, asked))) == len(asked)

"""Questions about now, told from others."""

# ruff: noqa: RUF001 - questions as people write them, with their own punctuation

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.timely import Timely

BUILT_IN = Timely()


@pytest.mark.parametrize(
    "question",
    [
        "What's the weather like in Oslo today?",
        "WHAT HAPPENED TODAY",
        "today’s headlines, please",
        "What did the Fed say yesterday?",
        "Will I need an umbrella tomorrow morning?",
        "Who is playing tonight?",
        "Anything on this weekend?",
        "Which films come out next month?",
        "Who won the match last night?",
        "Revenue of the past 30 days",
        "The best phones of the last few months",
        "Is the shop open right now?",
        "What is one bitcoin worth now?",
        "What is it worth now ?",
        "Where is the ISS as of now",
        "Who is currently the prime minister of Japan?",
        "Who is the current president of Brazil?",
        "What is the current exchange rate?",
        "the latest version of Python",
        "What is the most recent iPhone?",
        "Summarise the breaking news.",
        "Any news about the strike?",
        "Any updates on the election?",
        "Tell me the news.",
        "What’s happening in Lisbon?",
        "What time is it in Tokyo?",
        "What’s the time?",
        "what is the\n  date",
        "What day is it?",
        "When is the next train to Bergen?",
        "How many days until Christmas?",
        "How old is the Queen of Denmark?",
        "weather in Berlin",
        "Is it raining in Seattle?",
        "Apple stock price",
        "How much is gold?",
        "price of oil",
        "exchange rates",
        "convert 100 USD to EUR",
        "What's the score of the Lakers game?",
        "live scores",
        "Who is winning?",
        "real-time traffic on the A7",
        "Is the PS5 in stock?",
        "Three days ago there was a quake. Where?",
        "告诉我weather怎么样",
        "ｔｏｄａｙ",
    ],
)
def test_an_english_question_about_now_is_one(question: str) -> None:
    assert BUILT_IN.asks(question)


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Why is the sky blue?",
        "Now write a poem about the sea.",
        "Explain the theory of relativity, now in simpler words.",
        "What does datetime.now() return?",
        "Why does date.today() differ from utcnow()?",
        "x = obj.today.isoformat()",
        "What does `currently` do here?",
        "set $today and --latest and @tomorrow",
        "weather(city)",
        "today=1",
        "A class named is-today-selected",
        "holidaytoday todayish snowy Latestina",
        "Who founded USA Today?",
        "An article of Psychology Today on sleep",
        "When was the Today Show first aired?",
        "Hand it in by Friday at the latest.",
        "Compute the F1 score of this classifier.",
        "Convert three to ten in binary",
        "the electric current in a wire",
        "print the current directory",
        "What is the knowledge of a nowcast?",
        "Who won the world cup of 1998?",
    ],
)
def test_an_english_question_about_something_else_is_none(question: str) -> None:
    assert not BUILT_IN.asks(question)


@pytest.mark.parametrize(
    "question",
    [
        "今天天气怎么样？",
        "今天天氣怎麼樣？",
        "今日新闻",
        "今晚有什么比赛",
        "现在几点？",
        "現在幾點了",
        "几点下班",
        "目前的总统是谁",
        "目前失業率是多少？",
        "当前汇率",
        "當前匯率",
        "最新的iPhone是哪一款",
        "昨天发生了什么",
        "明天会下雨吗",
        "明天會下雨嗎",
        "后天呢？",
        "前天的比赛",
        "本周股市行情",
        "本週股市",
        "这个月的油价",
        "這個月的油價",
        "上周末有什么新闻",
        "下个星期放假吗",
        "今年的高考",
        "去年的冠军",
        "刚刚发生了什么",
        "剛剛發生了什麼",
        "刚才谁赢了",
        "实时路况",
        "即時匯率",
        "特斯拉股价",
        "台積電股價",
        "人民币汇率",
        "今天几号",
        "今天星期几",
        "还有多少天过年",
        "離春節還有幾天",
        "比分是多少",
        "最近有什么好看的电影",
        "最近的新闻",
        "过去24小时的新闻",
        "未來幾天的天氣",
        "如今的首富",
        "截至2025年",
        "现任总理是谁",
        "近期有哪些活动",
        "突发新闻",
        "有什么新闻",
        "美元兑人民币",
        "有货吗",
    ],
)
def test_a_chinese_question_about_now_is_one_in_either_script(question: str) -> None:
    assert BUILT_IN.asks(question)


@pytest.mark.parametrize(
    "question",
    [
        "为什么天空是蓝色的？",
        "這個字出現在哪一首詩裡？",
        "主角第一次出现在第几章？",
        "优点表现在哪些方面？",
        "功能实现在哪个模块？",
        "英语的现在分词怎么用？",
        "如何配置项目前端？",
        "她聪明天真。",
        "请证明天才不是天生的",
        "这个算法的基本周期是多少？",
        "日本周边的国家",
        "后天性免疫缺陷综合征是什么？",
        "百分比分布怎么画？",
        "对比分析两种方法",
        "打印当前目录下的文件",
        "當前用戶的權限",
        "最近邻算法的原理",
        "给我几点建议",
        "請給我幾點意見",
        "一周几次锻炼比较好",
        "几号线最长",
        "今日头条是谁创办的？",
        "明日方舟的剧情",
        "附近日本料理的做法",
        "在过去年代",
        "其实时间并不存在",
        "即时通讯协议有哪些？",
        "金价值多少",
        "怎么写新闻稿",
        "新闻学是什么",
    ],
)
def test_a_chinese_question_about_something_else_is_none(question: str) -> None:
    assert not BUILT_IN.asks(question)


@pytest.mark.parametrize(
    ("word", "question", "about_now"),
    [
        ("outage", "Is there an OUTAGE?", True),
        ("outage", "What do outages cost?", False),
        ("outage*", "What do outages cost?", True),
        ("*outage", "a Netzoutage", True),
        ("*outage", "outages", False),
        ("*tag*", "Am Sonntagabend", True),
        ("on call", "Who is on  call?", True),
        ("on call", "Who is on-call?", False),
        ("C++", "What is C++?", True),
        ("a.c", "abc", False),
        ("Straße", "STRASSE", True),
        ("aujourd'hui", "Quel temps fait-il aujourd’hui ?", True),
        ("mañana", "¿Qué hay man\u0303ana?", True),
        ("ma", "mañana", False),
        ("值班", "谁在值班？", True),
        ("今*", "今夜", True),
        ("오늘*", "오늘의 날씨", True),
        ("오늘", "오늘의 날씨", False),
    ],
)
def test_words_of_ones_own_count_too_and_a_star_stands_for_the_rest_of_one(
    word: str, question: str, *, about_now: bool
) -> None:
    assert Timely([word], built_in=False).asks(question) == about_now
    assert Timely(["nothing", word]).asks(question) >= about_now


def test_the_built_in_words_can_be_left_out() -> None:
    assert not Timely(built_in=False).asks("What's the weather today?")
    assert not Timely(["outage"], built_in=False).asks("What's the weather today?")
    assert Timely(["outage"]).asks("What's the weather today?")


def test_a_name_does_not_hide_what_is_asked_beside_it() -> None:
    assert BUILT_IN.asks("What does USA Today say today?")


@unhurried
@given(st.text(), st.text())
def test_whatever_stands_around_it_a_sentence_of_its_own_is_found(before: str, after: str) -> None:
    assert BUILT_IN.asks(f"{before} 。今天天气。 {after}")
    assert BUILT_IN.asks(f"{before} - is it raining - {after}")


@unhurried
@given(st.lists(st.text().filter(lambda word: word.replace("*", "").strip())), st.text())
def test_no_word_and_no_text_is_too_odd(words: list[str], question: str) -> None:
    # The built-in ones apart: to compile them anew each time takes a hundred times as long.
    Timely(words, built_in=False).asks(question)
    BUILT_IN.asks(question)


def test_nothing_in_the_expression_repeats_without_a_bound() -> None:
    pattern = Timely(["a*", "*b", "(c+)+"])._pattern
    assert pattern is not None
    parsed = re._parser.parse(pattern.pattern)  # type: ignore[attr-defined] # how else to tell?
    assert 0 < max(_repeats(parsed)) <= 3


def _repeats(parsed: object) -> Iterator[int]:
    """How often, at most, each part that repeats does."""
    for op, argument in parsed:  # type: ignore[attr-defined] # as above
        if str(op).endswith("REPEAT"):
            yield int(argument[1])
        yield from _within(argument)


def _within(argument: object) -> Iterator[int]:
    if isinstance(argument, re._parser.SubPattern):  # type: ignore[attr-defined] # as above
        yield from _repeats(argument)
    elif isinstance(argument, tuple | list):
        for part in argument:
            yield from _within(part)

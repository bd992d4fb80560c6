"""Vetoes questions about other days, months, years or seasons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from proxy.semantic.vetoes.gist import Gist, once
from proxy.semantic.vetoes.phrases import words_of

_ENGLISH: Final = (
    "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug"
    "|september sep sept|october oct|november nov|december dec"
    "|monday mon mondays|tuesday tue tues tuesdays|wednesday wed weds wednesdays"
    "|thursday thu thur thurs thursdays|friday fri fridays|saturday sat saturdays|sunday sun"
    " sundays"
    "|weekday weekdays|weekend weekends|today|tomorrow|yesterday|tonight"
    "|morning mornings|afternoon afternoons|evening evenings|night nights|noon midday|midnight"
    "|dawn|dusk"
    "|q1|q2|q3|q4|h1|h2|spring|summer|autumn|winter"
    "|christmas xmas|easter|thanksgiving|halloween|ramadan|diwali|hanukkah|passover"
    "|am a.m|pm p.m|bc bce|ad"
)  # fmt: skip
_CHINESE: Final = (
    "今天 今日|明天 明日|昨天 昨日|前天|后天|今晚|昨晚|明晚|上午 早上 早晨|中午|下午|晚上|夜里 半夜"
    "|周一 星期一 礼拜一|周二 星期二 礼拜二|周三 星期三 礼拜三|周四 星期四 礼拜四|周五 星期五"
    " 礼拜五"
    "|周六 星期六 礼拜六|周日 星期日 星期天 周天 礼拜天|周末|工作日"
    "|本周 这周 这个星期 这一周|上周 上个星期 上星期|下周 下个星期 下星期"
    "|本月 这个月|上个月 上月|下个月 下月|今年 本年|去年 上一年|明年|前年|后年"
    "|第一季度 一季度|第二季度 二季度|第三季度 三季度|第四季度 四季度|上季度 上个季度|本季度"
    " 这个季度|下季度 下个季度|上半年|下半年"
    "|春天 春季|夏天 夏季|秋天 秋季|冬天 冬季|春节 过年|元旦|清明|端午|中秋|国庆|元宵|七夕|重阳"
    "|五一|圣诞|除夕|双十一|公元前"
    "|一月|二月|三月|四月|五月|六月|七月|八月|九月|十月|十一月|十二月|1月|2月|3月|4月|5月|6月|7月"
    "|8月|9月|10月|11月|12月"
)
# Names of months and days that are words too count after one of these, or before a number.
_AMBIGUOUS: Final = frozenset(
    ["may", "march", "mar", "sun", "sat", "mon", "wed", "ad", "am", "dec", "jan"]
)
_LEADS: Final = words_of(
    """
    in on of since until till by last next this every during from to early late mid before after
    """
)
_RELATIVE: Final = re.compile(
    r"\b(last|previous|past|prior|this|current|next|coming|upcoming|following)"
    r" (?:(?:[0-9]+|few|couple of) )?(day|night|week|weekend|month|quarter|year|season|semester"
    r"|decade|century"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|spring|summer|autumn|fall|winter)s?\b"
    r"|\b([0-9]{2,4}0)'?s\b|\b(first|second|third|fourth|1st|2nd|3rd|4th) (quarter|half)\b"
    r"|\b([0-9]{1,2}) ?([ap])\.?m\b"
)  # fmt: skip
_HINTS: Final = (
    "last", "previous", "past", "prior", "this", "current", "next", "coming", "following",
    "first", "second", "third", "fourth",
)  # fmt: skip
_DIGIT: Final = re.compile("[0-9]")
_SAME: Final = MappingProxyType(
    {"previous": "last", "past": "last", "prior": "last", "current": "this", "coming": "next",
     "upcoming": "next", "following": "next", "1st": "first", "2nd": "second", "3rd": "third",
     "4th": "fourth"}
)  # fmt: skip


def dates(a: Gist, b: Gist) -> bool:
    """Whether they name other times, or just one of them names any."""
    return times_of(a) != times_of(b)


@once
def times_of(gist: Gist) -> frozenset[str]:
    """The times that the question names, but for plain numbers of years."""
    found = set()
    tokens = gist.tokens
    named = "'s" in gist.folded or not _NAMES.keys().isdisjoint(tokens)
    for at, token in enumerate(tokens if named else ()):
        name = _NAMES.get(token.removesuffix("'s") if "'" in token else token)
        if name and (token not in _AMBIGUOUS or _is_date(tokens, at)):
            found.add(name)
    for match in _RELATIVE.finditer(gist.folded) if _may_relate(gist) else ():
        parts = [part for part in match.groups() if part]
        found.add(" ".join(_SAME.get(part, part) for part in parts))
    if gist.has_han:
        found.update(_HAN_NAMES[name] for name in _HAN_NAME.findall(gist.folded))
    return frozenset(found)


def _may_relate(gist: Gist) -> bool:
    """Whether a look at the phrases is worth its time."""
    folded = gist.folded
    return any(hint in folded for hint in _HINTS) or _DIGIT.search(folded) is not None


def _is_date(tokens: tuple[str, ...], at: int) -> bool:
    before = tokens[at - 1] if at else ""
    after = tokens[at + 1] if at + 1 < len(tokens) else ""
    if tokens[at] in {"am", "ad"}:
        return before[:1].isdigit()
    return before in _LEADS or before[:1].isdigit() or after[:1].isdigit()


def _names(listed: str) -> Mapping[str, str]:
    return MappingProxyType(
        {word: names[0] for names in map(str.split, listed.split("|")) for word in names}
    )


_NAMES: Final = _names(_ENGLISH)
_HAN_NAMES: Final = _names(_CHINESE)
_HAN_NAME: Final = re.compile(
    "(?<![0-9一二三四五六七八九十])(?:"
    + "|".join(sorted(_HAN_NAMES, key=len, reverse=True))
    + ")(?!份证)"
)

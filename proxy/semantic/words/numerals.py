"""Numbers written out, as digits: English and Chinese number words.

Only where digits mean the same for sure. "One" alone is mostly no number, "second" mostly a piece
of time, 一 mostly an article or half of another word, 三四天 are three or four days. Digits
keep their zeros: 3.10 is a version, and 007 a name.
"""

# ruff: noqa: RUF001 - a zero of Chinese looks like a letter

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

_UNITS: Final = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS: Final = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_POWERS: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MULTIPLES: Final = {"hundred": 100, "dozen": 12, **_POWERS}
# No "second": it is a piece of time too.
_ORDINAL_UNITS: Final = {
    "first": 1, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14,
    "fifteenth": 15, "sixteenth": 16, "seventeenth": 17, "eighteenth": 18, "nineteenth": 19,
}  # fmt: skip
_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_ORDINAL_TENS: Final = {f"{word[:-1]}ieth": number for word, number in _TENS.items()}
_TEN: Final = 10
_LONGEST: Final = 15  # digits of a number to multiply; beyond that nobody counts

_HAN_DIGITS: Final = {digit: str(number) for number, digit in enumerate("零一二三四五六七八九")} | {
    "〇": "0",
    "两": "2",
}
_HAN_UNITS: Final = {"十": 10, "百": 100, "千": 1000}
_HAN_POWERS: Final = {"万": 10**4, "亿": 10**8}
_HAN_NUMERALS: Final = frozenset((*_HAN_DIGITS, *_HAN_UNITS, *_HAN_POWERS))
# What is counted: before these a single numeral is one. Each is the first character of its word.
_MEASURES: Final = frozenset(
    "个只条张本天年月岁小分秒次遍种件元块毛倍位名人篇首章米公斤克升步点层楼级期页段句字台部场家间套"
    "支份道题项届轮封瓶杯盒包袋箱辆架艘座棵朵周折号"
)
# 一 alone is a number only before these, and only if nothing of the second stands before it.
_ONES: Final = frozenset(
    [
        "个月",
        "个小时",
        "个星期",
        "年",
        "天",
        "小时",
        "分钟",
        "秒",
        "元",
        "块钱",
        "公里",
        "公斤",
        "岁",
        "折",
    ]
)
_NO_ONES: Final = frozenset("有同每哪某这那另唯统进逐单万之不第初周拜些")
_NO_COUNT: Final = frozenset("周期拜初")  # days of the week, of the month
_AROUND: Final = frozenset("几数好成上多余来")  # 几十 is some tens, 十几 ten and some

_POINT_BEFORE: Final = frozenset("倍万亿元")  # 三点五 before others may be a time of the day
_PER_CENT: Final = ("百", "分", "之")
_NO_THOUSANDS: Final = frozenset("瓦克米卡字帕伏赫兆度货")  # 5千瓦 is five kilowatts

_ENGLISH: Final = frozenset(("a", *_UNITS, *_TENS, *_ORDINAL_UNITS, *_ORDINAL_TENS))
_BEGINS: Final = _ENGLISH | _HAN_NUMERALS  # what a number may begin with, digits apart

_PLAIN: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_VALUE: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)%?")
_WITHIN: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")


def spelled(tokens: Sequence[str]) -> list[str]:
    """``tokens``, folded, with digits in place of number words; ``%`` in place of "percent".

    Of any text, with or without ``BOUNDARY`` tokens, over which no number reaches.
    """
    found: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token not in _BEGINS and token[0] not in "0123456789":
            found.append(token)
            at += 1
            continue
        if token in _HAN_NUMERALS:
            digits, at = _han(tokens, at)
        elif token in _ENGLISH or _PLAIN.fullmatch(token):
            digits, at = _english(tokens, at)
        else:
            digits, at = (token,), at + 1
        found.extend(digits)
    return found


def numbers(tokens: Iterable[str]) -> tuple[str, ...]:
    """The numbers in ``tokens`` as ``Text`` has them, in their order, those within others too.

    Without leading zeros and trailing ones after a point: "5.0%" is "5%", "007" is "7", "v2.1" has
    "2.1", "120/80" has two, "2.3.1" has "2.3.1", which is no decimal.
    """
    found: list[str] = []
    for token in tokens:
        if token.isalpha():
            continue
        if _VALUE.fullmatch(token):
            found.append(_normal(token))
        else:
            parts = _WITHIN.findall(token)
            found.extend(part if part.count(".") > 1 else _normal(part) for part in parts)
    return tuple(found)


def _normal(number: str) -> str:
    """One way to write each number."""
    sign, digits = ("-", number[1:]) if number[0] == "-" else ("", number)
    digits, percent = digits.rstrip("%"), "%" if digits.endswith("%") else ""
    whole, _, part = digits.partition(".")
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    value = f"{whole}.{part}" if part else whole
    return f"{sign if value != '0' else ''}{value}{percent}"


def _token(tokens: Sequence[str], at: int) -> str:
    return tokens[at] if 0 <= at < len(tokens) else ""


# -- English --------------------------------------------------------------------------------------


def _english(tokens: Sequence[str], at: int) -> tuple[tuple[str, ...], int]:
    """What to put for the token at ``at``, and some of those after it; and where they end."""
    first = tokens[at]
    if first in _ORDINAL_UNITS or first in _ORDINAL_TENS:
        before = _token(tokens, at - 1)  # one third, a tenth: a part of something
        if before in _ENGLISH or before.isdecimal():
            return (first,), at + 1
        return (_ordinal(_ORDINAL_UNITS.get(first) or _ORDINAL_TENS[first]),), at + 1
    if first[0] in "0123456789":
        digits, end = _multiplied(tokens, at)
    else:
        value, end = _cardinal(tokens, at)
        if value is None:
            return (first,), at + 1
        ordinal = _ORDINAL_UNITS.get(_token(tokens, end), 0)
        if tokens[end - 1] in _TENS and 0 < ordinal < _TEN:
            return (_ordinal(value + ordinal),), end + 1
        digits = str(value)
    if _token(tokens, end) == "percent":
        return (f"{digits}%",), end + 1
    if _token(tokens, end) == "per" and _token(tokens, end + 1) == "cent":
        return (f"{digits}%",), end + 2
    if end == at + 1 and first == "one":
        return (first,), end
    return (digits,), end


def _cardinal(tokens: Sequence[str], at: int) -> tuple[int | None, int]:
    """The number in words that begins at ``at``, and where it ends."""
    if tokens[at] == "a":
        if _token(tokens, at + 1) not in _MULTIPLES:
            return None, at
        value, end = (100, at + 2) if tokens[at + 1] == "hundred" else (1, at + 1)
        if tokens[at + 1] == "hundred":
            value, end = _and(tokens, end, value, below=100)
    else:
        found, end = _below_thousand(tokens, at)
        if found is None:
            return None, at
        value = found
    total, least = 0, 10**15
    while (power := _POWERS.get(_token(tokens, end), least)) < least:
        total, least, end = total + value * power, power, end + 1
        more, end = _and(tokens, end, 0, below=power)
        value = more
    if _token(tokens, end) == "dozen" and not total:
        return value * 12, end + 1
    return total + value, end


def _below_thousand(tokens: Sequence[str], at: int) -> tuple[int | None, int]:
    value, end = _below_hundred(tokens, at)
    if value and _token(tokens, end) == "hundred":
        return _and(tokens, end + 1, value * 100, below=100)
    return value, end


def _below_hundred(tokens: Sequence[str], at: int) -> tuple[int | None, int]:
    first = _token(tokens, at)
    if first in _TENS:
        unit = _UNITS.get(_token(tokens, at + 1), 0)
        return (_TENS[first] + unit, at + 2) if 0 < unit < _TEN else (_TENS[first], at + 1)
    return (_UNITS[first], at + 1) if first in _UNITS else (None, at)


def _and(tokens: Sequence[str], at: int, value: int, *, below: int) -> tuple[int, int]:
    """``value`` and what is added to it at ``at``; "and" may stand between them."""
    start = at + 1 if _token(tokens, at) == "and" else at
    parse = _below_hundred if below <= 100 else _below_thousand  # noqa: PLR2004 - as its name says
    more, end = parse(tokens, start)
    if not more or more >= below:
        return value, at
    after = _token(tokens, end)
    # Between two hundred and three hundred: that is another number. But a thousand and two hundred.
    if (after in _MULTIPLES and _MULTIPLES[after] >= below) or (
        start > at and after in _MULTIPLES and below <= 100  # noqa: PLR2004
    ):
        return value, at
    return value + more, end


def _multiplied(tokens: Sequence[str], at: int) -> tuple[str, int]:
    """The number in digits at ``at``, times what follows: 1.5 million, 3万."""
    digits, after = tokens[at], _token(tokens, at + 1)
    power = _POWERS.get(after) or _HAN_POWERS.get(after) or _HAN_UNITS.get(after, 0)
    if power <= _TEN or len(digits) > _LONGEST:
        return digits, at + 1
    beyond = _token(tokens, at + 2)
    if after in _HAN_NUMERALS and (
        beyond[:1].isdecimal()  # 3万5 is more than 30,000
        or beyond in _HAN_NUMERALS
        or (after in _HAN_UNITS and beyond in _NO_THOUSANDS)
    ):
        return digits, at + 1
    return _normal(format(Decimal(digits) * power, "f")), at + 2


def _ordinal(number: int) -> str:
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{_ENDINGS.get(number % _TEN, 'th')}"


# -- Chinese --------------------------------------------------------------------------------------


def _han(tokens: Sequence[str], at: int) -> tuple[tuple[str, ...], int]:
    """What to put for the run of numerals that begins at ``at``; and where it ends."""
    if tuple(tokens[at : at + 3]) == _PER_CENT:
        digits, end = _pointed(tokens, at + 3)
        return (f"{digits}%",) if digits else tuple(tokens[at : at + 3]), end
    end = at + 1
    while _token(tokens, end) in _HAN_NUMERALS:
        end += 1
    run = tuple(tokens[at:end])
    pointed, after_point = _pointed(tokens, at) if _token(tokens, end) == "点" else ("", end)
    if "." in pointed and _token(tokens, after_point) in _POINT_BEFORE:
        power = _HAN_POWERS.get(tokens[after_point], 0)
        if power:
            return (_normal(format(Decimal(pointed) * power, "f")),), after_point + 1
        return (pointed,), after_point
    before, after = _token(tokens, at - 1), _token(tokens, end)
    if before in _AROUND or before[:1].isdecimal():
        return run, end
    if len(run) == 1:
        return ((_single(run[0], before, after, tokens[end : end + 2]),), end)
    if not any(numeral in _HAN_DIGITS for numeral in run[:1]) and run[0] != "十":
        return run, end  # 万一, 千万, 百万: no digit says how many
    value = _value(run)
    return (run if value is None else (value,)), end


def _single(numeral: str, before: str, after: str, next_two: Sequence[str]) -> str:
    """A numeral alone, in digits if it counts something."""
    if numeral == "一":
        follows = "".join(next_two)
        counts = before not in _NO_ONES and any(
            follows.startswith(measure[:2]) for measure in _ONES
        )
        return "1" if counts and follows not in {"年级", "天到", "天气"} else numeral
    if numeral in _HAN_DIGITS and before == "第":
        return _HAN_DIGITS[numeral]
    if after not in _MEASURES or before in _NO_COUNT or (after == "小" and next_two[1:] != ["时"]):
        return numeral
    if numeral == "十":
        return numeral if after == "分" and next_two[1:] not in (["钟"], ["之"]) else "10"
    return _HAN_DIGITS.get(numeral, numeral)


def _pointed(tokens: Sequence[str], at: int) -> tuple[str, int]:
    """The decimal at ``at``, in digits; "" if there is none."""
    if _PLAIN.fullmatch(_token(tokens, at)):
        return tokens[at], at + 1
    end = at
    while _token(tokens, end) in _HAN_NUMERALS:
        end += 1
    run = tuple(tokens[at:end])
    if not run:
        return "", at
    whole = _HAN_DIGITS.get(run[0]) if len(run) == 1 else _value(run)
    whole = "10" if run == ("十",) else "100" if run == ("百",) else whole
    if whole is None:
        return "", at
    part = end
    while _token(tokens, end) == "点" and _token(tokens, part + 1) in _HAN_DIGITS:
        part += 1
    if part == end:
        return whole, end
    return (
        f"{whole}.{''.join(_HAN_DIGITS[digit] for digit in tokens[end + 1 : part + 1])}",
        part + 1,
    )


def _value(run: Sequence[str]) -> str | None:
    """The number that a run of at least two numerals is; None if it is not one for sure."""
    if all(numeral in _HAN_DIGITS for numeral in run):
        # 二〇二六, digit by digit; but 三四 is three or four.
        sure = len(run) > 3 or (len(run) == 3 and run[1] in "零〇")  # noqa: PLR2004
        return "".join(_HAN_DIGITS[numeral] for numeral in run) if sure else None
    total = 0
    section: Sequence[str] = run
    for power in ("亿", "万"):
        if section.count(power) > 1:
            return None
        if power in section:
            at = section.index(power)
            value = _section(section[:at])
            if not value:
                return None
            total += value * _HAN_POWERS[power]
            section = section[at + 1 :]
            if len(section) == 1 and section[0] in _HAN_DIGITS:  # 一万二: twelve thousand
                return str(total + int(_HAN_DIGITS[section[0]]) * _HAN_POWERS[power] // 10)
    if section:
        value = _section(section)
        if value is None:
            return None
        total += value
    return str(total)


def _section(numerals: Sequence[str]) -> int | None:
    """The number below ten thousand that ``numerals`` are; None if they are none."""
    total, least, at = 0, 10_000, 0
    while at < len(numerals):
        numeral = numerals[at]
        if numeral in "零〇" and len(numerals) > 1:
            at += 1
            continue
        if numeral == "十" and at == 0:
            digit = 1
        elif numeral in _HAN_DIGITS:
            digit = int(_HAN_DIGITS[numeral])
            at += 1
        else:
            return None
        unit = _HAN_UNITS.get(numerals[at]) if at < len(numerals) else 1
        if unit is None or unit >= least:
            return None
        if unit == 1 and least >= 100 and at > 1 and numerals[at - 2] not in "零〇":  # noqa: PLR2004
            unit = least // 10  # 三千五: three thousand five hundred
        total, least, at = total + digit * unit, unit, at + 1
    return total

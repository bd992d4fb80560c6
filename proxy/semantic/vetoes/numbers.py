"""Vetoes questions with other numbers, units of measure or currencies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from proxy.semantic.vetoes.gist import Gist, once
from proxy.semantic.vetoes.phrases import words_of
from proxy.semantic.words.numerals import numbers as numbers_in


def numbers(a: Gist, b: Gist) -> bool:
    """Whether their numbers differ, in whichever order; "second" to "tenth" are numbers too."""
    return _numbers(a) != _numbers(b)


def units(a: Gist, b: Gist) -> bool:
    """Whether each measures in a unit that the other does not name, or in another at a number."""
    one, other = units_of(a), units_of(b)
    if one - other and other - one:
        return True
    if not (_measures(a) and _measures(b)):
        return False
    here, there = dict(_measures(a)), dict(_measures(b))
    return any(there.get(number, unit) != unit for number, unit in here.items())


@once
def _numbers(gist: Gist) -> Counter[str]:
    found = Counter(numbers_in(gist.text.tokens))
    if "second" in gist.tokens and _SECOND.search(gist.folded):
        found["2"] += 1
    if _ONCE.search(gist.folded):
        found["once"] += 1
    for word in ("twice", "thrice", "half", "double", "triple"):
        if word in gist.tokens:
            found[_TIMES.get(word, word)] += 1
    return found


_TIMES: Final = MappingProxyType({"thrice": "triple", "double": "twice"})
_ONCE: Final = re.compile(r"(?:than|only|just) once\b|\bonce (?:a|an|per|every|each)\b")
_SECOND: Final = re.compile(
    r"(?<!a )(?<![0-9] )(?<!per )\bsecond\b(?! of\b| (?:opinion|hand|thought))"
)

# A name of the unit, words for it anywhere, and signs for it after a number.
_UNITS: Final = (
    "km kilometre kilometer kilometres kilometers / km kms 公里 千米",
    "mile mile miles / mi 英里",
    "m metre meter metres meters / m 米",
    "cm centimetre centimeter centimetres centimeters / cm 厘米",
    "mm millimetre millimeter millimetres millimeters / mm 毫米",
    "foot feet foot / ft 英尺",
    "inch inch inches / in 英寸",
    "yard yard yards / yd",
    "kg kilogram kilograms kilo kilos / kg kgs 公斤 千克",
    "g gram grams / g 克",
    "mg milligram milligrams / mg 毫克",
    "mcg microgram micrograms / mcg ug μg 微克",
    "lb pounds pound / lb lbs £ gbp 磅 英镑",
    "oz ounce ounces / oz 盎司",
    "ton ton tons tonne tonnes / t 吨",
    "jin / 斤",
    "l litre liter litres liters / l 升",
    "ml millilitre milliliter millilitres milliliters / ml 毫升",
    "gal gallon gallons / gal 加仑",
    "cup cup cups / 杯",
    "tbsp tablespoon tablespoons / tbsp",
    "tsp teaspoon teaspoons / tsp",
    "s seconds / s sec secs 秒",
    "ms millisecond milliseconds / ms 毫秒",
    "min minute minutes / min mins 分钟",
    "h hour hours / h hr hrs 小时",
    "day days / d 天 日",
    "week weeks / wk 周",
    "month months / 个月",
    "year years / yr yrs 年",
    "c celsius centigrade / °c ℃ 摄氏",
    "f fahrenheit / °f ℉ 华氏",
    "k kelvin",
    "b bytes / b 字节",
    "kb kilobyte kilobytes / kb kib",
    "mb megabyte megabytes / mb mib",
    "gb gigabyte gigabytes / gb gib",
    "tb terabyte terabytes / tb tib",
    "kw kilowatt kilowatts / kw 千瓦",
    "w watt watts / w 瓦",
    "kwh / kwh 度",
    "hz hertz / hz",
    "mhz megahertz / mhz",
    "ghz gigahertz / ghz",
    "kcal calories calorie / kcal cal 卡路里",
    "joule joules joule",
    "mph / mph",
    "kmh / kmh km/h kph",
    "percent percent / %",
    "usd dollar dollars usd 美元 美金 / $ usd",
    "eur euro euros eur 欧元 / € eur",
    "gbp gbp sterling 英镑",
    "jpy yen jpy 日元",
    "cny yuan rmb cny renminbi 人民币 / 元 块",
    "inr rupee rupees inr / ₹",
    "aud aud",
    "cad cad",
    "chf chf franc francs",
    "hkd hkd 港币 港元",
    "krw won krw 韩元",
    "rub ruble rubles rouble roubles rub",
    "btc bitcoin bitcoins btc 比特币",
    "eth ethereum eth 以太坊",
)


# Signs that are words as well, and mean a unit only after a number.
_WORDS_TOO: Final = words_of("in sec min mins gal cal wk mi ft")


def _table() -> tuple[Mapping[str, str], Mapping[str, str]]:
    words: dict[str, str] = {}
    signs: dict[str, str] = {}
    for line in _UNITS:
        name, *rest = line.split()
        table = words
        for word in rest:
            if word == "/":
                table = signs
            else:
                table[word] = name
                if len(word) > 1 and word not in _WORDS_TOO:
                    words[word] = name  # "how many km"
    return MappingProxyType(words), MappingProxyType(signs)


_WORDS, _SIGNS = _table()


def _any_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


_HAN_WORDS: Final = re.compile(_any_of(word for word in _WORDS if not word.isascii()))
_NUMERAL: Final = r"([0-9](?:[0-9.,]{0,20}[0-9])?|[一二两三四五六七八九十百千万]{1,15})"
_MEASURED: Final = re.compile(
    rf"{_NUMERAL}(?: ?({_any_of(_SIGNS)})(?![a-z])|[ -](?:degrees? )?({_any_of(_WORDS)})(?![a-z]))"
)
_CURRENCY: Final = re.compile(r"([$€£₹])(?= ?[0-9])")


@once
def units_of(gist: Gist) -> frozenset[str]:
    """The units that the question names."""
    found = {_WORDS[token] for token in gist.tokens if token in _WORDS}
    if gist.has_han:
        found.update(_WORDS[word] for word in _HAN_WORDS.findall(gist.folded))
    found.update(unit for _, unit in _measures(gist))
    found.update(_SIGNS[sign] for sign in _CURRENCY.findall(gist.folded))
    return frozenset(found)


@once
def _measures(gist: Gist) -> frozenset[tuple[str, str]]:
    """The numbers that stand right before a unit, each with that."""
    return frozenset(
        (number, _SIGNS[sign] if sign else _WORDS[word])
        for number, sign, word in _MEASURED.findall(gist.folded)
    )

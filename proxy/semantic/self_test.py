"""The self-test: whether an embedder can tell meanings apart in a script, tried on built-in pairs.

A model that does not know a script gives all its sentences of one length nearly one vector, and
with that every question would be answered with any other's answer. A service that mixes up its
vectors, or gives the same for all, does the same. Each of them shows here, before anything is
served: questions about one thing must be nearer to each other than to questions of about their
length about other things, and none of the latter may be as near as what would be served.

Both questions of a pair have words in common, as they have in life, so that an embedder that knows
no more than words can pass. All of them are sent in one order that follows no rule, so that no
rule by which vectors are mixed up can leave the pairs together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from proxy.model.meaning import Script

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_LEAST_APART: Final = (
    0.25  # all-MiniLM-L6-v2: 0.85 in English. In Chinese 0.31, but one pair at 1.00
)
_SAME_LENGTH: Final = 0.25  # of the longer; by how much questions of about the same length differ
_AGAIN: Final = 4  # texts that are asked for a second time, one by one
_LEAST_AGAIN: Final = 0.97  # cosine; int8 models shift a little with their company

LATIN_PAIRS: Final = (
    ("How do I reset my password?", "How can I reset a forgotten password?"),
    ("What is the capital of Portugal?", "Which city is the capital of Portugal?"),
    ("How long should I boil an egg?", "For how long do you boil eggs?"),
    ("Why is the sky blue?", "What makes the sky look blue?"),
    ("How do I cancel my subscription?", "I want to cancel my subscription, how?"),
    ("Where can I find my invoices?", "Where do I find the invoice for my order?"),
    ("How many planets are there in the solar system?", "How many planets has the solar system?"),
    ("Who wrote Pride and Prejudice?", "Who is the author of Pride and Prejudice?"),
    ("What is the boiling point of water?", "At what temperature does water boil?"),
    ("How do I remove a red wine stain?", "What removes red wine stains?"),
    ("Can I take my dog on the train?", "Are dogs allowed on the train?"),
    ("How do vaccines work?", "Explain how a vaccine works."),
    ("What does a neural network learn?", "What do neural networks learn?"),
    ("How do I sort a list in Python?", "Sorting a Python list: how is it done?"),
    ("Do you ship to Norway?", "Is shipping to Norway possible?"),
    ("When was the Eiffel Tower built?", "In which year was the Eiffel Tower built?"),
    ("How do I plant tomatoes?", "What is the best way to plant tomatoes?"),
    ("What are the symptoms of the flu?", "Which symptoms does the flu have?"),
    ("How do I change a flat bicycle tyre?", "Changing a flat tyre on a bicycle: how?"),
    ("What is the difference between debit and credit cards?",
     "How do credit cards differ from debit cards?"),
)  # fmt: skip
HAN_PAIRS: Final = (
    ("怎么修改登录密码", "如何更改登录密码"),
    ("葡萄牙的首都是哪里", "葡萄牙首都是哪个城市"),
    ("鸡蛋要煮多长时间", "煮鸡蛋需要多久"),
    ("天空为什么是蓝色的", "为什么天空看起来是蓝的"),
    ("怎样取消会员订阅", "我想取消会员订阅"),
    ("发票在哪里下载", "在哪里可以下载发票"),
    ("太阳系有几颗行星", "太阳系一共有多少颗行星"),
    ("红楼梦的作者是谁", "谁写了红楼梦"),
    ("水的沸点是多少度", "水烧到多少度会沸腾"),
    ("衣服上的红酒渍怎么去除", "如何去除衣服上的红酒渍"),
    ("坐高铁可以带宠物吗", "宠物能带上高铁吗"),
    ("疫苗是怎么起作用的", "疫苗的作用原理是什么"),
    ("快递寄到西藏要几天", "寄快递到西藏需要多少天"),
    ("感冒有哪些症状", "感冒的症状有什么"),
    ("西红柿怎么种", "种西红柿的方法"),
    ("长城是什么时候修建的", "长城修建于哪个年代"),
    ("自行车轮胎漏气怎么办", "自行车胎漏气了如何处理"),
    ("信用卡和储蓄卡有什么区别", "储蓄卡与信用卡的区别"),
    ("小孩几岁可以学游泳", "孩子多大能开始学游泳"),
    ("申请护照需要哪些材料", "办护照要准备什么材料"),
)
PAIRS: Final = {Script.LATIN: LATIN_PAIRS, Script.HAN: HAN_PAIRS}

Embed = Callable[[Sequence[str]], Awaitable[Sequence["Vector"]]]


class Report(NamedTuple):
    """What a self-test found; the figures are cosines, NaN where there are none."""

    passed: bool
    why: str  # for an operator: what was found, or what is wrong
    paraphrase_mean: float
    unrelated_mean: float
    unrelated_max: float


async def self_test(embed: Embed, script: Script, threshold: float) -> Report:
    """Whether what ``embed`` gives can be trusted for questions in ``script``, LATIN or HAN.

    Args:
        embed: gives as many vectors as texts. They are expected to be of unit length and are looked
            at all the same. What it raises is passed on.
        threshold: the cosine from which on an answer would be served.
    """
    pairs = PAIRS[script]
    texts = sorted((text for pair in pairs for text in pair), key=_disorder)
    found = await embed(texts)
    if len(found) != len(texts) or len({np.shape(vector) for vector in found}) != 1:
        return _failed("as many vectors of one length as there are texts were expected")
    vectors = dict(zip(texts, (_unit(vector) for vector in found), strict=True))
    if not all(np.isfinite(vector).all() for vector in vectors.values()):
        return _failed("some of the vectors have no direction")
    paraphrases = [_cosine(vectors[one], vectors[other]) for one, other in pairs]
    unrelated = [
        _cosine(vectors[one], vectors[other])
        for several, others in combinations(pairs, 2)
        for one in several
        for other in others
        if abs(len(one) - len(other)) <= _SAME_LENGTH * max(len(one), len(other))
    ]
    figures = float(np.mean(paraphrases)), float(np.mean(unrelated)), max(unrelated)
    for text in texts[:_AGAIN]:
        (again,) = await embed([text])
        if not _cosine(_unit(again), vectors[text]) >= _LEAST_AGAIN:
            return _report("a text has another vector when it is alone", *figures, passed=False)
    return _judged(*figures, threshold)


def _judged(same: float, unrelated: float, nearest: float, threshold: float) -> Report:
    figures = (
        f"questions that mean the same have a cosine of {same:.2f} on average, others of"
        f" {unrelated:.2f} and at most {nearest:.2f}"
    )
    passed = same - unrelated >= _LEAST_APART and nearest <= threshold
    if same - unrelated < _LEAST_APART:
        figures += f"; they must be {_LEAST_APART} apart"
    if nearest > threshold:
        figures += f"; none may be above the threshold of {threshold:.2f}"
    return _report(figures, same, unrelated, nearest, passed=passed)


def _failed(why: str) -> Report:
    nan = float("nan")
    return _report(why, nan, nan, nan, passed=False)


def _report(why: str, same: float, unrelated: float, nearest: float, *, passed: bool) -> Report:
    return Report(passed, why, same, unrelated, nearest)


def _unit(vector: Vector) -> Vector:
    wide = np.asarray(vector, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: Vector = (wide / np.linalg.norm(wide)).astype(np.float32)
    return unit


def _cosine(one: Vector, other: Vector) -> float:
    return float(np.dot(one, other))


def _disorder(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()

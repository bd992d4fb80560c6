"""Vetoes questions of which just one is negated.

What counts is whether a question is negated at all, since a complaint can say "not" once or thrice;
only where nothing else differs is it counted. "Isn't it ...?" asks what "is it ...?" does, and so
does 能不能. Words like "failed" or "wrong" deny enough for one that is negated, and do not need it.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.semantic.vetoes.gist import Gist, once
from proxy.semantic.vetoes.phrases import IDLE, words_of

_NEGATES: Final = re.compile(
    r"\b(?:not(?! only\b)|no(?! matter\b| problem\b| idea\b|\.)|never|none|nor|neither|nothing"
    r"|nobody|nowhere|without|cannot"
    r"|unable|incapable|impossible|can ?not|[a-z]+n't|(?:are|ca|could|did|do|does|had|has|have|is"
    r"|should|was|wo|would)nt"
    r"|instead of|rather than|except|excluding|avoid(?:ing)?|lack(?:s|ing)?|free of)\b"
    r"|\bha(?:ve|ving|d|s) (?:an? |some |any )?(?:trouble|difficult(?:y|ies)|problems?|issues?)\b"
    r"|\bnon-[a-z]"
)
_DENIES: Final = re.compile(
    r"\b(?:fail(?:s|ed|ing|ure)?|refus(?:e[sd]?|ing)|declin(?:e[sd]?|ing)|reject(?:s|ed|ing)?"
    r"|den(?:y|ied|ies)"
    r"|block(?:s|ed|ing)?|wrong|incorrect(?:ly)?|invalid|broken|missing|lost|gone|disappeared"
    r"|vanished|stop(?:s|ped)?|waiting"
    r"|pending|delayed|late|trouble|problems?|issues?|stuck|disabled|un[a-z]{4,}|hardly|barely"
    r"|only|extra|strange|different)\b"
    r"|失败|异常|错误|丢失|拒绝|坏了|故障"
)
# "Isn't Pluto a planet", "don't you ship": a question that expects a yes.
_EXPECTS: Final = re.compile(
    r"(?:^|[.!?;,] ?(?:and |but |so )?)(?:(?:is|are|was|were|does|did|has|have|wo|would"
    r"|should)n't\b"
    r"|(?:can|could|do)(?:'t|n't) (?=(?:i|you|we|they|he|she|it|the|a|an|my|your|this|that"
    r"|people)\b))"
    r"|, (?:is|are|was|were|does|do|did|has|have|wo|would|should|can|could)n't (?:i|you|we|they"
    r"|he|she|it|there)\b"
    r"|\b(?:not sure|(?:don't|dont|do not|can't|cannot|can not) (?:really )?(?:know|understand"
    r"|see|tell))"
    r"(?= (?:if|what|where|how|why|when|who|which|whether)\b)"
    r"|\b(?:can't|cant|cannot|can not|couldn't|unable to) (?:seem to )?(?:find|locate)\b"
    r"|\bwhy (?:not|don't (?:you|we))\b"
)
_HINTED: Final = words_of(
    """
    not no never none nor neither nothing nobody nowhere without cannot unable incapable impossible
    instead rather except excluding avoid avoiding lack lacks lacking free non
    trouble difficulty difficulties problem problems issue issues
    arent cant couldnt didnt dont doesnt hadnt hasnt havent isnt shouldnt wasnt wont wouldnt
    """
)
_HAN_NEUTRAL: Final = re.compile(
    r"(.)不\1|有没有?有|有没有|是否|与否|[要行好对能会]不[要行好对能会]|不(?:同|错|管|过|仅|断|但"
    r"|锈|动产|好意思|知道?|限|少|久|妨|得不|得已|愧|由|料|论|止|只|免)"
    r"|差不多|对不起|[了受]不起|没关系|没收|没问题|无(?:线|论|人机|锡|限|数|疑|聊|所谓|需)"
    r"|非(?:常|洲|要|得)|除非|是非|莫(?:名|斯|扎)|未(?:来|必|婚|央)"
    r"|(?:特|区|分|级|性|类|识|告|差|个|派|辨|鉴)别|别(?:人|墅|的|名|称|克|样|致|扭|处)"
)
_HAN_NEGATES: Final = re.compile("[不没無无非别未勿莫]|禁止|避免|除了|以外")


def negation(a: Gist, b: Gist) -> bool:
    """Whether just one is negated, or one once more than the other and nothing else differs."""
    one, other = negations(a), negations(b)
    if bool(one) != bool(other):
        return not _denied(b if one else a)
    return one != other and (one - other) % 2 == 1 and _same_otherwise(a, b)


def denies(gist: Gist) -> bool:
    """Whether the question is negated."""
    return negations(gist) > 0


@once
def negations(gist: Gist) -> int:
    """How many words of the question negate."""
    if not _may_negate(gist):
        return 0
    plain = _EXPECTS.sub(" ", gist.folded)
    count = sum(1 for _ in _NEGATES.finditer(plain))
    if gist.has_han:
        count += sum(1 for _ in _HAN_NEGATES.finditer(_HAN_NEUTRAL.sub(" ", plain)))
    return count


def _may_negate(gist: Gist) -> bool:
    """Whether a look at the phrases is worth its time."""
    return (
        gist.has_han
        or not _HINTED.isdisjoint(gist.tokens)
        or "n't" in gist.folded
        or "non-" in gist.folded
    )


@once
def _denied(gist: Gist) -> bool:
    return _DENIES.search(gist.folded) is not None


def _same_otherwise(a: Gist, b: Gist) -> bool:
    return _otherwise(a) == _otherwise(b)


@once
def _otherwise(gist: Gist) -> frozenset[str]:
    return frozenset(gist.roots) - IDLE - _WORDS


_WORDS: Final = words_of(
    """
    not no never none nor neither nothing nobody without unable impossible cannot
    不 没 无 非 别 未 勿
    """
)

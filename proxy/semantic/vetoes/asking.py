"""Vetoes questions that ask for something else of the same thing: who, when, where, why, how.

Only where both ask plainly. Some ways to ask are as good as others (how do I find, where do I
find), and a sentence that asks nothing fits any question.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from proxy.semantic.vetoes.gist import Gist, once

_AUXILIARY: Final = (
    r"(?:am|is|are|was|were|be|do|does|did|don't|doesn't|didn't|dont|can|can't|could|couldn't|will"
    r"|won't|would|should|shall|may|might|must|has|have|had|hasn't|haven't|isn't|aren't|wasn't"
    r"|weren't)"
)
# What ends right where a question begins, and not within a clause as in "it failed when I tried".
_LEADS: Final = re.compile(
    r"(?:^|[.!?;:,] ?|\b(?:know|me|us|explain|understand|see|sure|out|about|and|but|so|or|ask|idea"
    r"|please|hi|hello|reason) )$"
)
_LEAD: Final = 12  # characters, at most
_TAKES_TIME: Final = r"(?:second|minute|hour|day|week|month|year)s?"
_ALONE: Final = rf"(?:'s| {_AUXILIARY}\b| to\b|\?*$)"
# "Can you tell me ..." asks no yes or no, and "is there a way ..." asks for the way.
_ASKS_FOR: Final = (
    r"(?!(?:you|u|anyone|someone|anybody|somebody) (?:please |kindly )?(?:tell|explain|help|show"
    r"|give|let|describe|provide|list|write|know|assist|guide|advise|walk|clarify|elaborate|share"
    r"|summari[sz]e|translate|recommend|suggest|name))(?!i (?:know|ask|get help))"
    r"(?!there (?:an? |any ?)?(?:way|reason|means|option))(?!it possible)"
)


class _Way(NamedTuple):
    """A way to ask."""

    name: str
    hints: tuple[str, ...]  # one of them is in any text that asks so; none: look all the same
    pattern: re.Pattern[str]  # with a group "asked" where a question has to begin

    def is_in(self, text: str) -> bool:
        """Whether ``text`` asks so."""
        if self.hints and not any(hint in text for hint in self.hints):
            return False
        return any(
            match.lastgroup is None
            or _LEADS.search(text[max(0, (at := match.start()) - _LEAD) : at])
            for match in self.pattern.finditer(text)
        )


def _way(name: str, hints: str, *patterns: str) -> _Way:
    return _Way(name, tuple(hints.split()), re.compile("|".join(patterns)))


_ENGLISH: Final = (
    _way(
        "who", "who author inventor founder",
        r"(?P<asked>\b(?:who|whose|whom)\b)",
        r"\b(?:author|inventor|founder)(?= of\b)",
    ),
    _way(
        "when", "when time date day year month",
        rf"(?P<asked>\bwhen{_ALONE})",
        r"\b(?:what|which) (?:time|date|day|year|month)\b",
    ),
    _way(
        "where", "where place location country city countries cities",
        rf"(?P<asked>\bwhere{_ALONE})",
        r"\b(?:what|which) (?:places?|locations?|country|countries|city|cities)\b",
    ),
    _way(
        "why", "why come reason cause purpose",
        r"(?P<asked>\b(?:why|how come)\b)",
        r"\bwhat(?:'s| is| was| are) the (?:reason|cause|purpose)",
        r"\bwhat (?:causes?|caused)\b",
        r"\b(?:any|a|the) reason (?:why|that|for|my|i)\b",
    ),
    _way(
        "duration", "how what",
        rf"\bhow (?:long|soon|quickly|fast|many {_TAKES_TIME})\b",
        r"\bwhat(?:'s| is) the (?:\w{1,20} ){0,2}(?:time ?frame|duration|period)\b",
    ),
    _way("often", "how", r"\bhow (?:often|frequently|many times)\b"),
    _way(
        "amount", "how the",
        r"\bhow (?:much|many)\b(?! times\b)",
        r"\bthe (?:number|amount|cost|price|total) of\b",
    ),
    _way(
        "degree", "how",
        r"\bhow (?:old|tall|big|large|far|deep|high|wide|heavy|hot|cold|strong|safe|accurate)\b",
    ),
    _way(
        "how", "how way steps process procedure method what recipe guide",
        r"\bhow (?:do|does|did|to|can|could|should|would|will|might|may|am|is|are|was|were|i|we|you"
        r"|exactly|else)\b",
        r"\b(?:ways?|steps|process|procedure|method)"
        r"(?<!there a way)(?<!there any way) (?:to|for|of)\b",
        r"\bwhat (?:do|can|should|must) i (?:have to |need to )?do\b",
        r"\b(?:recipe for|guide to)\b",
    ),
    _way("whether", "", rf"(?:^|[.!?;] ?|, ){_AUXILIARY} {_ASKS_FOR}"),
)  # fmt: skip
_CHINESE: Final = (
    _way("who", "", "谁|哪位|何人|什么人"),
    _way("when", "", "什么时候|何时|几点|哪天|哪年|哪一年|哪一天|几月|几号|什么时间"),
    _way("where", "", "哪里|哪儿|在哪|何处|什么地方|哪个城市|去哪"),
    _way("why", "", "为什么|为何|为啥|怎么会|怎么回事|原因"),
    _way("duration", "", "多久|多长时间|几天|多少天|多少时间|几个月|几小时|几个小时|几年"),
    _way("often", "", "多久.?一次|几次|多少次"),
    _way("amount", "", "多少(?!天|时间|次|度)|几(?:个|元|块|种|条|张|本|家|人|位|只|件)"),
    _way("degree", "", "多[大高远深重宽]"),
    _way("how", "", "怎么(?![样回会])|如何|怎样|咋|方法|步骤"),
    _way(
        "whether", "", "吗|能不能|可不可以|能否|可否|是否|是不是|会不会|有没有|要不要|行不行|好不好"
    ),
)
# Each may stand for the other.
_ALIKE: Final = frozenset(
    frozenset(pair)
    for pair in (
        ("when", "duration"), ("where", "how"), ("how", "duration"), ("amount", "degree"),
        ("often", "amount"),
    )
)  # fmt: skip


def question_word(a: Gist, b: Gist) -> bool:
    """Whether both ask plainly, and for nothing that could be the same."""
    one = ways_of(a)
    if not one or not (other := ways_of(b)):
        return False
    return not any(_alike(left, right) for left in one for right in other)


@once
def ways_of(gist: Gist) -> frozenset[str]:
    """What the question asks for; more than one where it asks more than once."""
    text = gist.folded
    ways = _CHINESE if gist.has_han else _ENGLISH
    found = {way.name for way in ways if way.is_in(text)}
    if len(found) > 1:
        found.discard("whether")  # "can you tell me where": asks where
    return frozenset(found)


def _alike(one: str, other: str) -> bool:
    return one == other or frozenset((one, other)) in _ALIKE

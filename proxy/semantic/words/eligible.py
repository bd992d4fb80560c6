"""Whether a question may be answered by meaning at all: told from its words, before any look-up.

Not where every sign counts (code), where the answer does not last, where the meaning lies in what
was said before, where there is too little or too much to compare, and where it is no language:
strings crafted to come near to other questions are found by machines, and are no words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from proxy.model.meaning import Doubt, Script
from proxy.semantic.words.lexer import is_unspaced
from proxy.semantic.words.text import Text

_MOST_CHARACTERS: Final = 8_000  # more is too long in any language, and is not looked at
_HAN_CONTENT: Final = 0.75  # of a token that a character of Han says: four are three words

# -- code -----------------------------------------------------------------------------------------

_FENCED: Final = re.compile(
    r"```|~~~~|<(?:/[a-z][a-z0-9]*|!doctype|\?xml|\?php)\b|#!/", re.IGNORECASE
)
_CODE_LINE: Final = re.compile(
    r"[;{}][ \t]*+$|^[ \t]*+(?:(?:def|class) \w+[^\n]*:[ \t]*$"
    r"|import \w|from \w++(?:\.\w++)* import |#include\b|(?:const|let|var) \w+ *+="
    r"|(?:public|private|static|async) \w|(?<=[ \t])return\b|\w++(?:\.\w++)* *+[-+*]?= *+\S"
    r"|(?:>>>|\$) \S|at \w++(?:\.\w++)+\(|Traceback )",
    re.MULTILINE,
)
_CODE_LINES: Final = 2  # from here on it is no accident
_SIGNS: Final = re.compile(r"[{}()\[\];=<>|\\&_$@#^*~]")
_CODE_SIGNS: Final = 6
_CODE_SHARE: Final = 0.12  # of all characters; prose of any kind has less than a third of that

# -- what was said before -------------------------------------------------------------------------

# Whole questions that continue what was said, whatever it was.
_CONTINUES: Final = re.compile(
    r"(?:(?:and|but|so|then|ok(?:ay)?|well|no|yes|also|please|thanks?|hm+),? )*"
    r"(?:(?:and|but|or|then|also) .{0,60}|(?:what|how) about .{0,60}|why(?: not| so|"
    r" is that)?|how(?: so| come)?|what|who|where|when|"
    r"which(?: ones?)?|really|yes|no|yeah|yep|nope|sure|ok(?:ay)?|correct|right"
    r"|exactly|thanks?(?: you)?|"
    r"(?:please )?(?:continue|go on|go ahead|keep going|proceed|carry on)|more|again"
    r"|next|try again|one more|another(?: one)?|"
    r"(?:(?:tell|show|give) me|say) (?:some )?more(?: about (?:it|that|this|them))?|"
    r"(?:can|could|would) you (?:please )?(?:explain|elaborate|repeat|clarify|expand"
    r"|rephrase|summarize)(?: (?:it|that|this|on (?:it|that|this)|further|more|again"
    r"|please))*|"
    r"(?:explain|elaborate|repeat|clarify|expand|rephrase|translate|summarize|rewrite"
    r"|shorten|simplify|fix)"
    r"(?: (?:it|that|this|them|further|more|again|please|on (?:it|that|this)))*|"
    r"(?:make|do) (?:it|that|this|them) .{0,40}|"
    r"(?:what|how|why|where|when|who|which)(?: (?:do|does|did|is|are|was|were|can"
    r"|could|would|should|will))?"
    r"(?: (?:you|i|we|it|that|this|they|those|these|he|she|them))+(?: (?:mean|work"
    r"|works|for|about|happen|do|to|so|say|from|like|cost|then|one|ones))*|"
    r"(?:the )?(?:first|second|third|last|former|latter|other|previous|next)(?:"
    r" (?:one|two|option|part|question))?)"
)
# With something said before, these are likely to point to it.
_POINTS: Final = frozenset((
    "it", "its", "itself", "they", "them", "their", "theirs", "he", "him", "his", "she", "her",
    "hers", "those", "these", "former", "latter", "above", "previous", "previously",
    "aforementioned", "instead", "again", "another", "such", "same", "this",
))  # fmt: skip
_THAT: Final = re.compile(
    r"\bthat(?:$|[?.!,]| (?:is|was|one|case|way|work|mean|happen|option|why)\b)"
    r"|\b(?:do|does|did|is|about|of|like|with|why|for|than) that\b"
)

_CONTINUES_HAN: Final = re.compile(
    "(?:那么?|还有|然后|所以|但是?|可是|好的?|嗯+|哦+|对|是的|不是|请|再|而且|另外)*"
    "(?:(?:这|那|它|他|她)(?:[个些种样]|们)?(?:东西|问题|意思)?(?:的?(?:是|有)?(?:呢|为什么|怎么办|怎么样|怎么回事"
    "|怎么做|如何|什么|什么意思|是什么|谁|多少|多少钱|在哪里?|可以|行|好))?"
    "|为什么(?:呢|这样|这么说|不行|不可以|不能)?|为啥|怎么(?:办|说|样|了|做|弄|会)?|如何|什么|哪个|哪里|谁|多少|几个|多久|什么时候|什么意思"
    "|继续(?:说|写|讲|吧)?|接着(?:说|写|讲)?|详细(?:点|一点|说说|说明|解释)?|具体(?:点|说说|呢)?|展开(?:讲讲|说说)?"
    "|再(?:来一?[个次遍]|说一遍|试一次|解释一下)|换一?个"
    "|下一[个步]|上一[个步]|第.[个种条点步](?:呢|是什么|怎么做)?|第[一二三四五][个种条点步]呢|还有[吗呢别的其他]*|然后呢?|比如(?:说"
    "|呢)?|举个?例子?|例如|真的|是[吗的]|不是|好的?|对|行|可以|嗯+|谢谢[你您]?)"
    "[吗呢啊吧呀了嘛哦的]*"
)
_WHAT_OF: Final = re.compile("(?:那|那么|还有|但是?|如果|要是|换成).{0,12}呢|.{1,4}呢")
_POINTS_HAN: Final = re.compile(
    "[它他她]|[这那](?:个|些|种|样|里|边|么|是|会|能|该|款|家|件|次)|上面|前面|刚才|上述|前者|后者"
    "|同样|换成|第[一二三四五六七八九十0-9]+[个种条点步]"
)

# -- how much there is ----------------------------------------------------------------------------

# Said out of courtesy, or for the grammar; they say nothing alone.
_EMPTY: Final = frozenset((
    "a", "an", "the", "please", "thanks", "thank", "hi", "hello", "hey", "ok", "okay", "um", "uh",
    "oh", "well", "so", "and", "or", "but", "just", "吗", "呢", "啊", "吧", "呀", "哦", "嘛",
    "了", "的",
))  # fmt: skip

# -- odd ------------------------------------------------------------------------------------------

_CONSONANTS: Final = re.compile(
    r"[bcdfghjklmnpqrstvwxz]{7}|[^\Waeiouy\d_]{5}[^\Waeiouy\d_]*[bcdfgjkqvwxz]{2}"
)
_VOWELS: Final = re.compile(r"[aeiouy\u00c0-\uffff]")
_REPEATED: Final = re.compile(r"(.)\1{3}|(..)\2{3}")
_CRAFTED: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_GLUED: Final = re.compile(
    r"[a-z]{3}[A-Z][a-z]{2}|[A-Za-z]{2}[\])}*\\|][A-Za-z(\[{*\\]|[\])}][\[({\\*]"
    r"|[*\\=]{2}[A-Za-z]|[!?.]-{2}|\\[+*]"
)
_LONGEST_WORD: Final = 28  # letters; longer words are hardly asked about
_RANDOM: Final = 12  # characters from which on letters mixed with digits look drawn by lot
_ODD_SHARE: Final = 0.2  # of the characters of the tokens
_ODD_ALONE: Final = 24  # characters of one odd token that are enough
_ODD_SHARE_ALONE: Final = 0.35  # where there is one odd token: it may be a name
_ODD_TOKENS: Final = 2
_GLUED_MOST: Final = 3
_SALAD: Final = 16  # words of English from which on some join the others
_JOINING_SHARE: Final = 0.06
_JOINING: Final = frozenset((
    "a", "about", "am", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could",
    "did", "do", "does", "for", "from", "had", "has", "have", "how", "i", "if", "in", "is", "it",
    "my", "no", "not", "of", "on", "or", "our", "so", "than", "that", "the", "their", "there",
    "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "why",
    "will", "with", "would", "you", "your",
))  # fmt: skip
_SAME_WORD: Final = 0.5  # of at least so many tokens
_SAME_WORDS: Final = 8


class Eligibility:
    """Tells which questions are left alone.

    Args:
        volatile: whether a question is about now; given the question as it was asked.
        least: tokens that must say something.
        most: tokens of a question, about as a model counts them.
    """

    def __init__(self, volatile: Callable[[str], bool], *, least: int = 3, most: int = 512) -> None:
        self._volatile = volatile
        self._least = least
        self._most = most

    def doubt(self, text: Text, *, has_history: bool) -> Doubt | None:
        """Why ``text`` is not to be answered by meaning; None if it may be.

        Args:
            text: the last message of a user.
            has_history: whether anything but instructions was said before it.
        """
        if len(text.raw) > _MOST_CHARACTERS or _length(text) > self._most:
            return Doubt.TOO_LONG
        if _is_code(text.raw):
            return Doubt.CODE
        if _is_odd(text):
            return Doubt.ODD
        if self._volatile(text.raw):
            return Doubt.VOLATILE
        if _points_back(text, has_history=has_history):
            return Doubt.ANAPHORA
        if _content(text) < self._least:
            return Doubt.TOO_SHORT
        return None


def _length(text: Text) -> int:
    """About how many tokens a model makes of ``text``."""
    return sum(1 + (len(token) - 1) // 6 for token in text.tokens)


def _content(text: Text) -> float:
    """How many tokens of ``text`` say something."""
    said = [token for token in text.tokens if token not in _EMPTY and any(map(str.isalnum, token))]
    han = sum(map(is_unspaced, said))
    return len(said) - han + _HAN_CONTENT * han


def _is_code(raw: str) -> bool:
    if _FENCED.search(raw):
        return True
    if "\n" in raw and len(_CODE_LINE.findall(raw)) >= _CODE_LINES:
        return True
    signs = len(_SIGNS.findall(raw))
    return signs >= _CODE_SIGNS and signs > _CODE_SHARE * len(raw)


def _points_back(text: Text, *, has_history: bool) -> bool:
    """Whether the meaning lies in what was said before."""
    asked = text.folded.strip(" .?!,;:\u2026\u3002\u3001~\"'")
    if text.script in {Script.HAN, Script.MIXED}:
        bare = re.sub(r"[\s,.;:!?、。…~]", "", asked)
        if _CONTINUES_HAN.fullmatch(bare) or _WHAT_OF.fullmatch(bare):
            return True
        return has_history and _POINTS_HAN.search(bare) is not None
    if _CONTINUES.fullmatch(asked):
        return True
    return has_history and (
        any(token in _POINTS for token in text.tokens) or _THAT.search(asked) is not None
    )


def _is_odd(text: Text) -> bool:
    """Whether too much of ``text`` is no words."""
    if not text.tokens:
        return bool(text.folded)
    odd = [token for token in text.tokens if _is_no_word(token)]
    size = sum(map(len, odd))
    if any(len(token) >= _ODD_ALONE for token in odd):
        return True
    share = _ODD_SHARE if len(odd) >= _ODD_TOKENS else _ODD_SHARE_ALONE
    if size > share * sum(map(len, text.tokens)):
        return True
    if len(_GLUED.findall(text.raw)) >= _GLUED_MOST or _CRAFTED.search(text.folded):
        return True
    return _is_salad(text)


def _is_no_word(token: str) -> bool:
    if "://" in token or "@" in token or "/" in token or is_unspaced(token):
        return False  # an address or a path is odd by nature
    if token.isalpha():
        if len(token) > _LONGEST_WORD or (len(token) > 4 and _REPEATED.search(token)):  # noqa: PLR2004
            return True
        if not token.isascii():
            return False
        return len(token) > 5 and (not _VOWELS.search(token) or bool(_CONSONANTS.search(token)))  # noqa: PLR2004
    if len(token) < _RANDOM or not any(map(str.isdigit, token)) or not any(map(str.isalpha, token)):
        return False
    if token.isalnum() and len(token) >= _ODD_ALONE:
        return True
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(token))
    return changes > len(token) // 4


def _is_salad(text: Text) -> bool:
    """Whether words follow one another that nothing joins, or the same ones again and again."""
    counts = Counter(text.tokens)
    if len(text.tokens) >= _SAME_WORDS and max(counts.values()) > _SAME_WORD * len(text.tokens):
        return True
    words = sum(count for token, count in counts.items() if token.isalpha() and token.isascii())
    if text.script is not Script.LATIN or words < _SALAD or words < len(text.tokens) // 2:
        return False
    joining = sum(count for token, count in counts.items() if token in _JOINING)
    return joining < _JOINING_SHARE * words and "," not in text.raw

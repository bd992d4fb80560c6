"""What a question comes down to: its words, their roots, and those that its answer depends on.

Vetoes compare these. Roots are English words without their endings; Han characters stand alone. In
the content, the most common ways of saying a thing are made one and the words that carry nothing
are set aside (``phrases``).

Everything is taken from the folded text, in time that grows with it and with nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar, cast

from proxy.model.meaning import Script
from proxy.semantic.vetoes.phrases import CHINESE, ENGLISH, IDLE, ONE, words_of
from proxy.semantic.words.text import Text

T = TypeVar("T")

HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"[{HAN}]|[^\W{HAN}]+(?:[.'-][^\W{HAN}]+)*[+#]{{0,2}}")
_ENGLISH: Final = re.compile(
    rf"(?<![^\W{HAN}])(?:{'|'.join(map(re.escape, sorted(ENGLISH, key=len, reverse=True)))})"
    rf"(?![^\W{HAN}])"
)
_CHINESE: Final = re.compile("|".join(sorted(CHINESE, key=len, reverse=True)))
_DIGITS: Final = re.compile(r"[0-9.,%-]+(?:st|nd|rd|th)?")
_VOWEL: Final = re.compile("[aeiouy]")
_LEAST: Final = 3  # letters of a root
_LONG: Final = 5  # letters of one that may end in -is or -iz
_TENSES: Final = ("ed", "ing")
_NO_TENSES: Final = ("eed", "thing")
_DOUBLED: Final = frozenset("bdfglmnprtz")
# Their last letter tells them from other words.
_WHOLE: Final = words_of("plane care note fire hope rate site scare cause during")


class Gist:
    """What a question comes down to. Each part is worked out when it is first asked for."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.folded = text.folded.replace("\u2019", "'")  # with plain apostrophes
        self.features: dict[object, object] = {}  # what vetoes found in it, by how (``once``)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Words and Han characters as they stand in ``folded``."""
        return _tokens(self)

    @property
    def roots(self) -> tuple[str, ...]:
        """Of each token."""
        return _roots(self)

    @property
    def content(self) -> tuple[str, ...]:
        """Words that the answer depends on, as they stand."""
        return _weighty(self)

    @property
    def counts(self) -> Counter[str]:
        """Of ``content``."""
        return _counts(self)

    def beyond(self, other: Gist) -> list[str]:
        """The content that ``other`` has not, or not as often, as it stands."""
        spare = dict(other.counts)
        found = []
        for word in self.content:
            left = spare.get(word, 0)
            if left:
                spare[word] = left - 1
            else:
                found.append(word)
        return found

    @property
    def has_han(self) -> bool:
        return self.text.script in {Script.HAN, Script.MIXED}


def once(feature: Callable[[Gist], T]) -> Callable[[Gist], T]:
    """``feature``, worked out once for each gist: a question is compared with several others.

    Whoever is told of it leaves it as it is.
    """

    def known(gist: Gist) -> T:
        found = gist.features.get(feature, _UNKNOWN)
        if found is _UNKNOWN:
            found = gist.features[feature] = feature(gist)
        return cast("T", found)

    return known


_UNKNOWN: Final = object()


def gist_of(text: Text) -> Gist:
    """What ``text`` comes down to."""
    return Gist(text)


@once
def _tokens(gist: Gist) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(gist.folded))


@once
def _roots(gist: Gist) -> tuple[str, ...]:
    return tuple(map(root_of, gist.tokens))


@once
def _weighty(gist: Gist) -> tuple[str, ...]:
    folded = gist.folded
    plain = _ENGLISH.sub(_english, folded)
    if not folded.isascii():
        plain = _CHINESE.sub(_chinese, plain)
    words = gist.tokens if plain == folded else tuple(_TOKEN.findall(plain))
    roots = dict(zip(gist.tokens, gist.roots, strict=True))
    return tuple(_content(words, roots))


@once
def _counts(gist: Gist) -> Counter[str]:
    return Counter(gist.content)


def root_of(word: str) -> str:
    """``word`` without the endings of number, tense and possession: rough, but always the same."""
    if len(word) <= _LEAST or not word.isascii():
        return word
    root = word
    if root[-1] == "s":
        root = _singular(root)
    elif root.endswith("ied"):
        root = f"{root[:-3]}y"
    if root in _WHOLE or len(root) <= _LEAST:
        return root
    if root.endswith(_TENSES) and not root.endswith(_NO_TENSES):
        bare = root.removesuffix("ed").removesuffix("ing")
        root = bare if len(bare) >= _LEAST and _VOWEL.search(bare) else root
    if len(root) > _LEAST and root[-1] == "e" and root not in _WHOLE:
        root = root[:-1]
    if len(root) > _LEAST and root[-1] == root[-2] and root[-1] in _DOUBLED:
        root = root[:-1]
    if len(root) > _LONG and root.endswith(("is", "ys")):
        root = f"{root[:-1]}z"  # organis, analys
    return root


def _singular(word: str) -> str:
    """``word``, which ends in -s, without that."""
    if word.endswith("'s"):
        return word[:-2]
    if word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("sses", "ches", "shes", "xes")) else word[:-1].rstrip("'")


def _content(words: Sequence[str], roots: Mapping[str, str]) -> list[str]:
    found = []
    for word in words:
        if word in IDLE or _DIGITS.fullmatch(word):
            continue  # numbers have a veto of their own
        root = roots.get(word) or root_of(word)
        one = ONE.get(word) or ONE.get(root, root)
        if one not in IDLE:
            found.append(one)
    return found


def _english(match: re.Match[str]) -> str:
    return ENGLISH[match[0]]


def _chinese(match: re.Match[str]) -> str:
    return CHINESE[match[0]]

"""What makes prose shorter and leaves what it says.

Every rule is safe on its own, leaves what is tightened already alone, and removes no number, no
negation and no name: the lists of filler are short on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final

from proxy.compression.segments import Segment, segments


class Rule(StrEnum):
    """A way to make a text shorter."""

    BLANK = "blank"  # repeated blank space and blank lines
    REPEATED = "repeated"  # paragraphs that were there before, word for word
    FILLER = "filler"  # words of courtesy and emphasis that ask for nothing


_SPACES: Final = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")
# What looks behind looks once at each blank: a run of them is not begun with again and again.
_TRAILING: Final = re.compile(r"(?<![ \t])[ \t]+(?=\n)")
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_PARAGRAPHS: Final = re.compile(r"(\n{2,})")
_LEAST_REPEATED: Final = 80  # characters; a short line may well be said twice

# What is quoted is somebody else's, or is what the question is about.
_QUOTES: Final = {'"': '"', "“": "”", "«": "»", "「": "」", "『": "』"}
_OPENS: Final = re.compile(f"[{''.join(_QUOTES)}]")
# Only where a sentence begins: within one, "please" may be what it says, and a Chinese sign a part
# of another word.
_BEGINS: Final = r"(?:^|(?<=[.!?:\n])|(?<=[.!?:] ))"
_ENGLISH: Final = (
    r"(?:could|can|would|will) you (?:please|kindly)",
    r"please|kindly",
    r"i(?: would|'d) (?:really )?appreciate it if you (?:could|would)",
    r"if you (?:could|would) be so kind as to",
    r"basically,|honestly,",
)
_CHINESE: Final = (
    r"(?:^|(?<=[\u3002\uff01\uff1f\n]))"
    r"(?:(?:请|麻烦)(?:[你您](?:帮我)?|帮我))+(?=[\u4e00-\u9fff])"
)
_THANKS: Final = (
    r"\b(?:thank you|thanks)(?: (?:so|very) much)? in advance\b[.!]?",
    r"(?:先谢谢[你您]?了?|提前感谢)[\u3002\uff01]?",
)
_FILLER: Final = re.compile(
    "|".join((rf"{_BEGINS}(?:(?:{'|'.join(_ENGLISH)}) (?=[a-z]))+", _CHINESE, *_THANKS)),
    re.IGNORECASE | re.MULTILINE,
)


def tightened(text: str, rules: frozenset[Rule]) -> str:
    """``text`` by all of ``rules``."""
    if not rules:
        return text
    pieces = segments(text)
    for rule in Rule:  # in their order: what is blank must not hide what is repeated
        if rule in rules:
            pieces = _RULES[rule](pieces)
    return "".join(piece.text for piece in pieces)


def _each(change: Callable[[str], str]) -> Callable[[list[Segment]], list[Segment]]:
    def changed(pieces: list[Segment]) -> list[Segment]:
        return [
            piece._replace(text=change(piece.text)) if piece.prose else piece for piece in pieces
        ]

    return changed


def _unblank(text: str) -> str:
    lines = (
        # Two gaps or more are columns, where what is between them has a place.
        _SPACES.sub(" ", line) if "  " in line and len(_SPACES.findall(line)) == 1 else line
        for line in text.split("\n")
    )
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", "\n".join(lines)))


def _unrepeat(pieces: list[Segment]) -> list[Segment]:
    seen: set[str] = set()

    def once(text: str) -> str:
        parts = _PARAGRAPHS.split(text)
        kept: list[str] = []
        for at in range(0, len(parts), 2):
            paragraph = parts[at]
            # The first and the last may go on in what stands before or after this piece.
            inner = 0 < at < len(parts) - 1
            if inner and len(paragraph) >= _LEAST_REPEATED and paragraph in seen:
                kept[-1:] = []  # the gap before it goes with it
            else:
                kept.append(paragraph)
            if inner or len(parts) > 1:
                seen.add(paragraph)
            if at + 1 < len(parts):
                kept.append(parts[at + 1])
        return "".join(kept)

    return _each(once)(pieces)


def _unpad(text: str) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in _quotations(text):
        pieces += (_FILLER.sub("", text[done:start]), text[start:end])
        done = end
    return "".join([*pieces, _FILLER.sub("", text[done:])])


def _quotations(text: str) -> Iterator[tuple[int, int]]:
    """Where what is quoted on one line begins and ends; linear, whatever is left open."""
    line_end = done = 0
    closing: dict[str, int] = {}  # where each is next
    for opening in _OPENS.finditer(text):
        start = opening.start()
        if start < done:
            continue
        if line_end <= start:
            line_end = _found(text, "\n", start)
        mark = _QUOTES[opening[0]]
        if closing.get(mark, 0) <= start:
            closing[mark] = _found(text, mark, start + 1)
        if closing[mark] < line_end:
            done = closing[mark] + 1
            yield start, done


def _found(text: str, mark: str, start: int) -> int:
    """Where ``mark`` is next; past the end if nowhere."""
    at = text.find(mark, start)
    return len(text) + 1 if at < 0 else at


_RULES: Final[Mapping[Rule, Callable[[list[Segment]], list[Segment]]]] = {
    Rule.BLANK: _each(_unblank),
    Rule.REPEATED: _unrepeat,
    Rule.FILLER: _each(_unpad),
}

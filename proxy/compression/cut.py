"""A text cut to a number of tokens, at the ends of lines, never inside code or JSON."""

from __future__ import annotations

import re
from enum import StrEnum
from math import ceil
from typing import Final

from proxy.compression.segments import segments

_LINES: Final = re.compile(r"[^\n]*\n|[^\n]+")
_ASCII: Final = re.compile(r"[\x00-\x7f]+")
_WIDE: Final = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


class Cut(StrEnum):
    """Which part of a text goes."""

    HEAD = "head"
    MIDDLE = "middle"
    TAIL = "tail"


def tokens(text: str) -> int:
    """About how many tokens ``text`` is, to any model.

    A Han character or a syllable of Hangul is about one, of other scripts beyond ASCII two
    characters are, and of ASCII four. Tokenizers differ by a fifth, and more for code.
    """
    return ceil(_weight(text))


def _weight(text: str) -> float:
    """Its tokens before they are rounded: those of parts add up to those of the whole."""
    if text.isascii():
        return len(text) / 4
    wide, beyond = len(_WIDE.findall(text)), len(_ASCII.sub("", text))
    return wide + (len(text) - beyond) / 4 + (beyond - wide) / 2


def cut(text: str, excess: int, where: Cut, *, guarded: bool = False) -> str:
    """``text`` less at least ``excess`` tokens, as far as there is something to take out.

    A mark stands where something was taken out, and says about how much it was. What is code or
    JSON goes whole or stays whole.

    Args:
        guarded: the first and the last paragraph stay: one of them asks.
    """
    units = _units(text)
    first, last = _guard(units) if guarded else (0, len(units))
    gone = _span([_weight(unit) for unit in units[first:last]], excess + _MARK_TOKENS, where)
    if gone is None:
        return text
    start, end = first + gone[0], first + gone[1]
    left_out = "".join(units[start:end])
    before, after = "".join(units[:start]), "".join(units[end:])
    shorter = f"{_ended(before)}[... about {tokens(left_out)} tokens left out ...]\n{after}"
    return shorter if tokens(shorter) < tokens(text) else text


_MARK_TOKENS: Final = 12  # for a number of seven digits


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _units(text: str) -> list[str]:
    """What is taken out as a whole: a line of prose, or all of a block and the line it is in."""
    units: list[list[str]] = []
    open_line = False  # the last unit has no end of line yet
    for piece in segments(text):
        parts = _LINES.findall(piece.text) if piece.prose else [piece.text]
        for part in parts:
            if open_line:
                units[-1].append(part)
            else:
                units.append([part])
            open_line = not part.endswith("\n")
    return ["".join(unit) for unit in units]


def _guard(units: list[str]) -> tuple[int, int]:
    """Where what is between the first paragraph and the last begins and ends."""
    blank = [at for at, unit in enumerate(units) if not unit.strip()]
    inner = [at for at in blank if 0 < at < len(units) - 1]
    return (inner[0], inner[-1] + 1) if inner else (0, 0)


def _span(sizes: list[float], excess: int, where: Cut) -> tuple[int, int] | None:
    """The fewest units at ``where`` that are ``excess`` together, or all; None if none."""
    if not sizes:
        return None
    if where is Cut.MIDDLE:
        return _middle(sizes, excess)
    size, count = 0.0, 0
    for each in sizes if where is Cut.HEAD else reversed(sizes):
        if size >= excess:
            break
        size += each
        count += 1
    return (0, count) if where is Cut.HEAD else (len(sizes) - count, len(sizes))


def _middle(sizes: list[float], excess: int) -> tuple[int, int]:
    half, reached, start = sum(sizes) / 2, 0.0, 0
    while start < len(sizes) - 1 and reached + sizes[start] <= half:
        reached += sizes[start]
        start += 1
    end = start
    above = below = 0.0  # taken on either side of the middle
    while above + below < excess and (start > 0 or end < len(sizes)):
        if end < len(sizes) and (start == 0 or below <= above):
            below += sizes[end]
            end += 1
        else:
            start -= 1
            above += sizes[start]
    return start, end

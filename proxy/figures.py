"""Numbers as people read them, with their units; what is not known is a dash."""

from __future__ import annotations

import math
from typing import Final

UNKNOWN: Final = "-"

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def count(number: float | None) -> str:
    """``1,234``."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def share(part: float | None) -> str:
    """``12.3 %``, of a number from 0 to 1."""
    return UNKNOWN if part is None else f"{part * 100:.1f} %"


def duration(seconds: float | None) -> str:
    """``2.5 ms``, ``1.25 s``, ``3 min 20 s``, ``2 h``, ``3 d 4 h``."""
    if seconds is None:
        return UNKNOWN
    if seconds == 0:
        return "0 s"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 0.9995e-3:  # noqa: PLR2004 - the units themselves, as rounded; here and below
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:  # noqa: PLR2004
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 59.95:  # noqa: PLR2004
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < _HOUR:
        return _two(whole, (_MINUTE, "min"), (1, "s"))
    if whole < _DAY:
        return _two(whole, (_HOUR, "h"), (_MINUTE, "min"))
    return _two(whole, (_DAY, "d"), (_HOUR, "h"))


def size(number: float | None) -> str:
    """``512 KiB``, ``1.5 GiB``; of bytes."""
    if number is None:
        return UNKNOWN
    for unit in _SIZES[:-1]:
        if number < 1024:  # noqa: PLR2004 - what the units are made of
            return f"{_digits(number)} {unit}"
        number /= 1024
    return f"{_digits(number)} {_SIZES[-1]}"


def money(amount: float | None, currency: str) -> str:
    """``12.30 USD``; small amounts to the tenth of a cent and beyond."""
    if amount is None:
        return UNKNOWN
    small = 0 < abs(amount) < 1  # then two digits that say something
    digits = max(2, 1 - math.floor(math.log10(abs(amount)))) if small else 2
    return f"{amount:,.{digits}f} {currency}".strip()


def rough(number: float) -> str:
    """``1.2 M``: for the ticks of an axis."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.3g}"


def _digits(number: float) -> str:
    """Three digits at least, and none that says nothing."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}"  # noqa: PLR2004 - as rounded


def _two(seconds: int, large: tuple[int, str], small: tuple[int, str]) -> str:
    wholes, rest = divmod(round(seconds / small[0]), large[0] // small[0])
    return f"{wholes} {large[1]} {rest} {small[1]}" if rest else f"{wholes} {large[1]}"

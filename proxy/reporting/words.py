"""Numbers as people read them, with their units; what is not known is a dash."""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "-"

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_TENS: Final = 9.995  # above it, two digits are all that is read
_SIZES: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")


def count(number: float | None) -> str:
    """``1,234``."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def share(part: float | None) -> str:
    """``12.3 %``, of a number from 0 to 1."""
    return UNKNOWN if part is None else f"{part * 100:.1f} %"


def duration(seconds: float | None) -> str:
    """``2.5 ms``, ``1.2 s``, ``3 min``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1e-3:  # noqa: PLR2004 - the units themselves, here and below
        return f"{_digits(seconds * 1e6)} µs"
    if seconds < 1:
        return f"{_digits(seconds * 1e3)} ms"
    if seconds < 2 * _MINUTE:
        return f"{_digits(seconds)} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _DAY:
        return _two(seconds, (_HOUR, "h"), (_MINUTE, "min"))
    return _two(seconds, (_DAY, "d"), (_HOUR, "h"))


def size(number: float | None) -> str:
    """``512 KiB``."""
    if number is None:
        return UNKNOWN
    for unit in _SIZES[:-1]:
        if number < 1024:  # noqa: PLR2004 - what the units are made of
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{_digits(number)} {unit}"
        number /= 1024
    return f"{_digits(number)} {_SIZES[-1]}"


def money(amount: float | None, currency: str) -> str:
    """``12.30 USD``; small amounts to the tenth of a cent and beyond."""
    if amount is None:
        return UNKNOWN
    text = f"{amount:,.2f}" if amount >= 1 or amount == 0 else f"{amount:.2g}"
    return f"{text} {currency}".strip()


def _digits(number: float) -> str:
    """Two digits at least, and none that says nothing."""
    if number > 99.5:  # noqa: PLR2004 - as rounded
        return f"{number:,.0f}"
    return f"{number:.0f}" if number > _TENS or number == 0 else f"{number:.2g}"


def _two(seconds: float, large: tuple[int, str], small: tuple[int, str]) -> str:
    wholes, rest = divmod(round(seconds / small[0]), large[0] // small[0])
    return f"{wholes} {large[1]} {rest} {small[1]}" if rest else f"{wholes} {large[1]}"


def rough(number: float) -> str:
    """``1.2 M``: for the ticks of an axis."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.3g}"

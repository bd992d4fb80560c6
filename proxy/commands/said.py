"""What a proxy said, read with care: it may be of another release, and know less or more.

What is missing, or of another type than expected, is None; so is what the proxy could not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Said = Mapping[str, object]

_EMPTY: Final[Said] = {}


def found(said: Said, *path: str) -> object:
    """What is at ``path``, or None."""
    at: object = said
    for step in path:
        if not isinstance(at, Mapping):
            return None
        at = at.get(step)
    return at


def number(said: Said, *path: str) -> float | None:
    """The number at ``path``."""
    at = found(said, *path)
    return at if isinstance(at, int | float) and not isinstance(at, bool) else None


def text(said: Said, *path: str) -> str:
    """The text at ``path``, or ""."""
    at = found(said, *path)
    return at if isinstance(at, str) else ""


def flag(said: Said, *path: str) -> bool:
    """Whether there is a true at ``path``."""
    return found(said, *path) is True


def part(said: Said, *path: str) -> Said:
    """The object at ``path``, or an empty one."""
    at = found(said, *path)
    return at if isinstance(at, Mapping) else _EMPTY


def rows(said: Said, *path: str) -> list[Said]:
    """The objects in the list at ``path``."""
    at = found(said, *path)
    return [each for each in at if isinstance(each, Mapping)] if isinstance(at, list) else []


def texts(said: Said, *path: str) -> list[str]:
    """The texts in the list at ``path``."""
    at = found(said, *path)
    return [each for each in at if isinstance(each, str)] if isinstance(at, list) else []

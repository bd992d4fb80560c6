"""Faults of a configuration, told so that they can be mended: where, what, and what may be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from pydantic_core import ErrorDetails

from proxy.config.outline import EACH, Kind, Setting, outline
from proxy.model.errors import ConfigError

Place = tuple[str | int, ...]  # where a value stands in the tree

_LONGEST_SHOWN: Final = 80  # characters of what was given
_NEAR: Final = 0.6  # of difflib's ratio; finds ttl_s for ttl, and nothing for nonsense
# In an address both may be a password: what stands before the host, and what is asked of it.
_USERINFO: Final = re.compile(r"//[^/@\s]*@")
_QUERY: Final = re.compile(r"(://[^?\s]*\?).+")


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave for a place in the tree."""

    place: Place
    value: object
    source: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; ``source`` is who said it, "" if nobody did."""

    place: Place
    text: str
    source: str = ""

    def __str__(self) -> str:
        where = dotted(self.place)
        if where and self.source:
            where = f"{where} ({self.source})"
        return f"{where or self.source}: {self.text}"


def dotted(place: Place) -> str:
    """``place`` as people write it: upstreams.0.url."""
    return ".".join(str(step) for step in place)


def refusal(faults: Iterable[Fault]) -> ConfigError:
    """The error that names all ``faults``, a line each."""
    lines = [f"  {fault}" for fault in faults]
    count = "a fault" if len(lines) == 1 else f"{len(lines)} faults"
    return ConfigError("\n".join([f"the configuration has {count}:", *lines]))


def word(error: ErrorDetails, place: Place) -> str:
    """What ``error``, found at ``place``, means to who wrote the value."""
    known = {setting.path: setting for setting in outline()}
    path = _without_indices(place)
    setting = known.get(path) or known.get(path[:-1])
    given = "" if setting is None or setting.is_secret else _shown(error["input"])
    match error["type"]:
        case "extra_forbidden":
            return f"no such setting{suggestion(path, known.values())}"
        case "missing":
            return "must be given"
        case "conflict":
            return str(error["ctx"]["text"])
        case "value_error":
            return f"{error['ctx']['error']}{given}"
        case "model_type" | "dict_type":
            return "must be a mapping of names to values"
        case "tuple_type":
            return "must be a list"
        case "string_type" if isinstance(error["input"], int | float):
            return f"must be text; put it in quotes{given}"
        case kind if setting is None or kind.startswith("string"):
            return f"{error['msg'].replace('String should', 'must')}{given}"
        case _:
            return f"must be {setting.each_accepts}{given}"


def suggestion(path: tuple[str, ...], known: Iterable[Setting]) -> str:
    """The setting that ``path`` may have meant, as the rest of a sentence; "" if none is near."""
    settings = list(known)
    siblings = {s.path[-1]: s.name for s in settings if s.path[:-1] == path[:-1]}
    anywhere = {s.path[-1]: s.name for s in settings if s.kind is not Kind.SECTION}
    for names in (siblings, anywhere):
        near = get_close_matches(path[-1], names, n=1, cutoff=_NEAR)
        if near:
            return f"; did you mean {names[near[0]].replace(f'.{EACH}.', '.N.')}?"
    return ""


def _without_indices(place: Place) -> tuple[str, ...]:
    return tuple(EACH if isinstance(step, int) else step for step in place)


def _shown(value: object) -> str:
    """The scalar that was given, as the end of a sentence; "" for anything else."""
    if isinstance(value, bool):
        return f"; given: {str(value).lower()}"
    if not isinstance(value, str | int | float):
        return ""
    text = _QUERY.sub(r"\1***", _USERINFO.sub("//***@", str(value)))
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:_LONGEST_SHOWN]}..."
    return f'; given: "{text}"' if text.isprintable() else f"; given: {text!r}"

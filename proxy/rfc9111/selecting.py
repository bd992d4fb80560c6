"""Which stored response a request selects: ``Vary`` and what it names (RFC 9111, section 4.1)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from proxy.model.message import Headers
from proxy.wire.headers import ENDS_UPSTREAM, TRUSTED_ONLY

# Written or taken away by this proxy before the backend sees them: what a client sends under these
# names is not what was answered to.
_OURS: Final = ENDS_UPSTREAM | TRUSTED_ONLY | {"via"}
# Lists whose members compare without case.
_CASELESS: Final = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:;[ \t]*q=[0-9.]+)?")


class Selection(NamedTuple):
    """What tells the variants of a resource apart."""

    names: tuple[str, ...] = ()  # of request fields, lower case, in order
    by_scope: bool = False  # and whose credential it is


EVERYBODY: Final = Selection()


def selecting(headers: Headers) -> tuple[str, ...] | None:
    """The request fields that chose a response with ``headers``; None if no other will do."""
    vary = headers.get("vary")
    if not vary:
        return ()
    names = {name.strip(" \t").lower() for name in vary.split(",")} - {""}
    if "*" in names or not names.isdisjoint(_OURS):
        return None
    return tuple(sorted(names))


def selected(headers: Headers, names: tuple[str, ...]) -> tuple[str | None, ...]:
    """What a request says in the fields called ``names``, in normal form; None where it does not.

    Two requests that differ in spaces around commas, in how a field is spread over lines, or in the
    case of a language, select the same. Not in the order of languages: where two are wanted
    equally, servers tend to prefer the first.
    """
    index = headers.index()
    return tuple(_normal(name, index[name]) if name in index else None for name in names)


def _normal(name: str, value: str) -> str:
    members = [member.strip(" \t") for member in value.split(",")]
    if name in _CASELESS:
        return ",".join(member.lower().replace(" ", "") for member in members if member)
    # Of a field nobody has told us about only what is plainly a list is taken for one.
    if all(_TOKEN.fullmatch(member) for member in members):
        return ",".join(members)
    return value.strip(" \t")

r"""JSON that every reader understands alike, and one spelling for equal documents.

Two readers of one text may disagree: which of two members with the same name counts, or whose names
differ only in case, what becomes of an integer beyond 2^53, how deep is too deep. The backend is
another reader than we are, so a text on which readers may differ must not decide which stored
answer is served (RFC 8259, sections 4, 6 and 9; RFC 7493). ``loads`` refuses such texts; their
requests are forwarded untouched.

A number with a fraction or an exponent is the double nearest to it, to this reader as to others
(RFC 8259, section 6), so ``0.7`` and ``0.69999999999999996``, as some write it, are one number, and
``1e-400`` is 0. More than 17 digits tell of a reader that goes by more than that, and are refused.
Zero with a sign is 0, with a fraction as well it is ``-0.0``.

Speed: orjson parses without telling of duplicate members, so they are found by counting. Written
out again, a document has two quotation marks for each member and for each string, and one for each
quotation mark inside a string. A member lost to a duplicate is missing from that count, and only an
escape that spells a quotation mark as ``\u0022`` could hide the loss. Texts with that escape, or
with as many digits on end as an unsafe number has, take the slow road through the standard library,
which shows every member and every number.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from typing import Final

import orjson

MAX_DEPTH: Final = (
    64  # containers within containers; far above any chat, far below any reader's limit
)
_CONTAINERS: Final = frozenset({dict, list})
_MAX_SAFE_INTEGER: Final = 2**53 - 1  # RFC 7493, section 2.2
_MAX_DIGITS: Final = 17  # enough to tell any two doubles apart (IEEE 754, section 5.12.2)
# Finds 16 digits, with a point between them or not; twenty times as fast as a regular expression,
# which tries every byte.
_DIGITS_AS_0: Final = bytes(0x30 if byte in b"0123456789" else 0x20 for byte in range(256))
_LONG_NUMBER: Final = b"0" * 16


class NotStrict(ValueError):
    """Not JSON, or JSON that two readers may read differently."""


def loads(raw: bytes) -> object:
    """The document in ``raw``.

    Raises:
        NotStrict: not valid JSON in UTF-8, a member occurs twice or with names that differ only in
            case, an integer is beyond 2^53 - 1 in size, another number has more than 17 digits, or
            containers nest deeper than 64.
    """
    try:
        value: object = orjson.loads(raw)
    except ValueError as error:
        raise NotStrict(f"not valid JSON: {error}") from error
    _walk(value)
    if _hides(raw):
        _examine(raw)
    elif raw.count(b'"') != orjson.dumps(value).count(b'"'):
        raise NotStrict("a member occurs twice")
    return value


def spelled_plainly(raw: bytes) -> bytes | None:
    """What is equal for objects that differ only in space, escapes, and the order of their members.

    Only of members at the top: what is within them stays in the order it came in. Of two texts for
    which this is equal, ``loads`` takes both or neither, and returns the same but for that order.
    None: no object, or one that takes a longer look.
    """
    if raw[:1] != b"{":  # what begins with space is not worth it
        return None
    try:
        value: dict[str, object] = orjson.loads(raw)
        plain = _copied(orjson.dumps({name: value[name] for name in sorted(value)}))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # deeper can be read than written
        return None
    return None if raw.count(b'"') != plain.count(b'"') or _hides(raw) else plain


def canonical(
    value: object, *, ordered: frozenset[str] = frozenset(), normal: bool = True
) -> bytes:
    """The one spelling of ``value``: members sorted, no spaces, text in Unicode NFC.

    ``value`` must come from ``loads``. Equal values give equal bytes; ``1`` and ``1.0`` differ.

    Args:
        ordered: members of an object at the top within which the order of members counts.
        normal: false where text stays as it is, for it is not read but measured.

    Raises:
        NotStrict: two member names are the same text once normalised.
    """
    out = _sorted(value, ordered)
    # Every string is fenced by quotation marks, with which nothing composes, so the text as a whole
    # is normalised exactly when each string in it is.
    if not normal or out.isascii() or unicodedata.is_normalized("NFC", out.decode()):
        return out
    return _sorted(_normalised(value), ordered)


def _hides(raw: bytes) -> bool:
    """Whether ``raw`` may hold what is lost once it is read: a doubled member, digits."""
    return b"\\u0022" in raw or _LONG_NUMBER in raw.translate(_DIGITS_AS_0, b".")


def _sorted(value: object, ordered: frozenset[str]) -> bytes:
    if isinstance(value, dict) and not ordered.isdisjoint(value):
        value = {
            name: orjson.Fragment(orjson.dumps(member)) if name in ordered else member
            for name, member in value.items()
        }
    return _copied(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def _copied(written: bytes) -> bytes:
    """What orjson has written, to be kept: what it returns holds on to a buffer of 4 KB or more."""
    return bytes(memoryview(written))


def _walk(value: object) -> None:
    """Look at every container, level by level and so without recursing. Raises NotStrict.

    What has nothing in it is not looked into: of a text that is made to keep us busy, most is that.
    """
    level = [value]
    for depth in range(1, MAX_DEPTH + 1):
        below: list[object] = []
        for node in level:
            if isinstance(node, dict):
                # Go and ASP.NET take names without regard to case: the last one wins, and which is
                # last is lost by sorting.
                names = "".join(node)
                if not (names.islower() and names.isascii()):
                    _compare(node)
                members: Iterable[object] = node.values()
            elif isinstance(node, list):
                members = node
            else:
                continue
            if not _CONTAINERS.isdisjoint(map(type, members)):  # thousands of tokens, mostly
                if depth == MAX_DEPTH:
                    raise NotStrict(f"containers nest deeper than {MAX_DEPTH}")
                below += [member for member in members if member and type(member) in _CONTAINERS]
        if not below:
            return
        level = below


def _compare(names: Iterable[str]) -> None:
    """Raise NotStrict if two of the names that an object has differ only in case."""
    folded = [name.casefold() for name in names]
    if len(set(folded)) < len(folded):
        raise NotStrict("the names of two members differ only in case")


def _examine(raw: bytes) -> None:
    try:
        json.loads(raw, object_pairs_hook=_members, parse_int=_integer, parse_float=_double)
    except ValueError as error:
        raise NotStrict(str(error)) from error


def _members(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a member occurs twice")


def _integer(text: str) -> None:
    if abs(int(text)) > _MAX_SAFE_INTEGER:
        raise ValueError("an integer is beyond 2^53 - 1")


def _double(text: str) -> None:
    digits = text.lower().partition("e")[0].replace(".", "").strip("-0")
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number is more precise than a double")


def _normalised(value: object) -> object:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, list):
        return [_normalised(item) for item in value]
    if isinstance(value, dict):
        members = {unicodedata.normalize("NFC", name): _normalised(v) for name, v in value.items()}
        if len(members) != len(value):
            raise NotStrict("two member names are the same text")
        return members
    return value

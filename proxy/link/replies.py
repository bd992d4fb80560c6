"""What Redis answers: refusals, and replies of the shapes that make sense.

Replies are bytes in Python's lists and dicts, as RESP 2 has them, with entries of streams paired.
Nothing is decoded. A reply of another shape is not an answer to what was asked: a ValueError, which
fails the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from proxy.model.errors import TierError

Records: TypeAlias = list[tuple[bytes, dict[bytes, bytes]]]
"""Entries of a stream, oldest first: the id of each, and its fields."""


_QUOTES: Final = ", with args beginning with"


class Refusal(TierError):
    """Redis is well, and did not do what it was asked."""


class NoWrites(Refusal):
    """It takes no writes at present: a replica, out of memory, a disk that is full, an ACL."""


class NotAllowed(Refusal):
    """It will not do this until somebody changes something: an ACL, its version, what is stored.

    It says nothing of other commands, nor of writes in general.
    """


class TooLow(Refusal):
    """An entry's id is not above those that are, or were, in the stream."""


def unquoting(said: str) -> str:
    """An error as it may be logged.

    Of a command that it does not know Redis repeats the arguments: a password, or what was to be
    stored.
    """
    return said.partition(_QUOTES)[0]


def flag(reply: object) -> bool:
    """Whether it was done, of a command that may find it has nothing to do."""
    match reply:
        case None | False | 0:
            return False
        case True | 1 | b"OK":
            return True
        case _:
            raise ValueError(f"neither yes nor no: {type(reply).__name__}")


def milliseconds(reply: object) -> int | None:
    """A time that is left; None for a key that has none."""
    match reply:
        case int() if reply >= 0:
            return reply
        case -1 | -2:
            return None
        case _:
            raise ValueError(f"no time: {type(reply).__name__}")


def record_id(reply: object) -> bytes:
    """The id of an entry."""
    match reply:
        case bytes():
            return reply
        case _:
            raise ValueError(f"no id: {type(reply).__name__}")


def members(reply: object) -> frozenset[bytes]:
    """What is in a set."""
    match reply:
        case set() if all(isinstance(member, bytes) for member in reply):
            return frozenset(reply)
        case _:
            raise ValueError(f"no set of bytes: {type(reply).__name__}")


def records(reply: object) -> Records:
    """Entries of one stream."""
    match reply:
        case list():
            return [_record(item) for item in reply]
        case _:
            raise ValueError(f"no entries: {type(reply).__name__}")


def streams(reply: object, names: Mapping[bytes, str]) -> list[tuple[str, Records]]:
    """The streams that have new entries, by their names as they were asked for."""
    match reply:
        case list():
            return [_stream(item, names) for item in reply]
        case _:
            raise ValueError(f"no streams: {type(reply).__name__}")


def _stream(item: object, names: Mapping[bytes, str]) -> tuple[str, Records]:
    match item:
        case [bytes() as key, entries] if key in names:
            return names[key], records(entries)
        case _:
            raise ValueError("no stream that was asked for")


def _record(item: object) -> tuple[bytes, dict[bytes, bytes]]:
    match item:
        case (bytes() as name, dict() as fields) if all(
            isinstance(word, bytes) for pair in fields.items() for word in pair
        ):
            return name, fields
        case _:
            raise ValueError("no entry of a stream")

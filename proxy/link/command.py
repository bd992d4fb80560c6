"""Commands that are sent one by one, as values: what is sent, and what is made of the reply.

Whoever sends them may gather several, and need not know what they are about. What is refused is a
``Refusal``, see ``proxy.link.replies``; of the commands that an ACL or a server made for the tier
alone may not know, ``NotAllowed`` where that, or what stands under the key, forbids them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from proxy.link import replies
from proxy.link.replies import NotAllowed, NoWrites, Refusal, TooLow

T = TypeVar("T")
Word: TypeAlias = str | bytes | int

_NO_WRITES: Final = ("READONLY", "OOM", "NOPERM", "MISCONF", "NOREPLICAS")
_DENIED: Final = ("NOPERM", "ERR unknown command", "ERR syntax error", "WRONGTYPE")
_TOO_LOW: Final = "ERR The ID specified in XADD is equal or smaller"
_NO_STRING: Final = "WRONGTYPE"


class Command(NamedTuple, Generic[T]):
    """One command about one key."""

    key: str
    words: tuple[Word, ...]
    read: Callable[[object], T]  # raises ValueError: that is no answer to this
    writes: bool = False
    extra: bool = False  # beyond what the tier itself needs: may not be allowed, or known
    none_if: str = ""  # an error that begins so is a reply of nothing

    def refusal(self, said: str) -> Refusal | None:
        """What an error reply comes to; None if it is no refusal but a failure."""
        if self.extra and said.startswith(_TOO_LOW):
            return TooLow(said)
        if self.extra and said.startswith(_DENIED):
            return NotAllowed(said)
        return NoWrites(said) if self.writes and said.startswith(_NO_WRITES) else None


def get(key: str) -> Command[bytes | None]:
    """The bytes stored under ``key``; None if there are none, or what is there is no string."""
    return Command(key, ("GET", key), _value, none_if=_NO_STRING)


def put(key: str, value: bytes, keep_ms: int) -> Command[None]:
    """Store for so many milliseconds."""
    return Command(key, ("SET", key, value, "PX", keep_ms), _stored, writes=True)


def unlink(key: str) -> Command[None]:
    """Forget ``key``."""
    return Command(key, ("UNLINK", key), _counted, writes=True)


def claim(key: str, value: bytes, keep_ms: int) -> Command[bool]:
    """Store for so many milliseconds, if nothing is there; whether it was stored."""
    words = ("SET", key, value, "NX", "PX", keep_ms)
    return Command(key, words, replies.flag, writes=True, extra=True)


def renew(key: str, value: bytes, keep_ms: int) -> Command[bool]:
    """Store for so many milliseconds, if something is there; whether it was stored."""
    words = ("SET", key, value, "XX", "PX", keep_ms)
    return Command(key, words, replies.flag, writes=True, extra=True)


def expire(key: str, keep_ms: int) -> Command[bool]:
    """Forget ``key`` in so many milliseconds; whether it is there."""
    return Command(key, ("PEXPIRE", key, keep_ms), replies.flag, writes=True, extra=True)


def left_ms(key: str) -> Command[int | None]:
    """In how many milliseconds ``key`` is forgotten; None if it is not there, or never is."""
    return Command(key, ("PTTL", key), replies.milliseconds, extra=True)


def trim(key: str, below_id: str) -> Command[None]:
    """Drop the entries of a stream whose ids are below ``below_id``."""
    return Command(key, ("XTRIM", key, "MINID", below_id), _counted, writes=True, extra=True)


def add_member(key: str, member: bytes) -> Command[None]:
    """Put into a set, and make it if need be."""
    return Command(key, ("SADD", key, member), _counted, writes=True, extra=True)


def drop_member(key: str, member: bytes) -> Command[None]:
    """Take out of a set, if it is there."""
    return Command(key, ("SREM", key, member), _counted, writes=True, extra=True)


def append(
    key: str,
    record_id: str,
    fields: Mapping[bytes, bytes],
    *,
    most: int | None = None,
    only_if_there: bool = False,
) -> Command[bytes | None]:
    """Add an entry to a stream: its id; None if the stream is not there and shall not be made.

    Refused with ``TooLow`` if the id is not above all that the stream ever had.

    Args:
        record_id: ``milliseconds-number``; ``milliseconds-*`` and ``*`` leave it to Redis.
        fields: at least one.
        most: about how many entries are kept, the newest; all if None.
        only_if_there: do not make a stream.
    """
    words: list[Word] = ["XADD", key]
    if only_if_there:
        words.append("NOMKSTREAM")
    if most is not None:
        words += ["MAXLEN", "~", most]
    words.append(record_id)
    for pair in fields.items():
        words += pair
    read = _record_id_if_there if only_if_there else replies.record_id
    return Command(key, tuple(words), read, writes=True, extra=True)


def _value(reply: object) -> bytes | None:
    match reply:
        case None | bytes():
            return reply
        case _:
            raise ValueError(f"no string: {type(reply).__name__}")


def _stored(reply: object) -> None:
    if reply not in (b"OK", True):  # the latter is how the library has it
        raise ValueError(f"not stored: {type(reply).__name__}")


def _counted(reply: object) -> None:
    match reply:
        case int():
            return
        case _:
            raise ValueError(f"no count: {type(reply).__name__}")


def _record_id_if_there(reply: object) -> bytes | None:
    return None if reply is None else replies.record_id(reply)

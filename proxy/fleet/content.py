"""What is in letters: a wish, a head, a failure. What makes no sense is None, never an exception.

A letter that opens was written by a replica, but perhaps by one of another release.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from proxy.model import errors
from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.errors import UpstreamError
from proxy.model.meeting import Begun
from proxy.model.message import Head, Headers

_WISH: Final = struct.Struct(">Q?HH")  # generation, fresh, bytes of the scope and of the digest
_APART: Final = "\0"  # which no header can hold
_FAILURES: Final = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, UpstreamError)
}


class Wish(NamedTuple):
    """Who wants to hear a flight, and what it must be."""

    mailbox: str
    key: CacheKey
    generation: int
    fresh: bool


def wish_as_bytes(wish: Wish) -> bytes:
    """``wish`` for a letter."""
    scope, digest = _bytes(wish.key.scope), wish.key.digest
    front = _WISH.pack(wish.generation, wish.fresh, len(scope), len(digest))
    return front + scope + digest + wish.mailbox.encode()


def read_wish(content: bytes) -> Wish | None:
    """The wish in a letter."""
    if len(content) < _WISH.size:
        return None
    generation, fresh, scope_bytes, digest_bytes = _WISH.unpack_from(content)
    at = _WISH.size + scope_bytes
    try:
        scope = content[_WISH.size : at].decode("utf-8", "surrogatepass")
        mailbox = content[at + digest_bytes :].decode()
    except UnicodeDecodeError:
        return None
    return Wish(mailbox, CacheKey(scope, content[at : at + digest_bytes]), generation, fresh)


def head_as_bytes(begun: Begun) -> bytes:
    """A head and what goes with it, for a letter."""
    head = begun.head
    length = "" if begun.length is None else str(begun.length)
    words = [str(head.status), length, str(begun.asked_s), head.reason]
    words += (word for pair in head.headers.pairs for word in pair)
    return _bytes(_APART.join(words))


def read_head(content: bytes) -> Begun | None:
    """The head in a letter."""
    try:
        text = content.decode("utf-8", "surrogatepass")
        status, length, asked, reason, *words = text.split(_APART)
        head = Head(int(status), reason, Headers(zip(words[::2], words[1::2], strict=True)))
        return Begun(head, int(length) if length else None, float(asked))
    except ValueError:
        return None


def failure_as_bytes(error: UpstreamError) -> bytes:
    """The kind and the text of ``error``, for a letter."""
    return _bytes(type(error).__name__ + _APART + str(error))


def read_failure(content: bytes) -> UpstreamError:
    """The error in a letter; what is not known here is an ``UpstreamError`` like any other."""
    name, _, text = content.decode("utf-8", "replace").partition(_APART)
    return _FAILURES.get(name, UpstreamError)(text)


def read_why(content: bytes) -> Why:
    """The reason in a letter; one that is not known here is that it was given up."""
    try:
        return Why(content.decode("utf-8", "replace"))
    except ValueError:
        return Why.GIVE_UP


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

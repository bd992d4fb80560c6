"""Letters: what two replicas tell each other about a flight, as bytes that nobody else can write.

    version | kind | flight | follower | number | sealed content

The flight and the follower are 16 random bytes each, made by the replica that leads and by the one
that follows. The letters of one of them to the other are numbered from 0, so that one that is lost
or comes twice is noticed.

Each conversation has keys of its own, derived from the secret that all replicas share, from what is
asked and from the two names. So a letter opens only where it belongs: what stands elsewhere, or was
made up or changed by somebody who can write to Redis, does not open. Where entries are encrypted,
letters are too (AES-256-GCM), else they carry a keyed checksum.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from enum import IntEnum
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from proxy.model.entry import CacheKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NAME_BYTES: Final = 16  # of a flight's and of a follower's name

_VERSION: Final = 1
_FRONT: Final = struct.Struct(f">BB{NAME_BYTES}s{NAME_BYTES}sQ")
_CHECK_BYTES: Final = 16
_NONCE_BYTES: Final = 12  # NIST SP 800-38D, section 8.2.2
_PERSON: Final = b"sidecache/letter"  # what keys are derived for; 16 bytes, all there may be


class Kind(IntEnum):
    """What a letter says."""

    # from who follows
    WANT = 1  # to hear the flight
    LEAVE = 2  # no longer
    # from who leads
    HERE = 3  # you will
    NO = 4  # not this one
    STORED = 5  # it has landed; look for it where entries are kept
    GIVEN_UP = 6  # it is for one only
    FAILED = 7  # the call failed before its head came
    HEAD = 8
    PIECE = 9
    BEAT = 10  # nothing new, but I am alive
    END = 11  # it is whole
    BROKEN = 12  # it broke off


class Letter(NamedTuple):
    """A letter as it came; nothing in it is to be believed before it is opened."""

    kind: Kind
    flight: bytes
    follower: bytes
    number: int
    front: bytes
    sealed: bytes


def read_letter(blob: bytes) -> Letter | None:
    """The letter that ``blob`` may be, unopened; None if it is none."""
    if len(blob) < _FRONT.size:
        return None
    version, kind, flight, follower, number = _FRONT.unpack_from(blob)
    if version != _VERSION or kind not in set(Kind):
        return None
    return Letter(Kind(kind), flight, follower, number, blob[: _FRONT.size], blob[_FRONT.size :])


class Sealing:
    """Makes conversations, each with keys of its own.

    Args:
        secret: what all replicas share, and nobody else knows.
        keys: for AES-256-GCM, 32 bytes each by their numbers from 0 to 255. The first encrypts, all
            decrypt. With any, what is not encrypted is not read.

    Raises:
        ImportError: keys are given, and the ``cryptography`` package is not there.
    """

    def __init__(self, secret: bytes, keys: Mapping[int, bytes] | None = None) -> None:
        self._secret = blake2b(secret, digest_size=64, person=_PERSON).digest()
        self._keys = dict(keys or {})
        if self._keys:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 # 8 MB

            self._cipher: type[AESGCM] = AESGCM

    def between(self, flight: bytes, follower: bytes, about: CacheKey | None) -> Conversation:
        """A conversation about ``about``; None: about nothing yet, as what the follower says."""
        return Conversation(flight, follower, self._seal(flight + follower, about))

    def _seal(self, names: bytes, about: CacheKey | None) -> Seal:
        if about is not None:
            names += about.digest + about.scope.encode("utf-8", "surrogatepass")
        if not self._keys:
            return _Checked(_derived(self._secret, names))
        ciphers = {
            number: self._cipher(_derived(self._secret, names + key))
            for number, key in self._keys.items()
        }
        return _Encrypted(ciphers, next(iter(self._keys)))


class Conversation:
    """What is said between two replicas about one flight."""

    def __init__(self, flight: bytes, follower: bytes, seal: Seal) -> None:
        self._names = flight, follower
        self._seal = seal

    def write(self, kind: Kind, number: int, content: bytes = b"") -> bytes:
        """A letter."""
        front = _FRONT.pack(_VERSION, kind, *self._names, number)
        return front + self._seal.close(front, content)

    def open(self, letter: Letter) -> bytes | None:
        """What is in ``letter``, or None if it does not belong here, whole and unchanged."""
        return self._seal.open(letter.front, letter.sealed)


class Seal(Protocol):
    """Closes and opens what is in letters, each together with what stands before it in clear."""

    def close(self, front: bytes, content: bytes) -> bytes: ...

    def open(self, front: bytes, sealed: bytes) -> bytes | None: ...


class _Checked:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def close(self, front: bytes, content: bytes) -> bytes:
        return content + self._sum(front, content)

    def open(self, front: bytes, sealed: bytes) -> bytes | None:
        content, told = sealed[:-_CHECK_BYTES], sealed[-_CHECK_BYTES:]
        return content if compare_digest(told, self._sum(front, content)) else None

    def _sum(self, front: bytes, content: bytes) -> bytes:
        checksum = blake2b(front, key=self._key, digest_size=_CHECK_BYTES)
        checksum.update(content)
        return checksum.digest()


class _Encrypted:
    def __init__(self, ciphers: Mapping[int, AESGCM], writing: int) -> None:
        self._ciphers = ciphers
        self._writing = writing

    def close(self, front: bytes, content: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._writing].encrypt(nonce, content, front)
        return bytes((self._writing,)) + nonce + sealed

    def open(self, front: bytes, sealed: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 # loaded with the cipher

        cipher = self._ciphers.get(sealed[0]) if sealed else None
        if cipher is None:
            return None
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, rest, front)
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            return None


def _derived(secret: bytes, names: bytes) -> bytes:
    """32 bytes for AES, or for a checksum."""
    return blake2b(names, key=secret, digest_size=32, person=_PERSON).digest()

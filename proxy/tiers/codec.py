"""The envelope: an entry as bytes, for the tiers that outlive this process or are shared.

    magic | version | flags | key id | scope | digest | payload | checksum

The payload holds times, texts and the body, the body compressed where that pays. Encrypted, it is
a nonce and what AES-256-GCM makes of it, and GCM's tag over all of the envelope is the checksum.

What is read back was written by a stranger: it may be torn, stale, moved to another key, or made
up. Whatever is odd about it is a miss, counted by its reason, and never an exception. Why it looks
as it does: ``docs/decisions/0007-the-envelope.md``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Final

from proxy.ledger import SHARED
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head
from proxy.model.query import Form, Usage
from proxy.tiers.codec_words import SHAPE, Buffer, WordReader, packed, wording

if TYPE_CHECKING:
    import zstandard
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MOST_BODY_BYTES: Final = 64 * 2**20  # that a body may have once it is unpacked
CLOCK_SKEW_S: Final = 5.0  # by which the clocks of those who write and read may differ

_DIGEST_BYTES: Final = 32
_MAGIC: Final = b"\x89Sdc"  # the first byte is no text in any encoding of the web
_VERSION: Final = 4
_COMPRESSED: Final = 1  # flags
_ENCRYPTED: Final = 2
_FRONT: Final = struct.Struct(">4sBBBB")  # magic, version, flags, key id, bytes of the scope
# When it was stored (seconds since 1970), ttl, stale-while-revalidate, stale-if-error, for how long
# it is retained, initial age and what the backend took, all in seconds; generation; status; form
# bits; token counts; the shape of the texts; bytes of all texts, of the body as it is here and as
# it is served.
_FIXED: Final = struct.Struct(f">7dQHBqq{SHAPE.size}sIII")
_CHECK_BYTES: Final = 16  # of the checksum, and of the tag of GCM
_NONCE_BYTES: Final = 12  # NIST SP 800-38D, section 8.2.2
_SECRET_BYTES: Final = 32
_LIGHT_BYTES: Final = 8192  # of an envelope
_LIGHT_BODY: Final = 65_536  # that is in it
_STATUSES: Final = range(100, 1000)  # RFC 9110, section 15
_STREAM, _USAGE, _ASKED, _ASKED_STREAM, _ASKED_USAGE, _COUNTED, _NEGATIVE, _WORDED = (
    1 << bit for bit in range(8)
)
_FORMS: Final = [Form(bool(bits & 1), bool(bits & 2)) for bits in range(4)]  # by two flags


class Odd(StrEnum):
    """Why bytes were not an entry."""

    FOREIGN = "foreign"  # no envelope of ours
    VERSION = "version"  # one, but of another release
    OTHER_KEY = "other_key"  # stored under a key that it was not made for
    LOCKED = "locked"  # encrypted with a key not known here, or not encrypted but should be
    CORRUPT = "corrupt"
    FUTURE = "future"  # stored later than now: a clock was set back
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """A secret of 32 bytes for AES-256-GCM and the number, 0 to 255, that envelopes name it by.

    Nonces are random: a key should make way for the next after 2**32 entries (NIST SP 800-38D,
    section 8.3).

    Raises:
        ValueError: the number or the length of the secret is wrong.
    """

    id: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.id not in range(256) or len(self.secret) != _SECRET_BYTES:
            raise ValueError("an encryption key is 32 bytes with a number from 0 to 255")


class Codec:
    """Turns entries into envelopes and back. Counters are plain integers that only grow.

    One thread at a time may encode, and one may decode: each tier has a codec of its own.

    Args:
        compress_above: bytes of body from which zstd is tried.
        keys: the first encrypts, all decrypt. With any, what is not encrypted is a miss.

    Raises:
        ValueError: two keys with one number.
        ImportError: keys are given, and the ``cryptography`` package is not there.
    """

    def __init__(self, *, compress_above: int = 1024, keys: Sequence[EncryptionKey] = ()) -> None:
        if len({key.id for key in keys}) != len(keys):
            raise ValueError("two encryption keys have the same number")
        self._compress_above = compress_above
        self._ciphers: dict[int, AESGCM] = {}
        if keys:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 # 8 MB

            self._ciphers = {key.id: AESGCM(key.secret) for key in keys}
        self._writing_id = keys[0].id if keys else 0
        self._compressor: zstandard.ZstdCompressor | None = None
        self._decompressor: zstandard.ZstdDecompressor | None = None
        self._words = WordReader()
        self.odd = dict.fromkeys(Odd, 0)

    def twin(self) -> Codec:
        """A codec with the same keys, for another thread. It counts what is odd in ``odd``, too."""
        twin = Codec(compress_above=self._compress_above)
        twin._ciphers, twin._writing_id = self._ciphers, self._writing_id
        twin.odd = self.odd
        return twin

    def encode(self, entry: Entry, now: float, wall: float) -> bytes:
        """The envelope of ``entry``.

        Args:
            entry: what is to be kept.
            now: seconds on the clock of ``Entry.stored_at``.
            wall: seconds since 1970 at the same moment.

        Raises:
            ValueError: a text, a number or the body is beyond what an envelope can hold.
        """
        if len(entry.body) > MOST_BODY_BYTES:
            raise ValueError("a body is larger than an envelope may hold")
        body, flags = self._pack(entry.body)
        if self._ciphers:
            flags |= _ENCRYPTED
        scope = entry.key.scope.encode("utf-8", "surrogatepass")
        try:
            front = _FRONT.pack(_MAGIC, _VERSION, flags, self._writing_id, len(scope))
            payload = *_start(entry, len(body), wall - (now - entry.stored_at)), body
        except struct.error as error:
            raise ValueError("an entry is beyond what an envelope can hold") from error
        front += scope + entry.key.digest
        # Joined rather than added up: the interpreter is free while much is copied, and it is
        # copied once.
        if self._ciphers:
            nonce, cipher = os.urandom(_NONCE_BYTES), self._ciphers[self._writing_id]
            return b"".join((front, nonce, cipher.encrypt(nonce, b"".join(payload), front)))
        return b"".join((front, *payload, _checksum(front, *payload)))

    def decode(self, key: CacheKey, blob: Buffer, now: float, wall: float) -> Entry | None:
        """The entry that was stored under ``key``, its age counted on, or None if that is odd.

        Never past its keep, and never with more of its life left than it was given. Raises nothing.

        Args:
            key: what it was asked for by.
            blob: what was found; any bytes. Nothing of it is held on to.
            now: seconds on the clock that ``Entry.stored_at`` will be read against.
            wall: seconds since 1970 at the same moment.
        """
        found = self.read(key, blob, now, wall)
        if isinstance(found, Odd):
            self.odd[found] += 1
            return None
        return found

    def read(self, key: CacheKey, blob: Buffer, now: float, wall: float) -> Entry | Odd:
        """As ``decode``, but what is odd is told rather than counted."""
        opened = self._open(key, blob)
        return opened if isinstance(opened, Odd) else self._read(key, *opened, now, wall)

    def _open(self, key: CacheKey, blob: Buffer) -> tuple[Buffer, int] | Odd:
        """The payload in the clear and the flags, when the seal is whole and the key is right."""
        if len(blob) < _FRONT.size + _CHECK_BYTES or blob[: len(_MAGIC)] != _MAGIC:
            return Odd.FOREIGN
        _, version, flags, key_id, scope_bytes = _FRONT.unpack_from(blob)
        if version != _VERSION or flags > _COMPRESSED | _ENCRYPTED:
            return Odd.VERSION
        owner = key.scope.encode("utf-8", "surrogatepass") + key.digest
        end = _FRONT.size + len(owner)
        if blob[_FRONT.size : end] != owner or scope_bytes != len(owner) - len(key.digest):
            return Odd.OTHER_KEY
        if not self._ciphers:
            if flags & _ENCRYPTED:
                return Odd.LOCKED
            checksum = blake2b(blob[:-_CHECK_BYTES], digest_size=_CHECK_BYTES).digest()
            if checksum != blob[-_CHECK_BYTES:]:
                return Odd.CORRUPT
            return blob[end:-_CHECK_BYTES], flags
        cipher = self._ciphers.get(key_id)
        if cipher is None or not flags & _ENCRYPTED:
            return Odd.LOCKED
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 # loaded with the cipher

        nonce, sealed = blob[end : end + _NONCE_BYTES], blob[end + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, sealed, blob[:end]), flags
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            return Odd.CORRUPT

    def _read(
        self, key: CacheKey, payload: Buffer, flags: int, now: float, wall: float
    ) -> Entry | Odd:
        # A sum that fits says that the bytes are as they were written, not by whom: nothing that
        # follows trusts a length or a number.
        if len(payload) < _FIXED.size:
            return Odd.CORRUPT
        (
            wall_stored, ttl, swr, sie, retain, initial_age, upstream_s,
            born, status, bits, prompt, completion, shape, texts, packed, served,
        ) = _FIXED.unpack_from(payload)  # fmt: skip
        if texts + packed != len(payload) - _FIXED.size or status not in _STATUSES:
            return Odd.CORRUPT
        # Of these comparisons, no number that is none passes any.
        if not (
            -inf < wall_stored < inf and 0.0 <= ttl < inf and 0.0 <= swr < inf and 0.0 <= sie < inf
            and 0.0 <= retain < inf and 0.0 <= initial_age < inf and 0.0 <= upstream_s < inf
        ):  # fmt: skip
            return Odd.CORRUPT
        since = wall - wall_stored
        if since < -CLOCK_SKEW_S:
            return Odd.FUTURE
        lifetime = Lifetime(ttl, swr, sie, retain)
        if since + initial_age >= lifetime.keep:
            return Odd.EXPIRED
        end = _FIXED.size + texts
        try:
            told = self._words.read(shape, payload[_FIXED.size : end])
            if told is None:
                return Odd.CORRUPT
            words, asked = told
            worded = wording(asked) if bits & _WORDED else None
        except ValueError:  # no texts, or no wording
            return Odd.CORRUPT
        body = self._unpack(payload[end:], flags, served)
        if body is None:
            return Odd.CORRUPT
        return Entry(
            key,
            words.dialect,
            words.model,
            Head(status, words.reason, words.headers),
            _FORMS[bits & 3],
            body,
            # A clock that is a little behind makes nothing younger than new.
            now - max(since, 0.0),
            lifetime,
            initial_age,
            Usage(prompt, completion) if bits & _COUNTED else None,
            _FORMS[bits >> 3 & 3] if bits & _ASKED else None,
            upstream_s,
            born,
            words.path,
            words.tags,
            bool(bits & _NEGATIVE),
            worded,
        )

    def _pack(self, body: bytes) -> tuple[bytes, int]:
        """The body, compressed if that makes it smaller, and the flag that tells."""
        if len(body) <= self._compress_above:
            return body, 0
        if self._compressor is None:
            import zstandard  # noqa: PLC0415 # 2 MB that an idle proxy does without

            self._compressor = zstandard.ZstdCompressor()
        packed = self._compressor.compress(body)
        return (packed, _COMPRESSED) if len(packed) < len(body) else (body, 0)

    def _unpack(self, packed: Buffer, flags: int, size: int) -> bytes | None:
        """The body of ``size`` bytes, or None; no more than that is ever allocated."""
        if size > MOST_BODY_BYTES:
            return None
        if not flags & _COMPRESSED:
            return bytes(packed) if len(packed) == size else None
        import zstandard  # noqa: PLC0415 # as in _pack

        if self._decompressor is None:
            self._decompressor = zstandard.ZstdDecompressor()
        try:
            # The frame's own word is what is allocated: it must be the one that was checked.
            if zstandard.frame_content_size(packed) != size:
                return None
            body = self._decompressor.decompress(packed, allow_extra_data=False)
        except zstandard.ZstdError:
            return None
        return body if len(body) == size else None


def is_light(blob: Buffer) -> bool:
    """Whether an envelope takes no more than some microseconds to decode, by its own word."""
    if not _FRONT.size <= len(blob) <= _LIGHT_BYTES:
        return False
    _, _, flags, _, scope_bytes = _FRONT.unpack_from(blob)
    end = _FRONT.size + scope_bytes + _DIGEST_BYTES + _FIXED.size
    if flags & _ENCRYPTED or len(blob) < end:
        return False
    return int.from_bytes(blob[end - 4 : end]) <= _LIGHT_BODY


def opened(codec: Codec, digest: bytes, blob: bytes, now: float, wall: float) -> Entry | None:
    """The entry in ``blob``, found under ``digest``, whosesoever it is; None if anything is odd.

    Nothing is counted. The scope is the envelope's own word, which its seal is over, too.
    """
    if len(blob) < _FRONT.size or not blob.startswith(_MAGIC):
        return None
    scope = blob[_FRONT.size : _FRONT.size + _FRONT.unpack_from(blob)[-1]]
    try:
        key = CacheKey(scope.decode("utf-8", "surrogatepass"), digest)
    except UnicodeDecodeError:
        return None
    entry = codec.read(key, blob, now, wall)
    return entry if isinstance(entry, Entry) else None


def _checksum(*parts: Buffer) -> bytes:
    checksum = blake2b(digest_size=_CHECK_BYTES)
    for part in parts:
        checksum.update(part)
    return checksum.digest()


def _start(entry: Entry, packed_bytes: int, wall_stored: float) -> tuple[bytes, bytes]:
    """Times and numbers, and the texts. Raises struct.error for what does not fit."""
    head, life, asked, usage = entry.head, entry.lifetime, entry.asked, entry.usage
    shape, texts = packed(entry)
    bits = (
        _STREAM * entry.form.stream
        | _USAGE * entry.form.usage
        | _ASKED * (asked is not None)
        | _ASKED_STREAM * (asked is not None and asked.stream)
        | _ASKED_USAGE * (asked is not None and asked.usage)
        | _COUNTED * (usage is not None)
        | _NEGATIVE * entry.negative
        | _WORDED * (entry.wording is not None)
    )
    fixed = _FIXED.pack(
        wall_stored,
        life.ttl,
        life.stale_while_revalidate,
        life.stale_if_error,
        life.retain,
        entry.initial_age,
        entry.upstream_s,
        entry.generation // SHARED * SHARED,
        head.status,
        bits,
        usage.prompt_tokens if usage is not None else 0,
        usage.completion_tokens if usage is not None else 0,
        shape,
        len(texts),
        packed_bytes,
        len(entry.body),
    )
    return fixed, texts


def carried(codec: Codec, blob: bytes, now: float, wall: float) -> Entry | Odd:
    """The entry in ``blob``, under the key that it names itself: nobody asked for another.

    As ``Codec.read``; the seal is over the key, too.
    """
    if len(blob) < _FRONT.size or not blob.startswith(_MAGIC):
        return Odd.FOREIGN
    end = _FRONT.size + _FRONT.unpack_from(blob)[-1]
    digest = blob[end : end + _DIGEST_BYTES]
    try:
        scope = blob[_FRONT.size : end].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return Odd.CORRUPT
    return codec.read(CacheKey(scope, digest), blob, now, wall)

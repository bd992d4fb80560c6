"""Entries made small for memory: what many have in common is kept once, the rest is a few bytes.

As objects, the key, head, times and counts of an entry take 3 KB; packed, some 350 bytes. Of an
entry there remain its body, which is nobody else's, and

- a ``Kind``: whose it is, of which model, in which form, for how long after its ttl. Every caller
  has a few of them.
- through that, a ``Mould``: a head. Heads of one dialect with the same status and the same fields,
  in the same order and spelling, are one mould, which holds the values of the first that came.
- bytes: the numbers, and each text in which the entry differs from its mould. The field that
  differs is ``Date``, as a rule; nobody has to say so, nor which fields a backend invents.

A kind, and a mould, is there for as long as an entry is made of it, and what it takes is accounted
for: who sends another head each time pays for each.

Nothing packed leaves the process; what does is an envelope (``tiers/codec.py``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from sys import getsizeof
from typing import Final, NamedTuple

from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.meaning import Wording
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage

# Bytes it is accounted for; when it was stored, its ttl, initial age and what the backend took, in
# seconds; generation; token counts; texts that differ from the mould.
_NUMBERS: Final = struct.Struct("<I4dQIII")
_SIZE: Final = struct.Struct("<I")
_TIMES: Final = struct.Struct("<3d")  # the first three of the four
_COUNT: Final = struct.Struct("<I")  # the last of all
_TEXT: Final = struct.Struct("<II")  # which one, and its bytes
_MOST_TOKENS: Final = 2**32 - 1
MOST_BYTES: Final = 2**32 - 1  # that a packed entry may be accounted for

_PATH, _TAGS, _WORDING, _VALUES = range(4)  # texts, by their numbers; values of fields are the last
_NAMESPACE_DIGITS: Final = 32  # hexadecimal; they stand before the words of the question

# Bytes on a 64-bit system, as the allocator rounds them (16 to 512 bytes by 16, and 16 for each
# larger piece): of a body 56 beyond its own, of the digest 80, of a slot 112, of the packed bytes
# 48 beyond their own, of the place in the table of slots 60; 110 where that has just grown.
_ENTRY_BYTES: Final = 366
_KIND_BYTES: Final = 560
_MOULD_BYTES: Final = 500
_FIELD_BYTES: Final = 110  # beside the texts
_UNPACKED_BYTES: Final = 1150  # as tracemalloc has it, with the place among others


class Mould:
    """What heads with the same fields have in common."""

    __slots__ = ("bytes", "dialect", "head", "key", "pairs", "path", "users")

    def __init__(self, key: _Fields, entry: Entry) -> None:
        self.key = key
        self.dialect = entry.dialect
        self.path = entry.path
        self.head = head = entry.head
        self.pairs = pairs = head.headers.pairs
        self.users = 0  # kinds that it is part of
        texts = sum(getsizeof(name) + getsizeof(value) for name, value in pairs)
        texts += getsizeof(entry.path) + getsizeof(head.reason)
        self.bytes = _MOULD_BYTES + _FIELD_BYTES * len(pairs) + texts


class Kind:
    """What the entries of one caller have in common."""

    __slots__ = (
        "asked", "bytes", "counted", "form", "key", "longer", "model", "mould", "negative",
        "retain", "scope", "stale_if_error", "stale_while_revalidate", "usage", "users",
    )  # fmt: skip

    def __init__(self, key: _Traits) -> None:
        self.key = key
        (
            self.mould, self.scope, self.model, self.form, self.asked, self.negative, self.counted,
            self.usage, self.stale_while_revalidate, self.stale_if_error, self.retain,
        ) = key  # fmt: skip
        # Seconds beyond the ttl that an entry is of use, as ``Lifetime.keep`` has it.
        self.longer = max(self.stale_while_revalidate, self.stale_if_error, self.retain)
        self.users = 0  # entries that are made of it
        self.bytes = _KIND_BYTES + getsizeof(self.scope) + getsizeof(self.model)


_Fields = tuple[str, int, str, tuple[str, ...]]
"""By what a mould is found: the dialect, status, reason, and the names of the fields."""

_Traits = tuple[
    Mould, str, str, Form, Form | None, bool, bool, Usage | None, float, float, float
]  # fmt: skip
"""By what a kind is found: its attributes. Not a class, as one is made for each entry."""


class Packed(NamedTuple):
    """An entry less its digest."""

    kind: Kind
    rest: bytes  # what tells it from others of its kind
    body: bytes
    size: int  # bytes it is accounted for, less its kind

    @property
    def alone(self) -> int:
        """Bytes it is accounted for if it shares its kind with nobody."""
        return self.size + self.kind.bytes + self.kind.mould.bytes


class Packing:
    """Packs entries and unpacks them.

    Args:
        sized: how many bytes to account an entry for, all told, for who plays with entries that
            are not what they were; None: as many as it takes.
    """

    def __init__(self, sized: Callable[[Entry], int] | None = None) -> None:
        self._sized = sized
        self._moulds: dict[_Fields, Mould] = {}
        self._kinds: dict[_Traits, Kind] = {}
        self.bytes = 0  # of all kinds and moulds

    def pack(self, entry: Entry) -> Packed:
        """``entry``, packed. Whoever has it releases its kind in the end."""
        usage, life = entry.usage, entry.lifetime
        mould = self._mould_of(entry)
        texts = _differences(entry, mould)
        prompt = completion = 0
        if counted := usage is not None and _fit(usage):
            prompt, completion = usage.prompt_tokens, usage.completion_tokens
        parts = [b""]
        for number, text in texts:
            told = text.encode("utf-8", "surrogatepass")  # any text there is comes back
            parts += (_TEXT.pack(number, len(told)), told)
        size = len(entry.body) + _ENTRY_BYTES + _NUMBERS.size + sum(map(len, parts))
        if self._sized is not None:
            size = self._sized(entry)
        parts[0] = _NUMBERS.pack(
            min(size, MOST_BYTES),
            entry.stored_at,
            life.ttl,
            entry.initial_age,
            entry.upstream_s,
            entry.generation,
            prompt,
            completion,
            len(texts),
        )
        kind = self._kind_of(
            (
                mould,
                entry.key.scope,
                entry.model,
                entry.form,
                entry.asked,
                entry.negative,
                counted,
                None if counted else usage,
                life.stale_while_revalidate,
                life.stale_if_error,
                life.retain,
            )
        )
        return Packed(kind, b"".join(parts), entry.body, size)

    def release(self, kind: Kind) -> None:
        """Forget an entry of ``kind``, and with the last of them the kind itself."""
        kind.users -= 1
        if not kind.users:
            del self._kinds[kind.key]
            self.bytes -= kind.bytes
            mould = kind.mould
            mould.users -= 1
            if not mould.users:
                del self._moulds[mould.key]
                self.bytes -= mould.bytes

    def clear(self) -> None:
        """Forget all entries."""
        self._kinds.clear()
        self._moulds.clear()
        self.bytes = 0

    def _mould_of(self, entry: Entry) -> Mould:
        head = entry.head
        names = tuple([name for name, _ in head.headers.pairs])
        key = (entry.dialect, head.status, head.reason, names)
        mould = self._moulds.get(key)
        if mould is None:
            mould = self._moulds[key] = Mould(key, entry)
            if self._sized is not None:
                mould.bytes = 0
            self.bytes += mould.bytes
        return mould

    def _kind_of(self, key: _Traits) -> Kind:
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = Kind(key)
            if self._sized is not None:
                kind.bytes = 0
            kind.mould.users += 1
            self.bytes += kind.bytes
        kind.users += 1
        return kind


def unpacked(digest: bytes, kind: Kind, rest: bytes, body: bytes) -> Entry:
    """The entry that was packed."""
    _, stored_at, ttl, initial_age, upstream_s, generation, prompt, completion, texts = (
        _NUMBERS.unpack_from(rest)
    )
    mould = kind.mould
    head, path = mould.head, mould.path
    tags: tuple[str, ...] = ()
    wording: Wording | None = None
    pairs: list[tuple[str, str]] | None = None
    at = _NUMBERS.size
    for _ in range(texts):
        number, length = _TEXT.unpack_from(rest, at)
        begin = at + _TEXT.size
        at = begin + length
        text = rest[begin:at].decode("utf-8", "surrogatepass")
        if number >= _VALUES:
            pairs = pairs or list(mould.pairs)
            pairs[number - _VALUES] = (pairs[number - _VALUES][0], text)
        elif number == _PATH:
            path = text
        elif number == _TAGS:
            tags = tuple(text.split("\n")[:-1])
        else:
            wording = _wording(text)
    if pairs is not None:
        head = Head(head.status, head.reason, Headers(pairs))
    return Entry(
        CacheKey(kind.scope, digest),
        mould.dialect,
        kind.model,
        head,
        kind.form,
        body,
        stored_at,
        Lifetime(ttl, kind.stale_while_revalidate, kind.stale_if_error, kind.retain),
        initial_age,
        Usage(prompt, completion) if kind.counted else kind.usage,
        kind.asked,
        upstream_s,
        generation,
        path,
        tags,
        kind.negative,
        wording,
    )


def unpacked_size(entry: Entry, rest: bytes) -> int:
    """Bytes that ``entry`` takes as long as it is unpacked, beside what it is packed in.

    The index of its headers, which the first hit builds, is counted.
    """
    texts = len(rest) - _NUMBERS.size
    differences: int = _COUNT.unpack_from(rest, _NUMBERS.size - _COUNT.size)[0]
    several = 20 * len(entry.head.headers.pairs) + 90 * differences + 70 * len(entry.tags)
    return _UNPACKED_BYTES + several + 4 * texts  # four bytes a character, if one is far off


def size_of(rest: bytes) -> int:
    """Bytes that the entry is accounted for, less what it shares."""
    size: int = _SIZE.unpack_from(rest)[0]
    return size


def dead_at(kind: Kind, rest: bytes) -> float:
    """When it is of no more use, in seconds on the clock of ``Entry.stored_at``."""
    stored_at, ttl, initial_age = _TIMES.unpack_from(rest, _SIZE.size)
    dead: float = stored_at + (ttl + kind.longer) - initial_age
    return dead


def _differences(entry: Entry, mould: Mould) -> list[tuple[int, str]]:
    """The texts of ``entry`` that are not its mould's, each with its number."""
    texts: list[tuple[int, str]] = []
    if entry.path != mould.path:
        texts.append((_PATH, entry.path))
    if entry.tags:  # none has control characters
        texts.append((_TAGS, "".join([f"{tag}\n" for tag in entry.tags])))
    if entry.wording is not None:
        texts.append((_WORDING, entry.wording.namespace.hex() + entry.wording.text))
    both = enumerate(zip(entry.head.headers.pairs, mould.pairs, strict=True), _VALUES)
    texts += [(number, pair[1]) for number, (pair, known) in both if pair != known]
    return texts


def _wording(text: str) -> Wording:
    return Wording(bytes.fromhex(text[:_NAMESPACE_DIGITS]), text[_NAMESPACE_DIGITS:])


def _fit(usage: Usage) -> bool:
    return 0 <= usage.prompt_tokens <= _MOST_TOKENS and 0 <= usage.completion_tokens <= _MOST_TOKENS

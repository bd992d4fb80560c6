"""The texts of an envelope: dialect, model, reason, path, tags, wording, and the header fields.

Most answers of a backend have them in common, but for the wording. So what was read before is not
read again, and those who have the same fields share them: equal bytes have one meaning.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, TypeAlias

from proxy.model.entry import Entry
from proxy.model.meaning import Wording
from proxy.model.message import Headers

Buffer: TypeAlias = bytes | memoryview

# Bytes of each text but the fields, and, before that, how many fields there are.
SHAPE: Final = struct.Struct(">7I")
_FIELD: Final = struct.Struct(">II")  # bytes of a name and of its value
_NAMESPACE_DIGITS: Final = 32  # hexadecimal; they stand before the words of the question
_KNOWN: Final = 256  # envelopes whose texts are remembered
_KNOWN_BYTES: Final = 2048  # of each, at most


class Words(NamedTuple):
    """The texts, but for the wording."""

    dialect: str
    model: str
    reason: str
    path: str
    tags: tuple[str, ...]
    headers: Headers


def packed(entry: Entry) -> tuple[bytes, bytes]:
    """The shape of the texts of ``entry``, and they themselves. Raises struct.error."""
    # Any text there is comes back as it was, the bytes that were no UTF-8 among it.
    tags = "\n".join(entry.tags)  # which have no control characters
    wording, pairs = entry.wording, entry.head.headers.pairs
    asked = "" if wording is None else wording.namespace.hex() + wording.text
    words = [
        word.encode("utf-8", "surrogatepass")
        for word in (entry.dialect, entry.model, entry.head.reason, entry.path, tags, asked)
    ]
    shape = SHAPE.pack(len(pairs), *map(len, words))
    for name, value in pairs:
        pair = name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")
        words += (_FIELD.pack(len(pair[0]), len(pair[1])), *pair)
    return shape, b"".join(words)


class WordReader:
    """Reads texts, and remembers what it has read. For one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[bytes, Words] = {}

    def read(self, shape: Buffer, texts: Buffer) -> tuple[Words, bytes] | None:
        """The texts, and the wording as bytes; None if they do not have this shape.

        Raises:
            UnicodeDecodeError: they are no texts.
        """
        fields, *lengths, asked = SHAPE.unpack(shape)
        end = sum(lengths)
        begin, end = end, end + asked
        if end > len(texts):
            return None
        # What is remembered is found by all that is read: by the shape but for the last number.
        known = b"".join((shape[:-4], texts[:begin], texts[end:]))
        words = self._known.get(known)
        if words is None:
            words = _words(texts[:begin], lengths, texts[end:], fields)
            if words is None:
                return None
            if len(known) <= _KNOWN_BYTES:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[known] = words
        return words, bytes(texts[begin:end])


def wording(asked: bytes) -> Wording:
    """The wording that ``asked`` tells. Raises ValueError if it tells none."""
    text = asked.decode("utf-8", "surrogatepass")
    namespace = bytes.fromhex(text[:_NAMESPACE_DIGITS])
    if len(namespace) != _NAMESPACE_DIGITS // 2:
        raise ValueError("no namespace")
    return Wording(namespace, text[_NAMESPACE_DIGITS:])


def _words(texts: Buffer, lengths: list[int], pairs: Buffer, fields: int) -> Words | None:
    """What the bytes before and after the wording say; None if they are not filled."""
    words, at = list[str](), 0
    for length in lengths:
        words.append(_text(texts, at, length))
        at += length
    if at != len(texts):
        return None
    at, ends = 0, len(pairs)
    for _ in range(fields):
        if at + _FIELD.size > ends:  # before a made-up count of fields is believed
            return None
        pair = _FIELD.unpack_from(pairs, at)
        at += _FIELD.size
        for length in pair:
            words.append(_text(pairs, at, length))
            at += length
    if at != ends:
        return None
    dialect, model, reason, path, tags, *field_texts = words
    headers = Headers(zip(field_texts[::2], field_texts[1::2], strict=True))
    return Words(dialect, model, reason, path, tuple(tags.split("\n")) if tags else (), headers)


def _text(texts: Buffer, at: int, length: int) -> str:
    return str(texts[at : at + length], "utf-8", "surrogatepass")

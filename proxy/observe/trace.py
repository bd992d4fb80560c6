"""The trace: what a recording holds of requests, and the bytes of its files.

A row says of one request when it came, what it asked for (as hashes that mean nothing outside of
this recording), what became of it, and what that took; nothing of its content. A file begins with
the name of its recording and is a series of blocks, each of which can be read by itself: rows of
one length, compressed together. A block that is torn or altered is known by its checksum and left
out.

    file      magic, version, recording (16 bytes)
    block     mark, bytes of the payload, checksum of the payload (16 bytes), payload (zstd)
    payload   bytes of the legend, legend (JSON), rows
    legend    rows, kinds (what many rows have in common), scopes, models; labels; counts

Numbers are little-endian; texts are bounded and printable. Bytes of the file are never trusted:
whatever is odd ends in ``TraceError`` or in a block that is counted as unreadable.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import orjson
import zstandard

VERSION: Final = 1
MOST_ROWS: Final = 4096  # in a block
_MAGIC: Final = b"\x89Sct"
_FRONT: Final = struct.Struct("<4sB16s")
_MARK: Final = b"\xf5Sctblk\n"
_HEAD: Final = struct.Struct("<8sI16s")
_LENGTH: Final = struct.Struct("<I")
_MOST_BYTES: Final = 8 * 2**20  # of a payload, compressed or not; a full block has a third of it
_LEVEL: Final = 6  # of zstd; 12 saves 2 % and takes three times as long
_SKIP: Final = 64 * 1024


class TraceError(Exception):
    """The file is no trace that this version can read; says why."""


class Kind(NamedTuple):
    """What many rows have in common. Texts; "" where there is nothing to say."""

    verdict: str
    why: str
    detail: str
    tier: str
    dialect: str
    model: str
    path: str
    doubt: str


class Facts(NamedTuple):
    """The numbers of one request. Times in seconds; nan or 0: not known, or it does not apply."""

    sent: int  # bytes of the reply's body
    size: int  # bytes that what was made to be stored is accounted for
    read: int  # tokens
    written: int
    age: float  # of what was stored and served
    ttl: float  # the freshness it had left; of what was made to be stored, all of it
    backend: float  # what the backend took for the whole answer, now or when it was made
    head: float  # what it took until its head
    told_ttl: float  # what the backend's answer says of its lifetime
    told_revalidate: float
    told_on_error: float
    told_age: float
    max_age: float  # what the caller asks for
    min_fresh: float
    max_stale: float
    wanted_ttl: float
    score: float  # the similarity of the nearest question in other words


class Row(NamedTuple):
    """One request."""

    at: float  # when the tiers were asked, in seconds since the epoch
    took: float  # seconds from then until the reply was delivered
    kind: Kind
    scope: int  # hashes of 64 bits
    key: int
    near: int  # the key of the nearest question in other words; 0: there was none
    flags: int
    facts: Facts


# Microseconds since the row before; seconds; kind, scope; key, near; flags; the numbers.
_ROW: Final = struct.Struct("<qfHHQQIQQII13f")

STORED: Final = 1  # flags
NOT_STORED: Final = 2
NEGATIVE: Final = 4
ABOUT_NOW: Final = 8
NO_CACHE: Final = 16
ONLY_IF_CACHED: Final = 32
UNOPPOSED: Final = 64  # nothing but the threshold could speak against the nearest
TARGETED: Final = 128  # the backend speaks to caches like this one
MUST_REVALIDATE: Final = 256
INCOMPLETE: Final = 512  # the reply did not reach the client whole
CONFIDENT: Final = 1024  # the answer is sure of itself, and was to be kept for longer


class Labelled(NamedTuple):
    """What was found out about one answer by meaning."""

    at: float  # since the epoch
    score: float
    wrong: bool
    weight: float  # how many hits it stands for
    source: str
    served: bool
    model: str  # the embedder's fingerprint, "canonical" or "typo"
    script: str


@dataclass(frozen=True, slots=True)
class Block:
    """Rows in the order in which the requests ended, and what happened meanwhile."""

    rows: Sequence[Row] = ()
    labels: Sequence[Labelled] = ()
    others: Mapping[str, int] = field(default_factory=dict)  # requests that make no row, by kind
    dropped: int = 0  # rows that were lost


def front(recording: bytes) -> bytes:
    """What a file of this ``recording`` (16 bytes) begins with."""
    return _FRONT.pack(_MAGIC, VERSION, recording)


def encode(block: Block) -> bytes:
    """``block``, of at most ``MOST_ROWS`` rows, as bytes of a file."""
    kinds: dict[Kind, int] = {}
    scopes: dict[int, int] = {}
    rows, packed, before = block.rows, [], 0
    for row in rows:
        at, took, kind, scope, key, near, flags, facts = row
        now = round(at * 1e6)
        packed.append(
            _ROW.pack(
                now - before, took, kinds.setdefault(kind, len(kinds)),
                scopes.setdefault(scope, len(scopes)), key, near, flags, *facts,
            )
        )  # fmt: skip
        before = now
    legend = orjson.dumps(
        {
            "rows": len(rows),
            "kinds": [list(kind) for kind in kinds],
            "scopes": [f"{scope:016x}" for scope in scopes],
            "labels": [list(label) for label in block.labels],
            "others": dict(block.others),
            "dropped": block.dropped,
        }
    )
    payload = zstandard.ZstdCompressor(level=_LEVEL).compress(
        b"".join([_LENGTH.pack(len(legend)), legend, *packed])
    )
    return _HEAD.pack(_MARK, len(payload), _checksum(payload)) + payload


class TraceFile:
    """A file of a recording, to be read from its beginning.

    Args:
        path: where it is.

    Raises:
        TraceError: it is no trace, or one of another version.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = 0  # blocks left out, as far as they could be told apart; grows
        with path.open("rb") as file:
            begun = file.read(_FRONT.size)
        if len(begun) < _FRONT.size or not begun.startswith(_MAGIC):
            raise TraceError(f"{path} is no trace: name a file that `recording.file` has made")
        _, version, self.recording = _FRONT.unpack(begun)
        if version != VERSION:
            raise TraceError(
                f"{path} is a trace of format {version}, and this version of sidecache reads"
                f" format {VERSION}: use the one that made it"
            )

    def __iter__(self) -> Iterator[Block]:
        """Every block that can be read, in order. Raises OSError."""
        with self.path.open("rb") as file:
            file.seek(_FRONT.size)
            while (head := file.read(_HEAD.size)) != b"":
                place = file.tell() - len(head)
                block = _read(file, head)
                if block is not None:
                    yield block
                    continue
                self.unreadable += 1
                if not _find(file, place + 1):
                    return


def _read(file: BinaryIO, head: bytes) -> Block | None:
    if len(head) < _HEAD.size:
        return None
    mark, length, checksum = _HEAD.unpack(head)
    if mark != _MARK or length > _MOST_BYTES:
        return None
    payload = file.read(length)
    if len(payload) < length or _checksum(payload) != checksum:
        return None
    try:
        return _decode(payload)
    except (ValueError, KeyError, TypeError, IndexError, struct.error, zstandard.ZstdError):
        return None  # the checksum is right, so whoever wrote it did not write this


def _find(file: BinaryIO, place: int) -> bool:
    """Go to the next mark from ``place`` on; False if there is none."""
    file.seek(place)
    kept = b""
    while more := file.read(_SKIP):
        kept += more
        found = kept.find(_MARK)
        if found >= 0:
            file.seek(file.tell() - len(kept) + found)
            return True
        kept = kept[-len(_MARK) + 1 :]
    return False


def _decode(payload: bytes) -> Block:
    """Raises ValueError and others of its kind where that is no block."""
    if not 0 < zstandard.frame_content_size(payload) <= _MOST_BYTES:
        raise ValueError("too long")
    raw = zstandard.ZstdDecompressor().decompress(payload, max_output_size=_MOST_BYTES)
    (length,) = _LENGTH.unpack_from(raw)
    legend = orjson.loads(raw[_LENGTH.size : _LENGTH.size + length])
    count, start = int(legend["rows"]), _LENGTH.size + length
    if not 0 <= count <= MOST_ROWS or len(raw) != start + count * _ROW.size:
        raise ValueError("not as long as it says")
    kinds = [Kind(*map(str, kind)) for kind in legend["kinds"]]
    scopes = [int(scope, 16) for scope in legend["scopes"]]
    labels = [
        Labelled(
            float(at), float(score), bool(wrong), float(weight), str(source), bool(served),
            str(model), str(script),
        )
        for at, score, wrong, weight, source, served, model, script in legend["labels"]
    ]  # fmt: skip
    others = {str(name): int(number) for name, number in legend["others"].items()}
    return Block(_rows(raw[start:], kinds, scopes), labels, others, int(legend["dropped"]))


def _rows(packed: bytes, kinds: Sequence[Kind], scopes: Sequence[int]) -> list[Row]:
    rows, at = [], 0
    for since, took, kind, scope, key, near, flags, *facts in _ROW.iter_unpack(packed):
        at += since
        row = Row(at / 1e6, took, kinds[kind], scopes[scope], key, near, flags, Facts(*facts))
        rows.append(row)
    return rows


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=16, person=b"trace").digest()

"""How the journal on disk is spelled: rows of JSON, each with its checksum.

    sidecache journal 1 <line, 32 hexadecimal digits>
    <CRC-32, 8 hexadecimal digits> {"number": 17, "kind": "tag", "value": "a", "soft": false, ...}

It can be read with ``tail``, and what a dying writer tore is a row without an end.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from proxy.model.purge import Kind, Purge
from proxy.purges.base import LARGEST, Note

_HEAD: Final = re.compile(rb"sidecache journal 1 ([0-9a-f]{32})")


class Nonsense(Exception):
    """Not written here, or damaged since."""


def seal(said: Mapping[str, object]) -> bytes:
    """A row that holds ``said``."""
    text = json.dumps(said).encode("ascii")  # which escapes what else would end the row
    return b"%08x %s\n" % (zlib.crc32(text), text)


def unseal(row: bytes) -> object:
    """What a row without its end holds. Raises Nonsense."""
    checksum, _, text = row.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        raise Nonsense("a checksum is wrong")
    try:
        return json.loads(text)
    except ValueError as error:
        raise Nonsense("a row is not JSON") from error


def whole_rows(data: bytes) -> Sequence[bytes]:
    """The rows in ``data`` that have an end, without it."""
    return data.split(b"\n")[:-1]


def file_of(line: str, notes: Sequence[Note]) -> bytes:
    """A whole file."""
    return b"sidecache journal 1 %s\n" % line.encode("ascii") + b"".join(map(row_of, notes))


def read_file(rows: Sequence[bytes]) -> tuple[str, Sequence[Note]]:
    """The line and the notes of a whole file. Raises Nonsense."""
    head = _HEAD.fullmatch(rows[0]) if rows else None
    if head is None:
        raise Nonsense("its head is not a journal's")
    notes = read_notes(rows[1:], 0)
    if not notes or notes[0].purge != Purge(Kind.ALL):
        raise Nonsense("it does not begin as a journal does")
    return head[1].decode("ascii"), notes


def row_of(note: Note) -> bytes:
    """A note as a row."""
    purge = note.purge
    return seal(
        {
            "number": note.number,
            "kind": purge.kind.value,
            "value": purge.value,
            "soft": purge.soft,
            "wall": note.wall,
        }
    )


def read_notes(rows: Sequence[bytes], above: int) -> Sequence[Note]:
    """The notes in ``rows``, whose numbers grow from ``above``. Raises Nonsense."""
    notes = []
    for row in rows:
        note = _note(unseal(row))
        if not above < note.number <= LARGEST:
            raise Nonsense("the numbers do not grow")
        above = note.number
        notes.append(note)
    return notes


def _note(said: object) -> Note:
    match said:
        case {
            "number": int(number),
            "kind": str(kind),
            "value": str(value),
            "soft": bool(soft),
            "wall": float(wall),
        } if kind in _KINDS:
            return Note(number, Purge(Kind(kind), value, soft), wall)
    raise Nonsense("a row is no note")


_KINDS: Final = frozenset(Kind)

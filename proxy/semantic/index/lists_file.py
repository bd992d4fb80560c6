"""Lists as files, so that a restart need not make them anew: centres, and which rows they have.

``<namespace>.lists`` has a mark of each row, made of its digest and its vector, and the number of
its list. A row without a mark there came or changed since, and goes to its list like any new one.
Were a mark mistaken for another, a row would be in a list where nobody looks for it: a miss.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from proxy.semantic.index.lists import Lists
from proxy.semantic.index.look import Shape
from proxy.semantic.index.rows import Rows, Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.index.pages import Slots

    Marks = NDArray[np.uint64]

_FORMAT: Final = "sidecache lists 1"
_SUM_BYTES: Final = 32
_MARK_BYTES: Final = 8


def save_all(folder: Path, rows: Rows) -> None:
    """Write all lists of ``rows``, and delete those that are none any more. Raises OSError."""
    for path in folder.glob("*.lists"):
        space = rows.spaces.get(bytes.fromhex(path.stem))
        if space is None or space.lists is None:
            path.unlink(missing_ok=True)
    for space in rows.spaces.values():
        if space.lists is not None:
            _save(folder, rows, space, space.lists)


def load_all(folder: Path, rows: Rows, shape: Shape) -> None:
    """Give spaces of ``rows`` the lists that were saved; what cannot be used is deleted.

    Raises:
        OSError: a file cannot be deleted either.
    """
    for path in folder.glob("*.lists"):
        try:
            space = rows.spaces.get(bytes.fromhex(path.stem))
            if space is not None and not rows.halted.is_set():
                _load(path, rows, space, shape)
        except (OSError, ValueError):
            path.unlink(missing_ok=True)


def _save(folder: Path, rows: Rows, space: Space, lists: Lists) -> None:
    centres, slots = lists.saved()
    all_slots = np.concatenate([*slots, np.zeros(0, np.uint32)])
    numbers = np.repeat(np.arange(len(slots), dtype=np.uint32), [len(each) for each in slots])
    alive = rows.space_of[all_slots] == space.number
    marks, numbers = _marks(rows, all_slots[alive]), numbers[alive]
    head = json.dumps([_FORMAT, *centres.shape, len(marks)]).encode() + b"\n"
    body = b"".join([head, centres.tobytes(), marks.tobytes(), numbers.tobytes()])
    path = folder / f"{space.name.hex()}.lists"
    fresh = path.with_suffix(".new")
    fresh.write_bytes(hashlib.blake2b(body, digest_size=_SUM_BYTES).digest() + body)
    fresh.replace(path)


def _load(path: Path, rows: Rows, space: Space, shape: Shape) -> None:
    """Give a space, whose rows are all loose, its lists. Raises OSError or ValueError."""
    content = memoryview(path.read_bytes())
    total, body = bytes(content[:_SUM_BYTES]), content[_SUM_BYTES:]
    if hashlib.blake2b(body, digest_size=_SUM_BYTES).digest() != total:
        raise ValueError(f"{path} is torn")
    head, _, _ = bytes(body[:1024]).partition(b"\n")
    form, count, dimensions, marked = json.loads(head)
    if form != _FORMAT or dimensions != rows.precision.dimensions or not count * marked:
        raise ValueError(f"{path} was written by another release, or for nothing")
    at = len(head) + 1
    centres = np.frombuffer(body, np.int8, count * dimensions, at).reshape(count, dimensions)
    at += centres.nbytes
    marks = np.frombuffer(body, np.dtype("=u8"), marked, at)
    numbers = np.frombuffer(body, np.dtype("=u4"), marked, at + marked * _MARK_BYTES)
    order = np.argsort(marks)
    slots = np.array(space.loose, np.uint32)
    asked = _marks(rows, slots)
    found = order[np.minimum(np.searchsorted(marks, asked, sorter=order), marked - 1)]
    known = marks[found] == asked
    lists = Lists(rows, shape)
    lists.restore(centres, slots[known], numbers[found[known]].astype(np.intp))
    rows.settle(space, lists, known)


def _marks(rows: Rows, slots: Slots) -> Marks:
    """What tells each row, and its vector, from others: as good as drawn by lot."""
    ends = np.ascontiguousarray(rows.digests[slots, -_MARK_BYTES:]).view(np.uint64)[:, 0]
    vectors = rows.vectors
    sums = np.fromiter(
        (zlib.crc32(vectors[slot]) for slot in slots.tolist()), np.uint64, len(slots)
    )
    return np.asarray(ends ^ (sums << np.uint64(32)))

"""The file of a local index: records by namespace and digest in LMDB, shared on one host.

Everything here blocks. How the file is opened, shared and trusted: ``proxy/lmdb_file.py``.

A process reads the file once, when it starts. What others write meanwhile it sees when it starts
the next time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from proxy.lmdb_file import LmdbFile, NotOurs, boot_id, is_torn, tidy

__all__ = ["NotOurs", "RowFile", "boot_id", "is_torn", "room", "tidy"]

_FORMAT: Final = b"sidecache vectors 1"
_READERS: Final = 126  # at once on one host; a process has two at most
_BATCH: Final = 2048  # records read at once
_BESIDES: Final = 250  # bytes of a row: the key, the scope and the head of a record
_PAGE: Final = 4_096
_INLINE: Final = 1_900  # bytes; LMDB gives a longer record pages of its own
_LEAST: Final = 64 * 2**20


class RowFile:
    """Records in a folder. Its methods raise ``lmdb.Error`` or ``OSError``.

    Args:
        folder: for this alone; made if missing, for its owner only.
        max_bytes: how large the file may become. Fixed for all processes by the first.
        boot: what tells this run of the machine from others.
    """

    def __init__(self, folder: Path, max_bytes: int, boot: str) -> None:
        self.folder = folder
        self._file = LmdbFile(
            folder / "rows.mdb", max_bytes, boot, form=_FORMAT, tables=(b"rows",), readers=_READERS
        )

    @property
    def set_aside(self) -> int:
        """Files that could not be trusted."""
        return self._file.set_aside

    def open(self) -> None:
        """Open the file, or set it aside and begin a new one."""
        self._file.open()

    def close(self) -> None:
        """Close the file; the last to do so has all of it written to the disk."""
        self._file.close()

    def begin_anew(self) -> None:
        """Have the file set aside by who opens it next alone: it was found to be torn. Reopen."""
        self._file.give_up()
        self._file.close()
        self._file.open()

    def count(self) -> int:
        """How many records there are."""
        (rows,) = self._file.tables
        with self._file.env.begin(buffers=True) as txn:
            return int(txn.stat(rows)["entries"])

    def batches(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """All names and records, in order of the names, some at a time."""
        after = b""
        (rows,) = self._file.tables
        while True:
            # A transaction for each, so that none keeps old pages from being used again.
            with self._file.env.begin() as txn:
                cursor = txn.cursor(db=rows)
                found = list(islice(cursor.iternext(), _BATCH)) if cursor.set_range(after) else []
            if found:
                yield found
                after = found[-1][0] + b"\0"  # the least that comes after
            if len(found) < _BATCH:
                return

    def write(self, writes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Keep records under their names, or forget those that are None; all of it or nothing."""
        (rows,) = self._file.tables
        with self._file.env.begin(write=True, db=rows) as txn:
            for name, record in writes:
                if record is None:
                    txn.delete(name)
                else:
                    txn.put(name, record)

    def clear(self) -> None:
        """Forget all records."""
        env, (rows,) = self._file.env, self._file.tables
        env.reader_check()  # who was killed while reading may hold on to pages
        with env.begin(write=True) as txn:
            txn.drop(rows, delete=False)
        for _ in range(2):  # what a commit frees is free for the next but one
            with env.begin(write=True) as txn:
                txn.put(b"format", _FORMAT, db=self._file.about)


def room(row_bytes: int, max_rows: int) -> int:
    """The bytes a file may need for so many rows, whose vectors take ``row_bytes`` each."""
    each = row_bytes + _BESIDES
    if each > _INLINE:
        each = (each // _PAGE + 1) * _PAGE + _BESIDES
    # Pages are never full, and are copied to be changed.
    return max(_LEAST, 3 * each * max_rows) // _PAGE * _PAGE

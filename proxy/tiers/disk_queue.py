"""What waits to be written to the disk: the newest word for each digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.model.entry import Entry

_BATCH_PUTS: Final = 64  # in one transaction; a few milliseconds
_BATCH_BYTES: Final = 2**20
_MOST_DELETES: Final = 65_536  # waiting; beyond that, everything is forgotten


class Put(NamedTuple):
    """An entry that waits to be written, and the generation of the file when it came."""

    entry: Entry
    generation: int
    size: int  # bytes of the entry


@dataclass(slots=True)
class Batch:
    """Words that wait to be written: a clearing, then the newest for each digest."""

    clear: bool = False
    puts: dict[bytes, Put] = field(default_factory=dict)
    deletes: set[bytes] = field(default_factory=set)
    size: int = 0  # bytes of the entries

    def knows(self, digest: bytes) -> bool:
        """Whether it decides what is found under ``digest``."""
        return digest in self.puts or self.clear or digest in self.deletes

    def put(self, put: Put) -> None:
        digest = put.entry.key.digest
        self._take_out(digest)
        self.deletes.discard(digest)
        self.puts[digest] = put
        self.size += put.size

    def delete(self, digest: bytes) -> None:
        self._take_out(digest)
        self.deletes.add(digest)
        if len(self.deletes) > _MOST_DELETES:
            # A disk that has hung for so long: rather lose what is there than fill the memory.
            self.deletes.clear()
            self.clear = True

    @property
    def full(self) -> bool:
        """Whether one transaction should do no more than this."""
        return len(self.puts) >= _BATCH_PUTS or self.size >= _BATCH_BYTES

    def split(self) -> Batch:
        """Take out what one transaction should do: all deletions, and the oldest puts."""
        if len(self.puts) <= _BATCH_PUTS and self.size <= _BATCH_BYTES:  # as a rule, all of them
            batch = Batch(self.clear, self.puts, self.deletes, self.size)
            self.clear, self.puts, self.deletes, self.size = False, {}, set(), 0
            return batch
        batch = Batch(self.clear, {}, self.deletes)
        self.clear, self.deletes = False, set()
        while self.puts and not batch.full:
            put = next(iter(self.puts.values()))
            self._take_out(put.entry.key.digest)
            batch.put(put)
        return batch

    def _take_out(self, digest: bytes) -> None:
        put = self.puts.pop(digest, None)
        if put is not None:
            self.size -= put.size

    def __bool__(self) -> bool:
        return self.clear or bool(self.puts) or bool(self.deletes)

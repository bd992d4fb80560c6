"""A worker's seat: what it has in common with the other workers, and what it is by itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Recording(NamedTuple):
    """What the files of one recording have in common."""

    name: bytes  # 16 bytes
    salt: bytes

    @classmethod
    def drawn(cls) -> Recording:
        """Another one."""
        return cls(os.urandom(16), os.urandom(32))


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a worker sits.

    Args:
        slot: its number among those that live; from 1.
        listening: where clients come in, shared by all workers.
        directory: of the running proxy, for its own processes only; nothing in it outlives it.
        secret: see ``key_secret``.
        line: to the arbiter; see ``Lifeline``.
        recording: what they record together.
    """

    slot: int
    listening: socket.socket
    directory: Path
    secret: bytes
    line: socket.socket
    recording: Recording = field(default_factory=Recording.drawn)

    @property
    def admin(self) -> Path:
        """The socket by which the desk asks it."""
        return worker_socket(self.directory, self.slot)


def worker_socket(directory: Path, slot: int) -> Path:
    """Where the worker of this number can be asked, by who may look into ``directory``."""
    return directory / f"worker-{slot}.sock"


def last_word(directory: Path, slot: int, pid: int) -> Path:
    """Where a worker that ends in order leaves what it has counted."""
    return directory / f"last-{slot}-{pid}.json"


def last_words(directory: Path) -> Iterator[tuple[Path, int, int]]:
    """Those that were left, with slot and pid."""
    for path in directory.glob("last-*-*.json"):
        _, slot, pid = path.stem.split("-")
        if slot.isdigit() and pid.isdigit():
            yield path, int(slot), int(pid)


def leave_word(directory: Path, slot: int, word: bytes) -> None:
    """Write down what a worker has counted in all, as it ends. Raises OSError."""
    path = last_word(directory, slot, os.getpid())
    unseen = path.with_suffix(".new")
    unseen.write_bytes(word)
    unseen.replace(path)

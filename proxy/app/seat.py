"""A worker's seat: what it has in common with the other workers, and what it is by itself."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a worker sits.

    Args:
        slot: its number among those that live; from 1.
        listening: where clients come in, shared by all workers.
        directory: of the running proxy, for its own processes only; nothing in it outlives it.
        secret: see ``key_secret``.
        line: to the arbiter; see ``Lifeline``.
    """

    slot: int
    listening: socket.socket
    directory: Path
    secret: bytes
    line: socket.socket

    @property
    def admin(self) -> Path:
        """The socket by which the desk asks it."""
        return worker_socket(self.directory, self.slot)


def worker_socket(directory: Path, slot: int) -> Path:
    """Where the worker of this number can be asked, by who may look into ``directory``."""
    return directory / f"worker-{slot}.sock"

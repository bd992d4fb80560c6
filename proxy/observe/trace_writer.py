"""Where a recording is written: a file that is set aside when it is long, and a few of them kept.

The newest is called as the settings say, the one before it has ``.1`` behind its name, and so on.
All of one recording begin alike. Whatever stood there before, of another recording, is set aside
first and goes in its turn. Two processes never write to one file: who comes second is refused.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from pathlib import Path
from types import ModuleType
from typing import Final

from proxy.model.errors import ConfigError
from proxy.observe.trace import front

FILES: Final = 8  # of which the oldest is dropped: so little of the trace at once
_OWNER_ONLY: Final = 0o600

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class TraceWriter:
    """Writes blocks of one recording; used by one thread at a time.

    Args:
        path: of the newest file; its folder is made if need be.
        max_bytes: of all files together, about.
        recording: 16 bytes that name it.
    """

    def __init__(self, path: Path, *, max_bytes: int, recording: bytes) -> None:
        self._path = path
        self._most = max(1, max_bytes // FILES)
        self._recording = recording
        self._file: io.FileIO | None = None
        self._lock: io.FileIO | None = None

    def open(self) -> None:
        """Take the place, and begin the first file.

        Raises:
            ConfigError: it cannot be written, or another process records there.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._take_place()
            self._begin()
        except BlockingIOError as error:
            self.close()
            raise ConfigError(
                f"recording.file: another process records to {self._path}: give each its own"
            ) from error
        except OSError as error:
            self.close()
            raise ConfigError(f"recording.file: {self._path}: {error.strerror}") from error

    def put(self, block: bytes) -> None:
        """Write ``block``, at the beginning of a new file if this one is long enough.

        Raises OSError; what was written of the block then is taken back, or is unreadable.
        """
        if self._file is None or self._file.tell() + len(block) > self._most:
            self._begin()
        file = self._file
        if file is None:
            return
        place = file.tell()
        try:
            self._write(file, block)
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(place)
                file.seek(place)
            raise

    def close(self) -> None:
        """Let go of the file and of the place."""
        file, self._file = self._file, None
        lock, self._lock = self._lock, None
        for each in (file, lock):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.close()

    def _take_place(self) -> None:
        lock = self._path.with_name(f"{self._path.name}.lock")
        self._lock = io.FileIO(os.open(lock, os.O_RDWR | os.O_CREAT, _OWNER_ONLY), "wb")
        if fcntl is not None:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _begin(self) -> None:
        """Set aside what there is, and begin a new file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        for number in range(FILES - 2, -1, -1):
            with contextlib.suppress(FileNotFoundError):
                aside(self._path, number).replace(aside(self._path, number + 1))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        # Without a buffer: what failed is not tried again behind our back.
        self._file = io.FileIO(os.open(self._path, flags, _OWNER_ONLY), "wb")
        self._write(self._file, front(self._recording))

    @staticmethod
    def _write(file: io.FileIO, content: bytes) -> None:
        if file.write(content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def aside(path: Path, number: int) -> Path:
    """The ``number``-th before the newest of the files at ``path``; 0 is that one itself."""
    return path.with_name(f"{path.name}.{number}") if number else path

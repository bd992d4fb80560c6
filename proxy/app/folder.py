"""The folder of a running proxy: for its own processes only, and gone with the last of them."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from proxy.model.errors import ConfigError

_PREFIX: Final = "sidecache-"
_LOCK: Final = "lock"
_LONGEST: Final = "fleet-post-0123456789abcdef.new"  # as long as the name of any socket in it


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """A new folder, in which sockets can be made; those of proxies that were killed are removed.

    It is locked for as long as a process lives that has been forked meanwhile.

    Raises:
        ConfigError: there is no place for it.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigError(
            f"workers: several need a folder for temporary files: {fault_of(error)}; set TMPDIR"
        ) from error
    with made as name:
        folder = Path(name)
        _try(folder / _LONGEST)
        sweep(folder.parent)
        with (folder / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder


def sweep(parent: Path) -> None:
    """Remove the folders in ``parent`` whose processes are all gone. Raises nothing."""
    with suppress(OSError):
        for left in parent.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                _remove(left)


def fault_of(error: OSError) -> str:
    """What the system calls it; the library adds to that."""
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)


def _remove(left: Path) -> None:
    if left.is_symlink() or left.stat().st_uid != os.getuid():
        return
    # Who has yet to lock its own has not made the file yet, either.
    lock = os.open(left / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left, ignore_errors=True)
    finally:
        os.close(lock)


def _try(path: Path) -> None:
    """Make a socket there, and remove it. Raises ConfigError."""
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
        path.unlink()
    except OSError as error:
        raise ConfigError(
            f"workers: no socket can be made at {path}: {fault_of(error)}; "
            "set TMPDIR to a folder with a short path"
        ) from error

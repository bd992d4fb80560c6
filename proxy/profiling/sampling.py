"""Samples of what every thread of this process does, taken by py-spy from outside.

py-spy reads the interpreter's memory from a process of its own, so what is looked at does not slow
down, needs no changes, and is seen where it is: in C as well, and in every thread. It is asked not
to stop the process for a sample; a stack that changed while it was read shows as odd, rarely.

The kernel lets a process look only into its own children (Yama), so this one names the child that
may look into it, before that child becomes py-spy, and names nobody afterwards.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import sys
import sysconfig
import tempfile
from typing import IO, Final

_PROGRAM: Final = "py-spy"
_SPARE_S: Final = 15.0  # beyond the time asked for; it reads symbols first
_MOST_BYTES: Final = 32 * 2**20
_TOLD_BYTES: Final = 4096
_PR_SET_PTRACER: Final = 0x59616D61  # prctl(2)
_NOBODY: Final = 0

# Becomes the program it is given once it may go: until then it cannot fail to be allowed.
_WAIT: Final = "import os, sys; sys.stdin.readline() and os.execv(sys.argv[1], sys.argv[1:])"


class NotInstalled(Exception):
    """There is no py-spy."""


class CannotSample(Exception):
    """It could not look; the text says why."""


async def sample(seconds: float, hz: int, *, places: str = "") -> str:
    """Stacks and how often each was seen, a line each, as py-spy's ``raw`` format has them.

    Ends what it has started, also when it is cancelled.

    Args:
        places: folders to look for py-spy in, as PATH has them; "": beside this interpreter, and
            where PATH says.

    Raises:
        NotInstalled: the extra ``profile`` is missing.
        CannotSample: the system does not allow it, or it took too long.
    """
    program = _program(places)
    with _unnamed_file() as heard:
        await _watch(program, seconds, hz, heard)
        heard.seek(0)
        raw = heard.read(_MOST_BYTES).decode(errors="replace")
    return "\n".join(line for line in raw.splitlines() if line.startswith("thread ("))


async def _watch(program: str, seconds: float, hz: int, heard: IO[bytes]) -> None:
    """Have py-spy write into ``heard``. Raises CannotSample."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _WAIT,
        program, "record", "--pid", str(os.getpid()), "--duration", f"{seconds:g}",
        "--rate", str(hz), "--format", "raw", "--function", "--threads", "--nonblocking",
        "--output", f"/dev/fd/{heard.fileno()}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=(heard.fileno(),),
        env={"PATH": os.environ.get("PATH", "")},
    )  # fmt: skip
    try:
        _let_look(child.pid)
        async with asyncio.timeout(seconds + _SPARE_S):
            told, _ = await child.communicate(b"go\n")
    except TimeoutError as error:
        raise CannotSample("it did not come to an end") from error
    finally:
        _let_look(_NOBODY)
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise CannotSample(_why(told[-_TOLD_BYTES:].decode(errors="replace")))


def _unnamed_file() -> IO[bytes]:
    """A file that nobody else can find. In memory where there is such a thing: disks may be full.

    No pipe: those of an event loop may be sockets, which cannot be opened by a name.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("profile"), "w+b")
    return tempfile.TemporaryFile()


def _program(places: str) -> str:
    """Where py-spy is. Raises NotInstalled."""
    if not places:
        places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    found = shutil.which(_PROGRAM, path=places)
    if found is None:
        raise NotInstalled
    return found


def _let_look(pid: int) -> None:
    """Allow the process ``pid`` to look into this one; 0: nobody. Without Yama all of ours may."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(pid), 0, 0, 0)


def _why(told: str) -> str:
    if "ermission" in told or "os error 1" in told:
        return (
            "the system does not let one process look into another"
            " (in a container: add the capability SYS_PTRACE)"
        )
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return lines[-1] if lines else "py-spy failed, and does not say why"

"""Real engines that keep vectors, on free ports of this machine, each ended by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, Final, NoReturn

import pytest

from support.redis_servers import HERE, Server, cluster, free_port, server

_FETCH_S: Final = 45  # less than a test may take
_FETCH: Final = Path(__file__).with_name("fetch_redis8.sh")


def lacking(reason: str) -> NoReturn:
    """Skip this test for want of an engine; fail it where all must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


# -- Redis 8 -----------------------------------------------------------------------------------


@cache
def redis8() -> str:
    """A redis-server with vector sets: the system's own, or one that is fetched; "" if none."""
    own = shutil.which("redis-server")
    if own is not None and _major(own) >= 8:
        return own
    try:
        fetched = subprocess.run(
            ["sh", _FETCH], stdout=subprocess.PIPE, text=True, check=False, timeout=_FETCH_S
        )
    except subprocess.TimeoutExpired:
        return ""
    return fetched.stdout.strip() if fetched.returncode == 0 else ""


def _major(path: str) -> int:
    """The number before the first point of its version."""
    said = subprocess.run([path, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    _, _, version = said.stdout.partition("v=")
    return int(version.partition(".")[0])


@asynccontextmanager
async def vector_redis(*options: str) -> AsyncIterator[Server]:
    """A Redis with vector sets, for as long as the block lasts."""
    async with server(*options, program=_found()) as alone:
        yield alone


@asynccontextmanager
async def vector_cluster() -> AsyncIterator[list[Server]]:
    """Three primaries with vector sets, for as long as the block lasts."""
    async with cluster(program=_found()) as nodes:
        yield nodes


def _found() -> str:
    return redis8() or lacking(
        "no Redis with vector sets could be had; see tests/support/fetch_redis8.sh"
    )


# -- others ------------------------------------------------------------------------------------


class Process:
    """A server's process and all that it starts, to be stopped, continued and killed."""

    def __init__(self, url: str, popen: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.port = int(url.split(":")[2].partition("/")[0])
        self._popen = popen

    def signal(self, number: signal.Signals) -> None:
        """Send all of it a signal: SIGSTOP makes it hang, SIGCONT go on."""
        # Postgres puts what it starts into process groups of their own.
        pid = self._popen.pid
        started = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for each in (pid, *map(int, started)):
            with suppress(ProcessLookupError):
                os.kill(each, number)

    def kill(self) -> None:
        """End it at once, as kill -9 does; it is gone when this returns."""
        if self._popen.poll() is None:
            self.signal(signal.SIGKILL)
            self._popen.wait()


@contextmanager
def _process(
    url: str, words: Sequence[str], ready: Callable[[], bool], **options: Any
) -> Iterator[Process]:
    """A server that is ``ready``, in a process group of its own."""
    popen = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, **options,
    )  # fmt: skip
    process = Process(url, popen)
    try:
        until = monotonic() + 50
        while not ready():
            assert popen.poll() is None, f"{words[0]} ended"
            assert monotonic() < until, f"{words[0]} is not ready"
            sleep(0.02)  # it tells nobody
        yield process
    finally:
        process.kill()


@contextmanager
def postgres() -> Iterator[Process]:
    """A Postgres with pgvector, as pgserver packs them, for as long as the block lasts.

    Not by pgserver's own means: they make a user of the system, open folders to it, and end the
    server when Python does.
    """
    found = find_spec("pgserver")
    if found is None or found.origin is None:
        lacking("pgserver is not installed")
    packed = Path(found.origin).parent / "pginstall"
    libraries = packed.parents[1] / "pgserver.libs"
    port = free_port()
    with TemporaryDirectory(prefix="postgres-") as folder:
        home = Path(folder)
        options: dict[str, Any] = {}
        if os.geteuid() == 0:  # which Postgres will not run as; and nobody may not read everywhere
            shutil.copytree(packed, home / "install", ignore=shutil.ignore_patterns("include"))
            packed = home / "install"
            libraries = Path(shutil.copytree(libraries, home / "libraries"))
            home.chmod(0o755)
            options = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        options["env"] = {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": f"{packed}/lib:{libraries}",
        }
        options["cwd"] = home
        kept = home / "kept"
        kept.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(kept, "nobody", "nogroup")
        programs = packed / "bin"
        subprocess.run(
            [programs / "initdb", "-D", kept, "-A", "trust", "-U", "postgres", "--no-sync",
             "-E", "utf8", "--locale", "C"],
            check=True, stdout=subprocess.DEVNULL, **options,
        )  # fmt: skip

        def ready() -> bool:
            asked = [programs / "pg_isready", "-q", "-h", HERE, "-p", str(port)]
            return subprocess.run(asked, check=False, **options).returncode == 0

        words = [
            str(programs / "postgres"), "-D", str(kept), "-p", str(port), "-h", HERE, "-k", "",
            "-F", "-c", "shared_buffers=32MB",
        ]  # fmt: skip
        with _process(
            f"postgresql://postgres@{HERE}:{port}/postgres", words, ready, **options
        ) as it:
            yield it


@contextmanager
def milvus() -> Iterator[Process]:
    """A Milvus, as small as milvus-lite is, that speaks as the large one does."""
    if find_spec("milvus_lite") is None:
        lacking("milvus-lite is not installed")
    port = free_port()
    program = Path(sys.executable).with_name("milvus-lite")
    with TemporaryDirectory(prefix="milvus-") as folder:
        words = [str(program), "server", "--data-dir", folder, "--host", HERE, "--port", str(port)]
        with _process(f"http://{HERE}:{port}", words, lambda: _listens(port)) as it:
            yield it


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HERE, port)) == 0

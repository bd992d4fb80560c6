"""Other processes with a journal on disk, which do what they are told and can be killed at it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.base import Note
from proxy.purges.journal_file import FileJournal

ROOT = Path(__file__).parents[2]
EPOCH = 1_700_000_000.0  # seconds since 1970; the clock of these processes stands still


class Child:
    """Such a process: what is said to it is a command of ``obey``, what it says is a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def say(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n".encode())

    async def hear(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            return (await self._process.stdout.readline()).decode().strip()

    async def ask(self, words: str) -> str:
        self.say(words)
        return await self.hear()

    async def kill(self) -> str:
        """Kill it; what it had still said."""
        self._process.kill()
        said, _ = await self._process.communicate()
        return said.decode()


@asynccontextmanager
async def child(directory: Path, replica: str = "child") -> AsyncIterator[Child]:
    """A process that has learned all there was; it is killed in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.journal_processes", str(directory), replica),
        cwd=ROOT / "tests",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    other = Child(process)
    try:
        assert await other.hear() == "started"
        yield other
    finally:
        if process.returncode is None:
            await other.kill()


async def obey(directory: Path, replica: str) -> None:
    """Do what standard input says, until it ends."""
    failures: list[TierError | None] = []
    journal = FileJournal(
        directory, replica=replica, wall=lambda: EPOCH, report=failures.append, look_s=0.01
    )
    learned: list[Note] = []
    await journal.start(learned.append)
    tell("started")
    while words := (await asyncio.to_thread(sys.stdin.readline)).split():
        match words:
            case ["append", value]:
                tell(await append(journal, value))
            case ["learned"]:
                tell(",".join(note.purge.value for note in learned))
            case ["storm"]:
                await asyncio.gather(*(storm(journal, f"{os.getpid()}.{i}") for i in range(3)))
            case ["fill"]:
                most = (directory / "notes").stat().st_size + 20
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
                tell("full")
            case ["empty"]:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                tell("empty")
            case ["close"]:
                await journal.close()
                tell("closed")
            case unknown:
                tell(f"what is {unknown}?")


async def append(journal: FileJournal, value: str) -> str:
    """The number that ``value`` got, or why it got none."""
    try:
        return str(await journal.append(Purge(Kind.TAG, value)))
    except TierError as error:
        return str(error)


async def storm(journal: FileJournal, name: str) -> None:
    """Write without end, and tell of what was written."""
    i = 0
    while True:
        tell(f"{await append(journal, f'{name}.{i}')} {name}.{i}")
        i += 1


def tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(obey(Path(sys.argv[1]), sys.argv[2]))

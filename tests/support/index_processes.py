"""Another process with a local index, which does what it is told and can be killed at it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.semantic.index.local import LocalIndex
from support.cranked import Clock
from support.index_contract import DIMENSIONS, FINGERPRINT, START, row, scattered

ROOT = Path(__file__).parents[2]
BOOT = "this boot"


class Child:
    """Such a process: what is said to it is a command of ``obey``, what it says is a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self, words: str) -> str:
        """What it says to what it is told."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n".encode())
        return await self.hear()

    async def hear(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            return (await self._process.stdout.readline()).decode().strip()

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def child(folder: Path, exact_up_to: int = 1_000) -> AsyncIterator[Child]:
    """A process that has the index of ``folder`` open; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.index_processes", str(folder), str(exact_up_to)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
    )
    try:
        made = Child(process)
        assert await made.hear() == "open"
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined] # else it warns of its pipes


async def obey(folder: Path, exact_up_to: int) -> None:
    """Do what standard input says, a command a line, until it ends or says to close.

    add FROM TO SEED   rows of these numbers, with vectors by the seed; says when they are written
    remove FROM TO     the same of rows that are to go
    flood SEED         adds rows without end, and says of each hundred when it is written
    settle             waits for the lists
    close              closes the index and ends
    """
    index = LocalIndex(
        folder,
        max_rows=100_000,
        wall=Clock(START),
        dtype="f32",
        exact_up_to=exact_up_to,
        merged_at=1,
        boot=BOOT,
    )
    await index.open(FINGERPRINT, DIMENSIONS)
    say("open")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *numbers = line.split()
        at = [int(number) for number in numbers]
        if command == "add":
            vectors = scattered(at[1], seed=at[2])
            await index.add([row(n, vectors[n]) for n in range(at[0], at[1])])
        elif command == "remove":
            await index.remove(
                row(0, scattered(1)[0]).namespace,
                [row(n, scattered(1)[0]).key for n in range(at[0], at[1])],
            )
        elif command == "flood":
            vectors = scattered(50_000, seed=at[0])
            for start in range(0, 50_000, 100):
                await index.add([row(n, vectors[n]) for n in range(start, start + 100)])
                await index.flush()
                say(start + 100)
        elif command == "settle":
            await index.settled()
        elif command == "close":
            await index.close()
            say("closed")
            return
        await index.flush()
        say("done")


def say(words: object) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(obey(Path(sys.argv[1]), int(sys.argv[2])))

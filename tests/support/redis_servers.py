"""Real Redis servers on free ports, alone, clustered or watched; each ended by its process id."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

HERE = "127.0.0.1"
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed"
)


class Server:
    """A ``redis-server`` process; ``say`` sends it commands as its administrator."""

    def __init__(self, port: int, folder: Path, options: Sequence[str], program: str) -> None:
        self.port = port
        self._program = program
        self._folder = folder
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and return once it answers."""
        self._process = await asyncio.create_subprocess_exec(
            self._program, *self._options, "--port", str(self.port), "--bind", HERE,
            "--dir", str(self._folder), "--save", "", "--appendonly", "no",
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(20):
            while not await _answers(self.port):
                assert self._process.returncode is None, "redis-server ended"
                await asyncio.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP makes it hang, SIGCONT go on."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def say(self, *words: str) -> str:
        """What it answers to a command, as redis-cli prints it."""
        return await _cli(self.port, *words)

    async def commands(self, *names: str) -> int:
        """How many of the commands of these names it has processed."""
        stats = await self.say("INFO", "commandstats")
        counted = dict(line.split(":", 1) for line in stats.split() if line.startswith("cmdstat_"))
        found = [counted.get(f"cmdstat_{name}", "calls=0,") for name in names]
        return sum(int(text.partition("=")[2].partition(",")[0]) for text in found)

    async def blocked(self, clients: int) -> None:
        """Return once so many clients wait for something to come."""
        async with asyncio.timeout(20):
            while True:
                if f"blocked_clients:{clients}\r" in await self.say("INFO", "clients"):
                    break
                await asyncio.sleep(0.01)


@asynccontextmanager
async def server(
    *options: str, port: int | None = None, program: str = "redis-server"
) -> AsyncIterator[Server]:
    """One server with these options, for as long as the block lasts."""
    with TemporaryDirectory(prefix="redis-") as folder, kept_port(port or 0) as kept:
        alone = Server(kept, Path(folder), options, program)
        try:
            await alone.start()
            yield alone
        finally:
            await alone.kill()


@asynccontextmanager
async def cluster(program: str = "redis-server") -> AsyncIterator[list[Server]]:
    """Three primaries that know each other and keep a third of all slots each."""
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(3):
            # The bus has a port of its own: by default 10,000 up, which may be no port at all.
            bus = str(stack.enter_context(kept_port()))
            options = ("--cluster-enabled", "yes", "--cluster-port", bus,
                       "--cluster-node-timeout", "1000")  # fmt: skip
            nodes.append(await stack.enter_async_context(server(*options, program=program)))
        made = await _run(
            "redis-cli", "--cluster", "create", *(f"{HERE}:{node.port}" for node in nodes),
            "--cluster-yes",
        )  # fmt: skip
        assert "All 16384 slots covered" in made, made
        async with asyncio.timeout(20):
            for node in nodes:
                while True:
                    if "cluster_state:ok" in await node.say("CLUSTER", "INFO"):
                        break
                    await asyncio.sleep(0.05)
        yield nodes


class Watched:
    """A master, its replica, and three sentinels that watch over them."""

    service = "answers"

    def __init__(self, master: Server, replica: Server, sentinels: list[Server]) -> None:
        self.master = master
        self.replica = replica
        self.sentinels = sentinels

    async def know_both(self) -> None:
        """Return once every sentinel knows the replica and the other sentinels."""
        async with asyncio.timeout(30):
            for sentinel in self.sentinels:
                while True:
                    told = (await sentinel.say("SENTINEL", "MASTER", self.service)).split("\n")
                    facts = dict(zip(told[::2], told[1::2], strict=False))
                    if facts.get("num-slaves") == "1" and facts.get("num-other-sentinels") == "2":
                        break
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    """A master that is replaced by its replica within about two seconds of its death."""
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(server())
        replica = await stack.enter_async_context(
            server("--replicaof", HERE, str(master.port), "--repl-diskless-sync-delay", "0")
        )
        sentinels = []
        for _ in range(3):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="sentinel-")))
            rules = folder / "sentinel.conf"
            rules.write_text(
                f"sentinel monitor {Watched.service} {HERE} {master.port} 2\n"
                f"sentinel down-after-milliseconds {Watched.service} 500\n"
                f"sentinel failover-timeout {Watched.service} 3000\n"
            )
            options = (str(rules), "--sentinel")
            sentinels.append(await stack.enter_async_context(server(*options)))
        scene = Watched(master, replica, sentinels)
        await scene.know_both()
        yield scene


@contextmanager
def kept_port(port: int = 0) -> Iterator[int]:
    """A free port, or this one, that the system gives to nobody else until the block ends.

    A server that reuses addresses can listen there. While one starts, or starts anew, another that
    is given any free port might be given this, and be taken for it.
    """
    with socket.socket() as keeping:
        keeping.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeping.bind((HERE, port))
        kept: int = keeping.getsockname()[1]
        yield kept


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port: int = probe.getsockname()[1]
        return port


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HERE, port)
    except OSError:
        return False
    writer.close()
    return True


async def _cli(port: int, *words: str) -> str:
    return await _run("redis-cli", "-h", HERE, "-p", str(port), *words)


async def _run(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:  # nobody waits for it any more
            process.kill()
            await process.communicate()
    return said.decode(errors="replace")

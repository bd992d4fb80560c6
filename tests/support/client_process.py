"""A client of another make, in a process and an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "clients" / "scripts"
PYTHON = ROOT / ".venv.clients" / "bin" / "python"
MODULES = ROOT / "tests" / "clients" / "node_modules"

# They would ask their makers for prices, tell them what they are used for, or write to the home.
SILENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "AI_SDK_LOG_WARNINGS": "false",
    "PYTHONWARNINGS": "ignore",
}


class Failed(Exception):
    """The client raised an exception: its ``kinds``, the HTTP ``status`` and the message."""

    def __init__(self, told: Json) -> None:
        super().__init__(told["message"])
        self.kinds: list[str] = told["kinds"]
        self.status: int | None = told["status"]


class Listening(NamedTuple):
    """A stream that the client hears."""

    client: Client

    async def piece(self) -> str:
        """The next piece, as soon as the client has it."""
        told = await self.client.told()
        return str(told["piece"])

    async def rest(self) -> list[str]:
        """All pieces, once the stream is over."""
        while "piece" in (told := await self.client.told()):
            pass
        return list(_result(told))


class Client:
    """A client that does one job after the other, from the entering of the block to its end."""

    def __init__(self, script: str) -> None:
        self._script = SCRIPTS / script

    def __enter__(self) -> Self:
        home = {"HOME": os.environ.get("HOME", "/"), "PATH": os.environ["PATH"]}
        self._process = subprocess.Popen(
            [*_interpreter(self._script), str(self._script)],
            env=home | SILENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert self._told() == {"ready": True}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    async def do(self, job: str, url: str, *, key: str = "sk-one", **more: Any) -> Any:
        """What came of a job.

        Raises:
            Failed: the client raised an exception.
        """
        self._say(job, url, key, more)
        while "piece" in (told := await self.told()):
            pass
        return _result(told)

    def hear(self, url: str, job: str = "hear", *, key: str = "sk-one", **more: Any) -> Listening:
        """The stream that a job brings, while it comes."""
        self._say(job, url, key, more)
        return Listening(self)

    async def told(self) -> Json:
        """The next line that the client says."""
        return await asyncio.to_thread(self._told)

    def _say(self, job: str, url: str, key: str, more: Json) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": job, "url": url, "key": key, **more}) + "\n")
        self._process.stdin.flush()

    def _told(self) -> Json:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._script.name} ended: {self._process.poll()}"
        told: Json = json.loads(line)
        return told


def _interpreter(script: Path) -> list[str]:
    if script.suffix == ".py":
        if not PYTHON.exists():
            pytest.fail("there are no clients: ./run test clients fetches them")
        return [str(PYTHON)]
    if not MODULES.exists():
        pytest.skip("there are no clients for Node: ./run test clients fetches them, with npm")
    node = shutil.which("node")
    assert node is not None
    return [node]


def _result(told: Json) -> Any:
    if "error" in told:
        raise Failed(told["error"])
    return told["result"]

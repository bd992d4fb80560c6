"""The page on clients: every example on it does what it says, as it is printed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.anthropic_backend import AnthropicBackend
from support.client_process import MODULES, PYTHON, SILENT
from support.ollama_backend import answer
from support.openai_backend import OpenAIBackend
from support.proxied import proxied
from support.scripted import ScriptedUpstream

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180), pytest.mark.xdist_group("docs")]

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
SECTIONS = {
    title: (language, example)
    for title, language, example in re.findall(
        r"^## (.+?)\n\n```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
    )
}
# What the tests of the proxy itself have; all others have an environment of their own.
OURS = {"Anthropic", "Ollama"}
SILENT_ABOUT_THE_CACHE = {"LlamaIndex", "Ollama"}


# Runs an example twice, the second time when it is told to: some clients take seconds to import.
TWICE = """
import sys
for _ in range(2):
    exec(sys.argv[1], {})
    print(end="\\0", flush=True)
    sys.stdin.readline()
"""


@asynccontextmanager
async def backend_for(title: str) -> AsyncIterator[str]:
    """The URL of a backend that the client of a section can talk to."""
    match title:
        case "Anthropic":
            async with AnthropicBackend() as messages:
                yield messages.url
        case "Ollama":
            async with ScriptedUpstream() as up:
                up.answer_with(answer)
                yield up.url
        case _:
            async with OpenAIBackend() as chats:
                yield chats.url


def command(title: str, folder: Path, url: str) -> list[str]:
    """What runs the example of a section against ``url``, twice, and says NUL after each time."""
    language, example = SECTIONS[title]
    assert "http://localhost:8080" in example
    example = example.replace("http://localhost:8080", url)
    if language == "sh":
        return ["sh", "-c", f"{example}printf '\\0'\nread -r _\n{example}printf '\\0'"]
    if language == "python":
        return [sys.executable if title in OURS else str(PYTHON), "-c", TWICE, example]
    if not MODULES.exists():
        pytest.skip("there are no clients for Node: ./run test clients fetches them, with npm")
    (folder / "node_modules").symlink_to(MODULES)
    (folder / "example.mjs").write_text(example)
    twice = """
        import { once } from "node:events";
        for (const time of [1, 2]) {
          await import(`./example.mjs?${time}`);
          process.stdout.write("\\0");
          await once(process.stdin, "data");
        }
        process.exit();
    """
    (folder / "twice.mjs").write_text(twice)
    return ["node", "--preserve-symlinks", str(folder / "twice.mjs")]


@asynccontextmanager
async def running(command: list[str], home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "OPENAI_API_KEY": "sk-one", **SILENT},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
        await process.communicate(b"\n")
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def said(process: asyncio.subprocess.Process) -> str:
    """What the program has printed since the last time."""
    assert process.stdout is not None
    return (await process.stdout.readuntil(b"\0")).decode()[:-1]


@pytest.mark.parametrize("title", SECTIONS)
async def test_the_example_asks_and_is_answered_from_the_cache_the_second_time(
    title: str, tmp_path: Path
) -> None:
    if title == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with backend_for(title) as url, proxied(url) as proxy:
        program = command(title, tmp_path, proxy.url)
        async with running(program, tmp_path) as process:
            first = await said(process)
            await proxy.landed()
            assert process.stdin is not None
            process.stdin.write(b"\n")
            second = await said(process)

        assert proxy.verdicts == ["MISS", "HIT"]
        assert [record.outcome.ttl_s <= 600 for record in proxy.records[1:]] == [True]  # as asked
    if title in SILENT_ABOUT_THE_CACHE:
        assert first == second != ""
    else:
        assert ("MISS" in first, "HIT" in second) == (True, True)


def test_every_client_in_the_table_has_a_section_with_an_example() -> None:
    assert re.findall(r"^\| \[(.+?)\]", PAGE, re.MULTILINE) == list(SECTIONS)
    assert len(SECTIONS) == len(re.findall(r"^```\w+$", PAGE, re.MULTILINE))

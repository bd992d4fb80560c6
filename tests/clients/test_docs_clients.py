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
    """How the example of a section is run, against ``url``."""
    language, example = SECTIONS[title]
    assert "http://localhost:8080" in example
    example = example.replace("http://localhost:8080", url)
    if language == "sh":
        return ["sh", "-c", example]
    if language == "python":
        python = sys.executable if title in OURS else str(PYTHON)
        return [python, "-c", example]
    if not MODULES.exists():
        pytest.skip("there are no clients for Node: ./run test clients fetches them, with npm")
    (folder / "node_modules").symlink_to(MODULES)
    script = folder / "example.mjs"
    script.write_text(example)
    return ["node", "--preserve-symlinks", str(script)]


async def said(command: list[str], home: Path) -> str:
    """What a program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "OPENAI_API_KEY": "sk-one", **SILENT},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


@pytest.mark.parametrize("title", SECTIONS)
async def test_the_example_asks_and_is_answered_from_the_cache_the_second_time(
    title: str, tmp_path: Path
) -> None:
    if title == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with backend_for(title) as url, proxied(url) as proxy:
        program = command(title, tmp_path, proxy.url)
        first = await said(program, tmp_path)
        await proxy.landed()
        second = await said(program, tmp_path)

        assert proxy.verdicts == ["MISS", "HIT"]
        assert [record.outcome.ttl_s <= 600 for record in proxy.records[1:]] == [True]  # as asked
    if title in SILENT_ABOUT_THE_CACHE:
        assert first == second != ""
    else:
        assert ("MISS" in first, "HIT" in second) == (True, True)


def test_every_client_in_the_table_has_a_section_with_an_example() -> None:
    assert re.findall(r"^\| \[(.+?)\]", PAGE, re.MULTILINE) == list(SECTIONS)
    assert len(SECTIONS) == len(re.findall(r"^```\w+$", PAGE, re.MULTILINE))

"""Models to test with. To load torch takes ten seconds, to export half a minute: once for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import tiny_models

from proxy.cli import cli
from proxy.semantic.embedders.sentence import SentenceEmbedder

MINILM = "all-MiniLM-L6-v2"


@pytest.fixture(scope="session")
def minilm(hub: Path) -> Iterator[SentenceEmbedder]:
    """The real one, loaded by sentence-transformers."""
    embedder = SentenceEmbedder(MINILM, device="cpu")
    asyncio.run(embedder.start())
    yield embedder
    asyncio.run(embedder.close())


@pytest.fixture(scope="session")
def tiny(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with a prompt, as sentence-transformers wants it."""
    return tiny_models.sentence_folder(tmp_path_factory.mktemp("tiny"), prompt="where is ")


@pytest.fixture(scope="session")
def exporting(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """What the command said that exported the small one, and the folder it made."""
    folder = tmp_path_factory.mktemp("tiny") / "fp32"
    words = ["model", "export", str(tiny), str(folder), "--fp32"]
    return CliRunner().invoke(cli, words, prog_name="sidecache"), folder


@pytest.fixture
def tiny_fp32(exporting: tuple[Result, Path]) -> Path:
    """The small one, exported."""
    return exporting[1]

"""Meaning in a process of its own: what it imports, what it says is missing, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.embedding_server import EmbeddingServer
from support.raw_chat import DOCUMENT, JSON, question
from support.raw_client import RawClient
from support.scripted import ScriptedUpstream
from support.served import ROOT, served

HEAVY = (
    "numpy", "torch", "onnxruntime", "numkong", "tokenizers", "sentence_transformers",
    "transformers", "asyncpg", "pymilvus",
)  # fmt: skip

heavy_case = partial(pytest.param, marks=pytest.mark.heavy)  # as the others, and seconds each

# Starts a proxy from settings, and asks it twice; tells what was imported, or what is wrong.
_SCRIPT = """
import asyncio, importlib.abc, json, sys

settings, blocked = json.loads(sys.argv[1]), set(json.loads(sys.argv[2]))

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

if blocked:
    sys.meta_path.insert(0, Missing())
    from importlib import util
    find = util.find_spec
    util.find_spec = lambda name, package=None: (
        None if name.partition(".")[0] in blocked else find(name, package)
    )

from proxy.app import Sidecache
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError

async def main():
    proxy = Sidecache(Settings.model_validate(settings))
    await proxy.start()
    await proxy.close(0)

try:
    asyncio.run(main())
except ConfigError as error:
    print(json.dumps({"refused": str(error)}))
else:
    print(json.dumps({"imported": sorted(sys.modules)}))
"""


async def started_with(
    semantic: dict[str, Any], *, without: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """What becomes of a proxy with these settings, where the packages ``without`` are missing."""
    settings = {
        "listen": "127.0.0.1:0",
        "admin": {"enabled": False},
        "l2_disk": {"enabled": False},
        "upstreams": [{"url": "http://127.0.0.1:9"}],
        "semantic": semantic,
        **more,
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("SIDECACHE")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SCRIPT, orjson.dumps(settings), orjson.dumps(without)),
        cwd=ROOT,
        env=own | {"PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(50):
            out, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return dict(orjson.loads(out.splitlines()[-1]))


def heavy(imported: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in imported} & set(HEAVY)


async def test_who_does_without_meaning_has_none_of_it_in_memory() -> None:
    imported = (await started_with({"enabled": False}))["imported"]
    assert heavy(imported) == set()
    assert not {"proxy.app.semantic", "proxy.semantic.finder", "proxy.semantic.learner"} & set(
        imported
    )


async def test_who_does_without_a_model_does_without_its_packages() -> None:
    told = await started_with({"enabled": True, "embedder": {"kind": "none"}}, without=HEAVY)
    assert "imported" in told, told
    assert "proxy.semantic.finder" in told["imported"]
    assert heavy(told["imported"]) == set()


@pytest.mark.parametrize(
    ("embedder", "without", "extra"),
    [
        ({"kind": "ngram"}, ("numpy",), "vectors"),
        heavy_case({"kind": "remote", "url": "http://127.0.0.1:9"}, ("numpy",), "vectors"),
        ({"kind": "ngram"}, ("numkong",), "vectors"),
        ({"kind": "onnx", "path": "."}, ("onnxruntime",), "onnx"),
        heavy_case({"kind": "onnx", "path": "."}, ("tokenizers",), "onnx"),
        heavy_case({"kind": "onnx", "path": "."}, HEAVY, "onnx"),
        heavy_case({"kind": "sentence-transformers"}, ("sentence_transformers",), "semantic"),
        heavy_case({"kind": "sentence-transformers"}, ("torch",), "semantic"),
        ({"kind": "sentence-transformers"}, HEAVY, "semantic"),
    ],
)
async def test_a_package_that_is_missing_is_told_with_the_extra_that_brings_it(
    embedder: dict[str, Any], without: tuple[str, ...], extra: str
) -> None:
    told = await started_with({"enabled": True, "embedder": embedder}, without=without)
    assert f"pip install 'sidecache[{extra}]'" in told.get("refused", ""), told


@pytest.mark.parametrize(
    ("kind", "url", "package", "extra"),
    [
        ("pgvector", "postgresql://u@127.0.0.1:9/d", "asyncpg", "pgvector"),
        heavy_case("milvus", "http://127.0.0.1:9", "pymilvus", "milvus"),
    ],
)
async def test_a_package_that_an_engine_needs_is_told_too(
    kind: str, url: str, package: str, extra: str
) -> None:
    semantic = {
        "enabled": True,
        "embedder": {"kind": "ngram"},
        "index": {"kind": kind, "url": url},
    }
    told = await started_with(semantic, without=(package,))
    assert f"pip install 'sidecache[{extra}]'" in told.get("refused", ""), told


async def test_it_serves_and_ends_in_time_while_a_model_is_loading(tmp_path: Path) -> None:
    async with EmbeddingServer() as service, ScriptedUpstream() as up:
        service.hold()
        up.answer_with(lambda call: call.reply(200, JSON, DOCUMENT))
        async with (
            served(
                up.url,
                SIDECACHE_SEMANTIC__ENABLED="true",
                SIDECACHE_SEMANTIC__EMBEDDER__KIND="remote",
                SIDECACHE_SEMANTIC__EMBEDDER__URL=service.url,
            ) as proxy,
            await RawClient.connect(proxy.address) as client,
        ):
            await service.was_asked(1)
            await client.send(question("How do I cancel my gym membership?"))
            reply = await client.response()
            assert reply.get("X-Cache-Reason") == "uri-miss, loading"
            proxy.signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await proxy.ended() == 0
    assert proxy.events[-1]["event"] == "stopped"


async def test_it_ends_in_time_while_a_model_loads_in_a_thread(tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    os.mkfifo(tmp_path / "tokenizer.json")  # to read it takes for ever
    graph.write_bytes(b"-")
    async with ScriptedUpstream() as up:
        up.answer_with(lambda call: call.reply(200, JSON, DOCUMENT))
        async with (
            served(
                up.url,
                SIDECACHE_SEMANTIC__ENABLED="true",
                SIDECACHE_SEMANTIC__EMBEDDER__KIND="onnx",
                SIDECACHE_SEMANTIC__EMBEDDER__PATH=str(tmp_path),
            ) as proxy,
            await RawClient.connect(proxy.address) as client,
        ):
            await client.send(question("How do I cancel my gym membership?"))
            reply = await client.response()
            assert reply.get("X-Cache-Reason") == "uri-miss, loading"
            proxy.signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await proxy.ended() == 0
    assert proxy.events[-1]["event"] == "stopped"

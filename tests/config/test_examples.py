"""The examples in ``config/examples``: each works as it is, in front of a backend of its kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
import yaml
from support.anthropic_backend import AnthropicBackend
from support.ollama_backend import answer as ollama_answer
from support.ollama_backend import golden
from support.openai_backend import Fault, OpenAIBackend
from support.proxied import Proxied, proxied
from support.scripted import Call, ScriptedUpstream
from support.sdk_caller import chat

from proxy.config.load import load

Json = dict[str, Any]

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


@asynccontextmanager
async def serving(name: str, *backends: str, **settings: Any) -> AsyncIterator[Proxied]:
    """A proxy with the settings of an example, its upstreams replaced by ``backends``, in order."""
    told = yaml.safe_load((EXAMPLES / name).read_text())
    upstreams = told.pop("upstreams")
    assert len(upstreams) == len(backends)
    own = [each | {"url": url} for each, url in zip(upstreams, backends, strict=True)]
    for busy in ("listen", "admin"):  # the ports may be taken
        told.pop(busy, None)
    async with proxied(*own, **(told | settings)) as proxy:
        yield proxy


def client(proxy: Proxied, key: str = "sk-one", **headers: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{proxy.url}/v1", api_key=key, max_retries=0, default_headers=headers
    )


def test_there_is_one_for_each_kind_of_backend() -> None:
    kinds = {"openai", "azure", "anthropic", "ollama", "vllm", "rag", "agents"}
    assert {f"{kind}.yaml" for kind in kinds} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_an_example_has_no_faults_and_names_itself(name: str) -> None:
    text = (EXAMPLES / name).read_text()

    assert list(load(EXAMPLES / name).warnings) == []
    assert text.startswith("# yaml-language-server: $schema=../schema.json\n")
    assert f"sidecache serve -c config/examples/{name}\n" in text


async def test_openai() -> None:
    async with (
        OpenAIBackend() as backend,
        serving("openai.yaml", backend.url) as proxy,
        client(proxy) as sdk,
    ):
        for user in ("a", "b"):
            await sdk.chat.completions.create(**chat(user=user))
        for _ in range(2):
            await sdk.responses.create(model="m", input="Why?")
        for texts in (["a", "b"], ["b", "a"]):
            await sdk.embeddings.create(model="m", input=texts)

        assert proxy.verdicts == ["MISS", "HIT"] * 3
        assert len(backend.asked) == 3


async def test_azure_by_deployment_api_version_and_key() -> None:
    async with (
        OpenAIBackend() as backend,
        OpenAIBackend() as other,
    ):
        told = yaml.safe_load((EXAMPLES / "azure.yaml").read_text())["degradation"]
        told["standby"][0]["url"] = other.url
        async with serving("azure.yaml", backend.url, degradation=told) as proxy:
            for key, version in (("one", "v1"), ("one", "v1"), ("two", "v1"), ("one", "v2")):
                async with openai.AsyncAzureOpenAI(
                    azure_endpoint=proxy.url, api_key=key, api_version=version, max_retries=0
                ) as sdk:
                    await sdk.chat.completions.create(**chat(model="deployment"))
            assert proxy.verdicts == ["MISS", "HIT", "MISS", "MISS"]

            backend.faults.append(Fault(503, "Too much to do."))
            async with openai.AsyncAzureOpenAI(
                azure_endpoint=proxy.url, api_key="one", api_version="v1", max_retries=0
            ) as sdk:
                await sdk.chat.completions.create(**chat("Another?", model="deployment"))
            assert proxy.verdicts[4:] == ["DEGRADED"]
        (asked,) = other.asked
        assert asked.path == "/openai/deployments/deployment/chat/completions"
        assert asked.headers["api-key"] == "the-key-of-the-other"


async def test_anthropic() -> None:
    question: Json = {"model": "m", "max_tokens": 9, "messages": chat()["messages"]}
    async with (
        AnthropicBackend() as backend,
        serving("anthropic.yaml", backend.url) as proxy,
        anthropic.AsyncAnthropic(base_url=proxy.url, api_key="k", max_retries=0) as sdk,
    ):
        for user in ("a", "b"):
            await sdk.messages.create(**question, metadata={"user_id": user})
        for _ in range(2):
            await sdk.messages.count_tokens(model="m", messages=question["messages"])

        assert proxy.verdicts == ["MISS", "HIT", "MISS", "HIT"]
        assert len(backend.asked) == 2


async def test_ollama() -> None:
    async with (
        ScriptedUpstream() as up,
        serving("ollama.yaml", up.url) as proxy,
        aiohttp.ClientSession() as session,
    ):
        up.answer_with(ollama_answer)
        question = {"model": "thinking", "messages": chat()["messages"]}
        heard = []
        for keep_alive in ("5m", "1h"):
            asked = {**question, "keep_alive": keep_alive}
            async with session.post(f"{proxy.url}/api/chat", json=asked) as reply:
                heard.append(await reply.read())
            await proxy.landed()

        assert heard == [b"".join(golden("thinking")[0])] * 2
        assert proxy.verdicts == ["MISS", "HIT"]
        assert up.calls == 1


async def test_vllm_with_a_server_for_each_model() -> None:
    async def ranks(call: Call) -> None:
        assert call.target == "/v1/rerank"
        results = b'{"results": [{"index": 1, "relevance_score": 0.9}]}'
        await call.reply(200, [("Content-Type", "application/json")], results)

    rerank = {"model": "r", "query": "Why?", "documents": ["a", "b"], "top_n": 1}
    async with (
        OpenAIBackend() as backend,
        ScriptedUpstream() as ranker,
        OpenAIBackend() as embedder,
        serving("vllm.yaml", backend.url, ranker.url, embedder.url) as proxy,
        client(proxy) as sdk,
    ):
        ranker.answer_with(ranks)
        for salt in ("a", "b"):
            await sdk.chat.completions.create(**chat(), extra_body={"cache_salt": salt})
            await sdk.post("/rerank", body=rerank, cast_to=object)
            await sdk.embeddings.create(model="e", input="Why?")
            await proxy.landed()

        assert proxy.verdicts == ["MISS"] * 3 + ["HIT"] * 3
        assert (backend.calls["/v1/chat/completions"], ranker.calls) == (1, 1)
        assert embedder.calls == {"/v1/embeddings": 1}


async def test_agents_share_turns_within_a_tenant_and_are_purged_by_run() -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
    async with (
        OpenAIBackend() as backend,
        serving("agents.yaml", backend.url, admin={"listen": "127.0.0.1:0"}) as proxy,
        aiohttp.ClientSession() as session,
    ):

        async def turn(tenant: str, run: str, text: str = "Look it up.") -> None:
            headers = {"X-Tenant": tenant, "X-Run-Id": run, "X-Cache-Tags": f"run:{run}"}
            async with client(proxy, **headers) as sdk:
                await sdk.chat.completions.create(**chat(text, tools=tools))

        await turn("a", "1")
        await turn("a", "2")
        await turn("b", "3")
        await turn("a", "1", "What is the weather today?")
        assert proxy.verdicts == ["MISS", "HIT", "MISS", "BYPASS"]

        purge = {"kind": "tag", "value": "run:1"}
        async with session.post(f"{proxy.admin_url}/purge", json=purge) as reply:
            assert reply.status == 200
        await turn("a", "2")
        await turn("b", "3")
        assert proxy.verdicts[4:] == ["MISS", "HIT"]
        assert len(backend.asked) == 4


async def test_an_agent_is_told_an_error_each_time_anew() -> None:
    async with OpenAIBackend() as backend, serving("agents.yaml", backend.url) as proxy:
        for _ in range(2):
            async with client(proxy) as sdk:
                with pytest.raises(openai.NotFoundError):
                    await sdk.chat.completions.create(**chat(model="unknown"))
        assert len(backend.asked) == 2

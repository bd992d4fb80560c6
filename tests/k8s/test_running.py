"""The proxy as the manifests start it: probes, a scrape, and questions by the way clients take."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from support.manifest_faults import PATHS
from support.manifests import (
    Document,
    content,
    moved,
    named,
    proxies,
    rendered,
)
from support.pods import LIMIT_S, ask, counted, process, running, until_counted, works
from support.redis_servers import HERE, free_port, needs_redis

from proxy.demo.backend import DemoBackend, Pace

AT_ONCE = Pace(0.0, 0.0)
PATIENT = {"SIDECACHE_L2_REDIS__TIMEOUT_S": "5s"}  # the machines of tests are busy
OPERATIONS = "sidecache_tier_operations_total"


async def test_an_application_is_answered_by_the_proxy_beside_it(tmp_path: Path) -> None:
    documents = rendered("sidecar")
    (proxy,) = proxies(documents)
    (container,) = proxy.spec["containers"]
    code = tmp_path / "code"
    code.mkdir()
    (mount,) = container["volumeMounts"]
    for file, text in content(named(documents, "ConfigMap", "application")).items():
        (code / file).write_text(text)
    _, *words = (moved(word, {mount["mountPath"]: code}) for word in container["command"])
    variables = {each["name"]: each["value"] for each in container["env"]}
    port = free_port()
    (tmp_path / "pod").mkdir()

    async with (
        DemoBackend(AT_ONCE) as backend,
        running(proxy, tmp_path / "pod", {"http://demo-model:8000": backend.url}) as pod,
    ):
        at = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/v1)", variables["OPENAI_BASE_URL"])
        assert at
        variables |= {"OPENAI_BASE_URL": pod.url(int(at[1])) + at[2], "PORT": str(port)}
        async with process((sys.executable, *words), variables, tmp_path / "log"):
            told = [await first_answer(f"http://{HERE}:{port}/?q=why") for _ in range(2)]
        await works(pod, documents, int(at[1]), "sidecache-sidecar")
        assert await pod.stopped() == 0

    assert [each.partition(":")[0] for each in told] == ["MISS", "HIT"]
    assert told[0].removeprefix("MISS") == told[1].removeprefix("HIT")
    assert backend.calls == 2


async def first_answer(url: str) -> str:
    """What is answered there, once anybody listens."""
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url) as reply:
                    return await reply.text()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)  # nothing tells when it listens


# -- the gateway and its Redis ----------------------------------------------------------------


@asynccontextmanager
async def redis_of(
    documents: list[Document], folder: Path
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """The gateway's Redis as the manifests start it: the port it has here, and its process."""
    workload = named(documents, "Deployment", "sidecache-redis")
    spec = workload["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    volumes = {each["name"]: each for each in spec["volumes"]}
    places = {each["mountPath"]: folder / each["name"] for each in container["volumeMounts"]}
    for mount in container["volumeMounts"]:
        (place, volume) = places[mount["mountPath"]], volumes[mount["name"]]
        place.mkdir(parents=True)
        held: dict[str, str] = {}
        if "configMap" in volume:
            held = content(named(documents, "ConfigMap", volume["configMap"]["name"]))
        elif "secret" in volume:
            held = content(named(documents, "Secret", volume["secret"]["secretName"]))
        for file, text in held.items():
            (place / file).write_text(moved(text, places))
    port = free_port()
    command = [moved(word, places) for word in container["command"]]
    async with process(
        (*command, "--port", str(port), "--bind", HERE), {}, folder / "log"
    ) as server:
        async with asyncio.timeout(LIMIT_S):
            while not await listens(port):
                assert server.returncode is None, (folder / "log").read_text()
                await asyncio.sleep(0.02)  # nothing tells when it listens
        yield port, server


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HERE, port)
    except OSError:
        return False
    writer.close()
    return True


@needs_redis
async def test_replicas_of_the_gateway_share_what_they_know(tmp_path: Path) -> None:
    documents = rendered("gateway")
    (proxy,) = proxies(documents)
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    async with (
        DemoBackend(AT_ONCE) as backend,
        redis_of(documents, tmp_path / "redis") as (port, redis),
    ):
        names = {
            "https://api.openai.com": backend.url,
            "sidecache-redis:6379": f"{HERE}:{port}",
        }
        async with (
            running(proxy, folders[0], names, PATIENT) as one,
            running(proxy, folders[1], names, PATIENT) as other,
        ):
            for pod in (one, other):
                await until_counted(pod, documents, "sidecache_tier_up")
            await works(one, documents, "http", "sidecache-gateway")
            stored = {"operation": "put", "result": "taken"}
            await until_counted(one, documents, OPERATIONS, **stored)
            assert await ask(other.url("http")) == [("HIT", "sidecache-gateway")]
            assert backend.calls == 1
            for pod in (one, other):
                assert await counted(pod, documents, OPERATIONS, result="error") == 0
                assert worries(pod.log) == []

            redis.kill()
            await redis.wait()
            await backend.close()
            for pod in (one, other):
                assert {await pod.probe(proxy.container[kind]) for kind in PATHS} == {200}
                assert await pod.stopped() == 0


def worries(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in log if event.get("level") in {"warning", "error", "critical"}]


@needs_redis
async def test_nobody_else_may_do_anything_in_the_redis_of_the_gateway(tmp_path: Path) -> None:
    documents = rendered("gateway")
    async with redis_of(documents, tmp_path / "redis") as (port, _):
        reader, writer = await asyncio.open_connection(HERE, port)
        for command in (b"PING\r\n", b"GET sidecache:x\r\n", b"AUTH default none\r\n"):
            writer.write(command)
            assert (await reader.readline()).startswith((b"-NOAUTH", b"-WRONGPASS"))
        writer.close()


def test_redis_has_room_for_what_it_may_take() -> None:
    documents = rendered("gateway")
    conf = dict(
        line.split(" ", 1)
        for line in content(named(documents, "ConfigMap", "sidecache-redis"))[
            "redis.conf"
        ].splitlines()
        if line and not line.startswith("#")
    )
    workload = named(documents, "Deployment", "sidecache-redis")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    (service_port,) = named(documents, "Service", "sidecache-redis")["spec"]["ports"]
    limit = container["resources"]["limits"]["memory"]

    assert (conf["maxmemory"], limit) == ("1gb", "1536Mi")
    assert conf["maxmemory-policy"] == "volatile-lfu"
    assert (conf["save"], conf["appendonly"]) == ('""', "no")
    assert int(conf["port"]) == container["ports"][0]["containerPort"] == service_port["port"]

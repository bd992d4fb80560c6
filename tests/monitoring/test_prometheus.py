"""The monitoring kit in front of a real Prometheus, which scrapes a running proxy."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from support.openai_backend import OpenAIBackend
from support.served import Served, served

ROOT = Path(__file__).parents[2]
KIT = ROOT / "config" / "monitoring"
TOKEN = "a-token-for-the-operator"
LIMIT_S = 30.0

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="prometheus is not installed (on Debian: apt-get install prometheus)",
    ),
]


def promtool(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        ["promtool", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """The folder as an operator would have it, with a token."""
    folder = tmp_path / "prometheus"
    shutil.copytree(KIT / "prometheus", folder)
    (folder / "sidecache.token").write_text(TOKEN)
    return folder


def test_the_rules_are_valid_and_pass_their_tests(kit: Path) -> None:
    assert "SUCCESS: 42 rules found" in promtool("check", "rules", "rules.yaml", cwd=kit)
    assert "SUCCESS" in promtool("test", "rules", "rules.test.yaml", cwd=kit)


def test_the_example_of_a_configuration_is_valid(kit: Path) -> None:
    assert "is valid" in promtool("check", "config", "prometheus.yaml", cwd=kit)


def expressions() -> Iterator[str]:
    """All that the dashboard asks, as Grafana would send it."""
    dashboard = json.loads((KIT / "grafana/sidecache.json").read_text())
    asked = [each["expr"] for panel in dashboard["panels"] for each in panel.get("targets", ())]
    asked += [each["expr"] for each in dashboard["annotations"]["list"]]
    for expression in asked:
        said = expression.replace("$__rate_interval", "5s").replace("$__range", "1h")
        yield said.replace("$job", "sidecache").replace("$instance", ".*")


class Prometheus:
    """One that runs, and what it is asked."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def ask(self, path: str, **query: str) -> Any:
        async with self._http.get(f"{self._url}/api/v1/{path}", params=query) as response:
            told = await response.json()
        assert told["status"] == "success", (query, told)
        return told["data"]

    async def value(self, expression: str) -> float | None:
        found = (await self.ask("query", query=expression))["result"]
        return float(found[0]["value"][1]) if found else None

    async def until(self, expression: str, least: float) -> float:
        """Wait for the next scrapes to bring ``expression`` to ``least``."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                value = await self.value(expression)
                if value is not None and value >= least:
                    return value
                await asyncio.sleep(0.1)  # of another process, which tells nobody


@asynccontextmanager
async def prometheus(kit: Path, proxy: Served) -> AsyncIterator[Prometheus]:
    """A Prometheus with the kit's configuration, but for where the proxy is and how often."""
    config = yaml.safe_load((kit / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "250ms", "evaluation_interval": "250ms"}
    targets = [proxy.admin.removeprefix("http://")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
    (kit / "prometheus.yaml").write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        "prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:0", "--log.format=json",
        cwd=kit, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    drain: asyncio.Task[bytes] | None = None
    try:
        assert process.stderr is not None
        url, ready = "", False
        async with asyncio.timeout(LIMIT_S):
            while not ready:
                line = await process.stderr.readline()
                assert line, "it ended"
                told = {"msg": "", **json.loads(line)}
                if told["msg"] == "Listening on":
                    url = f"http://{told['address']}"
                ready = told["msg"].startswith("Server is ready")
        drain = asyncio.create_task(process.stderr.read())  # noqa: TID251 - ended below
        async with aiohttp.ClientSession() as http:
            yield Prometheus(url, http)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        if drain is not None:
            await drain


async def ask(proxy: Served, http: aiohttp.ClientSession, question: str) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": question}]}
    async with http.post(f"{proxy.url}/v1/chat/completions", json=body) as response:
        await response.read()
        return response.headers["X-Cache"]


async def test_a_running_proxy_is_scraped_and_every_rule_and_panel_can_be_asked(kit: Path) -> None:
    async with (
        OpenAIBackend() as backend,
        served(backend.url, SIDECACHE_ADMIN__TOKEN=TOKEN) as proxy,
        prometheus(kit, proxy) as prom,
        aiohttp.ClientSession() as http,
    ):
        assert await prom.until('up{job="sidecache"}', 1) == 1
        for number in range(12):
            await ask(proxy, http, f"question {number % 4}")
        served_so_far = 'sum(sidecache_requests_total{outcome=~"hit|miss"})'
        await prom.until(served_so_far, 12)
        for number in range(8):
            await ask(proxy, http, f"question {number % 4}")
        await prom.until(served_so_far, 20)

        assert await prom.until('sum(rate(sidecache_requests_total{outcome="hit"}[10s]))', 0.1) < 20
        assert await prom.value(
            "sum(sidecache_requests_received_total) - sum(sidecache_requests_total)"
        ) == pytest.approx(0)
        assert await prom.value("sum(sidecache_hits_total)") == 16

        groups = (await prom.ask("rules"))["groups"]
        told = [rule for group in groups for rule in group["rules"]]
        assert len(told) == 42
        assert [rule for rule in told if rule["health"] == "err" or rule.get("lastError")] == []
        assert [r["name"] for r in told if r["type"] == "alerting" and r["state"] == "firing"] == []
        for expression in expressions():
            await prom.ask("query", query=expression)

        (target,) = (await prom.ask("targets"))["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        wrong = (await prom.ask("query", query='up{job="sidecache"} == 0'))["result"]
        assert wrong == []


async def test_a_scrape_without_the_token_is_refused_and_that_is_an_alert(kit: Path) -> None:
    (kit / "sidecache.token").write_text("another")
    rules = (kit / "rules.yaml").read_text()
    assert "for: 2m" in rules
    (kit / "rules.yaml").write_text(rules.replace("for: 2m", "for: 0s"))
    async with (
        OpenAIBackend() as backend,
        served(backend.url, SIDECACHE_ADMIN__TOKEN=TOKEN) as proxy,
        prometheus(kit, proxy) as prom,
    ):
        firing = 'count(ALERTS{alertname="SidecacheDown", alertstate="firing"})'
        assert await prom.until(firing, 1) == 1

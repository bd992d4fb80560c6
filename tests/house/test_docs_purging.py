"""The pages on purging and on Redis against what there is, example by example."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from support.openai_backend import OpenAIBackend
from support.operating import ADMIN, purge, purged
from support.proxied import proxied
from support.redis_servers import HERE, needs_redis, server
from support.sdk_caller import Caller, chat
from support.started import started

from proxy.demo.backend import DemoBackend, Pace
from proxy.model.purge import Kind

DOCS = Path(__file__).parents[2] / "docs"
PURGING, REDIS = [(DOCS / name).read_text() for name in ("purging.md", "redis.md")]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_examples_do_what_the_page_says_as_they_are_printed() -> None:
    asking, purging, *others = blocks(PURGING, "sh")
    (shown,), (answer,) = blocks(PURGING, "http"), blocks(PURGING, "json")
    assert len(others) == 2

    async with DemoBackend(Pace(0, 0)) as backend, proxied(backend.url, **ADMIN) as proxy:
        script = "\necho\n".join([asking, purging, "ask", *others])
        script = script.replace("http://localhost:8080", proxy.url)
        script = script.replace("http://localhost:8081", str(proxy.admin_url))
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            said = (await process.communicate())[0].decode()
    assert process.returncode == 0
    first, second, told, third, *rest = [line.strip() for line in said.splitlines() if line.strip()]
    assert [first, second] == shown.split("\n")[:-1]
    assert json.loads(told) == json.loads(answer)
    assert third == "X-Cache: MISS"
    assert [json.loads(each)["complete"] for each in rest] == [True, True]
    assert proxy.verdicts == ["MISS", "HIT", "MISS"]


async def test_all_kinds_are_in_the_table_and_what_is_shown_of_each_is_a_purge() -> None:
    shown = re.findall(r'^\| `(\{"kind".*?\})`', PURGING, re.MULTILINE)
    examples = [json.loads(each) for each in shown]
    assert {each["kind"] for each in examples} == set(Kind)
    async with proxied("http://127.0.0.1:9", **ADMIN) as proxy:
        for each in examples:
            await purged(proxy.admin_url, **each)


async def test_all_members_of_the_answer_are_explained() -> None:
    async with proxied("http://127.0.0.1:9", **ADMIN) as proxy:
        answer = await purge(proxy.admin_url)
    (shown,) = blocks(PURGING, "json")
    assert json.loads(shown).keys() == answer.said.keys()
    for name in ("absent", "trouble", "silent_s"):
        assert f"`{name}`" in PURGING


@needs_redis
async def test_with_the_acl_as_printed_all_works_and_redis_holds_the_keys_of_the_table() -> None:
    (acl,) = [line for each in blocks(REDIS, "text") for line in each.splitlines() if "ACL" in line]
    keys = re.findall(r"^\| `(sidecache:.*?)` \| (\w+) ", REDIS, re.MULTILINE)
    async with OpenAIBackend() as backend, server() as redis:
        assert await redis.say(*acl.split()) == "OK\n"
        settings = {
            **ADMIN,
            "l2_redis": {
                "url": f"redis://sidecache:PASSWORD@{HERE}:{redis.port}",
                "timeout_s": 1,
                "connect_timeout_s": 5,
            },
            "cache": {"scope": {"secret": "the same on both replicas"}},
        }
        async with (
            proxied(backend.url, **settings) as one,
            proxied(backend.url, **settings) as other,
            Caller(one) as here,
            Caller(other) as there,
        ):
            await here.ask(chat())
            assert one.store.behind is not None
            await one.store.behind.flush()
            assert (await there.ask(chat()))[0] == "HIT"
            await purged(one.admin_url, "tag", "doc:1")
            backend.hold()
            asking = started(here.ask(chat("Who is asking?")))
            await backend.was_asked(2)
            held = (await redis.say("KEYS", "*")).split()
            kinds = {key: await redis.say("TYPE", key) for key in held}
            backend.release()
            await asking
            await purged(one.admin_url)
            assert (await there.ask(chat()))[0] == "MISS"
            assert one.store.redis is not None
            assert one.store.redis.refused == 0
    for shape, kind in keys:
        pattern = re.sub(r"<(\d+)\\ hexadecimal\\ digits>", r"[0-9a-f]{\1}", re.escape(shape))
        pattern = pattern.replace("<0\\ to\\ 3>", "[0-3]").replace("<name>", ".+:.+#[0-9a-f]{8}")
        matching = [key for key in kinds if re.fullmatch(pattern, key)]
        assert matching, shape
        for key in matching:
            assert kinds.pop(key) == f"{kind}\n"
    assert kinds == {}

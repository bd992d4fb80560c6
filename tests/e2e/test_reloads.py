"""Reloads under load: no request fails, and none sees two sets of settings."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from itertools import cycle
from pathlib import Path
from random import Random

import aiohttp
import pytest
from support.proxied import Proxied, proxied
from support.raw_chat import DOCUMENT, JSON, STREAM, Listener, begin, question
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import Served, served
from support.started import started
from support.two_sides import Asking, Side, settings

_CLIENTS = 16
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _bytes() -> int:
    """The memory of this process that is not shared."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def _settled(proxy: Proxied) -> None:
    """Wait until nobody is with a generation of before."""
    await proxy.landed()
    async with asyncio.timeout(20):
        while len(proxy.retired):
            await proxy.retired.let_go()
            await asyncio.sleep(0.001)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("reloads", [pytest.param(50), pytest.param(1000, marks=pytest.mark.heavy)])
async def test_under_load_no_request_fails_and_none_sees_a_mixture(reloads: int) -> None:
    async with (
        Side("a") as one,
        Side("b") as two,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        proxied(**settings("a", one.url)) as proxy,
    ):
        asking = Asking(proxy.url, http, Random(5))
        descriptors, tasks = _descriptors(), len(asyncio.all_tasks())
        clients = [started(asking.go_on()) for _ in range(_CLIENTS)]
        sides = cycle([settings("b", two.url), settings("a", one.url)])
        held, most_retired = 0, 0
        for number in range(reloads):
            reloaded = await proxy.change(**next(sides))
            assert reloaded.generation == number + 2
            most_retired = max(most_retired, len(proxy.retired))
            proxy.records.clear()
            if number == reloads // 5:  # what is kept of answers is all here by now
                held = _bytes()
        grown = _bytes() - held
        asking.over.set()
        await asyncio.gather(*clients)
        await _settled(proxy)

        assert asking.faults == []
        assert one.strays + two.strays == []
        assert sum(asking.verdicts.values()) > 5 * reloads
        assert {"HIT", "MISS", "COALESCED"} <= asking.verdicts.keys()
        assert min(asking.kinds.values()) > reloads / 2
        assert most_retired < _CLIENTS
        assert grown < 32 * 2**20
        # A client's connection has two ends, and one to a backend may be kept for it.
        assert _descriptors() <= descriptors + 4 * _CLIENTS
        assert len(asyncio.all_tasks()) <= tasks + 2 * _CLIENTS


# -- a process of its own -------------------------------------------------------------------------


async def _asked(proxy: Served) -> str:
    """What the proxy calls itself."""
    async with await RawClient.connect(proxy.address) as client:
        await client.send(question())
        return str((await client.response()).get("Cache-Status")).partition(";")[0]


def _put(file: Path, name: str, more: str = "") -> None:
    """Write it as an editor does that writes in place."""
    file.write_text(f"pseudonym: {name}\nreload: {{every_s: 50ms}}\n{more}")


async def _document(call: Call) -> None:
    await call.reply(200, JSON, DOCUMENT)


async def test_a_file_that_is_rewritten_is_taken_over_and_one_that_is_wrong_is_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "sidecache.yaml"
    _put(file, "first")
    async with ScriptedUpstream() as up, served(up.url, SIDECACHE_CONFIG=str(file)) as proxy:
        up.answer_with(_document)
        assert await _asked(proxy) == "first"
        _put(file, "second")
        assert (await proxy.told("reloaded"))["changed"] == ["pseudonym"]
        assert await _asked(proxy) == "second"
        _put(file, "third", "cache: {ttl: 1h}\n")
        refused = await proxy.told("not reloaded")
        assert "cache.ttl" in refused["reason"]
        assert "did you mean cache.ttl_s?" in refused["reason"]
        assert await _asked(proxy) == "second"
        _put(file, "third", "cache: {ttl_s: 1h}\nlog: {requests: false}\n")
        assert (await proxy.told("reloaded"))["generation"] == 3
        seen = len(proxy.events)
        assert await _asked(proxy) == "third"
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
        assert not [each for each in proxy.events[seen:] if each["event"] == "request"]


async def test_a_hangup_has_secrets_read_again_and_replies_under_way_go_on(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("Bearer one-one-one")
    secret.chmod(0o600)
    where = {
        "SIDECACHE_UPSTREAMS": "",
        "SIDECACHE_UPSTREAMS__0__SET_HEADERS_FILE": f"{{authorization: {secret}}}",
        "SIDECACHE_RELOAD__WATCH": "false",
    }
    async with ScriptedUpstream() as up:
        where["SIDECACHE_UPSTREAMS__0__URL"] = up.url
        async with (
            served("", **where) as proxy,
            await RawClient.connect(proxy.address) as client,
        ):
            await client.send(question(stream=True))
            streaming = await up.next_call()
            assert streaming.field("authorization") == "Bearer one-one-one"
            await begin(streaming, STREAM[:2])
            await client.head()
            secret.write_text("Bearer two-two-two")
            proxy.signal(signal.SIGHUP)
            changed = (await proxy.told("reloaded"))["changed"]
            assert changed == ["upstreams.0.set_headers_file.authorization"]
            asking = started(_asked(proxy))
            call = await up.next_call()
            assert call.field("authorization") == "Bearer two-two-two"
            await _document(call)
            await asking
            listener = Listener(client)
            for event in STREAM[2:]:
                await streaming.chunk(event)
            await streaming.end()
            assert await listener.end() == b"".join(STREAM)
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
        assert not [event for event in proxy.events if "two-two" in str(event)]


async def test_what_kubernetes_puts_in_place_of_a_configmap_is_found(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / f"..{name}").mkdir()
        _put(tmp_path / f"..{name}" / "sidecache.yaml", name)
    (tmp_path / "..data").symlink_to("..first")
    file = tmp_path / "sidecache.yaml"
    file.symlink_to("..data/sidecache.yaml")
    async with ScriptedUpstream() as up, served(up.url, SIDECACHE_CONFIG=str(file)) as proxy:
        up.answer_with(_document)
        assert await _asked(proxy) == "first"
        (tmp_path / "..data_tmp").symlink_to("..second")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        await proxy.told("reloaded")
        assert await _asked(proxy) == "second"

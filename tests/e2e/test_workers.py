"""Several workers that serve as one, as processes."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from support.processes import children, gone, peers, until
from support.raw_chat import STREAM, Listener, begin, question, stream
from support.raw_client import RawClient
from support.scripted import ScriptedUpstream
from support.served import Served, refused, served

from proxy.tuning.reading import read

Json = dict[str, Any]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for sockets."""
    with TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@asynccontextmanager
async def crew(
    up: ScriptedUpstream, tmp_path: Path, workers: int = 2, **more: str
) -> AsyncIterator[Served]:
    """Workers that share a disk tier."""
    folder = str(tmp_path / "disk")
    disk = {"SIDECACHE_L2_DISK__ENABLED": "true", "SIDECACHE_L2_DISK__DIRECTORY": folder}
    async with served(up.url, SIDECACHE_WORKERS=str(workers), **(disk | more)) as proxy:
        yield proxy


async def get(proxy: Served, path: str) -> tuple[int, Json]:
    async with aiohttp.ClientSession() as http, http.get(proxy.admin + path) as answer:
        return answer.status, await answer.json()


async def post(proxy: Served, path: str, said: Mapping[str, object]) -> tuple[int, Json]:
    async with aiohttp.ClientSession() as http, http.post(proxy.admin + path, json=said) as answer:
        return answer.status, await answer.json()


def within(folder: Path) -> list[Path]:
    """What is in there."""
    return list(folder.iterdir())


async def verdict(proxy: Served, text: str) -> str | None:
    async with await RawClient.connect(proxy.address) as client:
        await client.send(question(text, stream=True))
        return (await client.response()).get("X-Cache")


async def until_ready(proxy: Served, pids: int) -> list[int]:
    """Wait until there are so many processes, and the operator is told that all is well."""

    async def ready() -> bool:
        return len(children(proxy.pid)) == pids and (await get(proxy, "/readyz"))[0] == 200

    await until(ready)
    return children(proxy.pid)


async def test_an_answer_of_one_worker_is_a_hit_at_all_others(tmp_path: Path) -> None:
    async with ScriptedUpstream() as up, crew(up, tmp_path, 3) as proxy:
        assert len(children(proxy.pid)) == 4  # the desk, too
        up.answer_with(stream)
        assert await verdict(proxy, "one") == "MISS"
        while {await verdict(proxy, "one") for _ in range(10)} != {"HIT"}:
            pass  # it is written to the disk a moment later
        up.answer_with(None)
        assert {await verdict(proxy, "one") for _ in range(30)} == {"HIT"}

        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
    assert not [event for event in proxy.events if event.get("level", "info") != "info"]
    listening = next(event for event in proxy.events if event["event"] == "listening")
    assert listening["workers"] == 3


async def test_a_purge_holds_at_all_workers_when_it_is_acknowledged(tmp_path: Path) -> None:
    async with ScriptedUpstream() as up, crew(up, tmp_path, 3) as proxy:
        up.answer_with(stream)
        for round_ in range(5):
            text = f"round {round_}"
            assert await verdict(proxy, text) == "MISS"
            while {await verdict(proxy, text) for _ in range(10)} != {"HIT"}:
                pass  # it is written to the disk a moment later
            status, receipt = await post(proxy, "/purge", {"kind": "all"})
            assert (status, receipt["complete"]) == (200, True)
            assert await verdict(proxy, text) == "MISS"


async def test_without_a_disk_tier_purges_reach_all_workers_too(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as up,
        crew(up, tmp_path, 3, SIDECACHE_L2_DISK__ENABLED="false") as proxy,
    ):
        up.answer_with(stream)
        for _ in range(20):  # at all workers, as chance has it
            await verdict(proxy, "one")
        asked = up.calls
        assert 1 < asked <= 3
        status, receipt = await post(proxy, "/purge", {"kind": "all"})
        assert (status, receipt["complete"]) == (200, True)
        assert await verdict(proxy, "one") == "MISS"


async def test_a_worker_that_is_killed_is_replaced_and_the_others_streams_go_on(
    tmp_path: Path,
) -> None:
    async with ScriptedUpstream() as up, crew(up, tmp_path) as proxy:
        before = children(proxy.pid)
        async with await RawClient.connect(proxy.address) as client:
            await client.send(question("long", stream=True))
            call = await up.next_call()
            await begin(call, STREAM[:2])
            await client.head()
            listener = Listener(client)
            await listener.until(STREAM[1])
            serving = worker_of(client, before)
            other = next(pid for pid in before[:2] if pid != serving)
            os.kill(other, signal.SIGKILL)
            await proxy.told("a process died")
            after = await until_ready(proxy, 3)
            assert other not in after
            for event in STREAM[2:]:
                await call.chunk(event)
            await call.end()
            assert await listener.end() == b"".join(STREAM)

        async with await RawClient.connect(proxy.address) as client:
            await client.send(question("cut", stream=True))
            call = await up.next_call()
            await begin(call, STREAM[:2])
            await client.head()
            await Listener(client).until(STREAM[1])
            os.kill(worker_of(client, children(proxy.pid)), signal.SIGKILL)
            assert STREAM[2] not in await client.rest()  # nor the last chunk


def worker_of(client: RawClient, pids: list[int]) -> int:
    """The process that has the other end of a connection."""
    return next(pid for pid in pids if client.own_address[1] in peers(pid))


async def test_a_reload_replaces_all_processes_and_brings_what_else_needs_a_restart(
    tmp_path: Path,
) -> None:
    async with ScriptedUpstream() as up:
        file = tmp_path / "sidecache.yaml"
        text = f"upstreams: [{{url: '{up.url}'}}]\nworkers: 2\nreload: {{watch: false}}\n"
        file.write_text(text)
        async with served("", SIDECACHE_CONFIG=str(file)) as proxy:
            before = children(proxy.pid)
            file.write_text(text.replace("workers: 2", "workers: 3") + "pseudonym: renamed\n")
            proxy.signal(signal.SIGHUP)
            await proxy.told("rolled")
            await gone(before)
            after = await until_ready(proxy, 4)
            up.answer_with(stream)
            async with await RawClient.connect(proxy.address) as client:
                await client.send(question("one", stream=True))
                assert "renamed" in ((await client.response()).get("Cache-Status") or "")

            file.write_text(text + "admin: {enabled: false}\n")
            status, told = await post(proxy, "/reload", {})
            assert status == 409
            assert "admin.enabled: needs a restart" in told["error"]
            file.write_text(text + f"tls: {{cert_file: {file}}}\n")
            status, told = await post(proxy, "/reload", {})
            assert status == 409
            assert "tls" in told["error"]
            assert set(children(proxy.pid)) == set(after)
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0


async def test_what_several_record_is_one_recording(tmp_path: Path) -> None:
    trace = tmp_path / "trace.sct"
    async with (
        ScriptedUpstream() as up,
        crew(up, tmp_path, SIDECACHE_RECORDING__FILE=str(trace)) as proxy,
    ):
        up.answer_with(stream)
        for number in range(60):  # at both, as chance has it
            await verdict(proxy, f"question {number % 5}")
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0

    workload = read([tmp_path / f"trace-worker{slot}.sct" for slot in (1, 2)])
    assert len(workload.at) == 60
    assert len(set(workload.key)) == 5


async def test_if_the_arbiter_is_killed_the_others_finish_what_they_have_begun(
    tmp_path: Path,
) -> None:
    async with ScriptedUpstream() as up, crew(up, tmp_path) as proxy:
        pids = children(proxy.pid)
        async with await RawClient.connect(proxy.address) as client:
            await client.send(question("long", stream=True))
            call = await up.next_call()
            await begin(call, STREAM[:2])
            await client.head()
            listener = Listener(client)
            await listener.until(STREAM[1])
            proxy.signal(signal.SIGKILL)
            for event in STREAM[2:]:
                await call.chunk(event)
            await call.end()
            assert await listener.end() == b"".join(STREAM)
        await gone(pids)


async def test_who_asks_twice_ends_all_processes_at_once(tmp_path: Path, short: Path) -> None:
    async with (
        ScriptedUpstream() as up,
        crew(up, tmp_path, TMPDIR=str(short)) as proxy,
        await RawClient.connect(proxy.address) as client,
    ):
        assert within(short)
        pids = children(proxy.pid)
        await client.send(question(stream=True))
        await up.next_call()
        proxy.signal(signal.SIGTERM)
        await proxy.told("stopping")
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 128 + signal.SIGTERM
        await gone(pids)
    assert not within(short)


async def test_what_cannot_be_served_is_told_once_and_ends_it() -> None:
    status, told = await refused(
        "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
        SIDECACHE_WORKERS="2", SIDECACHE_TLS__CERT_FILE=__file__,
    )  # fmt: skip
    assert status == 2
    assert told.count("tls: the certificate or key cannot be used") == 1
    assert told.count("\n") == 1


@pytest.mark.parametrize("name", ["listen", "admin"])
async def test_a_port_that_is_taken_is_told_in_one_line(name: str) -> None:
    async with ScriptedUpstream() as up:
        taken = up.url.removeprefix("http://")
        free = "127.0.0.1:0"
        where = {"listen": free, "admin": free} | {name: taken}
        status, told = await refused(
            "--upstream", up.url, "--listen", where["listen"], "--admin", where["admin"],
            SIDECACHE_WORKERS="2",
        )  # fmt: skip
    assert status == 2
    assert told.endswith(f"{taken}: Address already in use\n")


async def test_a_folder_where_no_socket_fits_is_told_with_what_to_do(tmp_path: Path) -> None:
    # Each worker told "worker-1.sock: None", and nothing said that it was TMPDIR.
    long = tmp_path / ("x" * 100)
    long.mkdir()
    status, told = await refused(
        "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
        SIDECACHE_WORKERS="2", TMPDIR=str(long),
    )  # fmt: skip
    assert status == 2
    assert told.startswith(f"Error: workers: no socket can be made at {long}")
    assert told.endswith("AF_UNIX path too long; set TMPDIR to a folder with a short path\n")
    assert [*long.iterdir()] == []

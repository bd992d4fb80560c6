"""The watch on memory: what it does with the parts as memory runs out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.cranked import Clock
from support.proxied import Proxied, proxied
from support.raw_chat import JSON, question
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream

from proxy.app.machine import Machine, pooled
from proxy.app.memory import SPARE_BYTES, MemoryWatch
from proxy.config.load import load
from proxy.host.cgroup import MemoryLimit
from proxy.host.heap import Heap, trimmer
from proxy.host.pressure import Level
from proxy.model.purge import Kind, Purge

LIMIT = 1000


class Use:
    """A control group whose use a test says."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.limit = MemoryLimit(limit, folder, "cgroup2")
        self._folder = folder
        (folder / "memory.stat").write_text("anon 1\n")
        self.is_(0)

    def is_(self, used: int) -> None:
        (self._folder / "memory.current").write_text(f"{used}\n")

    def is_unknown(self) -> None:
        (self._folder / "memory.current").unlink()


class Tier:
    """A memory tier that holds as much as it may."""

    def __init__(self) -> None:
        self.budget = self.held = 400
        self.told: list[tuple[int | None, int | None]] = []

    async def hold(self, most_bytes: int | None, most_entry: int | None) -> None:
        self.told.append((most_bytes, most_entry))
        self.held = self.budget if most_bytes is None else min(self.held, most_bytes)


class World:
    """A watch, and all that it looks at."""

    def __init__(self, folder: Path) -> None:
        self.use, self.tier, self.clock = Use(folder), Tier(), Clock()
        self.trims = 0
        self.spared: list[bool] = []
        self.watch = MemoryWatch(
            self.use.limit,
            self.tier,
            Heap(self._trim, self.clock),
            spare=lambda: self.spared.append(self.watch.is_scarce),
            clock=self.clock,
        )

    def _trim(self) -> None:
        self.trims += 1

    async def look(self, used: int, after_s: float = 1.0) -> Level:
        self.use.is_(used)
        self.clock.turn(after_s)
        await self.watch.look()
        return self.watch.level


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_while_there_is_enough_nothing_is_done(world: World) -> None:
    for used in (0, 500, 849):
        assert await world.look(used) is Level.EASE
    assert world.watch.may_call
    assert (world.tier.told, world.trims, world.spared) == ([], 0, [])


async def test_each_level_does_what_those_below_it_do(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sidecache.memory")
    assert await world.look(860) is Level.SHRINK
    assert world.tier.told == [(340, None)]
    assert world.trims == 1
    assert await world.look(930, 3) is Level.SPARE
    assert world.tier.told[1:] == [(210, SPARE_BYTES)]
    assert (world.spared, world.watch.may_call) == ([True], True)
    assert await world.look(980, 3) is Level.REFUSE
    assert not world.watch.may_call
    for _ in range(30):
        await world.look(500)
    assert world.watch.level is Level.EASE
    assert (world.spared, world.watch.may_call) == ([True, False], True)
    for _ in range(400):
        await world.look(500)
    assert world.tier.told[-1] == (None, None)  # all of it, in the end

    told = [(record.levelname, record.__dict__["level"]) for record in caplog.records]
    assert told == [
        ("WARNING", "shrink"), ("WARNING", "spare"), ("WARNING", "refuse"),
        ("INFO", "spare"), ("INFO", "shrink"), ("INFO", "ease"),
    ]  # fmt: skip
    state = world.watch.state
    assert (state.limit, state.used, state.level) == (LIMIT, 500, "ease")
    assert state.reached == {"shrink": 1, "spare": 1, "refuse": 1}


async def test_what_passes_a_level_by_has_reached_it(world: World) -> None:
    assert await world.look(990) is Level.REFUSE
    assert world.watch.state.reached == {"shrink": 1, "spare": 1, "refuse": 1}
    assert world.spared == [True]


async def test_where_use_cannot_be_read_all_stays_as_it_is(world: World) -> None:
    await world.look(930)
    told = list(world.tier.told)
    world.use.is_unknown()
    await world.watch.look()
    assert world.watch.level is Level.SPARE
    assert world.tier.told == told
    assert world.watch.state.used is None


async def test_without_a_limit_freed_memory_is_given_back_all_the_same() -> None:
    trims = []
    heap = Heap(lambda: trims.append(1), Clock())
    watch = MemoryWatch(None, Tier(), heap, spare=lambda: None, clock=Clock())
    heap.ask()
    await watch.look()
    assert (len(trims), watch.state.trims) == (1, 1)
    assert (watch.state.limit, watch.state.used, watch.may_call) == (None, None, True)


async def test_a_bug_does_not_end_the_watch(tmp_path: Path) -> None:
    class Broken(Tier):
        async def hold(self, most_bytes: int | None, most_entry: int | None) -> None:
            await super().hold(most_bytes, most_entry)
            if len(self.told) > 3:
                seen.set()
            raise RuntimeError("a bug")

    use, seen = Use(tmp_path), asyncio.Event()
    use.is_(990)
    watch = MemoryWatch(
        use.limit, Broken(), Heap(None, Clock()), spare=lambda: None, clock=Clock(), every_s=0.001
    )
    watch.start()
    try:
        async with asyncio.timeout(20):
            await seen.wait()
    finally:
        await watch.close()
    assert not watch.may_call


# -- the whole proxy ------------------------------------------------------------------------------


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as up:
        up.answer_with(long_answer)
        yield up


async def long_answer(call: Call) -> None:
    """An answer as long as the question wants it."""
    kib = 400 if b"long" in call.body else 1
    said = "x" * kib * 1024
    body = (
        b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}]}' % said.encode()
    )
    await call.reply(200, JSON, body)


async def told(proxy: Proxied, text: str) -> str:
    async with await RawClient.connect(proxy.address) as client:
        await client.send(question(text))
        return (await client.response()).get("X-Cache") or ""


async def test_the_memory_tier_is_bounded_by_the_machine_where_it_is_left_to_it(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    machine = Machine(Use(tmp_path, 2**30).limit, 2**36)
    async with proxied(up.url, machine=machine, workers=2) as proxy:
        assert proxy.store.memory.max_bytes == int(0.4 * 2**30) // 2
        await proxy.change(l1_memory={"max_bytes": "64MiB"})
        assert proxy.store.memory.max_bytes == 2**26  # which was divided before
        await proxy.change(l1_memory={"max_bytes": "auto"})
        assert proxy.store.memory.max_bytes == int(0.4 * 2**30) // 2


async def test_a_tier_under_pressure_stays_small_whatever_the_settings_become(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    use = Use(tmp_path, 2**30)
    async with proxied(up.url, machine=Machine(use.limit, 2**36)) as proxy:
        for number in range(5):
            await told(proxy, f"a long one, number {number}")
        held = proxy.store.memory.bytes
        assert held > 5 * 400 * 1024
        use.is_(int(0.87 * 2**30))
        await proxy.memory.look()
        least = proxy.store.budget // 16
        assert proxy.store.memory.max_bytes == least
        await proxy.change(l1_memory={"max_bytes": "512MiB"})
        assert proxy.store.memory.max_bytes == least
        assert proxy.store.budget == 2**29


async def test_while_memory_is_scarce_short_answers_are_kept_and_long_ones_passed_on(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    use = Use(tmp_path, 2**30)
    async with proxied(up.url, machine=Machine(use.limit, 2**36)) as proxy:
        use.is_(int(0.93 * 2**30))
        await proxy.memory.look()
        assert [await told(proxy, "a long one") for _ in range(2)] == ["MISS", "MISS"]
        assert [await told(proxy, "another") for _ in range(2)] == ["MISS", "HIT"]
        await proxy.change(pseudonym="second")  # the bounds outlast a reload
        assert proxy.flights.limits.flight_bytes == SPARE_BYTES
        assert proxy.flights.limits.refreshes == 0
        use.is_(0)
        proxy.memory.level = Level.EASE
        proxy._limit_flights()
        assert proxy.flights.limits.refreshes > 0


async def test_the_operator_is_told_what_the_machine_chose(
    up: ScriptedUpstream, tmp_path: Path
) -> None:
    use = Use(tmp_path, 2**30)
    use.is_(int(0.93 * 2**30))
    admin = {"listen": "127.0.0.1:0"}
    async with (
        proxied(up.url, machine=Machine(use.limit, 2**36), admin=admin) as proxy,
        aiohttp.ClientSession(proxy.admin_url) as http,
    ):
        await proxy.memory.look()
        async with http.get("/config") as reply:
            told = await reply.json()
        assert told["chosen"] == {"l1_memory.max_bytes": int(0.4 * 2**30)}
        assert told["settings"]["l1_memory"]["max_bytes"] == "auto"
        async with http.get("/tiers") as reply:
            (memory,) = (await reply.json())["tiers"]
        assert memory["detail"] == {"budget": int(0.4 * 2**30)}
        assert memory["max_bytes"] < memory["detail"]["budget"]
        async with http.get("/metrics") as reply:
            metrics = await reply.text()
        assert "sidecache_memory_pressure 2.0" in metrics
        assert "sidecache_memory_limit_bytes 1.073741824e+09" in metrics


async def test_a_purge_of_everything_gives_memory_back(up: ScriptedUpstream) -> None:
    async with proxied(up.url) as proxy:
        for number in range(100):
            await told(proxy, f"a long one, number {number}")
        assert proxy.store.held > 100 * 400 * 1024
        await proxy.store.purging.purge(Purge(Kind.ALL))
        await proxy.counted(lambda: not proxy.store.held)
        slices = 2 if trimmer() is not None else 0  # where the allocator can
        await proxy.counted(lambda: proxy.memory.state.trims >= slices)


def test_connections_to_redis_are_of_two_kinds() -> None:
    with_it = {
        "SIDECACHE_L2_REDIS__URL": "redis://localhost", "SIDECACHE_L2_REDIS__MAX_CONNECTIONS": "70",
    }  # fmt: skip
    assert pooled(load(environ=with_it).settings) == pooled(load().settings) + 140


async def test_what_the_machine_makes_of_the_settings_is_logged_and_told(
    up: ScriptedUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sidecache")
    machine = Machine(Use(tmp_path, 2**30).limit, 2**36, descriptors=1000, in_use=36)
    async with proxied(up.url, machine=machine) as proxy:
        assert proxy.server._service.limits.connections == 450
        chosen = machine.chosen(proxy.settings)
        assert chosen == {
            "l1_memory.max_bytes": int(0.4 * 2**30), "downstream.limits.max_connections": 450,
        }  # fmt: skip
        await proxy.change(pseudonym="second")
        events = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert len(events) == 1
        assert events[0].__dict__["descriptors_needed"] == 10_000 + 1024 + 36 + 64
        await proxy.change(downstream={"limits": {"max_connections": 100}})
        assert proxy.server._service.limits.connections == 100
        assert "downstream.limits.max_connections" not in machine.chosen(proxy.settings)
    assert len([r for r in caplog.records if "stored answers" in r.getMessage()]) == 1

"""Reloads that nobody waits for: a signal, and files that change."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.generations import generation, house

from proxy.app.generation import Generation
from proxy.app.reloading import Reloading
from proxy.config.load import Loaded, Origin
from proxy.model.errors import ConfigError

BACKEND = "upstreams: [{url: 'http://127.0.0.1:9'}]\nreload: {every_s: 0.002}\n"


class Slow(Origin):
    """A file whose reading may take as long as a test likes, or fail in a way of its own."""

    __slots__ = ()
    gates: list[threading.Event] = []  # noqa: RUF012 - emptied by each test
    bugs: list[Exception] = []  # noqa: RUF012 - as above

    def load(self) -> Loaded:
        if self.gates:
            assert self.gates.pop(0).wait(20)
        if self.bugs:
            raise self.bugs.pop(0)
        return super().load()


class Told(logging.Handler):
    """What is told of reloads."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: asyncio.Queue[logging.LogRecord] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put_nowait(record)

    async def next(self) -> tuple[str, Any]:
        """The next event, and what changed or why not."""
        async with asyncio.timeout(20):
            record = await self.records.get()
        about = vars(record)
        return record.getMessage(), about.get("changed", about.get("reason"))


class World:
    """Generations that nobody asks, made of a file."""

    def __init__(self, source: Origin, told: Told, **times: float) -> None:
        self.told = told
        shared = house()
        self.generation = generation(source.load(), shared)
        self.reloading = Reloading(
            source,
            current=lambda: self.generation,
            make=lambda loaded: generation(loaded, shared, self.generation),
            adopt=self._adopt,
            wall=lambda: 1e9,
            **{"still_s": 0.001, **times},
        )

    async def _adopt(self, new: Generation) -> None:
        self.generation = new


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "sidecache.yaml"
    file.write_text(BACKEND)
    Slow.gates.clear()
    Slow.bugs.clear()
    return file


def put(file: Path, text: str, mode: int = 0o600) -> None:
    fresh = file.with_suffix(".new")  # at once: they are being read all the time
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.replace(file)


@asynccontextmanager
async def watching(file: Path, **times: float) -> AsyncIterator[World]:
    told, logger = Told(), logging.getLogger("sidecache.reload")
    before = logger.level
    logger.addHandler(told)
    logger.setLevel(logging.INFO)
    world = World(Slow(file), told, **times)
    world.reloading.start()
    try:
        yield world
    finally:
        await world.reloading.close()
        logger.removeHandler(told)
        logger.setLevel(before)


async def test_a_file_that_is_rewritten_is_loaded(file: Path) -> None:
    async with watching(file) as world:
        for ttl_s in (7, 8):
            put(file, f"{BACKEND}cache: {{ttl_s: {ttl_s}}}\n")
            assert await world.told.next() == ("reloaded", ("cache.ttl_s",))
            assert world.generation.settings.cache.ttl_s == ttl_s
        assert world.generation.number == 3


async def test_a_file_that_cannot_be_used_is_told_once_until_it_is_another(file: Path) -> None:
    async with watching(file, retry_s=0.0) as world:
        put(file, "upstreams: [\n")
        event, reason = await world.told.next()
        assert event == "not reloaded"
        assert file.name in reason
        assert world.reloading.refused is not None
        assert world.reloading.refused.when == 1e9
        put(file, f"{BACKEND}listen: 127.0.0.1:1\n")
        event, reason = await world.told.next()
        assert "listen: needs a restart" in reason
        put(file, BACKEND + "# as it was\n")
        put(file, f"{BACKEND}cache: {{ttl_s: 7}}\n")
        assert await world.told.next() == ("reloaded", ("cache.ttl_s",))
        assert world.reloading.refused is None


async def test_a_file_that_comes_late_is_found(file: Path, tmp_path: Path) -> None:
    async with watching(file, retry_s=0.01) as world:
        secret = tmp_path / "token"
        put(file, f"{BACKEND}admin: {{token_file: {secret}}}\n")
        assert (await world.told.next())[0] == "not reloaded"
        put(secret, "a token")
        assert await world.told.next() == ("reloaded", ("admin.token_file",))
        put(secret, "another token")
        assert await world.told.next() == ("reloaded", ("admin.token_file",))
        assert world.generation.settings.admin.bearer == "another token"


async def test_whoever_asks_is_told_that_nothing_has_changed(file: Path) -> None:
    put(file, BACKEND.replace("0.002", "3600"))
    async with watching(file) as world:
        world.reloading.ask()
        assert await world.told.next() == ("reloaded", ())


async def test_where_files_are_not_watched_somebody_has_to_ask(file: Path) -> None:
    off = BACKEND.replace("every_s: 0.002", "every_s: 0.002, watch: false")
    put(file, off)
    async with watching(file) as world:
        put(file, f"{off}cache: {{ttl_s: 7}}\n")
        world.reloading.ask()
        assert await world.told.next() == ("reloaded", ("cache.ttl_s",))


async def test_comments_move_settings_to_other_lines_and_change_nothing(file: Path) -> None:
    async with watching(file) as world:
        put(file, f"# a comment\n{BACKEND}")
        assert (await world.reloading.reload()).changed == ()
        assert world.generation.number == 1
        assert world.generation.loaded.sources["upstreams", 0, "url"] == f"{file}:2"


async def test_what_should_not_stay_so_is_told(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    put(secret, "a token", 0o644)
    async with watching(file) as world:
        put(file, f"{BACKEND}admin: {{token_file: {secret}}}\n")
        async with asyncio.timeout(20):
            record = await world.told.records.get()
        assert "can be read by every user" in vars(record)["warning"]
        assert (await world.told.next())[0] == "reloaded"


async def test_a_disk_that_hangs_is_waited_for_only_so_long(file: Path) -> None:
    async with watching(file, load_s=0.2) as world:
        gate = threading.Event()
        Slow.gates.append(gate)
        for words in ("could not be loaded within 0.2 s", "the disk does not answer"):
            with pytest.raises(ConfigError, match=words):
                await world.reloading.reload()
        gate.set()


async def test_a_disk_that_has_hung_is_read_once_it_answers(file: Path) -> None:
    async with watching(file) as world:
        gate = threading.Event()
        Slow.gates.append(gate)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await world.reloading.reload()
        assert not world.reloading._free.is_set()
        gate.set()
        assert (await world.reloading.reload()).changed == ()


async def test_a_bug_does_not_end_the_watching(file: Path) -> None:
    async with watching(file) as world:
        Slow.bugs.append(RuntimeError("a bug"))
        put(file, f"{BACKEND}cache: {{ttl_s: 7}}\n")
        assert (await world.told.next())[0].endswith("nobody foresaw")
        put(file, f"{BACKEND}cache: {{ttl_s: 8}}\n")
        assert await world.told.next() == ("reloaded", ("cache.ttl_s",))


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - another thread does it
            await asyncio.sleep(0.001)

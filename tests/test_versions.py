"""The versions of knowledge bases."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.scripted import Call, ScriptedUpstream

from proxy.versions import FileSource, Source, Unreadable, UrlSource, Version, Versions, Watch
from proxy.wire.json_pointer import Pointer

SOON = 0.001


class Told:
    """A source that is told what to say, and by which a test knows how often it was read."""

    name = "told"

    def __init__(self, *said: bytes | Exception) -> None:
        self.said = deque(said)
        self.closed = False
        self.all_read = asyncio.Event()

    async def read(self) -> bytes:
        if not self.said:
            self.all_read.set()
            await asyncio.Event().wait()
        said = self.said.popleft()
        if isinstance(said, Exception):
            raise said
        return said

    async def close(self) -> None:
        self.closed = True


def watch(source: Source, pointer: str | None = None, *, at_once: bool = False) -> Watch:
    return Watch(source, None if pointer is None else Pointer(pointer), SOON, at_once)


class Watching(Versions):
    """The versions of some watches."""

    def __init__(self, watches: Iterable[Watch]) -> None:
        super().__init__()
        self.all = [Version(watch) for watch in watches]

    def of(self, number: int) -> Version:
        return self.all[number]


@asynccontextmanager
async def watching(*watches: Watch) -> AsyncIterator[Watching]:
    versions = Watching(watches)
    for version in versions.all:
        await versions.begin(version)
    try:
        yield versions
    finally:
        await versions.close()


async def all_said(*said: bytes | Exception, pointer: str | None = None) -> tuple[int, str | None]:
    """The edition and the version once all of this has been read."""
    source = Told(*said)
    async with asyncio.timeout(10), watching(watch(source, pointer)) as versions:
        await source.all_read.wait()
        told = versions.edition(), versions.of(0)()
    assert source.closed
    return told


async def test_a_version_is_unknown_until_it_was_read() -> None:
    assert await all_said() == (0, None)
    assert await all_said(Unreadable("gone")) == (0, None)


async def test_equal_content_is_one_version_and_other_content_another() -> None:
    first, one = await all_said(b"1\n", b"1", b" 1\r\n")
    second, two = await all_said(b"1", b"2")
    again, back = await all_said(b"1", b"2", b"1")
    assert (first, second, again) == (1, 2, 3)
    assert one == back
    assert two not in {one, None}


@pytest.mark.parametrize("fault", [Unreadable("away"), b"", b" \n", b"{", b"{}"])
async def test_what_cannot_be_read_leaves_the_last_one_known(fault: bytes | Exception) -> None:
    good = b'{"version":1}'
    known = await all_said(good, pointer="/version")
    assert await all_said(good, fault, fault, pointer="/version") == known


async def test_only_what_the_pointer_leads_to_counts() -> None:
    edition, version = await all_said(
        b'{"version":{"a":1,"b":2},"up":1}', b'{"up":2,"version":{"b":2,"a":1}}', pointer="/version"
    )
    assert edition == 1
    assert version is not None


async def test_a_failure_is_told_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sidecache.versions")
    away = Unreadable("away")
    await all_said(away, away, b"1", away, away)
    told = [record.message for record in caplog.records]
    assert [" ".join(each.split()[-3:]) for each in told] == [
        "cannot be read", "has another version", "cannot be read",
    ]  # fmt: skip
    assert [record.__dict__.get("known") for record in caplog.records] == [False, None, True]


async def test_a_bug_does_not_end_the_watching(caplog: pytest.LogCaptureFixture) -> None:
    edition, version = await all_said(RuntimeError("a bug"), b"1")
    assert edition == 1
    assert version is not None
    assert "nobody foresaw" in caplog.text


async def test_what_is_read_at_once_is_known_before_anything_else() -> None:
    source = Told(b"1")
    async with watching(watch(source, at_once=True)) as versions:
        assert versions.of(0)() is not None


# -- a file ---------------------------------------------------------------------------------------


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[tuple[Path, FileSource]]:
    path = tmp_path / "version"
    source = FileSource(path, 10.0)
    yield path, source
    await source.close()


async def test_a_file_is_read_as_it_is_now(file: tuple[Path, FileSource]) -> None:
    path, source = file
    assert source.name == str(path)
    with pytest.raises(Unreadable, match="No such file"):
        await source.read()
    path.write_bytes(b"1")
    assert await source.read() == b"1"
    before = path.stat()
    path.write_bytes(b"2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # too quick for the clock to see
    assert await source.read() == b"2"
    path.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(Unreadable, match="longer than"):
        await source.read()


async def test_a_disk_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)  # opening it to read waits for a writer
    source = FileSource(path, 0.01)
    for _ in range(2):
        with pytest.raises(Unreadable, match="does not answer"):
            await source.read()
    with path.open("wb") as pipe:  # the thread that waits is let go, and what it reads is not lost
        pipe.write(b"1")
    assert await _patient(source).read() == b"1"
    await source.close()


def _patient(source: FileSource) -> FileSource:
    source._limit_s = 10.0
    return source


# -- a URL ----------------------------------------------------------------------------------------


@asynccontextmanager
async def served(
    handler: Callable[[Call], object], limit_s: float = 10.0
) -> AsyncIterator[UrlSource]:
    async with ScriptedUpstream() as up:
        up.answer_with(handler)  # type: ignore[arg-type] # they are awaited there
        source = UrlSource(f"{up.url}/version?key=secret", limit_s)
        try:
            yield source
        finally:
            await source.close()


async def test_a_url_is_asked_each_time() -> None:
    async with served(lambda call: call.reply(200, body=b"1")) as source:
        assert await source.read() == b"1"
        assert await source.read() == b"1"
        assert "secret" not in source.name


@pytest.mark.parametrize("status", [204, 301, 404, 500])
async def test_only_the_status_200_tells_a_version(status: int) -> None:
    async with served(lambda call: call.reply(status, body=b"")) as source:
        with pytest.raises(Unreadable, match=f"status {status}"):
            await source.read()


async def test_a_long_answer_is_not_read_to_its_end() -> None:
    async with served(lambda call: call.reply(200, body=b"x" * (2**20 + 1))) as source:
        with pytest.raises(Unreadable, match="longer than"):
            await source.read()


async def test_a_backend_that_says_nothing_is_given_up() -> None:
    async def silent(call: Call) -> None:
        await asyncio.Event().wait()

    async with served(silent, 0.01) as source:
        with pytest.raises(Unreadable, match="no answer within"):
            await source.read()


async def test_a_backend_that_is_not_there_is_no_error_of_ours() -> None:
    async with ScriptedUpstream() as up:
        source = UrlSource(up.url, 10.0)
        up.refuse()
        with pytest.raises(Unreadable, match="ClientConnectorError"):
            await source.read()
        await source.close()


async def test_what_was_never_read_is_closed_all_the_same(tmp_path: Path) -> None:
    await UrlSource("http://127.0.0.1:9", 1.0).close()
    await FileSource(tmp_path / "no", 1.0).close()

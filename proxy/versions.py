"""The versions of knowledge bases: read from a file or a URL, again and again.

A version is told as a digest of what was read. What cannot be read leaves the last one known in
force, for a backend that has an outage has not changed its documents; where none was ever read
there is none, and nothing is answered from the cache that depends on it.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import aiohttp
import orjson

from proxy.lane import Lane
from proxy.wire.json_pointer import Pointer

log = logging.getLogger("sidecache.versions")

_MOST_BYTES: Final = 2**20  # of a file or a body that a version is read from
_OK: Final = 200


class Unreadable(Exception):
    """There is no version to be read now; the text says why."""


class Source(Protocol):
    """Where a version stands."""

    @property
    def name(self) -> str:
        """What it is called in logs; holds no secrets."""
        ...

    async def read(self) -> bytes:
        """All that stands there, within a bounded time. Raises Unreadable."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class FileSource:
    """A file, read in a thread of its own: the disk may hang.

    Args:
        limit_s: seconds that reading it may take.
    """

    def __init__(self, path: Path, limit_s: float) -> None:
        self._path = path
        self._limit_s = limit_s
        self._lane: Lane | None = None
        self._reading: asyncio.Future[bytes] | None = None

    @property
    def name(self) -> str:
        return str(self._path)

    async def read(self) -> bytes:
        if self._lane is None:
            self._lane = Lane("version")
        if self._reading is None:
            self._reading = self._lane.submit(self._content)
        await asyncio.wait((self._reading,), timeout=self._limit_s)
        if not self._reading.done():
            raise Unreadable("the disk does not answer")  # it is waited for again next time
        reading, self._reading = self._reading, None
        try:
            return _bounded(reading.result())
        except OSError as error:
            raise Unreadable(error.strerror or type(error).__name__) from error

    def _content(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)

    async def close(self) -> None:
        if self._lane is not None:
            self._lane.stop()


class UrlSource:
    """What a GET of a URL is answered, if with 200; redirects are not followed.

    Args:
        limit_s: seconds that it may take, to the last byte.
    """

    def __init__(self, url: str, limit_s: float) -> None:
        self._url = url
        self._limit_s = limit_s
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        return self._url.partition("?")[0]

    async def read(self) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._limit_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.get(self._url, allow_redirects=False) as reply:
                if reply.status != _OK:
                    raise Unreadable(f"status {reply.status}")
                return _bounded(await self._content(reply.content))
        except TimeoutError as error:
            raise Unreadable(f"no answer within {self._limit_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreadable(type(error).__name__) from error

    async def _content(self, body: aiohttp.StreamReader) -> bytes:
        content = bytearray()
        async for piece in body.iter_any():
            content += piece
            if len(content) > _MOST_BYTES:
                break
        return bytes(content)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Watch(NamedTuple):
    """What is read, and how often.

    Args:
        pointer: to the version in a JSON document; None: all that stands there is the version.
        poll_s: seconds from one look to the next.
        at_once: it is read before anything else begins: it takes no time worth telling.
    """

    source: Source
    pointer: Pointer | None
    poll_s: float
    at_once: bool


class Version:
    """One version, as last read; known once ``Versions`` has begun with it."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.value: str | None = None

    def __call__(self) -> str | None:
        """A digest of it; None if it was never read."""
        return self.value


class Versions:
    """All versions that are read, and the owner of the tasks that read them."""

    def __init__(self) -> None:
        self._silent: set[str] = set()  # sources that could not be read when last tried
        self._edition = 0
        self._tasks: dict[Version, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def edition(self) -> int:
        """Counted up whenever one of them changes."""
        return self._edition

    async def begin(self, version: Version) -> None:
        """Read it now, if that can be done at once, and go on reading it."""
        if version.watch.at_once:
            await self._look(version)
        polling = self._poll(version)
        self._tasks[version] = asyncio.create_task(polling)  # noqa: TID251 - end() ends it

    async def end(self, version: Version) -> None:
        """Read it no more; what is known of it stays so."""
        if (task := self._tasks.pop(version, None)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._silent.discard(version.watch.source.name)
        await version.watch.source.close()

    async def close(self) -> None:
        """Read none any more."""
        for version in tuple(self._tasks):
            await self.end(version)

    async def _poll(self, version: Version) -> None:
        """The root of a task."""
        if not version.watch.at_once:
            await self._look(version)
        while True:
            await asyncio.sleep(version.watch.poll_s)
            await self._look(version)

    async def _look(self, version: Version) -> None:
        """Read one once. Raises nothing."""
        watch = version.watch
        name = watch.source.name
        try:
            value = _digest(await watch.source.read(), watch.pointer)
        except Unreadable as fault:
            self._tell(name, str(fault), known=version.value is not None)
            return
        except Exception:
            # The root of what a task does: a bug in it must not end the watching.
            log.exception("a version could not be read in a way nobody foresaw")
            return
        self._silent.discard(name)
        if value != version.value:
            # No waiting between these two: what was read under the old version is read anew.
            version.value = value
            self._edition += 1
            log.info("a knowledge base has another version", extra={"source": name})

    def _tell(self, name: str, why: str, *, known: bool) -> None:
        if name in self._silent:
            return
        self._silent.add(name)
        log.warning(
            "the version of a knowledge base cannot be read",
            extra={"source": name, "why": why, "known": known},
        )


def _bounded(content: bytes) -> bytes:
    if len(content) > _MOST_BYTES:
        raise Unreadable(f"longer than {_MOST_BYTES} bytes")
    return content


def _digest(content: bytes, pointer: Pointer | None) -> str:
    """What tells this version from others. Raises Unreadable."""
    if pointer is not None:
        try:
            value = pointer.find(orjson.loads(content))
        except ValueError as error:
            raise Unreadable("not valid JSON") from error
        if value is None:
            raise Unreadable("nothing stands where the pointer leads")
        content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    elif not content.strip():
        raise Unreadable("empty")  # perhaps being written just now
    return blake2b(content.strip(), digest_size=16).hexdigest()

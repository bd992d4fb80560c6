"""Reloading: settings that have changed are loaded, made a generation of, and taken over.

Whatever asks for it (SIGHUP, the operator's API, a file that has changed), one goes after the
other, and each does all of it or nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from proxy.app.files import Looks, Next, named_in, stamp
from proxy.config.changes import changes, refuse_what_is_fixed
from proxy.config.faults import Place, dotted
from proxy.config.load import Loaded, Source
from proxy.config.settings import Settings
from proxy.lane import Lane
from proxy.model.errors import ConfigError

log = logging.getLogger("sidecache.reload")

T = TypeVar("T")

_LOAD_S: Final = 30.0  # for the disk, and for all that is made of the settings
_STILL_S: Final = 0.25  # for which files must not have changed: they may be written bit by bit
_RETRY_S: Final = 10.0


class Reloaded(NamedTuple):
    """What came of a reload."""

    generation: int  # the one that is asked now
    changed: tuple[str, ...]  # the dotted names of the settings that are others now


class Refused(NamedTuple):
    """Why the last reload came to nothing."""

    when: float  # seconds since the epoch
    reason: str  # names settings and files, never secrets


class Edition(Protocol):
    """Settings that are in force, or may be.

    Attributes:
        number: of those in force it grows with each reload.
        since: when they were loaded, in seconds since the epoch.
        contents: see ``proxy.config.changes.contents``.
    """

    number: int
    since: float
    loaded: Loaded
    contents: Mapping[Place, bytes]

    @property
    def settings(self) -> Settings: ...


E = TypeVar("E", bound=Edition)


class Reloading(Generic[E]):
    """Reloads, when asked to and when files have changed. ``start`` it, and ``close`` it.

    Args:
        source: where settings are loaded from.
        current: the generation that is asked now.
        make: the next one, made of settings, in another thread. Raises ConfigError.
        adopt: puts it in the place of the current one. Raises ConfigError if it cannot.
        wall: seconds since the epoch.
        refuse: raises ConfigError if what changed, of the settings before and after, cannot.
        load_s: seconds that loading and making may take.
        still_s: seconds for which files must not have changed.
        retry_s: see ``Looks``.
    """

    def __init__(
        self,
        source: Source,
        *,
        current: Callable[[], E],
        make: Callable[[Loaded], E],
        adopt: Callable[[E], Awaitable[None]],
        wall: Callable[[], float],
        refuse: Callable[[Settings, Settings, tuple[str, ...]], None] = refuse_what_is_fixed,
        load_s: float = _LOAD_S,
        still_s: float = _STILL_S,
        retry_s: float = _RETRY_S,
    ) -> None:
        self.refused: Refused | None = None
        self.refusals = 0
        self._source = source
        self._current = current
        self._make = make
        self._adopt = adopt
        self._wall = wall
        self._refuse = refuse
        self._load_s = load_s
        self._still_s = still_s
        self._looks = Looks(retry_s)
        self._lane: Lane | None = None
        self._free = asyncio.Event()  # the lane does nothing
        self._free.set()
        self._turn = asyncio.Lock()
        self._adopting: asyncio.Future[None] | None = None
        self._asked = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._closed = False
        self._tried = b""  # the stamp of the files when they were last loaded
        self._told = (b"", "")  # with it, of what was refused last
        self._named: tuple[Settings, tuple[Path, ...]] | None = None  # the files they name

    def start(self) -> None:
        """Begin to look at the files."""
        self._watching = asyncio.create_task(self._watch())

    def ask(self) -> None:
        """Have a reload come soon. For signal handlers."""
        self._asked.set()

    async def close(self) -> None:
        """Reload no more. What is being taken over is, to the end."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._adopting is not None:
            await asyncio.gather(self._adopting, return_exceptions=True)
        if self._lane is not None:
            self._lane.stop()

    async def reload(self) -> Reloaded:
        """Load the settings again, and take them over.

        Raises:
            ConfigError: they cannot be used; all is as it was.
        """
        try:
            reloaded = await self._reload()
        except ConfigError as error:
            self._tell(str(error))
            raise
        log.info("reloaded", extra=reloaded._asdict())
        return reloaded

    async def _reload(self) -> Reloaded:
        async with self._turn:
            try:
                reloaded = await self._take_over(
                    *await self._in_lane(partial(self._load, self._current()))
                )
            except ConfigError as error:
                self.refused = Refused(self._wall(), str(error))
                self.refusals += 1
                raise
            self.refused = None
            return reloaded

    async def _take_over(self, made: E, changed: tuple[str, ...]) -> Reloaded:
        current = self._current()
        if not changed:
            current.loaded = made.loaded  # on other lines, perhaps
            return Reloaded(current.number, ())
        for warning in made.loaded.warnings:
            log.warning("a setting should not stay as it is", extra={"warning": warning})
        # Whoever asked for it may leave; it is half done at no time that others could see.
        self._adopting = asyncio.ensure_future(self._adopt(made))
        await asyncio.shield(self._adopting)
        return Reloaded(made.number, changed)

    # -- in another thread --------------------------------------------------------------------

    def _load(self, current: E) -> tuple[E, tuple[str, ...]]:
        # Before they are read: what changes meanwhile is loaded again.
        self._tried = stamp(self._files(current))
        loaded = self._source.load()
        changed = changes(current.settings, loaded.settings)
        self._refuse(current.settings, loaded.settings, changed)
        made = self._make(loaded)
        others = (
            dotted(place)
            for place, content in made.contents.items()
            if current.contents.get(place) != content
        )
        changed += tuple(name for name in others if name not in changed)
        return made, changed

    def _files(self, current: E) -> tuple[Path, ...]:
        file, settings = self._source.file, current.settings
        if self._named is None or self._named[0] is not settings:
            # Found out once: it takes milliseconds, in which the loop answers nobody.
            self._named = settings, named_in(settings)
        return (*(() if file is None else (file,)), *self._named[1])

    async def _in_lane(self, job: Callable[[], T]) -> T:
        """What ``job`` returns, in good time; for whose turn it is. Raises ConfigError."""
        if self._closed:  # a lane that is made now would never end
            raise ConfigError("the proxy is being stopped")
        if self._lane is None:
            self._lane = Lane("reload")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._load_s):
                await self._free.wait()  # for what was too late for who had asked for it
        if not self._free.is_set():
            raise ConfigError("the disk does not answer")
        self._free.clear()
        doing = self._lane.submit(job)
        doing.add_done_callback(lambda _done: self._free.set())
        await asyncio.wait((doing,), timeout=self._load_s)
        if not doing.done():
            raise ConfigError(f"the settings could not be loaded within {self._load_s:g} s")
        if self._closed:
            raise ConfigError("the proxy is being stopped")
        return doing.result()

    # -- watching -----------------------------------------------------------------------------

    async def _watch(self) -> None:
        """The root of a task."""
        pause_s = self._current().settings.reload.every_s
        while True:
            asked = await self._asked_within(pause_s)
            chosen = self._current().settings.reload
            pause_s = chosen.every_s
            try:
                if asked:
                    await self._attempt(self.reload)
                elif chosen.watch:
                    what = await self._look()
                    if what is Next.LOOK_AGAIN:
                        pause_s = min(self._still_s, pause_s)
                    elif what is Next.LOAD:
                        await self._attempt(self._reload_quietly)
            except Exception:  # the root of a task: a bug in it must not end the watching
                log.exception("settings could not be reloaded in a way nobody foresaw")

    async def _asked_within(self, limit_s: float) -> bool:
        """Whether a reload is asked for, within so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._asked.wait()
        asked = self._asked.is_set()
        self._asked.clear()
        return asked

    async def _look(self) -> Next:
        """What the files say is to be done."""
        async with self._turn:
            try:
                seen = await self._in_lane(partial(stamp, self._files(self._current())))
            except ConfigError:
                return Next.REST  # the disk does not answer
            now, refused = asyncio.get_running_loop().time(), self.refused is not None
            return self._looks.next(seen, self._tried, now, refused=refused)

    async def _attempt(self, reload: Callable[[], Awaitable[object]]) -> None:
        """Reload; nobody waits for what comes of it, and it has been told."""
        try:
            await reload()
        except ConfigError:
            pass
        finally:
            self._looks.tried(asyncio.get_running_loop().time())

    async def _reload_quietly(self) -> None:
        """As ``reload``, but what has been told is not told again, nor that nothing changed."""
        try:
            reloaded = await self._reload()
        except ConfigError as error:
            if (self._tried, str(error)) != self._told:
                self._tell(str(error))
            raise
        if reloaded.changed:
            log.info("reloaded", extra=reloaded._asdict())

    def _tell(self, reason: str) -> None:
        self._told = (self._tried, reason)
        log.warning("not reloaded", extra={"reason": reason})

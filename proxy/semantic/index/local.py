"""The index of one process: rows in memory, compared one by one while few, in lists when many.

A namespace that has grown beyond ``exact_up_to`` gets lists (see ``lists``). A thread puts its rows
there (see ``tending``); those it has not come to yet are compared one by one as before, so a row is
found as soon as it was added.

With a folder the rows survive the process (see ``row_file``); they are read in the background when
it opens, and until then nothing is found. Several processes of one host may share a folder. Each
sees what the others added when it starts the next time.

When there is no room the oldest rows go, those of scopes with more than their share first. Rows
past their time are never found; they are swept out piece by piece as others come.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import lmdb
import numpy as np

from proxy.lane import Lane, within
from proxy.model.entry import CacheKey
from proxy.model.errors import ConfigError, TierError
from proxy.semantic.base import Neighbour, Row
from proxy.semantic.index import lists_file
from proxy.semantic.index.loading import Loaded, load
from proxy.semantic.index.look import Shape
from proxy.semantic.index.places import NOWHERE
from proxy.semantic.index.precision import Dtype, Precision
from proxy.semantic.index.row_file import NotOurs, RowFile, boot_id, room, tidy
from proxy.semantic.index.row_writer import RowWriter
from proxy.semantic.index.rows import Rows, Space
from proxy.semantic.index.scan import Asked, glanced, nearest
from proxy.semantic.index.tending import Tending

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

T = TypeVar("T")

_ON_LOOP: Final = 2_000 * 384  # numbers compared on the event loop at most: 0.3 ms as bytes
_LOOSE_ON_LOOP: Final = 2 * _ON_LOOP  # with lists: to have a thread do it takes longer then
_GLANCE_ON_LOOP: Final = 40_000  # sketches looked at there at most: 0.4 ms
_SWEPT: Final = 4_096  # slots looked through with each row that comes
_SWEPT_DEAD: Final = 16  # of them dropped at most
_AT_ONCE: Final = 256  # rows added before others get their turn
_JOURNAL: Final = 10_000  # rows that come while the file is read, and wait until it has been
_FOLDERS: Final = 2  # of as many embedders: the one in use, and the one before


class LocalIndex:
    """Rows in this process, and in a folder if there is one. Counters only grow.

    Args:
        folder: for this alone, made if missing; on a local disk. None: memory only.
        max_rows: of all namespaces.
        wall: seconds since 1970.
        dtype: what vectors are kept as; see ``precision``.
        exact_up_to: rows of a namespace that are compared one by one; more get lists.
        scope_share: of ``max_rows``: scopes with more lose their rows first.
        shape: of the lists.
        merged_at: rows that wait for their list before they get there.
        ready_s: how long ``open`` waits for the files to be read.
        patience_s: how long ``open``, ``clear`` and each part of ``close`` wait for the disk.
        boot: what tells this run of the machine from others; found out if not given.

    Raises:
        ConfigError: lists may be needed, but numkong is not installed.
    """

    name = "local"

    def __init__(
        self,
        folder: Path | None,
        *,
        max_rows: int,
        wall: Callable[[], float],
        dtype: Dtype = "f16",
        exact_up_to: int = 20_000,
        scope_share: float = 0.5,
        shape: Shape | None = None,
        merged_at: int = 512,
        ready_s: float = 0.5,
        patience_s: float = 30.0,
        boot: str = "",
    ) -> None:
        if exact_up_to < max_rows and find_spec("numkong") is None:
            raise ConfigError(
                f"more than {exact_up_to:,} vectors in one namespace need numkong: "
                "pip install 'sidecache[vectors]'"
            )
        self._folder = folder
        self._max_rows = max_rows
        self._wall = wall
        self._dtype: Dtype = dtype
        self._scope_rows = max(1, int(max_rows * scope_share))
        self._tending = Tending(
            shape=shape or Shape(),
            exact_up_to=exact_up_to,
            merged_at=merged_at,
            failed=self._count_failure,
        )
        self._ready_s = ready_s
        self._patience_s = patience_s
        self._boot = boot or boot_id()
        self._rows: Rows | None = None
        self._file: RowFile | None = None
        self._last_file: RowFile | None = None
        self._set_aside = 0  # by files before that
        self._writer: RowWriter | None = None
        self._loading: asyncio.Future[Loaded] | None = None
        self._journal: list[Row | tuple[bytes, CacheKey]] = []  # what is to be done once loaded
        self._swept = 0  # slots were looked through up to here
        self.expired = 0  # rows swept out after their time
        self.evicted = 0  # rows dropped to make room
        self.declined = 0  # rows there was no room for at all
        self.failed = 0  # times that the files could not be read, or lists not be made

    @property
    def rows(self) -> int:
        """Rows there are now; expired ones that were not swept yet among them."""
        return 0 if self._rows is None else self._rows.count

    @property
    def set_aside(self) -> int:
        """Files that could not be trusted when they were to be opened."""
        return self._set_aside + (self._last_file.set_aside if self._last_file else 0)

    @property
    def unwritten(self) -> int:
        """Transactions that failed."""
        return 0 if self._writer is None else self._writer.failed

    async def open(self, fingerprint: str, dimensions: int) -> None:
        if self._rows is not None:
            await self.close()
        if not re.fullmatch(r"[0-9A-Za-z_.-]{1,64}", fingerprint):
            raise TierError("not the fingerprint of an embedder")
        precision = Precision(self._dtype, dimensions)
        rows = self._new_rows(precision)
        self._searches, self._builds = Lane("index-searches"), Lane("index-builds")
        self._writes = Lane("index-writes")
        self._tending.start(self._builds)
        self._rows = rows
        if self._folder is None:
            return
        folder = self._folder / f"{fingerprint}-{dimensions}-{self._dtype}"
        self._set_aside = self.set_aside
        file = self._last_file = RowFile(
            folder, room(precision.row_bytes, self._max_rows), self._boot
        )
        try:
            await self._done(self._writes, file.open)
        except TierError:
            self.failed += 1
            raise
        self._file = file
        self._loading = self._builds.submit(
            partial(load, file, rows, self._tending.shape, self._wall())
        )
        self._loading.add_done_callback(partial(self._loaded, file, rows))
        await asyncio.wait((self._loading,), timeout=self._ready_s)
        await asyncio.sleep(0)  # for what is to be done once it has been loaded

    async def close(self) -> None:
        """Write what waits, and the lists. What hangs is left behind. Raises nothing."""
        if (rows := self._rows) is None:
            return
        rows.halted.set()
        self._rows = None
        file, writer = self._file, self._writer
        self._file = self._writer = self._loading = None
        self._journal.clear()
        try:
            await self._done(self._builds, lambda: None)  # what was going on there has ended
            rows.reclaim()
            if writer is not None and file is not None:
                async with asyncio.timeout(self._patience_s):
                    await writer.flush()
                await self._done(self._builds, partial(lists_file.save_all, file.folder, rows))
        except (TierError, TimeoutError):
            self.failed += 1
        try:
            if file is not None and self._folder is not None:
                await self._done(self._writes, file.close)
                await self._done(self._writes, partial(tidy, self._folder, _FOLDERS))
        except TierError:
            self.failed += 1
        finally:
            self._tending.forget()
            for lane in (self._searches, self._builds, self._writes):
                lane.stop()

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        rows = self._opened()
        space = rows.spaces.get(namespace)
        if self._loading is not None or space is None or count < 1:
            return []
        if vector.shape != (rows.precision.dimensions,) or not np.isfinite(vector).all():
            raise TierError(f"not a vector of {rows.precision.dimensions} dimensions")
        given = vector.astype(np.float32, copy=False)
        asked = Asked(rows, space.number, given, count, self._wall(), rows.births)
        scanned, lists = space.scanned(), space.lists
        found, further = None, False
        if lists is None and scanned.size * len(vector) <= _ON_LOOP:
            found = nearest(asked, scanned, None)
        elif (
            lists is not None
            and lists.glanced_at <= _GLANCE_ON_LOOP
            and scanned.size * len(vector) <= _LOOSE_ON_LOOP
        ):
            found, further = glanced(asked, scanned, lists), True
        if found is None:
            job = partial(nearest, asked, scanned, lists, further=further)
            found = await self._searches.submit(job)
            if self._rows is not rows:
                return []
        # What was dropped meanwhile holds no row, or one that was born since.
        alive = asked.alive(found.slots).tolist()
        return [
            Neighbour(rows.key(slot), score)
            for slot, score, lives in zip(
                found.slots.tolist(), found.scores.tolist(), alive, strict=True
            )
            if lives
        ]

    async def add(self, rows: Sequence[Row]) -> None:
        into = self._opened()
        for at in range(0, len(rows), _AT_ONCE):
            if at:
                await asyncio.sleep(0)
                if self._rows is not into:  # cleared or closed meanwhile: these came before
                    return
            some = rows[at : at + _AT_ONCE]
            if self._loading is not None:
                into.keep(some)  # or refuse them at once
                self._postpone(some)
            else:
                self._add(into, some)

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        rows = self._opened()
        if self._loading is not None:
            self._postpone([(namespace, key) for key in keys])
            return
        for key in keys:
            self._remove(rows, namespace, key)

    async def clear(self) -> None:
        old = self._opened()
        old.halted.set()
        self._rows = rows = self._new_rows(old.precision)
        self._tending.forget()
        self._journal.clear()
        self._swept = 0
        if self._file is None:
            return
        loading, self._loading = self._loading, None
        if self._writer is None:
            self._writer = RowWriter(self._file, self._writes, rows, self._wall)
        self._writer.clear(rows)
        if loading is not None:
            await asyncio.wait((loading,), timeout=self._patience_s)
        failed = self._writer.failed
        try:
            async with asyncio.timeout(self._patience_s):
                await self._writer.flush()
        except TimeoutError as error:
            raise TierError("the index's file is not cleared yet") from error
        if self._writer.failed != failed:
            raise TierError("the index's file could not be cleared")

    async def settled(self) -> None:
        """Wait until all rows are where they belong: those of large namespaces in lists."""
        if self._loading is not None:
            await asyncio.wait((self._loading,))
            await asyncio.sleep(0)
        await self._tending.settled()

    async def flush(self) -> None:
        """Wait until all rows are written that can be; ``unwritten`` counts the others."""
        if self._writer is not None:
            await self._writer.flush()

    # -- rows ------------------------------------------------------------------------------------

    def _opened(self) -> Rows:
        if self._rows is None:
            raise TierError("the index is not open")
        return self._rows

    def _add(self, rows: Rows, some: Sequence[Row]) -> None:
        vectors, factors = rows.keep(some)
        now, touched = self._wall(), set[Space]()
        for row, vector, factor in zip(some, vectors, factors.tolist(), strict=True):
            namespace, key, _, expires = row
            self._remove(rows, namespace, key)
            if expires <= now:
                continue
            self._sweep(rows, now)
            while rows.count >= self._max_rows:
                self._drop(rows, rows.victim(key.scope))
                self.evicted += 1
            rows.reclaim()
            if not rows.has_room:
                self.declined += 1
                continue
            rows.put(namespace, key, vector, factor, expires=expires, added=now)
            if self._writer is not None:
                self._writer.note(namespace + key.digest)
            touched.add(rows.spaces[namespace])
        for space in touched:
            self._tending.tend(rows, space)

    def _remove(self, rows: Rows, namespace: bytes, key: CacheKey) -> None:
        if (slot := rows.find(namespace, key.digest)) != NOWHERE:
            self._drop(rows, slot)

    def _drop(self, rows: Rows, slot: int) -> None:
        """Forget the row in a slot."""
        name, listed = rows.name(slot), rows.is_listed(slot)
        space = rows.drop(slot)
        if listed and space.lists is not None:
            space.lists.doomed.append(slot)
            self._tending.tend(rows, space)
        else:
            rows.release(slot)
        if self._writer is not None:
            self._writer.note(name)

    def _sweep(self, rows: Rows, now: float) -> None:
        """Drop some of the rows past their time, of those in the next slots."""
        start = self._swept if self._swept < rows.used else 0
        end = min(start + _SWEPT, rows.used)
        expires, space_of = rows.expires[start:end], rows.space_of[start:end]
        dead = np.flatnonzero((expires <= now) & (space_of != 0))[:_SWEPT_DEAD]
        for slot in (start + dead).tolist():
            self._drop(rows, slot)
            self.expired += 1
        self._swept = end if len(dead) < _SWEPT_DEAD else start

    def _count_failure(self) -> None:
        self.failed += 1

    # -- files -----------------------------------------------------------------------------------

    def _new_rows(self, precision: Precision) -> Rows:
        try:
            return Rows(self._max_rows, precision, self._scope_rows)
        except MemoryError as error:
            raise TierError(f"no address space for {self._max_rows:,} vectors") from error

    def _loaded(self, file: RowFile, rows: Rows, loading: asyncio.Future[Loaded]) -> None:
        """The files were read, or cannot be."""
        if self._loading is not loading or loading.cancelled():
            return
        self._loading = None
        stale: list[bytes] = []
        if loading.exception() is None:
            stale = loading.result().stale
        else:
            self.failed += 1
            self._rows = rows = self._new_rows(rows.precision)  # some may have been read
        self._writer = RowWriter(file, self._writes, rows, self._wall)
        if loading.exception() is not None:
            self._writer.give_up()
        for name in stale:
            self._writer.note(name)
        journal, self._journal = self._journal, []
        for each in journal:
            if isinstance(each, Row):
                self._add(rows, [each])
            else:
                self._remove(rows, *each)
        self._tending.tend_all(rows)

    def _postpone(self, some: Sequence[Row | tuple[bytes, CacheKey]]) -> None:
        """Have it done once the files have been read."""
        if len(self._journal) + len(some) > _JOURNAL:
            self.declined += len(some)
        else:
            self._journal.extend(some)

    async def _done(self, lane: Lane, job: Callable[[], T]) -> T:
        """What ``job`` returns. Raises TierError if it fails, or not in time."""
        try:
            return await within(self._patience_s, lane.submit(job))
        except (lmdb.Error, OSError, NotOurs) as error:
            raise TierError(f"the index's files: {error}") from error

"""The index in Postgres with pgvector: one table for each embedder.

All namespaces are in it. A graph (HNSW) of a whole table knows nothing of namespaces: it gives some
of the nearest rows, and those of other namespaces are then left out, which can be all of them. From
pgvector 0.8 on it goes on until there are enough, so there is a graph, and Postgres decides whether
it or all rows of the namespace are looked through. Before that, and for vectors too long for a
graph, all rows of the namespace are: exact, and quick up to some ten thousand rows in one.

Rows past their time are left out of every answer, and swept up about once a minute while rows are
added.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from proxy.model.entry import CacheKey
from proxy.model.errors import ConfigError, TierError
from proxy.semantic.base import Neighbour, Row
from proxy.semantic.index import wire_rows as kept
from proxy.semantic.index.engine import Engine, Gone

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_T = TypeVar("_T")

_MOST_IN_GRAPH: Final = 2000  # numbers of a vector; pgvector's own limit
_ITERATES: Final = [0, 8]  # the version from which a graph is asked on and on
_LOCK: Final = 0x5DCACE  # of all who make tables for the proxy
_SWEPT: Final = 1000  # rows at a time
_CLEAR_S: Final = 30.0
_MISSING: Final = {"42P01", "3F000"}  # no such table, no such schema
_MOST_PREFIX: Final = 30  # with 32 digits after it, a name is of at most 62 bytes: Postgres has 63


class _Connection(Protocol):
    """What is used of a connection of asyncpg's."""

    async def execute(self, query: str, *args: object) -> str: ...
    async def executemany(self, command: str, args: Sequence[Sequence[object]]) -> None: ...
    async def fetch(self, query: str, *args: object) -> Sequence[Mapping[str, object]]: ...
    async def fetchval(self, query: str, *args: object) -> object: ...
    def transaction(self) -> AbstractAsyncContextManager[object]: ...


class _Single(_Connection, Protocol):
    """What is used of a connection outside a pool."""

    def terminate(self) -> None: ...


class _Pool(Protocol):
    """What is used of a pool of asyncpg's."""

    def acquire(self, *, timeout: float) -> AbstractAsyncContextManager[_Connection]: ...
    def terminate(self) -> None: ...


class _Asyncpg(Protocol):
    """What is used of asyncpg, which comes without a mark that its types can be relied on."""

    def connect(self, dsn: str, *, timeout: float) -> Awaitable[_Single]: ...
    def create_pool(
        self,
        dsn: str,
        *,
        min_size: int,
        max_size: int,
        timeout: float,
        server_settings: Mapping[str, str],
        reset: Callable[[object], Awaitable[None]],
    ) -> Awaitable[_Pool]: ...


class PgVector:
    """A Postgres with pgvector 0.5 or newer.

    Args:
        url: where it is: ``postgresql://user:password@host:5432/database``, with ``sslmode`` and
            the like behind a ``?``.
        wall: seconds since 1970.
        engine: what may be asked of it, by this index alone.
        prefix: what the names of tables begin with, letters, digits and underscores; those who
            share it share their rows.

    Raises:
        ConfigError: asyncpg is not installed, or the prefix is none.
    """

    name = "pgvector"

    def __init__(
        self,
        url: str,
        *,
        wall: Callable[[], float],
        engine: Engine,
        prefix: str = "sidecache_",
    ) -> None:
        if find_spec("asyncpg") is None:
            raise ConfigError("pgvector needs asyncpg: pip install 'sidecache[pgvector]'")
        if not (prefix.isascii() and prefix.isidentifier() and len(prefix) <= _MOST_PREFIX):
            raise ConfigError(
                "a prefix for Postgres is letters, digits and underscores, at most"
                f" {_MOST_PREFIX} of them"
            )
        self._url = url
        self._wall = wall
        self._prefix = prefix.lower()
        self._engine = engine
        self._pool: _Pool | None = None
        self._table = ""
        self._dimensions = 0
        self._graph = False

    async def open(self, fingerprint: str, dimensions: int) -> None:
        self._dimensions = dimensions
        self._table = self._prefix + kept.short(fingerprint, dimensions)
        await self._engine.open(self._make)

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        kept.fit(vector, self._dimensions)
        asked, now = _text(vector), self._wall()

        async def ask(on: _Connection) -> list[Neighbour]:
            found = await on.fetch(self._query(), namespace, asked, now, count)
            return [_neighbour(row) for row in found]

        return await self._ask(ask)

    async def add(self, rows: Sequence[Row]) -> None:
        fields = [
            (row.namespace, row.key.digest, row.key.scope.encode(), row.expires, _text(row.vector))
            for row in kept.fitting(rows, self._dimensions)
        ]
        if not fields:
            return
        # Two who put the same rows in different orders would wait for each other.
        fields.sort(key=lambda each: each[:3])
        put = (
            f"INSERT INTO {self._table} (namespace, digest, scope, expires, vector)"  # noqa: S608
            " VALUES ($1, $2, $3, $4, $5::text::vector) ON CONFLICT (namespace, digest, scope)"
            " DO UPDATE SET expires = EXCLUDED.expires, vector = EXCLUDED.vector"
        )
        await self._ask(lambda on: on.executemany(put, fields))
        if self._engine.sweep_due():
            now = self._wall()
            dead = (
                f"DELETE FROM {self._table} WHERE ctid IN (SELECT ctid FROM {self._table}"  # noqa: S608
                f" WHERE expires <= $1 LIMIT {_SWEPT} FOR UPDATE SKIP LOCKED)"
            )
            await self._ask(lambda on: on.execute(dead, now))

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        fields = [(namespace, key.digest, key.scope.encode()) for key in keys]
        if fields:
            gone = (
                f"DELETE FROM {self._table} WHERE namespace = $1 AND digest = $2"  # noqa: S608
                " AND scope = $3"
            )
            await self._ask(lambda on: on.executemany(gone, fields))

    async def clear(self) -> None:
        """Forget all rows of this embedder. May take some seconds."""
        # TRUNCATE would wait for, and hold up, all who read.
        every = f"DELETE FROM {self._table}"  # noqa: S608 - as above, a name of our own
        await self._ask(lambda on: on.execute(every), limit_s=_CLEAR_S)

    async def close(self) -> None:
        await self._engine.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    def _query(self) -> str:
        """The nearest living rows of namespace $1 to vector $2 at $3, at most $4."""
        alive = (
            f"SELECT digest, scope, vector <=> $2::text::vector AS distance FROM {self._table}"  # noqa: S608
            " WHERE namespace = $1 AND expires > $3"
        )
        if not self._graph:
            alive = f"WITH alive AS MATERIALIZED ({alive}) SELECT * FROM alive"  # noqa: S608
        return f"{alive} ORDER BY distance LIMIT $4"

    async def _ask(
        self, work: Callable[[_Connection], Awaitable[_T]], *, limit_s: float | None = None
    ) -> _T:
        async def ask() -> _T:
            pool = self._pool
            if pool is None:
                raise TierError("pgvector is not open")
            try:
                # What is cut short is waited for when it is given back, for as long again.
                async with pool.acquire(timeout=self._engine.operation_s) as connection:
                    return await work(connection)
            except Exception as error:
                if getattr(error, "sqlstate", None) in _MISSING:
                    raise Gone(str(error)) from error
                raise

        return await self._engine.ask(ask, limit_s=limit_s)

    async def _make(self) -> None:
        """Make the extension, the table and what is looked up by, unless they are there."""
        asyncpg = cast("_Asyncpg", await asyncio.to_thread(importlib.import_module, "asyncpg"))
        connection = await asyncpg.connect(self._url, timeout=self._engine.setup_s)
        try:
            async with connection.transaction():
                # IF NOT EXISTS alone fails where two do it at once.
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                self._graph = await self._made(connection)
        finally:
            connection.terminate()
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._engine.connections,
                timeout=self._engine.operation_s,
                server_settings={"hnsw.iterative_scan": "strict_order"} if self._graph else {},
                reset=_leave_as_it_is,
            )

    async def _made(self, on: _Connection) -> bool:
        """Make what is needed; whether there is a graph."""
        installed = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        version = await on.fetchval(installed)
        if version is None:
            await on.execute("CREATE EXTENSION IF NOT EXISTS vector")
            version = await on.fetchval(installed)
        table, graph = self._table, f"{self._table}_graph"
        if await on.fetchval("SELECT to_regclass($1)::text", table) is None:
            await on.execute(
                f"CREATE TABLE {table} (namespace bytea NOT NULL, digest bytea NOT NULL,"
                " scope bytea NOT NULL, expires double precision NOT NULL,"
                f" vector vector({self._dimensions}) NOT NULL,"
                " PRIMARY KEY (namespace, digest, scope))"
            )
            await on.execute(f"CREATE INDEX {table}_expires ON {table} (expires)")
            if _version(version) >= _ITERATES and self._dimensions <= _MOST_IN_GRAPH:
                await on.execute(
                    f"CREATE INDEX {graph} ON {table} USING hnsw (vector vector_cosine_ops)"
                )
        # A table from before pgvector was renewed has none, and building one can take hours.
        there = await on.fetchval("SELECT to_regclass($1)::text", graph)
        return there is not None and _version(version) >= _ITERATES


async def _leave_as_it_is(_connection: object) -> None:
    """Spare a question to Postgres each time: nothing here changes the state of a connection."""


def _version(told: object) -> list[int]:
    """The first two numbers of a version. Raises ValueError."""
    return [int(number) for number in str(told).split(".")[:2]]


def _text(vector: Vector) -> str:
    return f"[{','.join(map(str, vector.tolist()))}]"


def _neighbour(row: Mapping[str, object]) -> Neighbour:
    # The table says of which types these are; another's is a failure all the same.
    scope, digest = cast("bytes", row["scope"]), cast("bytes", row["digest"])
    return kept.near(kept.made(scope, digest), 1.0 - cast("float", row["distance"]))

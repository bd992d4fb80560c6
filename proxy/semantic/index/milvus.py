"""The index in Milvus, over gRPC: one collection for each embedder.

All namespaces are in it, told apart by a field that Milvus filters by. Rows past their time are
left out of every answer, and swept up about once a minute while rows are added.

The library's client is used in threads, as its asynchronous one is said to be an experiment, and
does not know all that the other does. No thread is held for longer than an operation may take: the
deadline is gRPC's own.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from time import sleep
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar, cast

from proxy.model.entry import CacheKey
from proxy.model.errors import ConfigError, TierError
from proxy.semantic.base import Neighbour, Row
from proxy.semantic.index import wire_rows as kept
from proxy.semantic.index.engine import Engine, Gone

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_Field: TypeAlias = "str | float | list[float]"

_T = TypeVar("_T")

_BATCH: Final = 256  # rows in one request
_MOST_SCOPE_BYTES: Final = 4096
_PAUSES_S: Final = (0.1, 0.3, 1.0)  # between attempts to make a collection
_CLEAR_S: Final = 30.0
_NOT_FOUND: Final = 100  # Milvus's code for a collection that is not there


class _Schema(Protocol):
    """What is used of a collection's schema."""

    def add_field(
        self,
        field_name: str,
        datatype: object,
        *,
        is_primary: bool = False,
        max_length: int | None = None,
        dim: int | None = None,
    ) -> object: ...


class _Indexes(Protocol):
    """What is used of a collection's indexes."""

    def add_index(self, field_name: str, *, index_type: str, metric_type: str = "") -> object: ...


class _Client(Protocol):
    """What is used of the library's client. Each may raise whatever gRPC or the library does."""

    def create_schema(self, *, auto_id: bool) -> _Schema: ...
    def prepare_index_params(self) -> _Indexes: ...
    def has_collection(self, collection_name: str, timeout: float) -> bool: ...
    def load_collection(self, collection_name: str, timeout: float) -> None: ...
    def create_collection(
        self,
        collection_name: str,
        *,
        schema: _Schema,
        consistency_level: str,
        timeout: float,
    ) -> None: ...
    def list_indexes(self, collection_name: str, field_name: str) -> Sequence[str]: ...
    def create_index(
        self, collection_name: str, index_params: _Indexes, timeout: float
    ) -> None: ...
    def search(
        self,
        collection_name: str,
        data: Sequence[Sequence[float]],
        *,
        filter: str,  # noqa: A002 - as the library calls it
        limit: int,
        output_fields: Sequence[str],
        timeout: float,
    ) -> Sequence[Sequence[Mapping[str, object]]]: ...
    def upsert(
        self, collection_name: str, data: Sequence[Mapping[str, _Field]], timeout: float
    ) -> object: ...
    def delete(
        self,
        collection_name: str,
        *,
        ids: Sequence[str] | None = None,
        filter: str | None = None,  # noqa: A002 - as the library calls it
        timeout: float,
    ) -> object: ...
    def close(self) -> None: ...


class Milvus:
    """A Milvus, version 2.4 or newer, or Zilliz Cloud.

    Args:
        url: where it is: ``http://host:19530`` or ``https://host:19530``.
        wall: seconds since 1970.
        engine: what may be asked of it, by this index alone.
        token: ``user:password``, or an API key; "" for nothing.
        database: the one to use; "" for the user's own.
        prefix: what the names of collections begin with, letters, digits and underscores; those who
            share it share their rows.

    Raises:
        ConfigError: pymilvus is not installed, or the prefix is none.
    """

    name = "milvus"

    def __init__(
        self,
        url: str,
        *,
        wall: Callable[[], float],
        engine: Engine,
        token: str = "",
        database: str = "",
        prefix: str = "sidecache_",
    ) -> None:
        if find_spec("pymilvus") is None:
            raise ConfigError("Milvus needs pymilvus: pip install 'sidecache[milvus]'")
        if not (prefix.isascii() and prefix.isidentifier()):
            raise ConfigError("a prefix for Milvus is letters, digits and underscores")
        self._url = url
        self._token = token
        self._database = database
        self._wall = wall
        self._prefix = prefix
        self._engine = engine
        self._threads: ThreadPoolExecutor | None = None
        self._client: _Client | None = None
        self._collection = ""
        self._dimensions = 0

    async def open(self, fingerprint: str, dimensions: int) -> None:
        self._dimensions = dimensions
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._engine.connections, "milvus")
        self._collection = self._prefix + kept.short(fingerprint, dimensions)
        await self._engine.open(self._make)

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        kept.fit(vector, self._dimensions)
        alive = f'namespace == "{namespace.hex()}" and expires > {self._wall():.3f}'
        asked = vector.tolist()

        def ask(client: _Client) -> list[Neighbour]:
            found = client.search(
                self._collection, [asked], filter=alive, limit=count,
                output_fields=["digest", "scope"], timeout=self._engine.operation_s,
            )  # fmt: skip
            neighbours = [_neighbour(hit) for hits in found for hit in hits]
            return sorted(neighbours, key=lambda each: -each.score)

        return await self._ask(ask)

    async def add(self, rows: Sequence[Row]) -> None:
        fields: list[dict[str, _Field]] = [
            {
                "id": kept.row_id(row.namespace, row.key).hex(),
                "namespace": row.namespace.hex(),
                "digest": row.key.digest.hex(),
                "scope": row.key.scope,
                "expires": row.expires,
                "vector": row.vector.tolist(),
            }
            for row in kept.fitting(rows, self._dimensions)
        ]
        for start in range(0, len(fields), _BATCH):
            await self._upsert(fields[start : start + _BATCH])
        if fields and self._engine.sweep_due():
            await self._delete_where(f"expires <= {self._wall():.3f}", self._engine.operation_s)

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        ids = [kept.row_id(namespace, key).hex() for key in keys]
        if ids:
            await self._ask(
                lambda client: client.delete(
                    self._collection, ids=ids, timeout=self._engine.operation_s
                )
            )

    async def clear(self) -> None:
        """Forget all rows of this embedder. May take some seconds."""
        # To drop the collection would lose what others add until they know.
        await self._delete_where('id >= ""', _CLEAR_S)

    async def close(self) -> None:
        await self._engine.close()
        client, self._client = self._client, None
        threads, self._threads = self._threads, None
        if threads is not None:
            if client is not None:
                _ = threads.submit(client.close)
            threads.shutdown(wait=False)  # each ends with its deadline, if not before

    async def _upsert(self, fields: Sequence[Mapping[str, _Field]]) -> None:
        await self._ask(
            lambda client: client.upsert(self._collection, fields, timeout=self._engine.operation_s)
        )

    async def _delete_where(self, condition: str, limit_s: float) -> None:
        await self._ask(
            lambda client: client.delete(self._collection, filter=condition, timeout=limit_s),
            limit_s,
        )

    async def _ask(self, work: Callable[[_Client], _T], limit_s: float | None = None) -> _T:
        """What ``work`` comes to in a thread."""

        async def ask() -> _T:
            client = self._client
            if client is None:
                raise TierError("milvus is not open")
            try:
                return await self._in_thread(lambda: work(client))
            except Exception as error:
                if getattr(error, "code", None) == _NOT_FOUND:
                    raise Gone(str(error)) from error
                raise

        return await self._engine.ask(ask, limit_s=limit_s)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        if self._threads is None:
            raise TierError("milvus is not open")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _make(self) -> None:
        collection, dimensions = self._collection, self._dimensions
        client = await self._in_thread(lambda: self._made(collection, dimensions))
        if self._client is None:
            self._client = client

    def _made(self, collection: str, dimensions: int) -> _Client:
        """Make the collection, unless it is there; the client. In a thread."""
        limit_s = self._engine.setup_s
        library = importlib.import_module("pymilvus")  # some hundred modules, which take a second
        # What goes wrong is told by the engine; the library would print it with its whole way.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
        client = self._client
        if client is None:
            make = cast("Callable[..., _Client]", library.MilvusClient)
            client = make(
                uri=self._url, token=self._token, db_name=self._database, timeout=limit_s,
                dedicated=True,
            )  # fmt: skip
        try:
            for pause_s in (*_PAUSES_S, None):
                try:
                    _create(library, client, collection, dimensions, limit_s)
                    break
                except Exception:
                    # Another replica may be at it at this moment.
                    if pause_s is None:
                        raise
                    sleep(pause_s)
        except BaseException:
            if client is not self._client:
                client.close()
            raise
        if self._threads is None:  # closed meanwhile: nobody waits for it
            client.close()
        return client


def _create(
    library: ModuleType, client: _Client, collection: str, dimensions: int, limit_s: float
) -> None:
    """Make what is not there of a collection, of which others may have made a part, and no more."""
    if not client.has_collection(collection, timeout=limit_s):
        kinds = library.DataType
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", kinds.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("namespace", kinds.VARCHAR, max_length=32)
        schema.add_field("digest", kinds.VARCHAR, max_length=64)
        schema.add_field("scope", kinds.VARCHAR, max_length=_MOST_SCOPE_BYTES)
        schema.add_field("expires", kinds.DOUBLE)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dimensions)
        client.create_collection(
            collection,
            schema=schema,
            consistency_level="Session",  # one sees what it wrote itself; others a little later
            timeout=limit_s,
        )
    if not client.list_indexes(collection, "vector"):
        indexes = client.prepare_index_params()
        indexes.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
        indexes.add_index("namespace", index_type="INVERTED")
        client.create_index(collection, indexes, timeout=limit_s)
    client.load_collection(collection, timeout=limit_s)


def _neighbour(hit: Mapping[str, object]) -> Neighbour:
    # The schema says of which types these are; another's is a failure all the same.
    told = cast("Mapping[str, str]", hit["entity"])
    key = kept.made(told["scope"].encode(), bytes.fromhex(told["digest"]))
    return kept.near(key, cast("float", hit["distance"]))

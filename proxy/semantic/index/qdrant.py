"""The index in Qdrant, over its REST interface: one collection for each embedder.

All namespaces are in it, told apart by a field that Qdrant keeps an index of and builds its graphs
by, one for each namespace. Rows past their time are left out of every answer, and swept up about
once a minute while rows are added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import orjson

from proxy.model.entry import CacheKey
from proxy.model.errors import ConfigError, TierError
from proxy.semantic.base import Neighbour, Row
from proxy.semantic.index import wire_rows as kept
from proxy.semantic.index.engine import Engine, Gone

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | float | int | bool | None"

_MOST_BYTES: Final = 4 * 2**20  # of an answer; neighbours take some hundred bytes each
_PIECE: Final = 65_536
_BATCH: Final = 256  # rows in one request: half a megabyte at 384 numbers
_CLEAR_S: Final = 30.0
_SOME_WORDS: Final = 200
_OK, _CONFLICT, _NOT_FOUND = 200, 409, 404


class _Refused(Exception):
    """Qdrant answered with an error."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"status {status}: {said}")
        self.status = status
        self.said = said


class Qdrant:
    """A Qdrant, version 1.11 or newer.

    Args:
        url: where it is: ``http://host:6333`` or ``https://host:6333``, a path may follow.
        wall: seconds since 1970.
        engine: what may be asked of it, by this index alone.
        api_key: what to prove with that this may be asked; "" for nothing.
        prefix: what the names of collections begin with; those who share it share their rows.
        allow_insecure: whether the API key may be sent over a network in clear.

    Raises:
        ConfigError: the URL is none, or the key would be sent in clear.
    """

    name = "qdrant"

    def __init__(
        self,
        url: str,
        *,
        wall: Callable[[], float],
        engine: Engine,
        api_key: str = "",
        prefix: str = "sidecache-",
        allow_insecure: bool = False,
    ) -> None:
        _check(url, secret=bool(api_key) and not allow_insecure)
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["api-key"] = api_key
        self._wall = wall
        self._prefix = prefix
        self._engine = engine
        self._session: aiohttp.ClientSession | None = None
        self._collection = ""
        self._dimensions = 0

    async def open(self, fingerprint: str, dimensions: int) -> None:
        self._dimensions = dimensions
        self._collection = f"/collections/{self._prefix}{fingerprint}-{dimensions}"
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._engine.connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(),  # the engine's budgets hold
            )
        await self._engine.open(self._make)

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        kept.fit(vector, self._dimensions)
        wanted: Json = {
            "query": vector.tolist(),
            "filter": {
                "must": [
                    {"key": "namespace", "match": {"value": namespace.hex()}},
                    {"key": "expires", "range": {"gt": self._wall()}},
                ]
            },
            "limit": count,
            "with_payload": ["digest", "scope"],
        }

        async def ask() -> list[Neighbour]:
            return _neighbours(await self._send("POST", "/points/query", wanted))

        return await self._engine.ask(ask)

    async def add(self, rows: Sequence[Row]) -> None:
        points: list[Json] = [
            {
                "id": _id(row.namespace, row.key),
                "vector": row.vector.tolist(),
                "payload": {
                    "namespace": row.namespace.hex(),
                    "digest": row.key.digest.hex(),
                    "scope": row.key.scope,
                    "expires": row.expires,
                },
            }
            for row in kept.fitting(rows, self._dimensions)
        ]

        for start in range(0, len(points), _BATCH):
            await self._write(
                "PUT", "/points?wait=true", {"points": points[start : start + _BATCH]}
            )
        if points and self._engine.sweep_due():
            dead: Json = {"must": [{"key": "expires", "range": {"lte": self._wall()}}]}
            await self._write("POST", "/points/delete", {"filter": dead})

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        ids = [_id(namespace, key) for key in keys]
        if ids:
            await self._write("POST", "/points/delete?wait=true", {"points": ids})

    async def clear(self) -> None:
        """Forget all rows of this embedder. May take some seconds."""
        every: Json = {"must": [{"key": "expires", "range": {"gte": -1.0}}]}
        await self._write("POST", "/points/delete?wait=true", {"filter": every}, limit_s=_CLEAR_S)

    async def close(self) -> None:
        await self._engine.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _write(
        self, method: str, path: str, body: Json, *, limit_s: float | None = None
    ) -> None:
        async def ask() -> None:
            await self._send(method, path, body)

        await self._engine.ask(ask, limit_s=limit_s)

    async def _make(self) -> None:
        """Make the collection and the indexes of its fields, unless they are there."""
        collection: Json = {
            "vectors": {"size": self._dimensions, "distance": "Cosine"},
            # Graphs for each namespace, none for all: nobody asks across namespaces.
            "hnsw_config": {"m": 0, "payload_m": 16},
        }
        try:
            await self._send("PUT", "", collection)
        except _Refused as refusal:
            # Any of the replicas may have made it a moment ago; older versions say 400 to that.
            if refusal.status != _CONFLICT and "already exists" not in refusal.said:
                raise
        tenant: Json = {"type": "keyword", "is_tenant": True}
        for field, schema in (("namespace", tenant), ("expires", "float")):
            index: Json = {"field_name": field, "field_schema": schema}
            await self._send("PUT", "/index?wait=true", index)

    async def _send(self, method: str, path: str, body: Json) -> object:
        """The result of a request about the collection. Raises Gone if it is not there."""
        if self._session is None:
            raise TierError("qdrant is not open")
        async with self._session.request(
            method, self._url + self._collection + path, data=orjson.dumps(body),
            allow_redirects=False,
        ) as response:  # fmt: skip
            raw = bytearray()
            while piece := await response.content.read(_PIECE):
                raw += piece
                if len(raw) > _MOST_BYTES:
                    raise ValueError(f"an answer of more than {_MOST_BYTES} bytes")
            if response.status != _OK:
                said = raw[:_SOME_WORDS].decode(errors="replace")
                if response.status == _NOT_FOUND and path:
                    raise Gone(said)
                raise _Refused(response.status, said)
            match orjson.loads(raw):
                case {"result": result}:
                    return result
                case _:
                    raise ValueError("an answer without a result")


def _neighbours(result: object) -> list[Neighbour]:
    """The neighbours that a search came to. Raises ValueError."""
    match result:
        case {"points": list() as points}:
            return [_neighbour(point) for point in points]
        case _:
            raise ValueError("an answer without points")


def _neighbour(point: object) -> Neighbour:
    match point:
        case {
            "score": int() | float() as score,
            "payload": {"digest": str() as digest, "scope": str() as scope},
        }:
            return kept.near(kept.made(scope.encode(), bytes.fromhex(digest)), score)
        case _:
            raise ValueError("a point that is no row")


def _id(namespace: bytes, key: CacheKey) -> str:
    return str(UUID(bytes=kept.row_id(namespace, key)))


def _check(url: str, *, secret: bool) -> None:
    """Raise ConfigError unless ``url`` can be used, for a ``secret`` too if there is one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError("Qdrant's URL cannot be read") from error
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise ConfigError("Qdrant's URL is http://host:port or https://host:port")
    if secret and parts.scheme == "http" and not _loopback(host):
        raise ConfigError(f"Qdrant's key would be sent to {host} in clear: use https, or allow it")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

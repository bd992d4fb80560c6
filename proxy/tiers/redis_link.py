"""The wire to Redis: the few commands the tier sends, over whichever client the place needs.

The only module that imports redis, and imported only where a Redis URL is configured: the library
costs megabytes. What it does by default is made safe here, for every kind of client alike:

- It would try ten times, 5 seconds each. Here nothing is tried twice; the tier has a breaker.
- It would introduce itself (``HELLO``, ``CLIENT SETINFO``), which a narrow ACL forbids. RESP 2
  needs neither, and knows no messages nobody asked for.
- Its pools fail when they are exhausted. The tier lets in no more callers than there are
  connections, so that no pool is ever asked for more.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from typing import Protocol, TypedDict, cast

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from proxy.tiers.redis_place import Kind, Place

_BATCH = 1000  # keys looked at in one SCAN: well under a millisecond of Redis's time
_SPARE = 2  # connections beyond those of the callers: for a probe and a sweep
_REFUSALS = (ReadOnlyError, OutOfMemoryError, NoPermissionError)
_REFUSING = ("MISCONF", "NOREPLICAS")  # the library knows these by their words only
_GLOB = re.compile(r"([*?\[\]\\^-])")


class RedisLink:
    """Connections to the servers of one place, made when they are first needed.

    What goes wrong surfaces as the library raises it, and not all of that is a ``RedisError``: that
    a cluster cannot be reached is an ``Exception`` of its own, garbage at times a ``TypeError``.

    Args:
        place: where to, and as whom.
        connections: the most commands at a time.
        operation_s: seconds a write to the socket, or a reply, may take.
        connect_s: seconds until a connection stands.
        ca_file: whom to trust over TLS, in place of whom the system trusts.
    """

    def __init__(
        self,
        place: Place,
        *,
        connections: int,
        operation_s: float,
        connect_s: float,
        ca_file: str = "",
    ) -> None:
        common = _Options(
            socket_timeout=operation_s,
            socket_connect_timeout=connect_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
            max_connections=connections + _SPARE,
        )
        if place.tls:
            common["ssl"] = common["ssl_check_hostname"] = True
            common["ssl_cert_reqs"] = "required"
            common["ssl_ca_certs"] = ca_file or None
        login = _Login(username=place.username or None, password=place.password or None)
        self._sentinel: Sentinel | None = None
        self._client: Redis | RedisCluster
        match place.kind:
            case Kind.ALONE:
                host, port = place.hosts[0]
                self._client = Redis(host=host, port=port, db=place.db, **login, **common)
            case Kind.CLUSTER:
                # That a node is down is for the breaker to judge, by what fails because of it.
                self._client = RedisCluster(
                    startup_nodes=[ClusterNode(host, port) for host, port in place.hosts],
                    require_full_coverage=False,
                    **login,
                    **common,
                )
            case Kind.SENTINEL:
                self._sentinel = Sentinel(  # type: ignore[no-untyped-call] # the library left it bare
                    list(place.hosts), sentinel_kwargs=common
                )
                self._client = self._sentinel.master_for(
                    place.service, db=place.db, **login, **common
                )
        self._server = cast("_Server", self._client)

    async def get(self, key: str) -> bytes | None:
        """The bytes stored under ``key``; None if there are none, or what is there is no string."""
        try:
            value = await self._server.execute_command("GET", key)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                return None
            raise
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, keep_ms: int) -> str:
        """Store for so many milliseconds; empty when done, else why Redis takes no writes now."""
        return await self._write(self._server.execute_command("SET", key, value, "PX", keep_ms))

    async def unlink(self, key: str) -> str:
        """Forget ``key``; empty when done, else why Redis takes no writes now."""
        return await self._write(self._server.execute_command("UNLINK", key))

    async def sweep(self, prefix: str) -> str:
        """Forget all that begins with ``prefix``; empty when done, else why not.

        What is stored meanwhile may or may not be forgotten.
        """
        pattern = _GLOB.sub(r"\\\1", prefix) + "*"
        for server in await self._keepers():
            cursor = -1
            while cursor != 0:
                found = await server.execute_command(
                    "SCAN", max(cursor, 0), "MATCH", pattern, "COUNT", _BATCH
                )
                cursor, keys = cast("tuple[int, list[bytes]]", found)
                # A cluster's client sends a key to the server that keeps it.
                if keys and (refused := await self._write(self._client.unlink(*keys))):
                    return refused
        return ""

    async def close(self) -> None:
        """Close all connections, in use or not."""
        await self._client.aclose()
        if isinstance(self._client, RedisCluster):
            # It closes nothing while it means to look for its nodes anew, as after any failure.
            await self._client.nodes_manager.aclose()
            await self._client.nodes_manager.aclose("startup_nodes")
        if self._sentinel is not None:
            await self._sentinel.aclose()

    async def _keepers(self) -> Sequence[_Server]:
        """Every server that keeps keys of its own: the only one, or a cluster's primaries."""
        if isinstance(self._client, RedisCluster):
            _ = await self._client.initialize()
            return [cast("_Server", node) for node in self._client.get_primaries()]
        return [self._server]

    async def _write(self, command: Awaitable[object]) -> str:
        try:
            await command
        except ResponseError as error:
            if isinstance(error, _REFUSALS) or str(error).startswith(_REFUSING):
                return f"{type(error).__name__}: {error}"
            raise
        return ""


class _Server(Protocol):
    """What a client and a node of a cluster have in common."""

    async def execute_command(self, *words: str | bytes | int) -> object: ...


class _Tls(TypedDict, total=False):
    """That TLS is spoken; all of it or, as a plain connection knows none of these, nothing."""

    ssl: bool
    ssl_cert_reqs: str
    ssl_check_hostname: bool
    ssl_ca_certs: str | None


class _Options(_Tls):
    """What every kind of client is told, sentinels' included."""

    socket_timeout: float
    socket_connect_timeout: float
    retry: Retry
    protocol: int
    driver_info: None
    max_connections: int


class _Login(TypedDict):
    """Who the servers that keep entries are told this is; sentinels are not told."""

    username: str | None
    password: str | None

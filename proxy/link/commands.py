"""The library's wire to Redis: what is more than one command, and all that is asked of a cluster.

The only module that imports redis, and imported only where a Redis URL is configured: the library
costs megabytes. What it does by default is made safe here, for every kind of client alike:

- It would try ten times, 5 seconds each. Here nothing is tried twice; whoever sends has a breaker.
- It would introduce itself (``HELLO``, ``CLIENT SETINFO``), which a narrow ACL forbids. RESP 2
  needs neither, and knows no messages nobody asked for.
- Its pools fail when they are exhausted. No more callers are let in than there are connections, so
  that no pool is ever asked for more.

An ACL that is made for the tier alone allows ``get``, ``set``, ``unlink`` and ``scan``. Streams and
sets need ``+xadd +xread +xrange +xtrim +pexpire +pttl +sadd +srem +smembers`` besides; where these
are missing, what asks for them goes without. Streams need Redis 6.2. What vectors need stands in
``proxy.link.vectors``.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeAlias, TypedDict, TypeVar, cast

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    SlotNotCoveredError,
)

from proxy.link import replies
from proxy.link.command import Command
from proxy.link.line import Address
from proxy.link.place import NONE, Credentials, Kind, Place
from proxy.link.replies import NotAllowed, NoWrites, Records, TooLow

_T = TypeVar("_T")
Words: TypeAlias = Sequence[str | bytes | int]
"""A command and its arguments."""

_BATCH = 1000  # keys looked at in one SCAN: well under a millisecond of Redis's time
_SPARE = 2  # connections beyond those of the callers: for a probe and a sweep
_WAITS_SPARE = 1  # for what a cluster's client asks of its own accord
_WAITS_PATIENCE_S = 1.0  # Redis ends a wait on time, give or take a turn of its loop
_REFUSALS = (ReadOnlyError, OutOfMemoryError, NoPermissionError)
# The library knows these by their words only.
_REFUSING = ("MISCONF", "NOREPLICAS")
_DENYING = ("unknown command", "syntax error", "WRONGTYPE")
_TOO_LOW = "The ID specified in XADD is equal or smaller"
_GLOB = re.compile(r"([*?\[\]\\^-])")


class Commands:
    """Connections to the servers of one place, made when they are first needed.

    What goes wrong surfaces as the library raises it, and not all of that is a ``RedisError``: that
    a cluster cannot be reached is an ``Exception`` of its own, garbage at times a ``TypeError``.
    That Redis answers, but does not do what it is asked, is a ``Refusal``: ``NoWrites`` from every
    command that writes, and, of the commands on streams and sets, ``claim`` and ``renew``,
    ``NotAllowed`` where an ACL, the server's version or what stands under the key forbids them.

    Args:
        place: where to, and as whom.
        connections: the most commands at a time.
        operation_s: seconds a write to the socket, or a reply, may take.
        connect_s: seconds until a connection stands.
        waits: the most calls of ``wait`` at a time.
        longest_wait_s: seconds that one of these may wait.
        credentials: besides those of the place.
    """

    def __init__(
        self,
        place: Place,
        *,
        connections: int,
        operation_s: float,
        connect_s: float,
        waits: int,
        longest_wait_s: float,
        credentials: Credentials = NONE,
    ) -> None:
        options = _Options(
            socket_timeout=operation_s,
            socket_connect_timeout=connect_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
            max_connections=connections + _SPARE,
        )
        if place.tls:
            options["ssl"] = options["ssl_check_hostname"] = True
            options["ssl_cert_reqs"] = "required"
            options["ssl_ca_certs"] = credentials.ca_file or None
            options["ssl_certfile"] = credentials.cert_file or None
            options["ssl_keyfile"] = credentials.key_file or None
        watchers = _Sentinels(
            **options,
            username=credentials.sentinel_username or None,
            password=credentials.sentinel_password or None,
        )
        self._client = _Client(place, servers=options, sentinels=watchers)
        self._server = self._client.server
        # Who waits holds a connection all the while, which must not be one that others need.
        patient = options.copy()
        patient["socket_timeout"] = longest_wait_s + operation_s + _WAITS_PATIENCE_S
        patient["max_connections"] = waits + _WAITS_SPARE
        self._waiting = _Client(place, servers=patient, sentinels=watchers)

    async def do(self, command: Command[_T]) -> _T:
        """What one command comes to."""
        asking = self._server.execute_command(*command.words)
        try:
            reply = await (_allowed(asking) if command.extra else _written(asking))
        except ResponseError as error:
            if not command.none_if or not str(error).startswith(command.none_if):
                raise
            reply = None
        return command.read(reply)

    async def address(self) -> Address:
        """Where the server is that takes writes. There is one: the place is no cluster."""
        return await self._client.address()

    async def sweep(self, prefix: str) -> None:
        """Forget all keys that are ``prefix`` and a digest in hexadecimal digits.

        What is stored meanwhile may or may not be forgotten.
        """
        pattern = _GLOB.sub(r"\\\1", prefix) + "[0-9a-f]*"
        for server in await self._client.keepers():
            cursor = -1
            while cursor != 0:
                found = await server.execute_command(
                    "SCAN", max(cursor, 0), "MATCH", pattern, "COUNT", _BATCH
                )
                cursor, keys = cast("tuple[int, list[bytes]]", found)
                if keys:
                    # A cluster's client sends a key to the server that keeps it.
                    _ = await _written(self._client.redis.unlink(*keys))

    async def scan(
        self, begins: str, server: int, cursor: int, count: int
    ) -> tuple[list[str], tuple[int, int] | None]:
        """Some keys that begin so, and where to go on, if anywhere.

        Args:
            begins: as it is, no pattern.
            server: of those that keep keys, counted from 0.
            cursor: of that server; 0 at first.
            count: keys to look at, about.
        """
        servers = await self._client.keepers()
        if server >= len(servers):  # the cluster has become smaller
            return [], None
        pattern = _GLOB.sub(r"\\\1", begins) + "*"
        found = await servers[server].execute_command(
            "SCAN", cursor, "MATCH", pattern, "COUNT", count
        )
        cursor, keys = cast("tuple[int, list[bytes]]", found)
        names = [key.decode("ascii", "replace") for key in keys]
        if cursor:
            return names, (server, cursor)
        return names, (server + 1, 0) if server + 1 < len(servers) else None

    async def entries(self, key: str, after: str, count: int) -> Records:
        """The oldest ``count`` entries of a stream whose ids are above ``after``; "0" is below all.

        A stream that is not there has none.
        """
        return replies.records(await self._ask("XRANGE", key, "(" + after, "+", "COUNT", count))

    async def members(self, key: str) -> frozenset[bytes]:
        """What is in a set; nothing if there is none."""
        return replies.members(await self._ask("SMEMBERS", key))

    async def wait(
        self, cursors: Sequence[tuple[str, str]], block_ms: int, count: int
    ) -> list[tuple[str, Records]]:
        """Entries of streams, as soon as there are some; none if there are none in time.

        Args:
            cursors: streams, each with the id after which entries are new, or ``$`` for whatever
                comes from now on. At least one. In a cluster all must hash to one slot.
            block_ms: milliseconds to wait, 1 or more, and no more than ``longest_wait_s``.
            count: the most entries of each stream.
        """
        keys, after = zip(*cursors, strict=True)
        reply = self._waiting.at(
            keys[0], "XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", *keys, *after
        )
        return replies.streams(await _allowed(reply), {key.encode(): key for key in keys})

    async def send(self, *words: str | bytes | int) -> object:
        """What is answered to any one command, for a room that has commands of its own."""
        return await self._ask(*words)

    async def send_all(self, *commands: Words) -> list[object]:
        """What is answered to several commands, sent in one go; in a cluster, all of one slot.

        They are not one transaction. If any fails, the first failure is raised; the others may be
        done.
        """
        return await _allowed(self._client.all_of(commands))

    async def close(self) -> None:
        """Close all connections, in use or not."""
        try:
            await self._client.close()
        finally:
            await self._waiting.close()

    async def _ask(self, *words: str | bytes | int) -> object:
        return await _allowed(self._server.execute_command(*words))


async def _written(command: Awaitable[_T]) -> _T:
    """What a command that writes comes to, or NoWrites."""
    try:
        return await command
    except ResponseError as error:
        if isinstance(error, _REFUSALS) or str(error).startswith(_REFUSING):
            raise NoWrites(f"{type(error).__name__}: {error}") from error
        raise


async def _allowed(command: Awaitable[_T]) -> _T:
    """What a command comes to that an ACL or a server made for the tier may not know."""
    try:
        return await _written(command)
    except NoWrites as refusal:
        if isinstance(refusal.__cause__, NoPermissionError):
            raise NotAllowed(str(refusal)) from refusal.__cause__
        raise
    except ResponseError as error:
        text = replies.unquoting(str(error))
        if text.startswith(_TOO_LOW):
            raise TooLow(text) from error
        if text.startswith(_DENYING):
            raise NotAllowed(text) from error
        raise


class _Client:
    """The library's client for one place, of whichever kind, and what it leaves to be done."""

    def __init__(self, place: Place, *, servers: _Options, sentinels: _Sentinels) -> None:
        login = _Login(username=place.username or None, password=place.password or None)
        self._place = place
        self._sentinel: Sentinel | None = None
        self.redis: Redis | RedisCluster
        match place.kind:
            case Kind.ALONE:
                host, port = place.hosts[0]
                self.redis = Redis(host=host, port=port, db=place.db, **login, **servers)
            case Kind.CLUSTER:
                # That a node is down is for the breaker to judge, by what fails because of it.
                self.redis = RedisCluster(
                    startup_nodes=[ClusterNode(host, port) for host, port in place.hosts],
                    require_full_coverage=False,
                    **login,
                    **servers,
                )
            case Kind.SENTINEL:
                self._sentinel = Sentinel(  # type: ignore[no-untyped-call] # the library left it bare
                    list(place.hosts), sentinel_kwargs=sentinels
                )
                self.redis = self._sentinel.master_for(
                    place.service, db=place.db, **login, **servers
                )
        self.server = cast("_Server", self.redis)

    async def address(self) -> Address:
        if self._sentinel is None:
            return self._place.hosts[0]
        found = await self._sentinel.discover_master(self._place.service)
        return cast("Address", found)

    async def keepers(self) -> Sequence[_Server]:
        """Every server that keeps keys of its own: the only one, or a cluster's primaries."""
        if isinstance(self.redis, RedisCluster):
            _ = await self.redis.initialize()
            return [cast("_Server", node) for node in self.redis.get_primaries()]
        return [self.server]

    async def at(self, key: str, *words: str | bytes | int) -> object:
        """What is answered where ``key`` is kept, and the library need not be asked for the keys.

        A cluster's client would ask a server where the keys of an ``XREAD`` stand, each time.
        """
        if not isinstance(self.redis, RedisCluster):
            return await self.server.execute_command(*words)
        _ = await self.redis.initialize()
        try:
            node = self.redis.get_node_from_key(key)
        except SlotNotCoveredError:
            await self.redis.aclose()  # it looks for the nodes anew, next time
            raise
        found: object = await self.redis.execute_command(*words, target_nodes=node)
        return found

    async def all_of(self, commands: Sequence[Words]) -> list[object]:
        """What is answered to commands that are sent in one go. Raises the first failure."""
        found: list[object]
        async with self.redis.pipeline(transaction=False) as pipe:
            sender = cast("_Pipe", pipe)
            for words in commands:
                _ = sender.execute_command(*words)
            # Raised by the library, it would carry the whole command in its words.
            found = await sender.execute(raise_on_error=False)
        for reply in found:
            if isinstance(reply, Exception):
                raise reply
        return found

    async def close(self) -> None:
        await self.redis.aclose()
        if isinstance(self.redis, RedisCluster):
            # It closes nothing while it means to look for its nodes anew, as after any failure.
            await self.redis.nodes_manager.aclose()
            await self.redis.nodes_manager.aclose("startup_nodes")
        if self._sentinel is not None:
            await self._sentinel.aclose()


class _Server(Protocol):
    """What a client and a node of a cluster have in common."""

    async def execute_command(self, *words: str | bytes | int) -> object: ...


class _Pipe(Protocol):
    """What pipelines of a client and of a cluster's have in common."""

    def execute_command(self, *words: str | bytes | int) -> object: ...
    async def execute(self, raise_on_error: bool) -> list[object]: ...  # noqa: FBT001 - as it is


class _Tls(TypedDict, total=False):
    """That TLS is spoken; all of it or, as a plain connection knows none of these, nothing."""

    ssl: bool
    ssl_cert_reqs: str
    ssl_check_hostname: bool
    ssl_ca_certs: str | None
    ssl_certfile: str | None
    ssl_keyfile: str | None


class _Options(_Tls):
    """What every kind of client is told, sentinels' included."""

    socket_timeout: float
    socket_connect_timeout: float
    retry: Retry
    protocol: int
    driver_info: None
    max_connections: int


class _Login(TypedDict):
    """Who this is. Sentinels know other users than the servers that keep entries."""

    username: str | None
    password: str | None


class _Sentinels(_Options, _Login):
    """What sentinels are told."""

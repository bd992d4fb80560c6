"""Where entries are kept: the tiers that the settings ask for, opened and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from proxy.app.clock import seconds
from proxy.app.machine import Machine
from proxy.app.seat import Seat
from proxy.config.settings import Settings
from proxy.host.heap import Heap, trimmer
from proxy.ledger import Ledger
from proxy.link.persist import Unforeseen
from proxy.link.place import Credentials, read_place
from proxy.link.redis import Redis, Standing
from proxy.link.replies import NotAllowed
from proxy.model.entry import Entry
from proxy.model.errors import ConfigError, TierError
from proxy.purges.base import Journal
from proxy.purges.journal_file import FileJournal
from proxy.purges.journal_redis import RedisJournal
from proxy.purges.purging import Purging
from proxy.tiers.base import Tier
from proxy.tiers.browsing import Browsing, Open
from proxy.tiers.codec import Codec, EncryptionKey
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.l2_disk import L2Disk
from proxy.tiers.l2_redis import L2Redis
from proxy.tiers.ladder import Ladder
from proxy.tiers.measured import MeasuredTier, Watched
from proxy.tiers.write_behind import WriteBehind

log = logging.getLogger("sidecache.store")

_FLUSH_S = 2.0  # what waits for Redis may take so long to be written when the proxy stops
_SETTLE_S = 5.0  # or what is taken in meanwhile
_MUCH_BYTES = 16 * 2**20  # so much that was freed at once is given back to the system
_SECRET_BYTES = 32
_SECRET_FILE = "secret"  # noqa: S105 - its name, not what is in it


class Store:
    """The ladder and its tiers: ``open`` it before the first request, ``close`` it after the last.

    A tier that cannot be opened is left out, loudly: the proxy serves without it.

    Args:
        settings: checked settings.
        machine: what this process may take of; None: that is found out.
        seat: where this worker sits; None: it is the only one.

    Raises:
        ConfigError: what the settings say of storage cannot be done on this machine.
    """

    def __init__(
        self,
        settings: Settings,
        machine: Machine | None = None,
        seat: Seat | None = None,
    ) -> None:
        self._machine = machine or Machine.found()
        self.budget = self._machine.memory_tier(settings)  # of the memory tier, without pressure
        self.heap = Heap(trimmer(), seconds)
        self._pressed: tuple[int | None, int | None] = (None, None)  # bytes in all, of an entry
        self._share, self._most_entry = settings.l1_memory.scope_share, _most_in_memory(settings)
        self._limiting = asyncio.Lock()  # a budget shrinks bit by bit: one at a time
        self.memory = L1Memory(
            max_bytes=self.budget,
            max_entry_bytes=self._most_entry,
            clock=seconds,
            scope_share=self._share,
            rest=self._rest,
        )
        self._most_held = 0
        self.directory = data_directory(settings)
        self.disk = _disk(settings, self.directory) if self.directory else None
        self.redis = _redis(settings)
        self.shared = None if self.redis is None else _shared(settings, self.redis)
        # What Redis is asked is watched, not what waits to be written there.
        behind = None if self.shared is None else MeasuredTier(self.shared, seconds)
        self.behind = None if behind is None else WriteBehind(behind, _report)
        disk = None if self.disk is None else MeasuredTier(self.disk, seconds)
        self.watched: dict[str, Watched] = {
            tier.name: tier.watched for tier in (disk, behind) if tier is not None
        }
        self.place = place_of(settings, seat)
        self._heard = False  # what others have purged
        tiers: list[Tier] = [self.memory]
        tiers += [tier for tier in (disk, self.behind) if tier is not None]
        self._tiers = tuple(tiers)
        self.freed: list[Callable[[], Awaitable[None]]] = []  # called when all is purged
        self.shrinks: list[Callable[[], None]] = []  # called when memory is to hold less
        # Told how many bytes the memory tier may hold: before they become less, after more.
        self.bounded: list[Callable[[int], None]] = []
        self.ledger = Ledger()
        self.ladder = Ladder(tiers, self.ledger, _report)
        kept: list[Open] = [self.memory]
        kept += [tier for tier in (self.disk, self.behind) if tier is not None]
        self.browsing = Browsing(kept, self.ladder, seconds)
        self.purging = Purging(
            self.ledger,
            self._journal(settings, self.directory or (None if seat is None else seat.directory)),
            sweep=self._sweep,
            free=self._free,
            clock=seconds,
            wall=time.time,
        )

    def _journal(self, settings: Settings, directory: Path | None) -> Journal | None:
        """Where purges are written down for all who share what is kept."""
        journal: Journal
        place, wall, report = self.place, time.time, self._heed
        if self.redis is not None:
            prefix = settings.l2_redis.prefix
            journal = RedisJournal(self.redis, prefix=prefix, place=place, wall=wall, report=report)
        elif directory is not None:
            folder = directory / "journal"
            journal = FileJournal(folder, replica=place, wall=wall, report=report)
        else:
            return None
        # What others purged has to be known before what outlives this process can be trusted.
        self.ladder.trust([self.memory.name])
        return journal

    def _heed(self, trouble: TierError | None) -> None:
        """The journal is read as it grows, or is not, for what ``trouble`` says."""
        if trouble is None:
            self._heard = True
            self.ladder.trust([tier.name for tier in self._tiers])
            return
        if self.redis is None or isinstance(trouble, NotAllowed | Unforeseen):
            # Else the standing of Redis tells.
            log.warning("purges of others are not heard of", exc_info=trouble)
        # As in memory, what is on disk was purged by nobody who could be heard.
        own = [self.memory, self.disk] if self._heard else [self.memory]
        self.ladder.trust([tier.name for tier in own if tier is not None])

    async def _free(self) -> Sequence[str]:
        for each in self.freed:
            await each()
        await self._sweep()  # in slices: the ladder would do it in one
        failed = await self.ladder.clear()
        self.heap.ask()
        return failed

    async def _sweep(self, gone: Callable[[Entry], bool] | None = None) -> None:
        for each in self.shrinks:
            each()
        self._most_held = before = self.memory.bytes
        await self.memory.sweep(gone)
        if before - self.memory.bytes >= _MUCH_BYTES:
            self.heap.ask()

    async def _rest(self) -> None:
        """Give back what was freed in memory, if that is much; others go on meanwhile.

        Giving back keeps everybody waiting who needs memory, half a second for a gigabyte: so it is
        done while that much is freed, not afterwards.
        """
        held = self.memory.bytes
        if self._most_held - held < _MUCH_BYTES:
            self._most_held = max(self._most_held, held)
            await asyncio.sleep(0)
            return
        self._most_held = held
        self.heap.ask()
        await self.heap.give_back(at_once=True)

    async def limit(self, settings: Settings) -> None:
        """Take the bounds in ``settings`` that may change while it is open."""
        if self.disk is not None:
            self.disk.max_entry_bytes = settings.cache.max_entry_bytes
        if self.shared is not None:
            self.shared.max_entry_bytes = settings.cache.max_entry_bytes
        self.budget = self._machine.memory_tier(settings)
        self._share, self._most_entry = settings.l1_memory.scope_share, _most_in_memory(settings)
        held = self.held
        await self._limit_memory()
        if held - self.held >= _MUCH_BYTES:
            self.heap.ask()

    @property
    def held(self) -> int:
        """Bytes that the memory tier holds."""
        return self.memory.bytes

    async def hold(self, most_bytes: int | None, most_entry: int | None) -> None:
        """Let the memory tier hold no more than that, nor an entry that is larger, for now.

        None: as the settings say.
        """
        self._pressed = most_bytes, most_entry
        for each in self.shrinks:
            each()
        await self._limit_memory()

    async def _limit_memory(self) -> None:
        async with self._limiting:
            most_bytes, most_entry = self._pressed
            most = _least(self.budget, most_bytes)
            self._bound(min(most, self.memory.max_bytes))
            self._most_held = self.memory.bytes
            await self.memory.limit(
                max_bytes=most,
                max_entry_bytes=_least(self._most_entry, most_entry),
                scope_share=self._share,
            )
            self._bound(most)

    def _bound(self, most_bytes: int) -> None:
        for each in self.bounded:
            each(most_bytes)

    async def open(self) -> None:
        """Open every tier, each for no longer than its own limits allow. Raises nothing."""
        if self.disk is not None:
            try:
                await self.disk.start()
            except TierError as error:
                log.warning("nothing is kept on disk", exc_info=error)
        if self.redis is not None and self.behind is not None:
            await self.redis.start()
            await self.behind.start()
        await self.purging.start()

    async def settle(self) -> None:
        """Wait for what waits to be written, but not for long. Raises nothing."""
        with contextlib.suppress(TimeoutError, TierError):
            async with asyncio.timeout(_SETTLE_S):
                if self.disk is not None:
                    await self.disk.flush()
                if self.behind is not None:
                    await self.behind.flush()

    async def close(self) -> None:
        """Write what waits to be written, within limits, and let go of all."""
        await self.purging.close()
        if self.behind is not None and self.redis is not None:
            await self.behind.close(_FLUSH_S)
            await self.redis.close()
        if self.disk is not None:
            await self.disk.close()


def key_secret(settings: Settings, directory: Path | None) -> bytes:
    """What keys the hashes that scopes and cache keys are.

    What the settings give; else what is kept beside the entries on disk, so that they are found
    again after a restart; else, where nothing outlives the process, a new one.
    """
    given = settings.cache.scope.key
    if given is not None:
        return given
    if settings.l2_redis.address is not None:
        log.warning(
            "replicas can only share entries if they have the same cache.scope.secret: none is set"
        )
    if directory is None:
        return secrets.token_bytes(_SECRET_BYTES)
    try:
        return kept_secret(directory / _SECRET_FILE)
    except OSError as error:
        log.warning("no secret can be kept: entries on disk are lost at the end", exc_info=error)
        return secrets.token_bytes(_SECRET_BYTES)


def place_of(settings: Settings, seat: Seat | None) -> str:
    """Where this replica is; another that starts there takes its place."""
    place = f"{socket.gethostname()}:{settings.listen.port or secrets.token_hex(4)}"
    return place if seat is None else f"{place}/{seat.slot}"


def kept_secret(path: Path) -> bytes:
    """What is in a file that is made where there is none, drawn by chance. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Complete before it has its name, so that nobody ever reads half of it.
        fresh = path.with_name(f"{_SECRET_FILE}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
        try:
            os.link(fresh, path)
        finally:
            fresh.unlink()
    kept = path.read_bytes()
    if len(kept) < _SECRET_BYTES:
        raise OSError(f"{path.name} does not hold a secret")
    return kept


def data_directory(settings: Settings) -> Path | None:
    """Where things are kept that outlive the process; None: nothing is."""
    if not settings.l2_disk.enabled:
        return None
    if settings.l2_disk.directory is not None:
        return settings.l2_disk.directory.expanduser()
    # XDG Base Directory Specification, version 0.8.
    base = os.environ.get("XDG_CACHE_HOME") or ""
    home = Path(base) if base.startswith("/") else Path("~/.cache").expanduser()
    return home / "sidecache"


def _least(bound: int, other: int | None) -> int:
    return bound if other is None else min(bound, other)


def _most_in_memory(settings: Settings) -> int:
    return settings.l1_memory.max_entry_bytes or settings.cache.max_entry_bytes


def _entries(settings: Settings) -> str:
    """The folder of the entries: another for each journal, which knows of its own purges only."""
    journal = shared_journal(settings)
    return "entries" if journal is None else f"entries-{journal}"


def shared_journal(settings: Settings) -> str | None:
    """A name for the journal in Redis, of its place; None: there is none."""
    redis = settings.l2_redis
    if redis.address is None:
        return None
    place = read_place(redis.address, allow_insecure=redis.allow_insecure)
    journal = repr((sorted(place.hosts), place.service, place.db, redis.prefix))
    return blake2b(journal.encode(), digest_size=8).hexdigest()


def _disk(settings: Settings, directory: Path) -> L2Disk:
    return L2Disk(
        directory / _entries(settings),
        codec=codec_for(settings),
        max_bytes=settings.l2_disk.max_bytes,
        max_entry_bytes=settings.cache.max_entry_bytes,
        clock=seconds,
        wall=time.time,
        read_timeout_s=settings.l2_disk.read_timeout_s,
        guarded=settings.l2_disk.guard,
    )


def _redis(settings: Settings) -> Redis | None:
    redis = settings.l2_redis
    if redis.address is None:
        return None
    return Redis(
        read_place(redis.address, allow_insecure=redis.allow_insecure),
        clock=seconds,
        dice=random.random,
        report=_report_standing,
        operation_s=redis.timeout_s,
        connect_s=redis.connect_timeout_s,
        connections=redis.max_connections,
        credentials=Credentials(
            str(redis.ca_file or ""),
            str(redis.cert_file or ""),
            str(redis.key_file or ""),
            redis.sentinel_username,
            redis.sentinel_secret,
        ),
        probe_key=redis.prefix,
    )


def _shared(settings: Settings, redis: Redis) -> L2Redis:
    return L2Redis(
        redis,
        codec=codec_for(settings),
        clock=seconds,
        wall=time.time,
        max_entry_bytes=settings.cache.max_entry_bytes,
        prefix=settings.l2_redis.prefix,
    )


def codec_for(settings: Settings) -> Codec:
    """A codec as the settings ask for. Raises ConfigError."""
    storage = settings.storage
    keys = [EncryptionKey(key.id, key.key) for key in storage.encryption_keys]
    try:
        return Codec(compress_above=storage.compress_above_bytes, keys=keys)
    except ImportError as error:
        raise ConfigError(
            "storage.encryption_keys: needs the package `cryptography`: "
            "pip install 'sidecache[encryption]'"
        ) from error


def _report(tier: str, error: TierError) -> None:
    log.debug("a tier failed", extra={"tier": tier}, exc_info=error)


def _report_standing(standing: Standing, why: str) -> None:
    log.warning("redis changed", extra={"standing": standing.value, "reason": why})

"""Where entries are kept: the tiers that the settings ask for, opened and closed together."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import time
from pathlib import Path

from proxy.config.settings import Settings
from proxy.model.errors import ConfigError, TierError
from proxy.tiers.base import Tier
from proxy.tiers.codec import Codec, EncryptionKey
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.l2_disk import L2Disk
from proxy.tiers.l2_redis import L2Redis, Standing
from proxy.tiers.ladder import Ladder
from proxy.tiers.redis_place import read_place
from proxy.tiers.write_behind import WriteBehind

log = logging.getLogger("sidecache.store")

_FLUSH_S = 2.0  # what waits for Redis may take so long to be written when the proxy stops
_SECRET_FILE = "secret"  # noqa: S105 - its name, not what is in it


class Store:
    """The ladder and its tiers: ``open`` it before the first request, ``close`` it after the last.

    A tier that cannot be opened is left out, loudly: the proxy serves without it.

    Args:
        settings: checked settings.

    Raises:
        ConfigError: what the settings say of storage cannot be done on this machine.
    """

    def __init__(self, settings: Settings) -> None:
        self.memory = _memory(settings)
        self.directory = _directory(settings)
        self.disk = _disk(settings, self.directory) if self.directory else None
        self.redis = _redis(settings)
        self.behind = WriteBehind(self.redis, _report) if self.redis else None
        tiers: list[Tier] = [self.memory]
        tiers += [tier for tier in (self.disk, self.behind) if tier is not None]
        self.ladder = Ladder(tiers, _report)

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

    async def close(self) -> None:
        """Write what waits to be written, within limits, and let go of all."""
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
        return secrets.token_bytes(32)
    try:
        return _kept_secret(directory / _SECRET_FILE)
    except OSError as error:
        log.warning("no secret can be kept: entries on disk are lost at the end", exc_info=error)
        return secrets.token_bytes(32)


def _kept_secret(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Complete before it has its name, so that nobody ever reads half of it.
        fresh = path.with_name(f"{_SECRET_FILE}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(fresh, path)
        finally:
            fresh.unlink()
    kept = path.read_bytes()
    if len(kept) < 32:  # noqa: PLR2004 - what is written above
        raise OSError(f"{path.name} does not hold a secret")
    return kept


def _directory(settings: Settings) -> Path | None:
    if not settings.l2_disk.enabled:
        return None
    if settings.l2_disk.directory is not None:
        return settings.l2_disk.directory.expanduser()
    # XDG Base Directory Specification, version 0.8.
    base = os.environ.get("XDG_CACHE_HOME") or ""
    home = Path(base) if base.startswith("/") else Path("~/.cache").expanduser()
    return home / "sidecache"


def _memory(settings: Settings) -> L1Memory:
    sizes = settings.l1_memory
    most = sizes.max_entry_bytes or settings.cache.max_entry_bytes
    return L1Memory(
        max_bytes=sizes.max_bytes,
        max_entry_bytes=most,
        clock=time.monotonic,
        scope_share=sizes.scope_share,
    )


def _disk(settings: Settings, directory: Path) -> L2Disk:
    return L2Disk(
        directory / "entries",
        codec=_codec(settings),
        max_bytes=settings.l2_disk.max_bytes,
        max_entry_bytes=settings.cache.max_entry_bytes,
        clock=time.monotonic,
        wall=time.time,
        read_timeout_s=settings.l2_disk.read_timeout_s,
    )


def _redis(settings: Settings) -> L2Redis | None:
    redis = settings.l2_redis
    if redis.address is None:
        return None
    return L2Redis(
        read_place(redis.address, allow_insecure=redis.allow_insecure),
        codec=_codec(settings),
        clock=time.monotonic,
        wall=time.time,
        dice=random.random,
        report=_report_standing,
        max_entry_bytes=settings.cache.max_entry_bytes,
        prefix=redis.prefix,
        operation_s=redis.timeout_s,
        connect_s=redis.connect_timeout_s,
        connections=redis.max_connections,
        ca_file=str(redis.ca_file or ""),
    )


def _codec(settings: Settings) -> Codec:
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

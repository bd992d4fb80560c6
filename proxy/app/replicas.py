"""What this replica has in common with others besides entries."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.app.clock import seconds
from proxy.app.store import Store
from proxy.config.settings import Settings
from proxy.fleet.locks_file import FileLocks
from proxy.fleet.locks_redis import RedisLocks
from proxy.fleet.post_redis import RedisPost
from proxy.fleet.post_socket import SocketPost
from proxy.fleet.relay import Relay
from proxy.link.persist import Unforeseen
from proxy.link.replies import NotAllowed
from proxy.model.entry import CacheKey
from proxy.model.errors import TierError

log = logging.getLogger("sidecache.replicas")

_FOLDER: Final = "fleet"
_BUSY_S: Final = 1.0  # a worker that says nothing for so long hangs: of a dead one it is known
_LOCKS: Final = "locks-1"  # another number for another layout

Waiting = Callable[[CacheKey], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Written:
    """Waits until an entry has been handed on to a tier, and then until that has written it."""

    handed_on: Waiting
    written: Waiting

    async def __call__(self, key: CacheKey) -> None:
        await self.handed_on(key)
        await self.written(key)


def relay(
    settings: Settings,
    secret: bytes,
    store: Store,
    bug: Callable[[BaseException], None],
    directory: Path | None,
) -> Relay | None:
    """The way to other replicas' flights; None where there is none, or none is wanted.

    Args:
        directory: what the workers of this host share, and nobody else; None: there is but one.
    """
    redis = store.redis
    if redis is not None and store.behind is not None and settings.l2_redis.flights:
        prefix = settings.l2_redis.prefix
        return Relay(
            RedisPost(redis, prefix=prefix, clock=seconds, report=_report),
            RedisLocks(redis, prefix),
            secret=secret,
            keys={key.id: key.key for key in settings.storage.encryption_keys},
            stored=Written(store.ladder.handed_on, store.behind.written),
            clock=seconds,
            bug=bug,
        )
    if directory is None:
        return None
    folder = directory / _FOLDER
    return Relay(
        SocketPost(folder, report=_report_local),
        FileLocks(folder / _LOCKS, clock=seconds),
        secret=secret,  # and no keys: nothing of a letter is ever written down
        stored=_written_here(store),
        clock=seconds,
        bug=bug,
        answer_s=_BUSY_S,
    )


def _written_here(store: Store) -> Waiting | None:
    """What waits until an entry is where other workers find it; None: there is no such place."""
    handed_on = store.ladder.handed_on
    if store.disk is not None:
        return Written(handed_on, store.disk.settled)
    return None if store.behind is None else Written(handed_on, store.behind.written)


def _report(trouble: TierError | None) -> None:
    if isinstance(trouble, NotAllowed | Unforeseen):  # else the standing of Redis tells
        log.warning("flights not shared", extra={"reason": str(trouble)})


def _report_local(trouble: TierError | None) -> None:
    if trouble is not None:
        log.warning("flights not shared", extra={"reason": str(trouble)})

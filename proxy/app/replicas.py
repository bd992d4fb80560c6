"""What this replica has in common with others besides entries."""

from __future__ import annotations

import logging
from collections.abc import Callable

from proxy.app.clock import seconds
from proxy.app.store import Store
from proxy.config.settings import Settings
from proxy.fleet.relay import Relay
from proxy.link.persist import Unforeseen
from proxy.link.replies import NotAllowed
from proxy.model.errors import TierError

log = logging.getLogger("sidecache.replicas")


def relay(
    settings: Settings, secret: bytes, store: Store, bug: Callable[[BaseException], None]
) -> Relay | None:
    """The way to other replicas' flights; None where there is none, or none is wanted."""
    if store.redis is None or store.behind is None or not settings.l2_redis.flights:
        return None
    return Relay(
        store.redis,
        prefix=settings.l2_redis.prefix,
        secret=secret,
        keys={key.id: key.key for key in settings.storage.encryption_keys},
        stored=store.behind.written,
        clock=seconds,
        report=_report,
        bug=bug,
    )


def _report(trouble: TierError | None) -> None:
    if isinstance(trouble, NotAllowed | Unforeseen):  # else the standing of Redis tells
        log.warning("flights not shared", extra={"reason": str(trouble)})

"""Export and import, put together: what the tiers hold, and who may take it from where."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.admin.carrying import Allowed, Carrying
from proxy.app.clock import seconds
from proxy.app.store import Store, codec_for, kept_secret, shared_journal
from proxy.carrying.giving import Listed, give
from proxy.carrying.parcel import Heading
from proxy.carrying.taking import Place, Taking
from proxy.config.settings import Settings
from proxy.key import SCHEMA
from proxy.model.entry import CacheKey, Entry
from proxy.model.errors import TierError
from proxy.tiers.codec import Codec, carried

if TYPE_CHECKING:
    from proxy.app.whole import Sidecache

log = logging.getLogger("sidecache.store")

_PAGE: Final = 1000  # entries listed at once
_JOURNAL_FILE: Final = "journal.name"


def carrying(proxy: Sidecache) -> Carrying:
    """What answers for it at the operator's listener."""
    settings, store = proxy.settings, proxy.store
    keys = f"{SCHEMA} {_fingerprint(proxy.house.secret)}"
    folder = store.directory or (None if proxy.seat is None else proxy.seat.directory)
    purges = _journal(settings, folder)
    heading: Callable[[], Heading] = lambda: Heading(keys, purges, time.time())  # noqa: E731
    codec = partial(codec_for, settings)  # another for each: one at a time may use it
    return Carrying(
        lambda: Allowed(proxy.settings.admin.allow_export, proxy.settings.admin.allow_import),
        store.browsing.names,
        lambda tiers: _given(store, tiers, codec(), heading()),
        lambda theirs, vouched: Taking(_place(store, codec(), heading()), theirs, vouched=vouched),
    )


def _given(
    store: Store, tiers: tuple[str, ...], codec: Codec, heading: Heading
) -> AsyncIterator[bytes]:
    async def listed(tier: str, after: str) -> Listed:
        listing = await store.browsing.list(after, "", _any, _PAGE, tier)
        if listing.untold:
            raise TierError(f"{tier} cannot be told of now")
        return Listed([seen.entry for _, seen in listing.seen], listing.after)

    return give(listed, tiers, codec, heading, clock=seconds, wall=time.time)


def _any(_entry: Entry) -> bool:
    return True


def _place(store: Store, codec: Codec, heading: Heading) -> Place:
    async def look(key: CacheKey) -> Entry | None:
        return (await store.browsing.get(key)).entry

    return Place(
        heading=heading,
        opens=partial(carried, codec),
        judges=store.purging,
        look=look,
        put=store.ladder.put,
        settle=store.settle,
        clock=seconds,
        wall=time.time,
    )


def _fingerprint(secret: bytes) -> str:
    """What tells two secrets apart, and nothing about them."""
    return blake2b(secret, digest_size=8, person=b"sidecache export").hexdigest()


def _journal(settings: Settings, directory: Path | None) -> str:
    """The name of the journal that purges are written down in."""
    shared = shared_journal(settings)
    if shared is not None:
        return shared
    try:
        name = secrets.token_bytes(32) if directory is None else _kept(directory)
    except OSError as error:
        log.warning("the journal of purges has no lasting name", exc_info=error)
        name = secrets.token_bytes(32)
    return _fingerprint(name)


def _kept(directory: Path) -> bytes:
    # Not in the journal's own folder: were that lost, the journal is begun anew, and everything
    # from before is purged by its beginning.
    return kept_secret(directory / _JOURNAL_FILE)

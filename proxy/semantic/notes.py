"""Notes on canonical questions: entries of their own, that say which entry has the answer.

So a note lives in every tier, is shared by all replicas, is purged by the labels of what it leads
to, and dies with it. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from proxy.model.entry import CacheKey, Entry
from proxy.model.message import Head, Headers
from proxy.model.query import Form

DIALECT: Final = "note"  # of the entries that are notes; no request has it
_HEAD: Final = Head(200, "", Headers(()))
_DIGEST_BYTES: Final = 32


def note(alias: CacheKey, entry: Entry) -> Entry:
    """The note under ``alias`` that leads to ``entry``."""
    return replace(
        entry,
        key=alias,
        dialect=DIALECT,
        head=_HEAD,
        form=Form(),
        body=entry.key.digest,
        usage=None,
        asked=None,
        wording=None,
    )


def answered_by(found: Entry) -> CacheKey | None:
    """Where the note that was ``found`` leads; None if it is no note."""
    if found.dialect != DIALECT or len(found.body) != _DIGEST_BYTES:
        return None
    return CacheKey(found.key.scope, found.body)

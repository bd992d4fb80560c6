"""Rows as an engine elsewhere keeps them: checked before they go, and when they come back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.semantic.base import Neighbour, Row

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_DIGEST_BYTES: Final = 32
_NAME_BYTES: Final = 16


def fitting(rows: Sequence[Row], dimensions: int) -> list[Row]:
    """``rows``, of those with one namespace and key the last alone.

    Raises:
        TierError: a vector is of another length than ``dimensions``, or a scope is no text.
    """
    for row in rows:
        fit(row.vector, dimensions)
        try:
            packed(row.key)
        except UnicodeEncodeError as error:
            raise TierError("a scope that is no text") from error
    return list({(row.namespace, row.key): row for row in rows}.values())


def fit(vector: Vector, dimensions: int) -> None:
    """Raise TierError if a vector is of another length than ``dimensions``."""
    if vector.shape != (dimensions,):
        raise TierError(f"a vector of {vector.size} numbers where {dimensions} are kept")


def packed(key: CacheKey) -> bytes:
    """A key as bytes that say all of it."""
    return key.digest + key.scope.encode()


def unpacked(name: bytes) -> CacheKey:
    """What was ``packed``. Raises ValueError if it was not."""
    return made(name[_DIGEST_BYTES:], name[:_DIGEST_BYTES])


def made(scope: bytes, digest: bytes) -> CacheKey:
    """A key of its parts. Raises ValueError if they are none."""
    if len(digest) != _DIGEST_BYTES:
        raise ValueError(f"no digest: {len(digest)} bytes")
    return CacheKey(scope.decode(), digest)


def near(key: CacheKey, score: float) -> Neighbour:
    """A neighbour. Raises ValueError if its score is no number; rounding may have gone past 1."""
    if not math.isfinite(score):
        raise ValueError("a score that is no number")
    return Neighbour(key, max(-1.0, min(1.0, score)))


def row_id(namespace: bytes, key: CacheKey) -> bytes:
    """16 bytes by which a row is known where all namespaces are together."""
    return blake2b(namespace + packed(key), digest_size=_NAME_BYTES, person=b"row").digest()


def short(fingerprint: str, dimensions: int) -> str:
    """32 hexadecimal digits for an embedder, where names may not be long or have points in them."""
    told = f"{fingerprint}/{dimensions}".encode()
    return blake2b(told, digest_size=_NAME_BYTES, person=b"embedder").hexdigest()

"""Which inputs may be asked for in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.batching.words import Asker
from proxy.dialects.base import Divisible
from proxy.model.message import Headers, Outbound, Request
from proxy.model.query import Query
from proxy.wire.inert import INERT, INERT_PREFIXES

# In the key these count as nothing, but a backend, or a cache on the way to it, may heed them.
_HEEDED: Final = frozenset({"cache-control", "pragma", "priority"})
_OF_ONE_ATTEMPT: Final = INERT - _HEEDED

# A promise to send the same body again whenever this is sent again.
_PROMISED: Final = frozenset({"idempotency-key"})

# What the body was signed with: no other body goes with it.
_SIGNATURES: Final = (
    "content-digest", "repr-digest", "digest", "content-md5", "signature", "x-amz-content-sha256",
)  # fmt: skip
_SIGNS: Final = "aws4-"

NamespaceOf = Callable[[Request, Query, str, bytes], bytes]
"""What a question is asked under: all that the key covers, with these bytes as the body."""


class Likeness(NamedTuple):
    """What is equal in inputs that may be asked for together."""

    namespace: bytes
    headers: tuple[tuple[str, str], ...]


class Likenesses:
    """Tells them. The parts of one request come one after another, and are alike."""

    def __init__(self, namespace_of: NamespaceOf) -> None:
        self._namespace_of = namespace_of
        self._last: tuple[Request, bytes, Likeness] | None = None

    def of(self, asker: Asker, dialect: Divisible) -> Likeness:
        """What ``asker`` has in common with those it may go with."""
        request, rest = asker.request, dialect.rest(asker.query)
        if self._last is not None and self._last[0] is request and self._last[1] == rest:
            return self._last[2]
        namespace = self._namespace_of(request, asker.query, asker.upstream.id, rest)
        headers = sorted(
            (lower, value)
            for name, value in asker.outbound().headers.pairs
            if not _is_of_one_attempt(lower := name.lower())
        )
        likeness = Likeness(namespace, tuple(headers))
        self._last = (request, rest, likeness)
        return likeness


def is_signed(headers: Headers) -> bool:
    """Whether a request holds for the body it came with, and for no other."""
    index = headers.index()
    if any(name in index for name in _SIGNATURES):
        return True
    return index.get("authorization", "").lower().startswith(_SIGNS)


def put_together(first: Outbound, body: bytes, *, awaited: bool = True) -> Outbound:
    """The call for a whole batch, in the name of the first who asked.

    Args:
        awaited: whether a client waits for any of it.
    """
    headers = first.headers.without(_PROMISED)
    return replace(first, headers=headers, body=body, awaited=awaited)


def _is_of_one_attempt(name: str) -> bool:
    return name in _OF_ONE_ATTEMPT or name.startswith(INERT_PREFIXES)

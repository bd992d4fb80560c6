"""What a 304, or the answer to HEAD, changes about what is stored (RFC 9111, 3.2, 4.3.4, 4.3.5)."""

from __future__ import annotations

from typing import Final

from proxy.model.message import Headers

# What describes the stored bytes, or identifies them, stays with them; a 304 has no bytes. Its ETag
# is no exception: we asked by one, and that one was confirmed.
_OF_THE_BYTES: Final = frozenset(
    {"content-encoding", "content-length", "content-md5", "content-range", "etag"}
)


def freshened(stored: Headers, new: Headers) -> Headers:
    """The stored fields, with those that ``new`` has in place of their namesakes.

    Args:
        new: what a 304 or the answer to HEAD brought, less what is not stored.
    """
    news = {name.lower() for name, _ in new.pairs} - _OF_THE_BYTES
    kept = [pair for pair in stored.pairs if pair[0].lower() not in news]
    return Headers(kept + [pair for pair in new.pairs if pair[0].lower() in news])


def describes(answer: Headers, stored: Headers, length: int | None, size: int) -> bool:
    """Whether the answer to HEAD is about what is stored (section 4.3.5).

    Args:
        length: bytes that it declares; None: it does not.
        size: bytes that are stored.
    """
    if length is not None and length != size:
        return False
    return all(
        answer.get(name) == stored.get(name) for name in ("etag", "last-modified") if name in answer
    )

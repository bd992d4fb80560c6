"""Validators: asking whether a stored response is still right, and answering who asks us.

RFC 9111, section 4.3, and RFC 9110, sections 8.8 and 13.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.model.entry import Entry
from proxy.model.message import Headers
from proxy.wire.cache_control import epoch_of

CONDITIONS: Final = frozenset(
    {"if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"}
)
_TAG: Final = re.compile(r'(?:[Ww]/)?"[^"]*"|[^\s,"]+')
_OF_304: Final = frozenset(
    {
        "cache-control", "content-location", "date", "etag", "expires", "vary", "last-modified",
        "cdn-cache-control", "sidecache-cache-control", "surrogate-control", "cache-status",
    }
)  # fmt: skip


def is_validated(headers: Headers) -> bool:
    """Whether a response has something to ask about it by."""
    index = headers.index()
    return bool(index.get("etag")) or epoch_of(index.get("last-modified", "")) is not None


def conditions(stored: Headers) -> tuple[tuple[str, str], ...]:
    """The fields that ask whether what was stored with these headers is still right (4.3.1)."""
    index = stored.index()
    asked = []
    if etag := index.get("etag"):
        asked.append(("If-None-Match", etag))
    if epoch_of(modified := index.get("last-modified", "")) is not None:
        asked.append(("If-Modified-Since", modified))
    return tuple(asked)


def must_be_asked(headers: Headers) -> bool:
    """Whether a request has conditions that only the origin may judge.

    If-Match and If-Unmodified-Since are about the state of the origin; a cache forwards them
    (RFC 9111, section 4.3.2).
    """
    index = headers.index()
    return "if-match" in index or "if-unmodified-since" in index


def is_unmodified(request: Headers, stored: Headers) -> bool:
    """Whether the caller already has what is stored, so that 304 says it all (section 4.3.2)."""
    index = request.index()
    if (wanted := index.get("if-none-match")) is not None:
        return _is_among(stored.get("etag"), wanted)
    since = epoch_of(index.get("if-modified-since", ""))
    if since is None:
        return False
    changed = epoch_of(stored.get("last-modified") or stored.get("date"))
    return changed is not None and changed <= since


def not_modified(stored: Headers) -> Headers:
    """The fields of a 304 in place of what is stored (RFC 9110, section 15.4.5)."""
    return Headers(pair for pair in stored.pairs if pair[0].lower() in _OF_304)


def allows_range(request: Headers, entry: Entry) -> bool:
    """Whether ``If-Range``, where there is one, lets a part be sent (RFC 9110, section 13.1.5)."""
    wanted = request.get("if-range").strip(" \t")
    if not wanted:
        return True
    stored = entry.head.headers
    if wanted.startswith(('"', "W/")):
        # Strong comparison: neither may be weak.
        return wanted.startswith('"') and wanted == stored.get("etag")
    asked, changed = epoch_of(wanted), epoch_of(stored.get("last-modified"))
    made = epoch_of(stored.get("date"))
    if asked is None or changed is None or made is None:
        return False
    # Strong only if it had not just been changed (RFC 9110, section 8.8.2.2).
    return asked == changed and made - changed >= 1


def _is_among(etag: str, wanted: str) -> bool:
    """Weak comparison (RFC 9110, section 8.8.3.2)."""
    if wanted.strip(" \t") == "*":
        return True
    if not etag:
        return False
    own = _opaque(etag)
    return any(_opaque(tag) == own for tag in _TAG.findall(wanted))


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")

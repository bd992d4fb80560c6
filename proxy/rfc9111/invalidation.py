"""What an unsafe request makes untrue (RFC 9111, section 4.4)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

from proxy.model.message import Head, Request

# RFC 9110, section 9.2.1, and those of other standards that change nothing either.
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH"})
_FAILED: Final = 400


def invalidated(request: Request, head: Head) -> tuple[tuple[str, str], ...]:
    """The resources, as path and query string, that are not to be answered from the cache any more.

    The target, and what ``Location`` and ``Content-Location`` name on the same host: nobody may
    make a cache forget what another site has there.
    """
    if request.method in SAFE or head.status >= _FAILED:
        return ()
    found = {(request.path, request.query_string): None}
    host = request.headers.get("host").lower()
    base = f"{request.scheme}://{host or 'none.invalid'}{request.target}"
    for name in ("location", "content-location"):
        for value in head.headers.all(name):
            try:
                target = urlsplit(urljoin(base, value.strip(" \t")))
            except ValueError:
                continue
            if target.netloc.lower() == (host or "none.invalid"):
                found[target.path or "/", target.query] = None
    return tuple(found)

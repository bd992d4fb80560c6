"""A stored response as the one who asks needs it: whole, a part, or word that he has it. Pure."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Final

from proxy.model.entry import Entry
from proxy.model.message import Head, Headers, Request
from proxy.rfc9111.ranges import UNSATISFIABLE, multipart, parts
from proxy.rfc9111.validators import allows_range, is_unmodified, not_modified

_PART: Final = frozenset({"content-range"})
_TYPED: Final = frozenset({"content-type", "content-range"})
_SELECTS: Final = frozenset({"if-none-match", "if-modified-since", "range"})


def shown(entry: Entry, request: Request) -> tuple[Head, bytes]:
    """The head and body that answer ``request`` with ``entry``."""
    head = entry.head
    if head.status != HTTPStatus.OK or _SELECTS.isdisjoint(request.headers.index()):
        return head, entry.body
    if is_unmodified(request.headers, head.headers):
        return unmodified(head), b""
    wanted = request.headers.get("range")
    # RFC 9110, section 14.2: only GET has ranges.
    if not wanted or request.method != "GET" or not allows_range(request.headers, entry):
        return head, entry.body
    return _part(entry, wanted)


def unmodified(head: Head) -> Head:
    """The 304 that stands for the response with ``head``."""
    return Head(HTTPStatus.NOT_MODIFIED, "Not Modified", not_modified(head.headers))


def _part(entry: Entry, wanted: str) -> tuple[Head, bytes]:
    head, body = entry.head, entry.body
    found = parts(wanted, len(body))
    if found is None:
        return head, body
    if found == UNSATISFIABLE:
        told = Headers((("Content-Range", f"bytes */{len(body)}"),))
        return Head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "Range Not Satisfiable", told), b""
    if len(found) == 1:
        fields = head.headers.without(_PART).plus(("Content-Range", found[0].told(len(body))))
        return _partial(fields), body[found[0].start : found[0].end]
    boundary = hashlib.blake2b(body, digest_size=16).hexdigest()  # nobody can write its own hash
    content_type = head.headers.get("content-type")
    fields = head.headers.without(_TYPED).plus(
        ("Content-Type", f"multipart/byteranges; boundary={boundary}")
    )
    return _partial(fields), multipart(body, found, content_type, boundary)


def _partial(fields: Headers) -> Head:
    return Head(HTTPStatus.PARTIAL_CONTENT, "Partial Content", fields)

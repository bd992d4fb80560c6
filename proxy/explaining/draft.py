"""A request that is described rather than sent, as the life of a request is given it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from proxy.model.errors import RequestError
from proxy.model.message import Headers, Request
from proxy.wire.headers import nominated, tunnelled
from proxy.wire.target import read_target

_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")  # RFC 9110, section 5.6.2
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_NOT_SERVED: Final = frozenset({"CONNECT", "TRACE"})
_UPGRADES: Final = frozenset({"upgrade", "http2-settings"})
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


class Written(NamedTuple):
    """The body of a request, all of it here. A ``Body``."""

    content: bytes

    @property
    def length(self) -> int:
        """Bytes of it."""
        return len(self.content)

    async def whole(self, limit: int) -> bytes | None:
        """All of it, or None if it is longer than ``limit`` bytes."""
        return self.content if len(self.content) <= limit else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, as it would come."""
        if self.content:
            yield self.content


class Draft(NamedTuple):
    """A request that could be sent."""

    request: Request
    body: bytes
    tunnel: bool  # it asks to switch protocols


def draft(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes, *, peer: str = ""
) -> Draft:
    """The request that these make, as a client would send it to the listener.

    Args:
        target: path and query string, raw.
        headers: names as they would be spelled; what frames the body is left out.
        peer: the client's address.

    Raises:
        RequestError: no client could send that, in a sentence.
    """
    if not _METHOD.fullmatch(method) or method in _NOT_SERVED:
        raise RequestError(400, "The method is none that is served here.")
    where = read_target(method, target)
    given = [(name, value) for name, value in headers if name.lower() not in _FRAMING]
    for name, value in given:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise RequestError(400, "A header has a name or a value that none can have.")
    fields = Headers((name, value.strip(" \t")) for name, value in given)
    index = fields.index()
    tunnel = False
    if "connection" in index:
        fields = fields.without(nominated(fields))
        tunnel = "upgrade" in index and not body and bool(tunnelled(fields))
    if not tunnel and "upgrade" in index:
        fields = fields.without(_UPGRADES)
    request = Request(method, where.path, where.query_string, fields, Written(body), peer)
    return Draft(request, body, tunnel)

"""From what aiohttp's parser found to a Request, or the reason why it is none.

The parser refuses most of what two readers of a message could disagree about. What it lets pass
and this proxy must not is refused here, before anybody has seen the request: transfer codings it
does not undo, framing in HTTP/1.0, targets and hosts with more than one reading, lengths it takes
for none.
"""

from __future__ import annotations

from asyncio import BaseTransport
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from proxy.downstream.body import NO_BODY, IncomingBody
from proxy.downstream.limits import Limits
from proxy.model.errors import RequestError
from proxy.model.headers import Names, Received
from proxy.model.message import Body, Headers, Request
from proxy.model.outlet import Outlet
from proxy.wire.headers import nominated, tunnelled
from proxy.wire.target import authority_fault, read_target

_NOT_SERVED: Final = frozenset({"CONNECT", "TRACE"})  # a way through, and an echo of secrets
_IGNORED_UPGRADE: Final = frozenset({"upgrade", "http2-settings"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection comes from."""

    peer: str  # the client's address, without the port
    scheme: str  # "http", or "https" if the connection is encrypted


def origin_of(transport: BaseTransport) -> Origin:
    """Where the connection of ``transport`` comes from."""
    peer = transport.get_extra_info("peername")
    encrypted = transport.get_extra_info("sslcontext") is not None
    return Origin(str(peer[0]) if isinstance(peer, tuple) else "", "https" if encrypted else "http")


def read_request(
    message: RawRequestMessage,
    stream: StreamReader,
    origin: Origin,
    limits: Limits,
    invite: Callable[[], None],
    *,
    outlet: Outlet | None = None,
) -> tuple[Request, bool]:
    """The request, and whether it asks for a tunnel that this proxy can give.

    Fields that ``Connection`` nominates are gone: as they are not forwarded, nobody must take them
    for part of the question. The same goes for offers to upgrade that are ignored. The path is "*"
    only with OPTIONS.

    Args:
        invite: sends 100 (Continue); called when the body is first waited for, if it was asked for.
        outlet: of the request.

    Raises:
        RequestError: it must not be processed, and the connection not be used any further.
    """
    modern = message.version is HttpVersion11
    if not modern and message.version is not HttpVersion10:
        raise RequestError(505, "This is not HTTP/1.1 or HTTP/1.0.")
    if message.method in _NOT_SERVED:
        raise RequestError(501, f"{message.method} is not served here.")
    # Names as they were spelled; those in message.headers are the parser's own.
    spelled = tuple([name for name, _ in message.raw_headers])
    names, values = _NAMES.get(spelled) or _named(spelled), [*message.headers.values()]
    headers: Headers = Received(names, values)
    target = read_target(message.method, message.path)
    if target.authority:  # it counts, not Host (RFC 9112, section 3.2.2)
        rest = (pair for pair in headers.pairs if pair[0].lower() != "host")
        headers = Headers((("Host", target.authority), *rest))
    elif "host" in headers and (fault := authority_fault(headers.get("host"))):
        raise RequestError(400, fault)
    body = _body(message, stream, headers, limits, invite)

    tunnel = False
    if "connection" in headers:
        if ended := nominated(headers):
            headers = headers.without(ended)
        tunnel = modern and bool(message.upgrade) and body is NO_BODY and bool(tunnelled(headers))
    if "upgrade" in headers and not tunnel:
        headers = headers.without(_IGNORED_UPGRADE)
    request = Request(
        message.method, target.path, target.query_string, headers, body, origin.peer,
        origin.scheme, outlet=outlet,
    )  # fmt: skip
    return request, tunnel


def unread_request(message: RawRequestMessage, origin: Origin) -> Request:
    """A request that is refused, for the record only: its path is as it came, or else "/"."""
    path, _, query = message.path.partition("?")
    headers = Headers(message.headers.items())
    if not path.startswith("/"):
        path, query = "/", ""
    return Request(message.method, path, query, headers, NO_BODY, origin.peer, origin.scheme)


# Names as texts, by their bytes. A client sends the same in the same order every time, and what
# was made of them before is not made anew. Bounded, because names come from clients: at most 2 MB.
_NAMES: dict[tuple[bytes, ...], Names] = {}
_MOST_HEADS: Final = 128
_LONGEST_HEAD: Final = 64  # fields


def _named(spelled: tuple[bytes, ...]) -> Names:
    names = Names.of(name.decode() for name in spelled)
    if len(spelled) <= _LONGEST_HEAD and sum(map(len, spelled)) <= 16 * _LONGEST_HEAD:
        if len(_NAMES) >= _MOST_HEADS:
            _NAMES.clear()
        _NAMES[spelled] = names
    return names


def _body(
    message: RawRequestMessage,
    stream: StreamReader,
    headers: Headers,
    limits: Limits,
    invite: Callable[[], None],
) -> Body:
    modern = message.version is HttpVersion11
    length: int | None
    if "transfer-encoding" in headers:
        if not modern:
            raise RequestError(400, "HTTP/1.0 has no transfer codings.")  # RFC 9112, section 6.1
        if headers.get("transfer-encoding").strip(" \t").lower() != "chunked":
            raise RequestError(501, "No transfer coding but chunked is understood.")
        length = None
    else:
        length = int(headers.get("content-length", "0"))
        if limits.body_cap is not None and length > limits.body_cap:
            raise RequestError(
                413, f"The body of the request is longer than {limits.body_cap} bytes."
            )
    expects = modern and "expect" in headers
    if expects and headers.get("expect").lower() != "100-continue":
        raise RequestError(417, "No expectation but 100-continue can be met.")
    if stream is EMPTY_PAYLOAD:
        if length != 0:  # the parser takes 2^64 - 1 for no length at all
            raise RequestError(413, "The body of the request is too long.")
        return NO_BODY
    return IncomingBody(stream, length, limits, invite if expects else None)


def surplus(message: RawRequestMessage, received: bytes) -> int | None:
    """Bytes in ``received`` beyond the end of ``message``; below zero: bytes still to come.

    None if that cannot be told: ``message`` did not begin with ``received``, or is chunked. After a
    request that asks for an upgrade the parser drops what else came in the same read, unless
    websocket is what was asked for.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0 or message.chunked or not received.startswith(message.method.encode() + b" "):
        return None
    length = int(message.headers.get("Content-Length", "0"))
    return len(received) - (end + 4) - length


def parse_fault(error: BaseException) -> tuple[int, str, str]:
    """Status, code and detail for what the parser would not have; none of the client's bytes."""
    status, detail = 400, "The request is malformed."
    if isinstance(error, LineTooLong):
        # Only the target is gathered in a bytearray; names and values come as bytes.
        if isinstance(error.args[0], bytearray):
            status, detail = 414, "The request target is too long."
        else:
            status, detail = 431, "A field of the request is too long."
    elif isinstance(error, HttpProcessingError) and error.message.startswith("Too many headers"):
        status, detail = 431, "The request has too many fields."
    return status, "http_request_error", detail

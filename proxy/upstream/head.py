"""Heads: what a request says before its body, and what a response does.

Written and read here rather than by aiohttp, as bytes have to go through unchanged: its writer
drops those that are not UTF-8, its header dictionaries respell names.
"""

from __future__ import annotations

import re

from aiohttp.hdrs import CONTENT_LENGTH, TRANSFER_ENCODING
from aiohttp.http import HttpVersion11, RawResponseMessage

from proxy.model.errors import ProtocolViolation, RequestError
from proxy.model.message import Head, Outbound
from proxy.upstream.spec import UpstreamSpec
from proxy.wire.crossing import InboundFields

# RFC 9112, sections 3 and 5. No control characters, so no line that was not meant to be one.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_HEAD = re.compile(
    rb"%b [!-~\x80-\xff]+ HTTP/1\.1\r\n(?:%b: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)+\r\n"
    % (_TOKEN, _TOKEN)
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

# Fields that say how the message travels on this connection; Expect is answered downstream.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
SWITCHING_PROTOCOLS = 101
_FIRST_STATUS = 100  # RFC 9110, section 15
_EXPECT_A_BODY = frozenset({"POST", "PUT", "PATCH"})


class RequestHead:
    """Writes the heads of requests to one backend."""

    def __init__(self, spec: UpstreamSpec) -> None:
        host = spec.origin.host_port_subcomponent
        self._host = host or ""
        self._preserve_host = spec.preserve_host
        self._set = [f"{name}: {value}" for name, value in spec.set_headers]
        self._dropped = _OURS | {_as_cgi(name) for name, _ in spec.set_headers}

    def write(
        self, outbound: Outbound, target: str, length: int | None, upgrade: str = ""
    ) -> bytes:
        """The head of a request for ``target`` with a body of ``length`` bytes; None: chunked.

        Raises:
            RequestError: it would not be a well-formed head.
        """
        fields = outbound.headers
        host = (self._preserve_host and fields.get("host")) or self._host
        lines = [f"{outbound.method} {target} HTTP/1.1", f"Host: {host}"]
        dropped = self._dropped
        lines += [f"{name}: {value}" for name, value in fields if _as_cgi(name) not in dropped]
        lines += self._set
        if upgrade:
            lines += ["Connection: Upgrade", f"Upgrade: {upgrade}"]
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif length or outbound.method in _EXPECT_A_BODY:
            lines.append(f"Content-Length: {length}")
        lines.append("\r\n")
        try:
            head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            head = b""  # half a character, which no peer can have sent
        # The count finds what the grammar cannot: a value that is two well-formed lines.
        if head.count(b"\r\n") != len(lines) or not _REQUEST_HEAD.fullmatch(head):
            raise RequestError(400, "The request has a malformed target or header field.")
        return head


def _as_cgi(name: str) -> str:
    """``name`` as CGI, and so WSGI, reads it: no way around a field that is set here."""
    return name.lower().replace("_", "-")


class ResponseHead:
    """Reads the heads of responses from one backend."""

    def __init__(self) -> None:
        self._fields = InboundFields()

    def read(self, message: RawResponseMessage) -> tuple[Head, int | None]:
        """What a response says, and its Content-Length. A 101 keeps its hop-by-hop fields.

        Raises:
            ProtocolViolation: it cannot be passed on as it is.
        """
        if message.code < _FIRST_STATUS:
            raise ProtocolViolation("The backend sent a status that is none.")
        if TRANSFER_ENCODING in message.headers:
            codings = [coding.lower() for coding in message.headers.getall(TRANSFER_ENCODING)]
            if codings != ["chunked"] or message.version < HttpVersion11:
                # RFC 9112, sections 6.1 and 6.3: what is inside, and where it ends, is in doubt.
                raise ProtocolViolation("The backend used a transfer coding other than chunked.")
        came = message.raw_headers
        text = b"\n".join([value for _, value in came]).decode("utf-8", "surrogateescape")
        values = text.split("\n") if came else []
        if len(values) != len(came) or _CONTROL.search(text + message.reason):
            raise ProtocolViolation("The backend sent control characters in its response head.")
        names = tuple([name for name, _ in came])
        going_on = self._fields.all if message.code == SWITCHING_PROTOCOLS else self._fields
        fields = going_on(names, values)
        length = message.headers.get(CONTENT_LENGTH)
        return Head(message.code, message.reason, fields), None if length is None else int(length)

"""Errors of this proxy's own, in the shape that clients of OpenAI's and Anthropic's understand."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final

from proxy.model.message import Head, Headers

# RFC 9209, section 2.3: what a Proxy-Status field may give as an error.
PROXY_ERRORS: Final = frozenset(
    {
        "dns_timeout", "dns_error", "destination_not_found", "destination_unavailable",
        "destination_ip_prohibited", "destination_ip_unroutable", "connection_refused",
        "connection_terminated", "connection_timeout", "connection_read_timeout",
        "connection_write_timeout", "connection_limit_reached", "tls_protocol_error",
        "tls_certificate_error", "tls_alert_received", "http_request_error", "http_request_denied",
        "http_response_incomplete", "http_response_header_section_size",
        "http_response_header_size", "http_response_body_size",
        "http_response_trailer_section_size", "http_response_trailer_size",
        "http_response_transfer_coding", "http_response_content_coding", "http_response_timeout",
        "http_upgrade_failed", "http_protocol_error", "proxy_internal_response",
        "proxy_internal_error", "proxy_configuration_error", "proxy_loop_detected",
    }
)  # fmt: skip


# What will be the same the next time; some clients, OpenAI's among them, ask again unless told.
_FINAL: Final = frozenset({"only_if_cached", "proxy_loop_detected"})


def problem(
    status: int, code: str, detail: str, *, pseudonym: str = "sidecache"
) -> tuple[Head, bytes]:
    """Head and body of an error reply.

    Args:
        status: the status code; its phrase is the registered one, or "Error".
        code: a word for programs; one of RFC 9209's error types goes into ``Proxy-Status`` too.
        detail: a sentence for people. Any text will do: it is escaped.
        pseudonym: how this proxy calls itself.
    """
    body = problem_body(detail, code)
    fields = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if code in _FINAL:
        fields.append(("X-Should-Retry", "false"))
    if code in PROXY_ERRORS:
        fields.append(("Proxy-Status", f"{pseudonym}; error={code}"))
    return Head(status, _phrase(status), Headers(fields)), body


def problem_body(detail: str, code: str, kind: str = "sidecache_error") -> bytes:
    """The same as JSON alone, on one line; ``kind`` is what clients call the type of an error."""
    error = {"message": detail, "type": kind, "code": code, "param": None}
    told = {"type": "error", "error": error}  # the first for Anthropic's
    return json.dumps(told, separators=(",", ":")).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"

"""Errors: each says whose fault it is and which status it becomes."""

from __future__ import annotations


class SidecacheError(Exception):
    """The root of all errors raised between our own modules."""


class ConfigError(SidecacheError):
    """The operator's: the configuration cannot be used. The text names every fault."""


class TierError(SidecacheError):
    """A tier's: it failed, hung or lied. To the caller it is a miss."""


class RequestError(SidecacheError):
    """The client's: its request cannot be served. Text fit to be shown to the client."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class UpstreamError(SidecacheError):
    """The backend's: it could not be reached, broke off, or made no sense.

    ``status`` is what a client gets when nothing has been sent yet (502 or 504, say); ``token`` the
    error type of RFC 9209, section 2.3.
    """

    status = 502
    token = "http_protocol_error"


class ConnectFailed(UpstreamError):
    """No connection, so nothing was sent: safe to try again."""

    token = "connection_refused"


class ConnectTimeout(ConnectFailed):
    """No connection in time; nothing was sent."""

    status = 504
    token = "connection_timeout"


class Resting(ConnectFailed):
    """The backend is left alone, as it could not be reached lately; nothing was sent."""

    status = 503
    token = "destination_unavailable"


class NoReply(UpstreamError):
    """The connection ended after the request was sent and before a response began."""

    token = "connection_terminated"


class FirstByteTimeout(UpstreamError):
    """The response did not begin in time."""

    status = 504
    token = "connection_read_timeout"


class BrokenReply(UpstreamError):
    """The body broke off, fell silent, or was framed wrongly."""

    token = "http_response_incomplete"


class RelayBroken(BrokenReply):
    """What another replica passed on broke off. The backend may be well, and can be asked."""


class ProtocolViolation(UpstreamError):
    """What came back is not HTTP this proxy can pass on."""

    token = "http_protocol_error"


class Overloaded(UpstreamError):
    """The proxy's own bound on calls was reached: nothing was sent, and the backend may be well."""

    status = 503
    token = "connection_limit_reached"


class ShareExceeded(Overloaded):
    """It is this caller who asks more than his share, while others ask."""

    status = 429
    token = "http_request_denied"


class LoopDetected(UpstreamError):
    """The request has been through this proxy before."""

    status = 508
    token = "proxy_loop_detected"

"""Header fields as an intermediary must treat them: what ends here, what goes on, what is added.

Fields that belong to one connection end at this proxy (RFC 9110, section 7.6.1), in both
directions, and so do the fields a ``Connection`` field nominates. Not all of those: nominating a
field is a known way to have an intermediary strip what the other end relies on, so a field meant
for all recipients stays whatever ``Connection`` says.
"""

from __future__ import annotations

from typing import Final

from proxy.model.message import Headers

HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade", "http2-settings", "proxy-authenticate", "proxy-authorization",
        "proxy-authentication-info",
    }
)  # fmt: skip

# Intended for all recipients (RFC 9110, section 7.6.1), so no connection option can remove them.
UNREMOVABLE: Final = frozenset(
    {
        "host", "via", "age", "date", "vary", "etag", "expires", "cache-control", "pragma",
        "content-length", "content-type", "content-encoding", "content-language", "content-range",
        "content-location", "content-disposition", "last-modified", "location", "retry-after",
        "authorization", "www-authenticate", "x-api-key", "api-key", "x-goog-api-key", "cookie",
        "set-cookie", "accept", "accept-encoding", "accept-language", "range", "if-match",
        "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "expect",
        "max-forwards", "user-agent", "origin", "forwarded", "x-forwarded-for", "x-forwarded-host",
        "x-forwarded-proto", "cache-status", "cdn-loop", "server", "traceparent",
    }
)  # fmt: skip

_COMMON_OPTIONS: Final = frozenset({"keep-alive", "Keep-Alive", "close", "Close", "Upgrade"})
_NOT_BY_NOMINATION: Final = HOP_BY_HOP | UNREMOVABLE | {"close", ""}

# Ours to write, or ours to obey; never passed on as they came.
ENDS_UPSTREAM: Final = HOP_BY_HOP | {
    "host", "expect", "content-length", "x-cache-control", "x-cache-ttl", "x-cache-namespace",
    "x-cache-tags", "x-cache-semantic", "x-cache-threshold", "x-cache-feedback", "x-cache-variants",
}  # fmt: skip
ENDS_DOWNSTREAM: Final = HOP_BY_HOP | {"content-length"}

OVERRIDES: Final = frozenset(
    {
        "x-http-method-override", "x-http-method", "x-method-override", "x-original-url",
        "x-rewrite-url",
    }
)  # fmt: skip
ATTRIBUTION: Final = frozenset(
    {
        "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
        "x-forwarded-by", "x-forwarded-server", "x-forwarded-scheme", "x-forwarded-prefix",
        "x-real-ip", "x-client-ip", "true-client-ip", "x-cluster-client-ip", "cf-connecting-ip",
        "cf-connecting-ipv6", "cf-visitor",
    }
)  # fmt: skip
TRUSTED_ONLY: Final = OVERRIDES | ATTRIBUTION

# Protocols a client may offer to switch to that this proxy does not speak on (RFC 9110, 7.8).
_NO_TUNNEL: Final = frozenset({"h2c", "http", "tls"})
_NOTHING: Final[frozenset[str]] = frozenset()


def nominated(headers: Headers) -> frozenset[str]:
    """The names (lower case) that ``Connection`` adds to those that end here anyway.

    RFC 9110, section 7.6.1: all ``Connection`` fields count, each a list.
    """
    options = headers.get("connection")
    if not options or options in _COMMON_OPTIONS:
        return _NOTHING
    names = frozenset(option.strip(" \t").lower() for option in options.split(","))
    return names - _NOT_BY_NOMINATION


def tunnelled(headers: Headers) -> str:
    """The protocols an Upgrade request asks for, less those that are never tunnelled; "" if none.

    Over HTTP/2 in clear and TLS this proxy would have to speak itself, so those offers are
    ignored, as RFC 9110, section 7.8 allows.
    """
    offers = headers.get("upgrade")
    if not offers:
        return ""
    options = headers.get("connection").lower().split(",")
    if "upgrade" not in (option.strip(" \t") for option in options):
        return ""
    protocols = (offer.strip(" \t") for offer in offers.split(","))
    return ", ".join(p for p in protocols if p and p.partition("/")[0].lower() not in _NO_TUNNEL)


def passed_before(headers: Headers, pseudonym: str) -> bool:
    """Whether ``Via`` says that a proxy called ``pseudonym`` has had this message (a loop).

    RFC 9110, section 7.6.3; pseudonyms compare without case.
    """
    via = headers.get("via")
    if not via:
        return False
    wanted = pseudonym.lower()
    for member in via.lower().split(","):
        words = member.split()
        if wanted in words[1:2]:  # received-protocol, received-by, then perhaps a comment
            return True
    return False

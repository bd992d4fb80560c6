"""Header fields as an intermediary must treat them: what ends here, what goes on, what is added.

Fields that belong to one connection end at this proxy (RFC 9110, section 7.6.1), in both
directions, and so do the fields a ``Connection`` field nominates. Not all of those: nominating a
field is a known way to have an intermediary strip what the other end relies on, so a field meant
for all recipients stays whatever ``Connection`` says.

What steers a backend without being part of the question (``X-Forwarded-*``, method and URL
overrides) is taken only from peers that are trusted: it is not in the cache key, so from anybody
else it would let one caller shape what others are answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from proxy.model.message import Headers, Request

Forwarding = Literal["off", "set", "append"]
"""What is told upstream about the client: nothing, what this proxy saw, or that after what came."""

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
_ENDS_DOWNSTREAM: Final = HOP_BY_HOP | {"content-length"}

OVERRIDES: Final = frozenset(
    {
        "x-http-method-override", "x-http-method", "x-method-override", "x-original-url",
        "x-rewrite-url",
    }
)  # fmt: skip
_ATTRIBUTION: Final = frozenset(
    {
        "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
        "x-forwarded-by", "x-forwarded-server", "x-forwarded-scheme", "x-forwarded-prefix",
        "x-real-ip", "x-client-ip", "true-client-ip", "x-cluster-client-ip", "cf-connecting-ip",
        "cf-connecting-ipv6", "cf-visitor",
    }
)  # fmt: skip
TRUSTED_ONLY: Final = OVERRIDES | _ATTRIBUTION
_WRITTEN_ANEW: Final = frozenset({"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"})

# Protocols a client may offer to switch to that this proxy does not speak on (RFC 9110, 7.8).
_NO_TUNNEL: Final = frozenset({"h2c", "http", "tls"})
_LONGEST_COUNT: Final = 9  # digits; int() takes long ones ill, and nobody has so many hops
_NOTHING: Final[frozenset[str]] = frozenset()
_TRACE_CONTEXT: Final = frozenset({"traceparent", "tracestate"})


def outbound(
    request: Request,
    *,
    pseudonym: str,
    trusted_peer: bool = False,
    forwarded: Forwarding = "off",
    accept_identity: bool = False,
    drop: frozenset[str] = _NOTHING,
) -> Headers:
    """The fields to send upstream for ``request``; without ``Host`` and ``Content-Length``.

    Repeated names get the spelling that came first, because some senders tell them apart by case.
    The fields that ask for an upgrade are there when ``tunnelled`` says so, and only then.

    Args:
        pseudonym: how this proxy signs ``Via`` (RFC 9110, section 7.6.3).
        trusted_peer: whether the client may speak for others: forward, override, rewrite.
        forwarded: what becomes of ``X-Forwarded-For``, ``-Proto`` and ``-Host``.
        accept_identity: ask the upstream for bodies without content coding.
        drop: further names (lower case) that are not passed on.
    """
    headers = request.headers
    index = headers.index()
    named = nominated(headers)
    if request.trace:
        drop |= _TRACE_CONTEXT
    attribute = forwarded != "off"
    spelled: dict[str, str] = {}
    kept: list[tuple[str, str]] = []
    for name, value in headers.pairs:
        lower = name.lower()
        # CGI, and so WSGI, reads "_" as "-": no way around what follows.
        plain = lower.replace("_", "-") if "_" in lower else lower
        if plain in ENDS_UPSTREAM or plain in drop or plain in named or plain == "via":
            continue
        if plain in TRUSTED_ONLY and not trusted_peer:
            continue
        if attribute and (plain in _WRITTEN_ANEW or (forwarded == "set" and plain in _ATTRIBUTION)):
            continue
        if accept_identity and lower == "accept-encoding":
            continue
        if lower == "max-forwards" and request.method in {"OPTIONS", "TRACE"}:
            value = _one_less(value)  # noqa: PLW2901 - RFC 9110, section 7.6.2
        kept.append((spelled.setdefault(lower, name), value))
    if accept_identity:
        kept.append(("Accept-Encoding", "identity"))
    kept += request.trace
    if attribute:
        kept += _attribution(request, index, append=trusted_peer and forwarded == "append")
    if "upgrade" in index and (protocol := tunnelled(headers)):
        kept += (("Connection", "Upgrade"), ("Upgrade", protocol))
    via = index.get("via")
    kept.append(("Via", f"{via}, 1.1 {pseudonym}" if via else f"1.1 {pseudonym}"))
    return Headers(kept)


def _one_less(hops: str) -> str:
    if not (hops.isascii() and hops.isdigit() and len(hops) <= _LONGEST_COUNT):
        return hops
    return str(max(0, int(hops) - 1))


def inbound(pairs: Iterable[tuple[str, str]]) -> Headers:
    """The fields of an upstream response that go on downstream: end-to-end ones, none of framing.

    Repeated names get the spelling that came first.
    """
    came = tuple(pairs)
    spelled: dict[str, str] = {}
    kept: list[tuple[str, str]] = []
    nominates = False
    for name, value in came:
        lower = name.lower()
        if lower not in _ENDS_DOWNSTREAM:
            kept.append((spelled.setdefault(lower, name), value))
        elif lower == "connection":
            nominates = True
    headers = Headers(kept)
    return headers.without(named) if nominates and (named := nominated(Headers(came))) else headers


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


def _attribution(request: Request, index: dict[str, str], *, append: bool) -> list[tuple[str, str]]:
    chain, scheme, host = request.peer, request.scheme, index.get("host", "")
    if append:
        before = index.get("x-forwarded-for", "")
        chain = f"{before}, {chain}" if before and chain else before or chain
        scheme = index.get("x-forwarded-proto", scheme)
        host = index.get("x-forwarded-host", host)
    fields = (
        ("X-Forwarded-For", chain),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", host),
    )
    return [field for field in fields if field[1]]

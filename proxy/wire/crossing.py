"""Header fields as they cross this proxy: of requests to the backend, of responses from it.

What steers a backend without being part of the question (``X-Forwarded-*``, method and URL
overrides) is taken only from peers that are trusted: it is not in the cache key, so from anybody
else it would let one caller shape what others are answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple

from proxy.model.errors import ProtocolViolation
from proxy.model.message import Headers, Request
from proxy.wire.by_names import ByNames
from proxy.wire.headers import (
    ATTRIBUTION,
    ENDS_DOWNSTREAM,
    ENDS_UPSTREAM,
    TRUSTED_ONLY,
    nominated,
    tunnelled,
)

Forwarding = Literal["off", "set", "append"]
"""What is told upstream about the client: nothing, what this proxy saw, or that after what came."""

_WRITTEN_ANEW: Final = frozenset({"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"})
_TRACE_CONTEXT: Final = frozenset({"traceparent", "tracestate"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_COUNT_HOPS: Final = frozenset({"OPTIONS", "TRACE"})  # methods
_LONGEST_COUNT: Final = 9  # digits; int() takes long ones ill, and nobody has so many hops
_NOTHING: Final[frozenset[str]] = frozenset()

_Kept = tuple[tuple[str, int], ...]  # names as they are to be spelled, and where their values stand


class OutboundFields:
    """Makes the fields to send upstream; without ``Host`` and ``Content-Length``.

    Repeated names get the spelling that came first, because some senders tell them apart by case.
    The fields that ask for an upgrade are there when ``tunnelled`` says so, and only then.

    Args:
        pseudonym: how this proxy signs ``Via`` (RFC 9110, section 7.6.3).
        forwarded: what becomes of ``X-Forwarded-For``, ``-Proto`` and ``-Host``.
        accept_identity: ask the upstream for bodies without content coding.
        drop: further names (lower case) that are not passed on.
    """

    def __init__(
        self,
        *,
        pseudonym: str,
        forwarded: Forwarding = "off",
        accept_identity: bool = False,
        drop: frozenset[str] = _NOTHING,
    ) -> None:
        self._via = f"1.1 {pseudonym}"
        self._forwarded = forwarded
        self._attribute = forwarded != "off"
        self._added = (("Accept-Encoding", "identity"),) if accept_identity else ()
        self._dropped = ENDS_UPSTREAM | drop | {"via"}
        if accept_identity:
            self._dropped |= {"accept-encoding"}
        if self._attribute:
            self._dropped |= ATTRIBUTION if forwarded == "set" else _WRITTEN_ANEW
        self._kept = {
            (trusted, traced): ByNames(self._kept_for(trusted=trusted, traced=traced))
            for trusted in (False, True)
            for traced in (False, True)
        }

    def __call__(self, request: Request, *, trusted_peer: bool = False) -> Headers:
        """The fields to send for ``request``.

        Args:
            trusted_peer: whether the client may speak for others: forward, override, rewrite.
        """
        headers, trace = request.headers, request.trace
        names, values, traced = headers.names, headers.values, bool(trace)
        if named := nominated(headers):
            kept = self._kept_for(trusted=trusted_peer, traced=traced, besides=named)(names)
        else:
            kept = self._kept[trusted_peer, traced](names)
        sent = [(name, values[place]) for name, place in kept]
        if request.method in _COUNT_HOPS and "max-forwards" in headers:
            sent = [_one_hop_less(field) for field in sent]  # RFC 9110, section 7.6.2
        sent += self._added
        sent += trace
        if self._attribute:
            sent += _attribution(request, append=trusted_peer and self._forwarded == "append")
        if "upgrade" in headers and (protocol := tunnelled(headers)):
            sent += (("Connection", "Upgrade"), ("Upgrade", protocol))
        via = headers.get("via")
        sent.append(("Via", f"{via}, {self._via}" if via else self._via))
        return Headers(sent)

    def _kept_for(
        self, *, trusted: bool, traced: bool, besides: frozenset[str] = _NOTHING
    ) -> Callable[[tuple[str, ...]], _Kept]:
        """Tells by all names which go on, less those that are dropped ``besides``."""
        dropped = self._dropped | besides
        if not trusted:
            dropped |= TRUSTED_ONLY
        if traced:
            dropped |= _TRACE_CONTEXT
        # CGI, and so WSGI, reads "_" as "-": no way around any of these.
        return partial(_kept, dropped=dropped, as_cgi=True)


class _Inbound(NamedTuple):
    """What follows from the names of a response's fields."""

    spelled: tuple[str, ...]  # all of them
    kept: _Kept
    nominates: bool  # ``Connection`` is among them


class InboundFields:
    """Makes the fields that go on downstream: end-to-end ones of the backend's, none of framing.

    Repeated names get the spelling that came first. Names and values are text as ``Headers`` has
    it.
    """

    def __init__(self) -> None:
        self._known = ByNames[bytes, _Inbound](_find_inbound)

    def __call__(self, names: tuple[bytes, ...], values: Sequence[str]) -> Headers:
        """Those of fields called ``names`` with as many ``values``.

        Raises:
            ProtocolViolation: a name has control characters.
        """
        known = self._known(names)
        headers = Headers([(name, values[place]) for name, place in known.kept])
        if known.nominates and (named := nominated(self.all(names, values))):
            return headers.without(named)
        return headers

    def all(self, names: tuple[bytes, ...], values: Sequence[str]) -> Headers:
        """All fields, as they came. Raises as above."""
        return Headers(zip(self._known(names).spelled, values, strict=True))


def _find_inbound(names: tuple[bytes, ...]) -> _Inbound:
    spelled = tuple([name.decode("utf-8", "surrogateescape") for name in names])
    if _CONTROL.search("".join(spelled)):
        raise ProtocolViolation("The backend sent control characters in its response head.")
    nominates = any(name.lower() == "connection" for name in spelled)
    return _Inbound(spelled, _kept(spelled, ENDS_DOWNSTREAM), nominates)


def _kept(names: tuple[str, ...], dropped: frozenset[str], *, as_cgi: bool = False) -> _Kept:
    """Those of ``names`` that are not ``dropped``, nor if ``as_cgi`` with "-" in place of "_"."""
    first: dict[str, str] = {}
    kept: list[tuple[str, int]] = []
    for place, name in enumerate(names):
        lower = name.lower()
        if lower not in dropped and not (as_cgi and lower.replace("_", "-") in dropped):
            kept.append((first.setdefault(lower, name), place))
    return tuple(kept)


def _one_hop_less(field: tuple[str, str]) -> tuple[str, str]:
    name, hops = field
    is_count = hops.isascii() and hops.isdigit() and len(hops) <= _LONGEST_COUNT
    if not is_count or name.lower() != "max-forwards":
        return field
    return name, str(max(0, int(hops) - 1))


def _attribution(request: Request, *, append: bool) -> list[tuple[str, str]]:
    headers = request.headers
    chain, scheme, host = request.peer, request.scheme, headers.get("host")
    if append:
        before = headers.get("x-forwarded-for")
        chain = f"{before}, {chain}" if before and chain else before or chain
        scheme = headers.get("x-forwarded-proto", scheme)
        host = headers.get("x-forwarded-host", host)
    fields = (
        ("X-Forwarded-For", chain),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", host),
    )
    return [field for field in fields if field[1]]

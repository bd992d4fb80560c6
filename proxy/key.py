"""The key: what makes two queries equal, and whose answers they may share.

Everything that is forwarded and could change the answer is in the digest: method, upstream, path,
query string, the body in canonical form, and every end-to-end header that is not known to be inert.
An unknown header or field counts until proven otherwise; caches that listed the fields that matter,
rather than those that do not, have answered one question with another's answer.

The scope is part of the digest. By default it is a keyed hash of the caller's credential: nobody
hears another's answer, and who would be refused by the backend is not served from the cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from proxy.model.entry import CacheKey
from proxy.model.message import Headers, Request
from proxy.model.query import Query
from proxy.wire.inert import INERT, INERT_PREFIXES
from proxy.wire.picking import Picking, size_of
from proxy.wire.recent import Recent

SCHEMA: Final = "sidecache/1"  # counted up when equal queries would no longer give equal digests

CREDENTIALS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_CREDENTIAL_PARAMETERS: Final = frozenset({"key", "api_key", "api-key", "access_token"})

# An API client that accepts JSON first, and any of these besides, is told the same thing.
_PLAIN_ACCEPT: Final = frozenset(
    {"*/*", "application/*", "application/json", "text/event-stream", "text/plain"}
)
_MAY_SAY_NOTHING: Final = frozenset({"accept", "accept-language", "content-type"})
_ADMITS_JSON: Final = frozenset({"*/*", "application/*", "application/json"})

# Names come from clients. Bounds, not tunings: together they are a bound in bytes.
_MOST_KNOWN, _LONGEST_KNOWN = 4096, 64
_RECENT_BYTES: Final = 2**20  # of keys that lack the body
_STATE: Final = 400  # bytes a half-made hash takes
_name: Final = itemgetter(0)


class ScopeBy(StrEnum):
    """Whose answers may be shared."""

    CREDENTIAL = "credential"  # each caller's own
    HEADER = "header"  # callers whose header has the same value
    SHARED = "shared"  # all callers'


@dataclass(frozen=True, slots=True)
class Scoping:
    """How the scope of a request is found; ``header`` (lower case) only with ScopeBy.HEADER.

    Raises:
        ValueError: no header is named, or one that no request can have, so that none would count.
    """

    by: ScopeBy = ScopeBy.CREDENTIAL
    header: str = ""

    def __post_init__(self) -> None:
        if self.by is ScopeBy.HEADER and (not self.header or self.header != self.header.lower()):
            raise ValueError(f"no header to tell callers apart by: {self.header!r}")


class KeyParts(NamedTuple):
    """What is in a key; two keys are equal if all of it is."""

    scope: str
    dialect: str
    upstream: str
    method: str
    path: str
    query_string: str
    namespace: str
    fields: list[tuple[str, str]]  # the headers that count, by lower-case name, sorted by that
    body: bytes  # canonical


class _Begun(NamedTuple):
    """A key that lacks the body."""

    scope: str
    hashed: hashlib.blake2b  # to be copied, not fed


class KeyRules:
    """What is left out of the key, and the secret that keeps digests from telling anything.

    Args:
        secret: at least 16 bytes; equal secrets give equal keys across workers and restarts.
        scoping: how the scope is found.
        inert: further headers (lower case) that never change an answer.
        keyed: headers (lower case) that do, although they belong to an inert family.
        inert_cookies: cookies that never change an answer, such as those of a CDN.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        scoping: Scoping | None = None,
        inert: frozenset[str] = frozenset(),
        keyed: frozenset[str] = frozenset(),
        inert_cookies: frozenset[str] = frozenset(),
    ) -> None:
        if len(secret) < 16:  # noqa: PLR2004 - RFC 2104, section 3: shorter keys weaken the hash
            raise ValueError("the key secret must have at least 16 bytes")
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()
        self._scoping = scoping or Scoping()
        self._inert = (INERT | set(CREDENTIALS) | inert) - keyed
        self._keyed = keyed
        self._in_scope = {
            ScopeBy.CREDENTIAL: frozenset(CREDENTIALS),
            ScopeBy.HEADER: frozenset({self._scoping.header}),
            ScopeBy.SHARED: frozenset[str](),
        }[self._scoping.by]
        self._inert_cookies = inert_cookies
        self._known: dict[str, str] = {}
        self._picked = Picking(self.counts)
        self._begun: Recent[tuple[object, ...], _Begun] = Recent(_RECENT_BYTES)

    def counts(self, name: str) -> bool:
        """Whether a key or its scope may depend on header ``name`` (lower case)."""
        scoped = name in CREDENTIALS and self._scoping.by is not ScopeBy.SHARED
        return scoped or not self.is_inert(name)

    def is_inert(self, name: str) -> bool:
        """Whether header ``name`` (lower case) is in the key neither by itself nor by the scope."""
        return name not in self._in_scope and self._is_left_out(name)

    def scope_fields(self, request: Request) -> tuple[str, ...]:
        """The headers (lower case) that make the scope of ``request``."""
        index, header = request.headers.index(), self._scoping.header
        if self._scoping.by is ScopeBy.SHARED:
            return ()
        if self._scoping.by is ScopeBy.HEADER and index.get(header):
            return (header,)
        return tuple(name for name in CREDENTIALS if name in index)

    def scope_of(self, request: Request) -> str:
        """Whose answers ``request`` may be given: "shared", "anon", or 32 hexadecimal digits.

        Who does not send the header that callers are told apart by is told apart by credential.
        """
        by = self._scoping.by
        if by is ScopeBy.SHARED:
            return "shared"
        index = request.headers.index()
        if by is ScopeBy.HEADER and index.get(self._scoping.header):
            material = _fenced(index, (self._scoping.header,))
        else:
            material = _fenced(index, CREDENTIALS)
            if request.query_string:
                material += _credentials_in(request.query_string)
        if not material:
            return "anon"
        return self._hash(b"scope", material, b"", 16).hex()

    def key_of(self, request: Request, query: Query, upstream: str) -> CacheKey:
        """The key under which the answer to ``query`` is stored.

        Equal for queries that differ only in the order of JSON members and headers, in space,
        in Unicode normal form, or in what is documented to be inert.
        """
        begun = self._begun_of(request, query, upstream)
        (hashed := begun.hashed.copy()).update(query.canonical)
        return CacheKey(begun.scope, hashed.digest())

    def _begun_of(self, request: Request, query: Query, upstream: str) -> _Begun:
        """The key of ``query`` as far as it does not depend on the body."""
        fields, namespace = self._picked(request.headers), query.controls.namespace
        seen = (
            query.dialect, upstream, request.method, request.path, request.query_string,
            query.query_string, namespace, fields,
        )  # fmt: skip
        begun = self._begun.get(seen)
        if begun is None:
            begun = self._begin(self.parts_of(request, query, upstream))
            texts = 2 * len(request.target) + len(namespace)
            self._begun.put(seen, begun, size_of(fields) + texts + _STATE)
        return begun

    def _begin(self, parts: KeyParts) -> _Begun:
        scope, dialect, upstream, method, path, query_string, namespace, fields, _ = parts
        # Each part behind its length: no two lists of parts give the same text.
        text = (
            f"{SCHEMA} {len(scope)}:{scope}{len(dialect)}:{dialect}"
            f"{len(upstream)}:{upstream}{len(method)}:{method}"
            f"{len(path)}:{path}{len(query_string)}:{query_string}{len(namespace)}:{namespace}"
            f"{len(fields)}:"
        ) + "".join([f"{len(name)}:{name}{len(value)}:{value}" for name, value in fields])
        return _Begun(scope, self._hasher(b"key", text, 32))

    def parts_of(self, request: Request, query: Query, upstream: str) -> KeyParts:
        """What ``key_of`` makes the key of."""
        query_string = query.query_string
        if query_string is None:
            query_string = request.query_string
        fields = self.fields_of(request.headers)
        fields.sort(key=_name)  # the order of fields with one name counts (RFC 9110, section 5.3)
        return KeyParts(
            self.scope_of(request), query.dialect, upstream, request.method, request.path,
            query_string, query.controls.namespace, fields, query.canonical,
        )  # fmt: skip

    def namespace_of(self, request: Request, query: Query, upstream: str, rest: bytes) -> bytes:
        """Among which questions one in other words may be looked for, in 16 bytes.

        It covers all that the key covers, but for what the user said last: ``rest`` is what is
        left of the body without it. So no system prompt, model, parameter, earlier turn or caller
        is ever taken for another.
        """
        key = self.key_of(request, query._replace(canonical=rest), upstream)
        return self._hash(b"namespace", "", key.digest, 16)

    def another_of(self, key: CacheKey, number: int) -> CacheKey:
        """The key of one of several answers to a question; the first has the question's own."""
        if not number:
            return key
        return CacheKey(key.scope, self._hash(b"another", str(number), key.digest, 32))

    def resource_of(
        self, request: Request, upstream: str, namespace: str = "", host: str = ""
    ) -> CacheKey:
        """The key of what is at a URI, whatever the method (RFC 9111, section 2).

        What a proxy in front says that the URI was is part of it.

        Args:
            host: what the backend is told of the client's Host.
        """
        index = request.headers.index()
        path, query = request.path, request.query_string
        text = (
            f"{SCHEMA} {len(upstream)}:{upstream}{len(host)}:{host}{len(path)}:{path}"
            f"{len(query)}:{query}{len(namespace)}:{namespace}"
        )
        if "x-forwarded-host" in index or "x-forwarded-proto" in index:
            text += _fenced(index, ("x-forwarded-host", "x-forwarded-proto"))
        return CacheKey("shared", self._hash(b"resource", text, b"", 32))

    def variant_of(
        self, resource: CacheKey, batch: bytes, scope: str, selected: Sequence[str | None]
    ) -> CacheKey:
        """The key of one of the responses at a URI.

        Args:
            batch: of the note that tells the variants apart; none of another is ever found.
            scope: whose it is; "": everybody's.
            selected: what the request says in the fields that select, None where it does not.
        """
        text = f"{len(scope)}:{scope}" + "".join(
            "-" if value is None else f"{len(value)}:{value}" for value in selected
        )
        digest = self._hash(b"variant", text, resource.digest + batch, 32)
        return CacheKey(scope or resource.scope, digest)

    def likeness_of(self, resource: CacheKey, request: Request, scope: str) -> CacheKey:
        """Equal for requests to one URI that no backend would answer differently, as a rule."""
        fields = sorted(self.fields_of(request.headers))
        text = f"{request.method} {len(scope)}:{scope}" + "".join(
            f"{len(name)}:{name}{len(value)}:{value}" for name, value in fields
        )
        return CacheKey(scope, self._hash(b"likeness", text, resource.digest, 32))

    def is_authorised(self, request: Request) -> bool:
        """Whether ``request`` has a credential of any kind."""
        index = request.headers.index()
        return any(name in index for name in CREDENTIALS) or bool(
            request.query_string and _credentials_in(request.query_string)
        )

    def alias_of(self, scope: str, namespace: bytes, canonical: str) -> CacheKey:
        """The key of the note that says which entry answers a question in its canonical form."""
        return CacheKey(scope, self._hash(b"alias", canonical, namespace, 32))

    def fields_of(self, headers: Headers) -> list[tuple[str, str]]:
        """The headers that are part of the key, names in lower case, values as they count."""
        known = self._known
        index = headers.index()  # where one field says nothing, a second of its name may
        fields = []
        for spelled, value in headers.pairs:
            name = known.get(spelled)
            if name is None:
                name = self._learn(spelled)
            if not name:
                continue
            if name in {"cookie", "baggage"}:
                part = self._keyed_cookies(value) if name == "cookie" else _keyed_baggage(value)
                if part:
                    fields.append((name, part))
                continue
            if name in _MAY_SAY_NOTHING and _says_nothing(name, index[name]):
                continue
            fields.append((name, value))
        return fields

    def _is_left_out(self, name: str) -> bool:
        if name in self._inert:
            return True
        return name.startswith(INERT_PREFIXES) and name not in self._keyed

    def _learn(self, spelled: str) -> str:
        """The lower-case name of a keyed header, "" of an inert one; remembered for next time."""
        lower = spelled.lower()
        name = "" if self._is_left_out(lower) else lower
        if len(spelled) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[spelled] = name
        return name

    def _keyed_cookies(self, value: str) -> str:
        crumbs = (crumb.strip(" \t") for crumb in value.split(";"))
        return "; ".join(c for c in crumbs if c.partition("=")[0] not in self._inert_cookies)

    def _hash(self, purpose: bytes, text: str, rest: bytes, size: int) -> bytes:
        hashed = self._hasher(purpose, text, size)
        hashed.update(rest)
        return hashed.digest()

    def _hasher(self, purpose: bytes, text: str, size: int) -> hashlib.blake2b:
        return hashlib.blake2b(
            text.encode("utf-8", "surrogateescape"),
            digest_size=size,
            key=self._secret,
            person=purpose,
        )


def standby_of(key: CacheKey, backend: str) -> CacheKey:
    """The key of a flight to another ``backend`` for the same question; nothing is stored there."""
    hashed = hashlib.blake2b(key.digest, digest_size=32, person=b"standby")
    hashed.update(backend.encode())
    return CacheKey(key.scope, hashed.digest())


def without_credentials(query_string: str) -> str:
    """``query_string`` less the parameters that are credentials; the rest as it came."""
    return "&".join(part for part in query_string.split("&") if not _credentials_in(part))


def _fenced(index: dict[str, str], names: tuple[str, ...]) -> str:
    """The named headers that are there, each part behind its length."""
    return "".join(
        [
            f"{len(name)}:{name}{len(value)}:{value}"
            for name in names
            if (value := index.get(name)) is not None
        ]
    )


def _credentials_in(query_string: str) -> str:
    return "".join(
        [
            f"?{len(name)}:{name}{len(value)}:{value}"
            for name, value in parse_qsl(
                query_string, keep_blank_values=True, errors="surrogateescape"
            )
            if name.lower() in _CREDENTIAL_PARAMETERS
        ]
    )


def _keyed_baggage(value: str) -> str:
    """``value`` less what Sentry adds to every request, which is trace context."""
    members = (member.strip(" \t") for member in value.split(","))
    return ",".join(member for member in members if not member.startswith("sentry-"))


@lru_cache(maxsize=256)
def _says_nothing(name: str, value: str) -> bool:
    """Whether an API client that sends this header says no more than one that leaves it out."""
    if name == "accept":
        return _is_plain_accept(value)
    return _is_json(value) if name == "content-type" else value.strip(" \t") == "*"


def _is_plain_accept(value: str) -> bool:
    if value in _ADMITS_JSON:
        return True
    # Parameters rank media types, rule them out (q=0) or tell versions apart: none is plain.
    first, *others = (item.strip(" \t").lower() for item in value.split(","))
    return first in _ADMITS_JSON and _PLAIN_ACCEPT.issuperset(others)


def _is_json(value: str) -> bool:
    if value == "application/json":
        return True
    return value.lower().replace(" ", "") in {"application/json", "application/json;charset=utf-8"}

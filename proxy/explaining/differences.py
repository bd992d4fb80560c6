"""Why two requests have different keys, or the same: part by part. Pure.

What is compared is what the keys are made of, so that nothing is called different here that is
equal to the key. What differs on the wire and not in the key is told, too, as not mattering.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

import orjson

from proxy.explaining.explanation import Explanation
from proxy.explaining.sentences import tellable
from proxy.key import CREDENTIALS, KeyParts
from proxy.model.message import Headers, Request

MOST: Final = 100  # differences that are told
_LONGEST: Final = 200  # characters of a value
_SECRETS: Final = frozenset({*CREDENTIALS, "cookie", "proxy-authorization"})
_SECRET_WORDS: Final = ("token", "secret", "password", "api-key", "apikey", "auth", "session")
_NOWHERE: Final = object()  # a member or an element that is not there


class Where(StrEnum):
    """What two requests can differ in."""

    UPSTREAM = "upstream"
    DIALECT = "dialect"
    METHOD = "method"
    PATH = "path"
    QUERY = "query"
    NAMESPACE = "namespace"
    SCOPE = "scope"
    HEADER = "header"
    BODY = "body"


class Difference(NamedTuple):
    """One thing in which two requests differ."""

    where: Where
    name: str  # of a header, or a JSON pointer
    one: str | None  # None: not there, or not to be told
    other: str | None
    matters: bool  # to the key
    says: str


class Side(NamedTuple):
    """One of the two."""

    explanation: Explanation
    request: Request
    body: bytes


def differences(one: Side, other: Side) -> list[Difference]:
    """In what the requests differ, what matters first; at most ``MOST``."""
    parts = _parts(one), _parts(other)
    found = list(_told(one, other))
    if parts[0] is not None and parts[1] is not None:
        found += _keyed(parts[0], parts[1])
    else:  # nothing is known to be left out of what has no key
        found += _of_body(one.body, other.body, matters=True)
    mattering = {(each.where, each.name) for each in found}
    if any(each.where is Where.BODY for each in found):
        mattering.add((Where.BODY, ""))  # that it is written differently goes without saying
    found += [
        each
        for each in (*_left_out_headers(one, other), *_left_out_body(one, other))
        if (each.where, each.name) not in mattering
    ]
    found.sort(key=lambda each: not each.matters)
    scoped = _scoped(one, other)
    return [
        # Who a caller is, is told by a hash alone: the scope.
        each._replace(one=None, other=None)
        if each.where is Where.HEADER and each.name in scoped
        else each
        for each in found[:MOST]
    ]


def _scoped(one: Side, other: Side) -> frozenset[str]:
    """The headers that either scope is made of."""
    keyed = (one.explanation.keyed, other.explanation.keyed)
    return frozenset(name for each in keyed if each is not None for name in each.scope_fields)


def _parts(side: Side) -> KeyParts | None:
    keyed = side.explanation.keyed
    return None if keyed is None else keyed.parts


def _told(one: Side, other: Side) -> Iterator[Difference]:
    """What is known of any two requests."""
    pairs: tuple[tuple[Where, str | None, str | None, str], ...] = (
        (Where.UPSTREAM, one.explanation.upstream, other.explanation.upstream,
         "They go to different backends."),
        (Where.DIALECT, one.explanation.dialect, other.explanation.dialect,
         "They are in different dialects."),
        (Where.METHOD, one.request.method, other.request.method, "They have different methods."),
        (Where.PATH, one.request.path, other.request.path, "They are for different paths."),
    )  # fmt: skip
    for where, left, right, says in pairs:
        if left != right:
            yield Difference(where, "", _cut(left), _cut(right), matters=True, says=says)


def _keyed(one: KeyParts, other: KeyParts) -> Iterator[Difference]:
    """In what two keys differ that not any two requests do."""
    if one.scope != other.scope:
        yield Difference(
            Where.SCOPE, "", one.scope, other.scope, matters=True,
            says="They are of different callers, who never share an answer.",
        )  # fmt: skip
    if one.namespace != other.namespace:
        yield Difference(
            Where.NAMESPACE, "", tellable(one.namespace), tellable(other.namespace),
            matters=True, says="They are in different namespaces, which the callers chose.",
        )  # fmt: skip
    if one.query_string != other.query_string:
        # It may hold a credential.
        yield Difference(
            Where.QUERY, "", None, None, matters=True, says="Their query strings differ."
        )
    yield from _of_headers(one, other)
    yield from _of_body(one.body, other.body, matters=True)


def _of_headers(one: KeyParts, other: KeyParts) -> Iterator[Difference]:
    left, right = _by_name(one), _by_name(other)
    for name in sorted({*left, *right}):
        if left.get(name) != right.get(name):
            yield _header(name, left, right, matters=True)


def _by_name(parts: KeyParts) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parts.fields:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _header(
    name: str, left: Mapping[str, str], right: Mapping[str, str], *, matters: bool
) -> Difference:
    if not matters:
        says = f"{name} is not in the key by itself."
    elif name in left and name in right:
        says = f"{name} differs, and counts; cache.inert_headers can name it."
    else:
        says = f"Only one of them has {name}, which counts; cache.inert_headers can name it."
    if _is_secret(name):
        return Difference(Where.HEADER, name, None, None, matters, f"{says} Its value is not told.")
    return Difference(
        Where.HEADER, name, _cut(left.get(name)), _cut(right.get(name)), matters, says
    )


def _is_secret(name: str) -> bool:
    return name in _SECRETS or any(word in name for word in _SECRET_WORDS)


def _left_out_headers(one: Side, other: Side) -> Iterator[Difference]:
    """Headers that differ and are in no key."""
    left, right = _index(one.request.headers), _index(other.request.headers)
    for name in sorted({*left, *right} - _scoped(one, other)):
        if left.get(name) != right.get(name):
            yield _header(name, left, right, matters=False)


def _index(headers: Headers) -> dict[str, str]:
    return dict(headers.index())


def _left_out_body(one: Side, other: Side) -> Iterator[Difference]:
    """Where bodies differ as they came."""
    if one.body == other.body:
        return
    found = list(_of_body(one.body, other.body, matters=False))
    if not found or not any(each.name for each in found):
        yield Difference(
            Where.BODY, "", None, None, matters=False,
            says="They are written differently: in order, space or escapes, which is all the same.",
        )  # fmt: skip
        return
    yield from found


def _of_body(one: bytes, other: bytes, *, matters: bool) -> Iterator[Difference]:
    if one == other:
        return
    try:
        left, right = orjson.loads(one), orjson.loads(other)
    except ValueError:
        yield Difference(Where.BODY, "", None, None, matters, "Their bodies differ.")
        return
    for pointer, a, b, ordered in islice(_walk("", left, right, in_order=matters), MOST):
        if ordered:
            says = f"{pointer or 'The body'} has its members in another order, which counts here."
            yield Difference(Where.BODY, pointer, None, None, matters, says)
        else:
            yield Difference(
                Where.BODY, pointer, _shown(a), _shown(b), matters, _says(pointer, matters=matters)
            )


def _says(pointer: str, *, matters: bool) -> str:
    what = pointer or "The body"
    if matters:
        return f"{what} differs, and counts."
    return f"{what} is no part of the question, or is written in another way."


def _walk(
    pointer: str, left: object, right: object, *, in_order: bool
) -> Iterator[tuple[str, object, object, bool]]:
    """Where two documents differ: pointer, both values, and whether in the order of members only.

    Not by recursion: bodies may nest as deep as a client likes.
    """
    stack = [(pointer, left, right)]
    while stack:
        at, a, b = stack.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            if in_order and list(a) != list(b) and set(a) == set(b):
                yield at, a, b, True
            names = [*a, *(name for name in b if name not in a)]
            stack += [
                (f"{at}/{_step(name)}", a.get(name, _NOWHERE), b.get(name, _NOWHERE))
                for name in reversed(names)
            ]
        elif isinstance(a, list) and isinstance(b, list):
            longest = max(len(a), len(b))
            stack += [
                (f"{at}/{i}", a[i] if i < len(a) else _NOWHERE, b[i] if i < len(b) else _NOWHERE)
                for i in reversed(range(longest))
            ]
        elif type(a) is not type(b) or a != b:
            yield at, a, b, False


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _shown(value: object) -> str | None:
    if value is _NOWHERE:
        return None
    try:
        return _cut(orjson.dumps(value).decode())
    except TypeError:  # it nests deeper than what was read may be written
        return "…"


def _cut(text: str | None) -> str | None:
    if text is None:
        return None
    text = tellable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

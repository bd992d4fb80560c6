"""Vectors in Redis: what is asked of vector sets, and of indexes over hashes.

Vector sets came with Redis 8, each under one key. Indexes over hashes (``FT.*``) are what Redis's
Query Engine and Valkey Search have in common, as far as it is asked for here: neither sorts in the
same way, and some services return no field that was not declared, so that all there is to know of a
row stands in its key.

Vectors are sent as the bytes of their float32 numbers, little-endian.

Vector sets need ``+vadd +vsim +vrem +vrandmember +vgetattr +pexpire`` besides what
``proxy.link.commands`` names; indexes ``+ft.create +ft.search +hset +pexpire``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.link import command
from proxy.link.replies import NotAllowed

if TYPE_CHECKING:
    from proxy.link.commands import Commands, Words  # which loads the library

NAMESPACE: Final = "namespace"  # fields of a hash that are indexed
VECTOR: Final = "vector"
_DISTANCE: Final = "distance"
_THERE: Final = "already exists"  # in the words of both products, cases aside
_GONE: Final = ("no such index", "unknown index", "not found")


class Gone(NotAllowed):
    """The index over hashes is not there (any more)."""


class Element(NamedTuple):
    """A member of a vector set."""

    name: bytes
    vector: bytes
    attributes: bytes  # a JSON object


class Near(NamedTuple):
    """What was found near to a vector."""

    name: bytes
    score: float  # the cosine, from -1 to 1


class Hash(NamedTuple):
    """A hash that an index is to find."""

    key: str
    namespace: str
    vector: bytes
    keep_ms: int  # milliseconds until it is forgotten


# -- vector sets -------------------------------------------------------------------------------


async def add(
    commands: Commands, key: str, elements: Sequence[Element], quantization: str, keep_ms: int
) -> None:
    """Put elements into a set, in place of those of their names, and make it if need be.

    Args:
        quantization: the word for it, ``Q8`` or ``NOQUANT``; the same ever after for one set.
        keep_ms: the set is forgotten after so many milliseconds, or later if it already will be.
    """
    put: list[Words] = [
        ("VADD", key, "FP32", vector, name, quantization, "SETATTR", attributes)
        for name, vector, attributes in elements
    ]
    # GT takes a key that is never forgotten for one that lives longer, as a new one is.
    await commands.send_all(*put, ("PEXPIRE", key, keep_ms, "NX"), ("PEXPIRE", key, keep_ms, "GT"))


async def nearest(
    commands: Commands, key: str, vector: bytes, count: int, condition: str
) -> list[Near]:
    """The elements of a set that are nearest, nearest first; none if there is no set.

    Args:
        condition: of their attributes, in the language of ``FILTER``.
    """
    reply = await commands.send(
        "VSIM", key, "FP32", vector, "WITHSCORES", "COUNT", count, "FILTER", condition
    )
    match reply:
        case list() if len(reply) % 2 == 0:
            # A score is from 0 to 1, for cosines from -1 to 1.
            return [
                Near(_bytes(name), 2.0 * float(_bytes(score)) - 1.0)
                for name, score in zip(reply[::2], reply[1::2], strict=True)
            ]
        case _:
            raise ValueError("no elements with scores")


async def drop(commands: Commands, key: str, names: Iterable[bytes]) -> None:
    """Take elements out of a set, if they are there."""
    await commands.send_all(*(("VREM", key, name) for name in names))


async def sample(commands: Commands, key: str, count: int) -> list[tuple[bytes, bytes]]:
    """The names and attributes of any ``count`` elements; fewer if there are no more."""
    reply = await commands.send("VRANDMEMBER", key, count)
    match reply:
        case list():
            names = [_bytes(name) for name in reply]
        case _:
            raise ValueError("no names of elements")
    if not names:
        return []
    found = await commands.send_all(*(("VGETATTR", key, name) for name in names))
    return [
        (name, attributes)
        for name, attributes in zip(names, found, strict=True)
        if isinstance(attributes, bytes)
    ]


# -- indexes over hashes -----------------------------------------------------------------------


async def create(commands: Commands, index: str, prefix: str, dimensions: int) -> None:
    """Make an index of the hashes whose keys begin with ``prefix``, if it is not there."""
    try:
        await commands.send(
            "FT.CREATE", index, "ON", "HASH", "PREFIX", 1, prefix, "SCHEMA", NAMESPACE, "TAG",
            VECTOR, "VECTOR", "HNSW", 6, "TYPE", "FLOAT32", "DIM", dimensions,
            "DISTANCE_METRIC", "COSINE",
        )  # fmt: skip
    except Exception as error:
        # Any of the replicas may have made it a moment ago. The products have codes of their own.
        if _THERE not in str(error).lower():
            raise


async def put(commands: Commands, hashes: Sequence[Hash]) -> None:
    """Store hashes, each for its time.

    A connection that ends between the two commands for one leaves a hash that stays until it is
    stored again; a transaction would ask for rights and, in a cluster, for much more.
    """
    for key, namespace, vector, keep_ms in hashes:
        await commands.send_all(
            ("HSET", key, NAMESPACE, namespace, VECTOR, vector), ("PEXPIRE", key, keep_ms)
        )


async def forget(commands: Commands, keys: Iterable[str]) -> None:
    """Forget hashes, if they are there."""
    for key in keys:  # each in a slot of its own
        await commands.do(command.unlink(key))


async def find(
    commands: Commands, index: str, namespace: str, vector: bytes, count: int
) -> list[Near]:
    """The hashes of a namespace that are nearest, nearest first.

    Args:
        namespace: letters and digits.

    Raises:
        Gone: there is no such index.
    """
    try:
        reply = await commands.send(
            "FT.SEARCH", index,
            f"(@{NAMESPACE}:{{{namespace}}})=>[KNN {count} @{VECTOR} $near AS {_DISTANCE}]",
            "PARAMS", 2, "near", vector, "RETURN", 1, _DISTANCE, "LIMIT", 0, count,
            "DIALECT", 2,
        )  # fmt: skip
    except Exception as error:
        said = str(error).lower()
        if any(words in said for words in _GONE):
            raise Gone(str(error)) from error
        raise
    match reply:
        case [int(), *pairs] if len(pairs) % 2 == 0:
            found = [
                Near(_bytes(name), 1.0 - _distance(fields))
                for name, fields in zip(pairs[::2], pairs[1::2], strict=True)
                if fields is not None  # it went while it was looked for
            ]
        case _:
            raise ValueError("no hashes with their fields")
    return sorted(found, key=lambda near: -near.score)


def _distance(fields: object) -> float:
    match fields:
        case list() if len(fields) % 2 == 0:
            named = dict(zip(map(_bytes, fields[::2]), fields[1::2], strict=True))
            return float(_bytes(named.get(_DISTANCE.encode())))
        case _:
            raise ValueError("no fields")


def _bytes(reply: object) -> bytes:
    if not isinstance(reply, bytes):
        raise ValueError(f"no bytes: {type(reply).__name__}")  # noqa: TRY004 - as in replies
    return reply

"""A server that speaks as Redis's Query Engine and Valkey Search do, as far as the proxy asks.

Neither can be had everywhere the tests run. This is a real server on a real port: it reads commands
as RESP 2 has them, keeps hashes with their times, and searches them as the documentation of the two
says. What they do beside that, it cannot tell.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from support.cranked import settle
from support.redis_servers import HERE

_QUERY = re.compile(rb"\(@(\w+):\{([0-9A-Za-z]+)\}\)=>\[KNN (\d+) @(\w+) \$(\w+) AS (\w+)\]")


class Refused(Exception):
    """What is answered as an error."""


@dataclass
class SearchStub:
    """What it keeps, and how it speaks; all can be changed at any time."""

    clock: Callable[[], float]  # seconds; by which keys expire
    valkey: bool = False  # says what goes wrong in Valkey's words
    refuses: dict[bytes, str] = field(default_factory=dict)  # commands, and the errors
    answers: dict[bytes, bytes] = field(default_factory=dict)  # commands, and what is said instead
    hashes: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)
    expires: dict[bytes, float] = field(default_factory=dict)
    indexes: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)
    asked: list[list[bytes]] = field(default_factory=list)

    def do(self, words: list[bytes]) -> bytes:
        """The answer to a command, as it goes over the wire."""
        self.asked.append(words)
        for key in [key for key, at in self.expires.items() if at <= self.clock()]:
            self._forget(key)
        name = words[0].upper()
        if name in self.answers:
            return self.answers[name]
        try:
            return self._answer(name, words)
        except Refused as refusal:
            return f"-{refusal}\r\n".encode()

    def _answer(self, name: bytes, words: list[bytes]) -> bytes:
        if name in self.refuses:
            raise Refused(self.refuses[name])
        match name:
            case b"GET":
                return _bulk(None)
            case b"HSET":
                fields = dict(zip(words[2::2], words[3::2], strict=True))
                self.hashes.setdefault(words[1], {}).update(fields)
                return _number(len(fields))
            case b"PEXPIRE":
                if words[1] in self.hashes:
                    self.expires[words[1]] = self.clock() + int(words[2]) / 1000
                return _number(int(words[1] in self.hashes))
            case b"UNLINK":
                return _number(sum(self._forget(key) for key in words[1:]))
            case b"SCAN":
                pattern = words[3].decode().replace("\\", "")
                found = [k for k in self.hashes if fnmatch.fnmatchcase(k.decode(), pattern)]
                return _list([_bulk(b"0"), _list([_bulk(key) for key in found])])
            case b"FT.CREATE":
                return self._create(words)
            case b"FT.SEARCH":
                return self._search(words)
            case _:
                raise Refused(f"ERR unknown command '{words[0].decode()}'")

    def _forget(self, key: bytes) -> bool:
        self.expires.pop(key, None)
        return self.hashes.pop(key, None) is not None

    def _create(self, words: list[bytes]) -> bytes:
        name = words[1]
        if name in self.indexes:
            where = f"Index {name.decode()} in database 0 already exists."
            raise Refused(where if self.valkey else "Index already exists")
        on, hash_, prefix, one, what, schema, *fields = words[2:]
        assert (on, hash_, prefix, one, schema) == (b"ON", b"HASH", b"PREFIX", b"1", b"SCHEMA")
        tag, kind, vector, *rest = fields
        assert kind == b"TAG"
        assert rest[:3] == [b"VECTOR", b"HNSW", b"6"]
        told = dict(zip(rest[3::2], rest[4::2], strict=True))
        assert set(told) == {b"TYPE", b"DIM", b"DISTANCE_METRIC"}
        assert (told[b"TYPE"], told[b"DISTANCE_METRIC"]) == (b"FLOAT32", b"COSINE")
        self.indexes[name] = {
            b"prefix": what, b"tag": tag, b"vector": vector, b"dimensions": told[b"DIM"],
        }  # fmt: skip
        return b"+OK\r\n"

    def _search(self, words: list[bytes]) -> bytes:
        name, query, *rest = words[1:]
        if name not in self.indexes:
            told = name.decode()
            raise Refused(
                f"Index with name '{told}' not found" if self.valkey else f"{told}: no such index"
            )
        index = self.indexes[name]
        found = _QUERY.fullmatch(query)
        assert found, query
        tag, namespace, most, vector, parameter, distance = found.groups()
        assert (tag, vector) == (index[b"tag"], index[b"vector"])
        params, two, given, blob, wanted, one, field_, limit, zero, count, dialect, kind = rest
        assert (params, two, given) == (b"PARAMS", b"2", parameter)
        assert (wanted, one, field_) == (b"RETURN", b"1", distance)
        assert (limit, zero, dialect, kind) == (b"LIMIT", b"0", b"DIALECT", b"2")
        size = int(index[b"dimensions"]) * 4
        if len(blob) != size:
            raise Refused(
                f"Error parsing vector similarity query: query vector blob size {len(blob)}"
            )
        asked = np.frombuffer(blob, "<f4")
        near = sorted(
            (1.0 - float(asked @ np.frombuffer(fields[vector], "<f4")), key)
            for key, fields in self.hashes.items()
            # What does not fit the schema is not in the index.
            if key.startswith(index[b"prefix"])
            and fields.get(tag) == namespace
            and len(fields.get(vector, b"")) == size
        )[: min(int(most), int(count))]
        near.sort(key=lambda pair: pair[1])  # nobody promised an order
        pairs = [
            piece
            for far, key in near
            for piece in (_bulk(key), _list([_bulk(distance), _bulk(repr(far).encode())]))
        ]
        return _list([_number(len(near)), *pairs])


@asynccontextmanager
async def search_stub(stub: SearchStub) -> AsyncIterator[int]:
    """The port where ``stub`` is served, for as long as the block lasts."""
    under_way: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                writer.write(stub.do(words))
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            under_way.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, HERE, 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tuple(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await settle()  # sockets close a turn of the loop after they are told to


def _number(value: int) -> bytes:
    return b":%d\r\n" % value


def _bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def _list(items: list[bytes]) -> bytes:
    return b"*%d\r\n%b" % (len(items), b"".join(items))

"""A server that speaks as Qdrant's REST interface does, as far as the proxy asks.

No Qdrant can be had everywhere the tests run. This is a real server on a real port, which keeps
points and searches them as the documentation says. What Qdrant does beside that, it cannot tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from aiohttp import web

from support.redis_servers import HERE


@dataclass
class Collection:
    """Points, and what was said when it was made."""

    made: dict[str, Any]
    fields: dict[str, Any] = field(default_factory=dict)
    points: dict[str, tuple[list[float], dict[str, Any]]] = field(default_factory=dict)


@dataclass
class QdrantStub:
    """What it keeps, and how it behaves; all can be changed at any time."""

    api_key: str = ""  # that callers must have; "" for none
    says: tuple[int, bytes] | None = None  # instead of whatever it would
    old: bool = False  # answers as versions did before there was a status for conflicts
    collections: dict[str, Collection] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # methods and paths

    async def serve(self, request: web.Request) -> web.Response:
        """The answer to any request."""
        self.asked.append(f"{request.method} {request.path_qs}")
        assert request.content_type == "application/json"
        asked = await request.json()
        if self.api_key and request.headers.get("api-key") != self.api_key:
            return web.Response(status=401, text="Must provide an API key")
        if self.says is not None:
            status, body = self.says
            return web.Response(status=status, body=body)
        _, _, name, *rest = request.path.split("/")
        what = "/".join(rest)
        if not what:
            assert request.method == "PUT"
            return self._make(name, asked)
        collection = self.collections.get(name)
        if collection is None:
            return _error(404, f"Not found: Collection `{name}` doesn't exist!")
        match request.method, what:
            case "PUT", "index":
                collection.fields[asked["field_name"]] = asked["field_schema"]
                return _result({"status": "completed"})
            case "PUT", "points":
                return _upsert(collection, asked["points"])
            case "POST", "points/query":
                return _query(collection, asked)
            case "POST", "points/delete":
                assert set(asked) in ({"points"}, {"filter"})
                for each in asked.get("points", ()):
                    collection.points.pop(each, None)
                for each, (_, payload) in list(collection.points.items()):
                    if "filter" in asked and _fits(asked["filter"], payload):
                        del collection.points[each]
                return _result({"status": "completed"})
            case _:
                return _error(404, "")

    def _make(self, name: str, asked: dict[str, Any]) -> web.Response:
        if name in self.collections:
            return _error(400 if self.old else 409, f"Wrong input: `{name}` already exists!")
        if asked["vectors"]["size"] < 1:
            return _error(422, "Validation error in JSON body")
        assert asked["vectors"]["distance"] == "Cosine"
        self.collections[name] = Collection(asked)
        return _result(True)


def _upsert(collection: Collection, points: list[dict[str, Any]]) -> web.Response:
    size = collection.made["vectors"]["size"]
    for point in points:
        assert set(point) == {"id", "vector", "payload"}
        if len(point["vector"]) != size:
            return _error(400, f"Wrong input: Vector dimension error: expected dim: {size}")
    for point in points:
        collection.points[str(UUID(point["id"]))] = (point["vector"], point["payload"])
    return _result({"status": "completed"})


def _query(collection: Collection, asked: dict[str, Any]) -> web.Response:
    vector = np.array(asked["query"], np.float32)
    wanted = asked["with_payload"]
    found = [
        {
            "id": each,
            "version": 1,
            "score": float(vector @ np.array(kept, np.float32)),
            "payload": {name: payload[name] for name in wanted},
        }
        for each, (kept, payload) in collection.points.items()
        if _fits(asked["filter"], payload)
    ]
    found.sort(key=lambda point: -point["score"])
    return _result({"points": found[: asked["limit"]]})


def _fits(condition: dict[str, Any], payload: dict[str, Any]) -> bool:
    assert set(condition) == {"must"}
    return all(_holds(clause, payload[clause["key"]]) for clause in condition["must"])


def _holds(clause: dict[str, Any], value: Any) -> bool:
    match clause:
        case {"match": {"value": wanted}}:
            return bool(value == wanted)
        case {"range": {"gt": least}}:
            return bool(value > least)
        case {"range": {"gte": least}}:
            return bool(value >= least)
        case {"range": {"lte": most}}:
            return bool(value <= most)
        case _:
            raise AssertionError(clause)


def _result(result: Any) -> web.Response:
    return web.json_response({"usage": None, "time": 0.001, "status": "ok", "result": result})


def _error(status: int, said: str) -> web.Response:
    return web.json_response({"status": {"error": said}, "time": 0.0}, status=status)


@asynccontextmanager
async def qdrant_stub(stub: QdrantStub) -> AsyncIterator[int]:
    """The port where ``stub`` is served, for as long as the block lasts."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HERE, 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()

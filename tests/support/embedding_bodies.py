"""Requests for embeddings in all protocols, and what a backend says to them."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from proxy.dialects.base import Dialect
from proxy.dialects.cohere_embed import cohere_embed
from proxy.dialects.embeddings import DivisibleEmbeddings
from proxy.dialects.ollama_embed import ollama_embed, ollama_embeddings
from proxy.dialects.openai_embeddings import openai_embeddings
from proxy.model.message import Head, Headers
from proxy.model.query import Query, Refusal
from support.cranked import posted
from support.embedding_backend import Asked, answer

Json = dict[str, Any]
OK = Head(200, "OK", Headers([("Content-Type", "application/json")]))
OPENAI, OLLAMA, COHERE = openai_embeddings(), ollama_embed(), cohere_embed()
LEGACY = ollama_embeddings()
ROUTES: dict[str, tuple[DivisibleEmbeddings, str, str, Json]] = {
    "openai": (OPENAI, "/v1/embeddings", "input", {"model": "m"}),
    "base64": (OPENAI, "/v1/embeddings", "input", {"model": "m", "encoding_format": "base64"}),
    "dimensions": (OPENAI, "/v1/embeddings", "input", {"model": "m", "dimensions": 3}),
    "ollama": (OLLAMA, "/api/embed", "input", {"model": "m", "keep_alive": "5m"}),
    "cohere": (COHERE, "/v1/embed", "texts", {"model": "m", "input_type": "search_query"}),
    "cohere, by type": (
        COHERE,
        "/v2/embed",
        "texts",
        {"model": "m", "embedding_types": ["float", "int8", "base64"]},
    ),
}
protocols = pytest.mark.parametrize("protocol", ROUTES)


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def read(dialect: Dialect, body: Json, path: str = "/v1/embeddings") -> Query | Refusal:
    raw = dump(body)
    return dialect.read(posted(raw, path=path), raw)


def asked(dialect: Dialect, body: Json, path: str = "/v1/embeddings") -> Query:
    query = read(dialect, body, path)
    assert isinstance(query, Query), query
    return query


def said(body: bytes, path: str) -> bytes:
    """What a backend says to ``body``: numbers with more digits than they need."""
    return orjson.dumps(answer(Asked(path, {}, body)), option=orjson.OPT_INDENT_2)


def body_of(protocol: str, inputs: Any) -> Json:
    _, _, name, rest = ROUTES[protocol]
    return {**rest, name: inputs}


def same(one: bytes, other: bytes) -> bool:
    """Whether two replies say the same but for what tells of one call only."""
    told = [json.loads(each, parse_float=str) for each in (one, other)]
    for each in told:
        for name in ("id", "total_duration", "load_duration"):
            each.pop(name, None)
    return bool(told[0] == told[1])


def item(embedding: Any, index: Any = 0) -> Json:
    return {"object": "embedding", "index": index, "embedding": embedding}

"""The index of meanings that the settings ask for."""

# ruff: noqa: PLC0415 - each kind loads packages of its own

from __future__ import annotations

import logging
import random
import time
from functools import partial
from pathlib import Path

from proxy.app.clock import seconds
from proxy.config.semantic import Index as VectorIndex
from proxy.config.settings import Settings
from proxy.link.redis import Redis
from proxy.model.errors import ConfigError
from proxy.semantic.base import Index
from proxy.semantic.index.engine import Engine

log = logging.getLogger("sidecache.semantic")


def index(settings: Settings, folder: Path | None, redis: Redis | None) -> Index:
    """Where vectors are kept; each kind is imported only if it is asked for.

    Args:
        settings: checked settings.
        folder: for what is kept on this machine; None: it ends with the process.
        redis: the link to the Redis that replicas share, if there is one.

    Raises:
        ConfigError: a package is missing, or a URL or prefix cannot be used.
    """
    chosen = settings.semantic.index
    address, secret, prefix = chosen.address or "", chosen.secret or "", chosen.prefix
    match chosen.kind:
        case "local":
            return _local(settings, folder)
        case "redis-vectors" | "redis-search":
            return _in_redis(settings, redis)
        case "qdrant":
            from proxy.semantic.index.qdrant import Qdrant

            return Qdrant(
                address,
                wall=time.time,
                engine=_engine(chosen, setup_s=10.0),
                api_key=secret,
                prefix=prefix,
                allow_insecure=chosen.allow_insecure,
            )
        case "milvus":
            from proxy.semantic.index.milvus import Milvus

            engine = _engine(chosen)
            return Milvus(address, wall=time.time, engine=engine, token=secret, prefix=prefix)
        case "pgvector":
            from proxy.semantic.index.pgvector import PgVector

            engine = _engine(chosen, connections=4)
            return PgVector(address, wall=time.time, engine=engine, prefix=prefix)


def _engine(chosen: VectorIndex, *, setup_s: float = 30.0, connections: int = 8) -> Engine:
    return Engine(
        chosen.kind,
        clock=seconds,
        dice=random.random,
        report=partial(_report, chosen.kind),
        operation_s=chosen.timeout_s,
        setup_s=setup_s,
        connections=connections,
    )


def _local(settings: Settings, folder: Path | None) -> Index:
    from proxy.semantic.index.local import LocalIndex

    chosen = settings.semantic.index
    return LocalIndex(
        folder,
        max_rows=chosen.max_rows,
        dtype=chosen.dtype,
        exact_up_to=chosen.exact_up_to,
        scope_share=settings.semantic.scope_share,
        wall=time.time,
    )


def _in_redis(settings: Settings, redis: Redis | None) -> Index:
    if redis is None:
        raise ConfigError("semantic.index.kind: needs an `l2_redis.url`")
    prefix = settings.l2_redis.prefix
    if settings.semantic.index.kind == "redis-search":
        from proxy.semantic.index.redis_search import RedisSearch

        return RedisSearch(redis, wall=time.time, prefix=prefix)
    from proxy.semantic.index.redis_vectors import RedisVectors

    return RedisVectors(redis, wall=time.time, prefix=prefix)


def _report(kind: str, on: bool, why: str) -> None:  # noqa: FBT001 - as engines report
    log.warning("an engine changed", extra={"engine": kind, "on": on, "reason": why})

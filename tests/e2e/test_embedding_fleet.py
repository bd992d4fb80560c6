"""Two whole proxies on one Redis: what both are asked for costs one call for each input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from support.embedding_backend import EmbeddingBackend, numbers, spelled
from support.embedding_crowd import Crowd, question, vectors
from support.proxied import Proxied, proxied
from support.redis_servers import needs_redis, server

from proxy.model.purge import Kind, Purge

pytestmark = needs_redis


def vector(text: str) -> list[float]:
    return orjson.loads(spelled(numbers(text, "sk-one")))


TEXTS = [f"text {number}" for number in range(40)]


@asynccontextmanager
async def fleet(backend: EmbeddingBackend) -> AsyncIterator[tuple[Proxied, Proxied]]:
    async with server() as redis:
        settings: dict[str, Any] = {
            "l2_redis": {
                "url": f"redis://127.0.0.1:{redis.port}/0",
                "timeout_s": 10.0,
                "connect_timeout_s": 10.0,
            },
            "cache": {"scope": {"secret": "the same for all replicas"}},
        }
        async with (
            proxied(backend.url, **settings) as one,
            proxied(backend.url, **settings) as other,
        ):
            for each in (one, other):
                assert each.relay is not None
                each.relay._answer_s = each.relay._silent_s = 20.0
            yield one, other


async def test_batches_asked_of_two_replicas_at_once_ask_for_each_input_once() -> None:
    async with (
        EmbeddingBackend() as backend,
        fleet(backend) as (one, other),
        Crowd(one, 1) as here,
        Crowd(other, 1) as there,
    ):
        backend.hold()
        await here.ask([question(TEXTS[:30])])
        await backend.was_asked(1)
        await there.ask([question(TEXTS[10:])])
        assert one.relay is not None
        relay = one.relay
        await one.counted(lambda: len(relay._leader._guests) == 20)
        await backend.was_asked(2)
        backend.release()
        (first,), (second,) = await asyncio.gather(here.answers(), there.answers())

        assert vectors(first) == [vector(text) for text in TEXTS[:30]]
        assert vectors(second) == [vector(text) for text in TEXTS[10:]]
    assert sorted(text for call in backend.asked for text in call.inputs) == sorted(TEXTS)


async def test_what_one_replica_has_asked_for_another_finds_and_a_purge_holds_for_both() -> None:
    async with (
        EmbeddingBackend() as backend,
        fleet(backend) as (one, other),
        Crowd(one, 1) as here,
        Crowd(other, 1) as there,
    ):
        await here.ask([question(TEXTS[:8])])
        await here.answers()
        await one.landed()
        assert one.store.behind is not None
        await one.store.behind.flush()
        await there.ask([question(TEXTS[:10])])
        (answer,) = await there.answers()
        assert vectors(answer) == [vector(text) for text in TEXTS[:10]]
        assert sum(backend.sizes) == 10
        await one.store.purging.purge(Purge(Kind.DIALECT, "openai_embeddings"))
        await there.ask([question(TEXTS[:10])])
        (answer,) = await there.answers()
        assert answer.get("x-cache") == "MISS"
    assert sum(backend.sizes) == 20

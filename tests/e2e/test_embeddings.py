"""Embeddings by OpenAI's own client: what it parses is the same from the cache, input by input."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from support.embedding_backend import EmbeddingBackend, numbers
from support.proxied import Proxied, proxied
from support.started import started

from proxy.model.purge import Kind, Purge

Json = dict[str, Any]


@pytest.fixture
async def backend() -> AsyncIterator[EmbeddingBackend]:
    async with EmbeddingBackend() as backend:
        yield backend


@pytest.fixture
async def proxy(backend: EmbeddingBackend) -> AsyncIterator[Proxied]:
    async with proxied(backend.url) as proxy:
        yield proxy


def sdk(proxy: Proxied, credential: str = "sk-one") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{proxy.url}/v1", api_key=credential, max_retries=0, timeout=20
    )


@pytest.fixture
async def client(proxy: Proxied) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(proxy) as client:
        yield client


async def ask(
    client: openai.AsyncOpenAI, inputs: Any, **more: Any
) -> tuple[str, str, openai.types.CreateEmbeddingResponse]:
    """X-Cache, Cache-Status, and what the client makes of the answer."""
    create = client.embeddings.with_raw_response.create
    raw = await create(**{"model": "e", "input": inputs, **more})
    return raw.headers["x-cache"], raw.headers["cache-status"], raw.parse()


def vectors(inputs: list[Any], credential: str = "sk-one", size: int = 6) -> list[list[float]]:
    """What the backend's vectors are once they have been a float32, as the client has them."""
    return [
        [
            struct.unpack("f", struct.pack("f", value))[0]
            for value in numbers(each, credential, size)
        ]
        for each in inputs
    ]


def told(answer: openai.types.CreateEmbeddingResponse) -> list[list[float]]:
    assert [each.index for each in answer.data] == list(range(len(answer.data)))
    return [
        [struct.unpack("f", struct.pack("f", value))[0] for value in each.embedding]
        for each in answer.data
    ]


INPUTS = [
    pytest.param("one text", id="a text"),
    pytest.param(["one text"], id="a list of one"),
    pytest.param(["one", "two", "two", "Grüße, 世界 🌍"], id="texts, one of them twice"),
    pytest.param([5, 6, 7], id="tokens"),
    pytest.param([[5, 6, 7], [8], [9, 9]], id="lists of tokens"),
]


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("more", [{}, {"encoding_format": "float"}, {"dimensions": 3}])
async def test_what_is_asked_again_is_answered_from_the_cache_alike(
    backend: EmbeddingBackend, client: openai.AsyncOpenAI, inputs: Any, more: Json
) -> None:
    first = await ask(client, inputs, **more)
    again = await ask(client, inputs, **more)

    lone = isinstance(inputs, str) or isinstance(inputs[0], int)
    each = [inputs] if lone else inputs
    assert (first[0], again[0]) == ("MISS", "HIT")
    assert told(first[2]) == vectors(each, size=more.get("dimensions", 6))
    assert again[2] == first[2]
    weights = [len(one) if isinstance(one, list) else len(one.encode()) for one in each]
    assert first[2].usage.prompt_tokens == first[2].usage.total_tokens == sum(weights)
    assert len(backend.asked) == 1


async def test_a_client_that_waits_is_served_too(proxy: Proxied) -> None:
    def run() -> list[Any]:
        with openai.OpenAI(
            base_url=f"{proxy.url}/v1", api_key="sk-one", max_retries=0, timeout=20
        ) as client:
            create = client.embeddings.create
            return [create(model="e", input=["a", "b"]).data for _ in range(2)]

    first, again = await asyncio.to_thread(run)

    assert first == again
    assert proxy.verdicts == ["MISS", "HIT"]


async def test_of_a_batch_of_100_with_80_known_20_are_asked_for(
    backend: EmbeddingBackend, proxy: Proxied, client: openai.AsyncOpenAI
) -> None:
    texts = [f"text {number}" for number in range(100)]
    await ask(client, texts[:80])
    mixed = texts[::-1]
    verdict, status, answer = await ask(client, mixed)

    assert verdict == "MISS"
    assert status == "sidecache; fwd=partial; stored; detail=parts:80/100"
    assert backend.sizes == [80, 20]
    assert backend.asked[1].inputs == texts[:79:-1]
    assert told(answer) == vectors(mixed)
    assert answer.usage.prompt_tokens == sum(map(len, texts))
    assert (await ask(client, mixed))[0] == "HIT"
    assert (await ask(client, "text 99"))[0] == "HIT"
    assert len(proxy.flights) == 0


async def test_a_partly_stored_answer_is_as_old_as_its_oldest_part(proxy: Proxied) -> None:
    async with sdk(proxy) as client:
        create = client.embeddings.with_raw_response.create
        await create(model="e", input=["a", "b"])
        assert "age" not in (await create(model="e", input=["c", "d"])).headers
        raw = await create(model="e", input=["a", "e"])
        assert raw.headers["age"] == "0"
        assert (await create(model="e", input=["a", "e"])).headers["age"] == "0"


async def test_base64_and_floats_are_kept_apart(
    backend: EmbeddingBackend, client: openai.AsyncOpenAI
) -> None:
    await ask(client, ["a", "b"])
    verdict, _, floats = await ask(client, ["a", "b"], encoding_format="float")

    assert verdict == "MISS"
    assert backend.asked[0].json["encoding_format"] == "base64"
    assert told(floats) == vectors(["a", "b"])


async def test_a_number_has_the_digits_the_backend_wrote(
    backend: EmbeddingBackend, proxy: Proxied, client: openai.AsyncOpenAI
) -> None:
    async def raw(inputs: Any) -> bytes:
        told = await client.embeddings.with_raw_response.create(
            model="e", input=inputs, encoding_format="float"
        )
        return told.content

    alone = await raw("one")
    both = await raw(["two", "one"])
    digits = b"%.20f" % numbers("one", "sk-one")[0]

    assert digits in alone
    assert digits in both
    assert digits in await raw(["one", "two"])
    assert backend.sizes == [1, 1]


async def test_a_batch_with_a_bad_input_is_refused_as_it_would_be_without_the_proxy(
    backend: EmbeddingBackend, client: openai.AsyncOpenAI
) -> None:
    await ask(client, ["a", "b"])
    with pytest.raises(openai.BadRequestError) as refused:
        await ask(client, ["a", "b", "c", "bad"])

    assert "input 3 is bad" in str(refused.value)
    assert backend.asked[-1].inputs == ["a", "b", "c", "bad"]
    assert refused.value.response.headers["x-cache-reason"] == "indivisible"
    assert (await ask(client, ["a", "b", "c"]))[1].endswith("parts:2/3")


async def test_who_shares_an_input_with_a_refused_batch_gets_his_answer(
    backend: EmbeddingBackend, proxy: Proxied, client: openai.AsyncOpenAI
) -> None:
    backend.hold()
    failing = started(ask(client, ["good", "bad"]))
    await backend.was_asked(1)
    sharing = started(ask(client, "good"))
    await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 1)
    backend.release()

    assert told((await sharing)[2]) == vectors(["good"])
    with pytest.raises(openai.BadRequestError):
        await failing


@pytest.mark.parametrize("status", [500, 503, 429, 401])
async def test_an_error_that_is_everybodys_is_told_to_all_and_asked_for_once(
    backend: EmbeddingBackend, client: openai.AsyncOpenAI, status: int
) -> None:
    backend.faults.append(status)
    with pytest.raises(openai.APIStatusError) as failed:
        await ask(client, ["a", "b", "c"])

    assert failed.value.status_code == status
    assert "So it is." in str(failed.value)
    assert len(backend.asked) == 1
    assert (await ask(client, ["a", "b", "c"]))[0] == "MISS"


async def test_a_purge_covers_what_was_stored_of_a_batch(
    backend: EmbeddingBackend, proxy: Proxied, client: openai.AsyncOpenAI
) -> None:
    await ask(client, ["a", "b"], extra_headers={"X-Cache-Tags": "doc:1"})
    await ask(client, ["c"])
    await proxy.store.purging.purge(Purge(Kind.TAG, "doc:1"))
    _, status, _ = await ask(client, ["a", "b", "c"])

    assert status.endswith("parts:1/3")
    assert backend.sizes == [2, 1, 2]


async def test_no_cache_asks_for_all_anew_and_only_if_cached_for_nothing(
    backend: EmbeddingBackend, client: openai.AsyncOpenAI
) -> None:
    await ask(client, ["a", "b"])
    anew = {"extra_headers": {"Cache-Control": "no-cache"}}
    assert (await ask(client, ["a", "b"], **anew))[0] == "MISS"
    assert backend.sizes == [2, 2]
    only = {"extra_headers": {"Cache-Control": "only-if-cached"}}
    assert (await ask(client, ["b", "a"], **only))[0] == "HIT"
    with pytest.raises(openai.APIStatusError) as absent:
        await ask(client, ["a", "c"], **only)
    assert absent.value.status_code == 504
    assert backend.sizes == [2, 2]


async def test_batches_that_overlap_ask_for_each_input_once(
    backend: EmbeddingBackend, proxy: Proxied, client: openai.AsyncOpenAI
) -> None:
    texts = [f"text {number}" for number in range(30)]
    backend.hold()
    one = started(ask(client, texts[:20]))
    await backend.was_asked(1)
    other = started(ask(client, texts[10:]))
    await backend.was_asked(2)
    backend.release()
    answers = await asyncio.gather(one, other)

    assert backend.sizes == [20, 10]
    assert [told(answer) for _, _, answer in answers] == [vectors(texts[:20]), vectors(texts[10:])]
    verdicts = {(await ask(client, texts))[0]}
    assert verdicts == {"HIT"}


def _drop(document: Json) -> Json:
    return document if len(document["data"]) < 2 else {**document, "data": document["data"][:-1]}


def _double(document: Json) -> Json:
    data = [{**each, "index": 0} for each in document["data"]]
    return {**document, "data": data}


def _short(document: Json) -> Json:
    *most, last = document["data"]
    return {**document, "data": [*most, {**last, "embedding": [0.5]}]} if most else document


def _empty(document: Json) -> Json:
    data = [{**each, "embedding": []} for each in document["data"]]
    return {**document, "data": data}


def _null(document: Json) -> Json:
    data = [{**each, "embedding": [None, 0.5]} for each in document["data"]]
    return {**document, "data": data}


@pytest.mark.parametrize("twist", [_drop, _double, _short, _empty, _null])
async def test_a_reply_that_cannot_be_shared_out_is_stored_for_nobody_and_passed_on_whole(
    backend: EmbeddingBackend, proxy: Proxied, client: openai.AsyncOpenAI, twist: Any
) -> None:
    backend.twist = twist
    for _ in range(2):
        raw = await client.embeddings.with_raw_response.create(
            model="e", input=["a", "b", "c"], encoding_format="float"
        )
        assert raw.headers["x-cache-reason"] == "indivisible"
    assert proxy.store.memory.entries == 0
    assert len(backend.asked) == 3  # the second time nobody tried to take it apart
    assert [asked.body for asked in backend.asked[1:]] == [backend.asked[0].body] * 2


async def test_inputs_in_any_order_are_put_in_theirs(
    backend: EmbeddingBackend, client: openai.AsyncOpenAI
) -> None:
    backend.twist = lambda document: {**document, "data": document["data"][::-1]}
    _, _, answer = await ask(client, ["a", "b", "c"], encoding_format="float")

    assert told(answer) == vectors(["a", "b", "c"])
    assert told((await ask(client, "c", encoding_format="float"))[2]) == vectors(["c"])


async def test_vectors_of_two_versions_of_a_model_are_never_in_one_reply(
    backend: EmbeddingBackend, client: openai.AsyncOpenAI
) -> None:
    await ask(client, ["a", "b"])
    backend.twist = lambda document: {**document, "model": "e-2"}
    verdict, _, answer = await ask(client, ["b", "c"])

    assert verdict == "BYPASS"
    assert answer.model == "e-2"
    assert backend.sizes == [2, 1, 2]


async def test_a_signed_body_is_sent_as_it_is(
    backend: EmbeddingBackend, proxy: Proxied, client: openai.AsyncOpenAI
) -> None:
    signed = {"extra_headers": {"Content-Digest": "sha-256=:AAAA:"}}
    for _ in range(2):
        assert (await ask(client, ["a", "b"], **signed))[0] == "BYPASS"
    assert backend.sizes == [2, 2]


async def test_long_vectors_are_taken_apart_and_put_together_too(
    backend: EmbeddingBackend, proxy: Proxied, client: openai.AsyncOpenAI
) -> None:
    texts = [f"text {number}" for number in range(60)]
    size = 4000  # 6 MiB in all
    first = await ask(client, texts, encoding_format="float", dimensions=size)
    again = await ask(client, texts[::-1], encoding_format="float", dimensions=size)

    assert (first[0], again[0]) == ("MISS", "HIT")
    assert [each.embedding for each in again[2].data] == [
        each.embedding for each in first[2].data[::-1]
    ]
    assert told(again[2])[0] == vectors(["text 59"], size=size)[0]


async def test_an_idempotency_key_does_not_go_with_another_body(
    backend: EmbeddingBackend, client: openai.AsyncOpenAI
) -> None:
    keyed = {"extra_headers": {"Idempotency-Key": "once"}}
    await ask(client, ["a", "b"], **keyed)
    await ask(client, "c", **keyed)

    assert ["idempotency-key" in asked.headers for asked in backend.asked] == [False, True]

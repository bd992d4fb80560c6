"""Inputs that come at the same time go together, and nobody is worse off for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from support.embedding_backend import EmbeddingBackend, numbers, spelled
from support.embedding_crowd import Crowd, question, vectors
from support.proxied import SHORT_GRACE, Proxied, proxied

# For tests of who goes with whom: long enough for a busy machine to bring all of them together.
PATIENT = {"batching": {"wait_s": 0.5}}


@pytest.fixture
async def backend() -> AsyncIterator[EmbeddingBackend]:
    async with EmbeddingBackend() as backend:
        yield backend


@pytest.fixture
async def proxy(backend: EmbeddingBackend) -> AsyncIterator[Proxied]:
    async with proxied(backend.url, embeddings=PATIENT) as proxy:
        yield proxy


def vector(text: str, credential: str = "sk-one", size: int = 6) -> list[float]:
    return orjson.loads(spelled(numbers(text, credential, size)))


TEXTS = [f"text {number}" for number in range(200)]


async def test_two_hundred_single_inputs_at_once_cost_six_calls_at_most(
    backend: EmbeddingBackend,
) -> None:
    async with proxied(backend.url) as proxy, Crowd(proxy, 200) as crowd:
        await crowd.ask([question(text) for text in TEXTS])
        answers = await crowd.answers()

        assert len(backend.asked) <= 6, backend.sizes
        assert max(backend.sizes) <= 64
        for text, answer in zip(TEXTS, answers, strict=True):
            assert vectors(answer) == [vector(text)]
            assert answer.get("x-cache") == "MISS"
            assert orjson.loads(answer.body)["usage"]["prompt_tokens"] == len(text)
        await crowd.ask([question(text) for text in TEXTS])
        assert {answer.get("x-cache") for answer in await crowd.answers()} == {"HIT"}
    assert sum(backend.sizes) == 200


async def test_one_input_alone_does_not_wait_and_is_sent_as_it_came(
    backend: EmbeddingBackend,
) -> None:
    never = {"batching": {"wait_s": 1}}
    async with proxied(backend.url, embeddings=never) as proxy, Crowd(proxy, 1) as crowd:
        await crowd.ask([question("alone", user="u")])
        (answer,) = await crowd.answers()
        assert proxy.generation.batcher._gatherings == {}

    assert backend.asked[0].json["input"] == "alone"
    assert answer.body == backend.said[0]  # spaces and all


async def test_one_bad_input_fails_alone(backend: EmbeddingBackend, proxy: Proxied) -> None:
    texts = TEXTS[:40]
    texts[17] = "a bad one"
    async with Crowd(proxy, 40) as crowd:
        await crowd.ask([question(text) for text in texts])
        answers = await crowd.answers()

    for text, answer in zip(texts, answers, strict=True):
        if text == "a bad one":
            assert answer.status == 400
            assert orjson.loads(answer.body)["error"]["param"] == "input.0"  # as if alone
        else:
            assert vectors(answer) == [vector(text)]
    assert len(backend.asked) <= 13  # 40 and two for each halving
    assert proxy.observing.batching.halved == 1


async def test_a_batch_of_which_all_is_refused_costs_three_calls_more(
    backend: EmbeddingBackend, proxy: Proxied
) -> None:
    async with Crowd(proxy, 16) as crowd:
        await crowd.ask([question(f"bad {number}") for number in range(16)])
        assert {answer.status for answer in await crowd.answers()} == {400}

    assert backend.sizes[:3] == [16, 8, 8]
    assert backend.sizes[3:] == [1] * 16


async def test_a_request_with_several_inputs_is_not_taken_apart_for_anothers_fault(
    backend: EmbeddingBackend, proxy: Proxied
) -> None:
    asked: list[Any] = [["a", "b", "c"], "bad", ["d", "e"], "f"]
    async with Crowd(proxy, 4) as crowd:
        await crowd.ask([question(inputs) for inputs in asked])
        answers = await crowd.answers()

    assert [answer.status for answer in answers] == [200, 400, 200, 200]
    assert backend.sizes[0] == 7
    assert vectors(answers[0]) == [vector("a"), vector("b"), vector("c")]
    assert vectors(answers[2]) == [vector("d"), vector("e")]
    assert ["bad"] in [call.inputs for call in backend.asked]


async def test_inputs_of_two_callers_never_go_into_one_call(
    backend: EmbeddingBackend, proxy: Proxied
) -> None:
    callers = ("sk-one", "sk-two")
    async with Crowd(proxy, 120) as crowd:
        await crowd.ask([question(text, who) for text in TEXTS[:60] for who in callers])
        answers = await crowd.answers()

    for number, answer in enumerate(answers):
        assert vectors(answer) == [vector(TEXTS[number // 2], callers[number % 2])]
    assert sum(backend.sizes) == 120
    assert len(backend.asked) <= 6


async def test_callers_who_share_what_is_stored_still_ask_by_their_own_credentials(
    backend: EmbeddingBackend,
) -> None:
    shared = {"scope": {"by": "shared"}}
    async with (
        proxied(backend.url, cache=shared, embeddings=PATIENT) as proxy,
        Crowd(proxy, 40) as crowd,
    ):
        callers = ("sk-one", "sk-two")
        await crowd.ask([question(f"{who} {n}", who) for n in range(20) for who in callers])
        await crowd.answers()

    for asked in backend.asked:
        assert {text.split()[0] for text in asked.inputs} == {asked.credential}
    assert len(backend.asked) <= 6


async def test_parameters_are_never_mixed(backend: EmbeddingBackend, proxy: Proxied) -> None:
    kinds: list[Any] = [{}, {"dimensions": 3}, {"model": "f"}, {"path": "/other/embeddings"}]
    async with Crowd(proxy, 40) as crowd:
        await crowd.ask([question(text, **kind) for text in TEXTS[:10] for kind in kinds])
        answers = await crowd.answers()

    for number, answer in enumerate(answers):
        size = 3 if number % 4 == 1 else 6
        assert vectors(answer) == [vector(TEXTS[number // 4], size=size)]
        assert orjson.loads(answer.body)["model"] == ("f" if number % 4 == 2 else "e")
    assert len(backend.asked) <= 12
    assert sum(backend.sizes) == 40


async def test_an_answer_with_a_personal_cookie_is_told_to_nobody_else(
    backend: EmbeddingBackend, proxy: Proxied
) -> None:
    backend.headers = {"Set-Cookie": "session=1"}
    async with Crowd(proxy, 5) as crowd:
        await crowd.ask([question(text) for text in TEXTS[:5]])
        answers = await crowd.answers()

    assert [vectors(answer) for answer in answers] == [[vector(text)] for text in TEXTS[:5]]
    assert proxy.store.memory.entries == 0
    assert backend.sizes == [5, 1, 1, 1, 1, 1]


async def test_after_an_odd_reply_single_inputs_are_asked_for_one_by_one(
    backend: EmbeddingBackend, proxy: Proxied
) -> None:
    backend.twist = lambda document: {**document, "data": document["data"][:1]}
    async with Crowd(proxy, 4) as crowd:
        for _ in range(2):
            texts = [f"{len(backend.asked)} {number}" for number in range(4)]
            await crowd.ask([question(text) for text in texts])
            answers = await crowd.answers()
            assert [vectors(answer) for answer in answers] == [[vector(text)] for text in texts]

    assert backend.sizes == [4, 1, 1, 1, 1, 1, 1, 1, 1]


async def test_who_hangs_up_takes_only_his_own_inputs_along(backend: EmbeddingBackend) -> None:
    brief = {"orphan_grace_s": 0.01}
    async with (
        proxied(backend.url, downstream=SHORT_GRACE, flights=brief, embeddings=PATIENT) as proxy,
        Crowd(proxy, 20) as crowd,
    ):
        backend.hold()
        await crowd.ask([question(text) for text in TEXTS[:20]])
        await backend.was_asked(1)
        for client in crowd.clients[:10]:
            client.close()
        await proxy.counted(lambda: proxy.flights.counts.cancelled_orphans == 10)
        backend.release()
        crowd.clients = crowd.clients[10:]
        answers = await crowd.answers()

    assert [vectors(answer) for answer in answers] == [[vector(text)] for text in TEXTS[10:20]]
    assert backend.sizes == [20]


async def test_who_hangs_up_before_he_is_asked_for_is_not_asked_for(
    backend: EmbeddingBackend,
) -> None:
    brief = {"orphan_grace_s": 0.01}
    waiting = {"batching": {"wait_s": 1}}
    async with (
        proxied(backend.url, downstream=SHORT_GRACE, flights=brief, embeddings=waiting) as proxy,
        Crowd(proxy, 4) as crowd,
    ):
        backend.hold()
        await crowd.ask([question("first")])
        await backend.was_asked(1)
        late = crowd.clients[1:]
        for client, text in zip(late, TEXTS, strict=False):
            await client.send(question(text))
        await proxy.counted(lambda: proxy.observing.batching.inputs == 4)
        late[0].close()
        await proxy.counted(lambda: proxy.flights.counts.cancelled_orphans == 1)
        backend.release()
        crowd.clients = [crowd.clients[0], *late[1:]]
        await crowd.answers()

    assert backend.sizes == [1, 2]
    assert backend.asked[1].inputs == TEXTS[1:3]


async def test_a_call_that_nobody_waits_for_any_more_is_called_off(
    backend: EmbeddingBackend,
) -> None:
    brief = {"orphan_grace_s": 0.01}
    async with (
        proxied(backend.url, downstream=SHORT_GRACE, flights=brief) as proxy,
        Crowd(proxy, 1) as crowd,
    ):
        backend.hold()
        await crowd.ask([question(["a", "b", "c"])])
        await backend.was_asked(1)
        crowd.clients[0].close()
        await backend.was_left(1)
        await proxy.landed()


async def test_without_batching_each_single_input_is_a_call_and_each_request_one(
    backend: EmbeddingBackend,
) -> None:
    off = {"batching": {"enabled": False}}
    async with proxied(backend.url, embeddings=off) as proxy, Crowd(proxy, 8) as crowd:
        await crowd.ask([question(text) for text in TEXTS[:6]] + [question(["a", "b", "c"])])
        await crowd.answers(7)

    assert sorted(backend.sizes) == [1] * 6 + [3]


async def test_a_model_may_have_a_limit_of_its_own(backend: EmbeddingBackend) -> None:
    limited = {"batching": {"models": [{"model": "small-*", "max_inputs": 3}]}}
    async with proxied(backend.url, embeddings=limited) as proxy, Crowd(proxy, 10) as crowd:
        await crowd.ask([question(text, model="small-1") for text in TEXTS[:10]])
        await crowd.answers()
        assert max(backend.sizes) <= 3
        await crowd.ask([question(["a", "b", "c", "d", "e"], model="small-1")])
        await crowd.answers(1)

    assert backend.sizes[-1] == 5  # what a caller puts into one request is his affair


async def test_a_call_is_no_longer_than_allowed(backend: EmbeddingBackend) -> None:
    short = {"batching": {"max_bytes": 1000}}
    async with proxied(backend.url, embeddings=short) as proxy, Crowd(proxy, 20) as crowd:
        await crowd.ask([question("x" * 200 + text) for text in TEXTS[:20]])
        await crowd.answers()

    assert max(backend.sizes) <= 4
    assert sum(backend.sizes) == 20


async def test_a_reply_that_is_too_long_to_be_taken_apart_is_passed_on(
    backend: EmbeddingBackend,
) -> None:
    short = {"batching": {"max_reply_bytes": 500}}
    async with proxied(backend.url, embeddings=short) as proxy, Crowd(proxy, 1) as crowd:
        for calls in (2, 3):
            await crowd.ask([question(["a", "b", "c"])])
            (answer,) = await crowd.answers()
            assert vectors(answer) == [vector("a"), vector("b"), vector("c")]
            assert answer.get("x-cache-reason") == "indivisible"
            assert len(backend.asked) == calls

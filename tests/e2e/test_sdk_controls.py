"""What a caller may ask of the cache, by header and by LiteLLM's ``cache`` object."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from support.openai_backend import Fault, OpenAIBackend
from support.proxied import Proxied, proxied
from support.sdk_caller import Caller, chat
from support.started import started

Json = dict[str, Any]


def wishing(**wish: Any) -> Json:
    return chat(
        extra_body={"cache": {name.replace("_", "-"): value for name, value in wish.items()}}
    )


def headed(name: str, value: str) -> Json:
    return chat(extra_headers={name: value})


@pytest.mark.parametrize(
    "fresh",
    [
        wishing(no_cache=True),
        headed("Cache-Control", "no-cache"),
        headed("Cache-Control", "max-age=0"),
        headed("X-Cache-Control", "no-cache"),
        headed("Pragma", "no-cache"),
    ],
)
async def test_who_wants_a_fresh_answer_gets_one_and_it_replaces_the_old(
    fresh: Json, backend: OpenAIBackend, caller: Caller
) -> None:
    _, old = await caller.ask(chat())
    verdict, new = await caller.ask(fresh)

    assert verdict == "MISS"
    assert new.id != old.id
    assert await caller.ask(chat()) == ("HIT", new)
    assert len(backend.asked) == 2


@pytest.mark.parametrize(
    "secret",
    [
        wishing(no_store=True),
        wishing(use_cache=False),
        headed("Cache-Control", "no-store"),
        headed("X-Cache-Control", "no-store"),
    ],
)
async def test_who_wants_nothing_kept_leaves_nothing_behind(
    secret: Json, backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    verdicts = [(await caller.ask(secret))[0] for _ in range(2)]

    assert verdicts == ["BYPASS", "BYPASS"]
    assert proxy.store.memory.entries == 0
    assert len(backend.asked) == 2


async def test_the_wishes_to_the_cache_end_there(backend: OpenAIBackend, caller: Caller) -> None:
    await caller.ask(wishing(ttl=60, no_cache=True, namespace="a"))
    await caller.ask(headed("X-Cache-Namespace", "b"))
    await caller.ask(chat(extra_headers={"X-Cache-TTL": "60", "X-Cache-Control": "no-cache"}))

    for asked in backend.asked:
        assert "cache" not in asked.json
        assert not [name for name in asked.headers if name.startswith("x-cache")]


async def test_a_cache_member_that_is_somebody_elses_goes_on_and_counts(
    backend: OpenAIBackend, caller: Caller
) -> None:
    theirs = {"type": "ephemeral"}
    await caller.ask(chat(extra_body={"cache": theirs}))
    verdict, _ = await caller.ask(chat())

    assert verdict == "MISS"
    assert backend.asked[0].json["cache"] == theirs


@pytest.mark.parametrize("by_header", [False, True])
async def test_namespaces_do_not_share_answers(
    by_header: bool, backend: OpenAIBackend, caller: Caller
) -> None:
    def within(name: str) -> Json:
        return headed("X-Cache-Namespace", name) if by_header else wishing(namespace=name)

    verdicts = [(await caller.ask(q))[0] for q in (chat(), within("a"), within("b"), within("a"))]

    assert verdicts == ["MISS", "MISS", "MISS", "HIT"]
    assert len(backend.asked) == 3


async def test_an_answer_lives_as_long_as_the_caller_says(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    raw = caller.sdk.chat.completions.with_raw_response.create
    by_body = await raw(**wishing(ttl=60))
    by_header = await raw(**chat("How?", extra_headers={"X-Cache-TTL": "2m"}))

    assert 54 <= _ttl(by_body.headers) <= 60  # some are taken off by chance, none added
    assert 108 <= _ttl(by_header.headers) <= 120


async def test_only_if_cached_asks_the_backend_nothing(
    backend: OpenAIBackend, caller: Caller
) -> None:
    only = headed("Cache-Control", "only-if-cached")
    with pytest.raises(openai.InternalServerError) as told:
        await caller.ask(only)
    assert told.value.status_code == 504
    assert not backend.asked

    await caller.ask(chat())
    assert (await caller.ask(only))[0] == "HIT"
    assert len(backend.asked) == 1


async def test_who_wants_a_fresh_answer_does_not_join_one_that_has_begun(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    backend.hold()
    async with await caller.sdk.chat.completions.create(**chat(), stream=True) as stream:
        await anext(stream)
        fresh = started(caller.hear(headed("Cache-Control", "no-cache")))
        await backend.was_asked(2)
        backend.release()
        rest = [chunk async for chunk in stream]
    verdict, chunks = await fresh

    assert verdict == "MISS"
    assert {chunk.id for chunk in rest} == {"chatcmpl-1"}
    assert {chunk.id for chunk in chunks} == {"chatcmpl-2"}
    assert (await caller.hear(chat()))[1][0].id == "chatcmpl-2"


async def test_a_shared_scope_answers_every_credential_and_a_header_tells_tenants_apart(
    backend: OpenAIBackend,
) -> None:
    shared = {"scope": {"by": "shared"}}
    async with (
        proxied(backend.url, cache=shared) as proxy,
        Caller(proxy, "sk-one") as one,
        Caller(proxy, "sk-two") as two,
    ):
        assert (await one.ask(chat()))[0] == "MISS"
        assert (await two.ask(chat()))[0] == "HIT"

    by_header = {"scope": {"by": "header", "header": "X-Tenant"}}
    async with (
        proxied(backend.url, cache=by_header) as proxy,
        Caller(proxy, "sk-one") as one,
        Caller(proxy, "sk-two") as two,
    ):
        asked = [
            (await each.ask(headed("X-Tenant", tenant)))[0]
            for each, tenant in ((one, "a"), (two, "a"), (two, "b"))
        ]
        assert asked == ["MISS", "HIT", "MISS"]
        assert (await two.ask(chat()))[0] == "MISS"


async def test_a_stale_answer_stands_in_for_a_backend_that_fails(backend: OpenAIBackend) -> None:
    at_once_stale = {"ttl_s": 1e-6, "stale_if_error_s": 600}
    async with proxied(backend.url, cache=at_once_stale) as proxy, Caller(proxy) as caller:
        first = await caller.ask(chat())
        backend.faults.append(Fault(500, "So sorry."))
        standing_in = await caller.ask(chat())
        later = await caller.ask(chat())

    assert standing_in == ("STALE", first[1])
    assert (first[0], later[0]) == ("MISS", "MISS")
    assert len(backend.asked) == 3


async def test_a_stale_answer_is_given_at_once_while_a_fresh_one_is_fetched(
    backend: OpenAIBackend,
) -> None:
    at_once_stale = {"ttl_s": 1e-6, "stale_while_revalidate_s": 600}
    async with proxied(backend.url, cache=at_once_stale) as proxy, Caller(proxy) as caller:
        _, old = await caller.ask(chat())
        backend.hold()
        told = await asyncio.gather(*(caller.ask(chat()) for _ in range(20)))
        backend.release()
        await proxy.landed()
        verdict, new = await caller.ask(chat())
        await proxy.landed()

    assert told == [("STALE", old)] * 20
    assert (verdict, new.id) == ("STALE", "chatcmpl-2")
    assert len(backend.asked) == 3  # the first, and one for each time it was found stale


def _ttl(headers: Any) -> int:
    return int(headers["cache-status"].partition("ttl=")[2].partition(";")[0])


async def test_words_for_another_gateway_are_obeyed_where_it_is_named_and_go_no_further(
    backend: OpenAIBackend,
) -> None:
    word = headed("Helicone-Cache-Enabled", "false")
    async with (
        proxied(backend.url, cache={"compatibility": ["helicone"]}) as obeying,
        proxied(backend.url) as unaware,
        Caller(obeying) as caller,
        Caller(unaware) as other,
    ):
        await caller.ask(chat())
        assert (await caller.ask(word))[0] == "BYPASS"
        assert "helicone-cache-enabled" not in {n.lower() for n in backend.asked[-1].headers}
        await other.ask(chat())
        assert (await other.ask(word))[0] == "MISS"
        assert "helicone-cache-enabled" in {n.lower() for n in backend.asked[-1].headers}

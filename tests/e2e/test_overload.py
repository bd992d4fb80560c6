"""More is asked than the backend bears: who is answered, who is turned away, and how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import openai
import orjson
import pytest
from support.openai_backend import OpenAIBackend
from support.operating import ADMIN
from support.proxied import Proxied, proxied
from support.sdk_caller import Caller, chat
from support.started import started

from proxy.overload import Shed

Json = dict[str, Any]
CHAT = "/v1/chat/completions"


def bounds(calls: int = 1, queued: int = 0, **more: Any) -> Json:
    return {"max_calls": calls, "max_queued": queued, **more}


@asynccontextmanager
async def before(
    backend: OpenAIBackend, overload: Json, **settings: Any
) -> AsyncIterator[tuple[Proxied, Caller]]:
    async with (
        proxied(backend.url, overload=overload, **settings) as proxy,
        Caller(proxy) as caller,
    ):
        yield proxy, caller


class Held:
    """A question of ``caller`` that the backend does not answer until it is let."""

    def __init__(self, backend: OpenAIBackend, caller: Caller, text: str = "held") -> None:
        self._backend = backend
        backend.hold(after=0)
        self._asked = len(backend.asked)
        self._asking = started(caller.ask(chat(text)))

    async def __aenter__(self) -> Self:
        await self._backend.was_asked(self._asked + 1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._backend.release()
        await self._asking


# -- how it is told -------------------------------------------------------------------------------


async def test_who_finds_no_place_is_told_so_in_every_way(backend: OpenAIBackend) -> None:
    async with before(backend, bounds()) as (proxy, caller), Held(backend, caller):
        asked = len(backend.asked)
        with pytest.raises(openai.InternalServerError) as told:
            await caller.ask(chat("another"))
        answer = told.value.response
        assert answer.status_code == 503
        assert answer.headers["retry-after"] in {"1", "2", "3"}
        assert answer.headers["x-cache"] == "ERROR"
        assert answer.headers["x-cache-reason"] == "overload"
        assert "cache-status" not in answer.headers  # it is not about the cache
        assert answer.headers["proxy-status"] == "sidecache; error=connection_limit_reached"
        assert told.value.body["type"] == "sidecache_error"  # type: ignore[index] # a dictionary
        assert len(backend.asked) == asked
        assert proxy.limiter.shed["full"] == 1


async def test_those_who_are_turned_away_are_not_asked_to_come_again_together(
    backend: OpenAIBackend,
) -> None:
    async with before(backend, bounds()) as (_, caller), Held(backend, caller):
        later = set()
        for number in range(60):
            with pytest.raises(openai.InternalServerError) as told:
                await caller.ask(chat(f"{number}"))
            later.add(told.value.response.headers["retry-after"])
        assert later == {"1", "2", "3"}


async def test_hits_and_those_who_hear_another_need_no_place(backend: OpenAIBackend) -> None:
    async with before(backend, bounds()) as (proxy, caller):
        _, stored = await caller.ask(chat("known"))
        async with Held(backend, caller):
            verdict, again = await caller.ask(chat("known"))
            assert (verdict, again) == ("HIT", stored)
            following = started(caller.ask(chat("held")))
            await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 1)
            backend.release()
            assert (await following)[0] == "COALESCED"
        assert sum(proxy.limiter.shed.values()) == 0


async def test_who_waits_is_answered_when_a_place_comes_free(backend: OpenAIBackend) -> None:
    async with before(backend, bounds(queued=1, queue_s=20)) as (proxy, caller):
        async with Held(backend, caller):
            waiting = started(caller.ask(chat("patient")))
            await proxy.counted(lambda: proxy.limiter.queued == 1)
        verdict, _ = await waiting
        assert verdict == "MISS"


async def test_who_waits_too_long_is_turned_away(backend: OpenAIBackend) -> None:
    async with before(backend, bounds(queued=1, queue_s=0.05)) as (proxy, caller):
        async with Held(backend, caller):
            with pytest.raises(openai.InternalServerError):
                await caller.ask(chat("patient"))
        assert proxy.limiter.shed["late"] == 1


async def test_who_hangs_up_waits_no_longer(backend: OpenAIBackend) -> None:
    flights = {"orphan_grace_s": 0.01}
    async with before(backend, bounds(queued=1, queue_s=20), flights=flights) as (proxy, caller):
        async with Held(backend, caller):
            waiting = started(caller.ask(chat("impatient")))
            await proxy.counted(lambda: proxy.limiter.queued == 1)
            waiting.cancel()
            await proxy.counted(lambda: proxy.limiter.queued == 0)
        assert [asked.json["messages"][0]["content"] for asked in backend.asked] == ["held"]


# -- what stands in -------------------------------------------------------------------------------


async def test_a_stale_answer_is_served_where_one_may_be(backend: OpenAIBackend) -> None:
    keep = {"ttl_s": 0.05, "jitter": 0, "stale_if_error_s": 60}
    async with before(backend, bounds(), cache=keep) as (_, caller):
        _, known = await caller.ask(chat("known"))
        await asyncio.sleep(0.06)  # its lifetime: a real time, as it goes through the whole proxy
        async with Held(backend, caller):
            verdict, again = await caller.ask(chat("known"))
            assert (verdict, again) == ("STALE", known)


async def test_the_operators_text_is_told_where_there_is_one(backend: OpenAIBackend) -> None:
    said = {"message": [{"text": "Too much at once."}]}
    async with before(backend, bounds(), degradation=said) as (_, caller), Held(backend, caller):
        verdict, answer = await caller.ask(chat("another"))
        assert verdict == "DEGRADED"
        assert answer.choices[0].message.content == "Too much at once."


async def test_a_refresh_never_takes_the_place_of_a_client(backend: OpenAIBackend) -> None:
    keep = {"ttl_s": 0.05, "jitter": 0, "stale_while_revalidate_s": 60}
    async with before(backend, bounds(queued=5), cache=keep) as (proxy, caller):
        await caller.ask(chat("known"))
        await asyncio.sleep(0.06)  # as above
        async with Held(backend, caller):
            asked = len(backend.asked)
            verdict, _ = await caller.ask(chat("known"))
            assert verdict == "STALE"
            await proxy.counted(lambda: proxy.flights.counts.refreshes_failed == 1)
            assert proxy.limiter.shed["background"] == 1
            assert len(backend.asked) == asked


async def test_requests_for_resources_are_turned_away_alike(backend: OpenAIBackend) -> None:
    resources = {"enabled": True, "heuristic_fraction": 0.0}
    async with (
        before(backend, bounds(), http_resource=resources) as (_, caller),
        aiohttp.ClientSession() as http,
        Held(backend, caller),
    ):
        async with http.get(f"{caller.sdk.base_url}models") as reply:
            assert reply.status == 503
            assert reply.headers["X-Cache-Reason"] == "overload"
        async with http.head(f"{caller.sdk.base_url}models") as reply:
            assert reply.status == 503


# -- every way to the backend ---------------------------------------------------------------------


async def test_what_is_passed_on_needs_a_place_too(backend: OpenAIBackend) -> None:
    async with (
        before(backend, bounds()) as (_, caller),
        aiohttp.ClientSession() as http,
        Held(backend, caller),
    ):
        for method, path in (("GET", "models"), ("POST", "files"), ("DELETE", "files/1")):
            async with http.request(method, f"{caller.sdk.base_url}{path}") as reply:
                assert (reply.status, reply.headers["X-Cache-Reason"]) == (503, "overload")
        with pytest.raises(openai.InternalServerError):
            await caller.ask(chat("x", extra_headers={"Cache-Control": "no-store"}))
        with pytest.raises(openai.InternalServerError):
            await caller.sdk.embeddings.create(model="e", input=["x", "y"])
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        async with http.get(f"{caller.sdk.base_url}realtime", headers=upgrade) as reply:
            assert reply.status == 503


async def test_several_inputs_are_one_call(backend: OpenAIBackend) -> None:
    async with before(backend, bounds()) as (_, caller):
        told = await caller.sdk.embeddings.create(model="e", input=["x", "y", "z"])
        assert len(told.data) == 3


# -- callers --------------------------------------------------------------------------------------


async def test_one_who_floods_does_not_keep_another_from_being_answered(
    backend: OpenAIBackend,
) -> None:
    """Unique prompts without end: the other's hits are untouched, his misses wait for one call."""
    async with (
        before(backend, bounds(4, 8, queue_s=20)) as (proxy, flooding),
        Caller(proxy, "sk-two") as other,
    ):
        _, known = await other.ask(chat("known"))
        backend.hold(after=0)
        flood = [started(flooding.ask(chat(f"{number}"))) for number in range(60)]
        await backend.was_asked(5)  # he has all four places
        await proxy.counted(lambda: sum(proxy.limiter.shed.values()) == 60 - 4 - 8)
        assert await other.ask(chat("known")) == ("HIT", known)
        asking = started(other.ask(chat("unknown")))
        await proxy.counted(lambda: proxy.limiter.shed["share"] == 1)  # his last stands back
        assert proxy.limiter.queued == 8
        backend.release()
        assert (await asking)[0] == "MISS"
        place = [asked.credential for asked in backend.asked].index("sk-two", 1)
        assert place == 5  # right behind the four that were under way
        told = await asyncio.gather(*flood, return_exceptions=True)
        shed = [each for each in told if isinstance(each, openai.APIStatusError)]
        assert len(shed) == 60 - 4 - 7
        assert {each.status_code for each in shed} == {503, 429}


@pytest.mark.parametrize("by", ["credential", "shared"])
async def test_who_asks_more_than_his_share_is_told_that_it_is_his(
    backend: OpenAIBackend, by: str
) -> None:
    scope = {"scope": {"by": by}}
    async with (
        before(backend, bounds(4, 0), cache=scope) as (proxy, caller),
        Caller(proxy, "sk-two") as other,
        Held(backend, other, "other"),
        Held(backend, caller, "first"),
        Held(backend, caller, "second"),
    ):
        with pytest.raises(openai.RateLimitError) as told:
            await caller.ask(chat("third"))
        assert told.value.response.headers["retry-after"] in {"1", "2", "3"}
        assert told.value.response.headers["x-cache-reason"] == "caller-share"
        passed = {"Cache-Control": "no-store"}  # with the same credential
        with pytest.raises(openai.RateLimitError):
            await caller.ask(chat("fourth", extra_headers=passed))
        async with Held(backend, other, "another"):
            pass


# -- changing it, and telling of it ---------------------------------------------------------------


async def test_other_bounds_take_effect_at_a_reload_and_count_on(backend: OpenAIBackend) -> None:
    async with before(backend, bounds(queued=1, queue_s=20)) as (proxy, caller):
        async with Held(backend, caller):
            waiting = started(caller.ask(chat("patient")))
            await proxy.counted(lambda: proxy.limiter.queued == 1)
            changed = await proxy.change(overload=bounds(2, 1, queue_s=20))
            assert changed.changed == ("overload.max_calls",)
            await backend.was_asked(2)
            assert proxy.limiter.under_way == 2
            await proxy.change(overload=bounds(2, 1, queue_s=20, adaptive=True, min_calls=1))
            assert proxy.limiter.limit == 1
            adaptive = proxy.limiter.adaptive
            await proxy.change(overload=bounds(8, 1, queue_s=20, adaptive=True, min_calls=4))
            assert (proxy.limiter.limit, proxy.limiter.adaptive) == (4, adaptive)
        await waiting


async def test_all_of_it_is_counted_once(backend: OpenAIBackend) -> None:
    async with before(backend, bounds(), **ADMIN) as (proxy, caller):
        async with Held(backend, caller), aiohttp.ClientSession() as http:
            for number in range(5):
                with pytest.raises(openai.InternalServerError):
                    await caller.ask(chat(f"{number}"))
            async with http.get(f"{proxy.admin_url}/stats") as reply:
                during = orjson.loads(await reply.read())
            async with http.get(f"{proxy.admin_url}/metrics") as reply:
                metrics = await reply.text()
        await proxy.landed()
        async with aiohttp.ClientSession() as http, http.get(f"{proxy.admin_url}/stats") as reply:
            stats = orjson.loads(await reply.read())
    shed = dict.fromkeys(Shed, 0) | {Shed.FULL: 5}
    assert during["calls"] == {"in_flight": 1, "queued": 0, "limit": 1, "shed": shed}
    assert 'sidecache_calls_shed_total{reason="full"} 5.0' in metrics
    assert "sidecache_calls_in_flight 1.0" in metrics
    requests = stats["requests"]
    assert (requests["total"], requests["miss"], requests["error"]) == (6, 1, 5)
    assert stats["received"] == 6
    assert stats["spent"]["calls"] == 1
    reasons = {row["reason"]: row["requests"] for row in stats["by"]}
    assert reasons == {"uri-miss": 1, "overload": 5}

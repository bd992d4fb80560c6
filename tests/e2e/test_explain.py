"""Explanations, entries and warm requests at the admin listener of a whole proxy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from support.explained import SECRET, Operator, answer_anything, chat, described, operating
from support.operating import ADMIN, purged
from support.proxied import Json, Proxied, proxied
from support.raw_chat import DOCUMENT, EVENTS, JSON, STREAM
from support.redis_servers import needs_redis, server
from support.scripted import Call, ScriptedUpstream
from support.started import started

from proxy.model.decision import Why
from proxy.model.reasons import REASONS

SHOWN: Json = {"admin": {"listen": "127.0.0.1:0", "show_content": True}}


class Desk:
    def __init__(self, up: ScriptedUpstream, proxy: Proxied, operator: Operator) -> None:
        self.up = up
        self.proxy = proxy
        self.operator = operator

    async def ask(self, *requests: Json) -> list[Json]:
        """Have them answered and stored; the headers of the answers."""
        told = [(await self.operator.send(request))[1] for request in requests]
        await self.proxy.landed()
        return told


@asynccontextmanager
async def desk(**more: Any) -> AsyncIterator[Desk]:
    async with ScriptedUpstream() as up, proxied(up.url, **(ADMIN | more)) as proxy:
        up.answer_with(answer_anything)
        async with operating(proxy) as operator:
            yield Desk(up, proxy, operator)


async def test_a_body_of_many_members_is_explained_in_good_time() -> None:
    many = {f"member{number}": number for number in range(20_000)}
    async with desk() as d, asyncio.timeout(5):  # it was a minute, once
        told = await d.operator.explain(described({**chat(), **many}))
        assert set(many) <= set(told["keyed"]["body"])


# -- explain -----------------------------------------------------------------------------------


async def test_what_is_explained_is_told_whole() -> None:
    rules = [{"model": "x"}, {"path": "/v1/*", "ttl_s": 77}]
    async with desk(cache={"rules": rules, "jitter": 0}) as d:
        request = described(chat(user="u"), X_Foo="1", X_Cache_TTL="5", User_Agent="a")
        await d.ask(request)
        told = await d.operator.explain(request)

    assert (told["outcome"], told["reason"], told["tier"]) == ("hit", "fresh", "l1_memory")
    assert told["says"] == REASONS[Why.FRESH].says
    assert told["dialect"] == "openai_chat"
    assert told["model"] == "m"
    assert told["upstream"] == d.proxy.generation.routes._upstreams[0].id
    assert told["keyed"] == {
        "headers": ["x-foo"],
        "body": ["messages", "model", "user"],
        "left_out_headers": ["x-cache-ttl", "user-agent", "content-type"],
        "left_out_fields": [],
    }
    assert told["scope_by"] == ["authorization"]
    assert re.fullmatch("[0-9a-f]{32}", told["scope"])
    assert [rule["index"] for rule in told["terms"]["rules"]] == [1]
    assert told["terms"]["ttl_s"] == 77
    assert told["ttl"] == {"would_be_s": 5.0, "because": "The caller says so (X-Cache-TTL)."}
    assert told["steering"] == ["To have the answer stored for 5 s."]
    (tier,) = told["tiers"]
    assert (tier["answer"], tier["entry"]["key"]) == ("hit", told["key"])
    assert SECRET not in str(told)


ASIDE = [
    (described("no json"), "bypass", "unkeyable"),
    (described({"a": 1}), "bypass", "not-understood"),
    (described(chat(store=True)), "bypass", "stateful"),
    (described(path="/v1/files"), "bypass", "route"),
    (described(path="/v1/files", method="GET"), "bypass", "route"),
    (described(path="/elsewhere"), "error", "bad-request"),
    (described(Via="1.1 sidecache"), "error", "loop"),
    (described(method="GET", path="/v1/x", Connection="Upgrade", Upgrade="websocket"),
     "bypass", "upgrade"),
    (described(Cache_Control="no-store"), "bypass", "no-store"),
    (described(Cache_Control="only-if-cached"), "error", "only-if-cached"),
    (described(chat(x="x" * 5000)), "bypass", "too-large"),
]  # fmt: skip


async def test_what_is_not_answered_from_the_cache_is_told_with_its_reason() -> None:
    async with ScriptedUpstream() as up:
        backend = {"url": up.url, "prefix": "/v1"}
        async with (
            proxied(backend, **ADMIN, cache={"max_request_bytes": 4096}) as proxy,
            operating(proxy) as operator,
        ):
            for request, outcome, reason in ASIDE:
                told = await operator.explain(request)
                assert (told["outcome"], told["reason"]) == (outcome, reason), request
                assert told["advice"] == REASONS[reason].advice
                near = await operator.post("/semantic/neighbours", {"request": request})
                assert near["neighbours"] == []
            assert proxy.records == []
        assert up.history == []


async def test_a_body_that_is_not_understood_is_told_in_detail() -> None:
    async with desk() as d:
        told = await d.operator.explain(described('{"model":"m","model":"n"}'))
    assert told["detail"] == "a member occurs twice"


async def test_a_flight_in_the_air_is_told_and_that_one_would_join_it() -> None:
    async with desk() as d:
        calls: asyncio.Queue[Call] = asyncio.Queue()

        async def hold(call: Call) -> None:
            await calls.put(call)

        d.up.answer_with(hold)
        asking = started(d.operator.send(described()))
        call = await asyncio.wait_for(calls.get(), 10)
        before = await d.operator.explain(described())
        fresh = await d.operator.explain(described(Cache_Control="no-cache"))
        await call.reply(200, JSON, DOCUMENT)
        await asking
        await d.proxy.landed()

    assert (before["outcome"], before["reason"]) == ("coalesced", "uri-miss")
    assert before["flight"] == {"in_progress": True}
    assert (fresh["outcome"], fresh["reason"]) == ("coalesced", "uri-miss")


async def test_each_of_several_inputs_is_told() -> None:
    async with desk() as d:
        request = described({"model": "m", "input": ["a"]}, path="/v1/embeddings")
        await d.ask(request)
        more = described({"model": "m", "input": ["a", "b", "a"]}, path="/v1/embeddings")
        told = await d.operator.explain(more)

        known = described({"model": "m", "input": ["a", "a"]}, path="/v1/embeddings")
        hit_by_all = await d.operator.explain(known)
        only = {"Cache-Control": "only-if-cached"}
        absent = await d.operator.explain({**more, "headers": more["headers"] | only})

    assert (hit_by_all["outcome"], hit_by_all["tier"]) == ("hit", "l1_memory")
    assert (absent["outcome"], absent["reason"]) == ("error", "only-if-cached")
    assert (told["outcome"], told["reason"]) == ("miss", "uri-miss")
    parts = [(part["outcome"], part["reason"], part["tier"]) for part in told["parts"]]
    hit, miss = ("hit", "fresh", "l1_memory"), ("miss", "uri-miss", None)
    assert parts == [hit, miss, hit]
    assert told["parts"][0]["key"] == told["parts"][2]["key"]


async def test_a_stored_answer_in_a_form_that_will_not_do_is_a_miss_for_its_form() -> None:
    async with desk() as d:
        await d.ask(described(chat(stream=True)))
        told = await d.operator.explain(described())
        assert (told["outcome"], told["reason"]) == ("miss", "form")
        assert told["tiers"][0]["answer"] == "hit"
        (answered,) = await d.ask(described())
    assert answered["X-Cache-Reason"] == "form"


async def test_an_error_under_an_input_makes_all_of_it_indivisible() -> None:
    async with desk() as d:
        gone = described({"model": "missing", "input": ["a"]}, path="/v1/embeddings")
        more = described({"model": "missing", "input": ["a", "b"]}, path="/v1/embeddings")
        await d.ask(gone)
        told = await d.operator.explain(more)
        (answered,) = await d.ask(more)
    assert answered["X-Cache-Reason"] == told["reason"]


async def change(proxy: Proxied, **fields: Any) -> None:
    """Put what is in memory there again, with other values of these fields."""
    memory = proxy.store.memory
    for seen in (await memory.page("", "", lambda _: True, 100)).seen:
        assert memory.put_now(replace(seen.entry, **fields))


async def test_what_is_about_to_end_may_be_renewed_by_chance() -> None:
    async with desk(cache={"ttl_s": 60}) as d:
        await d.ask(described())
        await change(d.proxy, upstream_s=30.0)
        told = await d.operator.explain(described())
    assert told["outcome"] == "hit"
    assert "by chance" in told["notes"][0]


async def test_what_is_asked_for_once_only_is_not_stored_and_that_is_told() -> None:
    async with desk(cache={"admission": {"seen_times": 2}}) as d:
        first = await d.operator.explain(described())
        await d.ask(described())
        second = await d.operator.explain(described())
    assert len(first["notes"]) == 1
    assert second["notes"] == []


async def test_what_would_be_tried_if_the_backend_failed_is_told() -> None:
    degradation = {"order": ["stale", "message"], "message": [{"text": "Later."}]}
    cache = {"stale_if_error_s": 600, "ttl_s": 1}
    async with desk(degradation=degradation, cache=cache) as d:
        told = await d.operator.explain(described())
        assert told["if_backend_fails"] == ["message"]
        await d.ask(described())
        again = described(Cache_Control="no-cache")
        assert (await d.operator.explain(again))["if_backend_fails"] == ["message"]


async def test_chance_the_host_and_shorter_prompts_are_told_as_such() -> None:
    async with ScriptedUpstream() as up:
        backend = {"url": up.url, "preserve_host": True}
        compression = [{"rules": ["blank"], "max_tokens": 100}]
        async with (
            proxied(backend, **ADMIN, cache={"variants": 3}, compression=compression) as proxy,
            operating(proxy) as operator,
        ):
            told = await operator.explain(described())
    assert told["variants"] == 3
    assert told["shortened"] == "blank; at most 100 tokens"
    assert len(told["notes"]) == 2
    assert "one of 3" in told["notes"][0]
    assert "Host" in told["notes"][1]


async def test_what_is_stale_tells_of_its_refresh() -> None:
    cache = {"ttl_s": 60, "stale_while_revalidate_s": 60}
    async with desk(cache=cache) as d:
        await d.ask(described())
        await change(d.proxy, initial_age=70.0)
        told = await d.operator.explain(described())
    assert (told["outcome"], told["reason"]) == ("stale", "swr")
    assert told["tiers"][0]["answer"] == "stale"
    assert told["notes"] == ["A new answer is fetched in the background."]


async def test_two_requests_are_told_apart_and_no_secret_is_told() -> None:
    one = described(chat("a"), X_Api_Key=SECRET)
    other = described(chat("b"), key="sk-canary-other", Cookie="c=canary-cookie", X_Request_Id="1")
    async with desk() as d:
        told = await d.operator.post("/explain", {"request": one, "other": other})
        same = await d.operator.post("/explain", {"request": one, "other": one})

    assert told["same_key"] is False
    assert {(each["where"], each["name"]) for each in told["differences"] if each["matters"]} == {
        ("scope", ""), ("header", "cookie"), ("body", "/messages/0/content"),
    }  # fmt: skip
    assert [each["name"] for each in told["differences"] if not each["matters"]] == ["x-request-id"]
    assert "canary" not in str(told)
    assert (same["same_key"], same["differences"]) == (True, [])


async def test_a_resource_is_explained_as_far_as_it_can_be() -> None:
    async with desk(http_resource={"enabled": True}) as d:
        host, port = d.proxy.address
        request = described(method="GET", path="/files/1", key=None, Host=f"{host}:{port}")
        miss = await d.operator.explain(request)
        await d.ask(request)
        hit = await d.operator.explain(request)
        part = await d.operator.explain({**request, "headers": {"Range": "bytes=0-1"}})

    assert (miss["outcome"], miss["reason"]) == ("miss", "uri-miss")
    assert (hit["outcome"], hit["tier"], hit["dialect"]) == ("hit", "l1_memory", "http_resource")
    assert hit["terms"]["rules"] == []
    assert part["notes"]


# -- entries -----------------------------------------------------------------------------------


async def test_entries_are_listed_searched_and_shown_without_content() -> None:
    async with desk() as d:
        await d.ask(
            described(chat("one"), X_Cache_Tags="doc"),
            described(chat("two", model="n")),
            described(chat("three", model="missing")),
            described({"model": "e", "input": "x"}, path="/v1/embeddings", key="sk-other"),
        )
        rows = (await d.operator.get("/entries"))["entries"]
        assert {row["model"] for row in rows} == {"m", "n", "missing", "e"}
        (tagged,) = (await d.operator.get("/entries", tag="doc"))["entries"]
        scope = tagged["scope"]
        for query, count in [
            ({"model": "n"}, 1), ({"dialect": "openai_chat"}, 3), ({"state": "negative"}, 1),
            ({"state": "fresh"}, 3), ({"path": "/v1/chat"}, 3), ({"scope": scope}, 3),
            ({"key": tagged["key"][:20]}, 1), ({"tier": "l1_memory"}, 4), ({"tag": "other"}, 0),
        ]:  # fmt: skip
            found = await d.operator.get("/entries", **query)
            assert len(found["entries"]) == count, query
            assert found["complete"]
        first = await d.operator.get("/entries", limit=3)
        rest = await d.operator.get("/entries", limit=3, after=first["next"])
        assert [len(first["entries"]), len(rest["entries"])] == [3, 1]
        assert (first["complete"], rest["complete"], rest["next"]) == (False, True, None)

        one = await d.operator.get(f"/entries/{tagged['key']}")
        assert one["found"][0] | {"age_s": 0, "ttl_s": 0} == tagged | {"age_s": 0, "ttl_s": 0}
        assert one["headers"] == [["Content-Type", "application/json"]]
        assert one["content"] == {
            "shown": False,
            "question": None,
            "body": None,
            "truncated": False,
        }
        assert (one["form"]["stream"], tagged["tags"]) == (False, ["doc"])
        assert SECRET not in str([rows, one])

        await purged(d.proxy.admin_url, "tag", "doc")
        assert len((await d.operator.get("/entries"))["entries"]) == 3
        await d.operator.get(f"/entries/{tagged['key']}", 404)


NONSENSE: list[Json] = [
    {"tier": "nowhere"}, {"after": "l1_memory:xyz"}, {"after": "nowhere:00"}, {"limit": 0},
    {"limit": 1000}, {"key": "XY"}, {"state": "odd"}, {"after": "l1_memory:0"},
]  # fmt: skip


async def test_a_search_that_makes_no_sense_is_refused() -> None:
    async with desk() as d:
        for query in NONSENSE:
            assert (await d.operator.get("/entries", 400, **query))["error"]
        await d.operator.get("/entries/nokey", 400)


async def test_content_is_told_where_that_is_set_and_not_without_end() -> None:
    long = DOCUMENT.replace(b"Because.", b"x" * 70_000)
    async with desk(**SHOWN) as d:
        d.up.answer_with(lambda call: call.reply(200, JSON, long))
        await d.ask(described())
        (row,) = (await d.operator.get("/entries"))["entries"]
        content = (await d.operator.get(f"/entries/{row['key']}"))["content"]

    assert content["shown"]
    assert content["truncated"]
    assert content["body"] == long[: 64 * 2**10].decode()


@needs_redis
async def test_all_tiers_are_looked_into(tmp_path: Any) -> None:
    async with server() as at:
        more: Json = {
            "l2_redis": {"url": f"redis://127.0.0.1:{at.port}", "timeout_s": 5},
            "l2_disk": {"enabled": True, "directory": str(tmp_path), "read_timeout_s": 5},
            "cache": {"scope": {"secret": "0123456789abcdef"}},
        }
        async with desk(**more) as d:
            await d.ask(*(described(chat(f"number {n}")) for n in range(7)))
            assert d.proxy.store.behind is not None
            assert d.proxy.store.disk is not None
            await d.proxy.store.behind.flush()
            await d.proxy.store.disk.flush()
            told = await d.operator.explain(described(chat("number 3")))
            assert [tier["answer"] for tier in told["tiers"]] == ["hit"] * 3
            one = await d.operator.get(f"/entries/{told['key']}")
            assert len(one["found"]) == 3

            found: list[tuple[str, str]] = []
            after: Json = {}
            while True:
                page = await d.operator.get("/entries", limit=2, **after)
                found += [(row["tier"], row["key"]) for row in page["entries"]]
                if page["next"] is None:
                    break
                after = {"after": page["next"]}
            assert len(set(found)) == 21
            by_key = await d.operator.get("/entries", key=told["key"])
            assert {row["tier"] for row in by_key["entries"]} == {
                "l1_memory", "l2_disk", "l2_redis",
            }  # fmt: skip


# -- warm --------------------------------------------------------------------------------------


async def test_what_is_warmed_is_there_for_who_asks_and_is_recorded_like_any_request() -> None:
    async with desk() as d:
        asked = [described(chat("one")), described(chat("two", stream=True)), described("no json")]
        told = await d.operator.post("/warm", {"requests": asked, "concurrency": 2})
        await d.proxy.landed()
        warm = [(each["status"], each["outcome"], each["reason"]) for each in told["results"]]
        assert warm == [
            (200, "miss", "uri-miss"), (200, "miss", "uri-miss"), (400, "bypass", "unkeyable"),
        ]  # fmt: skip
        assert [each["stored"] for each in told["results"]][:2] == [True, True]
        assert sorted(d.proxy.verdicts) == ["BYPASS", "MISS", "MISS"]
        assert all(record.delivery.complete for record in d.proxy.records)
        assert all(record.request.peer == "127.0.0.1" for record in d.proxy.records)

        (headers,) = await d.ask(described(chat("one")))
        assert headers["X-Cache"] == "HIT"
        again = await d.operator.post("/warm", {"requests": asked[:1]})
        assert again["results"][0]["outcome"] == "hit"
        assert again["results"][0]["key"] == told["results"][0]["key"]


async def test_what_cannot_be_warmed_says_so_and_the_rest_is() -> None:
    async with desk() as d:

        async def answer(call: Call) -> None:
            if b"broken" in call.body:
                await call.head(200, EVENTS, chunked=True)
                await call.chunk(STREAM[0])
                await call.reset()
            else:
                await answer_anything(call)

        d.up.answer_with(answer)
        tunnel = described(method="GET", path="/ws", Connection="Upgrade", Upgrade="websocket")
        asked = [described(chat("broken", stream=True)), tunnel, described(chat("well"))]
        told = (await d.operator.post("/warm", {"requests": asked, "concurrency": 1}))["results"]
        await d.proxy.landed()

    assert (told[0]["status"], bool(told[0]["error"])) == (200, True)
    assert (told[1]["status"], told[1]["error"]) == (None, "upgrade")
    assert (told[2]["status"], told[2]["error"]) == (200, None)


IMPOSSIBLE: list[Json] = [
    {"path": "nowhere"}, {"path": "/", "method": "G T"}, {"path": "/", "body": []},
    {"path": "/", "headers": {"a b": ""}}, {"path": "/", "body": {"a": 10**40}},
]  # fmt: skip


async def test_a_request_that_nobody_could_send_is_refused() -> None:
    async with desk() as d:
        for bad in IMPOSSIBLE:
            for where in ("/explain", "/semantic/neighbours"):
                await d.operator.post(where, {"request": bad}, 400)
            await d.operator.post("/warm", {"requests": [bad]}, 400)
        assert d.proxy.records == []


async def test_every_reason_is_told() -> None:
    async with desk() as d:
        told = (await d.operator.get("/reasons"))["reasons"]
    assert [each["reason"] for each in told] == list(REASONS)

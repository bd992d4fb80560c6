"""Whatever an explanation says happens then happens: explain, send, compare, over and over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import uvloop
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from support.explained import CHAT, Operator, answer_anything, chat, operating
from support.operating import ADMIN
from support.proxied import Proxied, proxied
from support.scripted import ScriptedUpstream
from support.worded import ALIKE, ASKED, NGRAM, UNLIKE, learned, ready

from proxy.model.outcome import Record
from proxy.tiers.packing import unpacked

Json = dict[str, Any]

CONFIGS: dict[str, Json] = {
    "as it comes": {},
    "shared, with grace": {
        "cache": {
            "scope": {"by": "shared"},
            "stale_while_revalidate_s": 30,
            "stale_if_error_s": 600,
            "ttl_s": 60,
            "inert_headers": ["X-Foo"],
            "inert_fields": ["user"],
        }
    },
    "with rules": {
        "cache": {
            "scope": {"by": "header", "header": "X-Tenant"},
            "max_temperature": 1.0,
            "rules": [{"model": "n", "enabled": False}, {"path": "/v1/chat/*", "ttl_s": 5}],
            "time_sensitive": {"action": "bypass"},
            "compatibility": ["litellm", "helicone"],
            "max_request_bytes": 400,
        }
    },
    "what is asked twice": {"cache": {"admission": {"seen_times": 2}, "negative": {"ttl_s": 60}}},
    "resources": {
        "http_resource": {"enabled": True},
        "cache": {"obey_upstream_cache_control": True, "stale_if_error_s": 600},
    },
}

# A whole proxy for each example: what failed is shown as it was found, and not made smaller.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

HEADERS = [
    ("Cache-Control", "no-cache"), ("Cache-Control", "no-store"),
    ("Cache-Control", "only-if-cached"), ("Cache-Control", "max-age=10"),
    ("Cache-Control", "min-fresh=50"), ("Cache-Control", "max-stale"),
    ("X-Cache-TTL", "5"), ("X-Cache-TTL", "nonsense"), ("X-Cache-Namespace", "apart"),
    ("X-Cache-Feedback", "wrong"), ("X-Cache-Tags", "t"), ("X-Foo", "1"), ("X-Foo", "2"),
    ("X-Stainless-Lang", "a"), ("X-Tenant", "a"), ("Via", "1.1 sidecache"),
    ("Accept", "text/html"), ("Cookie", "a=b"), ("Helicone-Cache-Ignore-Keys", "user"),
    ("Connection", "X-Foo"), ("Content-Type", "text/plain"), ("X-Cache-Semantic", "off"),
    ("X-Cache-Threshold", "1"),
]  # fmt: skip
MORE: list[Json] = [
    {"temperature": 0}, {"temperature": 1.5}, {"user": "u"}, {"user": "v"}, {"store": True},
    {"cache": {"ttl": 5}}, {"n": 2}, {"seed": 1}, {"cache": {"no-cache": True}}, {"tools": []},
    {"x" * 500: 1}, {"stream": True, "stream_options": {"include_usage": True}},
]  # fmt: skip
ODD = ['{"model":"m","model":"m"}', "no json", "[]"]
TEXTS = ["Why?", "What is the weather in Oslo today?", "Count to three."]
WORDED = [ASKED, ALIKE, ASKED.lower(), ASKED.replace("cancel", "cancle"), UNLIKE]


def a_body(dice: Random, texts: list[str]) -> Json | str:
    """The body of a chat, seldom an odd one."""
    if dice.random() < 0.05:
        return dice.choice(ODD)
    model = dice.choices(["m", "n", "missing"], [8, 1, 1])[0]
    more = {"stream": True} if dice.random() < 0.3 else {}
    more |= dice.choice(MORE) if dice.random() < 0.2 else {}
    return chat(dice.choice(texts), **{"model": model, **more})


def a_request(dice: Random, texts: list[str]) -> Json:
    """A request of a small world, so that it comes again."""
    fields = dict(dice.choices(HEADERS, k=dice.choices([0, 1, 2], [6, 3, 1])[0]))
    if (key := dice.choices([None, "sk-one", "sk-two"], [1, 6, 1])[0]) is not None:
        fields["Authorization"] = f"Bearer {key}"
    kind = dice.choices(["chat", "vectors", "get", "head", "other"], [10, 3, 2, 1, 1])[0]
    inputs = dice.choices("abcd", k=dice.randint(1, 3))
    method, path, body = {
        "chat": ("POST", CHAT, a_body(dice, texts)),
        "vectors": ("POST", "/v1/embeddings", {"model": "m", "input": inputs}),
        "get": ("GET", "/files/1?a=b", None),
        "head": ("HEAD", "/files/1?a=b", None),
        "other": ("POST", "/v1/files", a_body(dice, texts)),
    }[kind]
    return {"method": method, "path": path, "headers": fields, "body": body}


def a_story(seed: int, texts: list[str]) -> list[Json]:
    """Requests that come again, answers that age, purges."""
    dice = Random(seed)
    known: list[Json] = []
    steps: list[Json] = []
    for _ in range(14):
        kind = dice.choices(["new", "again", "else", "age", "purge"], [5, 6, 2, 3, 1])[0]
        if kind == "new" or not known:
            steps.append(a_request(dice, texts))
            known.append(steps[-1])
        elif kind == "again":
            steps.append(dice.choice(known))
        elif kind == "else":  # the same, but the caller asks something of the cache
            asked = dice.choice(known)
            fields = asked["headers"] | dict([dice.choice(HEADERS)])
            steps.append({**asked, "headers": fields})
        elif kind == "age":
            steps.append({"age": dice.choice([3.0, 20.0, 70.0])})
        else:
            steps.append({"purge": dice.choice(["all", "soft"])})
    return steps


def counted(proxy: Proxied) -> dict[str, object]:
    """All that an explanation must leave as it is."""
    memory, flights = proxy.store.memory, proxy.flights
    uses = {slot.digest: slot.uses for slot in memory._order.slots()}
    return {
        "memory": (memory.hits, memory.misses, memory.expired, memory.bytes, memory.deleted),
        "uses": uses,
        "flights": {name: getattr(flights.counts, name) for name in flights.counts.__slots__},
        "batches": proxy.observing.batching.calls,
        "records": len(proxy.records),
        "meaning": proxy.semantic
        and (dict(proxy.semantic.finder.counts), proxy.semantic.finder.bugs),
        "server": proxy.server.counts.accepted,
    }


async def act(action: Json, proxy: Proxied, operator: Operator) -> None:
    """What happens besides requests."""
    memory = proxy.store.memory
    if "age" in action:
        for slot in memory._order.slots():
            entry = unpacked(slot.digest, slot.kind, slot.rest, slot.body)
            memory.put_now(replace(entry, stored_at=entry.stored_at - action["age"]))
    elif action["purge"] == "soft":
        await operator.post("/purge", {"kind": "all", "soft": True})
    else:
        await operator.post("/purge", {"kind": "all"})


async def settled(proxy: Proxied) -> None:
    await proxy.landed()
    if proxy.semantic is not None:
        await learned(proxy)


async def compare(request: Json, proxy: Proxied, operator: Operator) -> None:
    """Explain ``request``, send it, and compare."""
    before = counted(proxy)
    host, port = proxy.address
    fields = {"Host": f"{host}:{port}", **request["headers"]}
    told = await operator.explain({**request, "headers": fields})
    assert counted(proxy) == before
    status, answered = await operator.send(request)
    await proxy.counted(lambda: len(proxy.records) > before["records"])
    await settled(proxy)
    record: Record = proxy.records[-1]
    happened = record.outcome

    came = (happened.verdict.value.lower(), happened.why.value)
    event(" ".join(came))
    if came == ("hit", "validated"):  # what the backend said of it was not known
        assert told["outcome"] == "miss"
        assert "VALIDATED" in " ".join(told["notes"])
        return
    assert (told["outcome"], told["reason"]) == came, (request, told, status)
    if "X-Cache" in answered:
        assert answered["X-Cache"].lower() == told["outcome"]
        assert answered["X-Cache-Reason"].split(",")[0] == told["reason"]
    if happened.key is not None:
        assert told["key"] == happened.key.digest.hex()
        assert told["dialect"] == happened.dialect
    if happened.verdict.value in {"HIT", "STALE"}:
        assert (told["tier"] or "") == happened.tier
    if happened.doubt is not None and "X-Cache-Feedback" not in request["headers"]:
        assert told["detail"] == happened.doubt.value


async def play(config: Json, steps: list[Json], **more: Any) -> None:
    """Explain and send all of ``steps``."""
    async with ScriptedUpstream() as up, proxied(up.url, **ADMIN, **config, **more) as proxy:
        up.answer_with(answer_anything)
        async with operating(proxy) as operator:
            if proxy.semantic is not None:
                await ready(proxy)
            for step in steps:
                if "method" in step:
                    await compare(step, proxy, operator)
                else:
                    await act(step, proxy, operator)


def run(config: Json, steps: list[Json], **more: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play(config, steps, **more))


stories = given(config=st.sampled_from(sorted(CONFIGS)), seed=st.integers(0, 2**32))


@settings(max_examples=12, phases=PHASES)
@stories
def test_what_is_explained_then_happens_and_explaining_changes_nothing(
    config: str, seed: int
) -> None:
    run(CONFIGS[config], a_story(seed, TEXTS))


@settings(max_examples=4, phases=PHASES)
@given(seed=st.integers(0, 2**32))
def test_so_it_does_where_questions_are_answered_by_meaning(seed: int) -> None:
    run({"semantic": NGRAM}, a_story(seed, WORDED))


@pytest.mark.heavy
@pytest.mark.timeout(900)
@settings(max_examples=200, phases=PHASES)
@stories
def test_so_it_does_in_many_more_cases(config: str, seed: int) -> None:
    run(CONFIGS[config], a_story(seed, TEXTS))


@pytest.mark.heavy
@pytest.mark.timeout(900)
@settings(max_examples=40, phases=PHASES)
@given(seed=st.integers(0, 2**32))
def test_so_it_does_in_many_more_cases_by_meaning(seed: int) -> None:
    run({"semantic": NGRAM, **CONFIGS["shared, with grace"]}, a_story(seed, WORDED))

"""Traces, from the caller through the proxy to the backend, as a collector has them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from support.collector import Collector, Received
from support.openai_backend import Asked, Fault, OpenAIBackend
from support.proxied import Proxied, proxied
from support.raw_client import RawClient
from support.sdk_caller import Caller, chat

PATH = "/v1/chat/completions"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as collector:
        yield collector


@asynccontextmanager
async def traced(
    backend: OpenAIBackend, collector: Collector, *, tracing: Any = None, **settings: Any
) -> AsyncIterator[tuple[Proxied, Caller]]:
    """A proxy that sends its traces to ``collector``, all of them once the block has ended."""
    chosen = {"enabled": True, "endpoint": collector.url, **(tracing or {})}
    async with (
        proxied(backend.url, tracing=chosen, **settings) as proxy,
        Caller(proxy) as caller,
    ):
        yield proxy, caller


def only(spans: list[Received]) -> Received:
    assert len(spans) == 1
    return spans[0]


def parent_of(asked: Asked) -> tuple[str, ...]:
    """The trace and the parent that a request to the backend names."""
    version, trace, span, _flags = asked.headers["traceparent"].split("-")
    assert version == "00"
    return trace, span


def is_kept(asked: Asked) -> bool:
    return bool(int(asked.headers["traceparent"].rpartition("-")[2], 16) & 1)


def attributes(span: Received) -> dict[str, Any]:
    """What it says, but for what differs from run to run."""
    varying = {"sidecache.cache.key", "sidecache.cache.scope", "http.response.body.size"}
    return {
        name: value
        for name, value in span.attributes.items()
        if name not in varying and not name.endswith(("_s", "seconds"))
    }


async def test_the_caller_is_the_parent_of_the_proxy_and_the_proxy_that_of_the_backend(
    backend: OpenAIBackend, collector: Collector
) -> None:
    headers = {"traceparent": PARENT, "tracestate": "vendor=opaque", "baggage": "sentry-a=b"}
    before = time.time_ns()
    async with traced(backend, collector) as (_, caller):
        await caller.ask(chat(extra_headers=headers))

    span, asked = only(collector.spans), backend.asked[0].headers
    assert (span.kind, span.name) == ("server", "chat m")
    assert (span.trace, span.parent, span.state) == (TRACE, SPAN, "vendor=opaque")
    assert parent_of(backend.asked[0]) == span.place
    assert (asked["tracestate"], asked["baggage"]) == ("vendor=opaque", "sentry-a=b")
    assert before < span.began_ns < span.ended_ns < time.time_ns()
    assert not span.failed
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": PATH,
        "url.scheme": "http",
        "client.address": "127.0.0.1",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
        "sidecache.cache.outcome": "miss",
        "sidecache.cache.reason": "uri-miss",
        "sidecache.cache.dialect": "openai_chat",
        "sidecache.cache.forwarded": "uri-miss",
        "sidecache.cache.stored": True,
    }
    assert len(span.attributes["sidecache.cache.key"]) == 64


async def test_the_stages_of_a_request_are_events_in_their_order(
    backend: OpenAIBackend, collector: Collector
) -> None:
    async with traced(backend, collector) as (_, caller):
        await caller.ask(chat())

    span = only(collector.spans)
    assert [name for name, _, _ in span.events] == ["read", "key", "lookup", "flight"]
    times = [span.began_ns, *(at for _, _, at in span.events), span.ended_ns]
    assert times == sorted(times)
    assert sum(took_s for _, took_s, _ in span.events) * 1e9 <= span.ended_ns - span.began_ns


async def test_what_a_hit_did_not_cost_is_not_told_as_spent(
    backend: OpenAIBackend, collector: Collector
) -> None:
    async with traced(backend, collector) as (_, caller):
        await caller.ask(chat(extra_headers={"traceparent": PARENT}))
        assert (await caller.ask(chat()))[0] == "HIT"  # whatever trace it belongs to

    miss, hit = collector.spans
    assert hit.trace != miss.trace
    assert hit.parent == ""
    assert hit.attributes["sidecache.cache.outcome"] == "hit"
    assert hit.attributes["sidecache.cache.tier"] == "l1_memory"
    assert hit.attributes["sidecache.cache.key"] == miss.attributes["sidecache.cache.key"]
    assert hit.attributes["sidecache.cache.age_s"] >= 0
    assert hit.attributes["sidecache.saved.output_tokens"] == 7
    assert hit.attributes["sidecache.saved.seconds"] > 0
    assert not [name for name in hit.attributes if name.startswith("gen_ai.usage")]


async def test_who_hears_anothers_answer_has_a_link_to_that_ones_span(
    backend: OpenAIBackend, collector: Collector
) -> None:
    backend.hold()
    async with traced(backend, collector) as (proxy, caller):
        asking = asyncio.gather(*(caller.ask(chat()) for _ in range(3)))
        await proxy.counted(lambda: proxy.flights.counts.joined_before_head == 2)
        backend.release()
        await asking

    leader = only([s for s in collector.spans if s.attributes["sidecache.cache.outcome"] == "miss"])
    followers = [span for span in collector.spans if span is not leader]
    assert leader.links == []
    assert [span.links for span in followers] == [[leader.place]] * 2
    assert parent_of(backend.asked[0]) == leader.place


async def test_a_refresh_is_a_trace_of_its_own_with_a_link_to_who_sent_it(
    backend: OpenAIBackend, collector: Collector
) -> None:
    async with traced(backend, collector, cache={"refresh_ahead": 1e9}) as (proxy, caller):
        await caller.ask(chat())
        assert (await caller.ask(chat(extra_headers={"traceparent": PARENT})))[0] == "HIT"
        await proxy.landed()

    refresh = only(collector.named("refresh m"))
    sender = only([span for span in collector.spans if span.trace == TRACE])
    assert refresh.kind == "internal"
    assert (refresh.trace != TRACE, refresh.parent) == (True, "")
    assert refresh.links == [(TRACE, sender.id)]
    assert refresh.attributes["gen_ai.usage.output_tokens"] == 7
    assert refresh.attributes["sidecache.cache.stored"] is True
    assert parent_of(backend.asked[1]) == refresh.place


async def test_a_refresh_that_fails_says_why(backend: OpenAIBackend, collector: Collector) -> None:
    async with traced(backend, collector, cache={"refresh_ahead": 1e9}) as (proxy, caller):
        await caller.ask(chat())
        backend.mischief = lambda: "break"
        await caller.ask(chat())
        await proxy.landed()

    refresh = only(collector.named("refresh"))
    assert refresh.failed
    assert refresh.attributes["error.type"]


async def test_what_the_caller_does_not_keep_is_not_kept(
    backend: OpenAIBackend, collector: Collector
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    async with traced(backend, collector, cache={"refresh_ahead": 1e9}) as (proxy, caller):
        for _ in range(2):
            await caller.ask(chat(extra_headers=headers))
        await proxy.landed()

    assert collector.bodies == []
    assert parent_of(backend.asked[0])[0] == TRACE
    assert [is_kept(asked) for asked in backend.asked] == [
        False,
        False,
    ]  # the refresh as its sender


async def test_of_what_begins_here_a_share_is_kept(
    backend: OpenAIBackend, collector: Collector
) -> None:
    async with traced(backend, collector, tracing={"sample_ratio": 0}) as (_, caller):
        await caller.ask(chat("one"))
        await caller.ask(chat("two", extra_headers={"traceparent": PARENT}))

    assert only(collector.spans).trace == TRACE
    assert [is_kept(asked) for asked in backend.asked] == [False, True]


@pytest.mark.parametrize(
    "nonsense",
    ["", "00-1-2-3", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", PARENT + "x" * 600],
)
async def test_a_trace_context_that_makes_no_sense_begins_a_new_trace(
    backend: OpenAIBackend, collector: Collector, nonsense: str
) -> None:
    headers = {"traceparent": nonsense, "tracestate": "vendor=opaque"}
    async with traced(backend, collector) as (_, caller):
        await caller.ask(chat(extra_headers=headers))

    span = only(collector.spans)
    assert (span.parent, span.state, span.trace != TRACE) == ("", "", True)
    asked = backend.asked[0].headers
    assert parent_of(backend.asked[0]) == span.place
    assert "tracestate" not in asked


async def test_failures_are_failures_and_what_callers_do_wrong_is_not(
    backend: OpenAIBackend, collector: Collector
) -> None:
    backend.faults.append(Fault(503, "busy"))
    async with traced(backend, collector) as (proxy, _), aiohttp.ClientSession() as http:
        for path, body in ((PATH, chat()), ("/v1/nothing", {})):
            async with http.post(f"{proxy.url}{path}?key=hunter2", json=body) as reply:
                await reply.read()
        async with await RawClient.connect(proxy.address) as client:
            await client.send(b"GET /a HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n")
            await client.response()

    failed, passed, refused = collector.spans
    assert (failed.failed, failed.attributes["error.type"]) == (True, "503")
    assert failed.attributes["http.response.status_code"] == 503
    assert (passed.failed, passed.name) == (False, "POST")
    assert passed.attributes["http.response.status_code"] == 404
    assert (refused.failed, refused.name) == (False, "GET")
    assert refused.attributes["sidecache.cache.reason"] == "bad-request"
    assert b"hunter2" not in b"".join(collector.bodies)


async def test_a_backend_that_is_not_there_is_a_failure_with_its_name(collector: Collector) -> None:
    tracing = {"enabled": True, "endpoint": collector.url}
    async with proxied("http://127.0.0.1:9", tracing=tracing) as proxy, Caller(proxy) as caller:
        with pytest.raises(Exception, match="502"):
            await caller.ask(chat())

    span = only(collector.spans)
    assert (span.failed, span.attributes["error.type"]) == (True, "connection_refused")


async def test_what_is_passed_on_and_what_has_validators_carries_the_span_too(
    backend: OpenAIBackend, collector: Collector
) -> None:
    for enabled in (False, True):
        resources = {"enabled": enabled}
        async with (
            traced(backend, collector, http_resource=resources) as (proxy, _),
            aiohttp.ClientSession() as http,
            http.get(f"{proxy.url}/v1/models", headers={"traceparent": PARENT}) as reply,
        ):
            await reply.read()

    assert [parent_of(asked) for asked in backend.asked] == [span.place for span in collector.spans]
    assert {(span.trace, span.parent) for span in collector.spans} == {(TRACE, SPAN)}


async def test_the_collector_is_told_who_speaks_and_gets_the_headers_it_wants(
    backend: OpenAIBackend, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    tracing = {"headers": {"X-Key": "a-secret"}, "service_name": "front"}
    async with traced(backend, collector, tracing=tracing) as (_, caller):
        await caller.ask(chat())
    assert collector.headers[0]["x-key"] == "a-secret"
    resource = collector.resources[0]
    assert (resource["service.name"], resource["deployment.environment"]) == ("front", "test")


async def test_what_the_settings_leave_open_the_environment_says(
    backend: OpenAIBackend, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "by-environment")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with traced(backend, collector, tracing={"endpoint": None}) as (_, caller):
        await caller.ask(chat("one"))
        await caller.ask(chat("two", extra_headers={"traceparent": PARENT}))
    assert only(collector.spans).trace == TRACE
    assert collector.resources[0]["service.name"] == "by-environment"


@pytest.mark.parametrize("how", ["away", "failing", "hanging"])
async def test_a_collector_that_is_dead_changes_nothing_for_clients(
    backend: OpenAIBackend, collector: Collector, how: str
) -> None:
    collector.status, collector.hangs = (500 if how == "failing" else 200), how == "hanging"
    tracing = {"max_waiting": 4, "timeout_s": 0.2, "flush_s": 0.1}
    if how == "away":
        tracing["endpoint"] = "http://127.0.0.1:9"
    async with traced(backend, collector, tracing=tracing) as (proxy, caller):
        verdicts = [(await caller.ask(chat(str(n % 10))))[0] for n in range(40)]
        counts = proxy.traces.counts
        closing = time.monotonic()
    assert time.monotonic() - closing < 5
    assert (verdicts.count("MISS"), verdicts.count("HIT")) == (10, 30)
    assert counts is not None
    assert counts.dropped > 0 or how == "away"  # where it is refused at once, few may wait
    assert counts.exported == 0
    assert counts.handed_over + counts.dropped == 40


async def test_where_traces_are_off_the_callers_context_goes_on_as_it_came(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    headers = {"traceparent": PARENT, "tracestate": "vendor=opaque"}
    await caller.ask(chat(extra_headers=headers))
    asked = backend.asked[0].headers
    assert (asked["traceparent"], asked["tracestate"]) == (PARENT, "vendor=opaque")
    assert proxy.traces.counts is None


async def test_where_traces_are_off_nothing_stands_on_the_way_and_nothing_is_loaded(
    proxy: Proxied,
) -> None:
    attending = proxy.server._service.attending
    assert attending.answer.__qualname__ == "Lifecycle.answer"
    assert attending.tunnel.__qualname__ == "Passing.tunnel"
    told = "import sys, proxy.app; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", told], capture_output=True, check=True
    )
    assert ran.stdout.strip() == b"[]"


async def test_a_missing_package_is_told_with_what_brings_it() -> None:
    told = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from proxy.app import Sidecache; from proxy.config.settings import Settings\n"
        "given = {'upstreams': [{'url': 'http://b'}], 'tracing': {'enabled': True}}\n"
        "Sidecache(Settings.model_validate(given))"
    )
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", told], capture_output=True, check=False
    )
    last = ran.stderr.decode().splitlines()[-1]
    assert "ConfigError: tracing: needs the package opentelemetry" in last
    assert "pip install 'sidecache[otel]'" in last

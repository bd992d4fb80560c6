"""How the process comes to its end: who is still served, for how long, and what the others hear."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import openai
import orjson
import pytest
from support.raw_chat import DOCUMENT, JSON, STREAM, Listener, begin, question, stream
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import LIMIT_S, ROOT, Served, served

NAMES = {"mode": "SIDECACHE_MODE", "drain_s": "SIDECACHE_DOWNSTREAM__DRAIN_S",
         "delay_s": "SIDECACHE_DOWNSTREAM__DRAIN_DELAY_S"}  # fmt: skip


async def answer(call: Call) -> None:
    await call.reply(200, JSON, DOCUMENT)


@asynccontextmanager
async def serving(**settings: str) -> AsyncIterator[tuple[ScriptedUpstream, Served]]:
    """A backend, and the proxy in front of it."""
    given = {NAMES[name]: value for name, value in settings.items()}
    async with ScriptedUpstream() as up, served(up.url, **given) as proxy:
        yield up, proxy


async def ready(proxy: Served) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{proxy.admin}/readyz") as told:
        return told.status


async def test_a_gateway_closes_its_door_and_ends_when_its_streams_have() -> None:
    async with serving() as (up, proxy):
        assert await ready(proxy) == 200
        idle = await RawClient.connect(proxy.address)
        streaming = await RawClient.connect(proxy.address)
        async with idle, streaming:
            up.answer_with(stream)
            for verdict in ("MISS", "HIT"):
                await idle.send(question("first", stream=True))
                assert (await idle.response()).get("X-Cache") == verdict
            up.answer_with(None)
            await streaming.send(question("second", stream=True))
            call = await up.next_call()
            await begin(call, STREAM[:2])
            await streaming.head()
            listener = Listener(streaming)
            await listener.until(STREAM[1])

            proxy.signal(signal.SIGTERM)
            await proxy.told("draining")
            assert await ready(proxy) == 503
            with pytest.raises(ConnectionRefusedError):
                await RawClient.connect(proxy.address)
            await idle.send(question("first", stream=True))
            last = await idle.response()
            assert (last.get("X-Cache"), last.get("Connection")) == ("HIT", "close")
            assert await idle.rest() == b""
            for event in STREAM[2:]:
                await call.chunk(event)
            await call.end()
            assert await listener.end() == b"".join(STREAM)
            assert await ready(proxy) == 503
            assert await streaming.rest() == b""
            assert await proxy.ended() == 0
    assert proxy.events[-1]["event"] == "stopped"
    assert not [event for event in proxy.events if event.get("level", "info") != "info"]


async def test_a_gateway_lets_clients_in_until_the_delay_is_over() -> None:
    async with serving(delay_s="1") as (up, proxy):
        up.answer_with(answer)
        async with await RawClient.connect(proxy.address) as idle:
            await idle.send(question())
            assert (await idle.response()).get("Connection") is None
            proxy.signal(signal.SIGTERM)
            assert (await proxy.told("draining"))["delay_s"] == 1
            assert await ready(proxy) == 503
            for client in (await RawClient.connect(proxy.address), idle):
                async with client:
                    await client.send(question())
                    response = await client.response()
                    assert (response.status, response.get("Connection")) == (200, "close")
                    assert await client.rest() == b""
            assert await proxy.ended() == 0


async def test_a_sidecar_serves_for_as_long_as_the_application_is_there() -> None:
    async with serving(mode="sidecar", drain_s="60") as (up, proxy):
        up.answer_with(answer)
        async with await RawClient.connect(proxy.address) as pooled:
            await pooled.send(question())
            await pooled.response()
            proxy.signal(signal.SIGTERM)
            await proxy.told("draining")
            assert await ready(proxy) == 503
            for text in ("once", "twice"):
                async with await RawClient.connect(proxy.address) as client:
                    await client.send(question(text))
                    response = await client.response()
                    assert (response.status, response.get("Connection")) == (200, "close")
            assert pooled.nothing_came()
            await pooled.send(question())
            assert (await pooled.response()).get("X-Cache") == "HIT"
        assert await proxy.ended() == 0


async def test_a_sidecar_without_an_application_ends_at_once() -> None:
    async with serving(mode="sidecar", drain_s="600", delay_s="600") as (_, proxy):
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


async def test_who_interrupts_it_waits_for_no_delay() -> None:
    async with (
        serving(delay_s="600", drain_s="600") as (up, proxy),
        await RawClient.connect(proxy.address) as idle,
    ):
        up.answer_with(answer)
        await idle.send(question())
        await idle.response()
        proxy.signal(signal.SIGINT)
        assert await idle.rest() == b""
        assert await proxy.ended() == 0


async def test_who_retires_closes_its_door_and_may_be_told_to_stop_too() -> None:
    async with serving(delay_s="600") as (up, proxy):
        async with await RawClient.connect(proxy.address) as client:
            await client.send(question(stream=True))
            call = await up.next_call()
            await begin(call, STREAM[:2])
            await client.head()
            proxy.signal(signal.SIGUSR1)
            await proxy.told("draining")
            assert await ready(proxy) == 503
            with pytest.raises(ConnectionRefusedError):
                await RawClient.connect(proxy.address)
            proxy.signal(signal.SIGTERM)
            for event in STREAM[2:]:
                await call.chunk(event)
            await call.end()
            assert await Listener(client).end() == b"".join(STREAM)
        assert await proxy.ended() == 0


async def test_what_has_not_ended_when_time_is_up_is_told_so() -> None:
    async with (
        serving(drain_s="0.05") as (up, proxy),
        await RawClient.connect(proxy.address) as streaming,
        await RawClient.connect(proxy.address) as waiting,
    ):
        await streaming.send(question(stream=True))
        call = await up.next_call()
        await begin(call, STREAM[:2])
        await streaming.head()
        await waiting.send(question("another"))
        other = await up.next_call()
        listener = Listener(streaming)
        await listener.until(STREAM[1])
        proxy.signal(signal.SIGTERM)

        heard = await listener.until(b"}}\n\n")
        name, data = heard.removeprefix(b"".join(STREAM[:2])).splitlines()[:2]
        assert name == b"event: error"
        assert orjson.loads(data.removeprefix(b"data: "))["error"]["type"] == "draining"
        assert await streaming.rest() == b""  # no last chunk
        response = await waiting.response()
        assert response.status == 503
        assert orjson.loads(response.body)["error"]["code"] == "draining"
        assert await proxy.ended() == 0
        await call.hung_up()
        await other.hung_up()
    requests = [event for event in proxy.events if event["event"] == "request"]
    assert [event["error"] for event in requests] == ["Draining", "Draining"]


async def test_openais_client_raises_what_ended_its_stream() -> None:
    async with serving(drain_s="0.05") as (up, proxy):
        sdk = openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="sk-one", max_retries=0)
        async with sdk:
            asking = sdk.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Why?"}], stream=True
            )
            up.answer_with(lambda call: begin(call, STREAM[:2]))
            stream = await asking
            assert (await anext(stream)).choices[0].delta.role == "assistant"
            proxy.signal(signal.SIGTERM)
            with pytest.raises(openai.APIError, match="had to stop") as told:
                async for _ in stream:
                    pass
        assert told.value.type == "draining"
        assert await proxy.ended() == 0


async def test_a_client_that_does_not_read_does_not_keep_it_from_ending() -> None:
    async def endless(call: Call) -> None:
        await begin(call, [])
        while True:
            await call.chunk(b"data: " + b"x" * 65_536 + b"\n\n")

    async with serving(drain_s="0.5") as (up, proxy):
        up.answer_with(endless)
        stuck = await RawClient.connect(proxy.address, receive_buffer=4096)
        async with stuck:
            await stuck.send(question(stream=True))
            await stuck.head()
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
            assert await stuck.was_reset()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_who_asks_twice_is_obeyed_at_once(second: signal.Signals) -> None:
    async with (
        serving() as (up, proxy),
        await RawClient.connect(proxy.address) as client,
    ):
        await client.send(question(stream=True))
        await up.next_call()
        proxy.signal(signal.SIGTERM)
        await proxy.told("draining")
        proxy.signal(second)

        assert await proxy.ended() == -signal.SIGKILL
        assert not [event for event in proxy.events if event["event"] == "stopped"]


STUCK = """
import sys
from proxy.app import serve
from proxy.config.load import Held, Loaded
from proxy.config.settings import Settings

settings = Settings.model_validate(
    {"listen": "127.0.0.1:0", "admin": {"enabled": False}, "l2_disk": {"enabled": False},
     "upstreams": [{"url": "http://127.0.0.1:9"}]}
)

def announce(proxy):
    print("stuck", flush=True)
    %s

serve(Loaded(settings, {}), Held(settings), announce)
"""


@pytest.mark.parametrize("how", ["while True: pass", "sys.stdin.read()"])
async def test_who_asks_twice_is_obeyed_even_if_nothing_moves_any_more(how: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STUCK % how),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            assert await process.stdout.readline() == b"stuck\n"
            # Two kinds: of one kind, the second may come before the first was heard, and is lost.
            # Again and again: what comes just before it waits is heard when something wakes it.
            while process.returncode is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGINT)
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 0.5)
            assert process.returncode == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()

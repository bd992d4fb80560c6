"""Several backends behind one proxy, and TLS on either side of it."""

from __future__ import annotations

import ssl
from typing import Any

import openai
import pytest
from support import tls
from support.openai_backend import OpenAIBackend
from support.proxied import proxied
from support.raw_chat import DOCUMENT, JSON, STREAM, begin, question, stream
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.sdk_caller import Caller, chat
from support.started import started
from support.tls import AUTHORITY

SERVER_TLS = {
    "cert_file": str(tls.__path__[0]) + "/server.pem",
    "key_file": str(tls.__path__[0]) + "/server.key",
}


async def test_each_prefix_has_its_backend_and_no_answer_crosses_over() -> None:
    async with OpenAIBackend() as one, OpenAIBackend() as two, OpenAIBackend() as rest:
        upstreams = [
            {"url": f"{one.url}/v1", "prefix": "/one/v1"},
            {"url": two.url, "prefix": "/two"},
            {"url": rest.url, "prefix": "/"},
        ]
        async with proxied(*upstreams) as proxy, Caller(proxy) as caller:
            ids = []
            for prefix in ("/one", "/two", ""):
                sdk = caller.sdk.with_options(base_url=f"{proxy.url}{prefix}/v1")
                for verdict in ("MISS", "HIT"):
                    raw = await sdk.chat.completions.with_raw_response.create(**chat())
                    assert raw.headers["x-cache"] == verdict
                ids.append(raw.parse().id)

    assert ids == ["chatcmpl-1"] * 3  # the first call of each
    for backend in (one, two, rest):
        assert [asked.path for asked in backend.asked] == ["/v1/chat/completions"]


async def test_a_path_without_a_backend_is_told_so_by_the_proxy() -> None:
    async with OpenAIBackend() as backend:
        only = {"url": backend.url, "prefix": "/two"}
        async with proxied(only) as proxy, Caller(proxy) as caller:
            with pytest.raises(openai.NotFoundError) as told:
                await caller.ask(chat())

    assert told.value.code == "no_upstream"
    assert not backend.asked


async def test_the_proxys_own_credential_replaces_the_callers_and_callers_stay_apart() -> None:
    async with OpenAIBackend() as backend:
        upstream = {"url": backend.url, "set_headers": {"authorization": "Bearer sk-own"}}
        async with (
            proxied(upstream) as proxy,
            Caller(proxy, "sk-one") as one,
            Caller(proxy, "sk-two") as two,
        ):
            verdicts = [(await each.ask(chat()))[0] for each in (one, two, one)]

    assert verdicts == ["MISS", "MISS", "HIT"]
    assert [asked.credential for asked in backend.asked] == ["sk-own"] * 2


async def test_clients_are_served_over_tls_and_the_backend_is_asked_over_tls() -> None:
    async with ScriptedUpstream(tls=tls.server_context()) as up:
        up.answer_with(stream)
        upstream = {"url": up.url, "tls": {"ca_file": AUTHORITY}}
        trusting = ssl.create_default_context(cafile=AUTHORITY)
        async with (
            openai.DefaultAsyncHttpxClient(verify=trusting) as http,
            proxied(upstream, tls=SERVER_TLS) as proxy,
            Caller(proxy, http_client=http) as caller,
        ):
            assert proxy.url.startswith("https://")
            first = await caller.hear(chat())
            second = await caller.hear(chat())

        assert (first[0], second[0]) == ("MISS", "HIT")
        assert first[1] == second[1]
        assert up.history[0].field("x-forwarded-proto") == "https"


async def test_over_tls_too_a_broken_stream_is_no_end_and_who_hangs_up_is_missed() -> None:
    async with ScriptedUpstream() as up:
        trusting = ssl.create_default_context(cafile=AUTHORITY)
        async with (
            openai.DefaultAsyncHttpxClient(verify=trusting) as http,
            proxied(up.url, tls=SERVER_TLS) as proxy,
            Caller(proxy, http_client=http) as caller,
        ):
            create = caller.sdk.chat.completions.create
            calls = []
            streams: list[Any] = []
            for text in ("Why?", "How?"):
                asking = started(create(**chat(text), stream=True))
                calls.append(await up.next_call())
                await begin(calls[-1], STREAM[:2])
                streams.append(await asking)
                await anext(streams[-1])

            await calls[0].reset()
            with pytest.raises(openai.APIConnectionError):
                [chunk async for chunk in streams[0]]
            await streams[1].close()
            await proxy.counted(lambda: proxy.server.counts.hang_ups == 1)


async def test_a_backend_whose_certificate_nobody_vouches_for_is_not_spoken_to() -> None:
    async with ScriptedUpstream(tls=tls.server_context()) as up, proxied(up.url) as proxy:
        async with await RawClient.connect(proxy.address) as client:
            await client.send(question())
            reply = await client.response()

        assert reply.status == 502
        assert b"tls_certificate_error" in reply.body
        assert up.calls == 0


async def test_two_proxies_in_a_row_each_tell_what_they_did() -> None:
    async def answer(call: Call) -> None:
        await call.reply(200, JSON, DOCUMENT)

    async with (
        ScriptedUpstream() as up,
        proxied(up.url, pseudonym="inner") as inner,
        proxied(inner.url, pseudonym="outer") as outer,
        await RawClient.connect(outer.address) as client,
    ):
        up.answer_with(answer)
        replies = []
        for _ in range(2):
            await client.send(question())
            replies.append(await client.response())

        statuses = [reply.get("Cache-Status") or "" for reply in replies]
        assert statuses[0].startswith("inner; fwd=uri-miss; stored")
        assert ", outer; fwd=uri-miss; stored" in statuses[0]
        assert statuses[1].rpartition(", ")[2].startswith("outer; hit; ")
        assert up.history[0].field("via") == "1.1 outer, 1.1 inner"
        assert up.calls == 1


async def test_a_proxy_that_is_its_own_backend_notices() -> None:
    async with ScriptedUpstream() as up:
        port = up.port
        up.refuse()
        settings = {"listen": f"127.0.0.1:{port}"}
        async with (
            proxied(f"http://127.0.0.1:{port}", **settings) as proxy,
            await RawClient.connect(proxy.address) as client,
        ):
            await client.send(question())
            assert (await client.response()).status == 508

"""What only shows when the parts are put together: settings that reach the wire."""

from __future__ import annotations

import pytest
from support.proxied import proxied
from support.raw_client import RawClient
from support.scripted import ScriptedUpstream

from proxy.app import Sidecache
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError

ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a.test\r\n"
BODY = b'{"model":"m","messages":[]}'


async def _asked(up: ScriptedUpstream, fields: bytes = b"", **settings):
    async with proxied({"url": up.url, **settings.pop("upstream", {})}, **settings) as proxy:
        client = await RawClient.connect(proxy.address)
        await client.send(ASK + fields + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        call = await up.next_call()
        await call.reply(200, [("Content-Type", "application/json")], b"{}")
        await client.response()
        client.close()
        return call


async def test_the_backend_is_asked_by_its_own_name():
    async with ScriptedUpstream() as up:
        call = await _asked(up)
        assert call.field("host") == up.url.removeprefix("http://")
        assert call.field("x-forwarded-host") == "a.test"


async def test_the_clients_host_is_kept_where_the_settings_say_so():
    async with ScriptedUpstream() as up:
        call = await _asked(up, upstream={"preserve_host": True})
        assert call.field("host") == "a.test"


async def test_a_host_that_is_passed_on_is_part_of_the_question():
    answer = (
        b'{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop",'
        b'"message":{"role":"assistant","content":"%b"}}]}'
    )
    async with ScriptedUpstream() as up, proxied({"url": up.url, "preserve_host": True}) as proxy:
        client = await RawClient.connect(proxy.address)
        for host in (b"a.test", b"b.test"):
            head = ASK.replace(b"a.test", host) + b"Content-Length: %d\r\n\r\n" % len(BODY)
            await client.send(head + BODY)
            call = await up.next_call()
            assert call.field("host") == host.decode()
            await call.reply(200, [("Content-Type", "application/json")], answer % host)
            assert host in (await client.response()).body
        client.close()


async def test_the_backends_own_credential_replaces_the_clients():
    async with ScriptedUpstream() as up:
        headers = {"set_headers": {"authorization": "Bearer backend"}}
        call = await _asked(up, b"Authorization: Bearer client\r\n", upstream=headers)
        assert call.field("authorization") == "Bearer backend"


async def test_who_is_trusted_may_say_for_whom_he_asks():
    forwarded = b"X-Forwarded-For: 192.0.2.1\r\n"
    async with ScriptedUpstream() as up:
        call = await _asked(up, forwarded)
        assert call.field("x-forwarded-for") == "127.0.0.1"
        downstream = {"forwarded": "append", "trusted_proxies": ["127.0.0.0/8"]}
        call = await _asked(up, forwarded, downstream=downstream)
        assert call.field("x-forwarded-for") == "192.0.2.1, 127.0.0.1"


async def test_nothing_is_said_of_the_client_where_that_is_off():
    async with ScriptedUpstream() as up:
        call = await _asked(up, downstream={"forwarded": "off"})
        assert call.field("x-forwarded-for") == ""


async def test_without_a_backend_there_is_no_proxy():
    with pytest.raises(ConfigError, match="--upstream"):
        Sidecache(Settings())


def test_there_is_no_proxy_with_a_certificate_that_cannot_be_used():
    settings = Settings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "admin": {"listen": "127.0.0.1:0"},
            "upstreams": [{"url": "http://127.0.0.1:1"}],
            "tls": {"cert_file": __file__, "key_file": __file__},
        }
    )
    with pytest.raises(ConfigError, match="tls"):
        Sidecache(settings)


async def test_a_port_that_is_taken_is_told_and_leaves_nothing_behind():
    async with ScriptedUpstream() as up, proxied(up.url) as first:
        host, port = first.address
        settings = Settings.model_validate(
            {
                "listen": f"{host}:{port}",
                "admin": {"listen": "127.0.0.1:0"},
                "upstreams": [{"url": up.url}],
            }
        )
        second = Sidecache(settings)
        with pytest.raises(ConfigError, match=r"listen: .*in use"):
            await second.start()
        await second.close(0)

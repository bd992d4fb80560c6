"""Resources over real sockets: what HTTP's caching does on the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.proxied import proxied
from support.raw_client import RawClient, RawResponse
from support.scene import Scene, scene
from support.scripted import Call, ScriptedUpstream

ON = {"http_resource": {"enabled": True}}
FRESH = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"v1"')


def asking(path: str = "/doc", *fields: tuple[str, str], method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: here", *(f"{n}: {v}" for n, v in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def get(
    s: Scene, path: str = "/doc", *fields: tuple[str, str], method: str = "GET"
) -> RawResponse:
    """Ask on a connection of its own."""
    client = await s.client()
    await client.send(asking(path, *fields, method=method))
    if method == "HEAD":
        return await client.head()
    answer = await client.response()
    await s.proxy.landed()
    return answer


def saying(*fields: tuple[str, str], status: int = 200, body: bytes = b"0123456789") -> Any:
    async def say(call: Call) -> None:
        await call.reply(status, fields, b"" if call.method == "HEAD" else body)

    return say


async def test_it_is_off_unless_it_is_switched_on() -> None:
    async with scene() as s:
        s.up.answer_with(saying(FRESH))
        assert [(await get(s)).get("X-Cache-Reason") for _ in range(2)] == ["route", "route"]


async def test_a_resource_is_stored_served_validated_and_forgotten() -> None:
    async with scene(**ON) as s:
        s.up.answer_with(saying(FRESH, ETAG, ("Content-Type", "text/plain")))
        assert (await get(s)).get("X-Cache") == "MISS"
        hit = await get(s)
        assert (hit.status, hit.body, hit.get("X-Cache")) == (200, b"0123456789", "HIT")
        assert hit.get("Age") == "0"
        assert hit.get("Content-Length") == "10"
        head = await get(s, method="HEAD")
        assert (head.get("X-Cache"), head.get("Content-Length")) == ("HIT", "10")
        known = await get(s, "/doc", ("If-None-Match", '"v1"'))
        assert (known.status, known.body, known.get("Content-Length")) == (304, b"", None)
        part = await get(s, "/doc", ("Range", "bytes=2-3"))
        assert (part.status, part.body) == (206, b"23")
        assert part.get("Content-Range") == "bytes 2-3/10"
        beyond = await get(s, "/doc", ("Range", "bytes=20-"))
        assert (beyond.status, beyond.get("Content-Range")) == (416, "bytes */10")

        s.up.answer_with(saying(FRESH, status=304, body=b""))
        renewed = await get(s, "/doc", ("Cache-Control", "no-cache"))
        assert (renewed.status, renewed.body) == (200, b"0123456789")
        assert (renewed.get("X-Cache"), renewed.get("X-Cache-Reason")) == ("HIT", "validated")
        assert ("If-None-Match", '"v1"') in s.up.history[-1].headers

        s.up.answer_with(saying(status=204, body=b""))
        assert (await get(s, method="DELETE")).status == 204
        s.up.answer_with(saying(FRESH, body=b"new"))
        assert (await get(s)).body == b"new"


async def test_what_comes_is_passed_on_while_it_is_stored() -> None:
    async with scene(**ON) as s:
        client, other = await s.client(), await s.client()
        await client.send(asking())
        call = await s.up.next_call()
        await call.head(200, [FRESH], chunked=True)
        await call.chunk(b"first ")
        assert (await client.head()).status == 200
        assert await client.until(b"first ")
        await other.send(asking())  # hears it from its beginning
        assert (await other.head()).get("X-Cache") == "COALESCED"
        await call.chunk(b"last")
        await call.end()
        await client.until(b"0\r\n\r\n")
        await other.until(b"0\r\n\r\n")
        await s.proxy.landed()
        assert (await get(s)).body == b"first last"


@pytest.mark.parametrize("chunked", [True, False])
async def test_no_part_of_a_response_is_ever_stored(chunked: bool) -> None:
    async with scene(**ON) as s:
        client = await s.client()
        await client.send(asking())
        call = await s.up.next_call()
        if chunked:
            await call.head(200, [FRESH], chunked=True)
            await call.chunk(b"half")
        else:
            await call.head(200, [FRESH, ("Content-Length", "8")])
            await call.raw(b"half")
        await client.until(b"half")
        await call.cut()
        await s.proxy.landed()
        s.up.answer_with(saying(FRESH, body=b"whole"))
        again = await get(s)
        assert (again.get("X-Cache"), again.body) == ("MISS", b"whole")


async def test_what_comes_behind_a_response_is_no_part_of_it() -> None:
    async with scene(**ON) as s:
        client = await s.client()
        await client.send(asking())
        call = await s.up.next_call()
        extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        await call.raw(
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\ngood" + extra
        )
        assert (await client.response()).body == b"good"
        await s.proxy.landed()
        s.up.answer_with(saying(body=b"other"))
        assert (await get(s, "/other")).body == b"other"  # on a connection of its own
        assert (await get(s)).body == b"good"


async def test_who_hangs_up_does_not_keep_it_from_being_stored() -> None:
    async with scene(**ON) as s:
        client = await s.client()
        await client.send(asking())
        call = await s.up.next_call()
        await call.head(200, [FRESH], chunked=True)
        await call.chunk(b"all ")
        await client.until(b"all ")
        client.reset()
        await s.proxy.counted(lambda: s.proxy.server.counts.hang_ups == 1)
        await call.chunk(b"of it")
        await call.end()
        await s.proxy.landed()
        assert (await get(s)).body == b"all of it"


async def test_a_compressed_response_is_a_variant_and_stays_as_it_is() -> None:
    async with scene(**ON) as s:
        s.up.answer_with(
            saying(
                FRESH, ("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip"), body=b"\x1f\x8b"
            )
        )
        for expected in ("MISS", "HIT"):
            got = await get(s, "/doc", ("Accept-Encoding", "gzip"))
            assert (got.get("X-Cache"), got.body) == (expected, b"\x1f\x8b")
        assert ("Accept-Encoding", "gzip") in s.up.history[-1].headers
        s.up.answer_with(saying(FRESH, ("Vary", "Accept-Encoding"), body=b"plain"))
        assert (await get(s)).body == b"plain"


async def test_a_failing_backend_is_stood_in_for() -> None:
    async with scene(**ON) as s:
        s.up.answer_with(saying(("Cache-Control", "max-age=0, stale-if-error=60"), ETAG))
        await get(s)

        async def fail(call: Call) -> None:
            await call.reply(503, [], b"no")

        s.up.answer_with(fail)
        stale = await get(s)
        assert (stale.status, stale.get("X-Cache-Reason")) == (200, "sie")
        status = stale.get("Cache-Status") or ""
        assert status.startswith("sidecache; fwd=stale; fwd-status=503; ttl=-")
        assert status.endswith("; detail=sie")


async def test_calls_in_a_dialect_are_none_of_its_business() -> None:
    async with scene(**ON) as s:
        s.up.answer_with(saying(FRESH, body=b'{"object": "list"}'))
        await get(s, "/v1/models")
        assert (await get(s, "/v1/models")).get("X-Cache") == "HIT"
        client = await s.client()
        body = b'{"model": "m", "messages": []}'
        await client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await client.response()
        assert (await get(s, "/v1/models")).get("X-Cache") == "HIT"


async def test_variants_and_validators_outlive_a_restart(tmp_path: Path) -> None:
    kept = {"l2_disk": {"enabled": True, "directory": str(tmp_path)}, **ON}
    fields = (("Cache-Control", "no-cache"), ETAG, ("Vary", "Foo"))
    async with ScriptedUpstream() as up:
        for status in (200, 304):
            up.answer_with(saying(*fields, status=status, body=b"kept" if status == 200 else b""))
            async with proxied(up.url, **kept) as proxy:
                client = await RawClient.connect(proxy.address)
                await client.send(asking("/doc", ("Foo", "1")))
                answer = await client.response()
                assert (answer.status, answer.body) == (200, b"kept")
                await proxy.landed()
                assert proxy.store.disk is not None
                await proxy.store.disk.flush()
                client.close()
        assert ("If-None-Match", '"v1"') in up.history[-1].headers


async def test_the_words_of_other_gateways_are_obeyed_where_they_are_ours() -> None:
    skip, named = ("cf-aig-skip-cache", "true"), ("x-portkey-cache-namespace", "mine")
    async with scene(**ON, cache={"compatibility": ["cloudflare", "portkey"]}) as s:
        s.up.answer_with(saying(FRESH))
        assert (await get(s)).get("X-Cache") == "MISS"
        assert (await get(s, "/doc", skip)).get("X-Cache-Reason") == "no-store"
        assert (await get(s, "/doc", named)).get("X-Cache") == "MISS"
        assert (await get(s, "/doc", named)).get("X-Cache") == "HIT"
        assert (await get(s)).get("X-Cache") == "HIT"

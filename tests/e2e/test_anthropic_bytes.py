"""Messages as bytes: what a backend of Anthropic's kind sends is what is replayed."""

from __future__ import annotations

import json

import pytest
from support.anthropic_backend import RECORDED, AnthropicBackend, recorded
from support.proxied import Proxied, proxied
from support.raw_client import RawClient

from proxy.wire import frames


async def raw(proxy: Proxied, body: bytes) -> tuple[str | None, bytes]:
    """What X-Cache says, and the answer's very bytes."""
    async with await RawClient.connect(proxy.address) as client:
        await client.send(
            b"POST /v1/messages HTTP/1.1\r\nHost: p\r\nx-api-key: sk-ant-one\r\n"
            b"anthropic-version: 2023-06-01\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        response = await client.response()
    await proxy.landed()
    return response.get("X-Cache"), response.body


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("suffix", [".sse", ".json"])
async def test_what_a_backend_sent_goes_in_and_comes_out_byte_for_byte(
    name: str, suffix: str
) -> None:
    stream = b"true" if suffix == ".sse" else b"false"
    asked = b'{"model":"%b","max_tokens":9,"messages":[],"stream":%b}' % (name.encode(), stream)
    async with AnthropicBackend() as backend, proxied(backend.url) as proxy:
        told = [await raw(proxy, asked) for _ in range(3)]

    assert [verdict for verdict, _ in told] == ["MISS", "HIT", "HIT"]
    assert {body for _, body in told} == {recorded(name, suffix)}
    assert len(backend.asked) == 1


async def test_a_stream_made_of_a_document_has_the_names_and_the_frames_of_one() -> None:
    async with AnthropicBackend() as backend, proxied(backend.url) as proxy:
        asked = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Why?"}]}'
        _, document = await raw(proxy, asked)
        verdict, stream = await raw(proxy, asked[:-1] + b',"stream":true}')

    assert verdict == "HIT"
    found, rest = frames.split(stream)
    assert not rest
    names = [frame.partition(b"\n")[0].removeprefix(b"event: ").decode() for frame in found]
    block = [f"content_block_{part}" for part in ("start", "delta", "stop")]
    assert names == ["message_start", *block, "message_delta", "message_stop"]
    assert json.loads(document)["content"][0]["text"].encode() in stream

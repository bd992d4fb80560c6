"""What OpenAI's client asks besides chats: passed on, both ways, and left alone."""

from __future__ import annotations

from support.openai_backend import SPEECH, OpenAIBackend
from support.proxied import Proxied
from support.sdk_caller import Caller, chat


async def test_the_models_are_listed_by_the_backend_each_time(
    backend: OpenAIBackend, caller: Caller
) -> None:
    listed = [[model.id async for model in caller.sdk.models.list()] for _ in range(2)]

    assert listed == [["m"], ["m"]]
    assert backend.calls["/v1/models"] == 2


async def test_a_file_is_uploaded_whole(backend: OpenAIBackend, caller: Caller) -> None:
    content = bytes(range(256)) * 4096  # 1 MiB
    made = await caller.sdk.files.create(file=("data.bin", content), purpose="user_data")

    assert (made.filename, made.bytes, made.purpose) == ("data.bin", len(content), "user_data")
    assert backend.asked[0].body == content


async def test_speech_is_downloaded_byte_by_byte(caller: Caller) -> None:
    speech = await caller.sdk.audio.speech.create(model="tts", voice="alloy", input="Hello.")
    assert speech.content == SPEECH

    async with caller.sdk.audio.speech.with_streaming_response.create(
        model="tts", voice="alloy", input="Hello."
    ) as response:
        assert b"".join([piece async for piece in response.iter_bytes()]) == SPEECH


async def test_the_backend_sees_the_callers_credential_and_the_fields_it_sent(
    backend: OpenAIBackend, caller: Caller
) -> None:
    await caller.ask(chat(extra_headers={"X-Tenant": "blue", "OpenAI-Project": "p1"}))

    seen = backend.asked[0].headers
    assert seen["authorization"] == "Bearer sk-one"
    assert (seen["x-tenant"], seen["openai-project"]) == ("blue", "p1")
    assert seen["user-agent"].startswith("AsyncOpenAI")
    assert seen["host"] == backend.url.removeprefix("http://")
    assert seen["via"] == "1.1 sidecache"
    assert seen["accept-encoding"] == "identity"


async def test_a_request_the_cache_does_not_understand_goes_on_to_the_byte(
    backend: OpenAIBackend, proxy: Proxied, caller: Caller
) -> None:
    twice = b'{"model": "m", "model": "m", "messages": [{"role": "user", "content": "Hm?"}]}'
    for _ in range(2):
        raw = await caller.sdk.chat.completions.with_raw_response.create(
            **chat(), extra_headers={"X-Unused": "1"}, extra_body={"stateful": True, "store": True}
        )
        assert raw.headers["x-cache"] == "BYPASS"
        assert raw.headers["x-cache-reason"] == "stateful"
    posted = await caller.sdk.post(
        "/chat/completions",
        cast_to=object,
        content=twice,
        options={"headers": {"Content-Type": "application/json"}},
    )

    assert posted
    assert backend.asked[-1].body == twice
    assert len(backend.asked) == 3
    assert proxy.store.memory.entries == 0

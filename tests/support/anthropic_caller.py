"""Anthropic's own client as tests use it: a question in, what the cache says and the answer out."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import anthropic
from anthropic.types import Message, RawMessageStreamEvent

from support.proxied import Proxied

Json = dict[str, Any]


def said(text: str = "Why?", **more: Any) -> Json:
    """A question to the model ``m``, as the client takes it."""
    return {
        "model": "m",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


class AnthropicCaller:
    """One caller with a credential of its own; never tries again unless told to."""

    def __init__(self, proxy: Proxied, credential: str = "sk-ant-one", **options: Any) -> None:
        self._proxy = proxy
        given = {"api_key": credential, "max_retries": 0, "timeout": 20, **options}
        self.sdk = anthropic.AsyncAnthropic(base_url=proxy.url, **given)

    async def ask(self, question: Json) -> tuple[str, Message]:
        """What X-Cache says, and the answer."""
        raw = await self.sdk.messages.with_raw_response.create(**question)
        return raw.headers["x-cache"], await raw.parse()

    async def hear(self, question: Json) -> tuple[str, list[RawMessageStreamEvent]]:
        """The same of a stream, heard to its end; returns once it is stored, if it is."""
        raw = await self.sdk.messages.with_raw_response.create(**question, stream=True)
        events = [event async for event in await raw.parse()]
        await self._proxy.landed()
        return raw.headers["x-cache"], events

    async def follow(self, question: Json) -> tuple[str, Json]:
        """The same by the client's helper, which adds the events up to a message."""
        async with self.sdk.messages.stream(**question) as stream:
            message = await stream.get_final_message()
        await self._proxy.landed()
        return stream.response.headers["x-cache"], plain(message)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.sdk.close()


def plain(message: Any) -> Json:
    """``message`` less what the client adds, and members that say nothing."""
    told = message.model_dump(mode="json")
    for block in told["content"]:
        block.pop("parsed_output", None)
    return _told(told)


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _told(each) for name, each in value.items() if each is not None}
    return [_told(each) for each in value] if isinstance(value, list) else value

"""OpenAI's own client as tests use it: a question in, what the cache says and the answer out."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from support.proxied import Proxied

Json = dict[str, Any]


def chat(text: str = "Why?", **more: Any) -> Json:
    """A question to the model ``m``, as the client takes it."""
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def counted(question: Json) -> Json:
    """``question``, with the wish for a stream that tells its token counts."""
    return {**question, "stream_options": {"include_usage": True}}


class Caller:
    """One caller with a credential of its own; never tries again unless told to."""

    def __init__(self, proxy: Proxied, credential: str = "sk-one", **options: Any) -> None:
        self._proxy = proxy
        self.sdk = openai.AsyncOpenAI(
            base_url=f"{proxy.url}/v1",
            api_key=credential,
            **{"max_retries": 0, "timeout": 20, **options},
        )

    async def ask(self, question: Json) -> tuple[str, ChatCompletion]:
        """What X-Cache says, and the answer."""
        raw = await self.sdk.chat.completions.with_raw_response.create(**question)
        return raw.headers["x-cache"], raw.parse()

    async def hear(self, question: Json) -> tuple[str, list[ChatCompletionChunk]]:
        """The same of a stream, heard to its end; returns once it is stored, if it is.

        The client hangs up at ``[DONE]``, a moment before the stream has come to its end.
        """
        raw = await self.sdk.chat.completions.with_raw_response.create(**question, stream=True)
        chunks = [chunk async for chunk in raw.parse()]
        await self._proxy.landed()
        return raw.headers["x-cache"], chunks

    async def ask_for_response(self, question: Json) -> tuple[str, Response]:
        """As ``ask``, of the Responses API."""
        raw = await self.sdk.responses.with_raw_response.create(**question)
        return raw.headers["x-cache"], raw.parse()

    async def hear_response(self, question: Json) -> tuple[str, list[ResponseStreamEvent]]:
        """As ``hear``, of the Responses API."""
        raw = await self.sdk.responses.with_raw_response.create(**question, stream=True)
        events = [event async for event in raw.parse()]
        await self._proxy.landed()
        return raw.headers["x-cache"], events

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.sdk.close()

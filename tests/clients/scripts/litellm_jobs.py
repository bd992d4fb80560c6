"""LiteLLM's own client, told where the backend is by ``api_base``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import litellm
from jobs import serve
from pydantic import BaseModel

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look something up.",
        "parameters": {
            "type": "object",
            "properties": {"about": {"type": "string"}},
            "required": ["about"],
        },
    },
}


class Steps(BaseModel):
    question: str
    steps: list[str]


def chat(url: str, key: str, messages: list[Any], **more: Any) -> Any:
    return litellm.completion(
        model="openai/m",
        messages=messages,
        api_base=f"{url}/v1",
        api_key=key,
        max_retries=0,
        **more,
    )


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def ask(url: str, key: str, text: str) -> object:
    return chat(url, key, said(text)).choices[0].message.content


def hear(url: str, key: str, text: str) -> Iterator[object]:
    for chunk in chat(url, key, said(text), stream=True):
        if piece := chunk.choices[0].delta.content:
            yield piece


def call(url: str, key: str, text: str) -> object:
    """A turn with a tool, and the turn after it."""
    messages = said(text)
    message = chat(url, key, messages, tools=[TOOL]).choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    calls = []
    for called in message.tool_calls:
        arguments = json.loads(called.function.arguments)
        calls.append({"name": called.function.name, "arguments": arguments})
        told = f"All there is on {arguments['about']}."
        messages.append({"role": "tool", "tool_call_id": called.id, "content": told})
    answer = chat(url, key, messages, tools=[TOOL]).choices[0].message.content
    return {"calls": calls, "answer": answer}


def parse(url: str, key: str, text: str) -> object:
    answer = chat(url, key, said(text), response_format=Steps).choices[0].message.content
    return Steps.model_validate_json(answer).model_dump()


def embed(url: str, key: str, texts: list[str]) -> object:
    told = litellm.embedding(
        model="openai/m", input=texts, api_base=f"{url}/v1", api_key=key, max_retries=0
    )
    return [each["embedding"] for each in told.data]


def respond(url: str, key: str, text: str) -> object:
    told = litellm.responses(model="openai/m", input=text, api_base=f"{url}/v1", api_key=key)
    return "".join(
        part.text for item in told.output if item.type == "message" for part in item.content
    )


def hear_response(url: str, key: str, text: str) -> Iterator[object]:
    for event in litellm.responses(
        model="openai/m", input=text, api_base=f"{url}/v1", api_key=key, stream=True
    ):
        if event.type == "response.output_text.delta":
            yield event.delta


if __name__ == "__main__":
    serve(
        {
            "ask": ask,
            "hear": hear,
            "call": call,
            "parse": parse,
            "embed": embed,
            "respond": respond,
            "hear_response": hear_response,
        }
    )

"""LlamaIndex's model and embeddings for backends that speak as OpenAI's does."""

from __future__ import annotations

import json
from collections.abc import Iterator

from jobs import serve
from llama_index.core.llms import ChatMessage, MessageRole
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Steps(BaseModel):
    question: str
    steps: list[str]


def look_up(about: str) -> str:
    """Look something up."""
    return f"All there is on {about}."


def model(url: str, key: str) -> OpenAILike:
    return OpenAILike(
        model="m",
        api_base=f"{url}/v1",
        api_key=key,
        max_retries=0,
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=True,
    )


def ask(url: str, key: str, text: str) -> object:
    return model(url, key).complete(text).text


def hear(url: str, key: str, text: str) -> Iterator[object]:
    for piece in model(url, key).stream_chat([ChatMessage(role=MessageRole.USER, content=text)]):
        if piece.delta:
            yield piece.delta


def call(url: str, key: str, text: str) -> object:
    """A turn with a tool, and the turn after it."""
    llm, tool = model(url, key), FunctionTool.from_defaults(look_up)
    history = [ChatMessage(role=MessageRole.USER, content=text)]
    turn = llm.chat_with_tools([tool], chat_history=history)
    called = llm.get_tool_calls_from_response(turn)
    history.append(turn.message)
    for each in called:
        told = str(tool(**each.tool_kwargs))
        about = {"tool_call_id": each.tool_id}
        history.append(ChatMessage(role=MessageRole.TOOL, content=told, additional_kwargs=about))
    calls = [{"name": each.tool_name, "arguments": each.tool_kwargs} for each in called]
    answer = llm.chat_with_tools([tool], chat_history=history).message.content
    return {"calls": calls, "answer": answer}


def parse(url: str, key: str, text: str) -> object:
    said = [ChatMessage(role=MessageRole.USER, content=text)]
    told = model(url, key).as_structured_llm(Steps).chat(said)
    return json.loads(told.message.content or "")


def embed(url: str, key: str, texts: list[str]) -> object:
    embeddings = OpenAILikeEmbedding(
        model_name="m", api_base=f"{url}/v1", api_key=key, max_retries=0
    )
    return embeddings.get_text_embedding_batch(texts)


def responding(url: str, key: str) -> OpenAIResponses:
    # It looks up what it takes for the model's limits, so the model must be one it knows.
    return OpenAIResponses(
        model="gpt-4o-mini", api_base=f"{url}/v1", api_key=key, max_retries=0, store=False
    )


def respond(url: str, key: str, text: str) -> object:
    return responding(url, key).complete(text).text


def hear_response(url: str, key: str, text: str) -> Iterator[object]:
    said = [ChatMessage(role=MessageRole.USER, content=text)]
    for piece in responding(url, key).stream_chat(said):
        if piece.delta:
            yield piece.delta


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

"""LangChain's chat model and embeddings for OpenAI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs import serve
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class Steps(BaseModel):
    question: str
    steps: list[str]


@tool
def look_up(about: str) -> str:
    """Look something up."""
    return f"All there is on {about}."


def model(url: str, key: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model="m", base_url=f"{url}/v1", api_key=key, max_retries=0, **more)


def ask(url: str, key: str, text: str) -> object:
    return model(url, key).invoke(text).content


def hear(url: str, key: str, text: str) -> Iterator[object]:
    for chunk in model(url, key).stream(text):
        if chunk.content:
            yield chunk.content


def call(url: str, key: str, text: str) -> object:
    """A turn with a tool, and the turn after it."""
    bound = model(url, key).bind_tools([look_up])
    messages: list[BaseMessage] = [HumanMessage(text)]
    turn = bound.invoke(messages)
    assert isinstance(turn, AIMessage)
    called = turn.tool_calls
    messages.append(turn)
    messages += [ToolMessage(look_up.invoke(c["args"]), tool_call_id=c["id"]) for c in called]
    calls = [{"name": c["name"], "arguments": c["args"]} for c in called]
    return {"calls": calls, "answer": bound.invoke(messages).content}


def parse(url: str, key: str, text: str) -> object:
    parsed = model(url, key).with_structured_output(Steps, method="json_schema").invoke(text)
    assert isinstance(parsed, Steps)
    return parsed.model_dump()


def embed(url: str, key: str, texts: list[str]) -> object:
    embeddings = OpenAIEmbeddings(
        model="m",
        base_url=f"{url}/v1",
        api_key=key,
        max_retries=0,
        check_embedding_ctx_length=False,  # it would send tokens, whose table is fetched first
    )
    return embeddings.embed_documents(texts)


def respond(url: str, key: str, text: str) -> object:
    return model(url, key, use_responses_api=True).invoke(text).text


def hear_response(url: str, key: str, text: str) -> Iterator[object]:
    for chunk in model(url, key, use_responses_api=True).stream(text):
        if chunk.text:
            yield str(chunk.text)


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

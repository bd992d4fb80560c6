"""What a chat is about: the words of the question, and those of the answer."""

from __future__ import annotations

from typing import Final

import orjson

from proxy.dialects.openai_chat.forms import document_of
from proxy.dialects.shapes import NoOtherForm
from proxy.dialects.words import ends, said_last
from proxy.model.entry import Entry
from proxy.model.query import Query

ACTS: Final = ("tools", "functions", "tool_choice", "mcp_servers", "web_search_options")
_NO_TEXT: Final = ("tool_calls", "function_call", "refusal", "audio", "images")


def question_of(asked: dict[str, object]) -> str:
    """What the user said last, in text, as far as it is looked at; "" if there is none."""
    messages, prompt = asked.get("messages"), asked.get("prompt")
    if isinstance(messages, list):
        return said_last(messages)
    return ends(prompt) if isinstance(prompt, str) else ""


def answer_of(entry: Entry) -> str | None:
    """What a stored chat says, if that is one text and nothing else; None otherwise."""
    try:
        document = orjson.loads(document_of(entry.body) if entry.form.stream else entry.body)
    except (NoOtherForm, ValueError):
        return None
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return None
    message = choices[0].get("message")
    if not isinstance(message, dict) or any(message.get(name) for name in _NO_TEXT):
        return None
    content = message.get("content")
    return content if isinstance(content, str) and content else None


def spoken(text: str, query: Query, created: int) -> bytes:
    """The document in which a model would answer ``query`` with ``text``."""
    chats = b'"messages"' in query.canonical and "messages" in orjson.loads(query.canonical)
    choice: dict[str, object] = {"index": 0, "finish_reason": "stop", "logprobs": None}
    if chats:
        choice["message"] = {"role": "assistant", "content": text, "refusal": None}
    else:
        choice["text"] = text
    return orjson.dumps(
        {
            "id": "chatcmpl-degraded" if chats else "cmpl-degraded",
            "object": "chat.completion" if chats else "text_completion",
            "created": created,
            "model": query.model,
            "choices": [choice],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }
    )

"""What a chat is about: the words of the question, and those of the answer."""

from __future__ import annotations

from typing import Final

import orjson

from proxy.dialects.openai_chat.forms import NoOtherForm, document_of
from proxy.model.entry import Entry
from proxy.model.query import Asking, Query

_LOOKED_AT: Final = 4096  # characters of a question, where no more than a look is needed
_SET_UP: Final = frozenset({"system", "developer"})  # who speaks before anybody has said anything
_ACTS: Final = ("tools", "functions", "tool_choice", "mcp_servers", "web_search_options")
_NO_TEXT: Final = ("tool_calls", "function_call", "refusal", "audio", "images")


def question_of(asked: dict[str, object]) -> str:
    """What the user said last, in text, as far as it is looked at; "" if there is none."""
    messages = asked.get("messages")
    if not isinstance(messages, list):
        prompt = asked.get("prompt")
        return ends(prompt) if isinstance(prompt, str) else ""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                content = "\n".join(filter(None, map(text_in, content)))
            return ends(content) if isinstance(content, str) else ""
    return ""


def ends(text: str) -> str:
    """``text``, if it is long only its beginning and its end: between them is what it is about."""
    if len(text) <= _LOOKED_AT:
        return text
    half = _LOOKED_AT // 2
    return f"{text[:half]}\n{text[-half:]}"


def text_in(part: object) -> str:
    """What a part of a message says in text; "" if it says it otherwise."""
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def asking_of(canonical: bytes) -> Asking | None:
    """The chat whose canonical body this is, taken apart.

    None unless the last message is a user's and nothing but one text: an image, a tool's result or
    the beginning of an answer cannot be told in other words.
    """
    asked = orjson.loads(canonical)  # a dict: it was made from one
    messages = asked.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or last.get("role") != "user":
        return None
    content = last.get("content")
    holder, name = last, "content"
    if isinstance(content, list):
        if len(content) != 1 or not isinstance(content[0], dict):
            return None
        if content[0].get("type") != "text":
            return None
        holder, name = content[0], "text"
    text = holder.get(name)
    if not isinstance(text, str):
        return None
    holder[name] = None  # where it stood is part of the rest
    before = (message.get("role") if isinstance(message, dict) else "" for message in messages[:-1])
    return Asking(
        text,
        orjson.dumps(asked),
        follows=any(role not in _SET_UP for role in before),
        acts=any(asked.get(name) for name in _ACTS),
    )


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

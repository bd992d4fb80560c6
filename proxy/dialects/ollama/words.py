"""What a question to Ollama is about: its words, and those of the answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import orjson

from proxy.dialects.ollama.forms import NoOtherForm, document_of
from proxy.model.entry import Entry
from proxy.model.query import Asking, Query

_SET_UP: Final = frozenset({"system", "developer"})  # who speaks before anybody has said anything
# With these a prompt is no question, but a text to go on with, to fill in, or about a picture.
_NO_QUESTION: Final = ("raw", "suffix", "images")
_NO_TEXT: Final = ("tool_calls", "images", "image")


def asking_of(canonical: bytes) -> Asking | None:
    """The question whose canonical body this is, taken apart.

    None unless what was said last is a user's and nothing but a text: a picture, a tool's result or
    a text to go on with cannot be told in other words.
    """
    asked = orjson.loads(canonical)  # a dict: it was made from one
    messages = asked.get("messages")
    if "messages" in asked and "prompt" in asked:
        return None  # which of them is heard, the path decides
    if "prompt" in asked:
        if any(asked.get(name) for name in _NO_QUESTION):
            return None
        holder, name, follows = asked, "prompt", bool(asked.get("context"))
    else:
        last = messages[-1] if isinstance(messages, list) and messages else None
        if not isinstance(last, dict) or last.get("role") != "user" or last.get("images"):
            return None
        before = (each.get("role") if isinstance(each, dict) else "" for each in messages[:-1])
        holder, name, follows = last, "content", any(role not in _SET_UP for role in before)
    text = holder.get(name)
    if not isinstance(text, str):
        return None
    holder[name] = None  # where it stood is part of the rest
    return Asking(text, orjson.dumps(asked), follows=follows, acts=bool(asked.get("tools")))


def answer_of(entry: Entry) -> str | None:
    """What a stored answer says, if that is one text and nothing else; None otherwise."""
    try:
        document = orjson.loads(document_of(entry.body) if entry.form.stream else entry.body)
    except (NoOtherForm, ValueError):
        return None
    if not isinstance(document, dict):
        return None
    message = document.get("message", {})
    if not isinstance(message, dict) or any(
        said.get(name) for said in (document, message) for name in _NO_TEXT
    ):
        return None
    text = message.get("content") if message else document.get("response")
    return text if isinstance(text, str) and text else None


def spoken(text: str, query: Query, created: int) -> bytes:
    """The document in which a model would answer ``query`` with ``text``."""
    chats = "messages" in orjson.loads(query.canonical)
    said = {"message": {"role": "assistant", "content": text}} if chats else {"response": text}
    at = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    end = {"done": True, "done_reason": "stop"}
    return orjson.dumps({"model": query.model, "created_at": at, **said, **end})

"""What a question to Ollama is about: its words, and those of the answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import orjson

from proxy.dialects.ollama.forms import document_of
from proxy.dialects.shapes import NoOtherForm
from proxy.dialects.words import ends, said_last, take_last_word
from proxy.model.entry import Entry
from proxy.model.query import Asking, Query

# With these a prompt is no question, but a text to go on with, to fill in, or about a picture.
_NO_QUESTION: Final = ("raw", "suffix", "images")
_NO_TEXT: Final = ("tool_calls", "images", "image")


def question_of(said: str | list[object]) -> str:
    """What a prompt, or the last of messages that is a user's, says, as far as it is looked at."""
    return ends(said) if isinstance(said, str) else said_last(said)


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
        text, follows = asked["prompt"], bool(asked.get("context"))
        if not isinstance(text, str) or any(asked.get(name) for name in _NO_QUESTION):
            return None
        asked["prompt"] = None  # as ``take_last_word`` leaves it
    else:
        last = take_last_word(messages)
        if last is None or messages[-1].get("images"):
            return None
        text, follows = last
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

"""What a message is about: the words of the question, and those of the answer.

A question is taken apart as a chat is: the system prompt stands apart from the messages here, and
is part of the rest.
"""

from __future__ import annotations

from typing import Final

import orjson

from proxy.dialects.anthropic_messages.forms import document_of
from proxy.dialects.shapes import NoOtherForm
from proxy.dialects.words import asking_of as taken_apart
from proxy.dialects.words import said_in
from proxy.model.entry import Entry
from proxy.model.query import Asking, Query

_ACTS: Final = ("tools", "tool_choice", "mcp_servers")
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
_MORE_TOOLS: Final = b'"tool_addition"'  # where a message brings some


def asking_of(canonical: bytes) -> Asking | None:
    """The message whose canonical body this is, taken apart; None as for a chat."""
    asking = taken_apart(canonical, _ACTS)
    if asking is None or _MORE_TOOLS not in asking.rest:
        return asking
    return asking._replace(acts=True)


def question_of(asked: dict[str, object]) -> str:
    """What the user said last, in text, as far as it is looked at; "" if there is none.

    A tool's result comes in the user's name, but it is not he who asks there.
    """
    messages = asked.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        content = message.get("content")
        said = said_in(content)
        if said or not (isinstance(content, list) and any(map(_is_result, content))):
            return said
    return ""


def _is_result(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _is_thought(block: object) -> bool:
    return isinstance(block, dict) and str(block.get("type")) in _THOUGHTS


def answer_of(entry: Entry) -> str | None:
    """What a stored message says, if that is one text and nothing but thoughts besides it."""
    try:
        message = orjson.loads(document_of(entry.body) if entry.form.stream else entry.body)
    except (NoOtherForm, ValueError):
        return None
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    said = [block for block in blocks if not _is_thought(block)]
    match said:
        case [{"type": "text", "text": str(text)}] if text:
            return text
        case _:
            return None


def spoken(text: str, query: Query) -> bytes:
    """The document in which a model would answer ``query`` with ``text``."""
    return orjson.dumps(
        {
            "id": "msg_degraded",
            "type": "message",
            "role": "assistant",
            "model": query.model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
    )

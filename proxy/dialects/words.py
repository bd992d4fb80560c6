"""What is said in messages: by the user at last, as a whole, and as far as a look needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from proxy.model.query import Asking

_LOOKED_AT: Final = 4096  # characters of a question, where no more than a look is needed
_SET_UP: Final = frozenset({"system", "developer"})  # who speaks before anybody has said anything


class LastWord(NamedTuple):
    """What messages end with."""

    text: str
    follows: bool  # whether somebody has spoken before, other than to set up


def said_last(messages: object) -> str:
    """What the user said last, in text, as far as it is looked at; "" if there is nothing."""
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            return said_in(message.get("content"))
    return ""


def said_in(content: object) -> str:
    """What the content of a message says in text, as far as it is looked at; "" if nothing."""
    if isinstance(content, list):
        content = "\n".join(filter(None, map(_text_in, content)))
    return ends(content) if isinstance(content, str) else ""


def ends(text: str) -> str:
    """``text``, if it is long only its beginning and its end: between them is what it is about."""
    if len(text) <= _LOOKED_AT:
        return text
    half = _LOOKED_AT // 2
    return f"{text[:half]}\n{text[-half:]}"


def take_last_word(messages: object, *, part: str = "text") -> LastWord | None:
    """The text that ``messages`` end with, taken out of them: null stays where it stood.

    None unless the last message is a user's and nothing but one text: an image, a tool's result or
    the beginning of an answer cannot be told in other words.

    Args:
        part: the type of a part of a message that is a text.
    """
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(messages, list) or not isinstance(last, dict) or last.get("role") != "user":
        return None
    holder, name = last, "content"
    content = last.get("content")
    if isinstance(content, list):
        if len(content) != 1 or not isinstance(content[0], dict) or content[0].get("type") != part:
            return None
        holder, name = content[0], "text"
    text = holder.get(name)
    if not isinstance(text, str):
        return None
    holder[name] = None  # where it stood is part of the rest
    before = (message.get("role") if isinstance(message, dict) else "" for message in messages[:-1])
    return LastWord(text, any(role not in _SET_UP for role in before))


def asking_of(canonical: bytes, acting: Iterable[str]) -> Asking | None:
    """The question that the ``messages`` of a canonical body end with; None if none does.

    Args:
        acting: members by which a model is given something to act with.
    """
    asked = orjson.loads(canonical)  # a dict: it was made from one
    last = take_last_word(asked.get("messages"))
    if last is None:
        return None
    acts = any(asked.get(name) for name in acting)
    return Asking(last.text, orjson.dumps(asked), follows=last.follows, acts=acts)


def _text_in(part: object) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""

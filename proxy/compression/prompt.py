"""A request's body with shorter texts in it, and every other byte as it was.

Whatever the dialect, prompts are texts at a few well-known places. What tools said, what is called
and what is not text stays as it is; so does a body that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from proxy.compression.cut import Cut, cut, tokens
from proxy.compression.rules import Rule, tightened
from proxy.wire.json_texts import Place, replaced

_ROLES: Final = frozenset({"system", "developer", "user", ""})
_TEXTS: Final = frozenset({"text", "input_text"})


@dataclass(frozen=True, slots=True)
class Plan:
    """How much shorter prompts are to be."""

    rules: frozenset[Rule] = frozenset()
    max_tokens: int | None = None  # of all texts together, about; None: as many as there are
    where: Cut = Cut.MIDDLE


class Compressed(NamedTuple):
    """A body to send, and what that saves, about."""

    body: bytes
    tokens: int
    bytes: int


class _Text(NamedTuple):
    place: Place
    text: str
    asks: bool  # it is the last that the user said


def compress(body: bytes, plan: Plan) -> Compressed:
    """``body``, a JSON object, by ``plan``; as it is if that saves nothing."""
    try:
        asked = orjson.loads(body)
    except ValueError:
        return Compressed(body, 0, 0)
    texts = list(_texts(asked)) if isinstance(asked, dict) else []
    short = {each.place: tightened(each.text, plan.rules) for each in texts}
    if plan.max_tokens is not None:
        _fit(texts, short, plan.max_tokens, plan.where)
    changed = {each.place: short[each.place] for each in texts if short[each.place] != each.text}
    sent = replaced(body, changed) if changed else body
    if len(sent) >= len(body):
        return Compressed(body, 0, 0)
    before = sum(tokens(each.text) for each in texts if each.place in changed)
    saved = before - sum(map(tokens, changed.values()))
    return Compressed(sent, max(0, saved), len(body) - len(sent))


def _fit(texts: list[_Text], short: dict[Place, str], limit: int, where: Cut) -> None:
    """Cut the longest texts until all together are within ``limit``, if they can be."""
    sizes = {each.place: tokens(short[each.place]) for each in texts}
    excess = sum(sizes.values()) - limit
    # The question comes last: it is the one that says what the rest is for.
    for each in sorted(texts, key=lambda each: (each.asks, -sizes[each.place])):
        if excess <= 0:
            return
        short[each.place] = cut(short[each.place], excess, where, guarded=each.asks)
        excess -= sizes[each.place] - tokens(short[each.place])


def _texts(asked: dict[str, object]) -> Iterator[_Text]:
    """The texts of a prompt, in order."""
    for name in ("system", "instructions", "prompt", "messages", "input"):
        said = asked.get(name)
        if isinstance(said, str) and name != "messages":
            yield _Text((name,), said, asks=name in {"prompt", "input"})
        elif isinstance(said, list):
            last = max((at for at, each in enumerate(said) if _role(each) == "user"), default=-1)
            for at, each in enumerate(said):
                yield from _of_message((name, at), each, asks=at == last)


def _of_message(place: Place, message: object, *, asks: bool) -> Iterator[_Text]:
    if not isinstance(message, dict) or _role(message) not in _ROLES:
        return
    if message.get("type") in _TEXTS and isinstance(text := message.get("text"), str):
        yield _Text((*place, "text"), text, asks)  # a block of a system prompt
    content = message.get("content")
    if isinstance(content, str):
        yield _Text((*place, "content"), content, asks)
    elif isinstance(content, list):
        for at, part in enumerate(content):
            if isinstance(part, dict) and part.get("type") in _TEXTS:
                text = part.get("text")
                if isinstance(text, str):
                    yield _Text((*place, "content", at, "text"), text, asks)


def _role(message: object) -> str | None:
    if not isinstance(message, dict):
        return None
    role = message.get("role", "")
    return role if isinstance(role, str) else None

"""The questions that are asked, and in what way they differ from each other.

The load generator makes them, too, in ``questions.lua``; both are given the same members.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MARK: Final = "#########"  # where a question's number stands, in as many digits
PATH: Final = "/v1/chat/completions"
KEYS: Final = 1000  # questions that MANY chooses from
FIELDS: Final = (
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
    ("Authorization", "Bearer sk-bench"),
    ("User-Agent", "bench"),
)


class Kind(StrEnum):
    """How requests differ."""

    SAME = "same"  # not at all
    TRACED = "traced"  # in headers that change with every call; their bodies are the same bytes
    REORDERED = "reordered"  # in the order of the members of their bodies
    MANY = "many"  # as REORDERED, and one of KEYS questions
    UNIQUE = "unique"  # each is a question of its own


def members(size: int = 1500, *, stream: bool = False) -> list[str]:
    """The members of a chat request's body of about ``size`` bytes, as JSON."""
    system = {"role": "system", "content": "You are a helpful assistant. " + "x" * (size - 440)}
    user = {"role": "user", "content": f"Question {MARK}: what is the capital of France?"}
    body: dict[str, object] = {
        "model": "bench-model",
        "messages": [system, user],
        "temperature": 0.2,
        "top_p": 0.95,
        "max_tokens": 256,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "seed": 7,
    }
    if stream:
        body["stream"] = True
    return [
        f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'))}"
        for name, value in body.items()
    ]


def document(parts: list[str], number: int = 0) -> bytes:
    """A body of these members."""
    return f"{{{','.join(parts)}}}".replace(MARK, f"{number:09d}").encode()


@dataclass
class Questions:
    """Requests of one kind, one after the other."""

    kind: Kind
    first: int  # the number of the first that is UNIQUE; what was asked before is told by these

    def __post_init__(self) -> None:
        self._members = members()
        self._body = document(self._members)
        self._number = self.first
        self._dice = random.Random(self.first)

    def next(self) -> tuple[list[tuple[str, str]], bytes]:
        """The fields and the body of the next."""
        self._number += 1
        fields = list(FIELDS)
        match self.kind:
            case Kind.SAME:
                return fields, self._body
            case Kind.TRACED:
                return [*fields, *self._trace()], self._body
            case Kind.REORDERED:
                return fields, self._shuffled(0)
            case Kind.MANY:
                return fields, self._shuffled(self._dice.randrange(KEYS))
            case Kind.UNIQUE:
                return fields, document(self._members, self._number)

    def request(self, host: str) -> bytes:
        """The bytes of the next, head and all."""
        return request(host, *self.next())

    def numbered(self, host: str, number: int) -> bytes:
        """The bytes of the question of that number, wherever the others are."""
        return request(host, FIELDS, document(self._members, number))

    def _shuffled(self, number: int) -> bytes:
        return document(self._dice.sample(self._members, len(self._members)), number)

    def _trace(self) -> list[tuple[str, str]]:
        return [
            ("traceparent", f"00-{self._number:032x}-{self._number:016x}-01"),
            ("X-Request-Id", f"req-{self._number:032x}"),
            ("X-Stainless-Retry-Count", str(self._number % 3)),
        ]


def request(host: str, fields: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """The bytes of a request, head and all."""
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    length = f"Content-Length: {len(body)}\r\n\r\n"
    return f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\n{head}{length}".encode() + body

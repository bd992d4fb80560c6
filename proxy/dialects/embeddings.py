"""What all embeddings protocols have in common: one question for each input, one vector for each.

A request with several inputs is as many questions, and each of their answers is kept as the reply
to a request with that input alone. A text by itself and a list of only that text are one question,
for they are answered alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import orjson

from proxy.dialects.json_body import JsonBody
from proxy.dialects.negative import seal_error
from proxy.dialects.one_form import OneForm
from proxy.dialects.vectors import Layout, Odd, Vectors, alone, apart, check, joined, shared
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.message import Head, Request
from proxy.model.query import Controls, Form, Query, Refusal, Sealed, Usage
from proxy.wire.json_slices import around, elements
from proxy.wire.strict_json import canonical

_COUNTS: Final = ("prompt_tokens", "input_tokens", "total_tokens")

# As many as OpenAI takes in one request. Each is a question of its own, so a bound there must be.
_MOST_INPUTS: Final = 2048

Input = str | list[int]
"""A text, or the tokens of one."""


@dataclass(frozen=True, slots=True)
class Speech:
    """How one protocol puts it.

    Args:
        name: of the dialect.
        routes: how its paths end.
        inputs: the member of a request that holds what is to be embedded.
        layout: of its replies.
        lone: whether that member may be one text that no list is around.
        tokens: whether an input may be given as tokens.
        dimensions: the member that says how long a vector shall be, if there is one.
        inert: members that never change an answer.
        foreign: members in whose presence a request is about something else than texts.
    """

    name: str
    routes: tuple[str, ...]
    inputs: str
    layout: Layout
    lone: bool = True
    tokens: bool = False
    dimensions: str = ""
    inert: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()


class Embeddings(OneForm):
    """A dialect whose every request has one input. See ``DivisibleEmbeddings`` for others."""

    def __init__(self, speech: Speech, wishes: Wishes = NO_WISHES) -> None:
        self.name = speech.name
        self._speech = speech
        self._inert = speech.inert | wishes.inert
        self._codes = wishes.negative.codes
        self._bodies = JsonBody(self._query, steered=wishes.steered)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith(self._speech.routes)

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        return self._bodies.read(request.headers, body)

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        if head.status != HTTPStatus.OK:
            return seal_error(body, self._codes, self._inert)
        vectors = self._checked(body, 1)
        if isinstance(vectors, Refusal):
            return vectors
        return Sealed(form, body, _counted(vectors.usage))

    def _query(
        self, asked: dict[str, object], forward: bytes, controls: Controls
    ) -> Query | Refusal:
        speech, model = self._speech, asked.get("model")
        if not (model is None or isinstance(model, str)):
            return Refusal(Why.NOT_UNDERSTOOD, "a model that is no name", forward)
        if any(asked.get(name) is not None for name in speech.foreign):
            return Refusal(Why.NOT_UNDERSTOOD, "not about texts alone", forward)
        inputs = self._inputs(asked.get(speech.inputs))
        if not inputs:
            return Refusal(Why.NOT_UNDERSTOOD, f"no {speech.inputs}, or of another type", forward)
        if len(inputs) > _MOST_INPUTS:
            return Refusal(Why.INDIVISIBLE, "too many inputs", forward)
        for name in self._inert:
            asked.pop(name, None)
        asked[speech.inputs] = inputs
        return Query(
            dialect=self.name,
            model=model or "",
            form=Form(),
            canonical=_spelled(asked),
            forward=forward,
            controls=controls,
        )

    def _inputs(self, value: object) -> Sequence[Input]:
        """The inputs that ``value`` is; none if it is no text, no tokens and no list of those."""
        speech = self._speech
        if isinstance(value, str):
            return [value] if speech.lone else []
        if not isinstance(value, list) or not value or speech.layout.single:
            return []
        kinds = set(map(type, value))
        if kinds == {str}:
            return value
        if not speech.tokens:
            return []
        if kinds == {int}:
            return [value]
        all_tokens = kinds == {list} and all(set(map(type, each)) == {int} for each in value)
        return value if all_tokens else []

    def _checked(self, body: bytes, count: int, dimensions: object = None) -> Vectors | Refusal:
        layout = self._speech.layout
        try:
            vectors = apart(body, layout)
        except Odd:
            return _misshapen(body)
        return check(vectors, layout, count, dimensions) or vectors


class DivisibleEmbeddings(Embeddings):
    """A dialect whose requests may have several inputs. Implements ``Divisible``, too."""

    def parts(self, query: Query) -> tuple[Query, ...]:
        told = orjson.loads(query.canonical)
        inputs = told[self._speech.inputs]
        if len(inputs) < 2:  # noqa: PLR2004 - several
            return ()
        before, value, after = around(query.forward, self._speech.inputs)
        found = []
        for one, raw in zip(inputs, elements(value), strict=True):
            told[self._speech.inputs] = [one]
            forward = b"%b[%b]%b" % (before, raw, after)
            found.append(query._replace(canonical=_spelled(told), forward=forward))
        return tuple(found)

    def rest(self, query: Query) -> bytes:
        before, _, after = around(query.forward, self._speech.inputs)
        return _spelled(orjson.loads(b"%bnull%b" % (before, after)))

    def batch(self, queries: Sequence[Query]) -> bytes:
        before, _, after = around(queries[0].forward, self._speech.inputs)
        raw = b",".join([self._raw(query) for query in queries])
        return b"%b[%b]%b" % (before, raw, after)

    def split(self, body: bytes, queries: Sequence[Query]) -> Sequence[bytes] | Refusal:
        told = [orjson.loads(query.canonical) for query in queries]
        dimensions = told[0].get(self._speech.dimensions)
        vectors = self._checked(body, len(queries), dimensions)
        if isinstance(vectors, Refusal):
            return vectors
        weights = [_weight(each[self._speech.inputs][0]) for each in told]
        try:
            shares = shared(vectors.usage, weights)
        except ValueError as error:
            return Refusal(Why.NOT_UNDERSTOOD, str(error))
        return alone(vectors, self._speech.layout, shares)

    def join(self, bodies: Sequence[bytes]) -> bytes | None:
        layout = self._speech.layout
        try:
            return joined([apart(body, layout) for body in bodies], layout)
        except Odd:
            return None

    def _raw(self, query: Query) -> bytes:
        """The one input of ``query`` as it was written, without a list around it."""
        value = around(query.forward, self._speech.inputs).value
        if value[:1] != b"[":
            return value
        first, *others = elements(value)
        # A list of numbers is itself the input, even if it is of one token only.
        return value if others or first[:1] not in {b'"', b"["} else first


def _spelled(asked: object) -> bytes:
    """The canonical form of ``asked``; an accent that stands apart makes another vector."""
    return canonical(asked, normal=False)


def _misshapen(body: bytes) -> Refusal:
    """Why a reply that is of no known shape is not kept."""
    try:
        told = orjson.loads(body)
    except ValueError:
        return Refusal(Why.INCOMPLETE, "not valid JSON")
    failed = isinstance(told, dict) and bool(told.get("error"))
    return Refusal(Why.ERROR_IN_BODY if failed else Why.NOT_UNDERSTOOD)


def _weight(one: Input) -> int:
    """By what an input's share of the tokens is reckoned: tokens, or bytes of text."""
    return len(one) if isinstance(one, list) else len(one.encode())


def _counted(usage: object) -> Usage | None:
    """The tokens of the input, if they were told."""
    if type(usage) is int:
        return Usage(usage, 0)
    if isinstance(usage, dict):
        for name in _COUNTS:
            if type(count := usage.get(name)) is int:
                return Usage(count, 0)
    return None

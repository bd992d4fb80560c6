"""Protocols where one JSON document is asked and one answers, never as a stream.

What sets them apart is a row of a table: their routes, how many results an answer must have, and
which input each is about. An answer that is cut off is no JSON; one that lacks results is counted
against its question before it is kept (``Query.results``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import orjson

from proxy.dialects.json_body import JsonBody
from proxy.dialects.negative import seal_error
from proxy.dialects.one_form import OneForm
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.message import Head, Request
from proxy.model.query import Controls, Form, Query, Refusal, Results, Sealed, Usage
from proxy.wire.strict_json import canonical

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Kind:
    """One such protocol.

    Args:
        name: what it is called in settings and logs.
        routes: what its paths end with.
        asks: how many results a body asks for; None if it makes no sense.
        finds: the inputs that the results in an answer are about; None if it has none where they
            belong.
        ordered: members of a body within which the order of members counts.
    """

    name: str
    routes: tuple[str, ...]
    asks: Callable[[Json], Results | None]
    finds: Callable[[object], tuple[int, ...] | None]
    ordered: frozenset[str] = frozenset()


class WholeBody(OneForm):
    """The dialect of one kind."""

    def __init__(self, kind: Kind, wishes: Wishes = NO_WISHES) -> None:
        self.name = kind.name
        self._kind = kind
        self._wishes = wishes
        self._bodies = JsonBody(self._query, steered=wishes.steered)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith(self._kind.routes)

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        return self._bodies.read(request.headers, body)

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        if head.status != HTTPStatus.OK:
            return seal_error(body, self._wishes.negative.codes, self._wishes.inert)
        try:
            document = orjson.loads(body)
        except ValueError:
            return Refusal(Why.INCOMPLETE, "not valid JSON")
        if isinstance(document, dict) and document.get("error"):
            return Refusal(Why.ERROR_IN_BODY)
        about = self._kind.finds(document)
        if about is None:
            return Refusal(Why.NOT_UNDERSTOOD, "no results where they belong")
        if not about and not self._wishes.negative.empty:
            return Refusal(Why.EMPTY)
        return Sealed(Form(), body, _usage(document), negative=not about, about=about)

    def _query(self, asked: Json, forward: bytes, controls: Controls) -> Query | Refusal:
        """What ``asked`` asks; leaves in it what decides the answer. Raises NotStrict."""
        model = asked.get("model") or ""
        results = self._kind.asks(asked)
        if not isinstance(model, str) or results is None:
            return Refusal(Why.NOT_UNDERSTOOD, f"not a body of {self.name}", forward)
        for name in self._wishes.inert:
            asked.pop(name, None)
        return Query(
            dialect=self.name,
            model=model,
            form=Form(),
            canonical=canonical(asked, ordered=self._kind.ordered, normal=False),
            forward=forward,
            controls=controls,
            temperature=0.0,  # nothing is drawn
            results=results,
        )


def _usage(document: object) -> Usage | None:
    """The token counts, if there are any; all of them are of the question."""
    usage = document.get("usage") if isinstance(document, dict) else None
    if not isinstance(usage, dict):
        return None
    count = usage.get("prompt_tokens", usage.get("total_tokens"))
    return Usage(count, 0) if type(count) is int else None


# Reranking, as Cohere has it, and Jina, Voyage, vLLM, SGLang, llama.cpp, TEI and others after it.


def _documents(asked: Json) -> Results | None:
    """At most as many results as documents, and as the best that are asked for."""
    documents = next((asked[name] for name in ("documents", "texts") if name in asked), None)
    if not isinstance(documents, list) or not documents or "query" not in asked:
        return None
    count = len(documents)
    most = next((asked[name] for name in ("top_n", "top_k") if asked.get(name)), count)
    if type(most) is not int:
        return None
    return Results(count, 0, min(count, most) if most > 0 else count)


def _ranked(document: object) -> tuple[int, ...] | None:
    """Each result tells the index of its document, and how well that fits."""
    if isinstance(document, dict):  # else it is the list itself, as TEI and SGLang have it
        document = document.get("results", document.get("data"))
    if not isinstance(document, list):
        return None
    indexes: list[int] = []
    for result in document:
        if not isinstance(result, dict):
            return None
        index, score = result.get("index"), result.get("relevance_score", result.get("score"))
        if type(index) is not int or type(score) not in (int, float):
            return None
        indexes.append(index)
    return tuple(indexes)


RERANK: Final = Kind(
    "rerank",
    ("/rerank", "/reranking"),
    _documents,
    _ranked,
    ordered=frozenset({"documents", "texts"}),  # that are objects are read from top to bottom
)


# Moderations, as OpenAI has them.


def _inputs(asked: Json) -> Results | None:
    """One result for each text; texts and pictures may be parts of one input."""
    given = asked.get("input")
    if isinstance(given, str):
        return Results(1, 1, 1)
    if not isinstance(given, list) or not given:
        return None
    count = len(given)
    return Results(count, count if all(isinstance(each, str) for each in given) else 1, count)


def _judged(document: object) -> tuple[int, ...] | None:
    """The results stand in the order of the inputs."""
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        return None
    return tuple(range(len(results)))


MODERATIONS: Final = Kind("moderations", ("/moderations",), _inputs, _judged)

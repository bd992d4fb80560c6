"""Reading requests to a RAG service: what counts of one, and what it asks."""

from __future__ import annotations

from typing import Final

import orjson

from proxy.dialects.json_body import number
from proxy.dialects.rag_json.route import Route
from proxy.dialects.words import ends
from proxy.model.decision import Why
from proxy.model.query import Asking, Controls, Form, Query, Refusal
from proxy.wire.json_pointer import Pointer
from proxy.wire.parameters import Parameter, document_of, parameters
from proxy.wire.strict_json import canonical

# Members with JSON schemas. A model fills in an object in the order its schema names properties.
_SCHEMAS: Final = frozenset(
    {"response_format", "tools", "functions", "schema", "json_schema", "format"}
)
_ACTS: Final = ("tools", "functions")


class RagRequest:
    """Reads requests to one route.

    Args:
        inert: further members at the top of a body that do not change the answer.
    """

    def __init__(self, name: str, route: Route, inert: frozenset[str]) -> None:
        self._name = name
        self._question = _pointer(route.question)
        self._history = _pointer(route.history)
        self._model = _pointer(route.model)
        self._filters = tuple(map(Pointer, route.filters))
        self._inert = tuple(map(Pointer, route.inert))
        self._inert_members = inert
        self._inert_parameters = route.inert_parameters
        # What was declared not to matter cannot be a reason to leave a request alone.
        ignored = {*route.inert, *(f"/{name}" for name in route.inert_parameters | inert)}
        self._stateful = [Pointer(each) for each in route.stateful if each not in ignored]

    def parameters(self, query_string: str) -> list[Parameter] | None:
        """What counts of a query string; None if readers may differ on what it says."""
        found = parameters(query_string)
        return (
            None
            if found is None
            else [each for each in found if each.name not in self._inert_parameters]
        )

    def is_stateful(self, found: list[Parameter]) -> bool:
        """Whether parameters tie a request to something that the backend remembers."""
        return bool(found) and self._remembers(document_of(found))

    def of_body(
        self, asked: dict[str, object], forward: bytes, controls: Controls
    ) -> Query | Refusal:
        """What a body asks; leaves in it what decides the answer. Raises NotStrict."""
        query = self._query(asked, forward, controls)
        if isinstance(query, Refusal):
            return query
        for pointer in self._filters:
            listed = pointer.find(asked)
            if isinstance(listed, list) and all(isinstance(each, str) for each in listed):
                pointer.put(asked, sorted(listed))
        for pointer in self._inert:
            pointer.cut(asked)
        for name in self._inert_members:
            asked.pop(name, None)
        return query._replace(canonical=canonical(asked, ordered=_SCHEMAS))

    def of_parameters(self, found: list[Parameter]) -> Query | Refusal:
        """What a request without a body asks, by those of its parameters that count."""
        query = self._query(document_of(found), b"", Controls())
        if isinstance(query, Refusal):
            return query
        return query._replace(canonical=orjson.dumps([each.raw for each in found]))

    def _query(
        self, document: dict[str, object], forward: bytes, controls: Controls
    ) -> Query | Refusal:
        """What ``document`` asks, but for its canonical form."""
        if self._remembers(document):
            return Refusal(Why.STATEFUL, forward=forward)
        model, question = _found(self._model, document), _found(self._question, document)
        return Query(
            dialect=self._name,
            model=model if isinstance(model, str) else "",
            form=Form(),
            canonical=b"",
            forward=forward,
            controls=controls,
            temperature=number(document.get("temperature")),
            seeded=document.get("seed") is not None,
            question=ends(question) if isinstance(question, str) else "",
        )

    def _remembers(self, document: object) -> bool:
        return any(_is_there(pointer.find(document)) for pointer in self._stateful)

    def asking(self, canonical: bytes, suffix: bytes) -> Asking | None:
        """The question whose canonical form this is, taken apart; ``suffix`` is more of the rest.

        None if there is no text where the question stands.
        """
        if self._question is None:
            return None
        said = orjson.loads(canonical)
        if isinstance(said, list):
            return self._asking_of_parameters(parameters("&".join(said)) or [], suffix)
        text = self._question.find(said)
        if not isinstance(text, str):
            return None
        self._question.put(said, None)  # where it stood is part of the rest
        return Asking(
            text,
            orjson.dumps(said) + suffix,
            follows=bool(_found(self._history, said)),
            acts=any(said.get(name) for name in _ACTS),
        )

    def _asking_of_parameters(self, found: list[Parameter], suffix: bytes) -> Asking | None:
        names = None if self._question is None else self._question.names
        asked = [each for each in found if names == (each.name,)]
        if len(asked) != 1 or (text := asked[0].value) is None:
            return None
        rest = [each.valueless.raw if each is asked[0] else each.raw for each in found]
        follows = bool(_found(self._history, document_of(found)))
        return Asking(text, orjson.dumps(rest) + suffix, follows=follows, acts=False)


def _pointer(text: str | None) -> Pointer | None:
    return None if text is None else Pointer(text)


def _found(pointer: Pointer | None, document: object) -> object:
    return None if pointer is None else pointer.find(document)


def _is_there(value: object) -> bool:
    """Whether ``value`` says anything; a 0 may be the id of something."""
    return bool(value) or (value == 0 and value is not False)

"""What a caller gets in place of an answer when the backend fails, step by step.

The steps are tried in the configured order, and the first that has something to say is heard. What
they bring is told by ``X-Cache: DEGRADED`` and is never stored: the next caller asks the backend
again. Each caller gets it by his own rights, whoever sent the flight that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, Protocol, runtime_checkable

import orjson

from proxy.dialects.json_body import JSON
from proxy.key import CREDENTIALS, standby_of, without_credentials
from proxy.model.decision import Why
from proxy.model.errors import UpstreamError
from proxy.model.message import Arrival, Head, Headers, Outbound, Upstream
from proxy.model.outcome import Reply, Verdict
from proxy.model.query import Form, Query, Sealed
from proxy.policy import FAILING
from proxy.question import Question
from proxy.reply import Replies
from proxy.wire.json_pointer import Pointer
from proxy.wire.json_texts import replaced
from proxy.wire.problem import problem

_CREDENTIALS: Final = frozenset((*CREDENTIALS, "cookie"))
_OK: Final = 200


class Failure(NamedTuple):
    """How the backend failed."""

    status: int | None  # what it said; None: nothing
    error: UpstreamError | None = None  # what went wrong where it said nothing


@runtime_checkable
class Speaker(Protocol):
    """A dialect in which the proxy can say something itself."""

    def speak(self, text: str, query: Query, created: int) -> bytes:
        """The document in which a model would answer ``query`` with ``text``.

        Args:
            created: seconds since 1970.
        """
        ...


@dataclass(frozen=True, slots=True)
class Where:
    """Which questions a step is for: shell patterns, compared with case."""

    path: str = "*"
    model: str = "*"

    def holds(self, question: Question) -> bool:
        """Whether it is for this one."""
        path, model = question.request.path, question.query.model
        return fnmatchcase(path, self.path) and fnmatchcase(model, self.model)


@dataclass(frozen=True, slots=True)
class Stale:
    """The last good answer, where ``stale_if_error_s`` lets one be served."""

    where: Where = Where()


@dataclass(frozen=True, slots=True)
class Standby:
    """The answer of a second backend.

    Args:
        credentials: whether it gets those of the caller.
        model: its name for the model; "": as the caller says.
    """

    upstream: Upstream
    credentials: bool = False
    model: str = ""
    where: Where = Where()

    def question(self, question: Question) -> Question:
        """What is asked of it in place of ``question``."""
        request, query = question.request, question.query
        if not self.credentials:
            request = request._replace(
                headers=_anonymous(request.headers),
                query_string=without_credentials(request.query_string),
            )
        if self.model:
            query = query._replace(forward=replaced(query.forward, {("model",): self.model}))
        return question._replace(
            upstream=self.upstream,
            request=request,
            query=query,
            key=standby_of(question.key, f"{self.upstream.id} {self.model}"),
            standby=True,
            caller=question.whose,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A text of the operator's.

    Args:
        status: 200 gives it as an answer, in the dialect's own form; any other as an error.
    """

    text: str
    status: int = _OK
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What a search finds, without an answer made of it.

    Args:
        path: raw, with the query string if any, as the backend has it.
        body: JSON to send; ``{question}`` stands for what the caller asked last.
        documents: leads to the list of what was found.
        text: leads to the text of one of them.
        template: the answer; ``{documents}`` stands for them.
        each: one document in it; ``{text}`` stands for its text, ``{number}`` for its place.
        most: documents that are told at most.
    """

    upstream: Upstream
    method: str
    path: str
    body: object
    documents: Pointer
    text: Pointer
    template: str
    each: str
    most: int
    credentials: bool = False
    where: Where = Where()

    async def found(self, question: Question) -> str | None:
        """The answer, or None if nothing was found. Raises UpstreamError."""
        arrival = await self.upstream.send(self._outbound(question))
        try:
            body = await _bounded(arrival) if arrival.head.status == _OK else None
        finally:
            arrival.close()
        try:
            documents = self.documents.find(orjson.loads(body or b"null"))
        except ValueError:
            return None
        if not isinstance(documents, list):
            return None
        texts = [
            text for each in documents if isinstance(text := self.text.find(each), str) and text
        ]
        told = [
            self.each.replace("{number}", str(at)).replace("{text}", text)
            for at, text in enumerate(texts[: self.most], 1)
        ]
        return self.template.replace("{documents}", "\n".join(told)) if told else None

    def _outbound(self, question: Question) -> Outbound:
        path, _, query_string = self.path.partition("?")
        headers = question.rooms.outbound(question.request)
        if not self.credentials:
            headers = _anonymous(headers)
        body = (
            b"" if self.body is None else orjson.dumps(_filled(self.body, question.query.question))
        )
        if body:
            headers = headers.without(_CONTENT_TYPE).plus(("Content-Type", "application/json"))
        return Outbound(self.method, path, query_string, headers, body, question.whose)


def _anonymous(headers: Headers) -> Headers:
    """``headers`` less the caller's credentials; CGI, and so WSGI, reads "_" as "-" in a name."""
    return Headers(
        field for field in headers if field[0].lower().replace("_", "-") not in _CREDENTIALS
    )


_CONTENT_TYPE: Final = frozenset({"content-type"})
_LONGEST: Final = 2**20  # bytes of what a search may find


Step = Stale | Standby | Retrieval | Message


class Degrading:
    """The steps, and which statuses of the backend are failures.

    Args:
        steps: in their order; of alternatives the first that is for a question counts.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        steps: Sequence[Sequence[Step]] = ((Stale(),),),
        *,
        failing: frozenset[int] = FAILING,
        replies: Replies,
        wall: Callable[[], float],
    ) -> None:
        self._steps = tuple(map(tuple, steps))
        self._replies = replies
        self._wall = wall
        self.failing = failing

    def steps(self, question: Question) -> Sequence[Step]:
        """What to try for ``question``, in order; nothing more for what is asked in its place."""
        if question.standby:
            return ()
        fitting = (
            next((step for step in alternatives if step.where.holds(question)), None)
            for alternatives in self._steps
        )
        return [step for step in fitting if step is not None]

    def message(self, step: Message, question: Question, failure: Failure) -> Reply | None:
        """The operator's text, or None if it cannot be said."""
        if step.status == _OK:
            return self._said(step.text, Why.MESSAGE, question, failure)
        head, body = problem(step.status, "degraded", step.text, pseudonym=self._replies.name)
        return self._written(head, body, Why.MESSAGE, question, failure)

    async def retrieval(
        self, step: Retrieval, question: Question, failure: Failure
    ) -> Reply | None:
        """What a search finds, or None if that fails, too."""
        if not question.query.question:
            return None
        try:
            found = await step.found(question)
        except UpstreamError:
            return None
        return None if found is None else self._said(found, Why.DOCUMENTS, question, failure)

    def _said(self, text: str, why: Why, question: Question, failure: Failure) -> Reply | None:
        dialect = question.dialect
        if not isinstance(dialect, Speaker):
            return None
        document = dialect.speak(text, question.query, int(self._wall()))
        said = question.dialect.render(Sealed(Form(), document), question.query.form)
        if said is None:
            return None
        fields = (("Content-Type", said.content_type or JSON), ("Cache-Control", "no-store"))
        return self._written(Head(_OK, "OK", Headers(fields)), said.body, why, question, failure)

    def _written(
        self, head: Head, body: bytes, why: Why, question: Question, failure: Failure
    ) -> Reply:
        outcome = question.failed(why)._replace(
            verdict=Verdict.DEGRADED, fwd_status=failure.status, stored=False
        )
        if failure.error is not None:
            outcome = outcome._replace(detail=failure.error.token)
        return self._replies.write(head, body, outcome, question.began)


async def _bounded(arrival: Arrival) -> bytes | None:
    """The whole body, or None if that is too long. Raises UpstreamError."""
    pieces: list[bytes] = []
    size = 0
    async for piece in arrival.chunks():
        size += len(piece)
        if size > _LONGEST:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _filled(body: object, question: str) -> object:
    """``body`` with ``question`` wherever that stands."""
    if isinstance(body, str):
        return body.replace("{question}", question)
    if isinstance(body, dict):
        return {name: _filled(value, question) for name, value in body.items()}
    return [_filled(each, question) for each in body] if isinstance(body, list) else body

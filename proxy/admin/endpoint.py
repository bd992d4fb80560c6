"""What can be asked of the operator's listener: one ``Endpoint`` each, read and told by models.

The models say what may be sent and what comes back; requests are checked against them, and the
OpenAPI document is made of them, so that neither can say something else than the code does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, ValidationError

MOST_BYTES: Final = 2**20  # of a body that is sent
_SENT_S: Final = 30.0  # in which all of it must have come
_JSON: Final = "application/json"
_MOST_FAULTS: Final = 100  # that are told; to tell of 100,000 takes half a second
_WORDS: Final = {
    "json_invalid": "the body is no JSON",
    "model_type": "the body is no object",
    "extra_forbidden": "there is no such thing here",
    "missing": "this is needed",
}


class Said(BaseModel):
    """What callers say: closed to names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Shown(BaseModel):
    """What they are told."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Said):
    """For where nothing can be said."""


class Problem(Shown):
    """Why there is no other answer."""

    error: str


class Refused(Exception):
    """An answer with another status than 200, which says what to do.

    Args:
        status: one that the endpoint documents.
        why: a sentence.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Told(NamedTuple):
    """An answer."""

    body: Shown
    status: int = 200


Q = TypeVar("Q", bound=Said)
B = TypeVar("B", bound=Said)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """A request that makes sense: its query string and its body, read."""

    query: Q
    body: B
    path: Mapping[str, str]  # the parts of the path that are named in braces
    request: web.Request  # for answers that are not written at once


Answer = Callable[[Call[Q, B]], Awaitable[Told | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing that can be asked; make it by ``endpoint``.

    Attributes:
        path: as aiohttp has it; ``{name}`` is a part that the caller chooses.
        ask: answers a request, or raises Refused.
        answers: for each status what comes: a model, or the media types of what has none, with ", "
            between them. Those that every endpoint may answer with are not repeated.
        named: for each name in the path, what it may be, as JSON Schema.
        is_open: whether it needs no token. Such an endpoint tells nothing worth knowing.
        takes: the media type of what is sent along where that is no JSON; ``ask`` reads it itself,
            from the request, as it comes.
    """

    method: str
    path: str
    summary: str
    ask: Callable[[web.Request], Awaitable[web.StreamResponse]]
    answers: Mapping[int, type[Shown] | str]
    query: type[Said] = Nothing
    body: type[Said] = Nothing
    named: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    is_open: bool = False
    takes: str = ""

    @property
    def takes_body(self) -> bool:
        """Whether JSON is to be sent along."""
        return self.body is not Nothing


def endpoint(
    method: str,
    path: str,
    answer: Answer[Q, B],
    *,
    query: type[Q],
    body: type[B],
    summary: str,
    answers: Mapping[int, type[Shown] | str],
    named: Mapping[str, Mapping[str, object]] | None = None,
    is_open: bool = False,
    takes: str = "",
) -> Endpoint:
    """The endpoint that has requests read and answered by ``answer``; see ``Endpoint``."""

    async def ask(request: web.Request) -> web.StreamResponse:
        if takes:
            _expect(takes, request)
            sent = body()
        else:
            sent = await _body(body, request)
        asked = Call(_query(query, request), sent, request.match_info, request)
        told = await answer(asked)
        if isinstance(told, web.StreamResponse):
            return told
        return web.json_response(status=told.status, body=told.body.model_dump_json().encode())

    return Endpoint(method, path, summary, ask, answers, query, body, named or {}, is_open, takes)


def plain(
    path: str,
    answer: Answer[Nothing, Nothing],
    summary: str,
    answers: Mapping[int, type[Shown] | str],
    *,
    is_open: bool = False,
) -> Endpoint:
    """An endpoint that is asked by GET, with nothing to be said."""
    return endpoint(
        "GET", path, answer, query=Nothing, body=Nothing, summary=summary, answers=answers,
        is_open=is_open,
    )  # fmt: skip


def _query(model: type[Q], request: web.Request) -> Q:
    said: dict[str, object] = {}
    for name in dict.fromkeys(request.query):
        values = request.query.getall(name)
        said[name] = values[0] if len(values) == 1 else values
    try:
        return model.model_validate(said)
    except ValidationError as error:
        raise Refused(400, _faults(error)) from error


async def _body(model: type[B], request: web.Request) -> B:
    if model is Nothing:
        if request.can_read_body:
            raise Refused(400, "nothing is to be sent along with this")
        return model()
    _expect(_JSON, request)
    try:
        async with asyncio.timeout(_SENT_S):
            sent = await request.read()
    except TimeoutError as error:
        raise Refused(400, f"the body has not come within {_SENT_S:g} s") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise Refused(413, f"the body is longer than {MOST_BYTES} bytes") from error
    try:
        return model.model_validate_json(sent)
    except ValidationError as error:
        raise Refused(400, _faults(error)) from error


def _expect(media_type: str, request: web.Request) -> None:
    """Raise Refused for a body of another type: this one no web page can send unasked."""
    if request.content_type != media_type:
        raise Refused(415, f"send the body as {media_type}")


def _faults(error: ValidationError) -> str:
    """What is wrong, each with where; never what was said, which may be confidential."""
    if error.error_count() > _MOST_FAULTS:
        return f"{error.error_count()} things in it are not as they should be"
    told = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(step) for step in fault["loc"])
        text = _WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
        told.append(f"{where}: {text}" if where else text)
    return "; ".join(dict.fromkeys(told))


def cut(request: web.Request) -> None:
    """End its connection at once: to end a reply as usual, a client that reads is needed."""
    if request.transport is not None:
        request.transport.abort()


def refusal(refused: Refused) -> web.Response:
    """``refused`` as a response."""
    body = Problem(error=refused.why).model_dump_json().encode()
    response = web.json_response(status=refused.status, body=body)
    if refused.status == 401:  # noqa: PLR2004 - RFC 9110, section 11.6.1
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="sidecache"'
    return response

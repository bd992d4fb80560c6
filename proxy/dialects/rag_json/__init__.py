"""RAG services of any shape, by configuration alone.

Requests and answers are JSON of the operator's own; where everything stands in them is a ``Route``.
A stream and a document are kept apart, for nothing says how one becomes the other: the member that
asks for a stream is part of the key, and what is stored is replayed as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Final

import orjson

from proxy.dialects.base import Relay, Rendered, Sieve
from proxy.dialects.json_body import JsonBody, is_json, is_plain
from proxy.dialects.negative import seal_error
from proxy.dialects.rag_json.answer import RagAnswer
from proxy.dialects.rag_json.request import RagRequest
from proxy.dialects.rag_json.route import Route, Streaming
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.entry import Entry
from proxy.model.message import Head, Request
from proxy.model.query import Asking, Form, Query, Refusal, Sealed
from proxy.wire.json_pointer import Pointer
from proxy.wire.tags import tags_of

_APART: Final = b"\n"  # between the canonical body, which has no line ends, and what else counts


class RagJson:
    """The dialect of one route.

    Args:
        version: that of the knowledge base as last read, None if it never was; "" where none
            counts.
    """

    name = "rag_json"

    def __init__(
        self,
        route: Route,
        wishes: Wishes = NO_WISHES,
        version: Callable[[], str | None] = lambda: "",
    ) -> None:
        self._route = route
        self._wishes = wishes
        self._version = version
        self._request = RagRequest(self.name, route, wishes.inert)
        self._answer = RagAnswer(route)
        self._bodies = JsonBody(self._request.of_body, steered=wishes.steered)
        self._unkeyed = _members(route) | wishes.inert
        self._suffix = ("", b"")

    def matches(self, method: str, path: str) -> bool:
        return method in self._route.methods and self._covers(path)

    def _covers(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self._route.paths)

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        version = self._version()
        if version is None:
            return Refusal(Why.VERSION)
        parameters = self._request.parameters(request.query_string)
        if parameters is None:
            return Refusal(Why.UNKEYABLE, "a query string that readers may read differently")
        if request.method == "GET":
            if body:
                return Refusal(Why.UNKEYABLE, "a GET with a body")
            query, query_string = self._request.of_parameters(parameters), ""
        else:
            query = self._bodies.read(request.headers, body)
            if isinstance(query, Query) and self._request.is_stateful(parameters):
                query = Refusal(Why.STATEFUL, forward=query.forward)
            query_string = "&".join(each.raw for each in parameters)
        if isinstance(query, Refusal):
            return query
        streams = self._route.stream.kind is not Streaming.NONE
        return query._replace(
            form=Form(stream=streams),
            canonical=query.canonical + self._ending(version),
            query_string=query_string,
        )

    def current(self, query: Query) -> bool:
        version = self._version()
        return version is not None and query.canonical.endswith(self._ending(version))

    def _ending(self, version: str) -> bytes:
        """What follows the body in its canonical form: neither can be taken for the other."""
        known, ending = self._suffix
        if known != version or not ending:
            ending = _APART + self._route.fingerprint(version)
            self._suffix = version, ending
        return ending

    def asking(self, query: Query) -> Asking | None:
        canonical, apart, fingerprint = query.canonical.rpartition(_APART)
        return self._request.asking(canonical, apart + fingerprint)

    def answer(self, entry: Entry) -> str | None:
        if not self._covers(entry.path):
            return None
        heard = self._answer.hear(entry.body, entry.form)
        return None if isinstance(heard, Refusal) else heard.text or None

    def arriving(self, head: Head, asked: Form) -> Form | None:
        if not is_plain(head):
            return None
        if head.status == HTTPStatus.OK and head.media_type in self._route.stream.media_types:
            return Form(stream=True)
        return Form() if is_json(head.media_type) else None

    def framed(self, form: Form) -> bool:
        stream = self._route.stream
        return form.stream and (stream.kind is Streaming.PLAIN or stream.done.framed)

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        if head.status != HTTPStatus.OK:
            return seal_error(body, self._wishes.negative.codes, self._unkeyed)
        tagged, keep_empty = bool(tags_of(head.headers)), self._wishes.negative.empty
        return self._answer.seal(body, form, tagged=tagged, keep_empty=keep_empty)

    def relay(self, offered: Form, wanted: Form) -> Relay:
        return Relay.VERBATIM

    def sieve(self, wanted: Form) -> Sieve:
        return bytes  # nothing is left out of any stream

    def render(self, entry: Entry | Sealed, wanted: Form) -> Rendered | None:
        return Rendered(entry.body)


class RagDocuments(RagJson):
    """The dialect of a route that never streams; in it the proxy can say something itself.

    Args:
        members: the way to the answer in a document.
    """

    def __init__(
        self,
        route: Route,
        wishes: Wishes = NO_WISHES,
        version: Callable[[], str | None] = lambda: "",
        *,
        members: tuple[str, ...],
    ) -> None:
        super().__init__(route, wishes, version)
        self._way = members

    def speak(self, text: str, query: Query, created: int) -> bytes:
        """``text`` where the answer stands, and nothing besides.

        Args:
            created: seconds since 1970, which no answer here tells.
        """
        said: object = text
        for name in reversed(self._way):
            said = {name: said}
        return orjson.dumps(said)


def rag_json(
    route: Route, wishes: Wishes = NO_WISHES, version: Callable[[], str | None] = lambda: ""
) -> RagJson:
    """The dialect of ``route``; see ``RagJson``.

    Where answers may stream, nobody knows by a request whether it asks for that, and in a list
    nobody knows what else is in it: there the proxy says nothing itself.
    """
    members = Pointer(route.answer).names
    if route.stream.kind is not Streaming.NONE or members is None:
        return RagJson(route, wishes, version)
    return RagDocuments(route, wishes, version, members=members)


def _members(route: Route) -> frozenset[str]:
    """What of a request an error may not be about: it is not part of the question, or in part."""
    tops = (names[0] for each in route.inert if (names := Pointer(each).names))
    return route.inert_parameters.union(tops)

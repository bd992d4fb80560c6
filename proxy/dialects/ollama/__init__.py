"""Ollama's own protocol: ``/api/chat`` and ``/api/generate``.

An answer is a stream of JSON lines unless the request says ``"stream": false``. The last line tells
the token counts and how long it all took; it is replayed as it was.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Final

from proxy.dialects.base import Relay, Rendered, Sieve
from proxy.dialects.json_body import JsonBody, form_of, number
from proxy.dialects.negative import seal_error
from proxy.dialects.ollama.forms import document_of, stream_of
from proxy.dialects.ollama.seal import seal
from proxy.dialects.ollama.words import answer_of, asking_of, question_of, spoken
from proxy.dialects.shapes import other_form
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.entry import Entry
from proxy.model.message import Head, Request
from proxy.model.query import Asking, Controls, Form, Query, Refusal, Sealed
from proxy.wire import lines
from proxy.wire.strict_json import canonical

_LINES: Final = "application/x-ndjson"
_DOCUMENT: Final = "application/json; charset=utf-8"
_CHAT: Final = "/api/chat"
_GENERATE: Final = "/api/generate"
# Members with JSON schemas: a model fills in an object in the order its schema names properties.
_SCHEMAS: Final = frozenset({"format", "tools"})
# The same of what was said where a tool was called: its arguments are told to the model in order.
_CALLS: Final = _SCHEMAS | {"messages"}


class Ollama:
    """The dialect of ``/api/chat`` and ``/api/generate``, wherever they are mounted."""

    name = "ollama"

    def __init__(self, wishes: Wishes = NO_WISHES) -> None:
        self._wishes = wishes
        self._unkeyed = wishes.inert | {"stream", "keep_alive"}
        self._chats = JsonBody(partial(self._query, "messages"), steered=wishes.steered)
        self._prompts = JsonBody(partial(self._query, "prompt"), steered=wishes.steered)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith((_CHAT, _GENERATE))

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        bodies = self._chats if request.path.endswith(_CHAT) else self._prompts
        return bodies.read(request.headers, body)

    def asking(self, query: Query) -> Asking | None:
        return asking_of(query.canonical)

    def answer(self, entry: Entry) -> str | None:
        return answer_of(entry)

    def arriving(self, head: Head, asked: Form) -> Form | None:
        return form_of(head, lines.MEDIA_TYPES)

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        if head.status != HTTPStatus.OK:
            return seal_error(body, self._wishes.negative.codes, self._unkeyed)
        return seal(body, form, self._wishes)

    def relay(self, offered: Form, wanted: Form) -> Relay:
        return Relay.VERBATIM if offered.stream is wanted.stream else Relay.AT_END

    def sieve(self, wanted: Form) -> Sieve:
        return bytes  # nothing is left out of any stream

    def render(self, entry: Entry | Sealed, wanted: Form) -> Rendered | None:
        if entry.form.stream is wanted.stream:
            return Rendered(entry.body)
        if wanted.stream:
            return other_form(stream_of, entry.body, _LINES)
        return other_form(document_of, entry.body, _DOCUMENT)

    def speak(self, text: str, query: Query, created: int) -> bytes:
        return spoken(text, query, created)

    def _query(
        self, subject: str, asked: dict[str, object], forward: bytes, controls: Controls
    ) -> Query | Refusal:
        """What ``asked`` asks; leaves in it what decides the answer. Raises NotStrict.

        Args:
            subject: the member that the question stands in.
        """
        model = asked.get("model") or asked.get("name")
        if not isinstance(model, str):  # others than Ollama have routes of these names as well
            return Refusal(Why.NOT_UNDERSTOOD, "no model is named", forward)
        options = asked.get("options") or {}
        if not isinstance(options, dict):
            return Refusal(Why.NOT_UNDERSTOOD, "options of another type", forward)
        said = asked.get(subject)
        if not said:  # to Ollama null, "" and [] are all nothing
            return Refusal(Why.STATEFUL, "a model is loaded, nothing is asked", forward)
        if not isinstance(said, list if subject == "messages" else str):
            return Refusal(Why.NOT_UNDERSTOOD, f"{subject} of another type", forward)
        stream = asked.pop("stream", None)
        if not (stream is None or isinstance(stream, bool)):
            return Refusal(Why.NOT_UNDERSTOOD, "stream is of another type", forward)
        # For how long the model stays loaded afterwards: a duration as a text or in seconds.
        if isinstance(asked.get("keep_alive"), str | int | float | None):
            asked.pop("keep_alive", None)
        temperature, question = number(options.get("temperature")), question_of(said)
        calls = isinstance(said, list) and any(
            isinstance(message, dict) and message.get("tool_calls") for message in said
        )
        for name in self._wishes.inert:
            asked.pop(name, None)
        return Query(
            dialect=self.name,
            model=model,
            form=Form(stream=stream is not False),
            canonical=canonical(asked, ordered=_CALLS if calls else _SCHEMAS),
            forward=forward,
            controls=controls,
            temperature=temperature,
            seeded=options.get("seed") is not None,
            question=question,
        )

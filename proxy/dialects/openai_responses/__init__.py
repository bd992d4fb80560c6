"""The OpenAI Responses protocol, as far as it leaves nothing behind.

Spoken by OpenAI, Azure, vLLM, OpenRouter, LiteLLM and others. The backend's own bytes are what is
kept and replayed; the other form of an answer is made from them when somebody asks for it
(``forms``). What only the backend can answer is passed on (``state``).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from proxy.dialects.base import Relay, Rendered, Sieve
from proxy.dialects.json_body import JSON, JsonBody, form_of, number
from proxy.dialects.negative import seal_error
from proxy.dialects.openai_responses.forms import document_of, stream_of
from proxy.dialects.openai_responses.seal import Keep, seal
from proxy.dialects.openai_responses.state import STATE, brings_schemas, refuse
from proxy.dialects.openai_responses.words import answer_of, asking_of, question_of, spoken
from proxy.dialects.shapes import other_form
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.entry import Entry
from proxy.model.message import Head, Request
from proxy.model.query import Asking, Controls, Form, Query, Refusal, Sealed
from proxy.wire.frames import MEDIA_TYPE
from proxy.wire.strict_json import canonical

# Members with JSON schemas. A model fills in an object in the order its schema names properties, so
# with reasoning named before the answer it thinks first, and after it, it does not.
_SCHEMAS: Final = frozenset({"text", "tools", "guided_json", "structured_outputs", "extra_body"})


class OpenAIResponses:
    """The dialect of ``POST /responses``, wherever it is mounted.

    Args:
        wishes: with ``store`` among the inert members, ``store: true`` is no longer a reason to
            leave a request alone; the like for other members that tell of state.
    """

    name = "openai_responses"

    def __init__(self, wishes: Wishes = NO_WISHES) -> None:
        self._inert = wishes.inert
        self._state = tuple(name for name in STATE if name not in wishes.inert)
        self._keep = Keep(
            wishes.store_truncated, wishes.store_tool_calls, wishes.negative.empty, self._state
        )
        self._codes = wishes.negative.codes
        self._unkeyed = wishes.inert | {"stream"}
        self._json_without_usage = wishes.json_without_usage
        self._confidence = wishes.confidence
        self._bodies = JsonBody(self._query, steered=wishes.steered)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/responses")

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        return self._bodies.read(request.headers, body)

    def asking(self, query: Query) -> Asking | None:
        return asking_of(query.canonical)

    def answer(self, entry: Entry) -> str | None:
        return answer_of(entry)

    def arriving(self, head: Head, asked: Form) -> Form | None:
        return form_of(head, {MEDIA_TYPE})  # the last event of a stream counts tokens, unasked

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        if head.status != HTTPStatus.OK:
            return seal_error(body, self._codes, self._unkeyed)
        return seal(body, form, self._keep, self._confidence)

    def relay(self, offered: Form, wanted: Form) -> Relay:
        if offered.stream is wanted.stream:
            return Relay.VERBATIM
        if wanted.stream or offered.usage or self._json_without_usage:
            return Relay.AT_END
        return Relay.NEVER

    def sieve(self, wanted: Form) -> Sieve:
        return bytes

    def render(self, entry: Entry | Sealed, wanted: Form) -> Rendered | None:
        relay = self.relay(entry.form, wanted)
        if relay is Relay.VERBATIM:
            return Rendered(entry.body)
        if relay is Relay.NEVER:
            return None
        if wanted.stream:
            return other_form(stream_of, entry.body, f"{MEDIA_TYPE}; charset=utf-8")
        return other_form(document_of, entry.body, JSON)

    def speak(self, text: str, query: Query, created: int) -> bytes:
        return spoken(text, query, created)

    def _query(
        self, asked: dict[str, object], forward: bytes, controls: Controls
    ) -> Query | Refusal:
        """What ``asked`` asks; leaves in it what decides the answer. Raises NotStrict."""
        model = asked.get("model")
        if not (model is None or isinstance(model, str)):
            return Refusal(Why.NOT_UNDERSTOOD, "a model that is no name", forward)
        if not isinstance(asked.get("input"), str | list) and not isinstance(
            asked.get("prompt"), dict
        ):
            return Refusal(Why.NOT_UNDERSTOOD, "neither an input nor a prompt", forward)
        stream = asked.pop("stream", None)
        if not (stream is None or isinstance(stream, bool)):
            return Refusal(Why.NOT_UNDERSTOOD, "stream is of another type", forward)
        if stream and not asked.get("stream_options"):
            # Options stay: who has padding against eavesdroppers left out shares no stream with
            # those who rely on it.
            asked.pop("stream_options", None)
        if refusal := refuse(asked, self._state):
            return Refusal(refusal.why, refusal.detail, forward)
        temperature, question = number(asked.get("temperature")), question_of(asked)
        ordered = _SCHEMAS | {"input"} if brings_schemas(asked) else _SCHEMAS
        for name in self._inert:
            asked.pop(name, None)
        return Query(
            dialect=self.name,
            model=model or "",
            form=Form(stream=bool(stream)),
            canonical=canonical(asked, ordered=ordered),
            forward=forward,
            controls=controls,
            temperature=temperature,
            question=question,
        )

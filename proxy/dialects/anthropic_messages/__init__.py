"""The Anthropic Messages protocol.

Spoken by Anthropic, and besides other protocols by vLLM, Ollama, LiteLLM, DeepSeek and others. The
backend's own bytes are what is kept and replayed; the other form of an answer is made from them
when somebody asks for it (``forms``).

``anthropic-version`` and ``anthropic-beta`` are in the key as every header is that is not known to
be inert, and ``x-api-key`` is a credential like ``authorization``.
"""

from __future__ import annotations

from http import HTTPStatus

from proxy.dialects.anthropic_messages.blocks import ordered_in
from proxy.dialects.anthropic_messages.forms import document_of, stream_of
from proxy.dialects.anthropic_messages.seal import seal
from proxy.dialects.anthropic_messages.state import more_than_asked
from proxy.dialects.anthropic_messages.words import answer_of, asking_of, question_of, spoken
from proxy.dialects.base import Relay, Rendered, Sieve
from proxy.dialects.json_body import JSON, JsonBody, form_of, number
from proxy.dialects.negative import seal_error
from proxy.dialects.shapes import other_form
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.entry import Entry
from proxy.model.message import Head, Request
from proxy.model.query import Asking, Controls, Form, Query, Refusal, Sealed
from proxy.wire.frames import MEDIA_TYPE
from proxy.wire.strict_json import canonical


class AnthropicMessages:
    """The dialect of ``/messages``, wherever it is mounted.

    Token counts are in either form, so there are but two.
    """

    name = "anthropic_messages"

    def __init__(self, wishes: Wishes = NO_WISHES) -> None:
        self._wishes = wishes
        self._unkeyed = wishes.inert | {"stream"}
        self._bodies = JsonBody(self._query, steered=wishes.steered)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/messages")

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        return self._bodies.read(request.headers, body)

    def asking(self, query: Query) -> Asking | None:
        return asking_of(query.canonical)

    def answer(self, entry: Entry) -> str | None:
        return answer_of(entry)

    def arriving(self, head: Head, asked: Form) -> Form | None:
        return form_of(head, {MEDIA_TYPE})

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        if head.status != HTTPStatus.OK:
            return seal_error(body, self._wishes.negative.codes, self._unkeyed)
        return seal(body, form, self._wishes)

    def relay(self, offered: Form, wanted: Form) -> Relay:
        return Relay.VERBATIM if offered.stream == wanted.stream else Relay.AT_END

    def sieve(self, wanted: Form) -> Sieve:
        return bytes  # nothing is ever filtered

    def render(self, entry: Entry | Sealed, wanted: Form) -> Rendered | None:
        if entry.form.stream == wanted.stream:
            return Rendered(entry.body)
        if wanted.stream:
            return other_form(stream_of, entry.body, f"{MEDIA_TYPE}; charset=utf-8")
        return other_form(document_of, entry.body, JSON)

    def speak(self, text: str, query: Query, created: int) -> bytes:
        return spoken(text, query)

    def _query(
        self, asked: dict[str, object], forward: bytes, controls: Controls
    ) -> Query | Refusal:
        """What ``asked`` asks; leaves in it what decides the answer. Raises NotStrict."""
        model, stream = asked.get("model"), asked.pop("stream", None)
        # Messages are posted to many a service: to a thread of OpenAI's assistants, to a chat room.
        # What has all of these is a question.
        if not (
            isinstance(model, str)
            and isinstance(asked.get("messages"), list)
            and type(asked.get("max_tokens")) is int
        ):
            return Refusal(Why.NOT_UNDERSTOOD, "no model, messages or max_tokens", forward)
        if not (stream is None or isinstance(stream, bool)):
            return Refusal(Why.NOT_UNDERSTOOD, "stream is of another type", forward)
        if refusal := more_than_asked(asked, self._wishes.inert, forward):
            return refusal
        temperature, question = number(asked.get("temperature")), question_of(asked)
        for name in self._wishes.inert:
            asked.pop(name, None)
        return Query(
            dialect=self.name,
            model=model,
            form=Form(stream=bool(stream)),
            canonical=canonical(asked, ordered=ordered_in(asked)),
            forward=forward,
            controls=controls,
            temperature=temperature,
            question=question,
        )

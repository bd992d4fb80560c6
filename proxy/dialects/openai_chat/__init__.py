"""The OpenAI chat completions protocol, and the text completions before it.

Spoken by OpenAI, Azure, vLLM, SGLang, llama.cpp, Ollama, TGI, LiteLLM, DeepSeek, Mistral and many
more. The backend's own bytes are what is kept and replayed; the other form of an answer is made
from them when somebody asks for it (``forms``).
"""

from __future__ import annotations

import re
from functools import partial
from http import HTTPStatus
from typing import Final

import orjson

from proxy.dialects.base import Relay, Rendered, Sieve
from proxy.dialects.json_body import JSON, JsonBody, form_of, number
from proxy.dialects.negative import seal_error
from proxy.dialects.openai_chat.forms import document_of, stream_of
from proxy.dialects.openai_chat.seal import FINISHED, Keep, seal
from proxy.dialects.openai_chat.words import ACTS, answer_of, question_of, spoken
from proxy.dialects.shapes import other_form
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.dialects.words import asking_of
from proxy.model.decision import Why
from proxy.model.entry import Entry
from proxy.model.message import Head, Request
from proxy.model.query import Asking, Controls, Form, Query, Refusal, Sealed
from proxy.wire import frames, json_members
from proxy.wire.frames import MEDIA_TYPE
from proxy.wire.strict_json import canonical

# Members with JSON schemas. A model fills in an object in the order its schema names properties, so
# with reasoning named before the answer it thinks first, and after it, it does not.
_SCHEMAS: Final = frozenset(
    {
        "response_format", "tools", "functions", "guided_json", "structured_outputs", "extra_body",
        "format", "json_schema",
    }
)  # fmt: skip
_NO_COUNTS: Final = re.compile(rb',\s*"usage"\s*:\s*null')
# Members by which a request leaves something behind, or builds on what another one left.
_STATE: Final = ("store", "background", "previous_response_id")


class OpenAIChat:
    """The dialect of ``/chat/completions`` and ``/completions``, wherever they are mounted.

    Args:
        wishes: with ``store`` among the inert members, ``store: true`` is no longer a reason to
            leave a request alone.
        finished: the finish reasons that mean the model came to its own end.
    """

    name = "openai_chat"

    def __init__(self, wishes: Wishes = NO_WISHES, *, finished: frozenset[str] = FINISHED) -> None:
        self._inert = wishes.inert
        self._state = tuple(name for name in _STATE if name not in wishes.inert)
        self._keep = Keep(
            wishes.store_truncated, wishes.store_tool_calls, finished, wishes.negative.empty
        )
        self._codes = wishes.negative.codes
        self._unkeyed = wishes.inert | {"stream", "stream_options"}
        self._json_without_usage = wishes.json_without_usage
        self._confidence = wishes.confidence
        self._bodies = JsonBody(self._query, steered=wishes.steered)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/completions")  # and so /chat/completions

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        return self._bodies.read(request.headers, body)

    def asking(self, query: Query) -> Asking | None:
        return asking_of(query.canonical, ACTS)

    def answer(self, entry: Entry) -> str | None:
        return answer_of(entry)

    def arriving(self, head: Head, asked: Form) -> Form | None:
        form = form_of(head, {MEDIA_TYPE})
        counts = asked.stream and asked.usage  # of tokens come in streams where they are asked for
        return form._replace(usage=counts) if form is not None and form.stream else form

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        if head.status != HTTPStatus.OK:
            return seal_error(body, self._codes, self._unkeyed)
        return seal(body, form, self._keep, self._confidence)

    def relay(self, offered: Form, wanted: Form) -> Relay:
        if offered == wanted or not (offered.stream or wanted.stream):
            return Relay.VERBATIM
        if not offered.stream:
            return Relay.AT_END
        if not wanted.stream:
            return Relay.AT_END if offered.usage or self._json_without_usage else Relay.NEVER
        return Relay.FILTERED if offered.usage else Relay.NEVER

    def sieve(self, wanted: Form) -> Sieve:
        splitter = frames.Splitter()

        def sieve(piece: bytes) -> bytes:
            found = splitter.feed(piece)
            return b"".join(found if wanted.usage or splitter.overlong else map(_uncounted, found))

        return sieve

    def render(self, entry: Entry | Sealed, wanted: Form) -> Rendered | None:
        relay = self.relay(entry.form, wanted)
        if relay is Relay.VERBATIM:
            return Rendered(entry.body)
        if relay is Relay.NEVER:
            return None
        if relay is Relay.FILTERED:
            found, rest = frames.split(entry.body)
            return Rendered(b"".join([*map(_uncounted, found), rest]))
        if wanted.stream:
            return other_form(
                partial(stream_of, usage=wanted.usage), entry.body, f"{MEDIA_TYPE}; charset=utf-8"
            )
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
        if not isinstance(asked.get("messages"), list) and not isinstance(
            asked.get("prompt"), str | list
        ):
            return Refusal(Why.NOT_UNDERSTOOD, "neither messages nor a prompt", forward)
        form = _take_form(asked)
        if form is None:
            return Refusal(Why.NOT_UNDERSTOOD, "stream or its options are of another type", forward)
        for name in self._state:
            if asked.get(name):
                return Refusal(Why.STATEFUL, name, forward)
        temperature, question = number(asked.get("temperature")), question_of(asked)
        seeded = asked.get("seed") is not None
        for name in self._inert:
            asked.pop(name, None)
        return Query(
            dialect=self.name,
            model=model or "",
            form=form,
            canonical=canonical(asked, ordered=_SCHEMAS),
            forward=forward,
            controls=controls,
            temperature=temperature,
            seeded=seeded,
            question=question,
        )


def _take_form(asked: dict[str, object]) -> Form | None:
    """The form ``asked`` asks for, taken out of it; None if it makes no sense."""
    stream = asked.pop("stream", None)
    if stream is None or stream is False:
        return Form()  # options of a stream that is not wanted stay: some backends refuse them
    options = asked.pop("stream_options", None)
    if options is None:
        options = {}
    if stream is not True or not isinstance(options, dict):
        return None
    usage = options.pop("include_usage", None)
    if options:
        asked["stream_options"] = options
    if not (usage is None or isinstance(usage, bool)):
        return None
    return Form(stream=True, usage=bool(usage))


def _uncounted(frame: bytes) -> bytes:
    """``frame`` as it would be had nobody asked for token counts; b"" if it would not be."""
    if b'"usage"' not in frame or (event := frames.parse(frame)) is None:
        return frame
    try:
        chunk = orjson.loads(event.data)
    except ValueError:
        return frame
    if not isinstance(chunk, dict) or "usage" not in chunk:
        return frame
    if chunk["usage"] is not None:
        return b"" if chunk.get("choices") == [] else frame
    # If there is but one, it is the one to go: finding it without counting braces saves 20 us.
    if frame.count(b'"usage"') == 1 and (found := _NO_COUNTS.search(frame)):
        return frame[: found.start()] + frame[found.end() :]
    before, data, after = frame.partition(event.data)  # not found if it is more than one line
    return before + json_members.without(data, "usage") + after if data else frame

"""How many tokens a message would be: Anthropic's ``/messages/count_tokens``.

The count depends on nothing but the body, and is one small document. Nothing is executed to make
it, so tools that the backend runs do not matter here; servers it would have to ask do.
"""

from __future__ import annotations

from http import HTTPStatus

import orjson

from proxy.dialects.anthropic_messages.blocks import ordered_in
from proxy.dialects.anthropic_messages.state import kept_at_backend
from proxy.dialects.json_body import JsonBody
from proxy.dialects.negative import seal_error
from proxy.dialects.one_form import OneForm
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.model.decision import Why
from proxy.model.message import Head, Request
from proxy.model.query import Controls, Form, Query, Refusal, Sealed
from proxy.wire.strict_json import canonical


class AnthropicCountTokens(OneForm):
    """The dialect of ``/messages/count_tokens``, wherever it is mounted. It has but one form."""

    name = "anthropic_count_tokens"

    def __init__(self, wishes: Wishes = NO_WISHES) -> None:
        self._wishes = wishes
        self._bodies = JsonBody(self._query, steered=wishes.steered)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/messages/count_tokens")

    def read(self, request: Request, body: bytes) -> Query | Refusal:
        return self._bodies.read(request.headers, body)

    def seal(self, head: Head, body: bytes, form: Form) -> Sealed | Refusal:
        if head.status != HTTPStatus.OK:
            return seal_error(body, self._wishes.negative.codes, self._wishes.inert)
        try:
            told = orjson.loads(body)
        except ValueError:
            return Refusal(Why.INCOMPLETE, "not valid JSON")
        if not isinstance(told, dict) or type(told.get("input_tokens")) is not int:
            return Refusal(Why.NOT_UNDERSTOOD, "no count")
        return Sealed(Form(), body)

    def _query(
        self, asked: dict[str, object], forward: bytes, controls: Controls
    ) -> Query | Refusal:
        """What ``asked`` asks; leaves in it what decides the count. Raises NotStrict."""
        model = asked.get("model")
        if not isinstance(model, str) or not isinstance(asked.get("messages"), list):
            return Refusal(Why.NOT_UNDERSTOOD, "no model or messages", forward)
        if refusal := kept_at_backend(asked, self._wishes.inert, forward):
            return refusal
        for name in self._wishes.inert:
            asked.pop(name, None)
        return Query(
            dialect=self.name,
            model=model,
            form=Form(),
            canonical=canonical(asked, ordered=ordered_in(asked), normal=False),
            forward=forward,
            controls=controls,
        )

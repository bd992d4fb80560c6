"""Bodies that are one JSON object: what all dialects do before and after they understand it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from proxy.model.decision import Why
from proxy.model.message import Head, Headers
from proxy.model.query import Controls, Form, Query, Refusal
from proxy.wire import json_members
from proxy.wire.cache_control import UNASKED, controls_from_object
from proxy.wire.strict_json import NotStrict, loads

JSON: Final = "application/json"

Understand = Callable[[dict[str, object], bytes, Controls], Query | Refusal]
"""Given the object (its own to take apart), the body to send upstream, and what is asked of the
cache; raises NotStrict."""


class JsonBody:
    """Reads bodies.

    Args:
        understand: makes a query of the object that a body is.
        steered: a member ``cache`` with orders to the cache, as LiteLLM has it, is obeyed and
            taken out.
    """

    def __init__(self, understand: Understand, *, steered: bool = True) -> None:
        self._understand = understand
        self._steered = steered

    def read(self, headers: Headers, body: bytes) -> Query | Refusal:
        """What ``body`` asks, or why it cannot be cached."""
        if headers.get("content-encoding", "identity").lower() != "identity":
            return Refusal(Why.UNKEYABLE, "an encoded body")
        media_type = headers.get("content-type", JSON)
        if media_type != JSON and not is_json(media_type.partition(";")[0].strip().lower()):
            return Refusal(Why.NOT_UNDERSTOOD, "not JSON by its content type")
        try:
            return self._read(body)
        except NotStrict as error:
            return Refusal(Why.UNKEYABLE, str(error))

    def _read(self, body: bytes) -> Query | Refusal:
        asked = loads(body)
        if not isinstance(asked, dict):
            return Refusal(Why.NOT_UNDERSTOOD, "not an object")
        wish = asked.get("cache") if self._steered else None
        if isinstance(wish, dict) and (told := controls_from_object(wish)) is not None:
            del asked["cache"]
            return self._understand(asked, json_members.without(body, "cache"), told)
        return self._understand(asked, body, UNASKED)


def is_json(media_type: str) -> bool:
    """Whether a media type (lower case, without parameters) is one of JSON."""
    return media_type == JSON or media_type.endswith("+json")


def is_plain(head: Head) -> bool:
    """Whether a body comes without a content coding."""
    return head.headers.get("content-encoding", "identity").lower() == "identity"


def form_of(head: Head, streams: Collection[str] = ()) -> Form | None:
    """The form of a body by its head: JSON, or a stream of one of these media types; else None."""
    if not is_plain(head):
        return None
    media_type = head.media_type
    if media_type in streams:
        return Form(stream=True)
    return Form() if is_json(media_type) else None


def number(value: object) -> float | None:
    """The number that ``value`` is; None if it is none."""
    return float(value) if type(value) is int or type(value) is float else None


def confidence(value: object) -> float | None:
    """How sure an answer is of itself: ``value``, if that is a number from 0 to 1; else None."""
    sure = number(value)
    return sure if sure is not None and 0 <= sure <= 1 else None

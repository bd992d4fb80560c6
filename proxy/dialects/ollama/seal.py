"""Whether an answer of Ollama's is whole and worth keeping.

Its last line says ``"done": true`` and why; a document says the same. That is where a prefix of an
answer gives itself away: only white space may follow.
"""

from __future__ import annotations

from typing import Final

import orjson

from proxy.dialects.json_body import confidence
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed, Usage
from proxy.wire import lines

_FINISHED: Final = frozenset({"stop", "tool_calls"})  # ends that the model itself chose
_CUT: Final = frozenset({"length", "content_filter"})
# What an answer can consist of. Who speaks is no answer.
_SPEECH: Final = ("content", "response", "thinking", "image", "images")


def seal(body: bytes, form: Form, wishes: Wishes) -> Sealed | Refusal:
    """``body``, which has come in ``form``, if it is whole and to be kept; else why not."""
    answer = _Answer(wishes)
    refusal = _hear_stream(answer, body) if form.stream else answer.hear(body)
    refusal = refusal or answer.refuse()
    if refusal:
        return refusal
    return Sealed(
        Form(stream=form.stream),
        body,
        answer.usage(),
        confidence=answer.confidence(),
        negative=answer.silent,
    )


def _hear_stream(answer: _Answer, body: bytes) -> Refusal | None:
    found, rest = lines.split(body)
    for line in (*found, rest):  # the last one may lack its LF: it is whole, or no JSON
        if lines.silent(line):
            continue
        if answer.done:
            return Refusal(Why.INCOMPLETE, "done was not the end")
        if refusal := answer.hear(line):
            return refusal
    return None


class _Answer:
    """What has been heard of an answer: not what it says, but whether something is missing."""

    __slots__ = ("_calls", "_last", "_speaks", "_sure", "_wishes", "done")

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._speaks = False
        self._calls = False
        self._sure: object = None  # what stood where the answer says how sure it is
        self._last: dict[str, object] = {}
        self.done = False

    def hear(self, raw: bytes) -> Refusal | None:
        """Listen to a line or a document."""
        try:
            part = orjson.loads(raw)
        except ValueError:
            return Refusal(Why.INCOMPLETE, "not valid JSON")
        if not isinstance(part, dict):
            return Refusal(Why.NOT_UNDERSTOOD, "not an object")
        if part.get("error"):
            return Refusal(Why.ERROR_IN_BODY)
        message = part.get("message") or {}
        if not isinstance(message, dict):
            return Refusal(Why.NOT_UNDERSTOOD, "a message that is no object")
        for said in (part, message):
            self._speaks |= any(said.get(name) for name in _SPEECH)
            self._calls |= bool(said.get("tool_calls"))
        pointer = self._wishes.confidence
        if pointer is not None and (sure := pointer.find(part)) is not None:
            self._sure = sure
        self.done = part.get("done") is True
        self._last = part
        return None

    def refuse(self) -> Refusal | None:
        """Why the answer is not to be kept, now that all of it has been heard."""
        if not self.done:
            return Refusal(Why.INCOMPLETE, "not done")
        reason = self._last.get("done_reason") or ""
        if not isinstance(reason, str):
            return Refusal(Why.NOT_UNDERSTOOD, "done_reason of another type")
        if reason in _CUT:
            if not self._wishes.store_truncated:
                return Refusal(Why.TRUNCATED)
        elif reason not in _FINISHED:
            detail = "done_reason not known to mean the end" if reason else "no done_reason"
            return Refusal(Why.INCOMPLETE, detail)
        if self._calls and not self._wishes.store_tool_calls:
            return Refusal(Why.TOOL_CALLS)
        if self.silent and not self._wishes.negative.empty:
            return Refusal(Why.EMPTY)
        return None

    @property
    def silent(self) -> bool:
        """Whether it says nothing and calls nothing."""
        return not (self._speaks or self._calls)

    def usage(self) -> Usage | None:
        """The token counts, if they are counts; a prompt that was read before has none."""
        prompt = self._last.get("prompt_eval_count", 0)
        completion = self._last.get("eval_count")
        if type(prompt) is int and type(completion) is int:
            return Usage(prompt, completion)
        return None

    def confidence(self) -> float | None:
        """How sure the answer is of itself, if that is a number from 0 to 1."""
        return confidence(self._sure)

"""Whether a chat answer is whole and worth keeping.

The end of a body proves nothing: a close-delimited one that was cut off looks as if it had ended.
So a stream is whole if it says ``[DONE]`` after a finish reason for every choice, a document if it
is one and has the same. No proper prefix of an answer passes, but for what may follow it without
meaning: white space after a document, comments and empty lines after ``[DONE]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from proxy.dialects.json_body import confidence
from proxy.dialects.openai_chat.forms import DONE
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed, Usage
from proxy.wire import frames
from proxy.wire.alike import Thinning
from proxy.wire.json_pointer import Pointer

# What backends call an end that the model itself chose.
FINISHED: Final = frozenset(
    {"stop", "tool_calls", "function_call", "end_turn", "eos", "eos_token", "stop_sequence"}
)
_CUT: Final = frozenset({"length", "content_filter", "max_tokens", "model_length"})
# What an answer can consist of. Who speaks, and what is remarked on it, is no answer.
_SPEECH: Final = frozenset(
    {"content", "refusal", "reasoning", "reasoning_content", "reasoning_details", "audio", "images"}
)
_CALLS: Final = frozenset({"tool_calls", "function_call"})
# Of these texts ``_Answer`` notes only that there are some. How sure an answer is, and what it
# took, are numbers.
_THIN: Final = Thinning(b"content", b"reasoning_content", b"obfuscation")


@dataclass(frozen=True, slots=True)
class Keep:
    """Which whole answers are kept."""

    truncated: bool  # those cut short by a length limit or a content filter
    tool_calls: bool
    finished: frozenset[str]  # the finish reasons that mean nothing was cut short
    empty: bool = False  # those that say nothing, for a moment


def seal(body: bytes, form: Form, keep: Keep, pointer: Pointer | None = None) -> Sealed | Refusal:
    """``body``, which has come in ``form``, if it is whole and to be kept; else why not.

    ``pointer`` leads to where a document or a chunk says how sure the answer is.
    """
    answer = _Answer(pointer)
    refusal = _hear_stream(answer, body) if form.stream else _hear_document(answer, body)
    refusal = refusal or answer.refuse(keep)
    if refusal:
        return refusal
    silent = answer.silent
    if silent and not keep.empty:
        return Refusal(Why.EMPTY)
    return Sealed(
        Form(form.stream, usage=answer.counted or not form.stream),
        body,
        answer.usage(),
        confidence=answer.confidence(),
        negative=silent,
    )


def _hear_document(answer: _Answer, body: bytes) -> Refusal | None:
    try:
        document = orjson.loads(body)
    except ValueError:
        return Refusal(Why.INCOMPLETE, "not valid JSON")
    return answer.hear(document, "message")


def _hear_stream(answer: _Answer, body: bytes) -> Refusal | None:
    found, rest = frames.split(_THIN(body))
    for at, frame in enumerate(found):
        event = frames.parse(frame)
        if event is None:
            continue
        if event.data == DONE:
            after = b"".join([*found[at + 1 :], rest])
            if frames.is_last(frame, after):
                return None
            return Refusal(Why.INCOMPLETE, "[DONE] was not the end")
        if event.name == b"error":
            return Refusal(Why.ERROR_IN_BODY)
        try:
            chunk = orjson.loads(event.data)
        except ValueError:
            return Refusal(Why.INCOMPLETE, "an event that is not valid JSON")
        if refusal := answer.hear(chunk, "delta"):
            return refusal
    return Refusal(Why.INCOMPLETE, "no [DONE]")


class _Choice:
    """What has been heard of one choice."""

    __slots__ = ("calls", "finish", "speaks")

    def __init__(self) -> None:
        self.speaks = False
        self.calls = False
        self.finish = ""


class _Answer:
    """What has been heard of an answer: not what it says, but whether something is missing."""

    __slots__ = ("_choices", "_pointer", "_sure", "_usage")

    def __init__(self, pointer: Pointer | None) -> None:
        self._choices: dict[int, _Choice] = {}
        self._usage: dict[str, object] = {}
        self._pointer = pointer
        self._sure: object = None  # what stood there

    def hear(self, part: object, member: str) -> Refusal | None:
        """Listen to a chunk or a document, whose choices speak in ``member``."""
        if not isinstance(part, dict):
            return Refusal(Why.NOT_UNDERSTOOD, "not an object")
        if part.get("error") or part.get("object") == "error":
            return Refusal(Why.ERROR_IN_BODY)
        self._note(part)
        choices = part.get("choices") or []
        if not isinstance(choices, list):
            return Refusal(Why.NOT_UNDERSTOOD, "choices that are no list")
        for position, choice in enumerate(choices):
            if not isinstance(choice, dict):
                return Refusal(Why.NOT_UNDERSTOOD, "a choice that is no object")
            if choice.get("error"):
                return Refusal(Why.ERROR_IN_BODY)
            index = choice.get("index", 0) if member == "delta" else position
            speech = choice.get(member) or {}
            finish = choice.get("finish_reason") or ""
            if not (type(index) is int and isinstance(speech, dict) and isinstance(finish, str)):
                return Refusal(Why.NOT_UNDERSTOOD, "a choice of another shape")
            heard = self._choices.get(index)
            if heard is None:
                heard = self._choices[index] = _Choice()
            heard.finish = finish or heard.finish
            heard.speaks |= bool(choice.get("text"))
            for name, value in speech.items():
                if value and name in _SPEECH:
                    heard.speaks = True
                elif value and name in _CALLS:
                    heard.calls = True
        return None

    def _note(self, part: dict[str, object]) -> None:
        """Note what ``part`` says of the answer as a whole; the latest word counts."""
        if isinstance(usage := part.get("usage"), dict):
            self._usage = usage
        if self._pointer is not None and (sure := self._pointer.find(part)) is not None:
            self._sure = sure

    def refuse(self, keep: Keep) -> Refusal | None:
        """Why the answer is not to be kept, now that all of it has been heard."""
        choices = self._choices
        # As many as there are different indexes, so the greatest tells whether one is left out.
        if not choices or min(choices) != 0 or max(choices) != len(choices) - 1:
            return Refusal(Why.INCOMPLETE, "a choice is missing")
        for choice in choices.values():
            if choice.finish == "error":
                return Refusal(Why.ERROR_IN_BODY)
            if choice.finish in _CUT:
                if not keep.truncated:
                    return Refusal(Why.TRUNCATED)
            elif choice.finish not in keep.finished:
                detail = "finish_reason not known to mean the end" if choice.finish else ""
                return Refusal(Why.INCOMPLETE, detail or "no finish_reason")
            if choice.calls and not keep.tool_calls:
                return Refusal(Why.TOOL_CALLS)
        return None

    @property
    def silent(self) -> bool:
        """Whether some choice says nothing and calls nothing."""
        return not all(choice.calls or choice.speaks for choice in self._choices.values())

    @property
    def counted(self) -> bool:
        """Whether the token counts have been told."""
        return bool(self._usage)

    def usage(self) -> Usage | None:
        """The token counts, if they are counts."""
        prompt = self._usage.get("prompt_tokens", 0)
        completion = self._usage.get("completion_tokens", 0)
        if self._usage and isinstance(prompt, int) and isinstance(completion, int):
            return Usage(prompt, completion)
        return None

    def confidence(self) -> float | None:
        """How sure the answer is of itself, if that is a number from 0 to 1."""
        return confidence(self._sure)

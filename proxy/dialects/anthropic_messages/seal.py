"""Whether a message is whole and worth keeping.

A stream is whole if it says ``message_stop`` after every block it began has stopped and a reason to
stop was given; a document if it is one and has that reason. No proper prefix of an answer passes,
but for what may follow it without meaning: white space after a document, comments and empty lines
after ``message_stop``.

``max_tokens``, a full context window and ``refusal``, by which a classifier ends an answer half
way, mean that it was cut short. ``pause_turn`` and ``compaction`` mean that there is more to come,
in answer to another call: never kept.
"""

from __future__ import annotations

from typing import Final

import orjson

from proxy.dialects.anthropic_messages.events import Broken, events_of
from proxy.dialects.json_body import confidence
from proxy.dialects.shapes import Json
from proxy.dialects.wishes import Wishes
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed, Usage

_MESSAGE: Final = "message"
_FINISHED: Final = frozenset({"end_turn", "stop_sequence", "tool_use"})
_CUT: Final = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
# All of these were read, at one price or another; OpenAI's ``prompt_tokens`` has them all, too.
_READ: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def seal(body: bytes, form: Form, wishes: Wishes) -> Sealed | Refusal:
    """``body``, which has come in ``form``, if it is whole and to be kept; else why not."""
    answer = _Answer(wishes)
    try:
        if form.stream:
            for event in events_of(body):
                answer.hear(event.says)
        else:
            answer.read(_document(body))
        answer.judge()
    except Broken as broken:
        return Refusal(broken.why, broken.detail)
    return Sealed(
        Form(form.stream),
        body,
        answer.usage(),
        confidence=answer.confidence(),
        negative=answer.silent,
    )


def _document(body: bytes) -> Json:
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise Broken(Why.INCOMPLETE, "not valid JSON") from error
    if not isinstance(document, dict):
        raise Broken(Why.NOT_UNDERSTOOD, "not an object")
    if document.get("error") or document.get("type") == "error":
        raise Broken(Why.ERROR_IN_BODY)
    return document


class _Answer:
    """What has been heard of a message: not what it says, but whether something is missing."""

    __slots__ = (
        "_begun", "_calls", "_container", "_credit", "_open", "_speaks", "_stop", "_sure", "_usage",
        "_wide", "_wishes",
    )  # fmt: skip

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._begun = False
        self._wide = 0  # how many blocks there are
        self._open: set[int] = set()  # those that have not stopped
        self._speaks = False
        self._calls = False
        self._stop: object = None
        self._container = False
        self._credit = False
        self._usage: Json = {}
        self._sure: object = None

    # -- what comes ---------------------------------------------------------------------------

    def read(self, message: Json) -> None:
        """Take in a whole message. Raises Broken."""
        if message.get("type") != _MESSAGE:
            raise Broken(Why.NOT_UNDERSTOOD, "not a message")
        self._begin(message)
        for block in _list(message.get("content")):
            self._block(block)
        self._end(message)
        self._note(message)

    def hear(self, event: Json) -> None:
        """Take in one event of a stream; of a kind nobody has heard of, as it says nothing here.

        Raises:
            Broken: it does not belong where it came.
        """
        self._note(event)
        match event.get("type"):
            case "message_start":
                message = _object(event.get("message"))
                self._begin(message)
                if _list(message.get("content")):
                    raise Broken(Why.NOT_UNDERSTOOD, "a message that begins with content")
                self._note(message)
            case "content_block_start":
                index = event.get("index")
                if not self._begun or type(index) is not int or index != self._wide:
                    raise Broken(Why.NOT_UNDERSTOOD, "a block out of order")
                self._open.add(index)
                self._block(event.get("content_block"))
            case "content_block_delta":
                self._at(event)
                delta = _object(event.get("delta"))
                self._speaks |= bool(delta.get("text") or delta.get("thinking"))
            case "content_block_stop":
                self._open.remove(self._at(event))
            case "message_delta" if not self._begun:
                raise Broken(Why.NOT_UNDERSTOOD, "an end before the beginning")
            case "message_delta":
                self._count(event.get("usage"))
                self._end(_object(event.get("delta")))
            case _:
                pass

    def _begin(self, message: Json) -> None:
        # vLLM leaves out of streams what its messages say by default: that they are some.
        if self._begun or message.get("type", _MESSAGE) != _MESSAGE:
            raise Broken(Why.NOT_UNDERSTOOD, "not one message")
        self._begun = True
        self._count(message.get("usage"))
        self._container |= bool(message.get("container"))

    def _at(self, event: Json) -> int:
        index = event.get("index")
        if type(index) is not int or index not in self._open:
            raise Broken(Why.NOT_UNDERSTOOD, "no such block is open")
        return index

    def _block(self, block: object) -> None:
        said = _object(block)
        kind = said.get("type")
        if not isinstance(kind, str):
            raise Broken(Why.NOT_UNDERSTOOD, "a block of no kind")
        self._wide += 1
        self._calls |= kind == "tool_use"
        if kind in {"text", "thinking"}:
            self._speaks |= bool(said.get(kind))
        else:
            self._speaks = True

    def _end(self, told: Json) -> None:
        """Note how the message ends; the latest word counts, null as well."""
        self._stop = told.get("stop_reason")
        self._container |= bool(told.get("container"))
        details = told.get("stop_details")
        self._credit |= isinstance(details, dict) and bool(details.get("fallback_credit_token"))

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _note(self, part: Json) -> None:
        pointer = self._wishes.confidence
        if pointer is not None and (sure := pointer.find(part)) is not None:
            self._sure = sure

    # -- what is to be made of it -------------------------------------------------------------

    def judge(self) -> None:
        """Raise Broken if the message, all of which has been heard, is not to be kept."""
        if not self._begun:
            raise Broken(Why.INCOMPLETE, "no message_start")
        if self._open:
            raise Broken(Why.INCOMPLETE, "a block that does not stop")
        stop = self._stop
        if isinstance(stop, str) and stop in _CUT:
            # The credit that comes with some refusals is good once, and for five minutes.
            if not self._wishes.store_truncated or self._credit:
                raise Broken(Why.TRUNCATED)
        elif not isinstance(stop, str) or stop not in _FINISHED:
            detail = "stop_reason not known to mean the end" if stop else "no stop_reason"
            raise Broken(Why.INCOMPLETE, detail)
        if self._container:  # a place at the backend, gone before long, that the client may go to
            raise Broken(Why.UNCACHEABLE, "container")
        if (self._calls or stop == "tool_use") and not self._wishes.store_tool_calls:
            raise Broken(Why.TOOL_CALLS)
        if self.silent and not self._wishes.negative.empty:
            raise Broken(Why.EMPTY)

    @property
    def silent(self) -> bool:
        """Whether the message says nothing and calls nothing."""
        return not self._speaks

    def usage(self) -> Usage | None:
        """The token counts, if they are counts."""
        read = [self._usage.get(name, 0) for name in _READ]
        written = self._usage.get("output_tokens", 0)
        if self._usage and isinstance(written, int) and all(isinstance(n, int) for n in read):
            return Usage(sum(n for n in read if isinstance(n, int)), written)
        return None

    def confidence(self) -> float | None:
        """How sure the answer is of itself, if that is a number from 0 to 1."""
        return confidence(self._sure)


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise Broken(Why.NOT_UNDERSTOOD, "not an object where one belongs")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Broken(Why.NOT_UNDERSTOOD, "not a list where one belongs")
    return value

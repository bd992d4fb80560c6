"""Whether an answer of a RAG service is whole, what it says, and what it is built on.

A document is whole if it is one and has an answer where answers stand; a stream, if the last thing
in it is what the configuration says comes last. Where nothing in it tells, HTTP has to
(``Framed``).

An answer is purged by its sources. One whose sources are not told where they should be, or one of
which has no id, is not kept: it would outlive its documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final, NamedTuple

import orjson

from proxy.dialects.json_body import confidence
from proxy.dialects.rag_json.route import Done, Empty, Route, Streaming
from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed
from proxy.wire import frames, lines
from proxy.wire.json_pointer import Pointer
from proxy.wire.tags import LONGEST

TAG: Final = "doc:"
_FAILED: Final = ("type", "status", "object", "event")  # members in which "error" means just that
_STOPS: Final = ".!\u3002\uff01"  # at the end of a sentence, Chinese ones included


def tag_of(source_id: object) -> str | None:
    """The tag that answers built on the source with this id have; None if that is no id.

    An id is a text or a whole number. One that is too long for a tag, or has characters that are
    not printable, stands in it as the SHA-256 of its UTF-8.
    """
    if isinstance(source_id, bool) or not isinstance(source_id, str | int) or source_id == "":
        return None
    tag = f"{TAG}{source_id}"
    if len(tag) <= LONGEST and tag.isprintable():
        return tag
    return f"{TAG}sha256:{sha256(str(source_id).encode()).hexdigest()}"


class Heard:
    """What has been heard of an answer."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.other = False  # something that is no text was said, too
        self.answered = False  # something was said, if only nothing
        self.tags: list[str] = []
        self.told = False  # on what it is built, if only on nothing
        self.confidence: float | None = None

    @property
    def text(self) -> str | None:
        """What it says, if that is a text and nothing else."""
        return None if self.other or not self.answered else "".join(self.texts)


class _Places(NamedTuple):
    """Where everything stands in a document, or in an event."""

    answer: Pointer | None
    sources: Pointer | None


class _Part(NamedTuple):
    """An event or a line of a stream."""

    name: bytes
    data: bytes
    end: int  # where it ends in the body


class RagAnswer:
    """Listens to the answers of one route."""

    def __init__(self, route: Route) -> None:
        stream = route.stream
        self._stream = stream
        self._empty = _Emptiness(route.empty)
        self._source_id = Pointer(route.source_id)
        self._confidence = _pointer(route.confidence)
        self._document = _Places(Pointer(route.answer), _pointer(route.sources))
        self._event = _Places(
            None if stream.text else Pointer(stream.answer), _pointer(stream.sources)
        )
        self._done = _pointer(stream.done.pointer)
        self._told = route.sources is not None

    def seal(self, body: bytes, form: Form, *, tagged: bool, keep_empty: bool) -> Sealed | Refusal:
        """``body``, which has come in ``form``, if it is whole and to be kept; else why not.

        Args:
            tagged: the head of a plain text says what it is built on.
            keep_empty: answers that say nothing are kept for a moment.
        """
        heard = self.hear(body, form)
        if isinstance(heard, Refusal):
            return heard
        empty = self._empty.is_so(heard)
        if empty and not keep_empty:
            return Refusal(Why.EMPTY)
        if self._told and not (heard.told or (tagged and self._is_plain(form))):
            return Refusal(Why.TAGS, "nobody says what it is built on")
        return Sealed(
            form,
            body,
            tags=tuple(dict.fromkeys(heard.tags)),
            confidence=heard.confidence,
            negative=empty,
        )

    def hear(self, body: bytes, form: Form) -> Heard | Refusal:
        """What ``body`` says; or why it says nothing that can be relied on."""
        heard = Heard()
        if not form.stream:
            refusal = self._hear_document(heard, body)
        elif self._is_plain(form):
            refusal = self._hear_plain(heard, body)
        else:
            refusal = self._hear_stream(heard, body)
        if refusal is None and not heard.answered:
            return Refusal(Why.INCOMPLETE, "no answer where it should be")
        return refusal or heard

    def _is_plain(self, form: Form) -> bool:
        return form.stream and self._stream.kind is Streaming.PLAIN

    def _hear_document(self, heard: Heard, body: bytes) -> Refusal | None:
        try:
            document = orjson.loads(body)
        except ValueError:
            return Refusal(Why.INCOMPLETE, "not valid JSON")
        if not isinstance(document, dict | list | str):
            return Refusal(
                Why.NOT_UNDERSTOOD, "neither an object nor a list"
            )  # a number has no end
        return self._hear_json(heard, document, self._document)

    def _hear_plain(self, heard: Heard, body: bytes) -> Refusal | None:
        try:
            heard.texts.append(body.decode())
        except UnicodeDecodeError:
            heard.other = True
        heard.answered = True
        return None

    def _hear_stream(self, heard: Heard, body: bytes) -> Refusal | None:
        done = self._stream.done
        parts = _events(body) if self._stream.kind is Streaming.SSE else _lines(body)
        for part in parts:
            if part is None:
                return Refusal(Why.INCOMPLETE, "the last event is cut off")
            document = _json(part.data)
            is_mark = _marks(part, done)
            if not is_mark and (refusal := self._hear_event(heard, part, document)):
                return refusal
            if is_mark and (refusal := self._hear_json(heard, document, self._event)):
                return refusal
            if is_mark or self._is_last(document):
                silent = frames.silent if self._stream.kind is Streaming.SSE else lines.silent
                if silent(body[part.end :]):
                    return None
                return Refusal(Why.INCOMPLETE, "the last event was not the end")
        return None if done.framed else Refusal(Why.INCOMPLETE, "no last event")

    def _is_last(self, document: object) -> bool:
        """Whether this is the event in which the end is told by a member."""
        if self._done is None:
            return False
        there, wanted = self._done.find(document), self._stream.done.equals
        if wanted is None:
            return there is not None and there is not False
        return type(there) is type(wanted) and there == wanted

    def _hear_event(self, heard: Heard, part: _Part, document: object) -> Refusal | None:
        if part.name == b"error":
            return Refusal(Why.ERROR_IN_BODY)
        if isinstance(document, dict | list):
            said = self._hear_json(heard, document, self._event)
            if said is not None or not self._stream.text or self._is_about(document):
                return said
        elif not self._stream.text:
            if not part.data.strip():
                return None  # a sign of life
            if isinstance(document, str) and self._hears_whole_events:
                return self._hear_json(heard, document, self._event)
            return Refusal(Why.INCOMPLETE, "an event that is no JSON object")
        heard.answered = True
        try:
            heard.texts.append(part.data.decode())
        except UnicodeDecodeError:
            heard.other = True
        return None

    def _is_about(self, document: object) -> bool:
        """Whether an event among pieces of text is about the answer rather than one of them."""
        pointers = (self._event.sources, self._confidence, self._done)
        return any(each is not None and each.find(document) is not None for each in pointers)

    @property
    def _hears_whole_events(self) -> bool:
        """Whether an event is a piece of the answer as a whole: a JSON text."""
        return self._event.answer is not None and self._stream.answer == ""

    def _hear_json(self, heard: Heard, part: object, places: _Places) -> Refusal | None:
        """Listen to a document, or to an event that is one."""
        failed = isinstance(part, dict) and any(part.get(name) == "error" for name in _FAILED)
        if failed or (isinstance(part, dict) and part.get("error")):
            return Refusal(Why.ERROR_IN_BODY)
        if places.answer is not None and (said := places.answer.find(part)) is not None:
            heard.answered = True
            if isinstance(said, str):
                heard.texts.append(said)
            elif not isinstance(said, dict | list) or said:
                heard.other = True
        if places.sources is not None and (sources := places.sources.find(part)) is not None:
            heard.told = True
            for source in sources if isinstance(sources, list) else [sources]:
                tag = tag_of(self._source_id.find(source))
                if tag is None:
                    return Refusal(Why.TAGS, "a source without an id")
                heard.tags.append(tag)
        if self._confidence is not None:
            sure = confidence(self._confidence.find(part))
            heard.confidence = heard.confidence if sure is None else sure
        return None


class _Emptiness:
    """Tells answers that say nothing."""

    def __init__(self, empty: Empty) -> None:
        self._answer = empty.answer
        self._sources = empty.sources
        self._phrases = frozenset(map(_bare, empty.phrases))

    def is_so(self, heard: Heard) -> bool:
        """Whether this answer does."""
        if self._sources and heard.told and not heard.tags:
            return True
        if (text := heard.text) is None:
            return False
        return (self._answer and not text.strip()) or _bare(text) in self._phrases


def _bare(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(_STOPS)


def _marks(part: _Part, done: Done) -> bool:
    """Whether this is the last event of a stream by its name or by all of its data."""
    if done.data is not None:
        return part.data == done.data.encode()
    return done.event is not None and part.name == done.event.encode()


def _events(body: bytes) -> Iterator[_Part | None]:
    """The events of a stream; None where one lacks its end."""
    found, rest = frames.split(body)
    end = 0
    for frame in found:
        end += len(frame)
        if (event := frames.parse(frame)) is not None:
            yield _Part(event.name, event.data, end) if frames.ended(frame) else None
    if not frames.silent(rest):
        yield None


def _lines(body: bytes) -> Iterator[_Part | None]:
    """The lines of a stream; None where one lacks its end."""
    found, rest = lines.split(body)
    end = 0
    for line in found:
        end += len(line)
        if not lines.silent(line):
            yield _Part(b"", line.strip(), end)
    if not lines.silent(rest):
        # An object ends by itself.
        whole = isinstance(_json(rest), dict | list)
        yield _Part(b"", rest.strip(), len(body)) if whole else None


def _json(data: bytes) -> object:
    """The document that ``data`` is; None if it is none."""
    try:
        return orjson.loads(data)
    except ValueError:
        return None


def _pointer(text: str | None) -> Pointer | None:
    return None if text is None else Pointer(text)

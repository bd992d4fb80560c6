"""One route of a RAG service of any shape: where in its requests and answers everything stands.

All places are JSON Pointers (RFC 6901).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import blake2b

import orjson


class Streaming(StrEnum):
    """How answers stream, where they are not one JSON document."""

    NONE = "none"
    SSE = "sse"  # server-sent events
    NDJSON = "ndjson"  # one JSON document a line
    PLAIN = "plain"  # nothing but the text of the answer


@dataclass(frozen=True, slots=True)
class Done:
    """The last event of a stream, by one of these; by none of them: HTTP says where it ends."""

    data: str | None = None  # its data, to the letter
    event: str | None = None  # its name
    pointer: str | None = None  # what leads to ``equals`` in it
    equals: bool | int | str | None = None  # None: to anything but null and false

    @property
    def framed(self) -> bool:
        """Whether it is only HTTP that says where a stream ends."""
        return self.data is None and self.event is None and self.pointer is None


@dataclass(frozen=True, slots=True)
class Stream:
    """How answers stream.

    Args:
        media_types: what a stream calls itself.
        text: events are pieces of the answer rather than JSON; objects and lists among them are
            looked at for sources, confidence and the end.
        answer: leads to the piece of the answer in an event.
        sources: leads to sources in an event.
    """

    kind: Streaming = Streaming.NONE
    media_types: frozenset[str] = frozenset()
    text: bool = False
    answer: str = "/answer"
    sources: str | None = None
    done: Done = Done()


@dataclass(frozen=True, slots=True)
class Empty:
    """Which answers say nothing.

    Args:
        answer: those without a text, or with an empty list or object in its place.
        sources: those built on no source.
        phrases: those that say just this, whatever the case, the spaces and the full stop.
    """

    answer: bool = True
    sources: bool = False
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Args:
        paths: shell patterns, compared with raw paths.
        question: leads to what is asked. Here, and in ``history``, ``model`` and ``stateful``, a
            request without a body is an object of its parameters.
        history: leads to what was said before.
        model: leads to the model's name.
        filters: lead to lists of texts whose order does not count.
        inert: lead to what does not change the answer.
        inert_parameters: names of URL parameters that do not, either.
        stateful: lead to what ties a request to something that the backend remembers.
        answer: leads to the answer in a document.
        sources: leads to what it is built on, a source or a list of them; None: nobody says.
        source_id: leads to its id in a source; "" if that is the id itself.
        confidence: leads to how sure the answer is, from 0 to 1; None: nobody says.
    """

    paths: tuple[str, ...]
    methods: frozenset[str] = frozenset({"POST"})
    question: str | None = "/question"
    history: str | None = None
    model: str | None = "/model"
    filters: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    inert_parameters: frozenset[str] = frozenset()
    stateful: tuple[str, ...] = ()
    answer: str = "/answer"
    sources: str | None = None
    source_id: str = "/id"
    confidence: str | None = None
    stream: Stream = Stream()
    empty: Empty = Empty()

    def fingerprint(self, version: str) -> bytes:
        """Of all that is said here and of ``version``, in 32 hexadecimal digits.

        It is part of the key: what was kept under other rules was perhaps tagged by others, or
        would not have been kept.
        """
        told = orjson.dumps([asdict(self), version], default=_listed, option=orjson.OPT_SORT_KEYS)
        return blake2b(told, digest_size=16).hexdigest().encode()


def _listed(names: object) -> list[str]:
    return sorted(names) if isinstance(names, frozenset) else []

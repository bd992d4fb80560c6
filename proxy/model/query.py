"""What is asked: a request as its dialect understands it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from proxy.model.decision import Why


class Form(NamedTuple):
    """The shape of an answer. Two forms of one answer share one entry."""

    stream: bool = False  # server-sent events rather than one JSON document
    usage: bool = True  # a stream that ends with its token counts; JSON always has them


@dataclass(frozen=True, slots=True)
class Controls:
    """What the caller asks of the cache, gathered from headers and body. Times in seconds.

    RFC 9111, section 5.2.1; the LiteLLM ``cache`` object; the ``X-Cache-*`` request headers.
    """

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: float | None = None
    min_fresh: float | None = None
    max_stale: float | None = None  # inf when given without a number
    ttl: float | None = None  # how long the answer may be kept, at most what the rules allow
    namespace: str = ""
    tags: tuple[str, ...] = ()  # by which the answer shall be purged, besides the backend's own
    by_meaning: bool = True  # whether a stored answer to the question in other words will do
    least_similarity: float = 0.0  # of that question, from 0 to 1; can only raise the threshold
    complaint: bool = False  # the last answer to this question was wrong
    variants: int | None = None  # how many answers to keep and draw from; None: as the terms say
    ignored: tuple[str, ...] = ()  # top-level members of the body that shall not count, sorted


class Results(NamedTuple):
    """How many results an answer must have that is a list of them; each is about one input."""

    inputs: int
    least: int
    most: int

    def fit(self, about: tuple[int, ...]) -> bool:
        """Whether the results may be these, each given as the index of the input it is about."""
        return (
            self.least <= len(about) <= self.most
            and len(set(about)) == len(about)
            and all(0 <= index < self.inputs for index in about)
        )


class Query(NamedTuple):
    """A question that may be answered from the cache."""

    dialect: str
    model: str
    form: Form
    canonical: bytes  # canonical JSON of all that decides the answer
    forward: bytes  # the body to send upstream
    controls: Controls = Controls()
    temperature: float | None = None
    seeded: bool = False  # the question names the seed of the model's dice
    question: str = ""  # the text of what was asked last, both ends if long; "" if there is none
    query_string: str | None = None  # what counts of the URL's; None: all of it, as it came
    results: Results | None = None  # of an answer that is a list; None: it is none

    def takes(self, sealed: Sealed) -> bool:
        """Whether a list of results is the one that was asked for, as far as that can be told."""
        return self.results is None or sealed.about is None or self.results.fit(sealed.about)


class Asking(NamedTuple):
    """A question taken apart: what the user said last, and all the rest."""

    text: str
    rest: bytes  # canonical JSON of everything else that decides the answer
    follows: bool  # whether something was said before it
    acts: bool  # whether the answer may ask for something to be done (tools)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not to be cached, and why."""

    why: Why
    detail: str = ""
    forward: bytes | None = None  # the body to send upstream, if not the one that came


class Usage(NamedTuple):
    """Token counts as the backend reported them."""

    prompt_tokens: int
    completion_tokens: int


class Sealed(NamedTuple):
    """A complete, storable answer."""

    form: Form  # what the body is; ``usage`` tells whether its token counts are in it
    body: bytes  # the backend's own bytes
    usage: Usage | None = None
    tags: tuple[str, ...] = ()  # what the answer is built on, where it says so
    confidence: float | None = None  # in itself, from 0 to 1, where it says so
    negative: bool = False  # an error or an empty result: to be kept for a moment only
    about: tuple[int, ...] | None = None  # of an answer that is a list: the input of each result

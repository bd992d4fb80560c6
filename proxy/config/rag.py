"""The settings of RAG services that speak JSON of their own."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from proxy.config.section import Section, conflict
from proxy.config.units import Accepts, JsonPointer, Phrase, ReadableFile, SomeSeconds

# What services with a memory of their own call a conversation in it.
_CONVERSATIONS: Final = ("/session_id", "/conversation_id", "/thread_id", "/chat_id")
_MEDIA_TYPES: Final = {
    "none": (),
    "sse": ("text/event-stream",),
    "ndjson": (
        "application/x-ndjson", "application/ndjson", "application/jsonl",
        "application/x-jsonlines",
    ),
    "plain": ("text/plain", "text/markdown"),
}  # fmt: skip


def _member(pointer: str) -> str:
    if not pointer:
        raise ValueError("must lead to a member, as /question does; this is the whole document")
    return pointer


def _media_type(value: str) -> str:
    kind, slash, subtype = value.strip().lower().partition("/")
    if not (kind and slash and subtype) or any(mark in value for mark in ";, "):
        raise ValueError("must be a media type without parameters, such as text/event-stream")
    return f"{kind}/{subtype}"


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "#" in value:
        raise ValueError("must be a URL, such as http://127.0.0.1:8000/version")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    return value


Member = Annotated[JsonPointer, AfterValidator(_member), Accepts("a JSON Pointer to a member")]
MediaType = Annotated[str, AfterValidator(_media_type), Accepts("a media type")]
Url = Annotated[str, AfterValidator(_url), Accepts("an http or https URL")]
Path = Annotated[str, Field(pattern="^[/*?]"), Accepts("a shell pattern of paths")]
Text = Annotated[str, Field(min_length=1), Accepts("text")]
Value = Annotated[
    StrictBool | StrictInt | StrictStr, Accepts("text, a whole number, true or false")
]


_OF_STREAMS: Final = ("media_types", "text", "answer", "sources")


class Done(Section):
    """What the last event of a stream is known by: one of these."""

    data: Text | None = Field(
        default=None, description="All that it says, to the letter, such as `[DONE]`."
    )
    event: Text | None = Field(default=None, description="Its name; only of `sse`.")
    pointer: Member | None = Field(
        default=None, description="A member that only the last event has, or has with `equals`."
    )
    equals: Value | None = Field(
        default=None,
        description="What stands there in the last event; null: anything but null and false.",
    )
    framing: bool = Field(
        default=False,
        description="By nothing in the stream: it is whole when HTTP says that it has ended, by "
        "its length or a last chunk. One that ends with its connection is not kept.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.equals is not None and self.pointer is None:
            raise conflict("`equals` needs a `pointer`", "equals", "pointer")
        given = [
            name
            for name in ("data", "event", "pointer", "framing")
            if getattr(self, name) not in {None, False}
        ]
        if len(given) > 1:
            raise conflict(f"give one of {' and '.join(f'`{name}`' for name in given)}", *given)
        return self

    @property
    def is_given(self) -> bool:
        """Whether it says anything."""
        return self != Done()


class Stream(Section):
    """How answers stream."""

    kind: Literal["none", "sse", "ndjson", "plain"] = Field(
        default="none",
        description="Not at all, as server-sent events, as lines of JSON, or as nothing but the "
        "text of the answer. Answers that come as one JSON document are understood with any.",
    )
    media_types: tuple[MediaType, ...] = Field(
        default=(),
        description="What the `Content-Type` of a stream is; empty: what is usual for `kind`.",
    )
    text: bool = Field(
        default=False,
        description="Whether events are pieces of text rather than JSON. Objects and lists among "
        "them are still looked at for sources, confidence and the end.",
    )
    answer: JsonPointer | None = Field(
        default=None,
        description="Where the piece of the answer is in an event; null: as in a document.",
    )
    sources: JsonPointer | None = Field(
        default=None,
        description="Where sources are in those events that tell of any; null: as in a document.",
    )
    done: Done = Field(
        default_factory=Done,
        description="What the last event is known by. A stream is kept only if it was the last.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        done = self.done
        if self.kind == "none":
            if given := [name for name in _OF_STREAMS if getattr(self, name)]:
                raise conflict(f"`{given[0]}` needs a `kind` of stream", given[0], "kind")
            if done.is_given:
                raise conflict("`done` needs a `kind` of stream", "done", "kind")
        elif self.kind == "plain":
            if done.is_given and not done.framing:
                raise conflict("only HTTP says where plain text ends", "done", "kind")
            for name in ("text", "answer", "sources"):
                if getattr(self, name):
                    raise conflict(f"`{name}` is for events, and plain text has none", name, "kind")
        elif not done.is_given:
            raise conflict(
                "say what the last event is known by: `done`, with `data`, `event`, `pointer` or "
                "`framing`",
                "kind",
            )
        if self.kind == "ndjson" and done.event is not None:
            raise conflict("lines have no names: `event` is only for `sse`", "done.event", "kind")
        if self.text and self.answer is not None:
            raise conflict("with `text` all of an event is the answer", "answer", "text")
        if self.text and self.kind == "ndjson":
            raise conflict("lines are JSON: `text` is only for `sse`", "text", "kind")
        return self

    @property
    def types(self) -> tuple[str, ...]:
        """What a stream calls itself."""
        return self.media_types or _MEDIA_TYPES[self.kind]


class Empty(Section):
    """Which answers say nothing. They are kept for a moment, or not: `cache.negative.empty`."""

    answer: bool = Field(
        default=True, description="Those without a text, or with an empty list in its place."
    )
    sources: bool = Field(default=False, description="Those that are built on no source.")
    phrases: tuple[Phrase, ...] = Field(
        default=(),
        description="Those that say just this, whatever the case, the spaces and the full stop.",
        examples=[["I don't know", "No documents found"]],
    )


class Version(Section):
    """The version of the knowledge base. Answers are given only for the one they were made with.

    A version in a header of the request needs no setting: all headers count that are not known not
    to.
    """

    file: ReadableFile | None = Field(default=None, description="A file that changes with it.")
    url: Url | None = Field(
        default=None, description="A URL whose answer changes with it; read with GET."
    )
    pointer: JsonPointer | None = Field(
        default=None, description="Where it stands in a JSON document; null: all of it counts."
    )
    poll_s: SomeSeconds = Field(default=5.0, description="How often it is read.")
    timeout_s: SomeSeconds = Field(
        default=5.0,
        description="How long reading it may take. While it cannot be read the last one known "
        "counts; if it never was, nothing is answered from the cache.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.file and self.url:
            raise conflict("`file` and `url` cannot both be given", "url", "file")
        if not (self.file or self.url) and self.pointer is not None:
            raise conflict("a `pointer` needs a `file` or a `url`", "pointer")
        return self

    @property
    def is_given(self) -> bool:
        """Whether there is one."""
        return bool(self.file or self.url)


class Rag(Section):
    """A route of a RAG service, and where everything stands in its requests and answers."""

    paths: tuple[Path, ...] = Field(
        min_length=1,
        description="The paths it is for, as shell patterns; `*` also crosses slashes. They come "
        "before all other protocols.",
    )
    methods: tuple[Literal["GET", "POST", "PUT"], ...] = Field(
        default=("POST",),
        min_length=1,
        description="The methods. A GET is read as if its parameters were an object in a body: "
        "`/q` leads to `?q=`.",
    )
    question: Member | None = Field(
        default="/question",
        description="Where the question is, a text. Only this may be asked in other words, where "
        "`semantic` is on; null: nothing may.",
    )
    history: Member | None = Field(
        default=None,
        description="Where is what was said before, if anything: a question that follows something "
        "is treated with more care when it is asked in other words.",
    )
    model: Member | None = Field(
        default="/model",
        description="Where the name of a model is, if one is named: rules and purges go by it.",
    )
    filters: tuple[Member, ...] = Field(
        default=(),
        description="Where lists of texts are whose order does not count, as of tags or of "
        "documents to look in. In bodies only.",
        examples=[["/filters/tags"]],
    )
    inert: tuple[Member, ...] = Field(
        default=(),
        description="Members of bodies that do not change the answer. Everything else counts.",
        examples=[["/trace_id", "/client/version"]],
    )
    inert_parameters: tuple[Text, ...] = Field(
        default=(), description="Parameters of the URL that do not change the answer."
    )
    stateful: tuple[Member, ...] = Field(
        default=_CONVERSATIONS,
        description="Members that tie a request to something the backend remembers. Where one is "
        "there, the request is passed on.",
    )
    answer: JsonPointer = Field(default="/answer", description="Where the answer is: text or JSON.")
    sources: JsonPointer | None = Field(
        default=None,
        description="Where the sources are that it is built on: a list, or one. Each is a tag, "
        "`doc:` and its id, to purge by. An answer that does not tell them is not kept; null: "
        "answers have none.",
        examples=["/sources"],
    )
    source_id: JsonPointer = Field(
        default="/id",
        description='Where the id is in a source: a text or a whole number; "": the source is its '
        "id.",
    )
    confidence: JsonPointer | None = Field(
        default=None,
        description="Where it says how sure it is, from 0 to 1; null: as "
        "`cache.confidence.pointer`.",
    )
    stream: Stream = Field(default_factory=Stream, description="How answers stream.")
    empty: Empty = Field(
        default_factory=Empty,
        description="Which answers say nothing; `cache.negative.empty` says what becomes of them.",
    )
    version: Version = Field(
        default_factory=Version,
        description="The version of the knowledge base, which can be part of the key.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.sources is None:
            if self.stream.sources is not None:
                raise conflict("`sources` of a document must be given too", "stream.sources")
            if self.empty.sources:
                raise conflict("`empty.sources` needs `sources`", "empty.sources", "sources")
        return self

"""The settings of what callers get when the backend fails."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from proxy.config.section import Section, conflict
from proxy.config.units import JsonPointer, SomeCount
from proxy.config.upstreams import Upstream

Status = Annotated[int, Field(ge=200, le=599)]


class Message(Section):
    """A text of the operator's."""

    path: str = Field(default="*", description="The paths it is for: a shell pattern.")
    model: str = Field(default="*", description="The models: a shell pattern.")
    text: str = Field(min_length=1, description="The text.")
    status: Status = Field(
        default=200, description="With 200 it is an answer, like one of the model's; else an error."
    )


class Elsewhere(Upstream):
    """Another backend, which no request is routed to."""

    path: str = Field(default="*", description="The paths it is for: a shell pattern.")
    model: str = Field(default="*", description="The models: a shell pattern.")
    credentials: bool = Field(
        default=False,
        description="Whether it gets the caller's own credentials and cookies. Its own go into "
        "`set_headers`.",
    )


class Standby(Elsewhere):
    """The answer of a second backend; `prefix` is taken off the path as from a first one's."""

    rename: str = Field(default="", description="Its name for the model; empty: as asked for.")


class Retrieval(Elsewhere):
    """What a search finds, told without an answer made of it."""

    method: Literal["GET", "POST"] = Field(default="POST", description="The method.")
    route: str = Field(
        pattern=r"^/[!-~]*$", description="The path there, and the query string if there is one."
    )
    body: JsonValue = Field(
        default=None,
        description="JSON to send; `{question}` in a text stands for what the caller asked last.",
    )
    documents: JsonPointer = Field(
        description="Where the list of what was found is: a JSON Pointer (RFC 6901)."
    )
    text: JsonPointer = Field(description="Where the text of one of them is, seen from it.")
    template: str = Field(
        default="No answer can be written at the moment. This is what was found:\n\n{documents}",
        description="The answer; `{documents}` stands for what was found.",
    )
    each: str = Field(
        default="[{number}] {text}\n",
        description="One document in it: `{text}`, and `{number}`, its place.",
    )
    most: SomeCount = Field(default=5, description="Documents told at most.")

    @model_validator(mode="after")
    def _says_what_was_found(self) -> Self:
        if "{documents}" not in self.template:
            raise conflict("must have `{documents}` in it", "template")
        if "{text}" not in self.each:
            raise conflict("must have `{text}` in it", "each")
        if self.method == "GET" and self.body is not None:
            raise conflict("a GET has no `body`", "body", "method")
        return self


class Degradation(Section):
    """What callers get when the backend cannot be reached, is too slow, or fails."""

    statuses: tuple[Annotated[int, Field(ge=400, le=599)], ...] = Field(
        default=(429, 500, 502, 503, 504, 529),
        description="The statuses of the backend that are failures.",
    )
    order: tuple[Literal["stale", "standby", "retrieval", "message"], ...] = Field(
        default=("stale", "standby", "retrieval", "message"),
        description="What is tried, as far as it is configured: the last good answer (where "
        "`cache.stale_if_error_s` lets one be served), another backend, what a search finds, a "
        "text. If nothing comes of any, the failure is told.",
    )
    standby: tuple[Standby, ...] = Field(
        default=(),
        description="Other backends to ask; the first that is for the path and the model counts.",
        examples=[[{"url": "https://second.example.com"}]],
    )
    retrieval: tuple[Retrieval, ...] = Field(
        default=(),
        description="Searches, whose finds are told; the first that is for both counts.",
    )
    message: tuple[Message, ...] = Field(
        default=(),
        description="Texts; the first that is for both counts.",
        examples=[[{"text": "Back in a few minutes."}]],
    )

    @model_validator(mode="after")
    def _comes_up(self) -> Self:
        for name in ("standby", "retrieval", "message"):
            if getattr(self, name) and name not in self.order:
                raise conflict(f"`{name}` is configured, but not in `order`", "order", name)
        return self

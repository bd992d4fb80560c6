"""The settings of the backends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from proxy.config.section import Section, conflict
from proxy.config.units import (
    Accepts,
    HeaderName,
    HeaderSecret,
    Origin,
    PathPrefix,
    ReadableFile,
    Seconds,
    SecretInFile,
    SomeCount,
    SomeSeconds,
)

# What frames a message or belongs to one connection is the proxy's own to write.
_NOT_TO_SET: Final = frozenset(
    {
        "connection", "content-length", "expect", "keep-alive", "te", "trailer",
        "transfer-encoding", "upgrade", "via",
    }
)  # fmt: skip

_NOT_OF_A_NAME: Final = re.compile(r"[^0-9A-Za-z._-]")
_LONGEST_NAME: Final = 64  # characters


class UpstreamTls(Section):
    """How the proxy knows the backend, and the backend the proxy, over https."""

    verify: bool = Field(
        default=True,
        description="Whether the certificate is checked. Without, anybody in between may answer.",
    )
    ca_file: ReadableFile | None = Field(
        default=None, description="The authorities to trust (PEM) in place of the system's."
    )
    cert_file: ReadableFile | None = Field(
        default=None, description="The certificate (PEM) to show when asked for one."
    )
    key_file: ReadableFile | None = Field(
        default=None, description="The private key (PEM) of `cert_file`."
    )
    server_name: str | None = Field(
        default=None,
        min_length=1,
        description="The name the certificate must have, if not the URL's host.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.key_file and not self.cert_file:
            raise conflict("a `key_file` needs a `cert_file`", "key_file", "cert_file")
        return self


class UpstreamBreaker(Section):
    """Leaving a backend alone while it cannot be reached."""

    enabled: bool = Field(default=True, description="Whether it is left alone then.")
    failures: SomeCount = Field(
        default=5,
        description="How many requests in a row must fail. Half of at least 20 in 10 seconds are "
        "enough, too.",
    )
    counts: tuple[Literal["timeout", "refused", "no-reply"], ...] = Field(
        default=("timeout",),
        description="What counts as a failure: no connection in time, no connection at all, or no "
        "response. The last two are told at once or may be about one request, so that they do not "
        "by default.",
    )
    statuses: tuple[Annotated[int, Field(ge=500, le=599)], ...] = Field(
        default=(),
        description="The statuses that count, too. One may be about one model or one caller only.",
    )
    probe_s: SomeSeconds = Field(
        default=1.0,
        description="How often a request is let through to find out whether it is back; the "
        "others are told at once that it is not.",
    )


class Upstream(Section):
    """One backend."""

    url: Origin = Field(description="Where it is; a path here is put before that of the request.")
    prefix: PathPrefix = Field(
        default="/",
        description="The paths that go there; of several backends the longest prefix wins.",
    )
    id: Annotated[str, Accepts("letters, digits, dots, dashes and underscores")] = Field(
        default="",
        pattern=r"^([0-9A-Za-z][0-9A-Za-z._-]{0,63})?$",
        description="Its name in logs, metrics and cache keys; empty: its host, port and path.",
    )
    connect_timeout_s: SomeSeconds = Field(
        default=5.0, description="How long connecting may take, TLS included."
    )
    first_byte_timeout_s: SomeSeconds = Field(
        default=600.0,
        description="How long its answer may take to begin; a long answer that is not streamed "
        "begins when it is done. Interim responses, such as 102 and 103, begin none.",
    )
    idle_timeout_s: SomeSeconds = Field(
        default=120.0, description="How long an answer may pause once it has begun."
    )
    keepalive_s: Seconds = Field(
        default=4.0,
        description="For how long an idle connection is kept. Keep it below the backend's own "
        "limit (uvicorn's is 5), or a request may meet a connection that is being closed.",
    )
    max_connections: SomeCount = Field(default=1024, description="Connections at once.")
    preserve_host: bool = Field(
        default=False, description="Whether the client's Host header is kept."
    )
    strip_prefix: bool = Field(
        default=True, description="Whether `prefix` is taken off the path before it is passed on."
    )
    set_headers: dict[HeaderName, HeaderSecret] = Field(
        default_factory=dict,
        description="Headers that replace the client's, such as the backend's own credential.",
        examples=[{"authorization": "Bearer ..."}],
    )
    set_headers_file: dict[HeaderName, SecretInFile] = Field(
        default_factory=dict,
        description="The same, each value read from a file.",
        examples=[{"authorization": "/run/secrets/authorization"}],
    )
    retry_stale: bool = Field(
        default=True,
        description="Whether a request is sent once more when a kept connection turns out to be "
        "closed and no byte of an answer came.",
    )
    breaker: UpstreamBreaker = Field(
        default_factory=UpstreamBreaker,
        description="Leaving it alone while it cannot be reached.",
    )
    tls: UpstreamTls = Field(
        default_factory=UpstreamTls, description="How the two know each other over https."
    )

    @property
    def name(self) -> str:
        """What tells it from the others, in letters, digits, dots, dashes and underscores."""
        if self.id:
            return self.id
        place = self.url.partition("://")[2]
        name = _NOT_OF_A_NAME.sub("-", place).strip("-._")
        if len(name) <= _LONGEST_NAME:
            return name
        # Cut off it could be another's, whose answers may still be stored under that name.
        rest = blake2b(place.encode(), digest_size=8).hexdigest()
        return f"{name[: _LONGEST_NAME - len(rest) - 1]}-{rest}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers to set, names in lower case, wherever they were given. Secrets!"""
        held = {name: file.secret for name, file in self.set_headers_file.items()}
        return {
            name: secret.get_secret_value() for name, secret in (self.set_headers | held).items()
        }

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for group in ("set_headers", "set_headers_file"):
            framing = sorted(_NOT_TO_SET & getattr(self, group).keys())
            if framing:
                raise conflict("is the proxy's own to write", f"{group}.{framing[0]}")
        twice = self.set_headers.keys() & self.set_headers_file.keys()
        if twice:
            raise conflict(
                f"{', '.join(sorted(twice))} cannot be set by `set_headers` too",
                "set_headers_file",
                "set_headers",
            )
        return self


def distinct(upstreams: Sequence[Upstream]) -> None:
    """Raise a conflict if two of them cannot be told apart."""
    prefixes: dict[str, int] = {}
    names: dict[str, int] = {}
    for index, upstream in enumerate(upstreams):
        first = prefixes.setdefault(upstream.prefix.rstrip("/"), index)
        if first != index:
            raise conflict(
                f'"{upstream.prefix}" is also the prefix of another backend',
                f"{index}.prefix",
                f"{first}.prefix",
            )
        first = names.setdefault(upstream.name, index)
        if first != index:
            raise conflict(
                f'"{upstream.name}" is also the name of another backend; give each an `id`',
                f"{index}.id",
                f"{first}.id",
            )

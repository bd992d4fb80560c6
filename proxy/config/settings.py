"""The settings: everything that can be chosen, its default, and what it means.

They are read once, before anything starts, and never change. Rooms take plain parameters: only the
composition root sees these.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from proxy.config.caching import Cache, Flights
from proxy.config.compression import Compression
from proxy.config.degradation import Degradation
from proxy.config.embeddings import Embeddings
from proxy.config.observing import Metrics, Savings
from proxy.config.overload import Overload
from proxy.config.rag import Rag
from proxy.config.recording import Recording
from proxy.config.reload import Reload
from proxy.config.resources import HttpResource
from proxy.config.section import Section, conflict
from proxy.config.semantic import Semantic
from proxy.config.tiers import L1Memory, L2Disk, L2Redis, Storage
from proxy.config.tracing import Tracing
from proxy.config.units import (
    Address,
    Bytes,
    HeaderSecret,
    Listen,
    Network,
    Processes,
    Pseudonym,
    ReadableFile,
    Seconds,
    SecretInFile,
    SomeCount,
    SomeSeconds,
)
from proxy.config.upstreams import Upstream, distinct

_KIB: Final = 1024


class ServerTls(Section):
    """Serving https rather than http."""

    cert_file: ReadableFile | None = Field(
        default=None, description="The certificate (PEM), with its chain; null: plain http."
    )
    key_file: ReadableFile | None = Field(
        default=None, description="The private key (PEM); null: it is in `cert_file`."
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.key_file and not self.cert_file:
            raise conflict("a `key_file` needs a `cert_file`", "key_file", "cert_file")
        return self


class Admin(Section):
    """The operator's own listener: health, and what the proxy tells about itself."""

    enabled: bool = Field(default=True, description="Whether there is one.")
    listen: Listen = Field(
        default=Address("127.0.0.1", 8081),
        description="Where. Others than this machine can only be let in with a `token`.",
    )
    token: HeaderSecret | None = Field(
        default=None,
        description="What callers must send as `Authorization: Bearer`; only /healthz, /readyz "
        "and the dashboard's files, which hold nothing of yours, are open to all.",
    )
    token_file: SecretInFile | None = Field(
        default=None, description="A file to read `token` from."
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Further names it may be called by. A request that names another host is "
        "refused, so that no web page can reach it by DNS rebinding.",
    )

    show_content: bool = Field(
        default=False,
        description="Whether it tells questions and answers that are stored, to who may ask it "
        "all else. They are confidential as a rule.",
    )
    allow_export: bool = Field(
        default=False,
        description="Whether stored answers may be fetched by `sidecache export`. Needs a token: "
        "whoever has that can then read them all.",
    )
    allow_import: bool = Field(
        default=False,
        description="Whether answers may be brought in by `sidecache import`. Needs a token: "
        "whoever has that can then have anything answered.",
    )

    @property
    def bearer(self) -> str | None:
        """The token, wherever it was given."""
        secret = self.token_file.secret if self.token_file else self.token
        return secret.get_secret_value() if secret else None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.token and self.token_file:
            raise conflict("`token` and `token_file` cannot both be given", "token_file", "token")
        if self.token is not None and not self.token.get_secret_value():
            raise conflict("must not be empty", "token")
        for name, allowed in (("export", self.allow_export), ("import", self.allow_import)):
            if allowed and self.bearer is None:
                raise conflict(
                    f"to {name} entries takes a `token` or `token_file`", f"allow_{name}", "token"
                )
        if self.enabled and not self.listen.is_loopback and self.bearer is None:
            raise conflict(
                f"{self.listen} lets in others than this machine: give a `token` or `token_file`",
                "listen",
                "token",
                "token_file",
            )
        return self


class Limits(Section):
    """What one client, or all together, may take up."""

    max_connections: SomeCount = Field(default=10_000, description="Connections at once.")
    header_deadline_s: SomeSeconds = Field(
        default=10.0, description="How long the head of a request may take to come."
    )
    idle_keepalive_s: SomeSeconds = Field(
        default=75.0, description="For how long a connection is kept without a request."
    )
    body_deadline_s: SomeSeconds = Field(
        default=300.0, description="How long the body of a request may take to come."
    )
    body_min_rate_bytes: Bytes = Field(
        default=1000, description="Bytes a second below which a request's body is too slow."
    )
    write_stall_s: SomeSeconds = Field(
        default=60.0, description="How long a client may take nothing of what it is sent."
    )
    half_close_grace_s: Seconds = Field(
        default=1.0,
        description="How long a client that has closed its own side is still answered.",
    )
    max_header_line_bytes: Bytes = Field(default=16 * _KIB, description="The longest request line.")
    max_header_field_bytes: Bytes = Field(
        default=16 * _KIB, description="The longest header of a request."
    )
    max_headers: SomeCount = Field(default=128, description="The most headers of a request.")
    max_body_bytes: Bytes | None = Field(
        default=None, description="The longest body of a request; null: as the backend allows."
    )


class Downstream(Section):
    """How clients are treated."""

    limits: Limits = Field(
        default_factory=Limits, description="What one client, or all together, may take up."
    )
    drain_s: Seconds = Field(
        default=30.0,
        description="How long answers under way may take after the proxy was told to stop.",
    )
    drain_delay_s: Seconds = Field(
        default=0.0,
        description="How long the proxy goes on as before, told to stop (SIGTERM), until load "
        "balancers have noticed that it is not ready any more; comes before `drain_s`.",
    )
    forwarded: Literal["off", "set", "append"] = Field(
        default="set",
        description="What the backend is told of the client (X-Forwarded-For, -Host, -Proto, "
        "Forwarded): nothing, only what the proxy saw, or that added to what it was told.",
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        description="The peers whose own forwarding headers are believed.",
        examples=[["10.0.0.0/8", "2001:db8::/32"]],
    )


class Log(Section):
    """What is told on standard error; never prompts, answers or secrets."""

    format: Literal["json", "text"] = Field(
        default="json", description="One JSON object a line, or text for people."
    )
    requests: bool = Field(default=True, description="Whether each request is a line.")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important events told."
    )


def _distinct(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    distinct(upstreams)
    return upstreams


class Settings(Section):
    """All settings."""

    mode: Literal["gateway", "sidecar"] = Field(
        default="gateway",
        description="How it stops: as one of several that a load balancer chooses from, or beside "
        "one application, which it outlives.",
    )
    listen: Listen = Field(
        default=Address("127.0.0.1", 8080),
        description="Where clients come in; 0.0.0.0 or [::] lets in others than this machine.",
    )
    tls: ServerTls = Field(default_factory=ServerTls, description="Serving https rather than http.")
    workers: Processes = Field(
        default=1,
        description="Processes that serve, no more than there are processors. What is bounded "
        "(memory, connections, calls) is divided among them.",
    )
    pseudonym: Pseudonym = Field(
        default="sidecache",
        description="The proxy's name in Via and Cache-Status. Proxies in a row need different "
        "ones, or they take each other for a loop.",
    )
    upstreams: Annotated[tuple[Upstream, ...], AfterValidator(_distinct)] = Field(
        default=(),
        description="The backends; to serve, there must be one.",
        examples=[[{"url": "http://127.0.0.1:8000"}]],
    )
    admin: Admin = Field(
        default_factory=Admin, description="The operator's own listener, with /healthz and /readyz."
    )
    downstream: Downstream = Field(
        default_factory=Downstream, description="How clients are treated."
    )
    cache: Cache = Field(
        default_factory=Cache, description="What may be answered from the cache, for how long."
    )
    l1_memory: L1Memory = Field(
        default_factory=L1Memory, description="The first tier: entries in this process's memory."
    )
    l2_disk: L2Disk = Field(
        default_factory=L2Disk,
        description="The disk tier: entries in a file that outlives the process, and that all "
        "processes on this machine share.",
    )
    l2_redis: L2Redis = Field(
        default_factory=L2Redis, description="The Redis tier: entries that all replicas share."
    )
    storage: Storage = Field(
        default_factory=Storage, description="How entries look on disk and in Redis."
    )
    flights: Flights = Field(
        default_factory=Flights,
        description="Requests for the same answer at the same time: one asks, all hear it.",
    )
    embeddings: Embeddings = Field(
        default_factory=Embeddings,
        description="Vectors of texts, which are kept for each text by itself.",
    )
    http_resource: HttpResource = Field(
        default_factory=HttpResource, description="Everything else that is GET or HEAD."
    )
    semantic: Semantic = Field(
        default_factory=Semantic,
        description="Answers to questions asked in other words, within an error budget.",
    )
    overload: Overload = Field(
        default_factory=Overload,
        description="How many calls of the backends there may be, and who stands back when more "
        "are wanted.",
    )
    degradation: Degradation = Field(
        default_factory=Degradation, description="What callers get when the backend fails."
    )
    compression: tuple[Compression, ...] = Field(
        default=(),
        description="Prompts that are made shorter on their way to the backend; the first that "
        "matches counts. Answers are kept for the original question only.",
        examples=[[{"rules": ["blank", "repeated"], "max_tokens": 8000}]],
    )
    rag: tuple[Rag, ...] = Field(
        default=(),
        description="Routes of RAG services that speak JSON of their own; the first that matches "
        "counts.",
        examples=[[{"paths": ["/ask"], "answer": "/answer", "sources": "/sources"}]],
    )
    tracing: Tracing = Field(
        default_factory=Tracing,
        description="A span for each request, sent to a collector (OpenTelemetry).",
    )
    metrics: Metrics = Field(default_factory=Metrics, description="What is counted of requests.")
    savings: Savings = Field(
        default_factory=Savings,
        description="What tokens cost, so that it can be told what the cache saves.",
    )
    recording: Recording = Field(
        default_factory=Recording,
        description="A trace of requests for `sidecache tune`: when, how large, what it cost; no "
        "content.",
    )
    log: Log = Field(
        default_factory=Log,
        description="What is told on standard error; never prompts, answers or secrets.",
    )
    reload: Reload = Field(
        default_factory=Reload, description="Taking changed settings over without a restart."
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.admin.enabled and self.listen.port and self.admin.listen == self.listen:
            raise conflict(
                f"clients come in at {self.listen} too; `listen` and `admin.listen` must differ",
                "admin.listen",
                "listen",
            )
        shared = self.semantic.enabled and self.semantic.index.kind.startswith("redis-")
        if shared and self.l2_redis.address is None:
            raise conflict(
                f"{self.semantic.index.kind} needs an `l2_redis.url`",
                "semantic.index.kind",
                "l2_redis.url",
            )
        return self

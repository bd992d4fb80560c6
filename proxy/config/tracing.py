"""The settings of traces."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from proxy.config.section import Section
from proxy.config.units import (
    Accepts,
    HeaderName,
    HeaderSecret,
    Origin,
    Seconds,
    SomeCount,
    SomeSeconds,
    unmistakable,
)

Ratio = Annotated[
    float, BeforeValidator(unmistakable), Field(ge=0, le=1), Accepts("a number from 0 to 1")
]


class Tracing(Section):
    """A span for each request, sent to a collector (OpenTelemetry)."""

    enabled: bool = Field(
        default=False, description="Whether there are traces. Needs the extra `otel`."
    )
    endpoint: Origin | None = Field(
        default=None,
        description="Where the collector takes OTLP over HTTP; without a path it is /v1/traces. "
        "null: as OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT say, or "
        "http://localhost:4318.",
        examples=["http://127.0.0.1:4318"],
    )
    headers: dict[HeaderName, HeaderSecret] = Field(
        default_factory=dict,
        description="Headers to send to it, such as a credential, besides those of "
        "OTEL_EXPORTER_OTLP_HEADERS.",
        examples=[{"authorization": "Bearer ..."}],
    )
    sample_ratio: Ratio | None = Field(
        default=None,
        description="How many of the traces that begin here are kept; of those that come with the "
        "request the caller has decided. null: as OTEL_TRACES_SAMPLER says, or all.",
    )
    service_name: str | None = Field(
        default=None,
        min_length=1,
        description="What the proxy is called in them; null: as OTEL_SERVICE_NAME says, or "
        "sidecache.",
    )
    timeout_s: SomeSeconds | None = Field(
        default=None,
        description="How long sending some may take, tries included; null: as "
        "OTEL_EXPORTER_OTLP_TIMEOUT says, or 10 s.",
    )
    max_waiting: SomeCount = Field(
        default=2048,
        description="Spans that may wait to be sent, at some kilobytes each; further ones are "
        "dropped and counted.",
    )
    flush_s: Seconds = Field(
        default=2.0,
        description="How long the last spans may take to be sent when the proxy ends.",
    )

    @property
    def target(self) -> str | None:
        """The whole URL to send to; None: as the environment says."""
        if self.endpoint is None:
            return None
        bare = "/" not in self.endpoint.partition("://")[2]
        return f"{self.endpoint}/v1/traces" if bare else self.endpoint

    @property
    def secrets(self) -> dict[str, str]:
        """The headers to send. Secrets!"""
        return {name: value.get_secret_value() for name, value in self.headers.items()}

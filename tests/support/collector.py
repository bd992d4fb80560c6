"""A collector of traces on a real socket: takes OTLP over HTTP, and reads every span."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

KINDS = {Span.SPAN_KIND_SERVER: "server", Span.SPAN_KIND_INTERNAL: "internal"}


@dataclass(frozen=True)
class Received:
    """A span as it came."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    state: str
    attributes: dict[str, Any]
    events: list[tuple[str, float, int]]  # name, seconds that the stage took, when (ns)
    links: list[tuple[str, str]]
    failed: bool
    began_ns: int
    ended_ns: int

    @property
    def place(self) -> tuple[str, str]:
        """What its children name as their trace and parent."""
        return self.trace, self.id


@dataclass
class Collector:
    """Listens on 127.0.0.1 while its block lasts."""

    status: int = 200
    hangs: bool = False
    spans: list[Received] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/v1/traces", self._take)
        self._over = asyncio.Event()
        self._asked = asyncio.Event()
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        await self._runner.cleanup()

    async def was_asked(self) -> None:
        """Wait until somebody has sent something."""
        async with asyncio.timeout(20):
            await self._asked.wait()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        self._asked.set()
        if self.hangs:
            await self._over.wait()
        if self.status == 200:
            self._read(self.bodies[-1])
        return web.Response(status=self.status, content_type="application/x-protobuf")

    def _read(self, body: bytes) -> None:
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_values(group.resource.attributes))
            for scope in group.scope_spans:
                assert scope.scope.name == "sidecache"
                self.spans += map(_received, scope.spans)


def _received(span: Any) -> Received:
    return Received(
        span.name,
        KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        _values(span.attributes),
        [
            (each.name, _values(each.attributes)["sidecache.stage.duration_s"], each.time_unix_nano)
            for each in span.events
        ],
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        span.status.code == Status.STATUS_CODE_ERROR,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}

"""``GET /profile``: what the running proxy spends its time on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, NamedTuple, Protocol

from aiohttp import web
from pydantic import Field

from proxy.admin.endpoint import Call, Endpoint, Nothing, Problem, Refused, Said, endpoint
from proxy.profiling.flame import flame_graph
from proxy.profiling.sampling import CannotSample, NotInstalled
from proxy.profiling.stacks import folded, read, speedscope

Sample = Callable[[float, int], Awaitable[str]]

_SPARE_S: Final = 30.0  # beyond the time asked for, to read symbols and to draw


class Wanted(Said):
    """How to look, and what to tell."""

    seconds: float = Field(default=5.0, ge=0.5, le=60.0, description="For how long.")
    hz: int = Field(default=100, ge=1, le=500, description="How often a second.")
    format: Literal["svg", "folded", "json"] = Field(
        default="svg",
        description="A flame graph; a line for each stack; or what the viewer speedscope reads.",
    )


class WantedOfOne(Wanted):
    """The same, of one of several processes."""

    worker: int | None = Field(
        default=None,
        ge=0,
        description="The slot of the worker to look at, or 0: the process that answers the "
        "operator. Without it, the worker that has been busiest lately.",
    )


class Picture(NamedTuple):
    """What another process answered."""

    status: int
    body: bytes
    content_type: str


class Others(Protocol):
    """The workers, where there are several."""

    def busiest(self) -> int:
        """The slot of the one that has been busiest lately; 0: none serves."""
        ...

    async def profile(self, slot: int, query: Mapping[str, str], limit_s: float) -> Picture:
        """What it spends its time on. Raises Refused."""
        ...


class Profiles:
    """Answers it, one at a time.

    Args:
        sample: as ``proxy.profiling.sampling.sample``.
        name: of what is looked at.
        others: whom else to look at; None: there is only this process.
    """

    def __init__(self, sample: Sample, name: str, others: Others | None = None) -> None:
        self._sample = sample
        self._name = name
        self._others = others
        self._busy = False

    @property
    def endpoint(self) -> Endpoint:
        """200 once the time is over."""
        return endpoint(
            "GET",
            "/profile",
            self._answer,
            query=Wanted if self._others is None else WantedOfOne,
            body=Nothing,
            summary="What the proxy spends its time on, as a flame graph",
            answers={
                200: "image/svg+xml, text/plain, application/json",
                409: Problem,
                501: Problem,
                503: Problem,
            },
        )

    async def _answer(self, asked: Call[Wanted, Nothing]) -> web.Response:
        if self._others is not None and isinstance(asked.query, WantedOfOne):
            worker = asked.query.worker
            slot = self._others.busiest() if worker is None else worker
            if slot:
                query = asked.query.model_dump(mode="json", exclude={"worker"})
                limit_s = asked.query.seconds + _SPARE_S
                picture = await self._others.profile(
                    slot, {name: str(value) for name, value in query.items()}, limit_s
                )
                return web.Response(
                    status=picture.status, body=picture.body, content_type=picture.content_type
                )
        return await self._own(asked)

    async def _own(self, asked: Call[Wanted, Nothing]) -> web.Response:
        if self._busy:
            raise Refused(409, "somebody else looks just now: ask again when that is over")
        self._busy = True
        try:
            raw = await self._sample(asked.query.seconds, asked.query.hz)
        except NotInstalled as error:
            why = "py-spy is not installed: pip install 'sidecache[profile]'"
            raise Refused(501, why) from error
        except CannotSample as error:
            raise Refused(503, str(error)) from error
        finally:
            self._busy = False
        profile = read(raw, asked.query.seconds, asked.query.hz)
        match asked.query.format:
            case "svg":
                image = flame_graph(profile, f"What {self._name} does").encode()
                return web.Response(body=image, content_type="image/svg+xml", charset="utf-8")
            case "folded":
                return web.Response(text=folded(profile))
            case "json":
                body = speedscope(profile, self._name)
                return web.Response(body=body, content_type="application/json")

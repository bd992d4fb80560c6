"""``GET /profile``: what the running proxy spends its time on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from aiohttp import web
from pydantic import Field

from proxy.admin.endpoint import Call, Endpoint, Nothing, Problem, Refused, Said, endpoint
from proxy.profiling.flame import flame_graph
from proxy.profiling.sampling import CannotSample, NotInstalled
from proxy.profiling.stacks import folded, read, speedscope

Sample = Callable[[float, int], Awaitable[str]]


class Wanted(Said):
    """How to look, and what to tell."""

    seconds: float = Field(default=5.0, ge=0.5, le=60.0, description="For how long.")
    hz: int = Field(default=100, ge=1, le=500, description="How often a second.")
    format: Literal["svg", "folded", "json"] = Field(
        default="svg",
        description="A flame graph; a line for each stack; or what the viewer speedscope reads.",
    )


class Profiles:
    """Answers it, one at a time.

    Args:
        sample: as ``proxy.profiling.sampling.sample``.
        name: of what is looked at.
    """

    def __init__(self, sample: Sample, name: str) -> None:
        self._sample = sample
        self._name = name
        self._busy = False

    @property
    def endpoint(self) -> Endpoint:
        """200 once the time is over."""
        return endpoint(
            "GET",
            "/profile",
            self._answer,
            query=Wanted,
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

"""``GET /workers``: the processes that serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from proxy.admin.endpoint import Call, Endpoint, Nothing, Shown, Told, plain


class Worker(Shown):
    """One of them."""

    slot: int = Field(description="Its number among those that live, from 1.")
    pid: int
    state: Literal["starting", "ready", "leaving"]
    silent: bool = Field(
        description="Whether it does not answer: what is told of it is what it said last."
    )
    age_s: float | None = Field(description="null: it has not said anything yet.")
    rss_bytes: int | None
    cpu_s: float | None
    requests: int | None = Field(description="That are over.")
    in_progress: int | None = Field(description="Requests under way.")
    connections: int | None = Field(description="Of clients, open now.")
    loop_lag_p99_s: float | None


class Workers(Shown):
    """All of them."""

    wanted: int = Field(description="How many there should be: `workers`.")
    restarts: int = Field(description="How many were started in the place of one that had died.")
    workers: list[Worker]


def workers(told: Callable[[], Workers]) -> Endpoint:
    """The endpoint."""

    async def answer(_asked: Call[Nothing, Nothing]) -> Told:
        return Told(told())

    return plain("/workers", answer, "The processes that serve", {200: Workers})

"""The operator, who purges at the admin listener."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import aiohttp

Json = dict[str, Any]

ADMIN: Json = {"admin": {"listen": "127.0.0.1:0"}}  # settings of a proxy that can be purged


class Answer(NamedTuple):
    """What a purge was answered."""

    status: int
    said: Json

    @property
    def absent(self) -> list[str]:
        """The replicas that have not said that they obey."""
        return [each["replica"] for each in self.said["absent"]]


async def purge(admin: str | None, kind: str = "all", value: str = "", **more: Any) -> Answer:
    """``POST /purge`` at ``admin``, for as long as it takes."""
    asked = {"kind": kind, **({"value": value} if value else {}), **more}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        session.post(f"{admin}/purge", json=asked) as reply,
    ):
        return Answer(reply.status, await reply.json())


async def obeyed_by_all(admin: str | None, limit_s: float = 30.0) -> None:
    """Purge something until every replica obeys, and with that all that was purged before."""
    async with asyncio.timeout(limit_s):
        while (await purge(admin, "tag", "something else")).status != 200:
            pass


async def purged(admin: str | None, kind: str = "all", value: str = "", **more: Any) -> None:
    """The same; every replica obeys."""
    answer = await purge(admin, kind, value, **more)
    assert answer.status == 200, answer
    assert answer.said["complete"] is True
    assert (answer.absent, answer.said["trouble"]) == ([], "")

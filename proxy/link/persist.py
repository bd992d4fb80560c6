"""What is done with Redis for as long as the proxy runs, through every failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.link.redis import Redis
from proxy.link.replies import NotAllowed
from proxy.model.errors import TierError

_REST_S: Final = 0.1  # after a failure that is no failure of Redis
_LONG_REST_S: Final = 5.0  # after one that only an operator can put right


class Unforeseen(TierError):
    """It failed in a way that nobody foresaw; a bug. It is tried again in a moment."""


async def persist(
    redis: Redis, work: Callable[[], Awaitable[None]], broke: Callable[[TierError], None]
) -> None:
    """Do ``work`` again and again, whenever Redis may be asked. Returns once ``redis`` is closed.

    Args:
        redis: started.
        work: ends only by what it raises.
        broke: told of that, each time. Must not raise.
    """
    while True:
        rest_s = _REST_S
        try:
            await work()
        except NotAllowed as refusal:
            broke(refusal)
            rest_s = _LONG_REST_S
        except TierError as error:
            broke(error)
        except Exception as bug:  # noqa: BLE001 - a task's root: it must not end unheard
            unforeseen = Unforeseen(f"{type(bug).__name__}: {bug}")
            unforeseen.__cause__ = bug
            broke(unforeseen)
        await asyncio.sleep(rest_s)
        try:
            await redis.back()
        except TierError:
            return

"""Workers that are killed under load, again and again."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from pathlib import Path
from time import monotonic

import pytest
from support.crowd import Crowd, answer
from support.processes import children, peers, ports, until
from support.raw_chat import question
from support.raw_client import RawClient
from support.scripted import ScriptedUpstream
from support.served import Served, served

KILLS = 12
EVERY_S = 2.5
BACK_WITHIN_S = 15.0  # it takes a fifth of a second, but on a machine that is overloaded
CALLERS = 64
WORKERS = 2


@pytest.mark.heavy
@pytest.mark.timeout(300)
async def test_nobody_fails_but_those_whose_call_was_with_the_worker_that_was_killed(
    tmp_path: Path,
) -> None:
    async with (
        ScriptedUpstream() as up,
        served(
            up.url,
            SIDECACHE_WORKERS=str(WORKERS),
            SIDECACHE_L2_DISK__ENABLED="true",
            SIDECACHE_L2_DISK__DIRECTORY=str(tmp_path),
            SIDECACHE_LOG__REQUESTS="false",
        ) as proxy,
    ):
        up.answer_with(answer)
        # Connections do not last: the worker that takes most of them is another from time to time.
        crowd = Crowd(lambda: proxy.address, CALLERS, asks=20)
        lost: list[tuple[set[int], set[int]]] = []  # who was with no other; who failed
        back: list[float] = []

        def serving() -> list[int]:
            """The workers that callers are with."""
            return [pid for pid in children(proxy.pid) if peers(pid) & crowd.under_way]

        async def kill_some() -> None:
            await until(lambda: len(serving()) == WORKERS)
            for _ in range(KILLS):
                before = children(proxy.pid)
                began, failed = monotonic(), len(crowd.failures)
                victim, *others = serving()
                # Until it is gone no caller moves: nobody comes to it unseen.
                callers = ports(os.getpid())
                kill(victim)
                had = callers.difference(*map(peers, others))
                while await answering(proxy) in before:
                    pass
                back.append(monotonic() - began)
                await asyncio.sleep(max(0.0, began + EVERY_S - monotonic()))
                lost.append((had, {failure.port for failure in crowd.failures[failed:]}))

        await crowd.during(kill_some())
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0

    assert crowd.wrong == []
    assert sum(crowd.seen.values()) > 1000
    assert [failed - had for had, failed in lost] == [set()] * KILLS
    assert max(back) < BACK_WITHIN_S, back


def kill(pid: int) -> None:
    """Kill a process, and wait without a turn of the loop until all that it had open is closed."""
    file = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([file], [], [], BACK_WITHIN_S)[0]
    finally:
        os.close(file)


async def answering(proxy: Served) -> int:
    """The worker that a new caller gets an answer of."""
    async with await RawClient.connect(proxy.address) as client:
        await client.send(question("common 1"))
        assert (await client.response()).status == 200
        port = client.own_address[1]
        return next(pid for pid in children(proxy.pid) if port in peers(pid))

"""Whoever asks may leave at any moment: nothing is left behind, no answer goes to another."""

from __future__ import annotations

import asyncio
import random

from support.asking import outbound, read


async def test_a_storm_of_cancellations_leaves_nothing_behind_and_mixes_nothing_up(up, reach):
    async def answer(call):
        await call.head(200, chunked=True)
        await call.chunk(call.target.encode())
        await call.chunk(call.body)
        await call.end()

    up.answer_with(answer)
    upstream = reach(up.url, max_connections=4)
    dice = random.Random(1)
    answered = 0
    for _ in range(40):
        asked = [
            outbound(path=f"/{dice.random()}", body=b"x" * dice.randrange(2000)) for _ in range(8)
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(closing(upstream, each)) for each in asked]
            for _ in range(dice.randrange(30)):
                await asyncio.sleep(0)
            for task in tasks:
                if dice.random() < 0.5:
                    task.cancel()
        for each, task in zip(asked, tasks, strict=True):
            if not task.cancelled():
                assert task.result() == each.path.encode() + each.body
                answered += 1
    assert answered > 100
    assert upstream.in_use == 0
    # No place in the pool was lost either.
    arrivals = await asyncio.gather(*(upstream.send(outbound()) for _ in range(4)))
    assert upstream.in_use == 4
    for arrival in arrivals:
        arrival.close()
    await upstream.close()
    await up.deserted()
    assert [task for task in asyncio.all_tasks() if "/proxy/" in repr(task)] == []


async def closing(upstream, asked):
    arrival = await upstream.send(asked)
    try:
        return await read(arrival)
    finally:
        arrival.close()

"""A storm over three replicas: what is heard is right to the byte, or broken off."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from support.cranked import Call, Errand
from support.grounds import GROUNDS, InDirectory, InRedis, ground
from support.replicas import Heard, Replica, replica, until

from proxy.fleet.post_socket import SocketPost
from proxy.model.decision import GiveUp, HeadVerdict, Share, Why
from proxy.model.entry import CacheKey
from proxy.model.errors import BrokenReply, NoReply, UpstreamError
from proxy.model.message import Arrival
from proxy.model.query import Form

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

KEYS, SECONDS = 6, 10.0


def whole(number: int) -> list[bytes]:
    """The answer to a question, which is another for each, in pieces."""
    dice = random.Random(number)
    return [
        b"%d/%d " % (number, part) * dice.randint(1, 400) for part in range(dice.randint(1, 12))
    ]


@dataclass
class Asked(Errand):
    """Asks a backend that answers by itself, fails now and then, and sometimes gives up."""

    number: int = 0
    dice: random.Random = field(default_factory=random.Random)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self) -> Arrival:
        call = Call()
        task = asyncio.get_running_loop().create_task(self._answer(call))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return await call.answered()

    def weigh(self, arrival: Arrival) -> tuple[HeadVerdict, Form | None]:
        gives_up = self.number == 0 and isinstance(arrival, Call)
        return (GiveUp(Why.STATUS) if gives_up else Share(storable=True)), self.asked

    async def _answer(self, call: Call) -> None:
        dice = self.dice
        await asyncio.sleep(dice.choice((0.0, 0.001, 0.02)))
        if dice.random() < 0.05:
            call.fail(NoReply("hung up"))
            return
        call.answer()
        for piece in whole(self.number):
            await asyncio.sleep(dice.choice((0.0, 0.0, 0.001, 0.01)))
            if dice.random() < 0.01:
                call.fail(BrokenReply("cut"))
                return
            call.send(piece)
        call.end()


async def ask(one: Replica, dice: random.Random, tasks: set, seen: Counter[str]) -> None:
    number = dice.randrange(KEYS)
    key = CacheKey("anon", bytes([number]) * 32)
    errand = Asked(one.crank, one.clock, key, number=number, dice=dice, tasks=tasks)
    listener = Heard(one.board(errand, fresh=dice.random() < 0.1))
    right = b"".join(whole(number))
    if dice.random() < 0.1:
        await asyncio.sleep(dice.random() * 0.05)
        await listener.hang_up()
        return
    try:
        heard = await listener.end()
    except UpstreamError as error:
        seen[type(error).__name__] += 1
        assert right.startswith(listener.heard)
    else:
        seen[type(listener.boarding).__name__] += 1
        assert heard == (right if type(listener.boarding).__name__ == "Boarded" else b"")


async def trouble_in_redis(on: InRedis, replicas: list[Replica], dice: random.Random) -> None:
    redis = on.redis
    while True:
        await asyncio.sleep(dice.uniform(0.1, 0.5))
        match dice.randrange(4):
            case 0:
                redis.signal(signal.SIGSTOP)
                await asyncio.sleep(dice.choice((0.02, 0.3)))
                redis.signal(signal.SIGCONT)
            case 1:
                box = "sidecache:{fleet}:post:" + dice.choice(replicas).relay.post.owner
                await redis.say("DEL", box)
            case 2:
                await redis.say("FLUSHALL")
            case _:
                await redis.say("CLIENT", "KILL", "TYPE", "normal")


async def trouble_in_directory(
    on: InDirectory, replicas: list[Replica], dice: random.Random
) -> None:
    while True:
        await asyncio.sleep(dice.uniform(0.05, 0.2))
        post = dice.choice(replicas).post
        assert isinstance(post, SocketPost)
        match dice.randrange(3):
            case 0:
                for line in tuple(post._lines.values()):
                    line.end()
            case 1:
                for hearing in tuple(post._heard):
                    hearing.end()
            case _:
                table = on.place / "locks"
                table.write_bytes(dice.randbytes(table.stat().st_size))


@pytest.mark.parametrize("kind", GROUNDS)
@pytest.mark.parametrize("seed", range(3))
async def test_in_a_storm_nobody_hears_a_wrong_byte_and_nothing_is_left_behind(
    kind: str, seed: int
) -> None:
    dice, tasks, seen = random.Random(seed), set[asyncio.Task[None]](), Counter[str]()
    patience = {"operation_s": 0.1, "silent_s": 0.5, "answer_s": 0.1, "beat_s": 0.1}
    async with (
        ground(kind) as on,
        replica(on.place, linger_s=0.05, lease_s=0.5, **patience) as one,
        replica(on.place, linger_s=0.05, lease_s=0.5, **patience) as two,
        replica(on.place, linger_s=0.05, lease_s=0.5, **patience) as three,
    ):
        replicas = [one, two, three]
        for each in replicas:
            each.flights.limits = replace(each.flights.limits, hit_for_miss_ttl=0.0)
        loop = asyncio.get_running_loop()
        if isinstance(on, InRedis):
            storm = loop.create_task(trouble_in_redis(on, replicas, dice))
        else:
            assert isinstance(on, InDirectory)
            storm = loop.create_task(trouble_in_directory(on, replicas, dice))
        until_s = loop.time() + SECONDS
        async with asyncio.TaskGroup() as group:
            while loop.time() < until_s:
                for each in replicas:
                    if each.redis:
                        each.link.clock.turn(0.02)  # breakers look again
                    group.create_task(ask(each, dice, tasks, seen))
                await asyncio.sleep(0.02)
        storm.cancel()
        with suppress(asyncio.CancelledError):
            await storm
        if isinstance(on, InRedis):
            on.redis.signal(signal.SIGCONT)
        await until(lambda: not any(len(each.flights) for each in replicas))
        # How many depends on the machine; that there were some does not.
        assert sum(each.relay.counts.followed for each in replicas) > 0
        assert seen["Boarded"] > 100, seen

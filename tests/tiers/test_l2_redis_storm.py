"""The cancel storm: callers leave at any instant, replies come in pieces, and no answer strays.

That the storm would show it if one did, it proves on a client whose replies do stray.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from support.careless import CarelessRedis, careless_redis
from support.cranked import Clock
from support.faulty_tcp import Faults, faulty_tcp
from support.redis_servers import needs_redis, server
from support.redis_tiers import PATIENT_S, Scene, redis_tier
from support.tier_contract import entry

from proxy.link.redis import Standing
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.errors import TierError
from proxy.tiers.codec import Codec, Odd

pytestmark = needs_redis

KEYS = [CacheKey(f"scope {i % 7}", i.to_bytes(2) * 16) for i in range(500)]
BODIES = {key: random.Random(key.digest).randbytes(200 + 37 * i) for i, key in enumerate(KEYS)}
AT_ONCE = 24
WALL = 1.7e9  # seconds since 1970


class Storm:
    """Reads and writes of known answers, half of them given up at some instant."""

    def __init__(self, scene: Scene | CarelessScene) -> None:
        self.scene = scene
        self.read = 0
        self.wrong = 0  # of these: another's answer
        self.missed = 0  # of these: none, though there is one
        self.cancelled = 0
        self.failed = 0

    async def rage(self, operations: int, seed: int = 11) -> None:
        dice = random.Random(seed)
        for _ in range(operations // AT_ONCE + 1):
            async with asyncio.TaskGroup() as wave:
                for _ in range(AT_ONCE):
                    task = wave.create_task(
                        self._one(dice.choice(KEYS), writes=dice.random() < 0.1)
                    )
                    if dice.random() < 0.5:
                        asyncio.get_running_loop().call_later(dice.uniform(0, 0.004), task.cancel)
            # A breaker that opened would keep the storm away.
            await self.scene.until(Standing.ON, lambda: self.scene.tier.get(KEYS[0]))

    async def _one(self, key: CacheKey, *, writes: bool) -> None:
        try:
            if writes:
                await self.scene.tier.put(stored(key, self.scene.clock()))
                return
            found = await self.scene.tier.get(key)
        except TierError:
            self.failed += 1
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        else:
            self.read += 1
            self.missed += found is None
            self.wrong += found is not None and found.body != BODIES[key]


def stored(key: CacheKey, now: float) -> Entry:
    return entry(key, BODIES[key], stored_at=now, lifetime=Lifetime(1e6))


async def storm(operations: int, operation_s: float, seed: int = 11) -> Storm:
    """What came of a storm; each command has so many seconds."""
    async with server() as alone, redis_tier(alone.port) as filling:
        await asyncio.gather(*(filling.tier.put(stored(key, 1000.0)) for key in KEYS))
        async with (
            faulty_tcp(alone.port, Faults(delay_s=0.003, split=True)) as port,
            redis_tier(port, Clock(), operation_s=operation_s) as scene,
        ):
            raging = Storm(scene)
            await raging.rage(operations, seed)
        # The codec would have hidden a stray answer behind a miss: it must have seen none.
        assert not any(scene.codec.odd.values()), scene.codec.odd
        assert raging.wrong == raging.missed == 0
        assert raging.read + raging.cancelled + raging.failed > operations // 2
        return raging


async def test_4_000_operations_half_of_them_cancelled_get_no_wrong_value() -> None:
    raging = await storm(4_000, PATIENT_S)
    assert raging.failed == 0
    assert raging.read > 500


async def test_commands_that_run_out_of_time_half_way_leave_no_answer_behind() -> None:
    raging = await storm(2_000, 0.03)
    assert raging.scene.redis.failed > 0


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
async def test_100_000_operations_half_of_them_cancelled_get_no_wrong_value(seed: int) -> None:
    raging = await storm(25_000, PATIENT_S, seed)
    assert raging.failed == 0
    assert raging.cancelled > 2_500
    assert raging.read > 2_500


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
async def test_100_000_operations_many_out_of_time_get_no_wrong_value(seed: int) -> None:
    raging = await storm(25_000, 0.03, seed)
    assert raging.scene.redis.failed > 0


# -- that it bites -----------------------------------------------------------------------------


class Trusting:
    """Answers as they are, and whatever is read is taken for the answer."""

    def wrap(self, entry: Entry) -> bytes:
        return entry.body

    def unwrap(self, key: CacheKey, blob: bytes) -> Entry | None:
        return entry(key, blob)


class Checking:
    """Answers in the envelope that all tiers use."""

    def __init__(self) -> None:
        self.codec = Codec()

    def wrap(self, entry: Entry) -> bytes:
        return self.codec.encode(entry, 1000.0, WALL)

    def unwrap(self, key: CacheKey, blob: bytes) -> Entry | None:
        return self.codec.decode(key, blob, 1000.0, WALL)


class CarelessTier:
    """A tier over a client whose replies stray."""

    def __init__(self, redis: CarelessRedis, form: Trusting | Checking) -> None:
        self._redis = redis
        self._form = form

    async def get(self, key: CacheKey) -> Entry | None:
        reply = await self._redis.ask(b"GET", key.digest)
        return self._form.unwrap(key, reply) if isinstance(reply, bytes) else None

    async def put(self, entry: Entry) -> bool:
        await self._redis.ask(b"SET", entry.key.digest, self._form.wrap(entry))
        return True


class CarelessScene:
    """That tier, always on."""

    def __init__(self, redis: CarelessRedis, form: Trusting | Checking) -> None:
        self.clock = Clock()
        self.tier = CarelessTier(redis, form)

    async def until(self, standing: Standing, act: Callable[[], Awaitable[object]]) -> None:
        await act()


async def careless_storm(form: Trusting | Checking) -> Storm:
    async with server() as alone:
        async with careless_redis(alone.port) as filling:
            tier = CarelessTier(filling, form)
            await asyncio.gather(*(tier.put(stored(key, 1000.0)) for key in KEYS))
        async with (
            faulty_tcp(alone.port, Faults(delay_s=0.003, split=True)) as port,
            careless_redis(port) as redis,
        ):
            raging = Storm(CarelessScene(redis, form))
            await raging.rage(1_000)
    return raging


async def test_where_replies_are_left_behind_and_trusted_the_storm_shows_wrong_values() -> None:
    raging = await careless_storm(Trusting())
    assert raging.wrong > 0


async def test_where_replies_are_left_behind_the_envelope_turns_wrong_values_into_misses() -> None:
    form = Checking()
    raging = await careless_storm(form)
    assert raging.wrong == 0
    assert raging.missed > 0
    assert form.codec.odd[Odd.OTHER_KEY] > 0

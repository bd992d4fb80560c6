"""Whatever is asked, purged and restarted at once: nothing that was purged is served again."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cranked import entry
from support.redis_servers import HERE, needs_redis, server

from proxy.app.store import Store
from proxy.config.settings import Settings
from proxy.model.entry import CacheKey, Entry
from proxy.model.purge import Kind, Purge

pytestmark = needs_redis

QUESTIONS, REPLICAS = 4, 2


class Ask(NamedTuple):
    """Ask; a new answer comes so many rounds later."""

    replica: int
    question: int
    takes: int


class Order(NamedTuple):
    """Purge."""

    replica: int
    purge: Purge


class Round(NamedTuple):
    """What happens at once, after some replicas were started anew."""

    restarts: frozenset[int]
    steps: Sequence[Ask | Order]


class Done(NamedTuple):
    """A purge, and the moments it was asked for and answered."""

    purge: Purge
    called: int
    returned: int
    everywhere: bool
    life: int  # of the replica that was asked


def blank(question: int) -> Entry:
    """An answer without content or age."""
    key = CacheKey(f"scope {question % 2}", bytes([question]) * 32)
    tags = (f"doc:{question}", f"shelf:{question // 2}")
    return replace(entry(key), model=f"m{question % 2}", path=f"/v1/{question // 2}", tags=tags)


def covers(purge: Purge, question: int) -> bool:
    """What the purge is said to do, told apart from how it is done."""
    return (
        purge.value
        in {
            Kind.ALL: {""},
            Kind.KEY: {f"{question:02x}" * 32},
            Kind.TAG: {f"doc:{question}", f"shelf:{question // 2}"},
            Kind.MODEL: {f"m{question % 2}"},
            Kind.DIALECT: {"openai_chat"},
            Kind.SCOPE: {f"scope {question % 2}"},
            Kind.PATH: {"/v1/", f"/v1/{question // 2}"},
        }[purge.kind]
    )


@dataclass
class Replica:
    """What a proxy has of stores and purges; ``life`` tells its restarts apart."""

    store: Store
    life: int


class Play:
    """Replicas that share a Redis, and what is known of all that was purged.

    Moments are counted: what happened before has a smaller one.
    """

    def __init__(self, open_store: Callable[[int], Store]) -> None:
        self._open_store = open_store
        self._replicas: dict[int, Replica] = {}
        self._moment = itertools.count()
        self._lives = itertools.count()
        self._done: list[Done] = []
        self._landing: list[tuple[int, Replica, Entry]] = []  # in so many rounds

    async def start(self, number: int) -> None:
        store = self._open_store(number)
        await store.open()
        self._replicas[number] = Replica(store, next(self._lives))

    async def stop(self, number: int) -> None:
        await self._replicas.pop(number).store.close()

    async def play(self, each: Round) -> None:
        for number in each.restarts:
            await self.stop(number)
            await self.start(number)
        alive = list(self._replicas.values())
        due = [(replica, new) for left, replica, new in self._landing if left == 0]
        self._landing = [(left - 1, replica, new) for left, replica, new in self._landing if left]
        puts = [replica.store.ladder.put(new) for replica, new in due if replica in alive]
        await asyncio.gather(*puts, *map(self._take, each.steps))

    async def _take(self, step: Ask | Order) -> None:
        match step:
            case Ask(number, question, takes):
                await self.ask(self._replicas[number], question, takes)
            case Order(number, purge):
                await self._purge(self._replicas[number], purge)

    async def ask(self, replica: Replica, question: int, takes: int = 0) -> bool:
        """Ask as the proxy does; whether it was a hit, which may not be a purged one."""
        ladder, asked = replica.store.ladder, next(self._moment)
        generation, new = ladder.generation, blank(question)
        found = (await ladder.get(new.key)).entry
        if found is not None and found.ttl_left(time.monotonic()) > 0:
            self._check(found, question, asked, replica.life)
            return True
        new = replace(new, body=b"%d" % asked, generation=generation)
        if takes:
            later = replace(new, stored_at=time.monotonic())
            self._landing.append((takes - 1, replica, later))
        else:
            await ladder.put(replace(new, stored_at=time.monotonic()))
        return False

    async def _purge(self, replica: Replica, purge: Purge) -> None:
        called = next(self._moment)
        receipt = await replica.store.purging.purge(purge)
        returned = next(self._moment)
        self._done.append(Done(purge, called, returned, receipt.complete, replica.life))

    def _check(self, found: Entry, question: int, asked: int, life: int) -> None:
        born = int(found.body)
        wrong = [
            done
            for done in self._done
            if covers(done.purge, question)
            and born < done.called
            and done.returned < asked
            and (done.everywhere or done.life == life)
        ]
        assert wrong == [], f"asked at {asked}, served what was asked at {born}"


@asynccontextmanager
async def playing() -> AsyncIterator[Play]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(server())
        folder = Path(stack.enter_context(TemporaryDirectory()))

        def open_store(number: int) -> Store:
            url = f"redis://{HERE}:{redis.port}"
            disk = {"directory": str(folder / str(number)), "read_timeout_s": 5}
            given = {
                "l2_redis": {"url": url, "timeout_s": 5, "connect_timeout_s": 5},
                "l2_disk": disk,
                "listen": f"127.0.0.1:{9000 + number}",
            }
            return Store(Settings.model_validate(given))

        play = Play(open_store)
        for number in range(REPLICAS):
            await play.start(number)
            stack.push_async_callback(play.stop, number)
        yield play


A_QUESTION, A_REPLICA = st.integers(0, QUESTIONS - 1), st.integers(0, REPLICAS - 1)
PURGES: st.SearchStrategy[Purge] = st.builds(
    lambda kind, soft: Purge(*kind, soft),
    st.one_of(
        st.just((Kind.ALL, "")),
        A_QUESTION.map(lambda question: (Kind.KEY, f"{question:02x}" * 32)),
        A_QUESTION.map(lambda question: (Kind.TAG, f"doc:{question}")),
        st.sampled_from([(Kind.TAG, "shelf:0"), (Kind.MODEL, "m1"), (Kind.SCOPE, "scope 0")]),
        st.sampled_from([(Kind.PATH, "/v1/"), (Kind.PATH, "/v1/1"), (Kind.DIALECT, "ollama")]),
    ),
    st.booleans(),
)
ASKS = st.builds(Ask, A_REPLICA, A_QUESTION, st.integers(0, 2))
ROUNDS = st.builds(
    Round,
    st.one_of(st.just(frozenset()), st.just(frozenset()), st.frozensets(A_REPLICA, max_size=1)),
    st.lists(st.one_of(ASKS, ASKS, ASKS, st.builds(Order, A_REPLICA, PURGES)), max_size=8),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROUNDS, min_size=4, max_size=16))
def test_nothing_from_before_a_purge_is_served_after_it_was_answered(rounds: list[Round]) -> None:
    async def scene() -> None:
        async with playing() as play:
            for each in rounds:
                await play.play(each)
            for replica in play._replicas.values():  # and the cache is still one
                await play.ask(replica, 0)
                assert await play.ask(replica, 0)

    asyncio.run(scene())

"""Workers of one host without Redis: what is asked of all costs one call, heard live by all."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

import pytest
from support.raw_chat import (
    DOCUMENT,
    EVENTS,
    JSON,
    STREAM,
    Listener,
    begin,
    event,
    question,
    stream,
)
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import served
from support.workers import Forge, Worker, Workers
from support.workers import workers as forking

Json = dict[str, Any]

BEHIND_S = 0.02  # how far the first token of who follows may be behind the leader's


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="host-") as directory:
        yield Path(directory)


def kept(folder: Path) -> Json:
    """Settings of workers that keep answers on disk, however busy this machine is."""
    disk = {"enabled": True, "directory": str(folder / "kept"), "read_timeout_s": 5}
    return {"l2_disk": disk}


class Host:
    """A backend, and workers that meet in a directory; clients leave at the end."""

    def __init__(self, up: ScriptedUpstream, forks: Workers, workers: list[Worker]) -> None:
        self.up = up
        self.forks = forks
        self.workers = workers
        self._clients: list[RawClient] = []

    async def ask(self, one: Worker, text: str = "Why?", **asked: Any) -> RawClient:
        client = await RawClient.connect(one.address, limit_s=20)
        self._clients.append(client)
        await client.send(question(text, **asked))
        return client

    async def answer(self, one: Worker, text: str = "Why?", **asked: Any) -> tuple[str, bytes]:
        """What X-Cache says, and the body, to its proper end."""
        response = await (await self.ask(one, text, **asked)).response()
        return response.get("X-Cache") or "", response.body

    def leave(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    forge = Forge()
    yield forge
    forge.close()


Hosts = Callable[..., AbstractAsyncContextManager[Host]]


@pytest.fixture
def host(forge: Forge, folder: Path) -> Hosts:
    """Makes a host with so many workers, which have these settings."""

    @asynccontextmanager
    async def host(workers: int = 2, **settings: Any) -> AsyncIterator[Host]:
        async with ScriptedUpstream() as up:
            with forking(forge, up.url, folder, **settings) as forks:
                played = Host(up, forks, await forks.fork(workers))
                try:
                    yield played
                finally:
                    played.leave()

    return host


@pytest.mark.parametrize("on_disk", [True, False])
async def test_what_64_ask_of_both_at_once_is_one_call_and_heard_event_by_event(
    host: Hosts, folder: Path, on_disk: bool
) -> None:
    settings = kept(folder) if on_disk else {}
    async with host(**settings) as h:
        asking = [h.ask(h.workers[number % 2], stream=True) for number in range(64)]
        clients = await asyncio.gather(*asking)
        call = await h.up.next_call()
        await begin(call, STREAM[:1])
        heads = [await client.head() for client in clients]
        assert Counter(head.get("X-Cache") for head in heads) == {"MISS": 1, "COALESCED": 63}
        listeners = [Listener(client) for client in clients]
        for before, each in pairwise(STREAM):
            for listener in listeners:
                await listener.until(before)  # while the backend holds the next one back
            await call.chunk(each)
        await call.end()
        for listener in listeners:
            assert await listener.end() == b"".join(STREAM)

        for one in h.workers:  # both have it, wherever entries are kept
            assert await h.answer(one, stream=True) == ("HIT", b"".join(STREAM))
        assert h.up.calls == 1
        counts = [await one.fleet() for one in h.workers]
        assert [sum(each[verdict] for each in counts) for verdict in ("led", "followed")] == [1, 1]


async def test_the_first_token_is_heard_a_moment_after_the_leaders(host: Hosts) -> None:
    async with host() as h:
        behind = []
        for number in range(21):
            text = f"Why {number}?"
            leader = await h.ask(h.workers[number % 2], text, stream=True)
            call = await h.up.next_call()
            other = h.workers[1 - number % 2]
            follower = await h.ask(other, text, stream=True)
            async with asyncio.timeout(20):
                while not await other.flying():
                    pass
            await begin(call, STREAM[:1])
            at = await asyncio.gather(heard_at(leader), heard_at(follower))
            behind.append(at[1] - at[0])
            for each in STREAM[1:]:
                await call.chunk(each)
            await call.end()
            for client in (leader, follower):
                assert await Listener(client).end()
        assert h.up.calls == len(behind)
        assert median(behind) < BEHIND_S


async def heard_at(client: RawClient) -> float:
    """When the first event of a stream came."""
    await client.head()
    await Listener(client).until(STREAM[0])
    return perf_counter()


async def test_a_document_is_one_call_and_then_found_by_both(host: Hosts, folder: Path) -> None:
    async with host(**kept(folder)) as h:
        leader = await h.ask(h.workers[0])
        call = await h.up.next_call()
        follower = await h.ask(h.workers[1])
        await call.reply(200, JSON, DOCUMENT)
        for client in (leader, follower):
            assert (await client.response()).body == DOCUMENT
        for one in h.workers:
            assert await h.answer(one) == ("HIT", DOCUMENT)
        assert h.up.calls == 1


async def test_who_comes_just_after_is_told_to_look_on_the_disk(host: Hosts, folder: Path) -> None:
    async with host(**kept(folder)) as h:
        h.up.answer_with(lambda call: call.reply(200, JSON, DOCUMENT))
        for number in range(20):
            first, second = [await h.ask(one, f"Why {number}?") for one in h.workers]
            assert (await first.response()).body == (await second.response()).body == DOCUMENT
        assert h.up.calls == 20


async def test_callers_with_credentials_of_their_own_never_meet(host: Hosts) -> None:
    async with host() as h:
        mine = await h.ask(h.workers[0])
        call = await h.up.next_call()
        theirs = await RawClient.connect(h.workers[1].address, limit_s=20)
        async with theirs:
            await theirs.send(question().replace(b"sk-one", b"sk-two"))
            own = await h.up.next_call()
            await own.reply(200, JSON, DOCUMENT.replace(b"Because", b"Theirs"))
            assert b"Theirs" in (await theirs.response()).body
        await call.reply(200, JSON, DOCUMENT)
        assert (await mine.response()).body == DOCUMENT


async def test_what_64_ask_of_a_crew_at_once_is_one_call() -> None:
    async with (
        ScriptedUpstream() as up,
        served(up.url, SIDECACHE_WORKERS="3", SIDECACHE_LOG__REQUESTS="false") as crew,
    ):
        clients = []
        for _ in range(64):
            clients.append(await RawClient.connect(crew.address, limit_s=20))
            await clients[-1].send(question(stream=True))
        call = await up.next_call()
        await begin(call, STREAM[:1])
        heads = [await client.head() for client in clients]
        assert Counter(head.get("X-Cache") for head in heads) == {"MISS": 1, "COALESCED": 63}
        for each in STREAM[1:]:
            await call.chunk(each)
        await call.end()
        for client in clients:
            assert await Listener(client).end() == b"".join(STREAM)
            client.close()
        assert up.calls == 1


# -- a worker that is killed -----------------------------------------------------------------------


async def test_a_leader_that_is_killed_in_the_middle_breaks_off_what_it_told_and_stops_nobody(
    host: Hosts,
    folder: Path,
) -> None:
    async with host(3, **kept(folder)) as h:
        killed, *others = h.workers
        leader = await h.ask(killed, stream=True)
        call = await h.up.next_call()
        followers = [await h.ask(one, stream=True) for one in others for _ in range(4)]
        await begin(call, STREAM[:2])
        for client in (leader, *followers):
            await client.head()
        listeners = [Listener(client) for client in followers]
        for listener in listeners:
            assert await listener.until(STREAM[1]) == b"".join(STREAM[:2])

        killed.signal(signal.SIGKILL)
        for listener in listeners:  # at once: none of them has run out of patience
            with pytest.raises((EOFError, ConnectionResetError)):
                await listener.end()
            assert listener.heard == b"".join(STREAM[:2])

        # Its lock is nobody's: the next is answered as if it had never been.
        h.up.answer_with(stream)
        assert await h.answer(others[0], stream=True) == ("MISS", b"".join(STREAM))
        assert await h.answer(others[1], stream=True) == ("HIT", b"".join(STREAM))
        assert h.up.calls == 2


async def test_a_leader_that_is_killed_before_it_told_anything_is_succeeded(host: Hosts) -> None:
    async with host(3) as h:
        killed, *others = h.workers
        await h.ask(killed, stream=True)
        await h.up.next_call()
        followers = [await h.ask(one, stream=True) for one in others for _ in range(8)]
        for one in others:
            async with asyncio.timeout(20):
                while await one.flying() == 0:
                    pass
        killed.signal(signal.SIGKILL)
        call = await h.up.next_call()
        await begin(call, STREAM[:1])
        for client in followers:
            await client.head()  # so that all are on the one flight
        for each in STREAM[1:]:
            await call.chunk(each)
        await call.end()
        for client in followers:
            assert await Listener(client).end() == b"".join(STREAM)
        assert h.up.calls == 2


async def test_a_worker_that_hangs_is_waited_for_a_moment_and_no_more(host: Hosts) -> None:
    async with host(patience_s=0.25) as h:
        hanging, other = h.workers
        await h.ask(hanging)
        await h.up.next_call()
        hanging.signal(signal.SIGSTOP)
        try:
            own = await h.ask(other)
            call = await h.up.next_call()
            await call.reply(200, JSON, DOCUMENT)
            assert (await own.response()).body == DOCUMENT
        finally:
            hanging.signal(signal.SIGCONT)


# -- a storm ---------------------------------------------------------------------------------------


async def told_at_leisure(call: Call) -> None:
    """Answer with what only this question can have been answered with, in pieces."""
    text = (await call.whole()).decode()
    number = int(text.partition("number ")[2].partition("?")[0])
    dice = Random(number)
    with suppress(OSError, EOFError):
        await call.head(200, EVENTS, chunked=True)
        for piece in whole(number):
            await asyncio.sleep(dice.choice((0.0, 0.001, 0.005)))
            await call.chunk(piece)
        await call.end()


def whole(number: int) -> list[bytes]:
    dice = Random(number)
    pieces = [event(content=f"{number}/{part} " * dice.randint(1, 300)) for part in range(12)]
    return [*pieces, event(finish="stop"), b"data: [DONE]\n\n"]


@pytest.mark.heavy
@pytest.mark.timeout(180)
async def test_in_a_storm_with_kills_everybody_hears_the_right_bytes_or_a_break(
    host: Hosts,
    folder: Path,
) -> None:
    dice, seen, counts = Random(1), Counter[str](), Counter[str]()
    async with host(3, **kept(folder)) as h:
        h.up.answer_with(told_at_leisure)
        workers = h.workers
        ends = perf_counter() + 15

        async def client() -> None:
            while perf_counter() < ends:
                number = int(perf_counter() * 4) * 4 + dice.randrange(4)
                try:
                    async with await RawClient.connect(
                        dice.choice(workers).address, limit_s=20
                    ) as raw:
                        await raw.send(question(f"number {number}?", stream=True))
                        await hear(raw, number)
                except (OSError, EOFError, AssertionError) as error:
                    if isinstance(error, AssertionError) and "ended after" not in str(error):
                        raise
                    seen["broken"] += 1

        async def hear(raw: RawClient, number: int) -> None:
            hangs_up = dice.random() < 0.2
            head = await raw.head()
            if head.status != 200:
                seen["error"] += 1
                return
            right, listener = b"".join(whole(number)), Listener(raw)
            if head.get("Content-Length"):  # what is stored comes in one
                assert await raw.exactly(len(right)) == right
                seen[head.get("X-Cache") or ""] += 1
                return
            if hangs_up:
                await listener.until(whole(number)[dice.randrange(12)])
                assert right.startswith(listener.heard)
                seen["hung up"] += 1
                return
            try:
                assert await listener.end() == right
            finally:
                assert right.startswith(listener.heard)
            seen[head.get("X-Cache") or ""] += 1

        async def kill() -> None:
            while perf_counter() < ends - 2:
                await asyncio.sleep(2)
                number = dice.randrange(3)
                workers[number].signal(signal.SIGKILL)
                (workers[number],) = await h.forks.fork(1)
                seen["killed"] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(client())
            group.create_task(kill())
        for one in workers:
            counts += Counter(await one.fleet())
    assert seen["COALESCED"] > 100
    assert seen["hung up"] > 10
    assert seen["killed"] >= 3
    assert counts["followed"] > 0
    assert counts["odd"] == 0

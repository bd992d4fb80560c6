"""The journal in Redis: one order for all, through restarts, failovers and two histories."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from support.faulty_tcp import Faults, faulty_tcp
from support.journal_contract import LIMIT_S, Freeze, JournalContract, Make
from support.redis_links import Link
from support.redis_servers import cluster, needs_redis, server, watched

from proxy.link import command
from proxy.link.persist import Unforeseen
from proxy.link.place import Place, read_place
from proxy.link.replies import NotAllowed
from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.base import LARGEST, Journal, Note
from proxy.purges.journal_redis import RedisJournal

pytestmark = needs_redis

STREAM = "sidecache:{fleet}:journal"
A, B, C = (Purge(Kind.TAG, name) for name in "abc")
ALL = Purge(Kind.ALL)


class TestContract(JournalContract):
    @pytest.fixture
    async def port(self) -> AsyncIterator[int]:
        async with server() as redis:
            yield redis.port

    @pytest.fixture
    async def make(self, port: int) -> AsyncIterator[Make]:
        links: list[Link] = []

        def made(replica: str, patience_s: float) -> RedisJournal:
            links.append(Link(port))
            return _journal(links[-1], replica, patience_s)

        yield made
        for link in links:
            await link.redis.close()

    async def writable(self, journal: Journal) -> None:
        assert isinstance(journal, RedisJournal)
        async with asyncio.timeout(LIMIT_S):
            while not journal.in_touch:  # noqa: ASYNC110 - it tells its owner only, when it is
                await asyncio.sleep(0.005)

    @pytest.fixture
    def freeze(self, port: int) -> Freeze:
        @asynccontextmanager
        async def frozen() -> AsyncIterator[Callable[[], None]]:
            faults = Faults()

            def thaw() -> None:
                faults.silent = False

            async with faulty_tcp(port, faults) as way:
                link = Link(way)
                journal = _journal(link, "frozen", 0.1)
                await journal.start(lambda _note: None)
                faults.silent = True
                yield thaw
                await journal.close()
                await link.redis.close()

        return frozen


def _journal(link: Link, replica: str, patience_s: float) -> RedisJournal:
    return RedisJournal(
        link.redis,
        prefix="sidecache:",
        place=replica,
        wall=lambda: 5000.0,
        report=lambda _trouble: None,
        patience_s=patience_s,
    )


class Reader:
    """A replica's journal, and what it has learned from it."""

    def __init__(self, place: Place | int, name: str, *, operation_s: float, most: int) -> None:
        self.link = Link(place, operation_s=operation_s)
        self.notes: list[Note] = []
        self.troubles: list[TierError | None] = []
        self.journal = RedisJournal(
            self.link.redis,
            prefix="sidecache:",
            place=name,
            wall=lambda: 5000.0,
            report=self.troubles.append,
            most=most,
        )
        self._news = asyncio.Event()

    @property
    def purges(self) -> list[Purge]:
        return [note.purge for note in self.notes]

    @property
    def numbers(self) -> list[int]:
        return [note.number for note in self.notes]

    def learn(self, note: Note) -> None:
        assert note.number > (self.numbers or [0])[-1]
        self.notes.append(note)
        self._news.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                self._news.clear()
                self.link.clock.turn(1.25)  # a probe is due
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self._news.wait()

    async def knows(self, *purges: Purge) -> None:
        await self.until(lambda: self.purges[-len(purges) :] == list(purges))

    async def in_touch(self, *, is_it: bool = True) -> None:
        await self.until(lambda: self.journal.in_touch is is_it)


@asynccontextmanager
async def reader(
    place: Place | int, name: str = "here:1", *, operation_s: float = 10.0, most: int = 10_000
) -> AsyncIterator[Reader]:
    made = Reader(place, name, operation_s=operation_s, most=most)
    await made.link.redis.start()
    await made.journal.start(made.learn)
    try:
        yield made
    finally:
        await made.journal.close()
        await made.link.redis.close()


@asynccontextmanager
async def readers(
    place: Place | int, count: int = 2, *, operation_s: float = 10.0, most: int = 10_000
) -> AsyncIterator[list[Reader]]:
    async with AsyncExitStack() as stack:
        made = []
        for number in range(count):
            one = reader(place, f"pod-{number}:80", operation_s=operation_s, most=most)
            made.append(await stack.enter_async_context(one))
            await made[-1].in_touch()
        yield made


async def test_a_new_journal_begins_with_a_purge_of_everything() -> None:
    async with server() as redis, readers(redis.port) as (one, two):
        assert one.purges == two.purges == [ALL]
        assert one.numbers == two.numbers == [5_000_000]


async def test_what_one_writes_all_learn_in_one_order() -> None:
    async with server() as redis, readers(redis.port, 3) as them:
        one, two, _ = them
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                for each in (one, two):
                    group.create_task(each.journal.append(Purge(Kind.TAG, f"{number}")))
        for each in them:
            await each.until(lambda each=each: len(each.notes) == 41)  # type: ignore[misc] # bound now
        assert one.notes == two.notes == them[2].notes


async def test_who_writes_has_learned_it_and_all_before_it_when_told_so() -> None:
    async with server() as redis, readers(redis.port) as (one, two):
        first = await one.journal.append(A)
        second = await two.journal.append(B._replace(soft=True))
        assert two.purges == [ALL, A, B._replace(soft=True)]
        assert two.numbers[1:] == [first, second]


async def test_who_comes_later_takes_what_was_before_the_journal_for_purged() -> None:
    async with server() as redis, readers(redis.port, most=1) as (one, _):
        for number in range(300):  # redis drops some hundred at a time
            await one.journal.append(Purge(Kind.TAG, f"{number}"))
        async with reader(redis.port) as late:
            await late.in_touch()
            assert late.purges[0] == ALL
            assert late.numbers[0] > one.numbers[0]
            assert late.notes[1:] == one.notes[-len(late.notes) + 1 :]


async def test_all_have_obeyed_or_are_named() -> None:
    async with server() as redis, readers(redis.port, 3) as (one, two, three):
        assert await one.journal.absent(await one.journal.append(A)) == []
        assert two.purges == three.purges == [ALL, A]
        await three.journal.close()
        assert await one.journal.absent(await one.journal.append(B)) == []
        assert two.purges == [ALL, A, B]
        await redis.say("SET", "sidecache:{fleet}:replicas:pod-9:80#1", "7", "PX", "500000")
        await redis.say("SADD", "sidecache:{fleet}:replicas", "pod-9:80#1")
        (absent,) = await one.journal.absent(await one.journal.append(C))
        assert absent.replica == "pod-9:80"
        assert 100.0 <= absent.silent_s < 130.0


async def test_who_starts_in_the_place_of_a_replica_that_died_takes_its_place() -> None:
    ghost = "sidecache:{fleet}:replicas:pod-1:80#1"
    async with server() as redis:
        await redis.say("SET", ghost, "7", "PX", "500000")
        await redis.say("SADD", "sidecache:{fleet}:replicas", "pod-1:80#1", "forgotten:80#1")
        async with readers(redis.port) as (one, _):
            assert await one.journal.absent(await one.journal.append(A)) == []
            assert await redis.say("EXISTS", ghost) == "0\n"
            assert await redis.say("SCARD", "sidecache:{fleet}:replicas") == "2\n"


async def test_a_replica_that_ends_in_order_is_missed_by_nobody() -> None:
    async with server() as redis:
        async with readers(redis.port):
            assert await redis.say("SCARD", "sidecache:{fleet}:replicas") == "2\n"
        assert await redis.say("KEYS", "*") == f"{STREAM}\n"


# -- when Redis is away ------------------------------------------------------------------------


async def test_a_journal_that_was_emptied_is_written_again_by_who_remembers() -> None:
    async with server() as redis, readers(redis.port) as (one, two):
        await one.journal.append(A)
        await two.knows(ALL, A)
        await redis.kill()
        for each in (one, two):
            await each.in_touch(is_it=False)
        with pytest.raises(TierError):
            await one.journal.append(B)
        await redis.start()
        for each in (one, two):
            await each.in_touch()
        assert await redis.say("XLEN", STREAM) == "2\n"
        assert one.purges == two.purges == [ALL, A]
        assert await one.journal.absent(await one.journal.append(B)) == []
        assert two.purges == [ALL, A, B]


async def test_who_is_not_back_yet_is_named_though_redis_forgot_that_he_is_there() -> None:
    faults = Faults()
    async with (
        server() as redis,
        faulty_tcp(redis.port, faults) as way,
        reader(redis.port) as one,
        reader(way, "pod-1:80", operation_s=1.0) as two,
    ):
        await two.in_touch()
        await one.until(lambda: one.journal._others == {two.journal.replica.encode()})
        faults.silent = True
        await redis.kill()
        await one.in_touch(is_it=False)
        await redis.start()
        await one.in_touch()
        number = await one.journal.append(A)
        (absent,) = await one.journal.absent(number)
        assert absent.replica == "pod-1:80"
        assert A not in two.purges
        faults.silent = False
        await two.knows(ALL, A)
        assert await one.journal.absent(number) == []


async def test_of_two_histories_neither_is_believed_and_everything_is_purged() -> None:
    async with server() as redis, readers(redis.port) as (one, two):
        await one.journal.append(A)
        await two.knows(ALL, A)
        taken = ""
        while taken.strip() != "4000000-0":  # a reader that was there first has begun a later one
            await redis.kill()
            for each in (one, two):
                await each.in_touch(is_it=False)
            await redis.start()
            taken = await redis.say("XADD", STREAM, "4000000-0", "purge", "[]")
        await redis.say("XADD", STREAM, "6000000-0", "purge", '["tag", "x", false, 5000.0, "y"]')
        for each in (one, two):
            await each.in_touch()
            # Not the last, if it is in touch between the two.
            await each.until(lambda each=each: ALL in each.purges[2:])  # type: ignore[misc] # bound now
        number = await one.journal.append(B)
        await two.until(lambda: two.numbers[-1] == number)
        assert one.numbers[-1] == two.numbers[-1]


async def test_the_end_that_a_failover_lost_is_written_again() -> None:
    async with server() as redis, readers(redis.port) as (one, two):
        for purge in (A, B, C):
            await one.journal.append(purge)
        await two.knows(A, B, C)
        lost = one.numbers[-2:]
        # Reading comes to an end for a moment, as when a replica takes the master's place.
        await redis.say("CLIENT", "PAUSE", "100", "WRITE")
        for number in lost:
            await redis.say("XDEL", STREAM, f"{number}-0")
        await redis.say("XSETID", STREAM, f"{one.numbers[-3]}-0")
        await redis.say("CLIENT", "KILL", "TYPE", "normal")
        await redis.say("CLIENT", "KILL", "TYPE", "normal")
        late = Reader(redis.port, "late:80", operation_s=10.0, most=100)
        number = 0
        async with asyncio.timeout(30):
            while not number:
                try:
                    number = await one.journal.append(Purge(Kind.MODEL, "m"))
                except TierError:
                    await asyncio.sleep(0.01)
        await two.until(lambda: two.numbers[-1] == number)
        await late.link.redis.start()
        await late.journal.start(late.learn)
        await late.in_touch()
        assert late.purges[-3:] == [B, C, Purge(Kind.MODEL, "m")]
        assert one.notes == two.notes
        await late.journal.close()
        await late.link.redis.close()


async def test_a_record_that_nobody_understands_may_be_about_anything() -> None:
    async with server() as redis, readers(redis.port) as (one, two):
        await redis.say("XADD", STREAM, "6000000-0", "purge", '["colour", "red", false, 1.0, "x"]')
        await redis.say("XADD", STREAM, "6000001-0", "other", "x")
        much = f"1{'0' * 400}"  # more than a float holds
        await redis.say("XADD", STREAM, "6000002-0", "purge", f'["tag", "a", false, {much}, "x"]')
        await redis.say("XADD", STREAM, "6000003-0", "purge", "[" * 100_000)
        await one.knows(ALL, ALL, ALL, ALL, ALL)
        await two.knows(ALL, ALL, ALL, ALL, ALL)


async def test_while_redis_hangs_nothing_is_promised_and_then_all_is_learned() -> None:
    async with server() as redis, readers(redis.port, operation_s=0.2) as (one, two):
        redis.signal(signal.SIGSTOP)
        try:
            with pytest.raises(TierError):
                await one.journal.append(A)
        finally:
            redis.signal(signal.SIGCONT)
        number = 0
        async with asyncio.timeout(30):
            while not number:
                try:
                    number = await one.journal.append(B)
                except TierError:
                    one.link.clock.turn(1.25)
                    await asyncio.sleep(0.01)
        await two.until(lambda: two.numbers[-1] == number)


async def test_an_acl_that_forbids_the_journal_is_told_and_nothing_else_suffers() -> None:
    async with server() as redis:
        await redis.say("ACL", "SETUSER", "narrow", "on", ">pw", "~sidecache:*", "-@all", "+get")
        place = read_place(f"redis://narrow:pw@127.0.0.1:{redis.port}")
        async with reader(place) as one:
            await one.until(lambda: one.troubles != [])
            assert isinstance(one.troubles[0], NotAllowed)
            assert not one.journal.in_touch
            assert await one.link.redis.ask(command.get("sidecache:x")) is None


async def test_it_works_under_the_acl_that_the_documentation_prints() -> None:
    tier = "+get +set +unlink +scan"
    more = "+xadd +xread +xrange +xtrim +pexpire +pttl +sadd +srem +smembers"
    async with server() as redis:
        words = f"ACL SETUSER narrow on >pw ~sidecache:* resetchannels -@all {tier} {more}"
        await redis.say(*words.split())
        place = read_place(f"redis://narrow:pw@127.0.0.1:{redis.port}")
        async with readers(place) as (one, two):
            assert await one.journal.absent(await one.journal.append(A)) == []
            assert two.purges == [ALL, A]
        assert await redis.say("KEYS", "*") == f"{STREAM}\n"


@pytest.mark.heavy
async def test_it_works_in_a_cluster() -> None:
    async with cluster() as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        async with readers(read_place(f"redis+cluster://{hosts}")) as (one, two):
            assert await one.journal.absent(await one.journal.append(A)) == []
            assert two.purges == [ALL, A]


@pytest.mark.heavy
async def test_a_purge_survives_the_death_of_the_master() -> None:
    async with watched() as scene:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in scene.sentinels)
        place = read_place(f"redis+sentinel://{hosts}/{scene.service}")
        async with readers(place, operation_s=1.0) as (one, two):
            await one.journal.append(A)
            await two.knows(A)
            await scene.master.kill()
            await _sometime(one, lambda: one.journal.append(B))
            await two.until(lambda: B in two.purges)
            async with reader(place, "late:80", operation_s=1.0) as late:
                await late.in_touch()
                assert A in late.purges or late.numbers[0] > one.numbers[one.purges.index(A)]
                assert late.numbers[-1] == one.numbers[-1]


async def _sometime(one: Reader, act: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await act()
            except TierError:
                one.link.clock.turn(1.25)
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_clock_that_is_mad_uses_up_no_numbers() -> None:
    async with server() as redis:
        link = Link(redis.port)
        await link.redis.start()
        numbers: list[int] = []
        mad = RedisJournal(
            link.redis,
            prefix="sidecache:",
            place="mad:80",
            wall=lambda: 1e30,
            report=lambda _trouble: None,
        )
        await mad.start(lambda note: numbers.append(note.number))
        assert mad.in_touch
        assert await mad.append(A) == numbers[0] + 1 < LARGEST
        await mad.close()
        await link.redis.close()


async def test_what_nobody_foresaw_is_told_and_the_journal_is_read_again() -> None:
    async with server() as redis:
        link = Link(redis.port)
        await link.redis.start()
        troubles: list[TierError | None] = []
        learned: list[Note] = []
        failed: list[Note] = []
        done = asyncio.Event()

        def learn(note: Note) -> None:
            if note.purge == A and not failed:
                failed.append(note)
                raise RuntimeError("a bug")
            learned.append(note)
            if note.purge == B:
                done.set()

        journal = RedisJournal(
            link.redis,
            prefix="sidecache:",
            place="here:80",
            wall=lambda: 5000.0,
            report=troubles.append,
        )
        await journal.start(learn)
        async with readers(redis.port, 1) as (other,):
            await other.journal.append(A)
            await other.journal.append(B)
            async with asyncio.timeout(30):
                await done.wait()
            assert learned == other.notes
        await journal.close()
        assert [type(trouble) for trouble in troubles] == [type(None), Unforeseen, type(None)]
        await link.redis.close()

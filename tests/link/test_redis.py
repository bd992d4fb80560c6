"""Waiting for what others write, waiting for Redis to be back, and the end of both."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from socket import socketpair
from time import monotonic, sleep

import pytest
import uvloop
from support.cranked import Clock, settle
from support.faulty_tcp import Faults, faulty_tcp
from support.redis_links import Link, redis_link, refused
from support.redis_servers import Server, free_port, needs_redis, server

from proxy.link import command
from proxy.link.commands import Commands
from proxy.link.redis import Standing
from proxy.link.replies import Records
from proxy.model.errors import TierError

pytestmark = needs_redis

KEY, OTHER = "sidecache:{k}", "sidecache:{k}2"
BUDGET_S = 0.1
LONG_S = 20.0  # that no test waits


class RealClock(Clock):
    """For what happens by itself, in time."""

    def __call__(self) -> float:
        return monotonic()


@pytest.fixture
async def redis() -> AsyncIterator[Server]:
    async with server() as alone:
        yield alone


async def get(link: Link) -> bytes | None:
    return await link.redis.ask(command.get(KEY))


async def off(link: Link) -> None:
    await link.until(Standing.OFF, lambda: get(link))


# -- waiting for entries -----------------------------------------------------------------------


async def test_who_waits_hears_of_an_entry_as_soon_as_it_is_there(redis: Server) -> None:
    async with redis_link(redis.port) as link, asyncio.TaskGroup() as group:
        waiting = group.create_task(link.redis.wait([(KEY, "0"), (OTHER, "$")], LONG_S, 10))
        await redis.blocked(1)
        await redis.say("XADD", OTHER, "3-0", "a", "b")
        assert await waiting == [(OTHER, [(b"3-0", {b"a": b"b"})])]


async def test_what_is_there_already_is_told_at_once_and_in_portions(redis: Server) -> None:
    async with redis_link(redis.port) as link:
        for number in (1, 2, 3):
            await redis.say("XADD", KEY, f"{number}-0", "a", "b")
        cursor, seen = "0", []
        for _ in range(2):
            ((key, found),) = await link.redis.wait([(KEY, cursor)], LONG_S, 2)
            assert key == KEY
            seen += found
            cursor = found[-1][0].decode()
        assert [record_id for record_id, _ in seen] == [b"1-0", b"2-0", b"3-0"]


async def test_if_nothing_comes_the_wait_is_empty_and_no_failure(redis: Server) -> None:
    async with redis_link(redis.port, operation_s=BUDGET_S) as link:
        await link.redis.back()
        assert await link.redis.wait([(KEY, "$")], 0.3, 10) == []  # longer than the budget
        assert await link.redis.wait([(KEY, "$")], 0, 10) == []
        assert link.redis.failed == 0


async def test_who_is_cancelled_is_cancelled_though_the_library_forgets_it(redis: Server) -> None:
    async def forgets(commands: Commands) -> bytes | None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return await commands.do(command.get(KEY))

    async with redis_link(redis.port) as link:
        doing = link.redis._spawn(link.redis._work(KEY, forgets), link.redis._waits)
        await settle()
        doing.cancel()
        await asyncio.wait([doing])
        assert doing.cancelled()


async def test_those_who_wait_take_no_connection_from_the_others(redis: Server) -> None:
    async with redis_link(redis.port) as link, asyncio.TaskGroup() as group:
        waits = [group.create_task(link.redis.wait([(KEY, "$")], LONG_S, 1)) for _ in range(3)]
        await redis.blocked(2)  # the third waits for its turn
        await asyncio.gather(*(get(link) for _ in range(100)))
        await link.redis.sweep("sidecache:")  # nor does it wait for them
        await redis.say("XADD", KEY, "1-0", "a", "b")
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await redis.blocked(1)
        await redis.say("XADD", KEY, "2-0", "a", "b")
        assert all(found[0][0] == KEY for found in await asyncio.gather(*waits))


async def test_who_finds_no_room_to_wait_gives_up_in_time_and_is_no_proof_of_trouble(
    redis: Server,
) -> None:
    async with redis_link(redis.port, operation_s=BUDGET_S) as link, asyncio.TaskGroup() as group:
        await link.redis.back()
        waits = [
            group.create_task(refused(link.redis.wait([(KEY, "$")], LONG_S, 1))) for _ in range(2)
        ]
        await redis.blocked(2)
        with pytest.raises(TierError, match="too many"):
            await link.redis.wait([(KEY, "$")], 0.1, 1)
        assert (link.redis.late, link.redis.failed) == (1, 0)
        await link.redis.close()
        await asyncio.wait(waits)


async def test_a_wait_ends_with_its_caller_and_makes_room_for_the_next(redis: Server) -> None:
    async with redis_link(redis.port) as link:
        for number in range(10):
            async with asyncio.TaskGroup() as group:
                one = group.create_task(link.redis.wait([(KEY, "$")], LONG_S, 1))
                two = group.create_task(link.redis.wait([(OTHER, "$")], LONG_S, 1))
                await redis.blocked(2)
                one.cancel()
                await redis.blocked(1)
                await redis.say("XADD", KEY, "*", "lost", "")
                await redis.say("XADD", OTHER, "*", "n", str(number))
                ((key, found),) = await two
                assert key == OTHER
                assert found[0][1] == {b"n": b"%d" % number}
            assert one.cancelled()
        assert link.redis.failed == 0


async def test_a_cancellation_that_meets_an_entry_half_way_is_not_lost(redis: Server) -> None:
    """The library turned some of these into errors or results, and who waited went on waiting."""

    async def follow(link: Link) -> None:
        cursor = "0"
        while True:
            try:
                for _, records in await link.redis.wait([(KEY, cursor)], LONG_S, 10):
                    cursor = records[-1][0].decode()
            except TierError:
                await asyncio.sleep(0)

    async with redis_link(redis.port) as link:
        for turns in range(150):
            following = asyncio.ensure_future(follow(link))  # noqa: TID251 - awaited below
            await settle()
            await link.redis.ask(command.append(KEY, "*", {b"a": b"b"}))
            for _ in range(turns % 15):
                await asyncio.sleep(0)
            following.cancel()
            await asyncio.wait([following], timeout=10)
            assert following.cancelled()


async def test_a_connection_that_is_lost_while_waiting_is_a_failure_and_made_anew(
    redis: Server,
) -> None:
    async with redis_link(redis.port) as link:
        for number in range(1, 4):
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(refused(link.redis.wait([(KEY, "$")], LONG_S, 1)))
                await redis.blocked(1)
                await redis.say("CLIENT", "KILL", "TYPE", "normal")
                await waiting
            assert link.redis.failed == number
        await redis.say("XADD", KEY, "1-0", "a", "b")
        assert await link.redis.wait([(KEY, "0")], LONG_S, 1)


async def test_waits_that_fail_turn_redis_off_and_then_nothing_is_asked() -> None:
    async with redis_link(free_port(), start=False) as link:
        for _ in range(5):
            with pytest.raises(TierError):
                await link.redis.wait([(KEY, "$")], LONG_S, 1)
        assert link.standings == [Standing.OFF]
        with pytest.raises(TierError, match="off"):
            await link.redis.wait([(KEY, "$")], LONG_S, 1)
        assert link.redis.sent == link.redis.failed == 5


@pytest.mark.parametrize(
    "garbage", [b"+what\r\n", b":1\r\n", b"$-5\r\n", b"*1\r\n*2\r\n$1\r\nx\r\n*0\r\n"]
)
async def test_garbage_in_place_of_entries_is_a_failure_and_never_more(
    redis: Server, garbage: bytes
) -> None:
    await redis.say("XADD", KEY, "1-0", "a", "b")
    faults = Faults(garbage=garbage)
    async with faulty_tcp(redis.port, faults) as port, redis_link(port, start=False) as link:
        with pytest.raises(TierError):
            await link.redis.wait([(KEY, "0")], LONG_S, 1)
        faults.garbage = b""
        assert await link.redis.wait([(KEY, "0")], LONG_S, 1)


async def test_a_hanging_redis_is_waited_for_no_longer_than_was_said(redis: Server) -> None:
    async with redis_link(redis.port, operation_s=BUDGET_S) as link:
        await link.redis.back()
        redis.signal(signal.SIGSTOP)
        began = monotonic()
        with pytest.raises(TierError):
            await link.redis.wait([(KEY, "$")], 0.1, 1)
        assert monotonic() - began < 5.0
        assert link.redis.failed >= 1
        redis.signal(signal.SIGCONT)


# -- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_answer_that_is_there_is_not_late_where_the_loop_was_kept_busy(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def ask() -> None:
        loop = asyncio.get_running_loop()
        here, there = socketpair()

        def dawdle() -> None:  # as something else might that is told of its own connection
            here.recv(1)
            sleep(2 * BUDGET_S)

        loop.add_reader(here, dawdle)
        async with server() as redis, redis_link(redis.port, operation_s=BUDGET_S) as link:
            await redis.say("SET", KEY, "here")
            for _ in range(5):
                async with asyncio.TaskGroup() as group:
                    asking = group.create_task(get(link))
                    await link.sent(link.redis.sent + 1)
                    there.send(b"x")
                assert asking.result() == b"here"
            assert link.redis.late == 0
        loop.remove_reader(here)
        here.close()
        there.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask())


# -- waiting for Redis -------------------------------------------------------------------------


async def test_while_redis_is_on_it_is_back_at_once(redis: Server) -> None:
    async with redis_link(redis.port) as link:
        sent = link.redis.sent
        await link.redis.back()
        assert link.redis.sent == sent


async def test_all_who_wait_for_redis_go_on_when_it_is_back() -> None:
    port = free_port()
    async with redis_link(port) as link, asyncio.TaskGroup() as group:
        assert link.redis.standing is Standing.OFF
        waiting = [group.create_task(link.redis.back()) for _ in range(5)]
        await settle()
        assert not any(task.done() for task in waiting)
        assert link.redis.sent == 1  # it is not time yet
        async with server(port=port):
            await link.until(Standing.ON, lambda: get(link))
            await asyncio.wait(waiting)


async def test_who_only_waits_for_redis_gets_probes_going_too() -> None:
    port = free_port()
    async with redis_link(port, RealClock()) as link, asyncio.TaskGroup() as group:
        waiting = [group.create_task(link.redis.back()) for _ in range(5)]
        await settle()
        async with server(port=port), asyncio.timeout(20):
            await asyncio.wait(waiting)
            assert link.redis.standing is Standing.ON
            assert link.redis.turned_away == 0
            assert link.redis.sent <= 30  # one probe a second, however many wait


async def test_a_probe_that_is_due_is_sent_by_the_first_who_waits(redis: Server) -> None:
    async with redis_link(redis.port, operation_s=BUDGET_S) as link:
        redis.signal(signal.SIGSTOP)
        await off(link)
        redis.signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            while link.redis.standing is Standing.OFF:
                link.clock.turn(1.25)
                try:
                    async with asyncio.timeout(0.2):
                        await link.redis.back()
                except TimeoutError:
                    continue
        assert link.standings == [Standing.OFF, Standing.ON]


async def test_giving_up_on_redis_leaves_nothing_behind() -> None:
    async with redis_link(free_port()) as link:
        before = asyncio.all_tasks()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await link.redis.back()
        assert asyncio.all_tasks() == before


# -- the end -----------------------------------------------------------------------------------


async def test_close_ends_who_waits_for_entries_at_once_and_cancels_nobody(redis: Server) -> None:
    async with redis_link(redis.port) as link, asyncio.TaskGroup() as group:
        waits = [
            group.create_task(refused(link.redis.wait([(KEY, "$")], LONG_S, 1))) for _ in range(3)
        ]
        await redis.blocked(2)
        began = monotonic()
        await link.redis.close()
        await asyncio.wait(waits)
        assert monotonic() - began < 5.0  # not as long as a budget, nor as a wait
        assert not any(task.cancelled() for task in waits)
        await redis.blocked(0)
        assert "connected_clients:1\r" in await redis.say("INFO", "clients")


async def test_close_ends_who_waits_for_redis() -> None:
    async with redis_link(free_port()) as link, asyncio.TaskGroup() as group:
        waiting = group.create_task(refused(link.redis.back()))
        await settle()
        await link.redis.close()
        await waiting
        await refused(link.redis.back())
        await refused(link.redis.wait([(KEY, "$")], LONG_S, 1))


async def test_close_cancels_nobody_whose_command_it_cuts_short(redis: Server) -> None:
    async with redis_link(redis.port, operation_s=BUDGET_S) as link, asyncio.TaskGroup() as group:
        await link.redis.back()
        redis.signal(signal.SIGSTOP)
        asking = [group.create_task(refused(get(link))) for _ in range(3)]
        await settle()
        await link.redis.close()
        await asyncio.wait(asking)
        assert not any(task.cancelled() for task in asking)
        redis.signal(signal.SIGCONT)


async def test_entries_that_come_while_redis_flaps_are_all_heard_in_the_end(redis: Server) -> None:
    """As a room that follows a stream does it."""
    heard: Records = []

    async def follow(link: Link) -> None:
        cursor = "0"
        while len(heard) < 6:
            try:
                for _, found in await link.redis.wait([(KEY, cursor)], 1.0, 10):
                    heard.extend(found)
                    cursor = found[-1][0].decode()
            except TierError:
                await link.redis.back()

    async with redis_link(redis.port, RealClock()) as link, asyncio.TaskGroup() as group:
        following = group.create_task(follow(link))
        for number in range(6):
            await redis.say("XADD", KEY, f"{number + 1}-0", "a", "b")
            await redis.say("CLIENT", "KILL", "TYPE", "normal")
        async with asyncio.timeout(30):
            await following
    assert [record_id for record_id, _ in heard] == [b"%d-0" % (n + 1) for n in range(6)]

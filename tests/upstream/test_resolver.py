"""A name server that is slow, dead or forgetful harms as little as can be."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from proxy.upstream.resolver import Resolver

INET = socket.AF_INET


class NameServer:
    """A name server that answers what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = ["192.0.2.1"]
        self.now = 100.0
        self.open = threading.Event()
        self.open.set()

    def clock(self) -> float:
        return self.now

    def look_up(self, host, port, family):
        self.asked += 1
        self.open.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in self.answer
        ]


@pytest.fixture
def server():
    server = NameServer()
    yield server
    server.open.set()


def hosts(found):
    return [each["host"] for each in found]


async def test_all_addresses_of_a_name_are_found(server):
    server.answer = ["192.0.2.1", "192.0.2.2"]
    found = await Resolver(server.look_up).resolve("a.test", 80, INET)
    assert hosts(found) == server.answer


async def test_those_who_ask_together_share_one_lookup(server):
    resolver = Resolver(server.look_up)
    server.open.clear()
    asking = [asyncio.gather(*(resolver.resolve("a.test", 80, INET) for _ in range(9)))]
    await asyncio.sleep(0)
    server.open.set()
    assert [hosts(found) for found in await asking[0]] == [["192.0.2.1"]] * 9
    assert server.asked == 1


async def test_one_who_stops_waiting_does_not_end_the_lookup_of_others(server):
    resolver = Resolver(server.look_up)
    server.open.clear()
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(resolver.resolve("a.test")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        server.open.set()
    assert hosts(second.result()) == ["192.0.2.1"]


@pytest.mark.parametrize("answer", [["192.0.2.1"], OSError("no such name")])
async def test_an_answer_good_or_bad_is_believed_for_a_second(server, answer):
    resolver = Resolver(server.look_up, clock=server.clock)
    server.answer = answer
    for seconds, asked in [(0, 1), (1, 1), (0.5, 2)]:
        server.now += seconds
        await asyncio.gather(resolver.resolve("a.test"), return_exceptions=True)
        assert server.asked == asked


@pytest.mark.parametrize("answer", [OSError("no such name"), [], UnicodeError()])
async def test_old_addresses_stand_in_for_a_minute(server, answer):
    resolver = Resolver(server.look_up, clock=server.clock)
    assert hosts(await resolver.resolve("a.test")) == ["192.0.2.1"]
    server.answer = answer
    server.now += 60
    assert hosts(await resolver.resolve("a.test")) == ["192.0.2.1"]
    server.now += 2
    with pytest.raises(OSError):  # noqa: PT011 - whatever the name server said
        await resolver.resolve("a.test")


async def test_a_hung_name_server_is_waited_for_only_so_long(server):
    resolver = Resolver(server.look_up, limit_s=0.01)
    server.open.clear()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await resolver.resolve("a.test")
    assert server.asked == 1


async def test_old_addresses_stand_in_while_the_name_server_hangs(server):
    resolver = Resolver(server.look_up, clock=server.clock, limit_s=0.5)
    await resolver.resolve("a.test")
    server.open.clear()
    server.now += 2
    assert hosts(await resolver.resolve("a.test")) == ["192.0.2.1"]


async def test_a_literal_or_local_name_needs_no_name_server():
    resolver = Resolver()
    assert {"127.0.0.1", "::1"} & set(hosts(await resolver.resolve("localhost", 80, 0)))
    await resolver.close()


def test_a_lookup_may_outlive_its_loop(server):
    async def give_up():
        resolver = Resolver(server.look_up, limit_s=0.01)
        server.open.clear()
        await resolver.resolve("a.test")

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    server.open.set()
    for thread in threading.enumerate():
        if thread.name == "resolve a.test":
            thread.join(10)
            assert not thread.is_alive()

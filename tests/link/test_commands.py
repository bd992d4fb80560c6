"""The commands on streams, sets and claims, as a real server answers them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from support.redis_links import HERE, Link, redis_link
from support.redis_servers import Server, needs_redis, server

from proxy.link import command, commands
from proxy.link.commands import Commands
from proxy.link.place import read_place
from proxy.link.redis import Redis, Standing
from proxy.link.replies import NotAllowed, NoWrites, TooLow
from proxy.model.errors import TierError
from proxy.tiers import l2_redis

pytestmark = needs_redis

T = TypeVar("T")

KEY = "sidecache:{k}"
LONG_MS = 600_000
FIELDS = {b"a": b"1", b"\xff\x00": b"\r\n"}


@pytest.fixture
async def redis() -> AsyncIterator[Server]:
    async with server() as alone:
        yield alone


@pytest.fixture
async def link(redis: Server) -> AsyncIterator[Link]:
    async with redis_link(redis.port) as link:
        yield link


Asking = Callable[[Redis, bool], Awaitable[object]]


def one(made: command.Command[T]) -> Asking:
    return lambda redis, rests: redis.ask(made, rests=rests)


def read(reads: Callable[[Commands], Awaitable[object]]) -> Asking:
    return lambda redis, _: redis.read(KEY, reads)


# Every command beyond the tier's, by the right that it needs.
WRITES: dict[str, Asking] = {
    "set": one(command.claim(KEY, b"me", LONG_MS)),
    "pexpire": one(command.expire(KEY, LONG_MS)),
    "xadd": one(command.append(KEY, "*", FIELDS)),
    "xtrim": one(command.trim(KEY, "5-0")),
    "sadd": one(command.add_member(KEY, b"m")),
    "srem": one(command.drop_member(KEY, b"m")),
}
READS: dict[str, Asking] = {
    "xrange": read(lambda commands: commands.entries(KEY, "0", 1)),
    "smembers": read(lambda commands: commands.members(KEY)),
    "xread": read(lambda commands: commands.wait([(KEY, "$")], 1, 1)),
    "pttl": one(command.left_ms(KEY)),
}


async def test_a_claim_is_one_replica_s_until_it_ends_or_is_dropped(
    link: Link, redis: Server
) -> None:
    async def claim(value: bytes) -> bool:
        return await link.redis.ask(command.claim(KEY, value, LONG_MS))

    async def renew(value: bytes) -> bool:
        return await link.redis.ask(command.renew(KEY, value, LONG_MS * 2))

    assert not await renew(b"one")
    assert await claim(b"one")
    assert not await claim(b"two")
    assert await redis.say("GET", KEY) == "one\n"
    assert 0 < int(await redis.say("PTTL", KEY)) <= LONG_MS
    assert await renew(b"one")
    assert LONG_MS < int(await redis.say("PTTL", KEY)) <= LONG_MS * 2
    await link.redis.ask(command.unlink(KEY), rests=False)
    assert await claim(b"two")


async def test_what_is_appended_is_found_in_order_after_any_id(link: Link) -> None:
    for number in range(1, 6):
        added = await link.redis.ask(command.append(KEY, f"{number}-0", FIELDS))
        assert added == f"{number}-0".encode()

    async def after(cursor: str, count: int) -> list[bytes]:
        found = await link.redis.read(KEY, lambda commands: commands.entries(KEY, cursor, count))
        assert all(fields == FIELDS for _, fields in found)
        return [record_id for record_id, _ in found]

    assert await after("0", 2) == [b"1-0", b"2-0"]
    assert await after("2-0", 9) == [b"3-0", b"4-0", b"5-0"]
    assert await after("5-0", 9) == []
    await link.redis.ask(command.trim(KEY, "4-0"), rests=False)
    assert await after("0", 9) == [b"4-0", b"5-0"]


async def test_a_stream_that_is_not_there_is_empty_and_made_only_if_wanted(
    link: Link, redis: Server
) -> None:
    assert await link.redis.read(KEY, lambda commands: commands.entries(KEY, "0", 9)) == []
    added = await link.redis.ask(command.append(KEY, "*", FIELDS, only_if_there=True))
    assert added is None
    assert await redis.say("EXISTS", KEY) == "0\n"
    assert await link.redis.ask(command.append(KEY, "*", FIELDS))
    assert await link.redis.ask(command.append(KEY, "*", FIELDS, only_if_there=True))


async def test_an_id_that_is_too_low_is_told_and_is_no_failure(link: Link) -> None:
    await link.redis.ask(command.append(KEY, "7-1", FIELDS))
    for low in ("7-1", "7-0", "1-0"):
        with pytest.raises(TooLow):
            await link.redis.ask(command.append(KEY, low, FIELDS))
    assert link.redis.failed == 0
    assert link.redis.standing is Standing.ON


async def test_a_stream_keeps_about_as_many_entries_as_it_may(link: Link, redis: Server) -> None:
    for _ in range(1000):
        await link.redis.ask(command.append(KEY, "*", FIELDS, most=10))
    assert 10 <= int(await redis.say("XLEN", KEY)) < 500


async def test_what_expires_is_forgotten_in_time(link: Link, redis: Server) -> None:
    assert not await link.redis.ask(command.expire(KEY, LONG_MS))
    await redis.say("SADD", KEY, "a")
    assert await link.redis.ask(command.expire(KEY, LONG_MS))
    assert 0 < int(await redis.say("PTTL", KEY)) <= LONG_MS


async def test_a_set_has_the_members_that_were_added_and_not_dropped(link: Link) -> None:
    async def members() -> frozenset[bytes]:
        return await link.redis.read(KEY, lambda commands: commands.members(KEY))

    assert await members() == frozenset()
    for member in (b"a", b"b", b"b", b"\xff"):
        await link.redis.ask(command.add_member(KEY, member))
    for member in (b"a", b"c"):
        await link.redis.ask(command.drop_member(KEY, member), rests=False)
    assert await members() == {b"b", b"\xff"}


# -- what a server will not do -----------------------------------------------------------------


async def test_the_documented_acl_allows_all_commands(redis: Server) -> None:
    assert l2_redis.__doc__ is not None
    assert commands.__doc__ is not None
    (line,) = [line for line in l2_redis.__doc__.split("\n") if "ACL SETUSER" in line]
    more = "+xadd +xread +xrange +xtrim +pexpire +pttl +sadd +srem +smembers"
    assert f"``{more}``" in commands.__doc__
    assert await redis.say(*line.split(), *more.split()) == "OK\n"
    place = read_place(f"redis://sidecache:PASSWORD@{HERE}:{redis.port}")
    async with redis_link(place) as link:
        for asking in (*WRITES.values(), *READS.values()):
            await link.redis.ask(command.unlink(KEY))  # what one puts there is not another's
            await asking(link.redis, True)
        await link.redis.ask(command.renew(KEY, b"me", LONG_MS))
        assert link.redis.failed == 0
    assert "NOPERM" not in await redis.say("INFO", "errorstats")


@pytest.mark.parametrize("name", [*READS, *WRITES])
async def test_what_an_acl_forbids_is_nobody_s_trouble_but_who_asked(
    link: Link, redis: Server, name: str
) -> None:
    await redis.say("ACL", "SETUSER", "default", "-" + name)
    for _ in range(30):  # more than would open a breaker
        with pytest.raises(NotAllowed):
            await {**READS, **WRITES}[name](link.redis, True)
    assert link.reports == []
    assert link.redis.refused == 30
    assert await link.redis.ask(command.get(KEY)) is None


@pytest.mark.parametrize("name", ["xrange", "smembers", "xread", "xadd", "sadd"])
async def test_what_stands_under_a_key_by_mistake_is_no_proof_of_trouble(
    link: Link, redis: Server, name: str
) -> None:
    await redis.say("SET", KEY, "a string")
    for _ in range(30):
        with pytest.raises(NotAllowed):
            await {**READS, **WRITES}[name](link.redis, True)
    assert link.reports == []


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_that_a_replica_refuses_makes_writes_rest(
    link: Link, redis: Server, name: str
) -> None:
    await redis.say("REPLICAOF", HERE, "1")
    with pytest.raises(NoWrites):
        await WRITES[name](link.redis, True)
    assert link.standings == [Standing.READS_ONLY]
    with pytest.raises(TierError, match="takes no writes"):
        await WRITES[name](link.redis, True)
    with pytest.raises(NoWrites):  # which is to say that it was tried
        await WRITES[name](link.redis, False)
    for asking in READS.values():
        await asking(link.redis, True)
    await redis.say("REPLICAOF", "NO", "ONE")
    link.clock.turn(6.25)
    await WRITES[name](link.redis, True)
    assert link.standings == [Standing.READS_ONLY, Standing.ON]

"""The commands about vectors: what comes back when something else is there, or nonsense is said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from support.cranked import Clock
from support.redis_links import Link, redis_link
from support.redis_servers import Server
from support.search_stub import SearchStub, search_stub
from support.vector_servers import vector_redis

from proxy.link import vectors
from proxy.link.commands import Commands
from proxy.link.redis import Standing
from proxy.link.replies import NotAllowed, NoWrites
from proxy.link.vectors import Element
from proxy.model.errors import TierError

KEY = "sidecache:vs:k"
VECTOR = b"\0\0\x80?\0\0\0\0"  # (1, 0)
ELEMENT = Element(b"an element", VECTOR, b"{}")
COMMANDS: dict[str, Callable[[Commands], Awaitable[object]]] = {
    "vadd": lambda commands: vectors.add(commands, KEY, [ELEMENT], "Q8", 60_000),
    "vsim": lambda commands: vectors.nearest(commands, KEY, VECTOR, 3, ".x > 1"),
    "vrem": lambda commands: vectors.drop(commands, KEY, [b"a", b"b"]),
    "vrandmember": lambda commands: vectors.sample(commands, KEY, 3),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Server]:
    async with vector_redis() as alone:
        yield alone


@pytest.fixture
async def redis(shared: Server) -> AsyncIterator[Server]:
    await shared.say("FLUSHALL")
    yield shared
    await shared.say("ACL", "SETUSER", "default", "+@all")
    await shared.say("CONFIG", "SET", "min-replicas-to-write", "0")


@pytest.fixture
async def link(redis: Server) -> AsyncIterator[Link]:
    async with redis_link(redis.port) as link:
        yield link


@pytest.mark.parametrize("name", COMMANDS)
async def test_what_an_acl_forbids_is_nobody_s_trouble_but_who_asked(
    link: Link, redis: Server, name: str
) -> None:
    await redis.say("ACL", "SETUSER", "default", "-" + name)
    for _ in range(30):  # more than would open a breaker
        with pytest.raises(NotAllowed):
            await link.redis.write(KEY, COMMANDS[name])
    assert link.reports == []


@pytest.mark.parametrize("name", COMMANDS)
async def test_what_stands_under_a_key_by_mistake_is_no_proof_of_trouble(
    link: Link, redis: Server, name: str
) -> None:
    await redis.say("SET", KEY, "a string")
    for _ in range(30):
        with pytest.raises(NotAllowed):
            await link.redis.write(KEY, COMMANDS[name])
    assert link.reports == []


@pytest.mark.parametrize("name", ["vadd", "vrem"])
async def test_a_write_that_is_refused_makes_writes_rest(
    link: Link, redis: Server, name: str
) -> None:
    await redis.say("CONFIG", "SET", "min-replicas-to-write", "1")
    with pytest.raises(NoWrites):
        await link.redis.write(KEY, COMMANDS[name])
    assert link.standings == [Standing.READS_ONLY]


async def test_the_first_failure_of_several_is_told_without_what_was_sent(
    link: Link, redis: Server
) -> None:
    await redis.say("VADD", KEY, "VALUES", "3", "1", "0", "0", "theirs")
    with pytest.raises(TierError, match="dimension") as failure:
        await link.redis.write(KEY, COMMANDS["vadd"])
    assert "an element" not in str(failure.value)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("vsim", b":1\r\n"),
        ("vsim", b"*1\r\n$1\r\na\r\n"),
        ("vsim", b"*2\r\n$1\r\na\r\n:1\r\n"),
        ("vsim", b"*2\r\n$1\r\na\r\n$1\r\nx\r\n"),
        ("vrandmember", b"$1\r\na\r\n"),
        ("vrandmember", b"*1\r\n:1\r\n"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_a_failure(command: str, answer: bytes) -> None:
    stub = SearchStub(Clock(), answers={command.upper().encode(): answer})
    async with search_stub(stub) as port, redis_link(port) as link:
        with pytest.raises(TierError, match="ValueError"):
            await link.redis.read(KEY, COMMANDS[command])
        assert link.redis.failed == 1


async def test_a_set_that_is_not_there_has_no_elements(link: Link) -> None:
    for name in ("vsim", "vrandmember"):
        assert await link.redis.read(KEY, COMMANDS[name]) == []


async def test_what_went_while_it_was_drawn_is_passed_over() -> None:
    stub = SearchStub(
        Clock(), answers={b"VRANDMEMBER": b"*1\r\n$1\r\na\r\n", b"VGETATTR": b"$-1\r\n"}
    )
    async with search_stub(stub) as port, redis_link(port) as link:
        assert await link.redis.read(KEY, COMMANDS["vrandmember"]) == []

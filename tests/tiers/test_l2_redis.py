"""The Redis tier on real servers: the contract, the servers' troubles, and who feels them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from support import tls
from support.cranked import Clock, settle
from support.faulty_tcp import Faults, faulty_tcp
from support.redis_servers import Server, free_port, needs_redis, server
from support.redis_tiers import HERE, redis_tier
from support.tier_contract import KEY, OTHER, TierContract, entry, same

from proxy.link.place import Credentials, read_place
from proxy.link.redis import Standing
from proxy.model.entry import Lifetime
from proxy.model.errors import TierError
from proxy.model.query import Usage
from proxy.tiers import l2_redis
from proxy.tiers.base import Tier

pytestmark = needs_redis

NAME = "sidecache:" + KEY.digest.hex()
BUDGET_S = 0.05


@pytest.fixture
async def redis() -> AsyncIterator[Server]:
    async with server() as alone:
        yield alone


# -- the contract ------------------------------------------------------------------------------


class TestAlone(TierContract):
    @pytest.fixture
    async def tier(self, clock: Clock, redis: Server) -> AsyncIterator[Tier]:
        async with redis_tier(redis.port, clock) as scene:
            yield scene.tier


class TestUnderTheNarrowAcl(TierContract):
    """As the user that the tier's own documentation tells to set up."""

    @pytest.fixture
    async def tier(self, clock: Clock, redis: Server) -> AsyncIterator[Tier]:
        assert l2_redis.__doc__ is not None
        (line,) = [line for line in l2_redis.__doc__.split("\n") if "ACL SETUSER" in line]
        assert await redis.say(*line.split()) == "OK\n"
        assert await redis.say("ACL", "SETUSER", "default", "-get", "-set") == "OK\n"
        place = read_place(f"redis://sidecache:PASSWORD@{HERE}:{redis.port}")
        async with redis_tier(place, clock) as scene:
            yield scene.tier
        assert "NOPERM" not in await redis.say("INFO", "errorstats")


# -- what is kept and found --------------------------------------------------------------------


async def test_two_replicas_share_what_they_keep(redis: Server) -> None:
    async with redis_tier(redis.port) as one, redis_tier(redis.port, Clock(1000.0)) as two:
        await one.tier.put(entry())
        assert same(await two.tier.get(KEY), entry())
        await two.tier.clear()
        assert await one.tier.get(KEY) is None


async def test_redis_drops_an_entry_when_its_keep_ends(redis: Server) -> None:
    async with redis_tier(redis.port) as scene:
        lifetime = Lifetime(60.0, stale_if_error=30.0)
        await scene.tier.put(entry(lifetime=lifetime, initial_age=10.0, stored_at=995.0))
        assert 65_000 < int(await redis.say("PTTL", NAME)) <= 75_000
        await scene.tier.put(entry(lifetime=Lifetime(1e300)))
        assert int(await redis.say("PTTL", NAME)) > 1e12


async def test_clearing_takes_only_what_has_the_prefix(redis: Server) -> None:
    async with redis_tier(redis.port, prefix="a[b]*:") as scene:
        await redis.say("MSET", "ab:1", "x", "a[b]*", "x", "a[b]x:", "x", "sidecache:1", "x")
        await redis.say("EVAL", "for i=1,5000 do redis.call('SET',KEYS[1]..i,i) end", "1", "a[b]*:")
        await scene.tier.clear()
        assert await redis.say("DBSIZE") == "4\n"


@pytest.mark.parametrize(
    "odd",
    [
        ("SET", NAME, ""),
        ("SET", NAME, "hello"),
        ("SET", NAME, "1"),
        ("LPUSH", NAME, "hello"),
        ("HSET", NAME, "a", "b"),
        ("COPY", "sidecache:" + OTHER.digest.hex(), NAME, "REPLACE"),
    ],
)
async def test_what_is_not_the_entry_asked_for_is_a_miss(
    redis: Server, odd: tuple[str, ...]
) -> None:
    async with redis_tier(redis.port) as scene:
        await scene.tier.put(entry(OTHER))
        await redis.say(*odd)
        assert await scene.tier.get(KEY) is None
        assert scene.redis.failed == 0
        await scene.tier.put(entry())
        assert same(await scene.tier.get(KEY), entry())
        assert (scene.tier.hits, scene.tier.misses) == (1, 1)


async def test_what_no_envelope_can_hold_is_declined(redis: Server) -> None:
    async with redis_tier(redis.port) as scene:
        await scene.tier.put(entry())
        assert not await scene.tier.put(replace(entry(), usage=Usage(2**70, 0)))
        assert await scene.tier.get(KEY) is None
        assert scene.tier.declined == 1


async def test_a_database_with_a_number_is_another_one(redis: Server) -> None:
    async with redis_tier(read_place(f"redis://{HERE}:{redis.port}/3")) as scene:
        await scene.tier.put(entry())
        assert same(await scene.tier.get(KEY), entry())
        assert await redis.say("DBSIZE") == "0\n"


async def test_it_speaks_tls_and_trusts_only_whom_it_is_told_to() -> None:
    here = tls.AUTHORITY.removesuffix("authority.pem")
    port = free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", here + "server.pem", "--tls-key-file",
               here + "server.key", "--tls-auth-clients", "no",
               "--tls-ca-cert-file", tls.AUTHORITY)  # fmt: skip
    place = read_place(f"rediss://localhost:{port}")
    async with server(*options):
        async with redis_tier(place, credentials=Credentials(tls.AUTHORITY)) as scene:
            await scene.tier.put(entry())
            assert same(await scene.tier.get(KEY), entry())
        async with redis_tier(place) as scene:
            assert scene.standings == [Standing.OFF]
            assert "certificate" in scene.reports[0][1].lower()


async def test_it_shows_its_own_certificate_to_a_server_that_asks_for_one() -> None:
    here = tls.AUTHORITY.removesuffix("authority.pem")
    port = free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", here + "server.pem", "--tls-key-file",
               here + "server.key", "--tls-auth-clients", "yes",
               "--tls-ca-cert-file", tls.AUTHORITY)  # fmt: skip
    place = read_place(f"rediss://localhost:{port}")
    known = Credentials(tls.AUTHORITY, tls.CLIENT_CERTIFICATE, tls.CLIENT_KEY)
    async with server(*options):
        async with redis_tier(place, credentials=known) as scene:
            await scene.tier.put(entry())
            assert same(await scene.tier.get(KEY), entry())
        async with redis_tier(place, credentials=Credentials(tls.AUTHORITY)) as scene:
            assert scene.standings == [Standing.OFF]


async def test_sentinels_are_told_a_password_of_their_own(tmp_path: Path) -> None:
    async with server("--requirepass", "of the server") as redis:
        rules = tmp_path / "sentinel.conf"
        rules.write_text(
            f"sentinel monitor answers 127.0.0.1 {redis.port} 1\n"
            'sentinel auth-pass answers "of the server"\n'
            'requirepass "of the sentinel"\n'
        )
        async with server(str(rules), "--sentinel") as sentinel:
            place = read_place(
                f"redis+sentinel://:of%20the%20server@127.0.0.1:{sentinel.port}/answers"
            )
            known = Credentials(sentinel_password="of the sentinel")
            async with redis_tier(place, credentials=known) as scene:
                await scene.tier.put(entry())
                assert same(await scene.tier.get(KEY), entry())
            async with redis_tier(place) as scene:
                assert scene.standings == [Standing.OFF]


def test_a_proxy_without_redis_does_not_load_the_library() -> None:
    program = "import sys, proxy.tiers.l2_redis; sys.exit('redis' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


# -- Redis away --------------------------------------------------------------------------------


async def test_if_redis_is_down_at_the_start_the_tier_is_off_until_redis_comes() -> None:
    port = free_port()
    async with redis_tier(port) as scene:
        assert scene.redis.standing is Standing.OFF
        for _ in range(100):
            with pytest.raises(TierError):
                await scene.tier.get(KEY)
        with pytest.raises(TierError):
            await scene.tier.put(entry())
        with pytest.raises(TierError):
            await scene.tier.delete(KEY)
        with pytest.raises(TierError):
            await scene.tier.clear()
        assert scene.redis.sent == 1  # nobody but the first probe
        assert scene.redis.turned_away == 103
        async with server(port=port):
            await scene.until(Standing.ON, lambda: scene.tier.get(KEY))
            await scene.tier.put(entry())
            assert same(await scene.tier.get(KEY), entry())
        assert scene.standings == [Standing.OFF, Standing.ON]


async def test_a_redis_that_is_killed_and_comes_back_is_used_again() -> None:
    port = free_port()
    async with redis_tier(port, start=False) as scene:
        for _ in range(3):
            async with server(port=port):
                await scene.until(Standing.ON, lambda: scene.tier.get(KEY))
                await scene.tier.put(entry())
                assert same(await scene.tier.get(KEY), entry())
            await scene.until(Standing.OFF, lambda: scene.tier.get(KEY))
        assert scene.standings == [Standing.OFF, Standing.ON] * 2 + [Standing.OFF]


async def test_a_hanging_redis_costs_the_first_few_a_budget_and_nobody_else_anything(
    redis: Server,
) -> None:
    async with redis_tier(redis.port, operation_s=BUDGET_S) as scene:
        await scene.until(Standing.ON, lambda: scene.tier.get(KEY))
        sent = scene.redis.sent
        redis.signal(signal.SIGSTOP)
        began = monotonic()
        first = await asyncio.gather(
            *(scene.tier.get(KEY) for _ in range(200)), return_exceptions=True
        )
        assert monotonic() - began < 5.0  # one budget, generously; the library's own is 60 s
        assert all(isinstance(error, TierError) for error in first)
        await scene.until(Standing.OFF, lambda: scene.tier.get(KEY))
        assert scene.redis.sent - sent <= 200 + 32
        sent = scene.redis.sent
        began = monotonic()
        for _ in range(1000):
            with pytest.raises(TierError):
                await scene.tier.get(KEY)
        assert scene.redis.sent == sent
        assert monotonic() - began < 5.0  # 5 ms each, and it takes some microseconds

        scene.clock.turn(1.25)
        for _ in range(100):
            with pytest.raises(TierError):
                await scene.tier.get(KEY)
        await scene.sent(sent + 1)  # the probe
        assert len(scene.reports) == 1

        redis.signal(signal.SIGCONT)
        began = monotonic()
        await scene.until(Standing.ON, lambda: scene.tier.get(KEY))
        assert monotonic() - began < 5.0
        assert scene.standings == [Standing.OFF, Standing.ON]


async def test_a_redis_that_hangs_from_the_start_delays_the_start_by_little(redis: Server) -> None:
    redis.signal(signal.SIGSTOP)
    began = monotonic()
    async with redis_tier(redis.port, operation_s=BUDGET_S) as scene:
        assert monotonic() - began < 5.0
        await scene.until(Standing.OFF, lambda: scene.tier.get(KEY))
        redis.signal(signal.SIGCONT)
        await scene.until(Standing.ON, lambda: scene.tier.get(KEY))


async def test_a_redis_that_flaps_is_reported_once_a_change(redis: Server) -> None:
    async with redis_tier(redis.port, operation_s=BUDGET_S) as scene:
        await scene.until(Standing.ON, lambda: scene.tier.get(KEY))
        for _ in range(3):
            redis.signal(signal.SIGSTOP)
            await scene.until(Standing.OFF, lambda: scene.tier.get(KEY))
            redis.signal(signal.SIGCONT)
            await scene.until(Standing.ON, lambda: scene.tier.get(KEY))
        assert scene.standings == [Standing.OFF, Standing.ON] * 3


async def test_a_wrong_password_turns_the_tier_off_and_is_not_told(redis: Server) -> None:
    await redis.say("CONFIG", "SET", "requirepass", "right")
    async with redis_tier(read_place(f"redis://:hunter2@{HERE}:{redis.port}")) as scene:
        with pytest.raises(TierError):
            await scene.tier.get(KEY)
        assert scene.standings == [Standing.OFF]
        assert "hunter2" not in str(scene.reports)


# -- Redis that answers, but takes no writes ---------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "cure"),
    [
        (("REPLICAOF", HERE, "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"),
         ("CONFIG", "SET", "min-replicas-to-write", "0")),
        (("ACL", "SETUSER", "default", "-set"), ("ACL", "SETUSER", "default", "+set")),
    ],
)  # fmt: skip
async def test_where_writes_are_refused_they_rest_and_reads_go_on(
    redis: Server, trouble: tuple[str, ...], cure: tuple[str, ...]
) -> None:
    async with redis_tier(redis.port) as scene:
        await scene.tier.put(entry())
        assert await redis.say(*trouble) == "OK\n"
        for _ in range(50):
            with pytest.raises(TierError):
                await scene.tier.put(entry(OTHER))
            assert same(await scene.tier.get(KEY), entry())
        assert scene.standings == [Standing.READS_ONLY]
        assert scene.redis.refused == 1  # the other 49 never went out
        scene.clock.turn(6.25)
        for _ in range(10):
            with pytest.raises(TierError):
                await scene.tier.put(entry(OTHER))
        assert scene.redis.refused == 2
        assert await redis.say(*cure) == "OK\n"
        scene.clock.turn(6.25)
        await scene.tier.put(entry(OTHER, stored_at=scene.clock()))
        assert scene.standings == [Standing.READS_ONLY, Standing.ON]


async def test_what_cannot_be_forgotten_is_not_said_to_be(redis: Server) -> None:
    async with redis_tier(redis.port) as scene:
        await scene.tier.put(entry())
        await redis.say("REPLICAOF", HERE, "1")
        with pytest.raises(TierError):
            await scene.tier.delete(KEY)
        with pytest.raises(TierError):
            await scene.tier.clear()
        with pytest.raises(TierError):
            await scene.tier.put(entry(body=bytes(65_537)))  # which declined, would forget the old
        assert same(await scene.tier.get(KEY), entry())


# -- a network that lies -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-5\r\n", b"*1\r\n" * 20_000, b"$100\r\nshort\r\n",
     b"$99999999999\r\nx", b"\x00\xff" * 99, b"%1\r\n", b"-MOVED 1 127.0.0.1:1\r\n",
     b"-LOADING wait\r\n"],
)  # fmt: skip
async def test_garbage_is_a_failure_and_never_more(redis: Server, garbage: bytes) -> None:
    faults = Faults(garbage=garbage)
    async with faulty_tcp(redis.port, faults) as port:
        async with redis_tier(port, operation_s=BUDGET_S, start=False) as scene:
            for _ in range(3):
                with pytest.raises(TierError):
                    await scene.tier.get(KEY)
            faults.garbage = b""
            # The same connection is not trusted with another question.
            await scene.until(Standing.ON, lambda: scene.tier.put(entry()))
        async with redis_tier(port) as scene:
            await scene.tier.put(entry())
            assert same(await scene.tier.get(KEY), entry())


async def test_what_is_no_entry_is_a_miss(redis: Server) -> None:
    async with (
        faulty_tcp(redis.port, Faults(garbage=b"+OK\r\n")) as port,
        redis_tier(port, start=False) as scene,
    ):
        assert await scene.tier.get(KEY) is None


@pytest.mark.parametrize("garbage", [b":1\r\n", b"*0\r\n", b"*1\r\n$1\r\nx\r\n"])
async def test_an_answer_to_another_question_is_a_failure(redis: Server, garbage: bytes) -> None:
    async with (
        faulty_tcp(redis.port, Faults(garbage=garbage)) as port,
        redis_tier(port, start=False) as scene,
    ):
        with pytest.raises(TierError, match="no string"):
            await scene.tier.get(KEY)


@pytest.mark.parametrize("fault", ["reset_share", "half_close", "silent"])
async def test_a_connection_that_breaks_fails_its_operation_only(redis: Server, fault: str) -> None:
    faults = Faults()
    async with (
        faulty_tcp(redis.port, faults) as port,
        redis_tier(port, operation_s=0.5, connections=1) as scene,
    ):
        await scene.tier.put(entry())
        setattr(faults, fault, 1)
        if fault == "half_close":
            await scene.tier.get(KEY)
            with suppress(TierError):  # that the other side has ended may not be known yet
                await scene.tier.get(KEY)
        else:
            with pytest.raises(TierError):
                await scene.tier.get(KEY)
        setattr(faults, fault, 0)
        assert same(await scene.tier.get(KEY), entry())
        assert scene.reports == []


# -- cancellation and bounds -------------------------------------------------------------------


async def test_cancelling_a_caller_does_not_cut_its_command_short(redis: Server) -> None:
    async with redis_tier(redis.port) as scene:
        async with asyncio.TaskGroup() as group:
            putting = group.create_task(scene.tier.put(entry()))
            await settle()
            putting.cancel()
        assert putting.cancelled()
        await scene.redis.close()
        assert await redis.say("EXISTS", NAME) == "1\n"


async def test_a_clear_forgets_what_was_being_put_when_its_caller_gave_up(redis: Server) -> None:
    faults = Faults(delay_s=0.01)
    async with faulty_tcp(redis.port, faults) as port, redis_tier(port) as scene:
        for _ in range(20):
            async with asyncio.TaskGroup() as group:
                putting = group.create_task(scene.tier.put(entry()))
                await settle()
                putting.cancel()
                await scene.tier.clear()
            assert await redis.say("DBSIZE") == "0\n"


async def test_there_are_never_more_connections_than_allowed(redis: Server) -> None:
    faults = Faults(delay_s=0.002)
    async with (
        faulty_tcp(redis.port, faults) as port,
        redis_tier(port, connections=4) as scene,
    ):
        await scene.tier.put(entry())
        found = await asyncio.gather(*(scene.tier.get(KEY) for _ in range(200)))
        assert all(same(one, entry()) for one in found)
        assert faults.connections <= 4
        assert scene.redis.failed == 0


async def test_who_finds_no_connection_free_gives_up_in_time_and_is_no_proof_of_trouble(
    redis: Server,
) -> None:
    async with redis_tier(redis.port, operation_s=0.2, connections=1) as scene:
        await scene.tier.get(KEY)
        redis.signal(signal.SIGSTOP)
        sent = scene.redis.sent
        found = await asyncio.gather(
            *(scene.tier.get(KEY) for _ in range(500)), return_exceptions=True
        )
        redis.signal(signal.SIGCONT)
        assert all(isinstance(error, TierError) for error in found)
        assert scene.redis.late == 500
        assert scene.redis.failed == 64  # one batch
        assert scene.redis.sent - sent < 500
        assert scene.reports == []


async def test_a_closed_tier_turns_everybody_away(redis: Server) -> None:
    async with redis_tier(redis.port) as scene:
        await scene.tier.put(entry())
        await scene.redis.close()
        with pytest.raises(TierError):
            await scene.tier.get(KEY)
        with pytest.raises(TierError):
            await scene.tier.put(entry())
        assert scene.reports == []
        assert "connected_clients:1\n" in (await redis.say("INFO", "clients")).replace("\r", "")

"""Commands of many callers on few lines, against a server that says what the tests tell it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from support.cranked import Clock, settle
from support.cranked_redis import HERE, CrankedRedis, Peer, cranked_redis
from support.redis_links import refused

from proxy.link import command
from proxy.link.dial import Dial
from proxy.link.health import Health, Standing
from proxy.link.line import Line
from proxy.link.lines import Lines
from proxy.link.place import NONE, read_place
from proxy.link.replies import NoWrites
from proxy.model.errors import TierError

PATIENT_S = 10.0
BUDGET_S = 0.1


class Scene:
    """Lines to a cranked Redis, or to whatever ``address`` says, and what became known of it."""

    def __init__(
        self, redis: CrankedRedis, *, most: int = 4, answer_s: float = PATIENT_S,
        limit_s: float = PATIENT_S, follows: bool = False,
        dial: Callable[[], Awaitable[Line]] | None = None,
    ) -> None:  # fmt: skip
        self.redis = redis
        self.port = redis.port
        self.standings: list[Standing] = []
        self.health = Health(
            clock=Clock(), dice=lambda: 0.5, suspect="none",
            report=lambda standing, _why: self.standings.append(standing),
        )  # fmt: skip
        self.made: list[Line] = []
        self.lines = Lines(
            dial or self.dial, self.health, most=most, answer_s=answer_s, limit_s=limit_s,
            follows=follows,
        )  # fmt: skip

    async def address(self) -> tuple[str, int]:
        return HERE, self.port

    async def dial(self) -> Line:
        line = await Dial(read_place(f"redis://{HERE}"), NONE, self.address).line()
        self.made.append(line)
        return line


@asynccontextmanager
async def scene(
    *, most: int = 4, answer_s: float = PATIENT_S, limit_s: float = PATIENT_S,
    follows: bool = False, dial: Callable[[], Awaitable[Line]] | None = None,
) -> AsyncIterator[Scene]:  # fmt: skip
    async with cranked_redis() as redis:
        made = Scene(
            redis, most=most, answer_s=answer_s, limit_s=limit_s, follows=follows, dial=dial
        )
        try:
            yield made
        finally:
            await made.lines.close()


def value(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def get(key: str) -> list[bytes]:
    return [b"GET", key.encode()]


NOTHING, DONE = b"$-1\r\n", b"+OK\r\n"


async def warm(here: Scene, lines: int = 1) -> None:
    """So many lines are there, and free."""
    async with asyncio.TaskGroup() as group:
        for _ in range(lines):
            group.create_task(here.lines.ask(command.get("warm")))
            peer, _batch = await here.redis.heard()
        for peer in here.redis.peers:
            peer.say(NOTHING)


# -- what goes together ------------------------------------------------------------------------


async def test_what_is_asked_in_one_turn_goes_in_one_piece_and_each_hears_his_own_answer() -> None:
    async with scene() as here:
        await warm(here)
        async with asyncio.TaskGroup() as group:
            found = [group.create_task(here.lines.ask(command.get(f"k{n}"))) for n in range(5)]
            stored = group.create_task(here.lines.ask(command.put("p", b"v", 7)))
            peer, batch = await here.redis.heard()
            peer.say(*(value(b"v%d" % n) for n in range(5)), DONE)
        assert [one.result() for one in found] == [b"v%d" % n for n in range(5)]
        assert stored.result() is None
        assert batch == [*(get(f"k{n}") for n in range(5)), [b"SET", b"p", b"v", b"PX", b"7"]]
        assert here.health.sent == 7


async def test_answers_in_pieces_are_told_as_they_come() -> None:
    async with scene() as here, asyncio.TaskGroup() as group:
        one, two = (group.create_task(here.lines.ask(command.get(key))) for key in "ab")
        peer, _ = await here.redis.heard()
        peer.say(value(b"first"), b"$6\r\nsec")
        assert await one == b"first"
        assert not two.done()
        peer.say(b"ond\r\n")
        assert await two == b"second"


async def test_an_answer_that_is_slow_to_come_delays_nobody_who_asked_in_another_turn() -> None:
    async with scene() as here, asyncio.TaskGroup() as group:
        slow = group.create_task(here.lines.ask(command.get("slow")))
        slow_peer, _ = await here.redis.heard()
        for _ in range(3):
            quick = group.create_task(here.lines.ask(command.get("quick")))
            peer, batch = await here.redis.heard()
            assert batch == [get("quick")]
            assert peer is not slow_peer
            peer.say(value(b"here"))
            assert await quick == b"here"
        assert len(here.redis.peers) == 2
        slow_peer.say(NOTHING)
        assert await slow is None


async def test_where_all_lines_are_taken_what_waits_fills_one_batch() -> None:
    async with scene(most=1) as here, asyncio.TaskGroup() as group:
        first = group.create_task(here.lines.ask(command.get("first")))
        peer, _ = await here.redis.heard()
        later = []
        for number in range(3):
            later.append(group.create_task(here.lines.ask(command.get(str(number)))))
            await settle()
        assert here.redis.quiet
        peer.say(NOTHING)
        await first
        peer, batch = await here.redis.heard()
        assert batch == [get("0"), get("1"), get("2")]
        peer.say(*(value(b"%d" % number) for number in range(3)))
        assert [await one for one in later] == [b"0", b"1", b"2"]
        assert len(here.redis.peers) == len(here.made) == 1


@pytest.mark.parametrize("big", [False, True])
async def test_a_batch_has_a_bound_in_commands_and_in_bytes(big: bool) -> None:
    async with scene(most=2) as here, asyncio.TaskGroup() as group:
        await warm(here, 2)
        puts = [command.put("a", bytes(70_000), 9)] if big else [command.get("a")] * 64
        asked = [group.create_task(here.lines.ask(each)) for each in (*puts, command.get("b"))]
        heard = [await here.redis.heard() for _ in range(2)]
        assert sorted(len(batch) for _, batch in heard) == [1, len(puts)]
        for peer, batch in heard:
            peer.say(*([DONE if big and batch[0] != get("b") else NOTHING] * len(batch)))
        assert [await one for one in asked] == [None] * len(asked)


async def test_what_nobody_hurries_for_goes_with_what_is_asked_next_or_a_moment_later() -> None:
    async with scene() as here, asyncio.TaskGroup() as group:
        await warm(here)
        riding = group.create_task(here.lines.ask(command.put("p", b"v", 7), rides=True))
        await settle()
        group.create_task(here.lines.ask(command.get("k")))
        peer, batch = await here.redis.heard()
        assert [words[0] for words in batch] == [b"SET", b"GET"]
        peer.say(DONE, NOTHING)
        await riding
        alone = group.create_task(here.lines.ask(command.unlink("p"), rides=True))
        peer, batch = await here.redis.heard()
        assert batch == [[b"UNLINK", b"p"]]
        peer.say(b":1\r\n")
        await alone


async def test_a_write_is_sent_though_its_caller_has_left_and_a_read_is_not() -> None:
    async with scene() as here:
        await warm(here)
        async with asyncio.TaskGroup() as group:
            made = [command.put("p", b"v", 7), command.get("k")]
            asked = [group.create_task(here.lines.ask(each, rides=True)) for each in made]
            await settle()
            for one in asked:
                one.cancel()
        peer, batch = await here.redis.heard()
        assert [words[0] for words in batch] == [b"SET"]
        peer.say(DONE)
        await here.lines.settle()
        async with asyncio.TaskGroup() as group:
            left = group.create_task(here.lines.ask(command.get("k"), rides=True))
            await settle()
            left.cancel()
        await here.lines.settle()
        assert here.redis.quiet


async def test_who_leaves_when_all_was_sent_takes_no_answer_from_the_others() -> None:
    async with scene(most=1) as here, asyncio.TaskGroup() as group:
        asked = [group.create_task(here.lines.ask(command.get(str(n)))) for n in range(3)]
        peer, _ = await here.redis.heard()
        asked[1].cancel()
        await settle()
        peer.say(*(value(b"%d" % n) for n in range(3)))
        assert await asked[0] == b"0"
        assert await asked[2] == b"2"
        again = group.create_task(here.lines.ask(command.get("again")))
        peer, batch = await here.redis.heard()
        assert batch == [get("again")]
        peer.say(value(b"its own"))
        assert await again == b"its own"


# -- what goes wrong ---------------------------------------------------------------------------


async def test_on_a_line_that_stays_silent_all_fail_and_that_is_one_failure() -> None:
    async with scene(answer_s=BUDGET_S) as here:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):  # more than would open a breaker
                group.create_task(refused(here.lines.ask(command.get("k"))))
            peer, _ = await here.redis.heard()
        await peer.ended()
        assert (here.health.late, here.health.failed) == (20, 20)
        assert here.health.doubtful
        assert here.standings == []


async def drip(peer: Peer, until: asyncio.Event) -> None:
    """A long answer, a byte at a time, and the rest of it in the end."""
    left = 100_000
    peer.say(b"$%d\r\n" % left)
    while not until.is_set():
        peer.say(b"x")
        left -= 1
        await asyncio.sleep(BUDGET_S / 20)  # it is slow, and not waited for
    peer.say(b"x" * left, b"\r\n")


async def test_an_answer_that_keeps_coming_is_waited_for_though_nobody_may_want_it() -> None:
    async with scene(most=1, answer_s=BUDGET_S) as here, asyncio.TaskGroup() as group:
        enough = asyncio.Event()
        asked = group.create_task(refused(here.lines.ask(command.get("long"))))
        peer, _ = await here.redis.heard()
        group.create_task(drip(peer, enough))
        for _ in range(3):
            await refused(here.lines.ask(command.get("waits in vain")))
        await asked
        assert (here.health.late, here.health.failed) == (4, 0)
        enough.set()
        again = group.create_task(here.lines.ask(command.get("k")))
        same, batch = await here.redis.heard()
        assert (same, batch) == (peer, [get("k")])
        peer.say(value(b"v"))
        assert await again == b"v"


async def test_an_answer_that_takes_too_long_in_all_is_given_up() -> None:
    async with scene(answer_s=BUDGET_S, limit_s=2 * BUDGET_S) as here:
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(refused(here.lines.ask(command.get("long"))))
            peer, _ = await here.redis.heard()
            group.create_task(drip(peer, enough))
            await asked
            await peer.ended()
            enough.set()
        assert here.health.failed == 1


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400\r\n\r\n", NOTHING + NOTHING, NOTHING + b"$3\r\nab", b"$-5\r\n",
     b":1\r\n:2\r\n:3\r\n"],
)  # fmt: skip
async def test_a_line_on_which_anything_is_odd_is_not_used_again(garbage: bytes) -> None:
    async with scene() as here, asyncio.TaskGroup() as group:
        asked = group.create_task(refused(here.lines.ask(command.get("k"))))
        peer, _ = await here.redis.heard()
        peer.say(garbage)
        await asked
        await peer.ended()
        again = group.create_task(here.lines.ask(command.get("k")))
        other, _ = await here.redis.heard()
        assert other is not peer
        other.say(value(b"v"))
        assert await again == b"v"
        assert here.health.failed == 1


async def test_an_answer_to_no_question_ends_the_line() -> None:
    async with scene() as here, asyncio.TaskGroup() as group:
        await warm(here)
        (peer,) = here.redis.peers
        peer.say(value(b"whose"))
        await peer.ended()
        asked = group.create_task(here.lines.ask(command.get("k")))
        other, _ = await here.redis.heard()
        other.say(value(b"mine"))
        assert await asked == b"mine"
        assert here.health.failed == 0


async def test_an_answer_of_another_shape_fails_what_else_was_asked_on_that_line() -> None:
    async with scene() as here:
        async with asyncio.TaskGroup() as group:
            group.create_task(refused(here.lines.ask(command.claim("k", b"me", 9))))
            group.create_task(refused(here.lines.ask(command.get("k"))))
            peer, _ = await here.redis.heard()
            peer.say(value(b"what"))
        await peer.ended()
        assert here.health.failed == 2


@pytest.mark.parametrize(
    "before", [b">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n", b"*1\r\n-ERR within\r\n", b":1\r\n"]
)
async def test_behind_an_answer_that_nobody_asked_for_no_answer_reaches_another(
    before: bytes,
) -> None:
    """What a server pushes would move all answers by one: each would go to the next caller."""
    async with scene() as here:
        async with asyncio.TaskGroup() as group:
            for key in "ab":
                group.create_task(refused(here.lines.ask(command.get(key))))
            peer, _ = await here.redis.heard()
            peer.say(before, value(b"a's"), value(b"b's"))
        await peer.ended()
        async with asyncio.TaskGroup() as group:
            for key in "ab":
                group.create_task(refused(here.lines.ask(command.get(key))))
            peer, _ = await here.redis.heard()
            peer.say(before + value(b"a's"))
        await peer.ended()
        assert here.health.failed == 4


async def test_a_refusal_is_one_caller_s_alone_and_the_line_goes_on() -> None:
    async with scene(most=1) as here, asyncio.TaskGroup() as group:
        asked = asyncio.gather(
            here.lines.ask(command.put("k", b"v", 9)),
            here.lines.ask(command.get("k")),
            here.lines.ask(command.get("list")),
            return_exceptions=True,
        )
        peer, _ = await here.redis.heard()
        peer.say(b"-READONLY it is a replica\r\n", value(b"v"), b"-WRONGTYPE a list\r\n")
        put, found, odd = await asked
        assert isinstance(put, NoWrites)
        assert (found, odd) == (b"v", None)
        assert (here.health.refused, here.health.failed) == (1, 0)
        assert here.standings == [Standing.READS_ONLY]
        again = group.create_task(refused(here.lines.ask(command.get("k"))))
        same, _ = await here.redis.heard()
        assert same is peer
        same.say(b"-LOADING wait\r\n")
        await again
        assert here.health.failed == 1


async def test_who_follows_a_master_takes_one_that_is_none_for_a_failure_and_leaves_it() -> None:
    async with scene(follows=True) as here, asyncio.TaskGroup() as group:
        put = group.create_task(refused(here.lines.ask(command.put("k", b"v", 9))))
        peer, _ = await here.redis.heard()
        peer.say(b"-READONLY it was a master\r\n")
        await put
        await peer.ended()
        assert (here.health.refused, here.health.failed) == (0, 1)
        assert here.standings == []


async def test_lines_to_where_the_master_was_are_not_used_any_more() -> None:
    async with scene(most=2) as here, cranked_redis() as elsewhere, asyncio.TaskGroup() as group:
        old = group.create_task(here.lines.ask(command.get("old")))
        peer, _ = await here.redis.heard()
        here.port = elsewhere.port
        new = group.create_task(here.lines.ask(command.get("new")))
        other, _ = await elsewhere.heard()
        peer.say(value(b"from there"))
        assert await old == b"from there"
        await peer.ended()
        other.say(NOTHING)
        await new


async def test_a_line_that_ended_while_nobody_used_it_is_no_failure() -> None:
    async with scene() as here, asyncio.TaskGroup() as group:
        await warm(here, 2)
        for peer in here.redis.peers:
            peer.hang_up()
        await asyncio.gather(*(line.ended for line in here.made))
        asked = group.create_task(here.lines.ask(command.get("k")))
        peer, _ = await here.redis.heard()
        peer.say(value(b"v"))
        assert await asked == b"v"
        assert here.health.failed == 0


# -- no line -----------------------------------------------------------------------------------


async def test_if_no_line_can_be_made_who_waits_is_told_at_once() -> None:
    async def dial() -> Line:
        raise OSError("nobody there")

    async with scene(dial=dial) as here:
        for failures in range(1, 6):
            with pytest.raises(TierError, match="nobody there"):
                await here.lines.ask(command.get("k"))
            assert here.health.sent == here.health.failed == failures
        assert here.standings == [Standing.OFF]


async def test_a_line_that_is_not_made_in_time_delays_nobody_longer_and_is_a_failure() -> None:
    async def dial() -> Line:
        await asyncio.Event().wait()
        raise AssertionError

    async with scene(dial=dial, answer_s=0.01) as here:
        for _ in range(5):
            await refused(here.lines.ask(command.get("k")))
        assert here.standings == [Standing.OFF]
        assert here.health.late == 5
        assert here.health.sent == 0


async def test_a_line_that_cannot_be_made_is_a_failure_though_nobody_waits_any_more() -> None:
    async def dial() -> Line:
        await asyncio.Event().wait()
        raise AssertionError

    async with scene(dial=dial, limit_s=0.01) as here:
        for _ in range(5):
            await refused(here.lines.ask(command.get("k")))
        assert here.standings == [Standing.OFF]
        assert here.health.late == 0


async def test_those_who_wait_for_a_line_can_be_turned_away() -> None:
    async with scene(most=1) as here, asyncio.TaskGroup() as group:
        sent = group.create_task(here.lines.ask(command.get("sent")))
        peer, _ = await here.redis.heard()
        waiting = [group.create_task(refused(here.lines.ask(command.get("k")))) for _ in range(70)]
        await settle()
        assert here.lines.turn_away() == 70
        await asyncio.wait(waiting)
        peer.say(value(b"v"))
        assert await sent == b"v"
        assert here.redis.quiet


# -- the end -----------------------------------------------------------------------------------


async def test_close_waits_for_what_was_asked_then_ends_the_lines() -> None:
    async with scene() as here, asyncio.TaskGroup() as group:
        asked = group.create_task(here.lines.ask(command.put("k", b"v", 9), rides=True))
        await settle()
        closing = group.create_task(here.lines.close())
        peer, _ = await here.redis.heard()
        assert not closing.done()
        peer.say(DONE)
        await closing
        assert await asked is None
        await peer.ended()


async def test_close_waits_no_longer_than_an_answer_may_take() -> None:
    async with scene(most=1, answer_s=BUDGET_S) as here:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(refused(here.lines.ask(command.get("k"), patient=True)))
                await settle()
            peer, _ = await here.redis.heard()
            await here.lines.close()
        await peer.ended()


async def test_close_ends_lines_that_are_being_made() -> None:
    begun = asyncio.Event()

    async def dial() -> Line:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with scene(dial=dial, answer_s=BUDGET_S) as here, asyncio.TaskGroup() as group:
        asked = group.create_task(refused(here.lines.ask(command.get("k"), patient=True)))
        await begun.wait()
        await here.lines.close()
        await asked


async def test_close_has_no_line_made_for_what_was_still_waiting() -> None:
    begun, cut, let = asyncio.Event(), asyncio.Event(), asyncio.Event()
    dials = 0

    async def dial() -> Line:
        nonlocal dials
        dials += 1
        if dials == 1:
            return await here.dial()
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()
            await let.wait()  # it takes a moment to give up
        raise AssertionError

    async with scene(most=2, answer_s=BUDGET_S, dial=dial) as here:
        async with asyncio.TaskGroup() as group:
            group.create_task(refused(here.lines.ask(command.get("k"), patient=True)))
            peer, _ = await here.redis.heard()
            for _ in range(65):  # two batches
                group.create_task(refused(here.lines.ask(command.get("k"), patient=True)))
            await begun.wait()
            peer.say(b"*1\r\n")  # which is odd: the line ends when it is there
            group.create_task(drip(peer, cut))
            closing = group.create_task(here.lines.close())
            await peer.ended()
            let.set()
            await closing
        assert dials == 2

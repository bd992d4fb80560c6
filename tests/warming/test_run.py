from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from support.started import started

from proxy.calling import Heard, Question, Unheard
from proxy.warming.done import Done
from proxy.warming.run import Tally, Warming, wait


def question(number: int) -> Question:
    return Question("POST", f"/{number}", (), b"")


def heard(status: int = 200, verdict: str = "miss", **more: float | None) -> Heard:
    return Heard(status, verdict, "unseen", True, 0.1, 0.1, 10, **more)


class Front:
    """Says what it is told to, by path, in turn; the last is said again."""

    def __init__(self, **said: list[Heard | Exception]) -> None:
        self.asked: list[str] = []
        self.under_way = self.most_under_way = 0
        self._said = said

    async def ask(self, question: Question) -> Heard:
        name = question.path[1:]
        self.asked.append(name)
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        left = self._said.get(f"q{name}", [heard()])
        said = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(said, Exception):
            raise said
        return said


class Time:
    """A clock that moves when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now

    async def waits_for(self, seconds: float, stop: asyncio.Event) -> None:
        self.waits.append(round(seconds, 3))
        self.on_wait()
        if not stop.is_set():
            self.now += seconds
        await asyncio.sleep(0)


def warming(
    front: Front,
    time: Time | None = None,
    done: Done | None = None,
    *,
    concurrency: int = 1,
    rate: float | None = None,
    retries: int = 3,
) -> Warming:
    time = time or Time()
    return Warming(
        front, done if done is not None else Done(), concurrency=concurrency, rate=rate,
        retries=retries, clock=time.clock, dice=lambda: 1.0, waits=time.waits_for,
    )  # fmt: skip


def some(count: int) -> Iterator[tuple[int, Question | None]]:
    return iter([(number, question(number)) for number in range(count)])


async def test_all_are_asked_once_so_many_at_a_time() -> None:
    front, done = Front(), Done()
    run = warming(front, done=done, concurrency=4)
    await run.run(some(20))
    assert sorted(map(int, front.asked)) == list(range(20))
    assert front.most_under_way == 4
    assert done.ranges == [(0, 19)]
    assert (run.tally.fetched, run.tally.stored, run.tally.answered) == (20, 20, 20)


async def test_what_is_done_is_not_asked_and_what_is_no_question_is_counted() -> None:
    front, done = Front(), Done([(0, 1)])
    run = warming(front, done=done)
    await run.run(iter([(0, question(0)), (1, None), (2, None), (3, question(3))]))
    assert front.asked == ["3"]
    assert run.tally.unreadable == run.tally.troubles == 1
    assert done.ranges == [(0, 1), (3, 3)]


async def test_every_sort_of_answer_is_counted() -> None:
    front = Front(
        q0=[heard(verdict="hit")], q1=[heard(verdict="stale")], q2=[heard(verdict="coalesced")],
        q3=[heard(verdict="bypass")], q4=[heard(verdict="")], q5=[heard(400)],
    )  # fmt: skip
    run = warming(front)
    await run.run(some(6))
    tally = run.tally
    assert (tally.hits, tally.bypassed, tally.plain, tally.refused) == (3, 1, 1, 1)
    assert (tally.answered, tally.troubles) == (5, 1)
    assert dict(tally.reasons) == {"bypass: unseen": 1, "status 400": 1}


async def test_what_may_fare_better_later_is_asked_again_ever_later() -> None:
    time, done = Time(), Done()
    front = Front(q0=[Unheard("broke off"), heard(502), heard(500), heard()])
    run = warming(front, time, done)
    await run.run(some(1))
    assert front.asked == ["0"] * 4
    assert time.waits == [0.5, 1.0, 2.0]
    assert (run.tally.again, run.tally.failed, done.count) == (3, 0, 1)


async def test_who_says_when_to_come_back_is_obeyed_by_all() -> None:
    time = Time()
    front = Front(q0=[heard(429, retry_after_s=30.0), heard()])
    run = warming(front, time, concurrency=2)
    await run.run(some(6))
    assert max(time.waits) == 30.0
    assert time.now >= 30.0
    assert front.asked[:2] == ["0", "1"]
    # The other has asked at most what it had begun.
    assert run.tally.fetched == 6


async def test_no_server_can_ask_to_wait_for_ever() -> None:
    time = Time()
    await warming(Front(q0=[heard(503, retry_after_s=1e9), heard()]), time).run(some(1))
    assert max(time.waits) == 600.0


async def test_after_all_attempts_it_has_failed_and_is_not_done() -> None:
    done = Done()
    run = warming(Front(q1=[heard(503)]), done=done, retries=2)
    await run.run(some(3))
    assert (run.tally.failed, run.tally.again) == (1, 2)
    assert done.ranges == [(0, 0), (2, 2)]
    assert run.tally.reasons == {"status 503": 1}


async def test_the_rate_is_kept() -> None:
    time = Time()
    await warming(Front(), time, rate=10).run(some(11))
    assert time.now == pytest.approx(1.0)


async def test_without_credentials_there_is_no_point_in_going_on() -> None:
    done = Done()
    front = Front(q0=[heard(401)])
    run = warming(front, done=done)
    await run.run(some(5))
    assert front.asked == ["0"]
    assert "status 401" in run.given_up
    assert done.count == 0


async def test_when_nobody_is_there_it_gives_up() -> None:
    front = Front(**{f"q{n}": [Unheard("no connection")] for n in range(50)})
    run = warming(front, retries=0)
    await run.run(some(50))
    assert len(front.asked) == 20
    assert "no connection" in run.given_up


async def test_told_to_stop_it_lets_end_what_is_under_way_and_asks_no_more() -> None:
    done = Done()
    gate, busy = asyncio.Event(), asyncio.Event()

    class Slow(Front):
        async def ask(self, question: Question) -> Heard:
            self.asked.append(question.path)
            if len(self.asked) == 3:
                busy.set()
            await gate.wait()
            return heard()

    front = Slow()
    run = warming(front, done=done, concurrency=3)
    running = started(run.run(some(10)))
    await busy.wait()
    run.stop()
    gate.set()
    await running
    assert len(front.asked) == 3
    assert done.ranges == [(0, 2)]


@pytest.mark.parametrize("said", [[heard(503)], [Unheard("broke off")]])
async def test_told_to_stop_it_waits_no_longer(said: list[Heard | Exception]) -> None:
    time, done = Time(), Done()
    front = Front(q0=said)
    run = warming(front, time, done, retries=50)
    time.on_wait = run.stop
    await run.run(some(3))
    assert front.asked == ["0"]
    assert (done.count, run.tally.failed) == (0, 0)


async def test_told_to_stop_who_waits_for_his_turn_asks_nothing() -> None:
    time = Time()
    front = Front()
    run = warming(front, time, rate=1)
    time.on_wait = run.stop
    await run.run(some(3))
    assert front.asked == ["0"]


async def test_a_wait_ends_with_the_word_to_stop() -> None:
    stop = asyncio.Event()
    await wait(0.001, stop)
    stop.set()
    async with asyncio.timeout(5):
        await wait(1000, stop)


def test_reasons_are_counted_within_bounds() -> None:
    tally = Tally()
    for number in range(200):
        tally.note(f"status {number}")
    assert len(tally.reasons) == 101
    assert tally.reasons["other"] == 100

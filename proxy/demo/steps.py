"""The steps of the tour: each asks something, checks what came of it, and returns what it found.

Three witnesses are heard: the backend's own count of calls, the bytes that came, and what the proxy
says of itself. Every answer has an id of its own, so equal bytes are of one call. Where a witness
differs, a step raises NotAsTold.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from proxy.demo.caller import Caller, Heard, NotAsTold, question, respelled

CROWD: Final = 100  # callers at once
MIDDLE: Final = 12  # events of a stream after which somebody joins

_SHARED: Final = frozenset({"MISS", "COALESCED", "HIT"})
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_STAMPEDE: Final = "What is a cache stampede?"
_STREAM: Final = "How does a streamed answer arrive?"


class Visit:
    """A proxy under way: somebody to ask it, and a look at how often its backend was asked.

    Args:
        calls: how many calls the backend has had.
    """

    def __init__(self, caller: Caller, calls: Callable[[], int]) -> None:
        self.caller = caller
        self.ask = caller.ask
        self.calls = calls

    @contextmanager
    def asking_backend(self, times: int) -> Iterator[None]:
        """Meanwhile the backend must be asked so many times. Raises NotAsTold."""
        before = self.calls()
        yield
        asked = self.calls() - before
        if asked != times:
            raise NotAsTold(f"the backend was asked {_times(asked)}, not {_times(times)}")


async def unseen(visit: Visit) -> Heard:
    """A question nobody has asked yet: the backend answers."""
    with visit.asking_backend(1):
        heard = await visit.ask(question(_STAMPEDE))
    _told(heard, "MISS", "the first answer")
    return heard


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same question twice."""

    first: Heard
    again: Heard

    @property
    def times_as_fast(self) -> float:
        """How many times the first answer took as long."""
        return self.first.took_s / self.again.took_s


async def repeated(visit: Visit, first: Heard) -> Repeat:
    """The question of ``first`` again: the same answer to the byte, and the backend rests."""
    with visit.asking_backend(0):
        again = await visit.ask(question(_STAMPEDE))
    _same_bytes(again, first, "the repeated answer")
    _told(again, "HIT", "the repeated answer")
    return Repeat(first, again)


@dataclass(frozen=True, slots=True)
class Apart:
    """What counts as the same question, and what does not."""

    respelled: Heard
    other: Heard
    stranger: Heard


async def told_apart(visit: Visit, first: Heard) -> Apart:
    """The question of ``first`` in other JSON is the same; another question or caller is not."""
    with visit.asking_backend(0):
        same = await visit.ask(respelled(question(_STAMPEDE)))
    _same_bytes(same, first, "the answer to the same question in other JSON")
    _told(same, "HIT", "the answer to the same question in other JSON")
    with visit.asking_backend(1):
        other = await visit.ask(question("What is the weather like?"))
    if other.answer.text == first.answer.text:
        raise NotAsTold("another question got the answer to the first")
    _told(other, "MISS", "the answer to another question")
    with visit.asking_backend(1):
        stranger = await visit.ask(question(_STAMPEDE), credential="grace")
    if stranger.answer.id == first.answer.id:
        raise NotAsTold("another caller got the first caller's answer")
    _told(stranger, "MISS", "another caller's answer")
    return Apart(same, other, stranger)


@dataclass(frozen=True, slots=True)
class Crowd:
    """One question from many callers at once."""

    heard: list[Heard]

    @property
    def verdicts(self) -> Counter[str]:
        """How many were told what."""
        return Counter(heard.verdict for heard in self.heard)

    @property
    def took_s(self) -> float:
        """Seconds from the first who asked to the last who was answered."""
        return max(h.ended_at for h in self.heard) - min(h.asked_at for h in self.heard)


async def crowded(visit: Visit) -> Crowd:
    """A hundred ask the same at once: one call to the backend, and all hear its answer."""
    with visit.asking_backend(1):
        heard = await _together(*(visit.ask(question("What is a sidecar?")) for _ in range(CROWD)))
    for each in heard:
        _same_bytes(each, heard[0], "one of a hundred answers")
    crowd = Crowd(heard)
    verdicts = crowd.verdicts
    # Who comes when the answer is there already is told HIT, rightly.
    if verdicts["MISS"] != 1 or not verdicts["COALESCED"] or verdicts.keys() - _SHARED:
        raise NotAsTold(f"a hundred at once were told {dict(verdicts)}")
    return crowd


@dataclass(frozen=True, slots=True)
class Late:
    """A stream, heard by one from its beginning and by another who came in its middle."""

    early: Heard
    late: Heard

    @property
    def missed(self) -> int:
        """Events that were over when the late one asked."""
        return sum(moment < self.late.asked_at for moment in self.early.moments)

    @property
    def caught_up_at(self) -> float:
        """When the late one had heard what it had missed."""
        return self.late.moments[self.missed - 1]


async def joined_late(visit: Visit) -> Late:
    """One who joins a live stream hears it from its first byte, and then as it comes."""
    middle = asyncio.Event()

    def listening(count: int) -> None:
        if count >= MIDDLE:
            middle.set()

    async def begin() -> Heard:
        try:
            return await visit.ask(question(_STREAM, stream=True), listening=listening)
        finally:
            middle.set()

    async def join() -> Heard:
        await middle.wait()
        return await visit.ask(question(_STREAM, stream=True))

    with visit.asking_backend(1):
        early, late = await _together(begin(), join())
    _same_bytes(late, early, "the late joiner's stream")
    found = Late(early, late)
    if not found.caught_up_at < early.moments[-1]:
        raise NotAsTold("the late joiner had not caught up before the stream was over")
    midway = (found.missed + len(late.moments)) // 2  # through what was still to come
    if not late.moments[midway] < early.moments[-1]:
        raise NotAsTold("the late joiner heard the rest at once, not as it came")
    _told(early, "MISS", "the stream")
    _told(late, "COALESCED", "the late joiner's stream")
    return found


@dataclass(frozen=True, slots=True)
class Forms:
    """Stored answers in the form they were not stored in."""

    streamed: Heard  # stored as a document
    whole: Heard  # stored as a stream


async def reshaped(visit: Visit, document: Heard, stream: Heard) -> Forms:
    """A stored document is heard as a stream, and a stored stream as a document."""
    with visit.asking_backend(0):
        streamed = await visit.ask(question(_STAMPEDE, stream=True))
        whole = await visit.ask(question(_STREAM))
    _same_answer(streamed, document, _EVENTS, "the stream made of a document")
    _same_answer(whole, stream, _JSON, "the document made of a stream")
    return Forms(streamed, whole)


@dataclass(frozen=True, slots=True)
class Spent:
    """What answers cost."""

    calls: int
    seconds: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Savings:
    """What the visit cost the backend, and what it would have without a cache."""

    without: Spent
    spent: Spent


def saved(visit: Visit) -> Savings:
    """What was saved on all that has been asked so far.

    Seconds are those of the backend, as heard by who caused the call; each further answer of the
    same id would have taken it as long again.
    """
    heard = visit.caller.heard
    cost = {each.answer.id: each.took_s for each in heard if each.verdict == "MISS"}
    if visit.calls() != len(cost) or any(each.answer.id not in cost for each in heard):
        raise NotAsTold(f"{len(cost)} answers came of {_times(visit.calls())} asking the backend")
    bought = [each for each in heard if each.verdict == "MISS"]
    return Savings(_spent(heard, cost), _spent(bought, cost))


# The witnesses.


def _told(heard: Heard, verdict: str, what: str) -> None:
    if heard.verdict != verdict:
        found = f"X-Cache: {heard.verdict}" if heard.verdict else "no X-Cache"
        raise NotAsTold(f"{what} came with {found}, not {verdict}")


def _same_bytes(heard: Heard, other: Heard, what: str) -> None:
    if heard.body != other.body:
        raise NotAsTold(f"{what} is not the same to the byte")


def _same_answer(heard: Heard, stored: Heard, media_type: str, what: str) -> None:
    if heard.media_type != media_type:
        raise NotAsTold(f"{what} came as {heard.media_type}")
    if heard.answer != stored.answer:
        raise NotAsTold(f"{what} says something else")
    _told(heard, "HIT", what)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _spent(heard: list[Heard], cost: dict[str, float]) -> Spent:
    return Spent(
        calls=len(heard),
        seconds=sum(cost[each.answer.id] for each in heard),
        tokens=sum(each.answer.tokens for each in heard),
    )


async def _together(*asking: Coroutine[None, None, Heard]) -> list[Heard]:
    """What all of them heard, at once; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in asking]
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]

"""What every journal promises, wherever it is kept; each journal's tests inherit these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.base import Journal, Note

LIMIT_S = 30.0  # for what is bound to come; how fast this machine is says nothing
EVERYTHING = Purge(Kind.ALL)


class Reader:
    """Who reads a journal, and all that it has learned."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.notes: list[Note] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        await self.journal.start(self.learn)

    def learn(self, note: Note) -> None:
        self.notes.append(note)
        self._news.set()

    @property
    def numbers(self) -> list[int]:
        return [note.number for note in self.notes]

    @property
    def purges(self) -> list[Purge]:
        return [note.purge for note in self.notes]

    async def until(self, number: int) -> None:
        """Wait until it has learned of ``number``."""
        async with asyncio.timeout(LIMIT_S):
            while not self.numbers or self.numbers[-1] < number:
                self._news.clear()
                await self._news.wait()


Freeze = Callable[[], AbstractAsyncContextManager[Callable[[], None]]]


class Make(Protocol):
    """Gives a journal, not started yet, that waits so long for others to learn."""

    def __call__(self, replica: str, patience_s: float) -> Journal: ...


class Readers(Protocol):
    """Gives so many journals that were started at once, and have learned the first note."""

    def __call__(self, count: int, patience_s: float = LIMIT_S) -> Awaitable[Sequence[Reader]]: ...


def tag(value: object) -> Purge:
    return Purge(Kind.TAG, str(value))


class JournalContract:
    """To inherit: give ``make`` and ``freeze``. All of one test is on one medium, new at first."""

    @pytest.fixture
    def make(self) -> Make:
        raise NotImplementedError

    @pytest.fixture
    def freeze(self) -> Freeze:
        """Gives a context in which a replica called "frozen" has learned all, and hangs.

        What the context gives lets it go on.
        """
        raise NotImplementedError

    @pytest.fixture
    async def journals(self, make: Make) -> AsyncIterator[Readers]:
        readers: list[Reader] = []

        async def started(count: int, patience_s: float = LIMIT_S) -> Sequence[Reader]:
            names = [f"replica {len(readers) + i}" for i in range(count)]
            new = [Reader(make(name, patience_s)) for name in names]
            readers.extend(new)
            await asyncio.gather(*(reader.start() for reader in new))
            await asyncio.gather(*(reader.until(1) for reader in new))
            await asyncio.gather(*(self.writable(reader.journal) for reader in new))
            return new

        yield started
        await asyncio.gather(*(reader.journal.close() for reader in readers))

    async def writable(self, journal: Journal) -> None:
        """Wait until the journal takes purges, where that may be later than its first note."""

    async def test_it_has_a_name(self, make: Make) -> None:
        assert make("replica", LIMIT_S).name.isidentifier()

    async def test_its_first_note_covers_everything_from_before(self, journals: Readers) -> None:
        (one,) = await journals(1)
        assert one.purges == [EVERYTHING]
        assert one.numbers[0] > 0

    async def test_those_who_begin_it_at_once_learn_the_same_first_note(
        self, journals: Readers
    ) -> None:
        one, *others = await journals(5)
        assert len(one.notes) == 1
        assert all(other.notes == one.notes for other in others)

    async def test_what_one_writes_it_has_learned_when_that_returns(
        self, journals: Readers
    ) -> None:
        (one,) = await journals(1)
        number = await one.journal.append(tag("a"))
        assert one.notes[-1][:2] == (number, tag("a"))

    async def test_what_one_writes_the_other_learns_once_and_in_order(
        self, journals: Readers
    ) -> None:
        one, other = await journals(2)
        numbers = [await one.journal.append(tag(i)) for i in range(20)]
        await other.until(numbers[-1])
        assert numbers == sorted(set(numbers))
        assert other.numbers[1:] == numbers
        assert other.purges[1:] == [tag(i) for i in range(20)]
        assert other.notes == one.notes

    @pytest.mark.parametrize(
        "purge",
        [
            Purge(Kind.ALL, soft=True),
            Purge(Kind.KEY, "ab" * 32),
            Purge(Kind.MODEL, "modèle/\N{SNOWMAN} 🦜", soft=True),
            Purge(Kind.TAG, 'line\r\nfeed \0 "quoted" \\ \N{LINE SEPARATOR}'),
            Purge(Kind.SCOPE, ""),
            Purge(Kind.DIALECT, "openai_chat"),
            Purge(Kind.PATH, "/v1/\udcff%C3"),
            Purge(Kind.PATH, "/" + "x" * 8192),
        ],
    )
    async def test_nothing_of_a_purge_is_lost(self, journals: Readers, purge: Purge) -> None:
        one, other = await journals(2)
        await other.until(await one.journal.append(purge))
        assert other.purges == [EVERYTHING, purge]

    async def test_before_one_writes_it_has_learned_all_that_came_before(
        self, journals: Readers
    ) -> None:
        one, other = await journals(2)
        for i in range(10):
            await (one, other)[i % 2].journal.append(tag(i))
        assert other.purges[1:] == [tag(i) for i in range(10)]
        assert len(one.notes) >= 10
        assert one.notes == other.notes[: len(one.notes)]

    async def test_those_who_write_at_once_get_numbers_of_their_own_and_learn_one_order(
        self, journals: Readers
    ) -> None:
        readers = await journals(3)
        numbers = await asyncio.gather(
            *(reader.journal.append(tag(i)) for i in range(20) for reader in readers)
        )
        assert len(set(numbers)) == 60
        for reader in readers:
            await reader.until(max(numbers))
            assert reader.numbers[1:] == sorted(numbers)
            assert reader.notes == readers[0].notes

    async def test_who_comes_later_learns_all_from_the_first(self, journals: Readers) -> None:
        (one,) = await journals(1)
        for i in range(5):
            await one.journal.append(tag(i))
        (later,) = await journals(1)
        await later.until(one.numbers[-1])
        assert later.notes == one.notes

    async def test_it_outlives_all_who_share_it(self, journals: Readers) -> None:
        one, other = await journals(2)
        await one.journal.append(tag("a"))
        await other.journal.append(tag("b"))
        await one.journal.close()
        await other.journal.close()
        (later,) = await journals(1)
        await later.until(other.numbers[-1])
        assert later.notes == other.notes

    async def test_an_append_that_nobody_waits_for_is_learned_all_the_same_or_was_not_written(
        self, journals: Readers
    ) -> None:
        one, other = await journals(2)
        appending = asyncio.ensure_future(one.journal.append(tag("a")))  # noqa: TID251 - awaited below
        await asyncio.sleep(0)
        appending.cancel()
        await asyncio.wait((appending,))
        await other.until(await one.journal.append(tag("b")))
        assert one.notes == other.notes
        assert one.purges in ([EVERYTHING, tag("b")], [EVERYTHING, tag("a"), tag("b")])

    # -- who has learned ----------------------------------------------------------------------

    async def test_nobody_is_absent_once_all_have_learned(self, journals: Readers) -> None:
        one, *others = await journals(3)
        number = await one.journal.append(tag("a"))
        assert list(await one.journal.absent(number)) == []
        assert all(other.numbers[-1] == number for other in others)

    async def test_who_was_closed_is_not_absent(self, journals: Readers) -> None:
        one, other = await journals(2)
        await other.journal.close()
        assert list(await one.journal.absent(await one.journal.append(tag("a")))) == []

    async def test_who_hangs_is_absent_until_it_goes_on(
        self, journals: Readers, freeze: Freeze
    ) -> None:
        one, _ = await journals(2, 0.2)
        async with freeze() as thaw:
            number = await one.journal.append(tag("a"))
            (silent_s,) = [
                absent.silent_s
                for absent in await one.journal.absent(number)
                if absent.replica == "frozen"
            ]
            assert 0.0 <= silent_s < 60.0
            thaw()
            async with asyncio.timeout(LIMIT_S):
                while True:
                    if not await one.journal.absent(number):
                        break
                    await asyncio.sleep(0.02)  # the other needs the processor to go on

    # -- the end ------------------------------------------------------------------------------

    async def test_who_is_closed_learns_no_more_and_cannot_write(self, journals: Readers) -> None:
        one, other = await journals(2)
        await other.journal.close()
        await other.journal.close()
        number = await one.journal.append(tag("a"))
        assert other.purges == [EVERYTHING]
        with pytest.raises(TierError):
            await other.journal.append(tag("b"))
        with pytest.raises(TierError):
            await other.journal.absent(number)

    async def test_who_was_never_started_can_be_closed_and_cannot_write(self, make: Make) -> None:
        journal = make("replica", LIMIT_S)
        with pytest.raises(TierError):
            await journal.append(tag("a"))
        await journal.close()

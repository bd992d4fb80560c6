"""A flight that another replica leads, letter by letter."""

from __future__ import annotations

from typing import Any

import pytest
from support.cranked import OK, settle
from support.started import started

from proxy.fleet.content import failure_as_bytes, head_as_bytes
from proxy.fleet.counts import Counts
from proxy.fleet.follower import Following
from proxy.fleet.letter import NAME_BYTES, Kind, Sealing, read_letter
from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.errors import BrokenReply, ConnectTimeout, FirstByteTimeout, NoReply
from proxy.model.meeting import Alone, Begun, GivenUp, Joined, Stored

HEAD = head_as_bytes(Begun(OK, None, 7.0))
LONG_S = 20.0


class Told:
    """A follower, and the leader whose letters a test writes."""

    def __init__(self, silent_s: float = LONG_S) -> None:
        self.conversation = Sealing(b"secret").between(
            b"f" * NAME_BYTES, b"o" * NAME_BYTES, CacheKey("anon", b"k" * 32)
        )
        self.counts = Counts()
        self.ended: list[bool] = []
        self.following = Following(
            "leader", self.conversation, self.counts, silent_s=silent_s, ended=self.ended.append
        )
        self.number = 0

    def tell(self, kind: Kind, content: bytes = b"", *, number: int | None = None) -> None:
        if number is not None:
            self.number = number
        letter = read_letter(self.conversation.write(kind, self.number, content))
        assert letter is not None
        self.following.receive(letter)
        self.number += 1

    def begin(self) -> None:
        self.tell(Kind.HERE)
        self.tell(Kind.HEAD, HEAD)

    async def meet(self, answer_s: float = LONG_S) -> Any:
        return await self.following.meet(answer_s)

    async def heard(self) -> bytes:
        return b"".join([piece async for piece in self.following.chunks()])


async def test_an_answer_begins_with_its_first_piece_and_not_with_its_head():
    told = Told()
    meeting = started(told.meet())
    told.begin()
    await settle()
    assert not meeting.done()
    told.tell(Kind.PIECE, b"a")
    met = await meeting
    assert isinstance(met, Joined)
    assert met.arrival is told.following
    assert 7.0 <= met.asked_s < 60.0
    assert (told.following.head, told.following.length) == (OK, None)
    assert not told.following.delimited
    for kind, content in ((Kind.BEAT, b""), (Kind.PIECE, b"b"), (Kind.END, b"")):
        told.tell(kind, content)
    assert await told.heard() == b"ab"
    told.following.close()
    told.following.close()
    assert told.ended == [False]


async def test_an_empty_answer_begins_with_its_end():
    told = Told()
    told.begin()
    told.tell(Kind.END)
    assert isinstance(await told.meet(), Joined)
    assert await told.heard() == b""


@pytest.mark.parametrize(
    ("letters", "met"),
    [
        ([(Kind.NO, b"")], None),
        ([(Kind.HERE, b""), (Kind.STORED, b"")], Stored()),
        ([(Kind.HERE, b""), (Kind.BEAT, b""), (Kind.GIVEN_UP, b"vary")], GivenUp(Why.VARY)),
        ([(Kind.HERE, b""), (Kind.FAILED, failure_as_bytes(BrokenReply("called off")))], None),
        ([(Kind.HERE, b""), (Kind.FAILED, failure_as_bytes(ConnectTimeout("in 3 s")))], Alone()),
        ([(Kind.HERE, b""), (Kind.HEAD, b"?"), (Kind.PIECE, b"a")], None),
        ([(Kind.HERE, b""), (Kind.HEAD, HEAD), (Kind.BROKEN, b"")], None),
        ([(Kind.PIECE, b"a")], None),
    ],
)
async def test_what_else_may_come_of_it(letters, met):
    told = Told()
    for letter in letters:
        told.tell(*letter)
    assert await told.meet() == met


async def test_a_call_that_failed_elsewhere_failed():
    told = Told()
    told.tell(Kind.HERE)
    told.tell(Kind.FAILED, failure_as_bytes(FirstByteTimeout("in 3 s")))
    with pytest.raises(FirstByteTimeout, match="in 3 s"):
        await told.meet()


async def test_who_does_not_answer_or_says_no_more_before_the_body_is_nobody_to_wait_for():
    assert await Told().meet(0.001) is None
    told = Told(silent_s=0.001)
    told.tell(Kind.HERE)
    assert await told.meet() is None
    told.following.close()
    assert told.ended == [True]
    told = Told(silent_s=0.001)
    told.begin()
    assert await told.meet() is None


async def test_a_letter_that_comes_again_is_heard_once():
    told = Told()
    told.begin()
    for number, piece in ((2, b"a"), (3, b"b"), (2, b"a"), (3, b"b"), (4, b"c")):
        told.tell(Kind.PIECE, piece, number=number)
    told.tell(Kind.END)
    assert isinstance(await told.meet(), Joined)
    assert await told.heard() == b"abc"


@pytest.mark.parametrize("number", [4, 5, 2**40])
async def test_a_letter_that_is_missing_breaks_it_off(number):
    told = Told()
    told.begin()
    told.tell(Kind.PIECE, b"a")
    assert isinstance(await told.meet(), Joined)
    told.tell(Kind.PIECE, b"b", number=number)
    told.tell(Kind.END, number=3)
    with pytest.raises(BrokenReply, match="lost"):
        await told.heard()
    assert told.counts.broken == 1
    told.following.close()
    assert told.ended == [True]  # it need not go on


async def test_silence_breaks_it_off():
    told = Told(silent_s=0.001)
    told.begin()
    told.tell(Kind.PIECE, b"a")
    assert isinstance(await told.meet(), Joined)
    with pytest.raises(BrokenReply, match="silent"):
        await told.heard()


async def test_what_broke_off_there_is_broken_off_here_with_the_same_error():
    told = Told()
    told.begin()
    told.tell(Kind.PIECE, b"a")
    assert isinstance(await told.meet(), Joined)
    told.tell(Kind.BROKEN, failure_as_bytes(NoReply("gone")))
    with pytest.raises(NoReply, match="gone"):
        await told.heard()


async def test_what_nobody_reads_is_bounded():
    told = Told()
    told.begin()
    for _ in range(100):
        told.tell(Kind.PIECE, b"x" * 100_000)
    assert isinstance(await told.meet(), Joined)
    with pytest.raises(BrokenReply, match="slow"):
        await told.heard()


async def test_to_be_cut_off_ends_the_wait_for_what_has_not_begun_and_nothing_else():
    told = Told()
    told.tell(Kind.HERE)
    told.following.cut_off()
    assert await told.meet() is None
    told = Told()
    told.begin()
    told.tell(Kind.PIECE, b"a")
    assert isinstance(await told.meet(), Joined)
    told.following.cut_off()
    told.tell(Kind.PIECE, b"b")
    told.tell(Kind.END)
    assert await told.heard() == b"ab"


async def test_who_is_gone_breaks_off_what_was_not_told_to_its_end() -> None:
    told = Told()
    told.tell(Kind.HERE)
    told.following.lost()
    assert await told.meet() is None
    told = Told()
    told.begin()
    told.tell(Kind.PIECE, b"a")
    told.following.lost()
    assert isinstance(await told.meet(), Joined)
    pieces = told.following.chunks()
    assert await anext(pieces) == b"a"
    with pytest.raises(BrokenReply, match="gone"):
        await anext(pieces)
    told = Told()
    told.begin()
    told.tell(Kind.PIECE, b"a")
    told.tell(Kind.END)
    told.following.lost()
    assert isinstance(await told.meet(), Joined)
    assert await told.heard() == b"a"


async def test_the_head_of_what_has_not_begun_is_not_to_be_asked_for():
    with pytest.raises(RuntimeError):
        _ = Told().following.head

"""The express lane by itself: what it remembers, what that takes, and what it tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic

import pytest
from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.downstream.body import NO_BODY
from proxy.downstream.express import Express
from proxy.downstream.limits import Limits
from proxy.downstream.request import Origin
from proxy.downstream.service import Attending, DateLine, Service
from proxy.model.decision import Why
from proxy.model.message import Duplex, Head, Headers, Request
from proxy.model.outcome import Outcome, Record, Reply, Verdict

HIT = Outcome(Verdict.HIT, Why.FRESH)
TIMING = ("Server-Timing", "sidecache;dur=0.000")
REQUEST = Request("POST", "/chat", "", Headers(()), NO_BODY, "10.0.0.1", "http")
LENT = 1500  # for the objects of a place; see ``Express``


def reply(body: bytes = b"answer", *fields: tuple[str, str], outcome: Outcome = HIT) -> Reply:
    head = Head(200, "OK", Headers([*fields, TIMING]))
    return Reply(head, body, len(body), outcome)


class Repeats:
    """What gives a reply again; it says ``now``, and counts who asks."""

    def __init__(self, now: Reply | None = None, size: int = 100) -> None:
        self.now = reply() if now is None else now
        self.holds = True
        self.fault: Exception | None = None
        self.size = size
        self.asked: list[str] = []

    def reply(self, peer: str, asked: Callable[[], Request] | None = None) -> Reply | None:
        self.asked.append(peer)
        if self.fault is not None:
            raise self.fault
        return self.now if self.holds else None


class Line:
    """A connection that takes what is written, if it does."""

    def __init__(self, peer: str = "10.0.0.1", scheme: str = "http") -> None:
        self.origin = Origin(peer, scheme)
        self.has_taken_all = True
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Lane:
    """An express lane with nothing around it."""

    def __init__(self, max_bytes: int = 2**20) -> None:
        self.wall = 1e9
        self.told: list[tuple[Record, list[float], float]] = []
        self.lent = 0
        self.fault: Exception | None = None
        self.service = Service(attending(), lambda _record: None, DateLine(lambda: self.wall))
        self.express = self.service.express = Express(
            self.service,
            tell=self._tell,
            wall=lambda: self.wall,
            lend=self._lend,
            max_bytes=max_bytes,
        )
        self.line = Line()
        self.enough: tuple[int, asyncio.Event] | None = None

    async def until(self, count: int) -> None:
        """Wait until so many requests were told."""
        self.enough = (count, asyncio.Event())
        async with asyncio.timeout(10):
            await self.enough[1].wait()

    def _tell(self, record: Record, more: Sequence[float], since: float) -> None:
        if self.fault is not None:
            raise self.fault
        self.told.append((record, list(more), since))
        if self.enough is not None and self.count >= self.enough[0]:
            self.enough[1].set()

    def _lend(self, size: int) -> None:
        self.lent += size
        assert 0 <= self.lent <= self.express.max_bytes or size < 0

    def hear(self, data: bytes, repeats: Repeats | None, times: int = 2, **more: object) -> Repeats:
        """Have ``data`` answered on the ordinary way so many times."""
        repeats = Repeats() if repeats is None else repeats
        for _ in range(times):
            given = repeats.now._replace(again=repeats, **more)
            self.learn(parsed(b"X-Question", data), data, given)
        return repeats

    def learn(
        self, message: RawRequestMessage, data: bytes, given: Reply, request: Request = REQUEST
    ) -> None:
        """Answer a request that was parsed on the ordinary way."""
        if sight := self.express.sight(message, data):
            self.express.learn(sight, request, given)

    def ask_parsed(self, message: RawRequestMessage, data: bytes) -> bool:
        sight = self.express.sight(message, data)
        return sight is not None and self.express.answer_parsed(sight, self.line)

    def ask(self, data: bytes = b"q", line: Line | None = None) -> bool:
        return self.express.answer(data, line or self.line)

    @property
    def count(self) -> int:
        """How many requests were told."""
        return sum(1 + len(more) for _, more, _ in self.told)


def parsed(*field: bytes, path: str = "/chat") -> RawRequestMessage:
    """A request with the fields that are given by names and values in turn."""
    fields = tuple(zip(field[::2], field[1::2], strict=True))
    names = CIMultiDictProxy(CIMultiDict((n.decode(), v.decode("latin-1")) for n, v in fields))
    return RawRequestMessage(
        "POST", path, HttpVersion11, names, fields, False, None, False, False, URL(path)
    )


def attending() -> Attending:
    async def answer(_request: Request) -> Reply:
        raise AssertionError("nobody asks here")

    async def tunnel(_request: Request) -> Duplex | Reply:
        raise AssertionError("nor here")

    return Attending(answer, tunnel, Limits(), ignores=lambda name: name == "traceparent")


@pytest.fixture
async def lane() -> Lane:
    return Lane()


# -- what is remembered ---------------------------------------------------------------------------


async def test_what_was_heard_twice_is_answered_the_third_time(lane: Lane) -> None:
    assert not lane.ask()
    lane.hear(b"q", None, times=1)
    assert not lane.ask()
    assert len(lane.express) == 0
    repeats = lane.hear(b"q", None, times=1)
    assert lane.ask()
    assert repeats.asked == ["10.0.0.1"]
    assert not lane.ask(b"q ")
    (written,) = lane.line.written
    head, _, body = written.partition(b"\r\n\r\n")
    assert body == b"answer"
    fields = head.split(b"\r\n")
    assert fields[0] == b"HTTP/1.1 200 OK"
    assert fields[1].startswith(b"Server-Timing: sidecache;dur=0.")
    assert fields[2:] == [b"Content-Length: 6", b"Date: Sun, 09 Sep 2001 01:46:40 GMT"]
    assert (lane.express.hits, lane.service.counts.received, lane.service.counts.requests) == (
        1, 1, 1,
    )  # fmt: skip


async def test_requests_that_change_each_time_fill_nothing(lane: Lane) -> None:
    for number in range(20_000):
        lane.hear(b"q%d" % number, None, times=1)
    assert (len(lane.express), lane.express.bytes, lane.lent) == (0, 0, 0)


async def test_what_cannot_be_given_again_is_not_remembered(lane: Lane) -> None:
    for _ in range(3):
        lane.learn(parsed(b"X-Question", b"q"), b"q", reply())
    assert len(lane.express) == 0


@pytest.mark.parametrize(
    ("asked", "answered", "kept"),
    [(65_536, 10, True), (65_537, 10, False), (10, 57_344, True), (10, 57_345, False)],
)
async def test_what_is_long_goes_the_ordinary_way(
    lane: Lane, asked: int, answered: int, kept: bool
) -> None:
    lane.hear(bytes(asked), Repeats(reply(bytes(answered))))
    assert lane.ask(bytes(asked)) is kept
    assert lane.lent == lane.express.bytes == (2 * asked + 100 + answered + LENT if kept else 0)


async def test_nothing_longer_is_written_than_a_socket_takes_at_once(lane: Lane) -> None:
    long = reply(bytes(57_344), ("X-Long", "l" * 8_200))
    lane.hear(b"q", Repeats(long))
    assert not lane.ask()
    assert (len(lane.express), lane.lent, lane.line.written) == (0, 0, [])
    short = reply(bytes(57_344), ("X-Long", "l" * 7_900))
    lane.hear(b"r", Repeats(short))
    assert lane.ask(b"r")
    assert 65_000 < len(lane.line.written[0]) <= 65_536


@pytest.mark.parametrize(
    "odd",
    [
        Reply(Head(200, "OK", Headers(())), b"answer", 6, HIT),  # without the time it takes
        reply(b"answer", ("X", "a\r\nb")),
        reply()._replace(length=7),
        reply()._replace(close=True),
        reply()._replace(body=NO_BODY.pieces()),
    ],
    ids=["untimed", "two lines", "another length", "the last", "a stream"],
)
async def test_a_reply_that_cannot_be_written_so_is_left_to_the_ordinary_way(
    lane: Lane, odd: Reply
) -> None:
    lane.hear(b"q", Repeats(odd))
    assert not lane.ask()
    assert (len(lane.express), lane.lent, lane.line.written) == (0, 0, [])


# -- whom it answers ------------------------------------------------------------------------------


async def test_who_has_not_taken_all_goes_the_ordinary_way(lane: Lane) -> None:
    repeats = lane.hear(b"q", None)
    lane.line.has_taken_all = False
    assert not lane.ask()
    assert repeats.asked == []
    lane.line.has_taken_all = True
    assert lane.ask()


async def test_the_same_bytes_by_another_scheme_are_another_request(lane: Lane) -> None:
    lane.hear(b"q", None)
    assert not lane.ask(line=Line(scheme="https"))
    assert lane.ask()


async def test_settings_that_change_and_a_stop_are_obeyed_at_once(lane: Lane) -> None:
    lane.hear(b"q", None)
    lane.service.attend(attending())
    assert (len(lane.express), lane.lent) == (0, 0)
    assert not lane.ask()
    lane.hear(b"q", None, times=1)  # it is known that it was heard before
    assert lane.ask()
    lane.service.attending = attending()  # without a word
    assert not lane.ask()
    assert len(lane.express) == 0
    lane.hear(b"q", None, times=1)
    lane.service.draining = True
    assert not lane.ask()
    assert (len(lane.express), lane.lent) == (0, 0)


async def test_what_holds_no_longer_is_forgotten_and_told(lane: Lane) -> None:
    repeats = lane.hear(b"q", None)
    assert lane.ask()
    repeats.holds = False
    assert not lane.ask()
    assert (len(lane.express), lane.lent, lane.count) == (0, 0, 1)
    assert not lane.ask()
    assert len(repeats.asked) == 2


async def test_what_fails_in_a_way_nobody_foresaw_goes_the_ordinary_way(
    lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    repeats = lane.hear(b"q", None)
    repeats.fault = ValueError("a secret")
    assert not lane.ask()
    assert (len(lane.express), lane.lent, lane.line.written) == (0, 0, [])
    assert lane.service.counts.bugs == 1
    assert lane.service.counts.received == 0
    assert "ValueError" in caplog.text
    assert "a secret" not in caplog.text


async def test_a_reply_that_changes_is_written_anew_and_told_apart(lane: Lane) -> None:
    repeats = lane.hear(b"q", Repeats(reply(b"one")))
    assert lane.ask()
    repeats.now = reply(b"two!", ("Age", "1"), outcome=HIT._replace(age_s=1.0))
    assert lane.ask()
    assert lane.ask()
    assert [each.partition(b"\r\n\r\n")[2] for each in lane.line.written] == [
        b"one",
        b"two!",
        b"two!",
    ]
    assert b"Age: 1\r\n" in lane.line.written[2]
    lane.express.flush()
    assert [(each.outcome.age_s, each.delivery.sent, len(more)) for each, more, _ in lane.told] == [
        (None, 3, 0), (1.0, 4, 1),
    ]  # fmt: skip


async def test_the_date_is_that_of_the_answer(lane: Lane) -> None:
    lane.hear(b"q", None)
    assert lane.ask()
    lane.wall += 1.0
    assert lane.ask()
    assert [b"01:46:40" in each for each in lane.line.written] == [True, False]
    assert b"Date: Sun, 09 Sep 2001 01:46:41 GMT\r\n" in lane.line.written[1]


# -- what it takes --------------------------------------------------------------------------------

SIZE = 2 * 2 + 100 + 6 + LENT  # of a place that ``fill`` makes


def fill(lane: Lane, *names: bytes) -> None:
    for name in names:
        lane.hear(name, None)


async def test_it_takes_no_more_than_it_may_and_gives_all_of_it_back() -> None:
    lane = Lane(3 * SIZE + 10)
    fill(lane, b"q1", b"q2", b"q3")
    assert (len(lane.express), lane.lent, lane.express.bytes) == (3, 3 * SIZE, 3 * SIZE)
    fill(lane, b"q4")
    assert (len(lane.express), lane.lent, lane.express.bytes) == (3, 3 * SIZE, 3 * SIZE)
    lane.express.clear()
    assert (len(lane.express), lane.lent, lane.express.bytes) == (0, 0, 0)


async def test_who_was_asked_for_since_stays_and_the_oldest_of_the_others_goes() -> None:
    lane = Lane(3 * SIZE)
    fill(lane, b"q1", b"q2", b"q3")
    assert lane.ask(b"q1")
    fill(lane, b"q4")
    assert [lane.ask(each) for each in (b"q1", b"q2", b"q3", b"q4")] == [True, False, True, True]
    fill(lane, b"q5")  # all were asked for: once round, and then who came first
    assert len(lane.express) == 3
    assert lane.ask(b"q5")


async def test_who_goes_is_told_first() -> None:
    lane = Lane(SIZE)
    fill(lane, b"q1")
    assert lane.ask(b"q1")
    fill(lane, b"q2")
    assert (len(lane.express), lane.count) == (1, 1)


async def test_what_could_never_fit_makes_nobody_go() -> None:
    lane = Lane(3 * SIZE)
    fill(lane, b"q1", b"q2", b"q3")
    lane.hear(b"too much", Repeats(size=3 * SIZE))
    assert (len(lane.express), lane.lent) == (3, 3 * SIZE)


async def test_a_lower_bound_holds_at_once_however_many_there_are() -> None:
    lane = Lane(300 * SIZE)
    names = [b"%02x" % number for number in range(250)]
    fill(lane, *names)
    assert len(lane.express) == 250
    assert all(lane.ask(each) for each in names[100:])
    lane.express.limit(3 * SIZE)
    assert (len(lane.express), lane.lent, lane.express.max_bytes) == (3, 3 * SIZE, 3 * SIZE)
    lane.express.limit(0)
    fill(lane, b"q1")
    assert (len(lane.express), lane.lent) == (0, 0)
    lane.express.limit(3 * SIZE)
    fill(lane, b"q1")
    assert lane.ask(b"q1")


async def test_once_closed_it_stays_so_whatever_it_may_take(lane: Lane) -> None:
    lane.hear(b"q", None)
    lane.express.close()
    lane.express.close()
    lane.express.limit(2**20)
    lane.hear(b"q", None)
    assert not lane.ask()
    assert (len(lane.express), lane.lent, lane.express.max_bytes) == (0, 0, 0)


# -- what it tells --------------------------------------------------------------------------------


async def test_requests_alike_are_told_together_within_a_second_or_so(lane: Lane) -> None:
    lane.hear(b"q", None)
    lane.hear(b"r", None)
    began = monotonic()
    assert lane.ask()
    lane.wall += 0.5
    assert lane.ask()
    assert lane.ask(b"r")
    assert lane.told == []
    await lane.until(3)
    assert 0.99 <= monotonic() - began < 8.0  # on a machine that does much else
    (record, more, since), (other, rest, later) = lane.told
    assert (record.outcome, len(more), since) == (HIT, 1, 1e9)
    assert (other.delivery.sent, rest, later) == (6, [], 1e9 + 0.5)
    took_s = record.delivery.duration_s
    assert record.delivery == other.delivery._replace(duration_s=took_s)
    assert all(0 < each < 1 for each in (took_s, *more))


async def test_many_are_told_at_once(lane: Lane) -> None:
    lane.hear(b"q", None)
    for _ in range(1024):
        assert lane.count == 0
        assert lane.ask()
    assert lane.count == 1024
    assert lane.ask()
    lane.express.flush()
    assert lane.count == 1025


async def test_each_client_is_told_of_by_its_own_address(lane: Lane) -> None:
    lane.hear(b"q", None)
    for peer in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3", "10.0.0.2"):
        assert lane.ask(line=Line(peer))
    lane.express.flush()
    told = {record.request.peer: 1 + len(more) for record, more, _ in lane.told}
    assert told == {"10.0.0.1": 2, "10.0.0.2": 2, "10.0.0.3": 1}


async def test_each_is_told_once_whatever_becomes_of_it(lane: Lane) -> None:
    lane.hear(b"q", None)
    lane.hear(b"r", None)
    assert lane.ask()
    assert lane.ask(b"r")
    lane.express.flush()
    assert lane.count == 2
    assert lane.ask()
    lane.express.clear()
    assert lane.count == 3
    lane.hear(b"q", None, times=1)
    assert lane.ask()
    lane.express.close()
    assert lane.count == 4
    lane.express.flush()
    assert lane.count == 4


async def test_who_is_told_and_fails_fails_no_request(
    lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    lane.hear(b"q", None)
    assert lane.ask()
    lane.fault = RuntimeError("a secret")
    with caplog.at_level(logging.ERROR):
        lane.express.flush()
    assert lane.service.counts.bugs == 1
    assert "a secret" not in caplog.text
    lane.fault = None
    assert lane.ask()
    lane.express.flush()
    assert lane.count == 1


# -- what differs in nothing that counts ----------------------------------------------------------

HEAD = (b"Host", b"a", b"Accept", b"*/*", b"Traceparent")
BODY = b"\r\n\r\n{}"


def hear_parsed(lane: Lane, trace: bytes, path: str = "/chat", body: bytes = BODY) -> None:
    message, data = parsed(*HEAD, trace, path=path), trace + body
    if not lane.ask_parsed(message, data):
        given = reply()._replace(again=Repeats())
        lane.learn(message, data, given, REQUEST._replace(path=path))


async def test_what_differs_in_what_is_ignored_is_answered_the_third_time(lane: Lane) -> None:
    for trace in (b"1", b"2", b"3"):
        hear_parsed(lane, trace)
    assert lane.express.hits == 1
    hear_parsed(lane, b"3")  # to the byte, and so from now on by its bytes alone
    assert lane.express.hits == 2
    assert lane.ask(b"3" + BODY)
    assert not lane.ask(b"4" + BODY)


@pytest.mark.parametrize(
    "other",
    [
        (parsed(*HEAD, b"3", path="/other"), b"3" + BODY),
        (parsed(b"Host", b"b", *HEAD[2:], b"3"), b"3" + BODY),
        (parsed(*HEAD[:2], b"Accept", b"text/plain", b"Traceparent", b"3"), b"3" + BODY),
        (parsed(*HEAD[2:4], *HEAD[:2], b"Traceparent", b"3"), b"3" + BODY),
        (parsed(*HEAD, b"3", b"X-More", b""), b"3" + BODY),
        (parsed(*HEAD, b"3"), b"3\r\n\r\n[]"),
        (parsed(*HEAD, b"3")._replace(version=HttpVersion10), b"3" + BODY),
        (parsed(*HEAD, b"3")._replace(method="PUT"), b"3" + BODY),
    ],
)
async def test_what_differs_in_anything_else_is_not(
    lane: Lane, other: tuple[RawRequestMessage, bytes]
) -> None:
    for trace in (b"1", b"2"):
        hear_parsed(lane, trace)
    assert not lane.ask_parsed(*other)
    assert lane.ask_parsed(parsed(*HEAD, b"3"), b"3" + BODY)


async def test_fields_that_steer_the_message_count_even_if_answers_ignore_them() -> None:
    lane = Lane()
    lane.service.attending.ignores = lambda _: True
    for number in (b"1", b"2"):
        head = (b"Host", b"a", b"Connection", b"keep-alive", b"X-Other", number)
        given = reply()._replace(again=Repeats())
        lane.learn(parsed(*head), number + BODY, given)
    for name, value in ((b"Host", b"b"), (b"connection", b"X-Other"), (b"Via", b"1.1 a")):
        fields = dict(zip((b"Host", b"Connection"), (b"a", b"keep-alive"), strict=True))
        fields[name.capitalize()] = value
        asked = parsed(*(text for field in fields.items() for text in field))
        assert not lane.ask_parsed(asked, b"3" + BODY)
    same = parsed(b"Host", b"a", b"Connection", b"keep-alive")
    assert lane.ask_parsed(same, b"3" + BODY)


# -- one document in other spellings ---------------------------------------------------------------


def spelled(body: bytes) -> bytes:
    return b"\r\n\r\n" + body


async def test_a_document_is_known_in_another_spelling_once_it_was_heard_twice(lane: Lane) -> None:
    one, other = spelled(b'{"a":1,"b":[2]}'), spelled(b'{ "b": [2], "a": 1 }')
    hear_parsed(lane, b"1", body=one)
    assert (lane.express.hits, len(lane.express)) == (0, 0)
    hear_parsed(lane, b"2", body=other)
    assert (lane.express.hits, len(lane.express)) == (0, 1)
    hear_parsed(lane, b"3", body=spelled(b'{"b":[2],"\\u0061":1}'))
    assert lane.express.hits == 1
    hear_parsed(lane, b"1", body=one)  # heard before, to the byte
    assert lane.express.hits == 2
    assert lane.ask(b"1" + one)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1.0,"b":[2]}', b'{"a":1,"b":[2],"c":null}', b'{"a":1}', b'{"A":1,"b":[2]}',
        b'{"a":1,"b":[2],"a":1}', b'{"a":1,"b":[2,1]}', b'{"a":1,"b":[2]', b'[{"a":1,"b":[2]}]',
        b'{"a":"1","b":[2]}', b"", b'{"a":1,"b":' + b"[" * 300 + b"]" * 300 + b"}",
    ],
)  # fmt: skip
async def test_another_document_is_not(lane: Lane, body: bytes) -> None:
    for trace, more in ((b"1", b""), (b"2", b" ")):
        hear_parsed(lane, trace, body=spelled(b'{"a":1,' + more + b'"b":[2]}'))
    assert lane.ask_parsed(parsed(*HEAD, b"3"), b"3" + spelled(b'{"b":[2],"a":1}'))
    assert not lane.ask_parsed(parsed(*HEAD, b"3"), b"3" + spelled(body))
    other = parsed(b"Host", b"b", *HEAD[2:], b"3")
    assert not lane.ask_parsed(other, b"3" + spelled(b'{"b":[2],"a":1}'))


async def test_what_is_no_document_is_not_taken_for_one(lane: Lane) -> None:
    for _ in range(2):
        for number in (b"1", b"2"):
            hear_parsed(lane, number, body=spelled(b"{" + number))
    assert lane.express.hits == 0


async def test_all_spellings_of_a_document_are_forgotten_at_once(lane: Lane) -> None:
    for trace, more in ((b"1", b""), (b"2", b" ")):
        hear_parsed(lane, trace, body=spelled(b"{" + more + b"}"))
    asked = parsed(*HEAD, b"3"), b"3" + spelled(b"{  }")
    assert lane.ask_parsed(*asked)
    lane.express.clear()
    assert not lane.ask_parsed(*asked)
    assert (len(lane.express), lane.lent) == (0, 0)

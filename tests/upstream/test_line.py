"""What comes on a connection is read the same however it is packed, and whatever came before."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.upstream.line import Line, Lost, Malformed, Quiet
from proxy.upstream.spec import UpstreamSpec


class Wire(asyncio.Transport):
    """A transport without a socket."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.reading = self.open = True

    def write(self, data):
        self.written += data

    def pause_reading(self):
        assert self.reading
        self.reading = False

    def resume_reading(self):
        assert not self.reading
        self.reading = True

    def is_closing(self):
        return not self.open

    def close(self):
        self.open = False

    abort = close


def asked(line, *, bodiless=False):
    line.begin(bodiless=bodiless)
    line.write(b"GET / HTTP/1.1\r\n\r\n")
    line.sent()


def connected(**said):
    line = Line(UpstreamSpec(url="http://backend.test", **said), asyncio.get_running_loop())
    line.connection_made(Wire())
    return line


async def all_of(body):
    taken = []

    def take(piece):
        taken.append(piece)
        return True

    assert not await body.pour(take)
    return b"".join(taken)


HEADS = {
    "counted": (b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\n", b"hello", b"hello"),
    "none": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", b""),
    "chunked": (
        b"HTTP/1.1 203 Fine\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
        b"hello",
    ),
    "bare": (b"HTTP/1.1 200 OK\nContent-Length: 4\n\n", b"\n\r\n\n", b"\n\r\n\n"),
    "mixed": (b"HTTP/1.1 200 OK\r\nContent-Length: 4\n\r\n", b"\r\n\r\n", b"\r\n\r\n"),
    "empty lines ahead": (b"\r\n\r\n\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", b"a", b"a"),
    "interim": (
        (
            b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
        ),
        b"a",
        b"a",
    ),
    "no content": (b"HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", b"", b""),
    "kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", b"a", b"a"
    ),
}  # fmt: skip


def told(message):
    return message.code, message.reason, message.version, message.raw_headers, message.chunked


async def read_on(line, stream, places):
    cuts = sorted(place % (len(stream) + 1) for place in places)
    asked(line)
    for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if a != b:
            line.data_received(stream[a:b])
    message, body = await line.response()
    assert body.whole
    content = await all_of(body)
    line.rest()
    return told(message), content


@unhurried
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(HEADS)), st.lists(st.integers(0, 999), max_size=5)),
        min_size=1,
        max_size=5,
    )
)
def test_responses_are_read_the_same_however_they_are_packed_and_after_any_others(conversation):
    async def hold_it():
        line = connected()
        for kind, places in conversation:
            head, sent, content = HEADS[kind]
            expected = await read_on(connected(), head + sent, [])
            assert expected[1] == content
            assert await read_on(line, head + sent, places) == expected
            assert line.fit
            assert not line.should_close

    asyncio.run(hold_it())


@pytest.mark.parametrize("kind", sorted(HEADS))
async def test_a_response_is_read_byte_by_byte(kind):
    head, sent, content = HEADS[kind]
    stream = head + sent
    assert (await read_on(connected(), stream, range(len(stream))))[1] == content


@pytest.mark.parametrize("kind", [kind for kind in sorted(HEADS) if HEADS[kind][1]])
@pytest.mark.parametrize("together", [True, False])
async def test_bytes_behind_a_response_are_no_part_of_it_and_end_the_connection(kind, together):
    head, sent, content = HEADS[kind]
    line, stream = connected(), head + sent
    asked(line)
    for piece in [stream + b"x"] if together else [stream, b"x"]:
        line.data_received(piece)
    _, body = await line.response()
    assert await all_of(body) == content
    line.rest()
    assert line.should_close


@pytest.mark.parametrize("status", [204, 304])
async def test_bytes_behind_a_head_without_a_body_end_the_connection(status):
    line = connected()
    asked(line)
    line.data_received(b"HTTP/1.1 %d Done\r\nContent-Length: 1\r\n\r\na" % status)
    _, body = await line.response()
    assert await all_of(body) == b""
    line.rest()
    assert line.should_close


async def test_what_came_before_a_body_went_wrong_is_handed_out_first():
    line = connected()
    asked(line)
    line.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nnonsense")
    _, body = await line.response()
    assert await all_of(body) == b"ok"
    assert isinstance(body.fault, Malformed)
    assert line.transport.is_closing()
    line.data_received(b"0\r\n\r\n")
    assert not body.whole


async def test_a_slow_reader_stops_the_backend_and_no_clock_runs_meanwhile():
    line = connected(idle_timeout_s=0.01)
    wire = line.transport
    asked(line)
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    _, body = await line.response()
    for _ in range(3):
        line.data_received(b"x" * 60_000)
    assert not wire.reading
    line.data_received(b"x" * 60_000)  # was read before that
    await asyncio.sleep(0.03)
    assert body.fault is None
    taken = []
    assert await body.pour(lambda piece: bool(taken.append(piece)))
    assert len(taken[0]) == 240_000
    assert wire.reading
    await all_of(body)
    assert isinstance(body.fault, Quiet)


async def test_a_connection_whose_last_response_was_not_taken_is_read_again():
    line = connected()
    asked(line)
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000))
    assert not line.transport.reading
    line.rest()
    assert line.fit
    assert line.transport.reading
    head, sent, content = HEADS["counted"]
    assert (await read_on(line, head + sent, []))[1] == content


async def test_a_reader_who_is_woken_loses_nothing_that_comes_before_he_is(start):
    line = connected()
    asked(line)
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    _, body = await line.response()
    taken = []
    pouring = start(body.pour(lambda piece: bool(taken.append(piece))))
    await asyncio.sleep(0)
    for letter in (b"a", b"b", b"c", b"d"):
        line.data_received(letter)
    assert taken == [b"a"]
    assert await pouring
    assert await all_of(body) == b"bcd"


async def test_a_taker_who_gives_up_the_connection_and_fails_is_told_that_it_is_over(start):
    line = connected()
    asked(line)
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    _, body = await line.response()

    def take(_piece):
        line.fail(Quiet())
        raise ConnectionResetError

    pouring = start(body.pour(take))
    await asyncio.sleep(0)
    line.data_received(b"abcd")
    assert not await pouring
    assert isinstance(body.fault, Quiet)
    assert not body.whole


async def test_a_response_that_has_come_is_heard_though_the_connection_is_gone():
    line = connected()
    asked(line)
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    line.connection_lost(None)
    _, body = await line.response()
    assert await all_of(body) == b"ok"


async def test_a_connection_that_has_gone_gives_no_response():
    line = connected()
    asked(line)
    line.connection_lost(ConnectionResetError())
    for _ in range(2):
        with pytest.raises(Lost):
            await line.response()
    line.write(b"to nobody")


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n"])
async def test_a_connection_on_which_bytes_come_unasked_ends(unasked):
    line = connected()
    await read_on(line, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [])
    assert line.fit
    line.data_received(unasked)
    assert not line.fit
    assert line.should_close

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

from proxy.observe.sink import Shared, Sink, Straight


class Gated(io.BytesIO):
    """A stream that takes nothing until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def write(self, data: bytes, /) -> int:  # type: ignore[override] # bytes will do
        self.entered.set()
        assert self.gate.wait(30)
        return super().write(data)


class Broken(io.BytesIO):
    """A stream whose reader has gone."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override] # as above
        raise BrokenPipeError


def test_lines_are_written_in_order_and_all_before_it_is_closed() -> None:
    stream = io.BytesIO()
    sink = Sink(stream)
    for number in range(1000):
        sink.put(b"%d\n" % number)
    sink.close(30)
    assert stream.getvalue().split() == [b"%d" % number for number in range(1000)]
    assert sink.dropped == 0


def test_a_stream_that_blocks_holds_up_nobody_and_costs_lines_past_the_bound() -> None:
    stream = Gated()
    sink = Sink(stream, max_pending=100)
    sink.put(b"first\n")
    assert stream.entered.wait(30)
    for _ in range(100):
        sink.put(b"x" * 9 + b"\n")
    assert sink.dropped == 91
    stream.gate.set()
    sink.close(30)
    assert stream.getvalue() == b"first\n" + (b"x" * 9 + b"\n") * 9


def test_lines_that_were_dropped_are_told_of_once_lines_are_taken_again() -> None:
    stream = Gated()
    sink = Sink(stream, max_pending=10)
    sink.put(b"12345678\n")
    assert stream.entered.wait(30)
    sink.put(b"a\nb\n", count=2)
    assert sink.dropped == 2
    stream.gate.set()
    dropped = 0
    while dropped != sink.dropped:  # until the thread has come round
        dropped = sink.dropped
        sink.put(b"c\n")
    sink.close(30)
    told = b'{"event":"log lines dropped","count":%d}\n' % dropped
    assert stream.getvalue() == b"12345678\n" + told + b"c\n"


def test_a_stream_whose_reader_is_gone_is_counted_and_survived() -> None:
    sink = Sink(Broken())
    sink.put(b"a\nb\n", count=2)
    sink.put(b"c\n")
    sink.close(30)
    assert sink.dropped == 3


def test_closing_does_not_wait_for_a_stream_that_blocks() -> None:
    stream = Gated()
    sink = Sink(stream)
    sink.put(b"a\n")
    assert stream.entered.wait(30)
    sink.close(timeout=0.0)
    sink.close(timeout=0.0)
    stream.gate.set()


def test_threads_may_write_at_the_same_time() -> None:
    stream = io.BytesIO()
    sink = Sink(stream)

    def write(letter: bytes) -> None:
        for _ in range(500):
            sink.put(letter * 50 + b"\n")

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close(30)
    lines = stream.getvalue().split()
    assert sorted(set(lines)) == [b"a" * 50, b"b" * 50, b"c" * 50]
    assert len(lines) == 1500


def test_processes_that_share_a_pipe_never_write_into_each_others_lines() -> None:
    reading, writing = os.pipe()
    program = (
        "import sys; from proxy.observe.sink import Shared, Sink\n"
        "sink = Sink(Shared(1))\n"
        "for number in range(300):\n"
        "    sink.put((sys.argv[1] * (number % 120) + '\\n').encode() * 40, 40)\n"
        "sink.close(30)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, name], stdout=writing) for name in "ab"
    ]
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        lines = stream.read().splitlines()
    assert [process.wait(30) for process in processes] == [0, 0]
    assert len(lines) == 2 * 300 * 40
    assert all(len(set(line)) <= 1 for line in lines)


def test_a_line_longer_than_what_goes_at_once_is_written_all_the_same() -> None:
    reading, writing = os.pipe()
    Shared(writing).write(b"a" * 10_000 + b"\n" + b"b\n")
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == b"a" * 10_000 + b"\nb\n"


def test_without_threads_lines_are_written_unless_that_would_block() -> None:
    reading, writing = os.pipe()
    straight = Straight(writing)
    straight.put(b"first\n")
    assert os.read(reading, 100) == b"first\n"
    for _ in range(100):
        straight.put(b"x" * 4095 + b"\n")  # beyond what the pipe holds: dropped
    assert os.read(reading, 4096) == b"x" * 4095 + b"\n"
    os.close(reading)
    straight.put(b"nobody reads\n")
    os.close(writing)

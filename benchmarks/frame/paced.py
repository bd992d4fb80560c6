"""A load generator that keeps a pace: one question at a time, so many a second, on one connection.

What a server does once it has answered does not delay the next question, if it is done by then.
An answer counts from when it was asked for; or from when it should have been, where the one before
came later than that.

Run as a program, so that it has a core of its own: ``python -m benchmarks.frame.paced URL
[options]`` prints one JSON object, as ``benchmarks.load`` does. Each answer must have the status
200 and the body that the first one had, and all but the first the field that is asked for.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from benchmarks.frame.questions import Kind, Questions

_WARM: Final = 10  # questions that do not count
_READ_BYTES: Final = 2**16
_LIMIT_S: Final = 15.0  # for a piece of an answer


class Fault(Exception):
    """An answer that is not as it should be."""


def ask(line: socket.socket, request: bytes) -> tuple[bytes, bytes]:
    """Ask, and wait until the answer is whole; its head, in lower case, and its body.

    Raises:
        Fault: it is no answer with a length and the status 200.
        OSError: the connection failed.
    """
    line.sendall(request)
    got, end, whole = b"", 0, 0
    while not whole or len(got) < whole:
        piece = line.recv(_READ_BYTES)
        if not piece:
            raise Fault(f"the server closed the connection after {got[:60]!r}")
        got += piece
        if not whole and b"\r\n\r\n" in got:
            end = got.index(b"\r\n\r\n") + 4
            whole = end + _length(got[:end])
    return got[:end].lower(), got[end:]


def _length(head: bytes) -> int:
    if not head.startswith(b"HTTP/1.1 200"):
        raise Fault(f"not 200: {head[:60]!r}")
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise Fault("a response without Content-Length")
    return int(after.partition(b"\r\n")[0])


def measure(
    url: str,
    questions: Questions,
    pace: float,
    seconds: float,
    *,
    expect: str = "",
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, float | int | str]:
    """What came of asking ``questions`` for so long, ``pace`` a second."""
    parts = urlsplit(url)
    told = expect.lower().encode()
    latencies = list[float]()
    first = b""
    number = _WARM + round(seconds * pace)
    with socket.create_connection((parts.hostname or "", parts.port or 80), _LIMIT_S) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = clock()
        for count in range(number):
            request = questions.request(parts.netloc)
            due = began + count / pace
            now = clock()
            if now < due:
                sleep(due - now)
                due = clock()  # that this was woken late is not the server's doing
            try:
                head, body = ask(line, request)
            except (Fault, OSError) as fault:
                return {"fault": str(fault)}
            latencies.append(clock() - due)
            if count and told and told not in head:
                return {"fault": f"expected {expect!r} in {head!r}"}
            first = first or body
            if body != first:
                return {"fault": f"not the answer that came first: {body[:60]!r}"}
        took = clock() - began
    latencies = sorted(latencies[_WARM:])
    return {
        "requests": len(latencies),
        "sent": number,
        "per_second": number / took,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1e3,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument(
        "--pace", type=float, default=100.0, help="questions a second (%(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--expect", default="", help="what every head but the first has")
    parser.add_argument("--kind", type=Kind, default=Kind.UNIQUE)
    parser.add_argument("--first", type=int, default=0, help="the number of the first question")
    args = parser.parse_args()
    questions = Questions(args.kind, args.first)
    result = measure(args.url, questions, args.pace, args.seconds, expect=args.expect)
    print(json.dumps(result))
    return 1 if "fault" in result else 0


if __name__ == "__main__":
    sys.exit(main())

"""What is done to bodies on their way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.coming import Sieved, paced
from proxy.model.pieces import pour


@pytest.mark.parametrize(
    ("media_type", "pieces"),
    [
        ("text/event-stream", [b"data: 1\n\n", b": a\ndata: 2\n\n", b"data: 3\n"]),
        ("application/x-ndjson", [b'{"a":1}\n', b"\n", b'{"done":true}\n', b" "]),
        ("application/jsonl", [b'{"a":1}\n', b'{"a":2}']),
    ],
)
async def test_a_body_is_paced_by_its_events_or_by_its_lines(
    media_type: str, pieces: list[bytes]
) -> None:
    assert [piece async for piece in paced(b"".join(pieces), media_type, 0.0)] == pieces


async def told(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def odd_ones(piece: bytes) -> bytes:
    """Lets through what does not begin with an even number; says so of an end that it was told."""
    if piece == b"\n\n":
        return b"end"
    return b"" if piece[:1] in b"02468" else piece


STREAMS = [
    ((b"1\n\n", b"2\n\n", b"3\n\n"), [b"1\n\n", b"3\n\n"]),
    ((b"1\n\n", b"2\n"), [b"1\n\n", b"end"]),
    ((b"2\n\n", b"4\n\n"), []),
    ((), [b"end"]),
]


@pytest.mark.parametrize(("pieces", "passed"), STREAMS)
async def test_what_a_sieve_lets_through_can_be_iterated(
    pieces: tuple[bytes, ...], passed: list[bytes]
) -> None:
    assert [piece async for piece in Sieved(told(*pieces), odd_ones)] == passed


@pytest.mark.parametrize(("pieces", "passed"), STREAMS)
@pytest.mark.parametrize("room", [1, 2, 100])
async def test_what_a_sieve_lets_through_can_be_poured(
    pieces: tuple[bytes, ...], passed: list[bytes], room: int
) -> None:
    taken: list[bytes] = []

    def take(piece: bytes) -> bool:
        taken.append(piece)
        return len(taken) % room != 0

    body = Sieved(told(*pieces), odd_ones)
    while await pour(body, take):
        pass
    assert taken == passed

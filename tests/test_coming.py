"""Bodies that are still coming."""

from __future__ import annotations

import pytest

from proxy.coming import paced


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

"""Bad weather for a proxy: a backend that misbehaves, settings that leave no room."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson

from support.openai_backend import Fault, OpenAIBackend

Json = dict[str, Any]

CRAMPED = {
    "flights": {
        "max_flights": 8,
        "max_followers": 3,
        "max_flight_bytes": "2KiB",
        "lag_limit_bytes": "512B",
        "max_orphans": 1,
        "orphan_grace_s": 0.001,
    },
    "l1_memory": {"max_bytes": "20KiB"},
}
STALE = {
    "cache": {"ttl_s": 0.02, "stale_while_revalidate_s": 60, "stale_if_error_s": 60},
    "flights": {"max_refreshes": 4, "orphan_grace_s": 0.001},
}


class Mischief:
    """Half of all answers take their time; some break off, and after some comes an error."""

    def __init__(self, dice: Random, backend: OpenAIBackend) -> None:
        self._dice = dice
        self._backend = backend

    def __call__(self) -> str:
        thrown = self._dice.random()
        if thrown < 0.05:
            self._backend.faults.append(Fault(500, "So sorry."))
        if thrown > 0.95:
            return "break"
        return "dawdle" if thrown > 0.5 else ""


def read(body: bytes, kind: str) -> tuple[str, bool]:
    """What a whole answer says, and whether it tells its token counts."""
    if kind == "application/json":
        document = orjson.loads(body)
        return document["choices"][0]["message"]["content"], bool(document["usage"])
    assert kind == "text/event-stream"
    *events, done, end = body.split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    chunks = [orjson.loads(event.removeprefix(b"data: ")) for event in events]
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    said = "".join(delta.get("content") or "" for delta in deltas)
    return said, bool(chunks[-1].get("usage"))

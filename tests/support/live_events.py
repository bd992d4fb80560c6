"""Events of ``/live``, as a proxy tells them."""

from __future__ import annotations

import json
from typing import Any

from proxy.commands.asking import Event


def request(seq: int, outcome: str = "hit", **more: Any) -> Event:
    said = {
        "seq": seq, "at": f"2026-01-02T03:04:{seq:02}Z", "method": "POST", "path": "/v1/chat",
        "status": 200, "outcome": outcome, "reason": "fresh", "detail": "", "dialect": "openai",
        "model": "m", "tier": "l1_memory", "duration_s": 0.0005, "bytes": 2048, "complete": True,
        "error": None,
    }  # fmt: skip
    return Event("request", said | more)


def stream(*events: Event) -> bytes:
    return b"".join(
        f"event: {kind}\ndata: {json.dumps(said)}\n\n".encode() for kind, said in events
    )

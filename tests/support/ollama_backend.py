"""A scripted backend that plays Ollama, with golden answers made after its server's rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.scripted import Call

GOLDEN = Path(__file__).parents[1] / "dialects" / "golden"
LINES = [("Content-Type", "application/x-ndjson")]
DOCUMENT = [("Content-Type", "application/json; charset=utf-8")]


def golden(name: str) -> tuple[list[bytes], bytes]:
    """The lines of the stream called ``name``, and the document that goes with it."""
    path = GOLDEN / f"ollama_{name}"
    lines = path.with_suffix(".ndjson").read_bytes().splitlines(keepends=True)
    return lines, path.with_suffix(".json").read_bytes()


async def answer(call: Call) -> None:
    """Answer with what the model is named for, in the form asked for."""
    asked: dict[str, Any] = json.loads(call.body)
    lines, document = golden(asked["model"])
    if asked.get("stream") is False:
        await call.reply(200, DOCUMENT, document)
        return
    await call.head(200, LINES, chunked=True)
    for line in lines:
        await call.chunk(line)
    await call.end()

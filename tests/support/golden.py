"""Streams, each with the document that its backend would have sent instead."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "dialects" / "golden"
_OTHERS = ("responses_", "anthropic_")  # what the names of streams that are no chats begin with

CHATS = sorted(path for path in _FOLDER.glob("*.sse") if not path.name.startswith(_OTHERS))
RESPONSES = sorted(_FOLDER.glob("responses_*.sse"))

"""What a client is told to do, one JSON object a line; what comes of it, line by line.

A job is ``{"do": "ask", ...}``. Its end is ``{"result": ...}``, or ``{"error": ...}`` with all the
kinds that the client's exception is of; before that, each piece of a stream is ``{"piece": ...}``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any

Job = Callable[..., Any]


def serve(jobs: Mapping[str, Job]) -> None:
    """Do what the lines on standard input say, until they end."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)  # what a library prints is no line of ours

        def say(**told: object) -> None:
            lines.write(json.dumps(told) + "\n")
            lines.flush()

        say(ready=True)
        for line in sys.stdin:
            job = json.loads(line)
            try:
                come = jobs[job.pop("do")](**job)
                if isinstance(come, Generator):
                    pieces = []
                    for piece in come:
                        pieces.append(piece)
                        say(piece=piece)
                    come = pieces
            except Exception as error:  # noqa: BLE001 - which one it is, is what is tested
                say(error=_told(error))
            else:
                say(result=come)


def _told(error: Exception) -> dict[str, object]:
    return {
        "kinds": [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__],
        "status": getattr(error, "status_code", None),
        "message": str(error),
    }

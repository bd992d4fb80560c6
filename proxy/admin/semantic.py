"""``GET /semantic`` and ``POST /feedback``: how hits by meaning fare, and that one was wrong.

The body of a feedback is a JSON object: ``match``, as the header ``X-Cache-Match`` of the answer
said, and ``verdict``, wrong or right.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import orjson
from aiohttp import web

_MATCH: Final = re.compile(r"[0-9a-f]{16}")


class Judge(Protocol):
    """Takes a word on the hit so called; whether that hit is remembered."""

    def __call__(self, name: str, *, wrong: bool) -> Awaitable[bool]: ...


class SemanticRoutes:
    """Answers both.

    Args:
        told: all there is to tell, fit for JSON.
        judge: takes a word on a hit.
    """

    def __init__(self, told: Callable[[], Mapping[str, object]], judge: Judge) -> None:
        self._told = told
        self._judge = judge

    async def state(self, _request: web.Request) -> web.Response:
        """200, with what is known of hits by meaning."""
        return web.json_response(body=orjson.dumps(self._told()))

    async def feedback(self, request: web.Request) -> web.Response:
        """200, or a refusal that says what to send."""
        # Which no web page can send to another's listener unasked.
        if request.content_type != "application/json":
            return _refused(415, "send the feedback as application/json")
        try:
            said = orjson.loads(await request.read())
        except ValueError:
            return _refused(400, "the body is no JSON")
        if not isinstance(said, dict) or said.keys() != {"match", "verdict"}:
            return _refused(400, 'send {"match": "0123456789abcdef", "verdict": "wrong"}')
        match, verdict = said["match"], said["verdict"]
        if not isinstance(match, str) or not _MATCH.fullmatch(match):
            return _refused(400, "match is the X-Cache-Match of an answer: 16 hexadecimal digits")
        if not isinstance(verdict, str) or verdict not in {"wrong", "right"}:
            return _refused(400, "verdict is wrong or right")
        if not await self._judge(match, wrong=verdict == "wrong"):
            return _refused(404, "no answer of that name is remembered: it is too long ago")
        return web.json_response({"learned": True})


def _refused(status: int, why: str) -> web.Response:
    return web.json_response(status=status, body=orjson.dumps({"error": why}))

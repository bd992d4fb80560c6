"""``POST /purge``: what is to be served no more.

The body is a JSON object: ``kind`` (all, key, tag, model, dialect, scope or path), ``value`` or
``values`` (all has none), and ``soft``, true to let entries turn stale rather than go. The answer
is 200 once every replica obeys, and 202 if some have not said so, or could not be told yet.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Final, Protocol

import orjson
from aiohttp import web

from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.purging import Receipt

_MOST_VALUES: Final = 1000
_LONGEST: Final = 2048  # characters of a value
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KINDS: Final = ", ".join(kind.value for kind in Kind)


class CarryOut(Protocol):
    """Lets purges take effect, at least one. Raises TierError."""

    def __call__(self, *purges: Purge) -> Awaitable[Receipt]: ...


class PurgeRoute:
    """Answers ``POST /purge``.

    Args:
        purge: carries out what is asked.
    """

    def __init__(self, purge: CarryOut) -> None:
        self._purge = purge

    async def answer(self, request: web.Request) -> web.Response:
        """200, 202, or a refusal that says what to send."""
        # Which no web page can send to another's listener unasked.
        if request.content_type != "application/json":
            return _refused(415, "send the purge as application/json")
        purges = _read(await request.read())
        if isinstance(purges, str):
            return _refused(400, purges)
        try:
            receipt = await self._purge(*purges)
        except TierError as error:
            return _refused(503, str(error))
        answer = {
            "complete": receipt.complete,
            "generation": receipt.number,
            "absent": [
                {"replica": each.replica, "silent_s": round(each.silent_s, 1)}
                for each in receipt.absent
            ],
            "trouble": receipt.trouble,
        }
        return web.json_response(status=200 if receipt.complete else 202, body=orjson.dumps(answer))


def _read(body: bytes) -> list[Purge] | str:
    """The purges that ``body`` asks for, or what is wrong with it."""
    try:
        said = orjson.loads(body)
    except ValueError:
        return "the body is no JSON"
    if not isinstance(said, dict):
        return 'the body is no object, as {"kind": "tag", "value": "doc:1"}'
    if unknown := said.keys() - {"kind", "value", "values", "soft"}:
        return f"unknown: {', '.join(sorted(unknown))}; there are kind, value, values and soft"
    if said.get("kind") not in [*Kind]:
        return f"kind is one of {_KINDS}"
    kind, soft = Kind(said["kind"]), said.get("soft", False)
    if not isinstance(soft, bool):
        return "soft is true or false"
    if kind is Kind.ALL:
        if "value" in said or "values" in said:
            return "a purge of all has no value"
        return [Purge(kind, "", soft)]
    if ("value" in said) == ("values" in said):
        return f"a purge by {kind} needs either value or values"
    values = said.get("values", [said.get("value")])
    if not isinstance(values, list) or not 1 <= len(values) <= _MOST_VALUES:
        return f"values is a list of 1 to {_MOST_VALUES} texts"
    for value in values:
        if fault := _fault(kind, value):
            return fault
    return [Purge(kind, value, soft) for value in values]


def _fault(kind: Kind, value: object) -> str:
    """What is wrong with a value, "" if nothing."""
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST:
        return f"a value is a text of 1 to {_LONGEST} characters"
    if kind is Kind.KEY and not _DIGEST.fullmatch(value):
        return "a key is 64 hexadecimal digits in lower case"
    if kind is Kind.PATH and not value.startswith("/"):
        return "a path begins with a slash"
    return ""


def _refused(status: int, why: str) -> web.Response:
    return web.json_response(status=status, body=orjson.dumps({"error": why}))

"""``POST /purge``: what it takes, what it refuses, and what it tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from proxy.admin.api import Admin
from proxy.admin.gate import Gate
from proxy.admin.purging import Purges
from proxy.model.errors import TierError
from proxy.model.purge import Kind, Purge
from proxy.purges.base import Absent
from proxy.purges.purging import Receipt

Answer = Callable[..., Receipt]


async def post(
    body: object, answer: Answer, *, content_type: str = "application/json"
) -> tuple[int, dict[str, Any], list[Purge]]:
    """What is answered, and the purges that were made."""
    made: list[Purge] = []

    async def purge(*purges: Purge) -> Receipt:
        made.extend(purges)
        return answer(*purges)

    admin = Admin(
        lambda: True, Gate(None, (), clock=lambda: 0.0), endpoints=[Purges(purge).endpoint]
    )
    _, port = await admin.start("127.0.0.1", 0)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"http://127.0.0.1:{port}/purge",
                data=body if isinstance(body, bytes) else json.dumps(body).encode(),
                headers={"Content-Type": content_type},
            ) as response,
        ):
            return response.status, await response.json(), made
    finally:
        await admin.close()


def done(*_purges: Purge) -> Receipt:
    return Receipt(7)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"kind": "all"}, [Purge(Kind.ALL)]),
        ({"kind": "all", "soft": True}, [Purge(Kind.ALL, soft=True)]),
        ({"kind": "tag", "value": "doc:1"}, [Purge(Kind.TAG, "doc:1")]),
        ({"kind": "tag", "values": ["a", "b"]}, [Purge(Kind.TAG, "a"), Purge(Kind.TAG, "b")]),
        ({"kind": "path", "value": "/v1/"}, [Purge(Kind.PATH, "/v1/")]),
        ({"kind": "key", "value": "0a" * 32}, [Purge(Kind.KEY, "0a" * 32)]),
        ({"kind": "model", "value": "m", "soft": False}, [Purge(Kind.MODEL, "m")]),
        ({"kind": "dialect", "value": "openai_chat"}, [Purge(Kind.DIALECT, "openai_chat")]),
        ({"kind": "scope", "value": "anon"}, [Purge(Kind.SCOPE, "anon")]),
    ],
)
async def test_every_kind_is_carried_out(said: dict[str, object], meant: list[Purge]) -> None:
    status, answer, made = await post(said, done)
    assert status == 200
    assert made == meant
    assert answer == {"complete": True, "generation": 7, "absent": [], "trouble": ""}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"{", "no JSON"),
        ([], "no object"),
        ({}, "kind: this is needed"),
        ({"kind": "everything"}, "'all', 'key', 'tag', 'model', 'dialect', 'scope' or 'path'"),
        ({"kind": ["tag"], "value": "a"}, "kind: "),
        ({"kind": "all", "value": "x"}, "no value"),
        ({"kind": "tag"}, "either value or values"),
        ({"kind": "tag", "value": "a", "values": ["b"]}, "either value or values"),
        ({"kind": "tag", "value": ""}, "at least 1 character"),
        ({"kind": "tag", "value": 1}, "valid string"),
        ({"kind": "tag", "values": []}, "at least 1 item"),
        ({"kind": "tag", "values": "ab"}, "valid array"),
        ({"kind": "key", "value": "0A" * 32}, "64 hexadecimal digits"),
        ({"kind": "path", "value": "v1"}, "begins with a slash"),
        ({"kind": "tag", "value": "a", "soft": "yes"}, "valid boolean"),
        ({"kind": "tag", "value": "a", "hard": True}, "hard: there is no such thing"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_said(said: object, told: str) -> None:
    status, answer, made = await post(said, done)
    assert status == 400
    assert told in answer["error"]
    assert made == []


async def test_what_a_web_page_could_send_is_refused() -> None:
    status, _, made = await post({"kind": "all"}, done, content_type="text/plain")
    assert status == 415
    assert made == []


async def test_who_has_not_obeyed_is_named() -> None:
    status, answer, _ = await post(
        {"kind": "tag", "values": ["a", "b"]},
        lambda *_purges: Receipt(7, [Absent("pod-2", 1.26)]),
    )
    assert status == 202
    assert answer["absent"] == [{"replica": "pod-2", "silent_s": 1.3}]
    assert not answer["complete"]


async def test_trouble_is_told() -> None:
    status, answer, _ = await post({"kind": "all"}, lambda _: Receipt(7, (), "redis is off"))
    assert status == 202
    assert answer["trouble"] == "redis is off"


async def test_a_purge_that_cannot_be_made_is_an_error() -> None:
    def full(*_purges: Purge) -> Receipt:
        raise TierError("too many purges")

    assert (await post({"kind": "all"}, full))[:2] == (503, {"error": "too many purges"})

"""Endpoints: what is read, what is refused, and the document that is made of them."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import Field

from proxy.admin.api import Admin
from proxy.admin.endpoint import (
    MOST_BYTES,
    Call,
    Problem,
    Refused,
    Said,
    Shown,
    Told,
    endpoint,
)
from proxy.admin.gate import Gate


class Span(Said):
    seconds: int = Field(ge=1, le=60, description="How long.")
    names: tuple[str, ...] = ()


class Wish(Said):
    colour: str


class Made(Shown):
    said: str


async def make(asked: Call[Span, Wish]) -> Told:
    if asked.query.seconds == 13:
        raise Refused(409, "not on a thirteenth")
    names = ",".join(asked.query.names)
    return Told(Made(said=f"{asked.path['key']} {asked.body.colour} {names}"), 201)


MAKE = endpoint(
    "POST",
    "/things/{key}",
    make,
    query=Span,
    body=Wish,
    summary="Make a thing",
    answers={201: Made, 409: Problem},
    named={"key": {"type": "string", "pattern": "^[a-z]+$"}},
)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    gate = Gate(None, (), clock=lambda: 0.0)
    admin = Admin(lambda: True, gate, endpoints=[MAKE], version="1.2")
    _, port = await admin.start("127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await admin.close()


async def post(url: str, body: bytes, kind: str = "application/json") -> tuple[int, Any]:
    headers = {"Content-Type": kind}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as reply,
    ):
        return reply.status, await reply.json()


RED = b'{"colour":"red"}'


async def test_what_is_said_is_read_and_answered(url: str) -> None:
    answer = await post(f"{url}/things/a?seconds=5&names=x&names=y", RED)
    assert answer == (201, {"said": "a red x,y"})


@pytest.mark.parametrize(
    ("query", "body", "why"),
    [
        ("seconds=61", RED, "seconds: Input should be less than or equal to 60"),
        ("", RED, "seconds: this is needed"),
        ("seconds=5&minutes=1", RED, "minutes: there is no such thing here"),
        ("seconds=5&seconds=6", RED, "seconds: Input should be a valid integer"),
        ("seconds=5", b"[]", "the body is no object"),
        ("seconds=5", b"\xff", "the body is no JSON"),
        ("seconds=5", b"", "the body is no JSON"),
        ("seconds=5", b'{"colour":1,"size":2}', "colour: Input should be a valid string; size: "),
    ],
)
async def test_what_makes_no_sense_is_refused_with_all_that_is_wrong(
    url: str, query: str, body: bytes, why: str
) -> None:
    status, answer = await post(f"{url}/things/a?{query}", body)
    assert status == 400
    assert answer["error"].startswith(why)


async def test_of_very_much_that_is_wrong_the_number_is_told(url: str) -> None:
    body = b"{%b}" % b",".join(b'"name%d":1' % number for number in range(101))
    status, answer = await post(f"{url}/things/a?seconds=5", body)
    assert (status, answer["error"]) == (400, "102 things in it are not as they should be")


async def test_what_was_said_is_not_told_again(url: str) -> None:
    _, answer = await post(f"{url}/things/a?seconds=confidential", b'{"colour":["confidential"]}')
    assert "confidential" not in answer["error"]


async def test_a_form_that_any_page_can_send_is_refused(url: str) -> None:
    assert (await post(f"{url}/things/a?seconds=5", RED, "text/plain"))[0] == 415


async def test_a_body_without_an_end_is_refused(url: str) -> None:
    body = b'{"colour":"' + b"x" * MOST_BYTES + b'"}'
    status, answer = await post(f"{url}/things/a?seconds=5", body)
    assert (status, answer) == (413, {"error": "the body is longer than 1048576 bytes"})


async def test_a_refusal_is_told_with_its_status(url: str) -> None:
    answer = await post(f"{url}/things/a?seconds=13", RED)
    assert answer == (409, {"error": "not on a thirteenth"})


async def test_the_document_tells_what_the_code_does(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/openapi.json") as reply:
        told = json.loads(await reply.read())
    assert told["info"]["version"] == "1.2"
    operation = told["paths"]["/things/{key}"]["post"]
    assert [each["name"] for each in operation["parameters"]] == ["key", "seconds", "names"]
    assert operation["parameters"][0]["schema"] == {"type": "string", "pattern": "^[a-z]+$"}
    assert operation["parameters"][1]["schema"]["maximum"] == 60
    assert set(operation["responses"]) == {"201", "400", "403", "409", "413", "415", "421"}
    made = operation["responses"]["201"]["content"]["application/json"]["schema"]["$ref"]
    assert told["components"]["schemas"][made.rsplit("/", 1)[1]]["required"] == ["said"]
    assert {"/healthz", "/readyz", "/openapi.json"} < set(told["paths"])
    assert "securitySchemes" not in told["components"]


def test_with_a_token_the_document_says_what_needs_it() -> None:
    gate = Gate("t", (), clock=lambda: 0.0)
    admin = Admin(lambda: True, gate, endpoints=[MAKE])
    told = admin.document()
    paths = told["paths"]
    assert isinstance(paths, dict)
    assert paths["/healthz"]["get"]["security"] == []
    assert paths["/things/{key}"]["post"]["security"] == [{"token": []}]
    assert "401" in paths["/things/{key}"]["post"]["responses"]

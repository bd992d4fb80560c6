"""Two backends that tell apart by whose settings they are asked, and clients that compare notes.

Each side has a name, which is in everything that its settings say of a reply: the backend that
answers, the header that this one is sent, what the proxy calls itself, and for how long an answer
is kept. A reply in which two sides meet is a mixture.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from aiohttp import web

from support.embedding_backend import numbers

Json = dict[str, Any]

TTL_S: Final = {"a": 1000, "b": 2000}
EVENTS: Final = [("Content-Type", "text/event-stream")]
_STATUS: Final = re.compile(r"side-(\w)(?:.*?; ttl=(-?\d+))?")


def settings(side: str, url: str) -> Json:
    """Those of one side; what is asked for below /same has equal keys on both."""
    common = {"url": url, "set_headers": {"x-side": side}}
    return {
        "upstreams": [
            {**common, "id": f"backend-{side}"},
            {**common, "id": "same", "prefix": "/same"},
        ],
        "pseudonym": f"side-{side}",
        "cache": {"ttl_s": TTL_S[side], "jitter": 0},
        "http_resource": {"enabled": True},
    }


class Side:
    """A backend that knows whose it is. Answers in pieces, with a turn for everybody in between."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.calls: Counter[str] = Counter()
        self.strays: list[str] = []  # what was asked with another side's settings
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        said = (request.headers.get("x-side"), request.headers.get("Via"))
        if said != (self.name, f"1.1 side-{self.name}"):
            self.strays.append(f"{self.name} was told {said}")
        path = request.path
        self.calls[path] += 1
        for _ in range(3):
            await asyncio.sleep(0)
        if request.method == "GET":
            return web.Response(
                text=f"{self.name} {path}", headers={"Cache-Control": f"max-age={TTL_S[self.name]}"}
            )
        asked = orjson.loads(await request.read())
        if path.endswith("/embeddings"):
            return web.json_response(body=_vectors(self.name, asked))
        text = f"{self.name} {asked['messages'][0]['content']}"
        if not asked.get("stream"):
            return web.json_response(body=_document(text))
        response = web.StreamResponse(headers=dict(EVENTS))
        await response.prepare(request)
        for word in ("", *text, None):
            await response.write(_event(word))
            await asyncio.sleep(0)
        await response.write(b"data: [DONE]\n\n")
        return response


def _vectors(side: str, asked: Json) -> bytes:
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vectors = [
        {"object": "embedding", "index": at, "embedding": numbers(text, side)}
        for at, text in enumerate(inputs)
    ]
    usage = {"prompt_tokens": len(inputs), "total_tokens": len(inputs)}
    return orjson.dumps({"object": "list", "data": vectors, "model": "m", "usage": usage})


def _document(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    about = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return orjson.dumps({**about, "choices": [choice], "usage": usage})


def _event(text: str | None) -> bytes:
    delta = {} if text is None else {"content": text} if text else {"role": "assistant"}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if text is None else None}
    about = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: %b\n\n" % orjson.dumps({**about, "choices": [choice]})


def _told(body: bytes) -> str:
    """What a chat was answered, in either form."""
    if not body.startswith(b"data: "):
        return orjson.loads(body)["choices"][0]["message"]["content"]
    events = body.removesuffix(b"\n\n").split(b"\n\n")
    if events[-1] != b"data: [DONE]":
        return "cut short"
    deltas = (orjson.loads(event[6:])["choices"][0]["delta"] for event in events[:-1])
    return "".join(delta.get("content", "") for delta in deltas)


@dataclass
class Asking:
    """Clients who ask on and on, and look at every reply."""

    url: str
    http: aiohttp.ClientSession
    dice: Random
    verdicts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def go_on(self) -> None:
        """Ask until it is ``over``."""
        while not self.over.is_set():
            try:
                await self._ask()
            except (aiohttp.ClientError, ValueError, LookupError) as error:
                self.faults.append(f"{type(error).__name__}: {error}")

    async def _ask(self) -> None:
        dice = self.dice
        text, same = f"question {dice.randrange(12)}", dice.random() < 0.4
        headers = {"Authorization": f"Bearer sk-{dice.randrange(2)}"}
        if same:  # what is stored may be of either side; what is asked is not
            headers["Cache-Control"] = "no-cache"
        root = f"{self.url}/same" if same else self.url
        kind = dice.choice(["json", "stream", "vectors", "resource"])
        if kind == "resource":
            request = self.http.get(f"{root}/things/{text[-1]}", headers=headers)
        elif kind == "vectors":
            inputs = [text, f"{text} too"] if dice.random() < 0.5 else text
            asked: Json = {"model": "m", "input": inputs}
            request = self.http.post(f"{root}/v1/embeddings", json=asked, headers=headers)
        else:
            asked = {"model": "m", "messages": [{"role": "user", "content": text}]}
            asked |= {"stream": True} if kind == "stream" else {}
            request = self.http.post(f"{root}/v1/chat/completions", json=asked, headers=headers)
        async with request as reply:
            body = await reply.read()
        if reply.status != 200:
            self.faults.append(f"{kind}: {reply.status} {body[:200]!r}")
            return
        self.kinds[kind] += 1
        self.verdicts[reply.headers["X-Cache"]] += 1
        member = _STATUS.match(reply.headers["Cache-Status"])
        assert member is not None, reply.headers["Cache-Status"]
        side, ttl = member[1], member[2]
        if ttl is not None and not TTL_S[side] - 500 < int(ttl) <= TTL_S[side]:
            self.faults.append(f"{kind}: an answer of {side} is kept for {ttl} s")
        self._compare(kind, side, text, body)

    def _compare(self, kind: str, side: str, text: str, body: bytes) -> None:
        """Whether ``body`` is of the side that the proxy says it is."""
        if kind == "resource":
            right = body.decode().startswith(f"{side} ")
        elif kind == "vectors":
            told = [each["embedding"] for each in orjson.loads(body)["data"]]
            right = told in (
                [numbers(text, side)],
                [numbers(text, side), numbers(f"{text} too", side)],
            )
        else:
            right = _told(body) == f"{side} {text}"
        if not right:
            self.faults.append(f"{kind}: {side} was asked {text!r}, and this came: {body[:300]!r}")

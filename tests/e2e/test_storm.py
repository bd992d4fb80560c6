"""A storm of callers: whatever goes wrong, nobody is given another's answer, nor a part for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import aiohttp
import pytest
from support.openai_backend import OpenAIBackend
from support.proxied import Proxied, proxied
from support.raw_chat import PATH, question
from support.raw_client import RawClient
from support.sdk_caller import chat, counted
from support.weather import CRAMPED, STALE, Mischief, read

Json = dict[str, Any]
FORMS: list[Json] = [{}, {"stream": True}, counted({"stream": True})]


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        pytest.param(2000, {}, id="as it comes"),
        pytest.param(800, CRAMPED, id="cramped"),
        pytest.param(800, STALE, id="stale"),
    ],
)
# Whoever is cancelled while it connects leaves its socket to the collector: aiohttp's client does.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
async def test_in_a_storm_everybody_is_given_the_answer_to_their_own_question(
    count: int, settings: Json, backend: OpenAIBackend
) -> None:
    backend.mischief = Mischief(Random(1), backend)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        proxied(backend.url, **settings) as proxy,
    ):
        storm = Storm(Random(2), proxy, http)
        await asyncio.gather(*(storm.blow(each) for each in [count // 80] * 80))
        await proxy.landed()
        verdicts = Counter(proxy.verdicts)

    assert storm.seen["whole"] > count / 2
    assert storm.seen["hung up"] > 0
    assert storm.seen["error"] > 0
    assert verdicts["HIT"] + verdicts["STALE"] > 0
    assert verdicts["COALESCED"] > 0
    assert len(backend.asked) < count


class Storm:
    """Callers with four credentials and thirty questions, who want answers in every form."""

    def __init__(self, dice: Random, proxy: Proxied, http: aiohttp.ClientSession) -> None:
        self.seen: Counter[str] = Counter()
        self.errors = {500, 502}  # that they may be given
        self._dice = dice
        self._http = http
        self._url = proxy.url + PATH

    async def blow(self, count: int) -> None:
        for _ in range(count):
            self.seen[await self._ask()] += 1

    async def _ask(self) -> str:
        dice = self._dice
        credential, text = f"sk-{dice.randrange(4)}", f"question {dice.randrange(30)}?"
        form: Json = dice.choice(FORMS)
        headers = {"Authorization": f"Bearer {credential}"}
        if dice.random() < 0.1:
            headers["Cache-Control"] = dice.choice(["no-cache", "no-store", "max-age=0"])
        patience_s = dice.uniform(0.001, 0.05) if dice.random() < 0.2 else 20
        try:
            async with asyncio.timeout(patience_s):
                async with self._http.post(
                    self._url, json=chat(text) | form, headers=headers
                ) as response:
                    body = await response.read()
        except TimeoutError:
            assert patience_s < 1
            return "hung up"
        except aiohttp.ClientError:
            return "broken"
        if response.status != 200:
            assert response.status in {500, 502}
            return "error"
        said, counts = read(body, response.content_type)
        assert said == f"You asked {text!r} as {credential} (0)."
        assert counts == ("stream" not in form or "stream_options" in form)
        return "whole"


class Rude:
    """Clients that ask many things at once, and break off wherever they like."""

    def __init__(self, dice: Random, proxy: Proxied) -> None:
        self.seen: Counter[str] = Counter()
        self.errors = {500, 502}  # that they may be given
        self._dice = dice
        self._proxy = proxy

    async def bother(self, count: int) -> None:
        for _ in range(count):
            try:
                async with await RawClient.connect(self._proxy.address) as client:
                    await self._converse(client)
            except (ConnectionError, OSError):
                self.seen["broken"] += 1

    async def _converse(self, client: RawClient) -> None:
        dice = self._dice
        texts = [f"question {dice.randrange(25)}?" for _ in range(dice.choice([1, 1, 2, 4]))]
        forms = [dice.choice(FORMS) for _ in texts]
        asked = b"".join(question(text, **form) for text, form in zip(texts, forms, strict=True))
        manners = dice.choice(["polite", "polite", "says no more", "interrupts", "walks out"])
        if manners == "interrupts":
            await client.send(asked[: dice.randrange(len(asked))])
            client.reset()
            return
        await client.send(asked)
        if manners == "says no more":
            client.end()
        if manners == "walks out":
            await client.receive()
            client.reset()
            return
        for text, form in zip(texts, forms, strict=True):
            reply = await client.response()
            if reply.status == 200:
                said, counts = read(reply.body, (reply.get("Content-Type") or "").split(";")[0])
                assert said == f"You asked {text!r} as sk-one (0)."
                assert counts == ("stream" not in form or "stream_options" in form)
                self.seen["whole"] += 1
            else:
                assert reply.status in self.errors
                self.seen["error"] += 1


@pytest.mark.parametrize("settings", [{}, CRAMPED], ids=["as it comes", "cramped"])
async def test_rude_clients_harm_nobody(settings: Json, backend: OpenAIBackend) -> None:
    backend.mischief = Mischief(Random(3), backend)
    async with proxied(backend.url, **settings) as proxy:
        rude = Rude(Random(4), proxy)
        await asyncio.gather(*(rude.bother(10) for _ in range(40)))
        await proxy.landed()

    assert rude.seen["whole"] > 200
    assert rude.seen["error"] > 0


@pytest.mark.parametrize("requests", [20, 100, 300])
async def test_it_can_be_closed_in_the_midst_of_it_all(
    requests: int, backend: OpenAIBackend
) -> None:
    backend.mischief = Mischief(Random(5), backend)
    async with proxied(backend.url) as proxy:
        rude = Rude(Random(6), proxy)
        rude.errors |= {503}
        bothering = asyncio.gather(*(rude.bother(20) for _ in range(40)), return_exceptions=True)
        await proxy.counted(lambda: proxy.server.counts.requests >= requests)
        async with asyncio.timeout(2):
            await proxy.close(0)
        ends = await bothering

    # An end is no error only where nothing of a reply has been heard.
    assert {type(end) for end in ends} <= {type(None), EOFError}
    assert {str(end) for end in ends if end} <= {"the connection ended after b''"}

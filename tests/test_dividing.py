"""Requests with several inputs: what their replies are made of, and what is told of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.cranked import settle
from support.divided import AHEAD, JSON, STALE, lengths, proxied, reply

from proxy.model.decision import Why
from proxy.model.errors import BrokenReply, ConnectFailed, NoReply
from proxy.model.message import Head, Headers
from proxy.model.outcome import Fwd, Verdict


async def test_the_outcome_of_a_reply_whose_parts_are_partly_stored() -> None:
    async with proxied() as proxy:
        await proxy.stored(["a", "bb"])
        proxy.clock.turn(30.0)
        asked = await proxy.ask(["ccc", "bb", "ccc"])
        assert proxy.inputs() == ["ccc"]
        proxy.clock.turn(2.0)
        await proxy.answer()
        told, body = await asked

        assert lengths(body) == [3.0, 2.0, 3.0]
        assert json.loads(body)["usage"] == {"prompt_tokens": 8, "total_tokens": 8}
        outcome = told.outcome
        assert (outcome.verdict, outcome.why, outcome.fwd) == (
            Verdict.MISS,
            Why.UNSEEN,
            Fwd.PARTIAL,
        )
        assert outcome.detail == "parts:1/3"
        assert outcome.stored
        assert outcome.age_s == 32.0
        assert outcome.upstream_s == 2.0
        assert outcome.dialect == "openai_embeddings"


async def test_a_hit_is_as_old_as_its_oldest_part_and_as_fresh_as_that_which_ends_first() -> None:
    async with proxied(STALE) as proxy:
        await proxy.stored("a")
        proxy.clock.turn(30.0)
        await proxy.stored("bb")
        proxy.clock.turn(10.0)
        told, body = await (await proxy.ask(["bb", "a"]))

        assert lengths(body) == [2.0, 1.0]
        outcome = told.outcome
        assert (outcome.verdict, outcome.why, outcome.tier) == (
            Verdict.HIT,
            Why.FRESH,
            "l1_memory",
        )
        assert (outcome.age_s, outcome.ttl_s) == (40.0, 60.0)


async def test_stale_parts_are_served_and_renewed_in_one_call() -> None:
    async with proxied(AHEAD) as proxy:
        await proxy.stored(["a", "bb", "ccc"])
        proxy.clock.turn(110.0)
        anew = await proxy.ask("bb", ("Cache-Control", "no-cache"))
        await proxy.answer()
        assert (await anew)[0].outcome.stored
        told, _ = await (await proxy.ask(["a", "bb", "ccc"]))
        assert (told.outcome.verdict, told.outcome.why) == (Verdict.STALE, Why.SWR)
        await settle()
        assert proxy.inputs() == ["a", "ccc"]
        await proxy.answer()

        told, _ = await (await proxy.ask(["a", "bb", "ccc"]))
        assert (told.outcome.verdict, proxy.calls) == (Verdict.HIT, 3)


@pytest.mark.parametrize("fault", [Head(503, "", JSON.headers), NoReply("gone")])
async def test_stale_parts_stand_in_where_the_backend_fails(fault: Any) -> None:
    async with proxied(STALE) as proxy:
        await proxy.stored(["a", "bb"])
        proxy.clock.turn(120.0)
        asked = await proxy.ask(["a", "bb"])
        if isinstance(fault, Head):
            await proxy.answer(head=fault, body=b"{}")
        else:
            proxy.crank.calls[-1].fail(fault)
        told, body = await asked

        assert lengths(body) == [1.0, 2.0]
        assert (told.outcome.verdict, told.outcome.why) == (Verdict.STALE, Why.SIE)
        assert proxy.calls == 2


async def test_what_fails_without_a_stale_part_is_told_once() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        proxy.crank.calls[-1].fail(BrokenReply("It broke off."))
        told, _ = await asked
        assert (told.head.status, told.outcome.why) == (502, Why.UPSTREAM_ERROR)
        assert proxy.calls == 1

        asked = await proxy.ask(["a", "bb"])
        await proxy.answer(head=Head(500, "No", Headers()), body=b"sorry")
        told, body = await asked
        assert (told.head.status, body, told.outcome.detail) == (500, b"sorry", Why.STATUS)


async def test_where_no_connection_could_be_made_all_parts_are_asked_for_again() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        proxy.crank.calls[0].fail(ConnectFailed("refused"))
        await settle()
        assert proxy.inputs(1) == ["a", "bb"]
        await proxy.answer(1)
        assert lengths((await asked)[1]) == [1.0, 2.0]


async def test_a_stored_error_is_not_put_together_with_anything() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask("a")
        missing = b'{"error": {"code": "model_not_found"}}'
        await proxy.answer(head=Head(404, "No", JSON.headers), body=missing)
        assert (await asked)[0].outcome.stored
        asked = await proxy.ask(["a", "bb"])
        assert proxy.inputs() == ["a", "bb"]
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE


async def test_where_nothing_but_the_cache_is_wanted_nothing_is_passed_on() -> None:
    async with proxied() as proxy:
        await proxy.stored("a")
        asked = await proxy.ask("bb")
        await proxy.answer(body=reply(["bb"], model="m-2"))
        await asked
        told, _ = await (await proxy.ask(["a", "bb"], ("Cache-Control", "only-if-cached")))
        assert (told.head.status, told.outcome.why) == (504, Why.ONLY_IF_CACHED)
        assert proxy.calls == 2


async def test_one_answer_is_kept_of_an_input_however_many_are_wanted() -> None:
    several = ("X-Cache-Variants", "3")
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"], several)
        await proxy.answer()
        told, _ = await asked
        assert told.outcome.variant == 0
        hit, _ = await (await proxy.ask(["bb", "a"], several))
        assert (hit.outcome.verdict, hit.outcome.variant) == (Verdict.HIT, 0)


async def test_what_is_stored_of_one_part_never_stands_in_for_all() -> None:
    async with proxied(STALE) as proxy:
        await proxy.stored("a")
        proxy.clock.turn(120.0)
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer(head=Head(503, "No", JSON.headers), body=b"{}")
        told, body = await asked
        assert (told.head.status, body) == (503, b"{}")

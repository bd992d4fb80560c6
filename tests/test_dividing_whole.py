"""Requests with several inputs: what becomes of them where their parts cannot be had."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from support.cranked import settle
from support.divided import JSON, OtherReplicas, lengths, proxied, reply

from proxy.batching import Limits, Slice, Unsplit
from proxy.flight import Limits as FlightLimits
from proxy.model.decision import Why
from proxy.model.errors import BrokenReply, RelayBroken
from proxy.model.meeting import Admit, Alone, GivenUp, Meeting, Sought, Stored
from proxy.model.message import Head
from proxy.model.outcome import Verdict
from proxy.policy import Terms
from proxy.question import Rooms


async def test_a_refused_batch_is_stored_for_no_part() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        missing = b'{"error": {"code": "model_not_found"}}'
        await proxy.answer(head=Head(404, "No", JSON.headers), body=missing)
        assert proxy.inputs() == ["a", "bb"]
        await proxy.answer(head=Head(404, "No", JSON.headers), body=missing)
        told, body = await asked
        assert (told.outcome.verdict, body) == (Verdict.BYPASS, missing)
        assert proxy.memory.entries == 0


async def test_where_there_is_no_place_for_another_flight_the_request_goes_on_whole() -> None:
    async with proxied(limits=FlightLimits(flights=1)) as proxy:
        asked = await proxy.ask(["a", "bb"])
        (whole,) = (n for n in range(proxy.calls) if proxy.inputs(n) == ["a", "bb"])
        await proxy.answer(whole)
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE


async def test_what_only_may_not_be_stored_is_put_together_all_the_same() -> None:
    async with proxied(twice=True) as proxy:
        for stored in (False, True):
            asked = await proxy.ask(["a", "bb"])
            await proxy.answer()
            told, body = await asked
            assert lengths(body) == [1.0, 2.0]
            assert told.outcome.stored is stored
            if not stored:
                assert told.outcome.detail == Why.FIRST_SIGHTING


async def test_whoever_comes_late_hears_what_is_asked_for_already() -> None:
    async with proxied() as proxy:
        first = await proxy.ask(["a", "bb"])
        second = await proxy.ask(["bb", "a"])
        assert proxy.calls == 1
        await proxy.answer()
        (one, _), (other, body) = await first, await second
        assert (one.outcome.verdict, other.outcome.verdict) == (Verdict.MISS, Verdict.COALESCED)
        assert lengths(body) == [2.0, 1.0]
        assert "x-request-id" in one.head.headers
        assert "x-request-id" not in other.head.headers


async def test_an_answer_that_came_alone_and_is_none_is_not_put_together() -> None:
    async with proxied() as proxy:
        lone = await proxy.ask("a")
        both = await proxy.ask(["a", "bb"])
        assert proxy.inputs(1) == ["bb"]
        await proxy.answer(1)
        await proxy.answer(0, body=b'{"data": []}')
        assert (await lone)[1] == b'{"data": []}'
        assert proxy.inputs(2) == ["a", "bb"]
        await proxy.answer(2)
        told, body = await both
        assert (told.outcome.why, lengths(body)) == (Why.INDIVISIBLE, [1.0, 2.0])


async def test_a_relay_that_breaks_off_has_the_request_go_on_whole() -> None:
    broken = RelayBroken("gone")
    async with proxied(fleet=OtherReplicas(broken, broken)) as proxy:
        asked = await proxy.ask(["a", "bb"])
        assert proxy.calls == 1
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE


async def test_a_part_that_another_replica_has_stored_is_waited_for_by_nobody() -> None:
    async with proxied(fleet=OtherReplicas(Stored(), GivenUp(Why.STATUS))) as proxy:
        asked = await proxy.ask(["a", "bb"])
        await settle()
        assert proxy.inputs() == ["a", "bb"]
        await proxy.answer()
        assert lengths((await asked)[1]) == [1.0, 2.0]


class Bringing(OtherReplicas):
    """Another replica has stored the answer to the first who meets it."""

    def __init__(self) -> None:
        super().__init__()
        self.bring: Callable[[], Awaitable[object]] | None = None

    async def meet(self, sought: Sought, admit: Admit) -> Meeting:
        if self.bring is None:
            return Alone()
        bring, self.bring = self.bring, None
        await bring()
        return Stored()


async def test_a_part_that_turns_up_elsewhere_is_not_asked_for() -> None:
    fleet = Bringing()
    async with proxied(Terms(ttl=100.0, jitter=0.0), fleet=fleet) as proxy:
        key = (await proxy.stored("a")).key
        assert key is not None
        kept = await proxy.memory.get(key)
        assert kept is not None
        await proxy.memory.clear()
        fleet.bring = lambda: proxy.memory.put(kept)
        asked = await proxy.ask(["a", "bb"])
        assert proxy.inputs() == ["bb"]
        await proxy.answer()
        told, body = await asked
        assert lengths(body) == [1.0, 2.0]
        assert told.outcome.detail == "parts:1/2"


async def test_a_part_whose_answer_is_for_another_caller_only_has_the_request_go_on_whole() -> None:
    async with proxied() as proxy:
        lone = await proxy.ask("a")
        both = await proxy.ask(["a", "bb"])
        await proxy.answer(1)
        personal = Head(200, "OK", JSON.headers.plus(("Set-Cookie", "session=1")))
        await proxy.answer(0, head=personal)
        assert lengths((await lone)[1]) == [1.0]
        assert proxy.inputs(2) == ["a", "bb"]
        await proxy.answer(2)
        assert (await both)[0].outcome.why is Why.INDIVISIBLE


async def test_an_error_about_the_caller_is_told_as_it_came() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer(head=Head(401, "No", JSON.headers), body=b"who?")
        told, body = await asked
        assert (told.head.status, body, proxy.calls) == (401, b"who?", 1)


async def test_what_cannot_be_asked_for_in_parts_is_an_empty_handed_arrival() -> None:
    unsplit = Unsplit()
    with pytest.raises(BrokenReply):
        await anext(aiter(unsplit.chunks()))
    unsplit.close()
    empty = Slice(JSON, b"")
    assert [piece async for piece in empty.chunks()] == []


async def test_without_a_batcher_the_request_goes_on_whole() -> None:
    async with proxied() as proxy:
        rooms = proxy.lifecycle._rooms
        proxy.lifecycle._rooms = Rooms(
            rooms.policy, rooms.ladder, rooms.outbound, rooms.clock, rooms.dice
        )
        asked = await proxy.ask(["a", "bb"])
        assert proxy.inputs() == ["a", "bb"]
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE


async def test_a_bug_is_reported_and_told_as_an_error() -> None:
    class Bug(Exception):
        pass

    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        proxy.crank.calls[0]._answered.set_exception(Bug())
        told, _ = await asked
        assert told.head.status == 502
        assert [type(bug) for bug in proxy.bugs] == [Bug]
        proxy.bugs.clear()


async def test_closing_ends_what_is_under_way() -> None:
    async with proxied() as proxy:
        asked = await proxy.ask(["a", "bb"])
        waiting = await proxy.ask(["ccc", "dddd"])
        assert proxy.calls in {1, 2}
        await proxy.batcher.close()
        await settle()
        told, _ = await asked
        assert told.head.status == 502
        waiting.cancel()


async def test_where_too_much_is_held_already_the_request_goes_on_whole() -> None:
    async with proxied(batching=Limits(wait_s=0.0, total_bytes=100)) as proxy:
        asked = await proxy.ask(["a" * 10, "b" * 20])
        await proxy.answer()
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE
        assert proxy.batcher._held.size == 0


async def test_what_was_shunned_is_tried_again_after_a_while() -> None:
    async with proxied(batching=Limits(wait_s=0.0, shun_s=60.0)) as proxy:
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer(body=reply(["a"]))
        await proxy.answer()
        await asked
        assert proxy.calls == 2
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer()
        assert (await asked)[0].outcome.why is Why.INDIVISIBLE
        assert proxy.calls == 3
        proxy.clock.turn(61.0)
        asked = await proxy.ask(["a", "bb"])
        await proxy.answer()
        assert (await asked)[0].outcome.stored
        assert proxy.batcher.counts.odd == 1

"""Generations of before: how long they are held, and what is closed with them."""

from __future__ import annotations

import asyncio
import logging

import pytest
from support.generations import UPSTREAM, generation, house

from proxy.app.generation import Generation
from proxy.app.retired import Retired
from proxy.upstream import HttpUpstream

OTHER = {**UPSTREAM, "id": "other", "prefix": "/other"}
OPEN = {"breaker": {"enabled": False}}


def backend(one: Generation, number: int = 0) -> HttpUpstream:
    made = one.backends.all[number]
    assert isinstance(made, HttpUpstream)
    return made


async def test_a_generation_that_nobody_is_with_is_closed_at_once() -> None:
    shared = house()
    first = generation(shared=shared, upstreams=[UPSTREAM | OPEN, OTHER | OPEN])
    second = generation(shared=shared, before=first, upstreams=[UPSTREAM | OPEN])
    retired = Retired(lambda: second)
    await retired.add(first)
    assert len(retired) == 0
    assert backend(first) is backend(second)
    assert not backend(second)._closed
    assert backend(first, 1)._closed
    await retired.close()


async def test_what_a_generation_of_before_still_needs_stays_open() -> None:
    shared = house()
    first = generation(shared=shared, upstreams=[UPSTREAM | OPEN])
    second = generation(shared=shared, before=first, upstreams=[UPSTREAM | OPEN], pseudonym="b")
    third = generation(shared=shared, before=second, upstreams=[OTHER | OPEN])
    current = [second]
    retired = Retired(lambda: current[0], look_s=0.001)
    first.attending.under_way = 1
    await retired.add(first)
    current[0] = third
    await retired.add(second)
    assert len(retired) == 1
    assert backend(first)._retired
    assert not backend(first)._closed
    first.attending.under_way = 0
    async with asyncio.timeout(20):
        while len(retired):  # noqa: ASYNC110 - it looks now and then
            await asyncio.sleep(0.001)
    assert backend(first)._closed
    assert not backend(third)._retired
    await retired.close()


async def test_a_generation_that_cannot_be_closed_keeps_no_other_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shared = house()
    first = generation(shared=shared)
    second = generation(shared=shared, before=first, upstreams=[OTHER | OPEN])
    third = generation(shared=shared, before=second, upstreams=[UPSTREAM | OPEN])
    retired = Retired(lambda: third, look_s=0.001)
    for each in (first, second):
        each.attending.under_way = 1
        await retired.add(each)
    first.batcher = None  # type: ignore[assignment] # so that closing it fails
    with caplog.at_level(logging.ERROR):
        first.attending.under_way = second.attending.under_way = 0
        async with asyncio.timeout(20):
            while not backend(second)._closed:  # noqa: ASYNC110 - it looks now and then
                await asyncio.sleep(0.001)
    assert "could not be closed" in caplog.text
    await retired.close()


async def test_the_end_closes_all_whoever_is_with_them() -> None:
    shared = house()
    first = generation(shared=shared, upstreams=[UPSTREAM | OPEN])
    second = generation(shared=shared, before=first, upstreams=[OTHER | OPEN])
    retired = Retired(lambda: second)
    first.attending.under_way = 1
    await retired.add(first)
    assert len(retired) == 1
    await retired.close()
    assert len(retired) == 0
    assert backend(first)._closed


def test_two_backends_that_are_made_alike_are_two() -> None:
    alike = {"standby": [UPSTREAM, UPSTREAM]}
    first = generation(degradation=alike)
    second = generation(before=first, degradation=alike)
    assert len({id(each) for each in second.backends.all}) == 3
    assert second.backends.all == first.backends.all

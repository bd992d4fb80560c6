"""Answers by meaning are found where entries are, and nowhere else: purges, lifetimes, restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.operating import purged
from support.raw_chat import DOCUMENT, JSON
from support.scene import Scene, scene
from support.scripted import Call
from support.worded import (
    ALIKE,
    ASKED,
    HIT,
    NGRAM,
    UNLIKE,
    alike,
    answering,
    asked_once,
    learned,
    missed,
    numbered,
    ready,
    semantic,
    told,
)

from proxy.model.meaning import Doubt
from proxy.semantic.index.local import LocalIndex

Json = dict[str, Any]

ADMIN: Json = {"listen": "127.0.0.1:0"}
NO_MODEL = b'{"error": {"message": "No m.", "code": "model_not_found"}}'
TAGGED = {"headers": "X-Cache-Tags: handbook\r\n"}


def rows(s: Scene) -> int:
    """Questions that the index knows."""
    index = semantic(s.proxy).index
    assert isinstance(index, LocalIndex)
    return index.rows


@pytest.mark.parametrize(("kind", "value"), [("tag", "handbook"), ("model", "m"), ("all", "")])
async def test_what_was_purged_is_not_found(kind: str, value: str) -> None:
    async with scene(semantic=NGRAM, admin=ADMIN) as s:
        answering(s, numbered)
        await ready(s.proxy)
        first = await asked_once(s, **TAGGED)
        assert told(await s.whole(text=ALIKE)) == HIT
        await purged(s.proxy.admin_url, kind, value)
        reply = await s.whole(text=ALIKE)
        assert reply.get("X-Cache") == "MISS"
        assert reply.body != first.body
        assert told(reply) in {missed("stale"), missed("no-neighbour")}


async def test_what_another_purge_covers_is_found_still() -> None:
    async with scene(semantic=NGRAM, admin=ADMIN) as s:
        answering(s, numbered)
        await ready(s.proxy)
        await asked_once(s, **TAGGED)
        await purged(s.proxy.admin_url, "tag", "other")
        assert told(await s.whole(text=ALIKE)) == HIT


async def test_an_entry_that_had_to_go_is_stale_and_then_forgotten() -> None:
    async with scene(semantic=NGRAM, l1_memory={"max_bytes": 20_000}) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s)
        assert rows(s) == 1
        for number in range(40):  # of another namespace, so that they are no neighbours
            await s.whole(text=UNLIKE, seed=number)
        await learned(s.proxy)
        before = rows(s)
        only = "Cache-Control: only-if-cached\r\n"
        counted = dict(semantic(s.proxy).finder.counts)
        for doubt in (Doubt.STALE, Doubt.NOBODY):
            reply = await s.whole(text=ALIKE, headers=only)
            assert reply.status == 504
            assert semantic(s.proxy).finder.counts[doubt] > counted.get(doubt, 0)
        assert rows(s) == before - 1


async def test_it_is_found_after_a_restart_and_nobody_is_asked(tmp_path: Path) -> None:
    disk = {"enabled": True, "directory": str(tmp_path)}
    async with scene(semantic=NGRAM, l2_disk=disk, upstream={"id": "b"}) as s:
        answering(s, numbered)
        await ready(s.proxy)
        first = await asked_once(s)
    async with scene(semantic=NGRAM, l2_disk=disk, upstream={"id": "b"}) as s:
        await ready(s.proxy)
        await s.proxy.counted(lambda: rows(s) == 1)
        reply = await s.whole(text=ALIKE)
        assert (told(reply), reply.body) == (HIT, first.body)
        assert reply.get("X-Cache-Tier") == "l2_disk"
        assert s.up.calls == 0


@pytest.mark.parametrize("how", ["emptied", "cut", "scribbled"])
async def test_a_broken_index_costs_hits_and_nothing_else(tmp_path: Path, how: str) -> None:
    disk = {"enabled": True, "directory": str(tmp_path)}
    async with scene(semantic=NGRAM, l2_disk=disk, upstream={"id": "b"}) as s:
        answering(s, numbered)
        await ready(s.proxy)
        first = await asked_once(s)
    files = [path for path in (tmp_path / "semantic").rglob("*") if path.is_file()]
    broken = [path for path in files if path.name != "budget.json"]
    assert broken
    for path in broken:
        whole = path.read_bytes()
        torn = {"emptied": b"", "cut": whole[: len(whole) // 2], "scribbled": b"\xff" * len(whole)}
        path.write_bytes(torn[how])
    async with scene(semantic=NGRAM, l2_disk=disk, upstream={"id": "b"}) as s:
        answering(s, numbered)
        await ready(s.proxy)
        reply = await s.whole(text=ASKED)
        assert (told(reply), reply.body) == (("HIT", "fresh"), first.body)
        assert (await s.whole(text=ALIKE)).status == 200
        await learned(s.proxy)
        # And it learns again.
        headers = "X-Cache-Namespace: b\r\n"
        await asked_once(s, headers=headers)
        assert told(await s.whole(text=ALIKE, headers=headers)) == HIT


async def test_who_wants_a_new_answer_is_not_given_that_to_other_words() -> None:
    async with scene(semantic=NGRAM) as s:
        answering(s, numbered)
        await ready(s.proxy)
        first = await asked_once(s)
        reply = await s.whole(text=ALIKE, headers="Cache-Control: no-cache\r\n")
        assert reply.get("X-Cache") == "MISS"
        assert reply.body != first.body
        # And what was stored by that is found, being the answer to these words.
        assert (await s.whole(text=ALIKE)).body == reply.body


async def test_who_stays_out_of_the_cache_leaves_nothing_to_be_found() -> None:
    async with scene(semantic=NGRAM) as s:
        answering(s, numbered)
        await ready(s.proxy)
        await s.whole(text=ASKED, headers="Cache-Control: no-store\r\n")
        await s.whole(text=ASKED, headers="X-Cache-TTL: 0\r\n")
        await learned(s.proxy)
        assert told(await s.whole(text=ALIKE)) == missed("no-neighbour")


async def test_an_answer_that_is_too_old_for_who_asks_is_not_found_for_them() -> None:
    async with scene(semantic=NGRAM) as s:

        async def aged(call: Call) -> None:
            await call.reply(200, [*JSON, ("Age", "100")], DOCUMENT)

        s.up.answer_with(aged)
        await ready(s.proxy)
        await asked_once(s)
        assert told(await s.whole(text=ALIKE)) == HIT
        young = "Cache-Control: max-age=60, only-if-cached\r\n"
        assert (await s.whole(text=ALIKE, headers=young)).status == 504
        fresh = "Cache-Control: min-fresh=999999, only-if-cached\r\n"
        assert (await s.whole(text=ALIKE, headers=fresh)).status == 504
        old = "Cache-Control: max-age=600\r\n"
        assert told(await s.whole(text=ALIKE, headers=old)) == HIT


async def test_an_answer_lives_as_long_as_its_caller_wanted_it_to() -> None:
    async with scene(semantic=NGRAM, cache={"jitter": 0}) as s:
        answering(s, alike)
        await ready(s.proxy)
        await asked_once(s, headers="X-Cache-TTL: 100\r\n")
        reply = await s.whole(text=ALIKE, headers="X-Cache-TTL: 9999\r\n")
        assert told(reply) == HIT
        status = reply.get("Cache-Status") or ""
        left = int(status.partition("ttl=")[2].partition(";")[0])
        assert 60 < left <= 100


async def test_an_error_that_is_kept_is_no_answer_to_other_words() -> None:
    async with scene(semantic=NGRAM, cache={"negative": {"statuses": [404]}}) as s:
        s.up.answer_with(
            lambda call: call.reply(
                404, JSON, b'{"error": {"message": "none", "code": "model_not_found"}}'
            )
        )
        await ready(s.proxy)
        for verdict in ("MISS", "HIT"):
            reply = await s.whole(text=ASKED)
            assert (reply.status, reply.get("X-Cache")) == (404, verdict)
            await learned(s.proxy)
        calls = s.up.calls
        answering(s, alike)
        reply = await s.whole(text=ALIKE)
        assert (reply.status, told(reply)) == (200, missed("no-neighbour"))
        assert s.up.calls == calls + 1

"""Errors and empty answers that are kept for a moment, and the tags of answers, on real sockets."""

from __future__ import annotations

import orjson
import pytest
from support.raw_chat import DOCUMENT, JSON, STREAM, event, question, stream
from support.raw_client import RawResponse
from support.scene import Scene, scene
from support.scripted import Call

COUNTS = {"include_usage": True}
NO_MODEL = b'{"error": {"message": "No m.",  "param": null, "code": "model_not_found"}}\n'
ANEW = "Cache-Control: no-cache\r\n"
EMPTY = DOCUMENT.replace(b"Because.", b"")


class Backend:
    """Answers every call with what was set last."""

    def __init__(self, s: Scene) -> None:
        self.status, self.body = 404, NO_MODEL
        s.up.answer_with(self._answer)

    def say(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body

    async def _answer(self, call: Call) -> None:
        await call.reply(self.status, [*JSON, ("X-Zone", "b")], self.body)


async def as_other(s: Scene) -> RawResponse:
    client = await s.client()
    await client.send(question().replace(b"sk-one", b"sk-two"))
    return await client.response()


async def test_a_model_that_does_not_exist_is_asked_for_once_and_told_to_the_byte() -> None:
    async with scene() as s:
        Backend(s)
        first, *again = [
            await s.whole(**wish)
            for wish in ({}, {}, {"stream": True}, {"stream": True, "stream_options": COUNTS})
        ]
        assert first.get("X-Cache") == "MISS"
        assert s.proxy.records[0].outcome.stored
        for reply in again:
            assert (reply.status, reply.reason, reply.body) == (404, "Scripted", NO_MODEL)
            assert (reply.get("X-Cache"), reply.get("X-Cache-Reason")) == ("HIT", "fresh")
            assert (reply.get("Cache-Status") or "").endswith("; detail=negative")
            assert reply.get("X-Zone") == "b"
            assert reply.get("Content-Type") == "application/json"
        assert s.up.calls == 1


async def test_who_wants_a_stream_and_is_told_an_error_leaves_it_for_all() -> None:
    async with scene() as s:
        Backend(s)
        assert (await s.whole(stream=True)).status == 404
        assert (await s.whole()).get("X-Cache") == "HIT"
        assert s.up.calls == 1


async def test_another_caller_asks_for_himself() -> None:
    async with scene() as s:
        backend = Backend(s)
        await s.whole()
        backend.say(200, DOCUMENT)
        assert (await as_other(s)).body == DOCUMENT
        assert (await s.whole()).status == 404


@pytest.mark.parametrize(("shared", "told"), [(False, 200), (True, 404)])
async def test_where_callers_share_answers_they_share_errors_only_if_that_is_said(
    shared: bool, told: int
) -> None:
    cache = {"scope": {"by": "shared"}, "negative": {"shared": shared}}
    async with scene(cache=cache) as s:
        backend = Backend(s)
        await s.whole()
        backend.say(200, DOCUMENT)
        assert (await as_other(s)).status == told


@pytest.mark.parametrize("status", [401, 402, 403, 408, 409, 425, 429, 431, 500, 502, 503, 504])
async def test_an_error_about_the_caller_the_moment_or_the_server_is_never_kept(
    status: int,
) -> None:
    async with scene() as s:
        Backend(s).say(status, NO_MODEL)
        for _ in range(2):
            assert (await s.whole()).status == status
        assert s.up.calls == 2
        assert s.proxy.store.memory.entries == 0


async def test_an_error_for_no_known_reason_is_not_kept() -> None:
    async with scene() as s:
        Backend(s).say(400, NO_MODEL.replace(b"model_not_found", b"billing_hard_limit_reached"))
        for _ in range(2):
            assert (await s.whole()).get("X-Cache") == "MISS"
        assert s.up.calls == 2


async def test_an_answer_replaces_an_error_and_no_error_an_answer() -> None:
    async with scene() as s:
        backend = Backend(s)
        await s.whole()
        backend.say(200, DOCUMENT)
        assert (await s.whole(headers=ANEW)).body == DOCUMENT
        assert (await s.whole()).body == DOCUMENT
        backend.say(404, NO_MODEL)
        anew = await s.whole(headers=ANEW)
        assert (anew.status, anew.body) == (404, NO_MODEL)
        assert s.proxy.records[-1].outcome.detail == "superseded"
        kept = await s.whole()
        assert (kept.body, kept.get("X-Cache")) == (DOCUMENT, "HIT")


async def test_a_refresh_that_is_told_an_error_leaves_the_stale_answer() -> None:
    cache = {"ttl_s": "1ms", "stale_while_revalidate_s": "1h"}
    async with scene(cache=cache) as s:
        backend = Backend(s)
        backend.say(200, DOCUMENT)
        await s.whole()
        backend.say(404, NO_MODEL)
        await s.proxy.counted(lambda: s.proxy.flights.counts.landed == 1)
        while (stale := await s.whole()).get("X-Cache") != "STALE":
            assert stale.body == DOCUMENT  # the millisecond is not over yet
        await s.proxy.counted(lambda: s.proxy.flights.counts.refreshes_failed == 1)
        again = await s.whole()
        assert (again.get("X-Cache"), again.body) == ("STALE", DOCUMENT)


async def test_an_empty_answer_is_kept_for_a_moment_if_that_is_wanted() -> None:
    for empty, verdict in ((True, "HIT"), (False, "MISS")):
        async with scene(cache={"negative": {"empty": empty}}) as s:
            Backend(s).say(200, EMPTY)
            assert (await s.whole()).body == EMPTY
            again = await s.whole()
            assert (again.get("X-Cache"), again.body) == (verdict, EMPTY)
            assert s.proxy.records[0].outcome.detail == ("negative" if empty else "empty")


async def test_an_empty_stream_is_kept_for_a_moment_and_told_to_the_byte() -> None:
    silence = [STREAM[0], event(finish="stop"), STREAM[-1]]
    async with scene() as s:
        s.up.answer_with(lambda call: stream(call, silence))
        for _ in range(2):
            assert (await s.whole(stream=True)).body == b"".join(silence)
            await s.proxy.landed()
        assert s.up.calls == 1
        assert [record.outcome.detail for record in s.proxy.records[:1]] == ["negative"]


async def test_a_rule_can_forbid_it() -> None:
    async with scene(cache={"rules": [{"model": "m", "negative_ttl_s": 0}]}) as s:
        Backend(s)
        for _ in range(2):
            assert (await s.whole()).get("X-Cache") == "MISS"
        assert s.up.calls == 2


async def test_tags_are_kept_with_the_answer_and_only_the_backends_are_told() -> None:
    async def answer(call: Call) -> None:
        assert call.field("x-cache-tags") == ""
        assert "cache" not in orjson.loads(call.body)
        await call.reply(200, [*JSON, ("Surrogate-Key", "doc:1 doc:2")], DOCUMENT)

    async with scene() as s:
        s.up.answer_with(answer)
        wish = {"headers": "X-Cache-Tags: book\r\n", "cache": {"tags": ["page"]}}
        for reply in (await s.whole(**wish), await s.whole()):
            assert reply.get("Surrogate-Key") == "doc:1 doc:2"
            assert reply.get("X-Cache-Tags") is None
        key = s.proxy.records[0].outcome.key
        assert key is not None
        stored = s.proxy.store.memory.get_now(key)
        assert stored is not None
        assert stored.tags == ("doc:1", "doc:2", "book", "page")
        assert s.proxy.verdicts == ["MISS", "HIT"]

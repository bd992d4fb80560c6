"""The latest outcomes, for whoever looks on."""

from __future__ import annotations

from typing import Any

import orjson
from support.records import CANARY, NOON, lines_of, record

from proxy.model.decision import Why
from proxy.model.meaning import Doubt
from proxy.model.outcome import Delivery, Laps, Verdict
from proxy.model.query import Usage
from proxy.observe.live import Live, Watcher
from proxy.observe.log import Stamp


async def events(watcher: Watcher) -> list[tuple[str, dict[str, Any]]]:
    """What has come to it."""
    told = []
    for piece in (await watcher.some(0.001)).decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in piece.split("\n"))
        data = orjson.loads(fields["data"])
        assert fields.get("id", str(data.get("seq"))) == str(data.get("seq"))
        told.append((fields["event"], data))
    return told


def watched(live: Live, last: int = 0) -> Watcher:
    watcher = live.watch(last)
    assert watcher is not None
    return watcher


async def test_a_request_is_shown_with_all_that_may_be_known() -> None:
    live = Live()
    watcher = watched(live)
    laps = Laps(1.0)
    laps.came, laps.read, laps.looked = 1.25, 1.5, 2.0
    live.take(
        lines_of(
            record(
                delivery=Delivery(200, 77, True, 1.5),
                laps=laps, usage=Usage(10, 20), similarity=0.93, match="0123456789abcdef",
                variant=2, doubt=Doubt.NOBODY, stored=True, detail="negative",
            )
        )
    )  # fmt: skip
    assert await events(watcher) == [
        (
            "request",
            {
                "seq": 1, "at": Stamp()(NOON), "method": "POST", "path": "/v1/chat/completions",
                "status": 200, "outcome": "hit", "reason": "fresh", "detail": "negative",
                "dialect": "openai_chat", "model": "gpt-4o", "tier": "l1_memory",
                "scope": "scope-of-the-caller", "key": (CANARY.encode() * 4).hex(),
                "age_s": 12.34567, "ttl_s": -3.0, "stored": True, "duration_s": 1.5, "bytes": 77,
                "complete": True, "error": None, "similarity": 0.93, "doubt": "no-neighbour",
                "match": "0123456789abcdef", "variant": 2, "input_tokens": 10,
                "output_tokens": 20, "repeats": 0,
                "stages": {
                    "read_s": 0.25, "key_s": 0.25, "lookup_s": 0.5, "meaning_s": None,
                    "flight_s": None,
                },
            },
        )
    ]  # fmt: skip


async def test_what_is_not_known_is_null_and_not_nothing() -> None:
    live = Live()
    watcher = watched(live)
    live.take(
        lines_of(
            record(
                verdict=Verdict.BYPASS, why=Why.ROUTE, dialect="", model="", tier="", key=None,
                age_s=None, ttl_s=None,
            )
        )
    )  # fmt: skip
    [(_, told)] = await events(watcher)
    unknown = {name for name, value in told.items() if value is None}
    assert unknown == {
        "detail", "dialect", "model", "tier", "scope", "key", "age_s", "ttl_s", "stored", "error",
        "similarity", "doubt", "match", "variant", "input_tokens", "output_tokens",
    }  # fmt: skip


async def test_nothing_said_in_confidence_is_shown() -> None:
    live = Live()
    watcher = watched(live)
    live.take(lines_of(record(), record(path="/other", key=None)))
    shown = await watcher.some(0.001)
    assert CANARY.encode() not in shown
    assert b"api-version" not in shown


async def test_who_comes_late_has_the_latest() -> None:
    live = Live()
    live.take(lines_of(*[record(f"/{number}") for number in range(1500)]))
    late = [told["path"] for _, told in await events(watched(live, 3))]
    assert late == ["/1497", "/1498", "/1499"]
    everything = watched(live, 1000)
    told = await events(everything)
    assert told[-1] == ("dropped", {"count": 1000 - (len(told) - 1)})


async def test_numbers_go_on_through_all() -> None:
    live = Live()
    live.take(lines_of(record(), record()))
    watcher = watched(live, 1)
    live.take(lines_of(record()))
    assert [told["seq"] for _, told in await events(watcher)] == [2, 3]


async def test_of_very_many_the_last_are_shown_and_the_others_told_of() -> None:
    live = Live()
    watcher = watched(live)
    live.take(lines_of(*[record(f"/{number}") for number in range(200)]))
    told = await events(watcher)
    assert [each["path"] for name, each in told if name == "request"][-1] == "/199"
    assert len(told) == 65
    assert told[-1] == ("dropped", {"count": 136})


async def test_who_does_not_look_loses_some_and_is_told_how_many() -> None:
    live = Live()
    slow, quick = watched(live), watched(live)
    seen = 0
    for _ in range(30):
        live.take(lines_of(*[record() for _ in range(60)]))
        seen += len(await events(quick))
    assert seen == 1800
    told = await events(slow)
    assert told[-1][0] == "dropped"
    assert len(told) - 1 + told[-1][1]["count"] == 1800
    assert len(told) < 600
    live.take(lines_of(record()))
    assert [name for name, _ in await events(slow)] == ["request"]


async def test_so_many_may_look_on_and_no_more() -> None:
    live = Live()
    watchers = [watched(live) for _ in range(16)]
    assert live.watch(0) is None
    watchers[3].close()
    watchers[3].close()
    assert live.watch(0) is not None


async def test_at_the_end_all_are_let_go() -> None:
    live = Live()
    watcher = watched(live)
    live.close()
    assert await watcher.some(10) == b""
    assert watcher.over
    assert live.watch(0) is None


async def test_whatever_clients_choose_what_is_kept_and_shown_is_bounded_and_printable() -> None:
    live = Live()
    live.take(
        lines_of(record(path="/\x1b]0;\u202e", model="m" * 10**6)),
    )
    kept = live._kept[0]
    assert len(kept[4].model) == 100
    watcher = watched(live, 1)
    shown = await watcher.some(0.001)
    assert len(shown) < 2000
    assert shown.decode().replace("\n", "").isprintable()


async def test_a_method_is_cut_as_well() -> None:
    live = Live()
    lines = [(at, "M" * 9000, *rest) for at, _method, *rest in lines_of(record())]
    live.take(lines)  # type: ignore[arg-type] # as lines are
    assert live._kept[0][1] == "M" * 32


async def test_requests_that_are_told_together_are_one_event_and_no_more_is_kept_of_them() -> None:
    live = Live()
    watcher = watched(live)
    live.take(lines_of(record(), more=[0.5] * 1000))
    [(_, now)] = await events(watcher)
    [(_, late)] = await events(watched(live, 1))
    assert now == late
    assert (now["repeats"], now["duration_s"]) == (1000, record().delivery.duration_s)
    assert live._kept[0][6] == range(1000)


async def test_all_that_are_told_together_are_missed_together() -> None:
    live = Live()
    watcher = watched(live)
    live.take([*lines_of(*[record()] * 3, more=[0.5] * 9), *lines_of(*[record()] * 64)])
    told = await events(watcher)
    assert told[-1] == ("dropped", {"count": 30})
    for _ in range(20):
        live.take(lines_of(*[record()] * 60, more=[0.5]))
    told = await events(watcher)
    assert 2 * (len(told) - 1) + told[-1][1]["count"] == 2400

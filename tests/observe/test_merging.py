"""Several workers, added up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import lines_of, record

from proxy.histogram import Histogram
from proxy.model.decision import Why
from proxy.model.outcome import Verdict
from proxy.observe.merging import LOST, merged, remains, summed, with_gone
from proxy.observe.process import Figures
from proxy.observe.snapshot import Reader, Snapshot, Unreadable, written
from proxy.observe.state import (
    CallsState,
    ConfigState,
    ExpressState,
    GuardState,
    MemoryState,
    SemanticState,
    State,
    StratumState,
    TierState,
    UpstreamState,
)
from proxy.observe.tally import OTHER, Counted, Tally
from proxy.prices import Price, Prices
from proxy.splitters import Splitter


def histogram(*values: float) -> Histogram:
    counted = Histogram()
    counted.add_all(values)
    return counted


MEMORY = TierState(
    "l1_memory", "up", True, 5, 6, 7, {"get": {"hit": 8}}, {"get": histogram(0.001)},
    {"evicted": 9}, {"late": 1},
)  # fmt: skip
DISK = replace(MEMORY, tier="l2_disk", detail={"late": 1, "standing": "on"}, shared=True)
BACKEND = UpstreamState(
    "main", "http://b", "/", True, True, 1, 2, 10, 3, {"2xx": 4}, {"timeout": 5}, histogram(0.5)
)
STRATUM = StratumState("s", 0.1, 0.05, 0.2, 0.9, False, 17)
STATE = State(
    clients={"open": 2, "received": 3, "turned_away": 0},
    flights={"started": 3},
    flying=1,
    calls=CallsState(2, 3, 4, {"full": 5}),
    tiers=[MEMORY, DISK],
    guard=GuardState(0.5, 10, 11, 12),
    purges={"tag": 13},
    purges_untold=14,
    purge_generation=15,
    upstreams=[BACKEND],
    semantic=SemanticState({"semantic": 16}, histogram(0.9), [STRATUM], True, 18, 19, 20),
    fleet={"led": 21},
    compression={"requests": 22},
    batching={"inputs": 23},
    bugs={"clients": 24},
    log_lines_dropped=25,
    config=ConfigState(2, 1e9, {"applied": 1}, True),
    memory=MemoryState(26, 27, "spare", 2, {"shrink": 28}, 29),
    express=ExpressState(30, 31, 32, 33),
    workers={"ready": 1},
    worker_restarts=1,
)


def snapshot(state: State = STATE, *verdicts: Verdict, pid: int = 1) -> Snapshot:
    tally = Tally(Prices([Price("*", 1.0, 1.0)]))
    tally.take(lines_of(*(record(verdict=each) for each in verdicts)))
    return Snapshot(
        tally.counted(), histogram(0.003), state, [Splitter("x-id", 3, 2)],
        Figures(1.5, 100, 200, 10, 20), pid, 1, 1e9,
    )  # fmt: skip


def same(one: object, other: object) -> bool:
    return written(one) == written(other)


# -- a field for everything -----------------------------------------------------------------------


def altered(value: Any) -> Iterator[Any]:  # noqa: PLR0912 - a case for each kind of value
    """``value`` with one thing in it another, for each thing in it; always more, or worse."""
    match value:
        case bool():
            yield not value
        case int() | float():
            yield value + 1
        case None:
            return
        case Histogram():
            yield histogram(0.25, 0.5, 0.75)
        case str():
            yield "down" if value == "up" else f"{value}-other"
        case Mapping():
            for name, each in value.items():
                for other in altered(each):
                    yield {**value, name: other}
        case list() | tuple():
            for at, each in enumerate(value):
                for other in altered(each):
                    yield [*value[:at], other, *value[at + 1 :]]
        case _ if is_dataclass(value) and not isinstance(value, type):
            for each in fields(value):
                current = getattr(value, each.name)
                assert current is not None, f"say something of {each.name}"
                assert current not in ({}, [], ()), f"say something of {each.name}"
                for other in altered(getattr(value, each.name)):
                    yield replace(value, **{each.name: other})
        case _:
            raise AssertionError(f"what is a {type(value).__name__}?")


def test_whatever_a_worker_says_has_a_say_in_what_is_told() -> None:
    """Also of fields that are added later: none can be forgotten in the sum."""
    before = merged([STATE, STATE])
    for other in altered(STATE):
        assert not same(merged([other, other]), before), other


def test_one_alone_is_told_as_it_is() -> None:
    assert same(merged([STATE]), STATE)
    nobody = replace(snapshot(), state=replace(STATE, tiers=[], upstreams=[]))
    assert same(with_gone(STATE, remains(nobody).state).tiers, STATE.tiers)


# -- what adds up, and what does not --------------------------------------------------------------


def test_what_is_counted_adds_up_and_what_is_shared_is_told_once() -> None:
    told = merged([STATE, STATE, STATE])
    assert told.clients == {"open": 6, "received": 9, "turned_away": 0}
    assert (told.flying, told.purges_untold, told.log_lines_dropped) == (3, 42, 75)
    assert (told.purges, told.purge_generation) == ({"tag": 13}, 15)
    memory, disk = told.tiers
    assert (memory.entries, memory.bytes, memory.max_bytes) == (15, 18, 21)
    assert (disk.entries, disk.bytes, disk.max_bytes) == (5, 6, 7)
    for tier in told.tiers:
        assert tier.operations == {"get": {"hit": 24}}
        assert tier.removed == {"evicted": 27}
        assert tier.seconds["get"].count == 3
    assert disk.detail == {"late": 3, "standing": "on"}
    assert told.calls == CallsState(6, 9, 12, {"full": 15})
    assert told.memory == MemoryState(26, 27, "spare", 2, {"shrink": 28}, 87)
    (backend,) = told.upstreams
    assert (backend.in_use, backend.max_connections, backend.refused) == (6, 30, 3)
    assert backend.head.count == 3
    assert told.guard == GuardState(0.5, 30, 33, 36)
    assert told.semantic is not None
    assert told.semantic.index_rows == 18
    assert same(told.semantic.strata, [STRATUM])


@pytest.mark.parametrize(
    ("standings", "told"),
    [
        (("up", "up"), "up"),
        (("up", "distrusted"), "distrusted"),
        (("down", "up"), "down"),
        (("distrusted", "down", "up"), "down"),
        (("off", "up"), "off"),
    ],
)
def test_a_tier_is_as_its_worst_worker_finds_it(standings: tuple[Any, ...], told: str) -> None:
    states = [
        replace(STATE, tiers=[replace(DISK, standing=each, trusted=each == "up")])
        for each in standings
    ]
    (tier,) = merged(states).tiers
    assert tier.standing == told
    assert tier.trusted == (told == "up")


def test_of_a_stratum_the_one_who_knows_most_is_believed_and_one_can_close_it() -> None:
    knows = replace(STRATUM, labels=100, error=0.01)
    closed = replace(STRATUM, is_open=True)
    states = []
    for stratum in (knows, closed):
        assert STATE.semantic is not None
        states.append(replace(STATE, semantic=replace(STATE.semantic, strata=[stratum])))
    told = merged(states).semantic
    assert told is not None
    assert told.strata == [replace(knows, is_open=True)]


def test_splitters_are_put_together_by_header() -> None:
    one = replace(snapshot(), splitters=[Splitter("a", 5, 1), Splitter("b", 2, 7)])
    other = replace(snapshot(), splitters=[Splitter("a", 3, 9)])
    assert summed([one, other]).splitters == [Splitter("a", 5, 10), Splitter("b", 2, 7)]


# -- those who are gone ---------------------------------------------------------------------------


def test_of_one_that_is_gone_what_it_counted_stays_and_what_was_the_case_does_not() -> None:
    told = with_gone(STATE, remains(snapshot()).state)
    assert told.clients == {"open": 2, "received": 6, "turned_away": 0}
    assert told.flights == {"started": 6}
    assert told.calls == CallsState(2, 3, 4, {"full": 10})
    assert told.memory == MemoryState(26, 27, "spare", 2, {"shrink": 28}, 58)
    assert (told.flying, told.purges_untold) == (1, 14)
    memory, disk = told.tiers
    assert (memory.entries, disk.entries) == (5, 5)
    assert (memory.operations, memory.removed) == ({"get": {"hit": 16}}, {"evicted": 18})
    assert disk.detail == {"late": 2, "standing": "on"}
    (backend,) = told.upstreams
    assert (backend.in_use, backend.max_connections, backend.responses) == (2, 10, {"2xx": 8})
    assert told.guard == GuardState(0.5, 20, 22, 24)
    assert told.semantic is not None
    assert told.semantic.lookups == {"semantic": 32}
    assert same(told.semantic.strata, [STRATUM])
    assert told.semantic.embedder_up is True


def test_tiers_and_backends_are_those_of_the_living() -> None:
    gone = replace(STATE, upstreams=[replace(BACKEND, upstream="old"), BACKEND], guard=None)
    living = replace(STATE, tiers=[MEMORY], upstreams=[replace(BACKEND, url="http://moved")])
    told = with_gone(living, remains(snapshot(gone)).state)
    assert [each.tier for each in told.tiers] == ["l1_memory"]
    (backend,) = told.upstreams
    assert (backend.url, backend.responses) == ("http://moved", {"2xx": 8})


def test_backends_of_one_name_count_together_and_are_added_to_each_of_that_name() -> None:
    twice = replace(STATE, upstreams=[BACKEND, replace(BACKEND, prefix="/b")])
    told = with_gone(twice, remains(snapshot(twice)).state)
    assert [each.responses for each in told.upstreams] == [{"2xx": 8}, {"2xx": 8}]


def test_what_was_under_way_in_one_that_died_is_an_error() -> None:
    said = snapshot(STATE, Verdict.HIT)  # it has received 3
    assert (said.over, said.under_way) == (1, 2)
    left = remains(said)
    assert (left.over, left.under_way) == (3, 0)
    assert {group: row.requests for group, row in left.counted.rows}[LOST] == 2
    assert LOST.reason == Why.WORKER_LOST
    assert (left.process.cpu_s, left.process.rss_bytes) == (1.5, None)


@given(st.lists(st.lists(st.sampled_from(Verdict), max_size=4), min_size=1, max_size=5), st.data())
def test_who_dies_in_whatever_order_the_sum_is_the_same(
    workers: list[list[Verdict]], data: st.DataObject
) -> None:
    """Conservation: nothing is counted twice or lost by being added before or after."""
    all_of = [
        snapshot(replace(STATE, clients={"received": len(each), "turned_away": 0}), *each)
        for each in workers
    ]
    living, gone = list(all_of), snapshot(replace(STATE, clients={"received": 0}))
    gone = remains(replace(gone, state=merged([gone.state])))
    base = gone
    while living:
        place = data.draw(st.integers(0, len(living) - 1))
        gone = summed([gone, remains(living.pop(place))])
        whole = summed([gone, *living])
        assert whole.over == whole.state.clients["received"] == sum(map(len, workers))
    once = summed([base, *(remains(each) for each in all_of)])
    assert same(sorted(once.counted.rows), sorted(gone.counted.rows)) or once.over == gone.over
    assert once.lag.counts == gone.lag.counts


# -- the tally ------------------------------------------------------------------------------------


def test_models_that_were_kept_apart_stay_so_and_there_are_not_more_than_allowed() -> None:
    def of(*models: str) -> Counted:
        tally = Tally(Prices())
        tally.take(lines_of(*(record(model=each) for each in models)))
        return tally.counted()

    tally = Tally(Prices(), most_models=2)
    tally.become([of("a", "b", "c")])
    assert {name: row.requests for name, row in tally.models.items()} == {
        "a": 1, "b": 1, OTHER: 1,
    }  # fmt: skip
    tally.become([of("c", "c", "b", "a"), of("d")])
    assert {name: row.requests for name, row in tally.models.items()} == {
        "a": 1, "b": 1, OTHER: 3,
    }  # fmt: skip


def test_a_tally_that_has_become_others_is_their_sum() -> None:
    parts = [snapshot(STATE, *each).counted for each in ((Verdict.HIT,), (Verdict.HIT,) * 2)]
    tally = Tally(Prices())
    tally.become(parts)
    whole = snapshot(STATE, *[Verdict.HIT] * 3).counted
    told = tally.counted()
    assert [row.requests for _, row in told.rows] == [row.requests for _, row in whole.rows]
    assert told.latency["hit"].counts == whole.latency["hit"].counts
    assert told.saved.calls == whole.saved.calls


# -- on the way -----------------------------------------------------------------------------------


def test_a_snapshot_is_read_as_it_was_written() -> None:
    said = snapshot(STATE, Verdict.HIT, Verdict.MISS)
    again = Reader(Snapshot).read(written(said))
    assert same(again, said)
    assert again.state.tiers[1].shared
    assert again.splitters == [Splitter("x-id", 3, 2)]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"counted": 1}', b"\xff"])
def test_what_is_no_snapshot_is_unreadable_and_not_quoted(data: bytes) -> None:
    with pytest.raises(Unreadable, match="fault"):
        Reader(Snapshot).read(data)


def test_what_cannot_be_written_is_a_bug_that_shows() -> None:
    with pytest.raises(TypeError):
        written(object())


def test_each_worker_has_answers_of_its_own_at_hand_and_a_dead_one_has_none() -> None:
    assert merged([STATE, STATE]).express == ExpressState(60, 62, 64, 66)
    gone = remains(snapshot()).state
    assert with_gone(STATE, gone).express == ExpressState(60, 31, 32, 33)

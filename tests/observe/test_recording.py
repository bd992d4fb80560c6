from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import pytest
from support.cranked import Given
from support.traced import RECORDING

from proxy.model.decision import Why
from proxy.model.entry import CacheKey, Lifetime
from proxy.model.meaning import Doubt, Script
from proxy.model.message import Head, Headers, Request
from proxy.model.outcome import Delivery, Kept, Laps, Nearest, Outcome, Record, Verdict
from proxy.model.query import Controls, Usage
from proxy.observe import trace
from proxy.observe.gather import Gathering, Line
from proxy.observe.recording import Recorder
from proxy.observe.trace import Block, Row, TraceFile
from proxy.observe.trace_writer import TraceWriter
from proxy.semantic.budget.labels import Label, Source, Stratum
from proxy.wire.cache_control import UNASKED

KEY = CacheKey("whose", bytes(range(32)))
OTHER = CacheKey("whose", bytes(range(1, 33)))
REQUEST = Request(
    "POST", "/v1/chat/completions", "key=secret", Headers([("X-A", "hidden")]), Given(b"{}")
)
DELIVERY = Delivery(200, 900, True, 0.25)


def laps() -> Laps:
    marks = Laps(10.0)
    marks.came, marks.read, marks.looked = 10.01, 10.02, 10.05
    return marks


def hit(**more: object) -> Outcome:
    made = Outcome(
        Verdict.HIT, Why.FRESH, dialect="openai_chat", model="m", tier="l1_memory", key=KEY,
        age_s=20.0, ttl_s=40.0, laps=laps(), usage=Usage(7, 11), spared_s=2.5, controls=UNASKED,
    )  # fmt: skip
    return made._replace(**more)  # type: ignore[arg-type] # as the test names them


def miss(head: Head | None = None, **more: object) -> Outcome:
    kept = Kept(3210, Lifetime(55.0), head or Head(200, "OK", Headers()), 1.5)
    made = Outcome(
        Verdict.MISS, Why.UNSEEN, dialect="openai_chat", model="m", key=KEY, stored=True,
        laps=laps(), usage=Usage(7, 11), controls=UNASKED, kept=kept, terms_ttl_s=60.0,
        upstream_s=0.5,
    )  # fmt: skip
    return made._replace(**more)  # type: ignore[arg-type] # as the test names them


def line(
    outcome: Outcome,
    delivery: Delivery = DELIVERY,
    more: Sequence[float] = (),
    ended: float = 5000.0,
) -> Line:
    """What is gathered of a request, and of those that are told with it."""
    return (ended, REQUEST.method, REQUEST.path, REQUEST.peer, outcome, delivery, more)


class Kit:
    """A recorder and the file it writes."""

    def __init__(self, folder: Path, *, most: int = 5000, salt: bytes = b"s" * 32) -> None:
        self.path = folder / "t.sct"
        writer = TraceWriter(self.path, max_bytes=10**7, recording=RECORDING)
        self.recorder = Recorder(writer, salt=salt, wall=lambda: 5000.0, most=most)

    def blocks(self, *outcomes: Outcome, delivery: Delivery = DELIVERY) -> list[Block]:
        """What stands in the file once these were recorded."""
        for outcome in outcomes:
            self.recorder.take([line(outcome, delivery)])
        self.recorder.start()
        self.recorder.close()
        return list(TraceFile(self.path))

    def rows(self, *outcomes: Outcome, delivery: Delivery = DELIVERY) -> list[Row]:
        return [row for block in self.blocks(*outcomes, delivery=delivery) for row in block.rows]


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def test_a_hit_is_a_row_of_when_it_looked_and_what_it_spared(kit: Kit) -> None:
    (row,) = kit.rows(hit())

    assert row.at == pytest.approx(5000.0 - 0.2, abs=1e-5)  # it looked 0.05 s after it came
    assert row.took == pytest.approx(0.2, rel=1e-4)
    assert row.kind == (
        "HIT", "fresh", "", "l1_memory", "openai_chat", "m", "/v1/chat/completions", "",
    )  # fmt: skip
    facts = row.facts
    assert (facts.sent, facts.size, facts.read, facts.written) == (900, 0, 7, 11)
    assert (facts.age, facts.ttl, facts.backend) == (20.0, 40.0, 2.5)
    assert all(map(isnan, (facts.told_ttl, facts.max_age, facts.score, facts.head)))
    assert (row.flags, row.near) == (0, 0)


def test_a_miss_is_a_row_of_what_was_made_of_the_answer(kit: Kit) -> None:
    said = "max-age=30, stale-while-revalidate=5, stale-if-error=600"
    head = Head(200, "OK", Headers([("CDN-Cache-Control", said), ("Age", "3")]))
    (row,) = kit.rows(miss(head))

    facts = row.facts
    assert (facts.size, facts.ttl, facts.backend, facts.head) == (3210, 55.0, 1.5, 0.5)
    assert (facts.told_ttl, facts.told_revalidate, facts.told_on_error) == (30.0, 5.0, 600.0)
    assert facts.told_age == 3.0
    assert row.flags == trace.STORED | trace.TARGETED


@pytest.mark.parametrize(
    ("outcome", "flags"),
    [
        (miss(stored=False, detail=Why.SET_COOKIE, kept=None), trace.NOT_STORED),
        (miss(stored=None, kept=None), 0),
        (miss(about_now=True), trace.STORED | trace.ABOUT_NOW),
        (miss(terms_ttl_s=30.0), trace.STORED | trace.CONFIDENT),
        (miss(terms_ttl_s=30.0, controls=Controls(ttl=55.0)), trace.STORED),
        (miss(controls=Controls(no_cache=True)), trace.STORED | trace.NO_CACHE),
        (hit(controls=Controls(only_if_cached=True)), trace.ONLY_IF_CACHED),
        (
            miss(Head(200, "OK", Headers([("Cache-Control", "must-revalidate")]))),
            trace.STORED | trace.MUST_REVALIDATE,
        ),
    ],
)  # fmt: skip
def test_what_is_true_or_not_is_a_flag(kit: Kit, outcome: Outcome, flags: int) -> None:
    (row,) = kit.rows(outcome)
    assert row.flags == flags


def test_an_error_that_was_kept_is_told_from_an_answer(kit: Kit) -> None:
    kept = miss().kept
    assert kept is not None
    (row,) = kit.rows(miss(kept=kept._replace(negative=True)))
    assert row.flags == trace.STORED | trace.NEGATIVE


def test_what_the_caller_asks_for_is_told(kit: Kit) -> None:
    asked = Controls(max_age=1.0, min_fresh=2.0, max_stale=float("inf"), ttl=4.0)
    (row,) = kit.rows(hit(controls=asked))
    assert row.facts[12:16] == (1.0, 2.0, float("inf"), 4.0)


def test_a_reply_that_did_not_arrive_is_told(kit: Kit) -> None:
    (row,) = kit.rows(hit(), delivery=Delivery(200, 5, False, 0.25, "gone"))
    assert row.flags == trace.INCOMPLETE


def test_a_hit_by_meaning_has_its_own_key_and_that_of_what_was_served(kit: Kit) -> None:
    served = hit(
        why=Why.SEMANTIC, key=OTHER, match=KEY.digest[:8].hex(), similarity=0.93,
        nearest=Nearest(OTHER, 0.93, unopposed=True),
    )  # fmt: skip
    missed = miss(doubt=Doubt.VETO_NUMBERS, nearest=Nearest(KEY, 0.8, unopposed=False))
    by_meaning, own, opposed = kit.rows(served, miss(), missed._replace(key=OTHER))

    assert by_meaning.key == own.key == opposed.near
    assert by_meaning.near == opposed.key
    assert by_meaning.flags == trace.UNOPPOSED
    assert opposed.flags == trace.STORED
    assert by_meaning.facts.score == pytest.approx(0.93, rel=1e-4)
    assert opposed.kind.doubt == "veto-numbers"


def test_only_what_was_looked_for_is_a_row_and_the_rest_is_counted(kit: Kit) -> None:
    bypass = Outcome(Verdict.BYPASS, Why.STATEFUL)
    resource = Outcome(Verdict.HIT, Why.FRESH, key=KEY)  # of no dialect: nothing was asked of us
    (block,) = kit.blocks(hit(), bypass, bypass, resource, hit(parts=3))

    assert len(block.rows) == 1
    assert block.others == {"bypass": 2, "hit": 1, "divided": 1}
    assert kit.recorder.recorded == 1


def test_the_rest_is_counted_once(tmp_path: Path) -> None:
    first = Kit(tmp_path)
    first.recorder.take([line(Outcome(Verdict.BYPASS, Why.ROUTE))])
    first.recorder._writer.open()
    first.recorder._put()
    first.recorder._put()
    first.recorder.take([line(hit())])
    first.recorder._gather()
    first.recorder._put()
    first.recorder._writer.close()

    assert [dict(block.others) for block in TraceFile(first.path)] == [{"bypass": 1}, {}]


def test_two_recordings_have_nothing_in_common_and_neither_has_a_key(tmp_path: Path) -> None:
    told = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        kit = Kit(tmp_path / name, salt=name.encode() * 32)
        (row,) = kit.rows(hit())
        told.append((row.key, row.scope))
        assert KEY.digest[:8] != row.key.to_bytes(8, "little")
        assert KEY.scope.encode() not in kit.path.read_bytes()
    assert set(told[0]).isdisjoint(told[1])


def test_no_content_no_header_and_no_query_string_is_told(kit: Kit) -> None:
    request = replace_body(b"CANARY-body")
    gathering = Gathering([kit.recorder], wall=lambda: 5000.0, call_later=lambda *_: None)
    gathering.write(Record(request, hit(), DELIVERY))
    gathering.flush()
    (block,) = kit.blocks(miss(Head(200, "OK", Headers([("X-Y", "CANARY-head")]))))

    assert len(block.rows) == 2
    for secret in ("CANARY", "secret", "hidden"):
        assert secret not in repr(block)


def replace_body(body: bytes) -> Request:
    return REQUEST._replace(body=Given(body))


def test_names_that_clients_choose_are_bounded_and_printable(kit: Kit) -> None:
    odd = [hit(model=f"m{n}") for n in range(1001)]
    rows = kit.rows(hit(model="\x1b[31m" + "x" * 5000), *odd)

    assert rows[0].kind.model.startswith("\\x1b[31m")
    assert len(rows[0].kind.model) < 150
    assert rows[-1].kind.model == "other"
    assert len({row.kind.model for row in rows}) == 1001


def test_numbers_that_a_backend_makes_up_fit(kit: Kit) -> None:
    (row,) = kit.rows(hit(usage=Usage(-5, 10**30)))
    assert (row.facts.read, row.facts.written) == (0, 2**32 - 1)


def test_an_age_that_nothing_has_is_infinite(kit: Kit) -> None:
    (row,) = kit.rows(miss(Head(200, "OK", Headers([("Age", "9" * 60)]))))
    assert row.facts.told_age == float("inf")


def test_what_comes_faster_than_it_is_written_is_dropped_and_told(tmp_path: Path) -> None:
    kit = Kit(tmp_path, most=10)
    (block,) = kit.blocks(*[hit()] * 25)

    assert (len(block.rows), block.dropped) == (10, 15)
    assert (kit.recorder.recorded, kit.recorder.dropped) == (10, 15)


def test_more_than_a_block_holds_is_several(tmp_path: Path) -> None:
    kit = Kit(tmp_path, most=10_000)
    blocks = kit.blocks(*[hit()] * 9000)

    assert len(blocks) == 3
    assert sum(len(block.rows) for block in blocks) == 9000


def test_labels_are_told_but_for_those_that_are_no_numbers(kit: Kit) -> None:
    stratum = Stratum("model", Script.LATIN, "m")
    good = Label(0.9, wrong=True, weight=4.0, source=Source.SHADOW, served=True)
    kit.recorder.label(stratum, good)
    kit.recorder.label(stratum, replace(good, score=float("nan")))
    (block,) = kit.blocks()

    (told,) = block.labels
    assert told == (5000.0, 0.9, True, 4.0, "shadow", True, "model", "latin")


class Failing(TraceWriter):
    """A disk that is full, for as long as it is."""

    full = True

    def put(self, block: bytes) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().put(block)


def test_a_full_disk_loses_rows_and_tells_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Failing(tmp_path / "t.sct", max_bytes=10**6, recording=RECORDING)
    recorder = Recorder(writer, salt=b"s" * 32, wall=lambda: 5000.0)
    writer.open()
    with caplog.at_level(logging.WARNING, "sidecache.recording"):
        for full in (True, True, False):
            writer.full = full
            recorder.take([line(hit())])
            recorder._gather()
            recorder._put()
    writer.close()

    assert [record.message for record in caplog.records] == ["requests are not recorded"]
    (block,) = TraceFile(tmp_path / "t.sct")
    assert (len(block.rows), block.dropped) == (1, 2)
    assert (recorder.dropped, recorder.failed) == (2, False)


def test_a_bug_ends_neither_the_thread_nor_the_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kit = Kit(tmp_path)
    with caplog.at_level(logging.ERROR, "sidecache.recording"):
        assert kit.rows(hit(detail=b"odd")) == []  # nobody says so, and if he does
    assert [record.message for record in caplog.records] == ["requests could not be recorded"]


def test_each_of_those_that_are_told_together_is_a_row(kit: Kit) -> None:
    kit.recorder.take([line(hit(), more=(0.5, 0.01), ended=4999.5)])
    first, *more = kit.rows()

    assert [row.took for row in more] == [pytest.approx(0.45, rel=1e-4), 0.0]
    same = {repr(row._replace(at=first.at, took=first.took)) for row in more}
    assert same == {repr(first)}  # no nan is equal to another
    assert kit.recorder.recorded == 3


@pytest.mark.parametrize(
    ("ended", "within"), [(4999.5, 0.5), (4000.0, 1.0), (5000.0, 0.0), (6000.0, 0.0)]
)
def test_those_that_are_told_together_ended_between_the_first_of_them_and_now(
    kit: Kit, ended: float, within: float
) -> None:
    kit.recorder.take([line(hit(laps=None), more=[0.25] * 99, ended=ended)])
    first, *more = kit.rows()
    ends = [row.at + row.took - ended for row in more]

    assert first.at == pytest.approx(ended - 0.25, abs=1e-5)
    assert ends == pytest.approx([within * (at + 1) / 99 for at in range(99)], abs=1e-5)


def test_of_many_that_are_told_together_every_one_is_a_row_or_told_to_be_lost(
    tmp_path: Path,
) -> None:
    kit = Kit(tmp_path, most=6000)
    for _ in range(7):
        kit.recorder.take([line(hit(laps=None), more=[0.1] * 999)])
    kit.recorder.take([line(Outcome(Verdict.HIT, Why.FRESH), more=[0.1] * 9)])
    blocks = kit.blocks(hit())

    rows = [row for block in blocks for row in block.rows]
    assert (len(rows), {row.key for row in rows}) == (6000, {rows[0].key})
    assert all(len(block.rows) <= trace.MOST_ROWS for block in blocks)
    assert sum(block.dropped for block in blocks) == 1001
    assert [dict(block.others) for block in blocks if block.others] == [{"hit": 10}]
    assert (kit.recorder.recorded, kit.recorder.dropped) == (6000, 1001)


def test_of_those_that_are_told_together_as_many_are_kept_as_there_is_room_for(
    tmp_path: Path,
) -> None:
    kit = Kit(tmp_path, most=10)
    kit.recorder.take([line(hit(), more=(0.1,) * 3), line(hit(), more=(0.1,) * 99)])
    assert (len(kit.rows()), kit.recorder.dropped) == (10, 94)


def test_what_was_written_makes_room(tmp_path: Path) -> None:
    kit = Kit(tmp_path, most=10)
    kit.recorder._writer.open()
    for _ in range(3):
        kit.recorder.take([line(hit(), more=(0.1,) * 9)])
        kit.recorder._gather()
        kit.recorder._put()
    kit.recorder._writer.close()
    assert (kit.recorder.recorded, kit.recorder.dropped) == (30, 0)

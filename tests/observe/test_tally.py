"""What becomes of requests, counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import HIT, lines_of, record

from proxy.model.decision import Why
from proxy.model.outcome import Delivery, Fwd, Laps, Record, Verdict
from proxy.model.query import Usage
from proxy.observe.tally import OTHER, Group, Spending, Tally
from proxy.prices import Price, Prices

PRICES = Prices([Price("gpt-4o", 2.5, 10.0), Price("text-*", 1.0, 0.0)])
MISS = {
    "verdict": Verdict.MISS, "why": Why.UNSEEN, "tier": "", "fwd": Fwd.URI_MISS, "age_s": None,
    "ttl_s": None, "stored": True, "upstream_s": 1.5, "usage": Usage(1000, 200),
}  # fmt: skip
ASKED = Delivery(200, 1000, True, 2.0)
FAILED = Delivery(404, 50, True, 0.1)


def hit(**more: object) -> Record:
    return record(**{"usage": Usage(1000, 200), "spared_s": 2.5, **more})  # type: ignore[arg-type] # as record's


def miss(delivery: Delivery = ASKED, **more: object) -> Record:
    return record(delivery=delivery, **MISS | more)  # type: ignore[arg-type] # as record's


def tallied(*records: Record, most_models: int = 50) -> Tally:
    tally = Tally(PRICES, most_models=most_models)
    tally.take(lines_of(*records))
    return tally


def test_requests_are_counted_by_what_they_have_in_common() -> None:
    tally = tallied(hit(), hit(model="other-model"), miss(), hit())
    assert {group: row.requests for group, row in tally.rows.items()} == {
        Group("hit", "fresh", "openai_chat", "l1_memory"): 3,
        Group("miss", "uri-miss", "openai_chat", ""): 1,
    }
    row = tally.rows[Group("hit", "fresh", "openai_chat", "l1_memory")]
    assert (row.bytes, row.seconds) == (3 * HIT.sent, pytest.approx(3 * HIT.duration_s))


def test_every_verdict_has_its_latency() -> None:
    tally = tallied(hit(), miss(), miss())
    assert {name: each.count for name, each in tally.latency.items()} == {"hit": 1, "miss": 2}
    assert tally.latency["miss"].sum == pytest.approx(4.0)


def test_what_nobody_knows_the_length_of_has_no_latency() -> None:
    tally = tallied(
        record(delivery=Delivery(400, 10, True, 0.0), verdict=Verdict.ERROR, why=Why.BAD_REQUEST)
    )
    assert tally.latency["error"].count == 0


def test_hits_save_what_their_answers_cost() -> None:
    saved = tallied(hit(), hit(verdict=Verdict.STALE), hit(verdict=Verdict.COALESCED)).saved
    assert (saved.calls, saved.input_tokens, saved.output_tokens) == (3, 3000, 600)
    assert saved.seconds == pytest.approx(7.5)
    assert saved.money == pytest.approx(3 * (0.0025 + 0.002))


def test_misses_spend_it() -> None:
    tally = tallied(miss(), miss(usage=None))
    spent = tally.spent
    assert (spent.calls, spent.input_tokens, spent.output_tokens) == (2, 1000, 200)
    assert spent.money == pytest.approx(0.0045)
    assert (tally.saved.calls, tally.saved.money) == (0, 0.0)


def test_what_was_known_of_an_answer_is_saved_and_the_rest_is_spent() -> None:
    tally = tallied(
        miss(usage=Usage(100, 0), known=Usage(80, 0), model="text-embedding"),
        miss(usage=None, known=Usage(7, 0), model="text-embedding"),
    )
    assert (tally.spent.input_tokens, tally.saved.input_tokens) == (20, 87)
    assert (tally.spent.calls, tally.saved.calls) == (2, 0)
    assert tally.saved.money == pytest.approx(87e-6)


def test_what_is_passed_on_is_a_call_of_unknown_cost() -> None:
    passed = {"dialect": "", "model": "", "verdict": Verdict.BYPASS, "why": Why.ROUTE, "tier": ""}
    tally = tallied(record(**passed, fwd=Fwd.BYPASS), record(**passed))  # type: ignore[arg-type] # as record's
    assert (tally.spent.calls, tally.models) == (1, {})


def test_what_was_said_without_a_backend_is_no_call() -> None:
    said = {"verdict": Verdict.DEGRADED, "why": Why.MESSAGE, "tier": "", "fwd": None}
    assert tallied(record(**said)).spent.calls == 0  # type: ignore[arg-type] # as record's


def test_models_are_counted_apart() -> None:
    models = tallied(hit(), miss(), hit(model="b")).models
    assert {name: (row.requests, row.hits) for name, row in models.items()} == {
        "gpt-4o": (2, 1), "b": (1, 1),
    }  # fmt: skip
    assert models["gpt-4o"].spent.output_tokens == 200
    assert models["b"].saved.output_tokens == 200


def test_tokens_without_a_price_are_named() -> None:
    tally = tallied(hit(model="b"), hit())
    assert tally.unpriced == {"b"}
    assert tally.saved.input_tokens == 2000
    assert tally.saved.money == pytest.approx(0.0045)


def test_so_many_models_are_kept_and_the_rest_is_together() -> None:
    tally = tallied(*[miss(model=f"m{number}") for number in range(1000)], most_models=3)
    assert list(tally.models) == ["m0", "m1", "m2", OTHER]
    assert tally.models[OTHER].requests == 997
    assert len(tally.unpriced) == 3


def test_a_model_that_no_backend_knows_takes_no_place() -> None:
    tally = tallied(
        *[miss(FAILED, model=f"guess{number}", usage=None) for number in range(100)],
        record(model="never", verdict=Verdict.ERROR, why=Why.UPSTREAM_ERROR, tier=""),
        miss(model="real"),
        most_models=1,
    )
    assert set(tally.models) == {OTHER, "real"}
    assert tally.models[OTHER].requests == 101


def test_the_money_of_a_model_without_a_place_is_counted_by_its_own_price() -> None:
    tally = tallied(miss(model="a"), miss(), most_models=1)
    assert tally.models[OTHER].spent.money == pytest.approx(0.0045)


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("m" * 5000, "m" * 100),
        ("a\nb\x1b[0m", "a\\nb\\x1b[0m"),
        ("a\udcff", "a\\udcff"),
        ("", "none"),
    ],
)
def test_whatever_clients_call_a_model_its_label_is_short_and_printable(
    model: str, label: str
) -> None:
    assert list(tallied(miss(model=model)).models) == [label]


def laps(came: float, read: float, looked: float) -> Laps:
    marks = Laps(100.0)
    marks.came, marks.read, marks.looked = 100.0 + came, 100.0 + read, 100.0 + looked
    return marks


def test_the_stages_of_a_request_are_counted_and_add_up() -> None:
    tally = tallied(miss(laps=laps(0.1, 0.15, 0.25)))
    assert {place: each.sum for place, each in tally.stages.items()} == {
        ("read", "miss"): pytest.approx(0.1),
        ("key", "miss"): pytest.approx(0.05),
        ("lookup", "miss"): pytest.approx(0.1),
        ("flight", "miss"): pytest.approx(1.5),
        ("deliver", "miss"): pytest.approx(0.25),
    }


def test_when_busy_every_eighth_hit_is_looked_at_stage_by_stage_and_every_miss() -> None:
    marks = laps(1e-5, 2e-5, 3e-5)
    records = [hit(laps=marks) for _ in range(80)] + [miss(laps=marks) for _ in range(40)]
    tally = tallied(*records)
    assert tally.stages["read", "hit"].count == 10
    assert tally.stages["read", "miss"].count == 40
    assert tally.latency["hit"].count == 80


def test_other_prices_hold_from_now_on() -> None:
    tally = tallied(miss())
    tally.adopt(Prices([Price("*", 0.0, 100.0)], "EUR"), 1)
    tally.take(lines_of(miss()))
    assert tally.spent.money == pytest.approx(0.0045 + 0.02)
    assert tally.prices.currency == "EUR"


def told_together(*several: tuple[Record, Sequence[float]]) -> Tally:
    tally = Tally(PRICES)
    tally.take([line for each, more in several for line in lines_of(each, more=more)])
    return tally


def apart(each: Record, more: Sequence[float]) -> list[Record]:
    """The same requests, each by itself."""
    return [
        each,
        *(each._replace(delivery=each.delivery._replace(duration_s=took)) for took in more),
    ]


def figures(tally: Tally) -> Mapping[str, object]:
    """All that was counted, but for what the order of additions makes of fractions."""
    counted = tally.counted()
    return {
        "rows": {
            group: (row.requests, row.bytes, pytest.approx(row.seconds))
            for group, row in counted.rows
        },
        "latency": {name: (each.counts, each.largest) for name, each in counted.latency.items()},
        "stages": {place: (each.counts, pytest.approx(each.sum)) for place, each in counted.stages},
        "models": {
            name: (row.requests, row.hits, spending(row.saved), spending(row.spent))
            for name, row in counted.models.items()
        },
        "saved": spending(counted.saved),
        "spent": spending(counted.spent),
        "unpriced": counted.unpriced,
    }


def spending(told: Spending) -> tuple[object, ...]:
    return (
        told.calls, told.input_tokens, told.output_tokens, pytest.approx(told.money),
        pytest.approx(told.seconds),
    )  # fmt: skip


RECORDS = [
    hit(laps=laps(1e-5, 2e-5, 3e-5)),
    hit(model="unpriced", usage=None),
    hit(verdict=Verdict.STALE),
    miss(),
    miss(usage=Usage(100, 0), known=Usage(80, 0), model="text-embedding"),
    record(dialect="", model="", verdict=Verdict.BYPASS, why=Why.ROUTE, tier="", fwd=Fwd.BYPASS),
    record(verdict=Verdict.ERROR, why=Why.BAD_REQUEST, tier=""),
]
DURATIONS = st.lists(st.floats(0.0, 200.0, allow_subnormal=False), max_size=6)


@given(st.lists(st.tuples(st.sampled_from(RECORDS), DURATIONS), max_size=4))
def test_told_together_or_apart_requests_come_to_the_same(
    several: list[tuple[Record, list[float]]],
) -> None:
    one_by_one = tallied(*[each for told in several for each in apart(*told)])
    assert figures(told_together(*several)) == figures(one_by_one)


def test_of_many_hits_told_together_one_in_eight_is_looked_at_stage_by_stage() -> None:
    tally = told_together((hit(), (1e-5,) * 800), (miss(), (2.0,) * 800))
    assert tally.stages["deliver", "hit"].count == 101
    assert tally.stages["deliver", "miss"].count == 801
    assert tally.latency["hit"].count == tally.latency["miss"].count == 801


def test_how_long_hits_took_may_be_unknown() -> None:
    tally = told_together((hit(), (0.0,) * 9))
    assert tally.rows[Group("hit", "fresh", "openai_chat", "l1_memory")].requests == 10
    assert tally.latency["hit"].count == 1

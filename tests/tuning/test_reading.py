from __future__ import annotations

from pathlib import Path

import pytest
from support.traced import label, row, written

from proxy.model.errors import ConfigError
from proxy.model.query import Usage
from proxy.observe import trace
from proxy.observe.trace import Row
from proxy.prices import Price, Prices
from proxy.tuning.reading import read
from proxy.tuning.workload import NOBODY, Fact, Mark, Workload


@pytest.fixture
def load(tmp_path: Path) -> object:
    def load(*rows: Row, **more: object) -> Workload:
        return read([written(tmp_path / "t.sct", rows, **more)])  # type: ignore[arg-type] # as it has

    return load


def facts(load: Workload) -> list[Fact]:
    """The answer to each request."""
    return [load.facts[number] for number in load.fact]


def test_requests_come_in_the_order_in_which_they_looked(load) -> None:  # type: ignore[no-untyped-def] # a fixture
    made = load(row("b", 2.0), row("a", 1.0), row("a", 3.0, "HIT"))
    assert [at - 1e9 for at in made.at] == [1.0, 2.0, 3.0]
    assert made.key[0] == made.key[2] != made.key[1]
    assert made.span_s == 2.0
    assert len(made) == 3


def test_the_answer_to_a_hit_is_the_last_that_came_or_the_first_that_comes(load) -> None:  # type: ignore[no-untyped-def]
    made = load(
        row("a", 1.0, "HIT", age=5.0),
        row("a", 2.0, size=100),
        row("a", 3.0, "HIT", age=1.0),
        row("a", 4.0, size=200),
        row("a", 5.0, "HIT", age=1.0),
    )
    assert [fact.size for fact in facts(made)] == [100, 100, 100, 200, 200]


def test_an_answer_that_nobody_saw_come_is_supposed_from_what_was_served(load) -> None:  # type: ignore[no-untyped-def]
    made = load(row("a", 1.0, "HIT", age=5.0, ttl=30.0, backend=2.0, sent=1000, written=7))
    (fact,) = facts(made)
    assert (fact.size, fact.backend_s, fact.written) == (3700, 2.0, 7)
    (seed,) = made.seeds
    assert seed.stored_at - 1e9 == pytest.approx(-4.0)


def test_what_must_have_been_there_before_is_noted_once(load) -> None:  # type: ignore[no-untyped-def]
    made = load(row("a", 1.0), row("a", 2.0, "HIT", age=1.0), row("b", 3.0, "STALE", age=9.0))
    assert [made.keys[seed.key] for seed in made.seeds] == [made.keys[made.key[2]]]


@pytest.mark.parametrize(
    ("detail", "storable", "shared"),
    [
        ("set-cookie", False, False),
        ("truncated", False, True),
        ("status", False, True),
        ("first-sighting", True, True),
        ("superseded", True, True),
    ],
)
def test_what_was_not_stored_says_if_it_could_be(  # type: ignore[no-untyped-def]
    load, detail: str, storable: bool, shared: bool
) -> None:
    missed = row("a", 1.0, flags=trace.NOT_STORED, detail=detail, sent=10, took=2.0)
    (fact,) = facts(load(missed))
    assert (fact.storable, fact.shared) == (storable, shared)


def test_an_answer_that_cannot_be_stored_says_nothing_of_those_that_were(load) -> None:  # type: ignore[no-untyped-def]
    failed = row("a", 2.0, flags=trace.NOT_STORED, detail="status")
    made = load(row("a", 1.0, size=77), failed, row("a", 3.0, "HIT", age=2.0))
    assert [fact.storable for fact in facts(made)] == [True, False, True]


def test_what_the_backend_says_of_the_lifetime_is_said_again(load) -> None:  # type: ignore[no-untyped-def]
    targeted = trace.STORED | trace.TARGETED | trace.MUST_REVALIDATE
    made = load(
        row("a", 1.0, told_ttl=30.0, told_on_error=0.0),
        row("b", 2.0, size=9, flags=targeted, told_ttl=60.0, told_revalidate=5.0, told_age=4.0),
        row("c", 3.0),
    )
    heads = [dict(fact.head.headers) for fact in facts(made)]
    assert heads == [
        {"Cache-Control": "max-age=30, stale-if-error=0"},
        {"CDN-Cache-Control": "max-age=60, stale-while-revalidate=5, must-revalidate"},
        {},
    ]
    assert facts(made)[1].age == 4.0


def test_what_the_caller_asks_for_is_kept(load) -> None:  # type: ignore[no-untyped-def]
    flags = trace.NO_CACHE | trace.ONLY_IF_CACHED | trace.ABOUT_NOW
    made = load(
        row("a", 1.0, flags=flags, max_age=1.0, min_fresh=2.0, max_stale=3.0, wanted_ttl=4.0)
    )
    (ask,) = made.asks
    asked = ask.controls
    assert (asked.no_cache, asked.only_if_cached, ask.about_now) == (True, True, True)
    assert (asked.max_age, asked.min_fresh, asked.max_stale, asked.ttl) == (1.0, 2.0, 3.0, 4.0)


def test_when_the_backend_failed_is_marked(load) -> None:  # type: ignore[no-untyped-def]
    made = load(
        row("a", 1.0, "ERROR", "upstream-error"),
        row("b", 2.0, "STALE", "sie", age=70.0),
        row("c", 3.0, "DEGRADED", "message"),
        row("d", 4.0),
    )
    assert list(made.marks) == [Mark.FAILED] * 3 + [Mark.NONE]


def test_what_the_cache_did_is_measured(load) -> None:  # type: ignore[no-untyped-def]
    made = load(
        row("a", 1.0),
        row("a", 2.0, "HIT", age=1.0),
        row("a", 3.0, "STALE", age=3.0),
        row("b", 4.0, "COALESCED", "joined"),
        row("c", 5.0, "ERROR", "upstream-error"),
    )
    assert made.measured[:6] == (1, 1, 1, 1, 0, 1)
    assert made.measured.hit_ratio == 0.6
    assert made.measured.mean_age_s == 2.0


def test_neighbours_are_remembered_for_questions_that_were_not_looked_for_again(load) -> None:  # type: ignore[no-untyped-def]
    by_meaning = {"near": "a", "score": 0.9, "flags": trace.UNOPPOSED}
    made = load(
        row("a", 1.0),
        row("b", 2.0, "HIT", "semantic", age=1.0, **by_meaning),
        row("b", 3.0, "MISS", near="a", score=0.9, flags=trace.STORED, size=50),
        row("b", 4.0, "HIT", age=1.0),
    )
    first, served, missed, again = made.near
    assert first == NOBODY
    assert made.nears[served].served
    assert not made.nears[missed].served
    assert again == missed
    assert made.nears[served].key == made.key[0]


def test_a_neighbour_that_was_there_before_is_sown(load) -> None:  # type: ignore[no-untyped-def]
    hit = row(
        "b", 2.0, "HIT", "semantic", near="a", score=0.9, flags=trace.UNOPPOSED, age=9.0, sent=8
    )
    made = load(hit)
    (seed,) = made.seeds
    assert seed.key == made.nears[0].key
    assert made.facts[seed.fact].size == 2708


# -- files ------------------------------------------------------------------------------------


def test_older_files_of_the_recording_are_read_too_and_others_are_not(tmp_path: Path) -> None:
    path = written(tmp_path / "t.sct", [row("a", 3.0)])
    written(tmp_path / "t.sct.1", [row("a", 2.0)], [label(0.8, wrong=True)], others={"bypass": 4})
    written(tmp_path / "t.sct.2", [row("a", 1.0)], recording=b"quite another...")

    made = read([path])
    assert len(made) == 2
    assert made.left_out == {"bypass": 4}
    assert len(made.labels) == 1
    assert len(read([path, tmp_path / "t.sct.1"])) == 2


def test_files_of_two_recordings_are_refused(tmp_path: Path) -> None:
    one = written(tmp_path / "a", [row("a", 1.0)])
    other = written(tmp_path / "b", [row("a", 1.0)], recording=b"quite another...")
    with pytest.raises(ConfigError, match="of more than one recording"):
        read([one, other])


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read([tmp_path / "none"])
    (tmp_path / "odd").write_bytes(b"x" * 100)
    with pytest.raises(ConfigError, match="is no trace"):
        read([tmp_path / "odd"])
    with pytest.raises(ConfigError, match="holds no request"):
        read([written(tmp_path / "empty", [])])


# -- prices and samples -----------------------------------------------------------------------


def test_answers_have_the_price_of_their_model(load) -> None:  # type: ignore[no-untyped-def]
    made = load(
        row("a", 1.0, model="small-1", read=1_000_000, written=500_000),
        row("b", 2.0, model="large", read=5),
    )
    prices = Prices([Price("small-*", 1.0, 2.0)], "EUR")
    assert made.priced(prices) == {"large"}
    assert [fact.price for fact in facts(made)] == [2.0, 0.0]
    assert prices.cost("small-2", Usage(0, 10)) == pytest.approx(2e-5)
    assert not Prices([], "EUR").known


def test_a_sample_has_all_requests_for_some_questions(load) -> None:  # type: ignore[no-untyped-def]
    made = load(*(row(str(n % 400), n, "MISS" if n < 400 else "HIT", age=1.0) for n in range(1200)))
    some = made.sampled(0.25)

    assert len(some) % 3 == 0
    assert 0.15 < len(some) / len(made) < 0.35
    assert (some.share, some.whole) == (0.25, 1200)
    assert made.sampled(1.0) is made
    assert list(some.at) == sorted(some.at)


def test_questions_that_answer_each_other_are_sampled_together(load) -> None:  # type: ignore[no-untyped-def]
    rows = []
    for number in range(0, 600, 3):
        rows.append(row(f"{number}", number))
        for other in (1, 2):
            near = f"{number + other - 1}"
            rows.append(row(f"{number + other}", number + other, near=near, score=0.9))
    some = load(*rows).sampled(0.3)

    assert 0 < len(some) < 600
    groups = {round(at - 1e9) // 3 for at in some.at}
    assert len(some) == 3 * len(groups)

"""What the policy makes of requests that a trace tells of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.traced import row, written

from proxy.config.settings import Settings
from proxy.observe import trace
from proxy.observe.trace import Row
from proxy.tuning.grid import Choice, in_force
from proxy.tuning.reading import read
from proxy.tuning.replay import Replay
from proxy.tuning.result import Result

PLAIN: dict[str, Any] = {"jitter": 0.0, "refresh_ahead": 0.0, "ttl_s": 60}


@pytest.fixture
def play(tmp_path: Path) -> Any:
    def play(
        *rows: Row,
        threshold: float | None = None,
        share: float = 1.0,
        disk: bool = False,
        memory: int = 10**8,
        **cache: Any,
    ) -> Result:
        settings = Settings.model_validate(
            {
                "cache": PLAIN | cache,
                "l2_disk": {"enabled": disk},
                "l1_memory": {"max_bytes": memory},
            }
        )
        choice: Choice = in_force(settings)._replace(threshold=threshold)
        load = read([written(tmp_path / "t.sct", rows)]).sampled(share)
        return Replay(load, settings, choice).run()

    return play


def told(result: Result) -> dict[str, int]:
    """What was counted at all."""
    names = ("hits", "stale", "coalesced", "misses", "errors", "passed", "refreshes", "by_meaning")
    return {name: getattr(result, name) for name in names if getattr(result, name)}


def test_what_was_asked_before_is_a_hit_until_it_expires(play: Any) -> None:
    result = play(row("a", 0), row("a", 30), row("a", 60.4), row("a", 60.6), row("a", 90))
    assert told(result) == {"hits": 3, "misses": 2}
    assert result.hit_ratio == 0.6
    assert result.max_age_s == pytest.approx(59.9, abs=0.01)


def test_a_longer_lifetime_makes_more_of_them_hits(play: Any) -> None:
    rows = [row("a", at) for at in (0, 30, 61, 90)]
    assert told(play(*rows, ttl_s=3600)) == {"hits": 3, "misses": 1}


def test_what_was_a_hit_may_be_a_miss(play: Any) -> None:
    rows = [row("a", 0), row("a", 30, "HIT", age=29.5), row("a", 50, "HIT", age=49.5)]
    assert told(play(*rows, ttl_s=10)) == {"misses": 3}


def test_who_comes_while_an_answer_is_on_its_way_waits_for_it(play: Any) -> None:
    result = play(row("a", 0, backend=5.0), row("a", 2), row("a", 5.1))
    assert told(result) == {"misses": 1, "coalesced": 1, "hits": 1}
    assert result.waited_s == pytest.approx(8.0, rel=1e-4)
    assert result.mean_wait_s == pytest.approx(8 / 3, rel=1e-4)


def test_memory_that_is_short_costs_hits(play: Any) -> None:
    rows = [row(str(n % 50), n, size=10_000) for n in range(500)]
    assert told(play(*rows, ttl_s=3600)) == {"misses": 50, "hits": 450}
    short = play(*rows, ttl_s=3600, memory=200_000)
    assert short.hits < 450
    assert short.evicted > 0
    assert short.peak_bytes <= 200_000


def test_what_memory_lets_go_of_may_still_be_on_disk(play: Any) -> None:
    rows = [row(str(n % 50), n, size=10_000) for n in range(500)]
    result = play(*rows, ttl_s=3600, memory=200_000, disk=True)
    assert told(result) == {"misses": 50, "hits": 450}


def test_grace_serves_what_is_stale_and_asks_anew(play: Any) -> None:
    rows = [row("a", at) for at in (0, 61, 61.2, 62)]
    result = play(*rows, stale_while_revalidate_s=30)
    assert told(result) == {"misses": 1, "stale": 2, "hits": 1, "refreshes": 1}
    assert result.calls == 2
    assert result.stale_ratio == 0.5


def test_an_answer_in_demand_is_renewed_ahead(play: Any) -> None:
    rows = [row("a", n / 10, backend=5.0) for n in range(3000)]
    result = play(*rows, refresh_ahead=1.0)
    assert result.misses == 1
    assert 4 <= result.refreshes <= 8
    assert result.max_age_s < 61


def test_only_what_is_asked_twice_is_kept_where_that_is_chosen(play: Any) -> None:
    rows = [row("a", 0), row("b", 1), row("a", 10), row("a", 20)]
    assert told(play(*rows, admission={"seen_times": 2})) == {"misses": 3, "hits": 1}


def test_what_cannot_be_stored_is_asked_for_each_time(play: Any) -> None:
    rows = [row("a", n, flags=trace.NOT_STORED, detail="truncated", took=0.1) for n in range(3)]
    assert told(play(*rows)) == {"misses": 3}


def test_what_is_for_one_is_not_waited_for_by_others(play: Any) -> None:
    private = {"flags": trace.NOT_STORED, "took": 10.0}
    rows = [row("a", n, detail="set-cookie", **private) for n in range(3)]
    assert told(play(*rows)) == {"misses": 3}
    shared = [row("a", n, detail="status", **private) for n in range(3)]
    assert told(play(*shared)) == {"misses": 1, "coalesced": 2}


def test_an_error_is_kept_for_a_moment_and_never_takes_an_answers_place(play: Any) -> None:
    negative = {"flags": trace.STORED | trace.NEGATIVE, "size": 500, "backend": 0.1}
    rows = [row("a", 0, **negative), row("a", 30), row("a", 61, **negative), row("a", 62)]
    assert told(play(*rows, negative={"ttl_s": 60}, ttl_s=600)) == {"misses": 2, "hits": 2}


def test_what_the_caller_asks_of_the_cache_counts(play: Any) -> None:
    first = row("a", 0)
    assert told(play(first, row("a", 9, flags=trace.NO_CACHE))) == {"misses": 2}
    assert told(play(first, row("a", 9, max_age=3.0))) == {"misses": 2}
    only = row("b", 9, flags=trace.ONLY_IF_CACHED)
    assert told(play(first, only)) == {"misses": 1, "errors": 1}
    wanted = row("a", 0, wanted_ttl=5.0)
    assert told(play(wanted, row("a", 9, wanted_ttl=5.0))) == {"misses": 2}


def test_what_the_backend_says_counts_where_it_is_obeyed(play: Any) -> None:
    rows = [row("a", 0, told_ttl=5.0), row("a", 9)]
    assert told(play(*rows)) == {"misses": 1, "hits": 1}
    assert told(play(*rows, obey_upstream_cache_control=True)) == {"misses": 2}


def test_a_question_about_now_lives_shorter_or_is_passed_on(play: Any) -> None:
    now = {"flags": trace.STORED | trace.ABOUT_NOW, "size": 100, "backend": 0.1}
    rows = [row("a", 0, **now), row("a", 40, **now)]
    assert told(play(*rows)) == {"misses": 2}
    assert told(play(*rows, time_sensitive={"action": "ignore"})) == {"misses": 1, "hits": 1}
    assert told(play(*rows, time_sensitive={"action": "bypass"})) == {"passed": 2}


def test_an_answer_that_is_sure_of_itself_lives_longer(play: Any) -> None:
    sure = {"flags": trace.STORED | trace.CONFIDENT, "size": 100, "backend": 0.1}
    assert told(play(row("a", 0, **sure), row("a", 100))) == {"misses": 1, "hits": 1}


def test_a_rule_keeps_its_say(play: Any) -> None:
    rows = [row("a", 0, model="x"), row("a", 30, model="x")]
    assert told(play(*rows, rules=[{"model": "x", "ttl_s": 5}])) == {"misses": 2}
    assert told(play(*rows, rules=[{"model": "x", "enabled": False}])) == {"passed": 2}


def test_while_the_backend_fails_a_stale_answer_may_stand_in(play: Any) -> None:
    rows = [row("a", 0), row("a", 70, "ERROR", "upstream-error"), row("a", 71)]
    assert told(play(*rows)) == {"misses": 2, "errors": 1}
    assert told(play(*rows, stale_if_error_s=60)) == {"misses": 2, "stale": 1}


def test_what_was_there_before_the_trace_is_there_in_the_replay(play: Any) -> None:
    rows = [row("a", 0, "HIT", age=30.0, backend=1.0), row("a", 20, "HIT", age=50.0)]
    assert told(play(*rows)) == {"hits": 2}
    assert told(play(*rows, ttl_s=40)) == {"hits": 1, "misses": 1}


# -- by meaning -------------------------------------------------------------------------------


def near(key: str, at: float, score: float, *, flags: int = 0, **more: Any) -> Row:
    both = trace.STORED | trace.UNOPPOSED | flags
    return row(key, at, near="a", score=score, flags=both, size=100, backend=0.1, **more)


def test_a_threshold_decides_by_the_similarity_that_was_recorded(play: Any) -> None:
    rows = [row("a", 0), near("b", 10, 0.95), near("c", 11, 0.85), near("d", 12, 0.75)]
    assert told(play(*rows, threshold=0.9)) == {"misses": 3, "hits": 1, "by_meaning": 1}
    assert told(play(*rows, threshold=0.8)) == {"misses": 2, "hits": 2, "by_meaning": 2}
    assert told(play(*rows)) == {"misses": 3, "hits": 1, "by_meaning": 1}


def test_what_is_answered_by_meaning_has_no_answer_of_its_own(play: Any) -> None:
    rows = [row("a", 0), near("b", 10, 0.85), near("b", 20, 0.85)]
    assert told(play(*rows, threshold=0.8)) == {"misses": 1, "hits": 2, "by_meaning": 2}
    assert told(play(*rows, threshold=0.9)) == {"misses": 2, "hits": 1}


def test_a_neighbour_that_has_expired_answers_nothing(play: Any) -> None:
    rows = [row("a", 0), near("b", 100, 0.95)]
    assert told(play(*rows, threshold=0.8)) == {"misses": 2}


def test_no_threshold_overrides_what_spoke_against_it(play: Any) -> None:
    opposed = row("b", 10, near="a", score=0.99, flags=trace.STORED, size=100)
    assert told(play(row("a", 0), opposed, threshold=0.5)) == {"misses": 2}


def test_the_same_words_need_no_threshold(play: Any) -> None:
    same = row("b", 10, "HIT", "canonical", near="a", score=1.0, flags=trace.UNOPPOSED, age=9.0)
    assert told(play(row("a", 0), same, threshold=0.99)) == {"misses": 1, "hits": 1}


# -- samples ----------------------------------------------------------------------------------


def test_a_sample_comes_near_to_all_of_it_and_says_how_near(play: Any) -> None:
    rows = [row(str(n * n % 1999 % 700), n / 20, size=2000 + n % 999) for n in range(6000)]
    whole = play(*rows, memory=600_000)
    some = play(*rows, memory=600_000, share=0.3)

    assert whole.error == 0
    assert 0 < some.error < 0.1
    assert some.hit_ratio == pytest.approx(whole.hit_ratio, abs=1.5 * some.error)
    assert some.requests < 0.5 * whole.requests

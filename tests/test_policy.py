"""The policy: what may be served, what may be kept, and for how long."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields, replace
from math import exp, inf, sqrt
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.held import holding_less_than
from support.properties import unhurried

from proxy.model.decision import Bypass, GiveUp, HeadVerdict, Hit, Miss, Share, Why
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Controls, Form, Query
from proxy.policy import (
    FAILING,
    AboutNow,
    Policy,
    Rule,
    Standing,
    Terms,
    hasten,
    impersonal,
    initial_age,
    judge,
    lifetime,
    negative_lifetime,
    obeys,
    refuse,
    renews,
)

STORED = 1000.0  # seconds on the proxy's clock
NONE = Controls()
OK = Head(200, "OK", Headers([("Content-Type", "application/json")]))
JSON = Form()


# -- judge: what may be served -----------------------------------------------------------------

# An entry that is fresh for a minute, then revalidated for another, then of use for a third if the
# backend fails: what is it to a caller, so many seconds after it was made?
PLAIN = Lifetime(60.0)
GRACED = Lifetime(60.0, stale_while_revalidate=60.0, stale_if_error=120.0)
FALLBACK = True


def judged(
    age: float, controls: Controls = NONE, life: Lifetime = GRACED, initial_age: float = 0.0
) -> tuple[type, Why, bool]:
    """The kind of decision, its reason, and whether the entry may stand in for an error."""
    stored = Entry(
        key=CacheKey("anon", b"k" * 32),
        dialect="openai_chat",
        model="m",
        head=OK,
        form=JSON,
        body=b"{}",
        stored_at=STORED,
        lifetime=life,
        initial_age=initial_age,
    )
    verdict = judge(stored, "l1_memory", controls, STORED + age - initial_age)
    if isinstance(verdict, Hit):
        assert verdict.entry is stored
        assert verdict.tier == "l1_memory"
        return Hit, verdict.why, False
    assert verdict.fallback in {None, stored}
    assert verdict.tier == "l1_memory" or verdict.why is Why.NO_CACHE
    return Miss, verdict.why, verdict.fallback is not None


@pytest.mark.parametrize("controls", [NONE, Controls(no_cache=True), Controls(max_stale=inf)])
def test_what_is_not_there_is_a_miss(controls: Controls) -> None:
    assert judge(None, "", controls, STORED) == Miss(Why.UNSEEN)


@pytest.mark.parametrize(
    ("age", "controls", "expected"),
    [
        # What is fresh, and what is not any more.
        (0, NONE, (Hit, Why.FRESH)),
        (59.9, NONE, (Hit, Why.FRESH)),
        (60, NONE, (Hit, Why.SWR)),
        (119.9, NONE, (Hit, Why.SWR)),
        (120, NONE, (Miss, Why.EXPIRED, FALLBACK)),
        (179.9, NONE, (Miss, Why.EXPIRED, FALLBACK)),
        (180, NONE, (Miss, Why.EXPIRED)),
        (10**6, NONE, (Miss, Why.EXPIRED)),
        # A clock that ran backwards makes nothing younger than it was.
        (-5, NONE, (Hit, Why.FRESH)),
        # no-cache: nothing that is stored, whatever fails.
        (0, Controls(no_cache=True), (Miss, Why.NO_CACHE)),
        (60, Controls(no_cache=True, max_stale=inf), (Miss, Why.NO_CACHE)),
        (0, Controls(no_cache=True, max_age=100), (Miss, Why.NO_CACHE)),
        # no-store and only-if-cached change nothing about what is stored.
        (0, Controls(no_store=True, only_if_cached=True), (Hit, Why.FRESH)),
        (60, Controls(only_if_cached=True), (Hit, Why.SWR)),
        # ttl and namespace are about storing and finding.
        (30, Controls(ttl=1, namespace="x"), (Hit, Why.FRESH)),
        # max-age: not older, and nothing stale.
        (30, Controls(max_age=30), (Hit, Why.FRESH)),
        (30.1, Controls(max_age=30), (Miss, Why.MAX_AGE)),
        (0, Controls(max_age=0), (Hit, Why.FRESH)),
        (0.1, Controls(max_age=0), (Miss, Why.MAX_AGE)),
        (60, Controls(max_age=1000), (Miss, Why.EXPIRED)),
        (130, Controls(max_age=1000), (Miss, Why.EXPIRED)),
        (130, Controls(max_age=100), (Miss, Why.MAX_AGE)),
        # min-fresh: fresh for so much longer, and nothing stale.
        (30, Controls(min_fresh=30), (Hit, Why.FRESH)),
        (30.1, Controls(min_fresh=30), (Miss, Why.MIN_FRESH)),
        (0, Controls(min_fresh=0), (Hit, Why.FRESH)),
        (60, Controls(min_fresh=0), (Miss, Why.EXPIRED)),
        (60.1, Controls(min_fresh=0), (Miss, Why.MIN_FRESH)),
        (70, Controls(min_fresh=5), (Miss, Why.MIN_FRESH)),
        (0, Controls(min_fresh=100), (Miss, Why.MIN_FRESH)),
        # max-stale: as stale as that, not staler, and no refresh in the background.
        (59, Controls(max_stale=10), (Hit, Why.FRESH)),
        (60, Controls(max_stale=0), (Hit, Why.MAX_STALE)),
        (60.1, Controls(max_stale=0), (Miss, Why.EXPIRED)),
        (70, Controls(max_stale=10), (Hit, Why.MAX_STALE)),
        (70.1, Controls(max_stale=10), (Miss, Why.EXPIRED)),
        (150, Controls(max_stale=100), (Hit, Why.MAX_STALE)),
        (130, Controls(max_stale=10), (Miss, Why.EXPIRED)),
        (179.9, Controls(max_stale=inf), (Hit, Why.MAX_STALE)),
        (180, Controls(max_stale=inf), (Miss, Why.EXPIRED)),
        (180, Controls(max_stale=1000), (Miss, Why.EXPIRED)),
        # All together: each holds.
        (70, Controls(max_age=70, max_stale=10), (Hit, Why.MAX_STALE)),
        (70, Controls(max_age=69, max_stale=10), (Miss, Why.MAX_AGE)),
        (70, Controls(max_age=70, max_stale=9), (Miss, Why.EXPIRED)),
        (70, Controls(min_fresh=0, max_stale=10), (Miss, Why.MIN_FRESH)),
        (30, Controls(max_age=30, min_fresh=30), (Hit, Why.FRESH)),
        (31, Controls(max_age=30, min_fresh=30), (Miss, Why.MAX_AGE)),
        (30, Controls(max_age=30, min_fresh=31, max_stale=inf), (Miss, Why.MIN_FRESH)),
    ],
)
def test_what_is_stored_is_served_while_both_sides_allow_it(
    age: float, controls: Controls, expected: tuple[type, Why] | tuple[type, Why, bool]
) -> None:
    assert judged(age, controls) == (*expected, False)[:3]


@pytest.mark.parametrize(
    ("life", "age", "expected"),
    [
        (PLAIN, 59.9, (Hit, Why.FRESH, False)),
        (PLAIN, 60, (Miss, Why.EXPIRED, False)),
        (Lifetime(60.0, 60.0), 119.9, (Hit, Why.SWR, False)),
        (Lifetime(60.0, 60.0), 120, (Miss, Why.EXPIRED, False)),
        (Lifetime(60.0, 0.0, 60.0), 60, (Miss, Why.EXPIRED, FALLBACK)),
        (Lifetime(60.0, 0.0, 60.0), 120, (Miss, Why.EXPIRED, False)),
        # Where the one window is longer, the other ends first.
        (Lifetime(60.0, 60.0, 10.0), 119, (Hit, Why.SWR, False)),
        (Lifetime(0.0), 0, (Miss, Why.EXPIRED, False)),
    ],
)
def test_stale_answers_are_served_only_in_the_windows_that_are_set(
    life: Lifetime, age: float, expected: tuple[type, Why, bool]
) -> None:
    assert judged(age, NONE, life) == expected


@pytest.mark.parametrize("stale", [inf, 0, 10])
def test_no_caller_talks_the_cache_into_a_stale_answer_where_none_is_allowed(stale: float) -> None:
    # A backend that says must-revalidate leaves no window (RFC 9111, section 5.2.2.2).
    assert judged(60, Controls(max_stale=stale), PLAIN) == (Miss, Why.EXPIRED, False)


@pytest.mark.parametrize("age", [0, 30, 59, 60, 119, 120, 179, 180])
def test_the_age_an_answer_arrived_with_counts(age: float) -> None:
    for controls in (NONE, Controls(max_age=30), Controls(min_fresh=20), Controls(max_stale=15)):
        arrived_old = judged(age, controls, initial_age=min(age, 25.0))
        assert arrived_old == judged(age, controls)


seconds = st.integers(0, 200).map(float)
limits = st.none() | seconds


@unhurried
@given(
    st.builds(Lifetime, seconds, seconds, seconds),
    st.builds(
        Controls,
        no_cache=st.booleans(),
        max_age=limits,
        min_fresh=limits,
        max_stale=limits | st.just(inf),
    ),
    seconds,
)
@example(Lifetime(60.0, 0.0, 100.0), Controls(max_stale=10.0), 100.0)
def test_no_wish_of_the_caller_and_no_window_is_ever_exceeded(
    life: Lifetime, controls: Controls, age: float
) -> None:
    kind, why, fallback = judged(age, controls, life)
    staleness = age - life.ttl
    if kind is Hit or fallback:
        assert not controls.no_cache
        assert age < life.keep
        assert controls.max_age is None or age <= controls.max_age
        assert controls.min_fresh is None or life.ttl - age >= controls.min_fresh
        if staleness >= 0:
            assert staleness <= (controls.max_stale if controls.max_stale is not None else inf)
            limited = controls.max_age is not None or controls.min_fresh is not None
            assert controls.max_stale is not None or not limited
            assert fallback or why in {Why.SWR, Why.MAX_STALE}
        else:
            assert why is Why.FRESH
    if why is Why.SWR:
        assert 0 <= staleness < life.stale_while_revalidate
    if fallback:
        assert 0 <= staleness < life.stale_if_error
    if controls == NONE:
        assert (kind is Hit) == (staleness < 0 or staleness < life.stale_while_revalidate)


# -- lifetime: for how long --------------------------------------------------------------------

STEADY = Terms(ttl=100.0, max_ttl=1000.0, jitter=0.0)


def said(cache_control: str, *more: tuple[str, str]) -> Head:
    return Head(200, "OK", Headers([("Cache-Control", cache_control), *more]))


@unhurried
@given(
    st.floats(0.001, 1e6),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e6),
)
def test_chance_only_shortens_a_lifetime_and_by_no_more_than_its_share(
    ttl: float, jitter: float, dice: float, wish: float | None
) -> None:
    terms = Terms(ttl=ttl, max_ttl=1e5, jitter=jitter)
    whole = ttl if wish is None else min(wish, 1e5)
    made = lifetime(OK, Controls(ttl=wish), terms, dice).ttl
    assert whole * (1.0 - jitter) <= made <= whole
    assert made >= 0


def test_the_lowest_throw_takes_nothing_off_and_equal_throws_are_equal() -> None:
    terms = Terms(ttl=3600.0, jitter=0.1)
    assert lifetime(OK, NONE, terms, 0.0).ttl == 3600.0
    assert lifetime(OK, NONE, terms, 0.5).ttl == pytest.approx(3420.0)
    assert lifetime(OK, NONE, terms, 0.5) == lifetime(OK, NONE, terms, 0.5)


@pytest.mark.parametrize("chance", ["even", "drawn"])
def test_what_is_stored_together_does_not_expire_together(chance: str) -> None:
    number, ttl, jitter = 100_000, 3600.0, 0.1
    window = ttl * jitter  # seconds
    terms = Terms(ttl=ttl, jitter=jitter)
    draw = random.Random(7).random
    throws = (draw() if chance == "drawn" else n / number for n in range(number))
    expiring = Counter(int(lifetime(OK, NONE, terms, dice).ttl) for dice in throws)
    share = number / window
    assert max(expiring.values()) <= share + 5 * sqrt(share)
    assert min(expiring) >= ttl - window
    assert max(expiring) <= ttl


@pytest.mark.parametrize(
    ("wish", "ttl"), [(None, 100.0), (5.0, 5.0), (500.0, 500.0), (5000.0, 1000.0), (0.0, 0.0)]
)
def test_a_caller_sets_the_lifetime_up_to_what_the_rules_allow(
    wish: float | None, ttl: float
) -> None:
    assert lifetime(OK, Controls(ttl=wish), STEADY, 0.5).ttl == ttl


def test_the_windows_are_those_of_the_terms_and_chance_leaves_them_alone() -> None:
    terms = Terms(ttl=100.0, jitter=0.5, stale_while_revalidate=10.0, stale_if_error=20.0)
    assert lifetime(OK, NONE, terms, 0.5) == Lifetime(75.0, 10.0, 20.0)


LOUD = "max-age=7, stale-while-revalidate=8, stale-if-error=9, must-revalidate"
OBEDIENT = Terms(
    ttl=100.0,
    max_ttl=1000.0,
    jitter=0.0,
    stale_while_revalidate=10.0,
    stale_if_error=20.0,
    obey_response=True,
)


def test_a_backend_that_is_not_obeyed_sets_nothing() -> None:
    assert lifetime(said(LOUD), NONE, STEADY, 0.0) == Lifetime(100.0)


@pytest.mark.parametrize(
    ("head", "wish", "expected"),
    [
        (OK, None, Lifetime(100.0, 10.0, 20.0)),
        (OK, 5.0, Lifetime(5.0, 0.0, 20.0)),
        (said("public"), None, Lifetime(100.0, 10.0, 20.0)),
        (said("max-age=7"), None, Lifetime(7.0, 10.0, 20.0)),
        (said("max-age=7"), 5.0, Lifetime(5.0, 0.0, 20.0)),
        (said("max-age=7"), 500.0, Lifetime(7.0, 0.0, 20.0)),
        (said("max-age=5000"), None, Lifetime(5000.0, 10.0, 20.0)),
        (said("max-age=5000"), 5000.0, Lifetime(1000.0, 0.0, 20.0)),
        (said("max-age=0"), None, Lifetime(0.0, 10.0, 20.0)),
        (said("max-age=x"), None, Lifetime(0.0, 10.0, 20.0)),
        (said("max-age=7, stale-while-revalidate=8"), None, Lifetime(7.0, 8.0, 20.0)),
        (said("max-age=7, stale-if-error=9"), None, Lifetime(7.0, 10.0, 9.0)),
        (said("stale-while-revalidate=0, stale-if-error=0"), None, Lifetime(100.0, 0.0, 0.0)),
        (said(LOUD), None, Lifetime(7.0, 0.0, 0.0)),
        (said("must-revalidate"), None, Lifetime(100.0, 0.0, 0.0)),
        (said("s-maxage=7"), None, Lifetime(7.0, 0.0, 0.0)),
        (said("", ("CDN-Cache-Control", "max-age=3")), None, Lifetime(3.0, 10.0, 20.0)),
    ],
)
def test_a_backend_that_is_obeyed_is_never_exceeded(
    head: Head, wish: float | None, expected: Lifetime
) -> None:
    assert lifetime(head, Controls(ttl=wish), OBEDIENT, 0.0) == expected


SURE = Terms(
    ttl=100.0,
    max_ttl=1000.0,
    jitter=0.0,
    stale_while_revalidate=10.0,
    stale_if_error=20.0,
    confident_above=0.9,
    confident_factor=3.0,
)


@pytest.mark.parametrize(
    ("confidence", "ttl"),
    [(None, 100.0), (0.0, 100.0), (0.9, 100.0), (0.901, 300.0), (1.0, 300.0)],
)
def test_an_answer_that_is_sure_of_itself_lives_longer_but_is_stale_no_longer(
    confidence: float | None, ttl: float
) -> None:
    assert lifetime(OK, NONE, SURE, 0.0, confidence) == Lifetime(ttl, 10.0, 20.0)


@pytest.mark.parametrize(
    ("ttl", "max_ttl", "sure"), [(100.0, 250.0, 250.0), (100.0, 50.0, 100.0), (100.0, 1e9, 300.0)]
)
def test_being_sure_prolongs_a_life_up_to_the_longest_that_is_set_and_never_shortens_it(
    ttl: float, max_ttl: float, sure: float
) -> None:
    assert lifetime(OK, NONE, replace(SURE, ttl=ttl, max_ttl=max_ttl), 0.0, 1.0).ttl == sure


@pytest.mark.parametrize(
    ("head", "wish", "ttl"),
    [
        (OK, 5.0, 5.0),
        (OK, 5000.0, 1000.0),
        (said("max-age=7"), None, 7.0),
        (said("max-age=7"), 500.0, 7.0),
        (said("max-age=700"), 5.0, 5.0),
        (said("stale-if-error=1"), None, 300.0),  # it sets no lifetime, so that is our own
    ],
)
def test_being_sure_changes_no_lifetime_that_the_caller_or_the_backend_sets(
    head: Head, wish: float | None, ttl: float
) -> None:
    obeying = replace(SURE, obey_response=True)
    assert lifetime(head, Controls(ttl=wish), obeying, 0.0, 1.0).ttl == ttl


def test_chance_takes_its_share_off_what_being_sure_adds_too() -> None:
    assert lifetime(OK, NONE, replace(SURE, jitter=0.1), 0.5, 1.0).ttl == pytest.approx(285.0)


# -- hasten: questions about now ---------------------------------------------------------------


def test_a_question_about_now_has_all_of_its_own_times_shortened() -> None:
    hastened = hasten(replace(SURE, time_sensitive_factor=0.25))
    assert isinstance(hastened, Terms)
    assert lifetime(OK, NONE, hastened, 0.0) == Lifetime(25.0, 2.5, 5.0)
    assert lifetime(OK, NONE, hastened, 0.0, 1.0) == Lifetime(75.0, 2.5, 5.0)


def test_a_question_about_now_keeps_the_lifetime_that_the_caller_or_the_backend_sets() -> None:
    hastened = hasten(replace(SURE, obey_response=True))
    assert isinstance(hastened, Terms)
    assert lifetime(OK, Controls(ttl=500.0), hastened, 0.0).ttl == 500.0
    assert lifetime(OK, Controls(ttl=5000.0), hastened, 0.0).ttl == 1000.0
    assert lifetime(said("max-age=70"), NONE, hastened, 0.0).ttl == 70.0
    windows = said("stale-while-revalidate=70, stale-if-error=80")
    assert lifetime(windows, NONE, hastened, 0.0) == Lifetime(50.0, 70.0, 80.0)


def test_a_question_about_now_can_be_left_alone_or_passed_on() -> None:
    ignoring = replace(SURE, time_sensitive=AboutNow.IGNORE)
    assert hasten(ignoring) is ignoring
    assert hasten(replace(SURE, time_sensitive=AboutNow.BYPASS)) == Bypass(Why.TIME_SENSITIVE)


def test_whether_a_question_is_about_now_is_found_out_once_its_terms_are_looked_at() -> None:
    asked: list[str] = []

    def about_now() -> bool:
        asked.append("now?")
        return True

    standing, same = Standing(SURE, about_now), Standing(SURE, about_now)
    assert asked == []
    assert standing.terms == hasten(SURE)
    assert standing.terms is standing.terms
    assert asked == ["now?"]
    assert standing == same != Standing(SURE)
    assert hash(standing) == hash(same)
    assert Standing(SURE, lambda: False).terms is Standing(SURE).terms is SURE


def test_where_nobody_can_tell_whether_a_question_is_about_now_it_is_asked_again() -> None:
    answers: list[bool] = []

    def about_now() -> bool:
        return answers.pop()

    standing = Standing(SURE, about_now)
    with pytest.raises(IndexError):
        standing.settle()
    answers.append(True)
    assert standing.terms == hasten(SURE)


# -- renews: what is fetched anew while it is served -------------------------------------------

SLOW = 10.0  # seconds the backend took


def throws(
    left: float,
    dice: float,
    *,
    why: Why = Why.FRESH,
    controls: Controls = NONE,
    beta: float = 1.0,
    upstream_s: float = SLOW,
) -> tuple[bool, int]:
    """Whether a hit with ``left`` seconds of freshness sends a refresh, and how many throws."""
    thrown = 0

    def throw() -> float:
        nonlocal thrown
        thrown += 1
        return dice

    stored = Entry(
        key=CacheKey("anon", b"k" * 32),
        dialect="openai_chat",
        model="m",
        head=OK,
        form=JSON,
        body=b"{}",
        stored_at=STORED,
        lifetime=Lifetime(1000.0, 1000.0, 1000.0),
        upstream_s=upstream_s,
    )
    now = STORED + 1000.0 - left
    due = renews(Hit(stored, why, "l1_memory"), controls, Terms(refresh_ahead=beta), now, throw)
    return due, thrown


ALMOST = 1.0 - 2.0**-53  # the highest throw there is
E_TH = 1.0 - exp(-1.0)  # a throw whose distance is 1


def test_far_from_its_end_nothing_is_renewed_and_no_dice_are_thrown() -> None:
    assert throws(SLOW * 36.8, ALMOST) == (False, 0)
    assert throws(SLOW * 36.7, ALMOST) == (True, 1)
    assert throws(1.0, ALMOST, upstream_s=0.0) == (False, 0)
    assert throws(1e-9, ALMOST, beta=0.0) == (False, 0)


@pytest.mark.parametrize(
    ("left", "dice", "beta", "due"),
    [
        (SLOW, E_TH + 1e-9, 1.0, True),
        (SLOW, E_TH - 1e-9, 1.0, False),
        (SLOW / 2, E_TH / 2, 1.0, False),
        (SLOW / 2, E_TH + 1e-9, 0.5, True),
        (SLOW / 2, E_TH - 1e-9, 0.5, False),
        (3 * SLOW, E_TH + 1e-9, 3.0, True),
        (1e-9, 0.0, 1.0, False),
        (1e-9, 0.01, 1.0, True),
    ],
)
def test_near_its_end_a_throw_decides_by_the_time_the_backend_takes(
    left: float, dice: float, beta: float, *, due: bool
) -> None:
    assert throws(left, dice, beta=beta) == (due, 1)


def test_the_odds_are_those_of_xfetch_and_grow_towards_the_end() -> None:
    number = 10_000
    for left in (0.1, 1.0, 10.0, 30.0, 60.0):
        due = sum(throws(left, n / number)[0] for n in range(number))
        assert due / number == pytest.approx(exp(-left / SLOW), abs=2 / number)


@pytest.mark.parametrize(
    ("controls", "due"),
    [
        (NONE, True),
        (Controls(namespace="n"), True),
        (Controls(max_age=10**6, min_fresh=0), True),
        (Controls(only_if_cached=True), False),
        (Controls(max_stale=inf), False),
        (Controls(ttl=5.0), False),
    ],
)
def test_nothing_is_renewed_early_for_who_has_wishes_against_it(
    controls: Controls, *, due: bool
) -> None:
    assert throws(1.0, ALMOST, controls=controls)[0] == due


@pytest.mark.parametrize(
    ("why", "controls", "due"),
    [
        (Why.SWR, NONE, True),
        (Why.SWR, Controls(only_if_cached=True), False),
        (Why.SIE, NONE, False),
        (Why.MAX_STALE, Controls(max_stale=inf), False),
    ],
)
def test_what_is_stale_is_renewed_only_by_leave_of_stale_while_revalidate(
    why: Why, controls: Controls, *, due: bool
) -> None:
    assert throws(-1.0, 0.0, why=why, controls=controls, beta=0.0) == (due, 0)


# -- initial age -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        ("0", 0.0),
        ("17", 17.0),
        ("007", 7.0),
        ("17, 30", 17.0),
        ("17 , x", 17.0),
        ("x, 17", 0.0),
        ("", 0.0),
        ("-1", 0.0),
        ("1.5", 0.0),
        ("1e3", 0.0),
        ("\u0661", 0.0),
        ("\xb2", 0.0),
        (str(2**31), 2.0**31),
        (str(2**40), 2.0**31),
        ("9" * 5000, 2.0**31),
        ("0" * 5000 + "1", 1.0),
    ],
)
def test_an_answer_is_as_old_as_it_says_and_nonsense_says_nothing(age: str, seconds: float) -> None:
    assert initial_age(Headers([("Age", age)])) == seconds
    assert initial_age(Headers()) == 0.0


def test_of_several_ages_the_first_counts() -> None:
    assert initial_age(Headers([("Age", "5"), ("age", "9")])) == 5.0


# -- negative_lifetime: for a moment ------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "controls", "told", "expected"),
    [
        (Terms(ttl=100.0), NONE, "", 60.0),
        (Terms(ttl=10.0), NONE, "", 10.0),
        (Terms(negative_ttl=0.0), NONE, "", 0.0),
        # The caller can only shorten it.
        (Terms(), Controls(ttl=5.0), "", 5.0),
        (Terms(), Controls(ttl=5000.0), "", 60.0),
        (Terms(ttl=10.0), Controls(ttl=5000.0), "", 10.0),
        # And so can the backend, where it is obeyed.
        (Terms(), NONE, "max-age=5", 60.0),
        (Terms(obey_response=True), NONE, "max-age=5", 5.0),
        (Terms(obey_response=True), NONE, "max-age=5000", 60.0),
        (Terms(ttl=10.0, obey_response=True), NONE, "max-age=5000", 10.0),
        (Terms(obey_response=True), Controls(ttl=3.0), "max-age=5", 3.0),
    ],
)
def test_an_error_lasts_for_the_shortest_time_that_anybody_sets(
    terms: Terms, controls: Controls, told: str, expected: float
) -> None:
    life = negative_lifetime(said(told), controls, replace(terms, jitter=0.0), 0.9)
    assert life == Lifetime(expected)


@unhurried
@given(
    st.builds(
        Terms,
        ttl=st.floats(0.001, 1e6),
        jitter=st.floats(0, 0.99),
        stale_while_revalidate=st.floats(0, 100),
        stale_if_error=st.floats(0, 100),
        obey_response=st.booleans(),
        negative_ttl=st.floats(0, 120),
    ),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e6),
    st.sampled_from(["", "max-age=7", "max-age=7, stale-if-error=9", "stale-while-revalidate=9"]),
)
def test_an_error_never_lasts_longer_than_an_answer_and_is_never_stale(
    terms: Terms, dice: float, wish: float | None, told: str
) -> None:
    brief = negative_lifetime(said(told), Controls(ttl=wish), terms, dice)
    assert brief.keep == brief.ttl <= terms.negative_ttl
    assert brief.ttl <= lifetime(said(told), Controls(ttl=wish), terms, dice).ttl


# -- weigh: who may have it --------------------------------------------------------------------

POLICY = Policy(
    Terms(max_entry=100),
    inert_cookies=frozenset({"__cf_bm"}),
    is_inert=frozenset({"user-agent", "x-request-id", "accept-encoding"}).__contains__,
)
KEPT = Share(storable=True)
SHARED = Share(storable=False, why=Why.STATUS)


def weighed(
    *headers: tuple[str, str],
    status: int = 200,
    length: int | None = None,
    form: Form | None = JSON,
    obey: bool = False,
    policy: Policy = POLICY,
) -> HeadVerdict:
    head = Head(status, "", Headers(headers))
    return policy.weigh(head, length, form, Terms(max_entry=100, obey_response=obey))


@pytest.mark.parametrize("length", [None, 0, 100])
@pytest.mark.parametrize("form", [Form(), Form(stream=True), Form(stream=True, usage=False)])
def test_a_plain_answer_is_shared_and_kept(length: int | None, form: Form) -> None:
    assert weighed(length=length, form=form) == KEPT


@pytest.mark.parametrize("status", [400, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 529])
def test_an_error_about_the_question_is_shared_and_never_kept(status: int) -> None:
    assert weighed(status=status) == SHARED
    assert weighed(("Cache-Control", "private"), ("Set-Cookie", "a=1"), status=status) == SHARED
    assert weighed(status=status, form=None, length=10**9) == SHARED


BRIEF = Policy(Terms(), negative=frozenset(range(600)))  # whatever it is told


def brief(*headers: tuple[str, str], status: int = 404, **more: Any) -> HeadVerdict:
    return weighed(*headers, status=status, policy=BRIEF, **more)


@pytest.mark.parametrize("status", [400, 404, 405, 410, 413, 414, 415, 422])
def test_an_error_about_the_question_may_be_kept_where_its_status_is_named(status: int) -> None:
    assert brief(status=status) == KEPT
    named = Policy(Terms(), negative=frozenset({status}))
    other = Policy(Terms(), negative=frozenset({status + 1}))
    assert weighed(status=status, policy=named) == KEPT
    assert weighed(status=status, policy=other) == SHARED


@pytest.mark.parametrize("status", [408, 409, 421, 423, 424, 425, 429, 500, 501, 503, 529, 599])
def test_no_naming_makes_a_passing_error_last(status: int) -> None:
    assert brief(status=status) == SHARED


@pytest.mark.parametrize("status", [401, 402, 403, 407, 431])
def test_no_naming_makes_an_error_about_who_asks_anybody_elses(status: int) -> None:
    assert brief(status=status) == GiveUp(Why.STATUS)


@pytest.mark.parametrize(
    "field",
    [
        ("Retry-After", "3"),
        ("X-Should-Retry", "True"),
        ("Set-Cookie", "sid=1"),
        ("Vary", "*"),
        ("Content-Encoding", "gzip"),
        ("CDN-Cache-Control", "no-store"),
    ],
)
def test_an_error_that_may_change_or_is_for_one_caller_is_shared_and_not_kept(
    field: tuple[str, str],
) -> None:
    assert brief(field) == SHARED


def test_an_error_is_not_kept_against_the_terms() -> None:
    assert brief(form=None) == SHARED
    assert brief(length=101) == SHARED
    assert brief(("Cache-Control", "no-store")) == KEPT
    assert brief(("Cache-Control", "no-store"), obey=True) == SHARED
    assert BRIEF.weigh(Head(404, "", Headers()), None, JSON, Terms(negative_ttl=0.0)) == SHARED


@pytest.mark.parametrize("status", [401, 402, 403, 407, 431])
def test_an_error_about_who_asks_is_for_nobody_else(status: int) -> None:
    # Callers who share a scope may have credentials of which only one was revoked.
    assert weighed(status=status) == GiveUp(Why.STATUS)


@pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206, 226, 300, 301, 302, 304, 307])
def test_what_is_neither_an_answer_nor_an_error_is_for_nobody_else(status: int) -> None:
    assert weighed(status=status) == GiveUp(Why.STATUS)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([("Content-Encoding", "gzip")], Why.ENCODED),
        ([("Content-Encoding", "identity, gzip")], Why.ENCODED),
        ([("Content-Encoding", "identity")], None),
        ([("Content-Encoding", "Identity")], None),
        ([("Set-Cookie", "sid=1")], Why.SET_COOKIE),
        ([("Set-Cookie", "__cf_bm=1; Path=/; HttpOnly")], None),
        ([("Set-Cookie", " __cf_bm =1")], None),
        ([("Set-Cookie", "__cf_bm=1"), ("set-cookie", "sid=1")], Why.SET_COOKIE),
        ([("Set-Cookie", "__CF_BM=1")], Why.SET_COOKIE),
        ([("Set-Cookie", "")], Why.SET_COOKIE),
        ([("Vary", "*")], Why.VARY),
        ([("Vary", "Accept-Encoding, *")], Why.VARY),
        ([("Vary", "User-Agent")], Why.VARY),
        ([("Vary", "Origin"), ("vary", "Accept,X-REQUEST-ID")], Why.VARY),
        ([("Vary", "Accept-Encoding")], None),
        ([("Vary", "Origin, Accept, Authorization, X-User-Id")], None),
        ([("Vary", "")], None),
        ([("Vary", " , ")], None),
    ],
)
def test_an_answer_that_is_not_the_same_to_all_is_for_nobody_else(
    headers: list[tuple[str, str]], why: Why | None
) -> None:
    assert weighed(*headers) == (KEPT if why is None else GiveUp(why))


@pytest.mark.parametrize(
    ("cache_control", "shared", "obeyed"),
    [
        ("no-store", None, Why.NO_STORE),
        ("private", Why.PRIVATE, Why.PRIVATE),
        ("Private, max-age=60", Why.PRIVATE, Why.PRIVATE),
        ('private="x-id"', Why.PRIVATE, Why.PRIVATE),
        ("no-cache, no-store, private", Why.PRIVATE, Why.PRIVATE),  # once hidden by no-store
        ("no-cache, no-store", None, Why.NO_STORE),
        ("no-cache", None, Why.NO_CACHE),
        ("no-cache, must-revalidate", None, Why.NO_CACHE),
        ("max-age=0", None, None),
        ("must-revalidate", None, None),
        ("public, max-age=60", None, None),
        ("", None, None),
    ],
)
def test_a_backends_habits_count_if_obeyed_and_private_also_where_callers_share(
    cache_control: str, shared: Why | None, obeyed: Why | None
) -> None:
    field = ("Cache-Control", cache_control)
    assert weighed(field) == KEPT
    sharing = Policy(Terms(), own_scopes=False)
    assert weighed(field, policy=sharing) == (KEPT if shared is None else GiveUp(shared))
    assert weighed(field, obey=True) == (KEPT if obeyed is None else GiveUp(obeyed))


def test_a_targeted_field_speaks_for_the_backend() -> None:
    habit, meant = ("Cache-Control", "no-store"), ("Sidecache-Cache-Control", "max-age=60")
    assert weighed(habit, meant) == KEPT
    assert weighed(("CDN-Cache-Control", "no-store")) == GiveUp(Why.NO_STORE)


@pytest.mark.parametrize("value", ["", "max-age=", "No-Store", "max-age=60;;"])
def test_a_targeted_field_that_cannot_be_read_makes_no_habit_count(value: str) -> None:
    # RFC 9213, section 2.2: it counts as absent, and so Cache-Control is the habit it was.
    broken = ("CDN-Cache-Control", value)
    habit = ("Cache-Control", "no-store")
    assert weighed(habit, broken) == KEPT
    assert weighed(habit, broken, obey=True) == GiveUp(Why.NO_STORE)
    assert not obeys(Terms(), Headers([broken]))
    head = said("max-age=7", broken)
    assert lifetime(head, NONE, STEADY, 0.0).ttl == 100.0


def test_an_answer_of_no_known_form_or_declared_too_long_is_for_nobody_else() -> None:
    assert weighed(form=None) == GiveUp(Why.MEDIA_TYPE)
    assert weighed(length=101) == GiveUp(Why.TOO_LARGE)


def test_by_default_every_header_is_in_the_key_so_only_a_star_varies() -> None:
    policy = Policy(Terms())
    for vary, verdict in [("User-Agent", KEPT), ("*", GiveUp(Why.VARY))]:
        head = Head(200, "OK", Headers([("Vary", vary)]))
        assert policy.weigh(head, None, JSON, Terms()) == verdict


def test_failures_that_a_stale_answer_may_stand_in_for_are_shared() -> None:
    assert {429, 500, 502, 503, 504, 529} == FAILING
    assert all(weighed(status=status) == SHARED for status in FAILING)


# -- refuse: what is not for the cache ---------------------------------------------------------


def query(temperature: float | None = None, *, no_store: bool = False) -> Query:
    controls = Controls(no_store=no_store)
    return Query("openai_chat", "m", JSON, b"{}", b"{}", controls, temperature)


@pytest.mark.parametrize(
    ("asked", "terms", "why"),
    [
        (query(), Terms(), None),
        (query(2.0), Terms(), None),
        (query(), Terms(enabled=False), Why.DISABLED),
        (query(no_store=True), Terms(enabled=False), Why.DISABLED),
        (query(no_store=True), Terms(), Why.NO_STORE),
        (query(1.0, no_store=True), Terms(max_temperature=0.0), Why.NO_STORE),
        (query(0.0), Terms(max_temperature=0.0), None),
        (query(-0.0), Terms(max_temperature=0.0), None),
        (query(0.1), Terms(max_temperature=0.0), Why.TEMPERATURE),
        (query(0.7), Terms(max_temperature=0.7), None),
        (query(0.71), Terms(max_temperature=0.7), Why.TEMPERATURE),
        (query(None), Terms(max_temperature=0.7), Why.TEMPERATURE),
        (query(None), Terms(max_temperature=2.0), Why.TEMPERATURE),
    ],
)
def test_a_query_is_refused_by_the_terms_and_by_its_own_wish(
    asked: Query, terms: Terms, why: Why | None
) -> None:
    assert refuse(asked, terms) == (None if why is None else Bypass(why))


# -- terms: which rules apply ------------------------------------------------------------------


def test_without_rules_the_default_holds_everywhere() -> None:
    default = Terms(ttl=1.0)
    assert Policy(default).terms("/v1/chat/completions", "m", "d") is default


def test_every_rule_that_matches_applies_and_the_later_one_wins() -> None:
    policy = Policy(
        Terms(ttl=1.0, jitter=0.5),
        (
            Rule(ttl=2.0, stale_if_error=9.0),
            Rule(path="/v1/*", ttl=3.0),
            Rule(model="gpt-*", ttl=4.0, enabled=False),
            Rule(path="/v1/embeddings", model="gpt-4", ttl=5.0, enabled=True, max_ttl=6.0),
        ),
    )
    base = Terms(ttl=2.0, jitter=0.5, stale_if_error=9.0)
    assert policy.terms("/other", "m", "d") == base
    assert policy.terms("/v1/x/y", "m", "d").ttl == 3.0
    assert policy.terms("/v1/x", "gpt-4", "d").ttl == 4.0
    assert not policy.terms("/v1/x", "gpt-4", "d").enabled
    special = policy.terms("/v1/embeddings", "gpt-4", "d")
    assert (special.ttl, special.max_ttl, special.enabled) == (5.0, 6.0, True)
    assert special.stale_if_error == 9.0


def test_the_order_of_rules_decides() -> None:
    general, special = Rule(ttl=1.0), Rule(model="m", ttl=2.0)
    assert Policy(Terms(), (general, special)).terms("/", "m", "d").ttl == 2.0
    assert Policy(Terms(), (special, general)).terms("/", "m", "d").ttl == 1.0


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*", "/any/thing", True),
        ("*", "", True),
        ("/v1/*", "/v1/a/b", True),
        ("/v1/*", "/v1", False),
        ("/V1/*", "/v1/a", False),
        ("/v?/a", "/v1/a", True),
        ("/v[12]/a", "/v2/a", True),
        ("/v[!12]/a", "/v2/a", False),
        ("/v1/a", "/v1/a/", False),
        ("/v1/a", "/v1/a\n", False),
        ("*/a", "/x\n/a", True),
    ],
)
def test_patterns_match_whole_paths_models_and_dialects_with_case(
    pattern: str, path: str, *, matches: bool
) -> None:
    by_path = Policy(Terms(), (Rule(path=pattern, ttl=1.0),))
    by_model = Policy(Terms(), (Rule(model=pattern, ttl=1.0),))
    by_dialect = Policy(Terms(), (Rule(dialect=pattern, ttl=1.0),))
    assert (by_path.terms(path, "m", "d").ttl == 1.0) == matches
    assert (by_model.terms("/", path, "d").ttl == 1.0) == matches
    assert (by_dialect.terms("/", "m", path).ttl == 1.0) == matches


def test_a_rule_sets_what_it_names_even_to_nothing_and_leaves_the_rest() -> None:
    default = Terms(True, 1.0, 2.0, 0.3, 4.0, 5.0, 1.5, False, 8)
    nothing = Rule(
        enabled=False, ttl=0.0, jitter=0.0, stale_if_error=0.0, max_temperature=0.0, max_entry=0
    )
    assert Policy(default, (Rule(),)).terms("/", "m", "d") == default
    expected = Terms(False, 0.0, 2.0, 0.0, 4.0, 0.0, 0.0, False, 0)
    assert Policy(default, (nothing,)).terms("/", "m", "d") == expected


def test_a_rule_for_all_that_it_names_needs_all_of_it() -> None:
    rule = Rule(path="/v1/*", model="gpt-*", dialect="openai_*", ttl=1.0)
    policy = Policy(Terms(ttl=9.0), (rule,))
    for asked, ttl in [
        (("/v1/x", "gpt-4", "openai_chat"), 1.0),
        (("/v2/x", "gpt-4", "openai_chat"), 9.0),
        (("/v1/x", "claude", "openai_chat"), 9.0),
        (("/v1/x", "gpt-4", "rag_json"), 9.0),
    ]:
        assert policy.terms(*asked).ttl == ttl


def test_every_term_can_be_set_by_a_rule() -> None:
    matched, of_questions = {"path", "model", "dialect"}, {"about_now"}
    terms = {f.name for f in fields(Terms)} - of_questions
    assert {f.name for f in fields(Rule)} - matched == terms


# -- impersonal: what reaches others -----------------------------------------------------------

PERSONAL = [
    "Set-Cookie", "Set-Cookie2", "X-Request-Id", "request-id", "X-Correlation-ID", "CF-Ray",
    "openai-processing-ms", "Server-Timing", "X-Envoy-Upstream-Service-Time",
    "traceparent", "tracestate", "Alt-Svc", "NEL", "Report-To", "Via", "Age", "x-amzn-RequestId",
    "X-Amzn-Trace-Id", "x-ms-request-id", "apim-request-id", "X-Cloud-Trace-Context",
    "X-Generation-Id", "CF-Cache-Status", "X-Cache", "X-Cache-Reason", "X-RateLimit-Remaining",
    "x-ratelimit-limit-tokens", "RateLimit-Reset", "anthropic-ratelimit-requests-remaining",
    "OpenAI-Organization", "OpenAI-Project", "anthropic-organization-id", "Authentication-Info",
    "x-litellm-key-spend", "X-Kong-Request-Id", "mistral-correlation-id", "X-B3-TraceId",
    "x-client-request-id", "x-datadog-sampling-priority", "x-ds-trace-id",
]  # fmt: skip
COMMON = [
    "Content-Type", "Date", "Server", "ETag", "Last-Modified", "Cache-Control", "Vary",
    "openai-version", "openai-model", "x-ms-region", "Cache-Status", "Content-Language",
    "Access-Control-Allow-Origin", "Strict-Transport-Security", "X-Content-Type-Options",
    "Retry-After",  # of an error that all who wait are told
]  # fmt: skip


@pytest.mark.parametrize("name", PERSONAL)
def test_what_belongs_to_one_delivery_or_account_reaches_nobody_else(name: str) -> None:
    assert not impersonal(Headers([(name, "1"), (name.upper(), "2"), (name.lower(), "3")]))


def test_names_that_backends_make_up_are_told_apart_and_not_remembered_without_bound() -> None:
    with holding_less_than(2**20):
        for number in range(200):
            long = f"x-ratelimit-{number:030000}"
            headers = Headers([(long, "1"), (f"x-{long}", "2")])
            assert impersonal(headers).values == ["2"]
        del headers, long


def test_what_belongs_to_the_answer_stays_as_it_was() -> None:
    pairs = [(name, str(number)) for number, name in enumerate(COMMON)]
    mixed = [*pairs[:5], *((name, "x") for name in PERSONAL), *pairs[5:]]
    assert impersonal(Headers(mixed)) == Headers(pairs)

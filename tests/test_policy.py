"""The policy: what may be served, what may be kept, and for how long."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields
from math import inf, sqrt

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.model.decision import Bypass, GiveUp, HeadVerdict, Hit, Miss, Share, Why
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.query import Controls, Form, Query
from proxy.policy import (
    FAILING,
    Policy,
    Rule,
    Terms,
    impersonal,
    initial_age,
    judge,
    lifetime,
    refuse,
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


def test_an_answer_of_no_known_form_or_declared_too_long_is_for_nobody_else() -> None:
    assert weighed(form=None) == GiveUp(Why.MEDIA_TYPE)
    assert weighed(length=101) == GiveUp(Why.TOO_LARGE)


def test_by_default_every_header_is_in_the_key_so_only_a_star_varies() -> None:
    policy = Policy(Terms())
    for vary, verdict in [("User-Agent", KEPT), ("*", GiveUp(Why.VARY))]:
        head = Head(200, "OK", Headers([("Vary", vary)]))
        assert policy.weigh(head, None, JSON, Terms()) == verdict


def test_failures_that_a_stale_answer_may_stand_in_for_are_shared() -> None:
    assert {429, 500, 502, 503, 504} == FAILING
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
    assert Policy(default).terms("/v1/chat/completions", "m") is default


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
    assert policy.terms("/other", "m") == base
    assert policy.terms("/v1/x/y", "m").ttl == 3.0
    assert policy.terms("/v1/x", "gpt-4").ttl == 4.0
    assert not policy.terms("/v1/x", "gpt-4").enabled
    special = policy.terms("/v1/embeddings", "gpt-4")
    assert (special.ttl, special.max_ttl, special.enabled) == (5.0, 6.0, True)
    assert special.stale_if_error == 9.0


def test_the_order_of_rules_decides() -> None:
    general, special = Rule(ttl=1.0), Rule(model="m", ttl=2.0)
    assert Policy(Terms(), (general, special)).terms("/", "m").ttl == 2.0
    assert Policy(Terms(), (special, general)).terms("/", "m").ttl == 1.0


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
def test_patterns_match_whole_paths_and_models_with_case(
    pattern: str, path: str, *, matches: bool
) -> None:
    by_path = Policy(Terms(), (Rule(path=pattern, ttl=1.0),))
    by_model = Policy(Terms(), (Rule(model=pattern, ttl=1.0),))
    assert (by_path.terms(path, "m").ttl == 1.0) == matches
    assert (by_model.terms("/", path).ttl == 1.0) == matches


def test_a_rule_sets_what_it_names_even_to_nothing_and_leaves_the_rest() -> None:
    default = Terms(True, 1.0, 2.0, 0.3, 4.0, 5.0, 1.5, False, 8)
    nothing = Rule(
        enabled=False, ttl=0.0, jitter=0.0, stale_if_error=0.0, max_temperature=0.0, max_entry=0
    )
    assert Policy(default, (Rule(),)).terms("/", "m") == default
    expected = Terms(False, 0.0, 2.0, 0.0, 4.0, 0.0, 0.0, False, 0)
    assert Policy(default, (nothing,)).terms("/", "m") == expected


def test_every_term_can_be_set_by_a_rule() -> None:
    assert {f.name for f in fields(Rule)} - {"path", "model"} == {f.name for f in fields(Terms)}


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


def test_what_belongs_to_the_answer_stays_as_it_was() -> None:
    pairs = [(name, str(number)) for number, name in enumerate(COMMON)]
    mixed = [*pairs[:5], *((name, "x") for name in PERSONAL), *pairs[5:]]
    assert impersonal(Headers(mixed)) == Headers(pairs)

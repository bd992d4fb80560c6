"""What responses tell about the cache, word for word, and that it is a structured List."""

from __future__ import annotations

import re
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.decision import Why
from proxy.model.meaning import Doubt, Measured
from proxy.model.outcome import Fwd, Outcome, Verdict
from proxy.wire.cache_status import fields, item

Parameters = dict[str, "float | bool | str"]

TOKEN = r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"
STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
NUMBER = r"-?(?:\d{1,12}\.\d{1,3}|\d{1,15})"
KEY = r"[a-z*][a-z0-9_.*-]*"
MEMBER = re.compile(rf"({TOKEN}|{STRING})((?:; ?{KEY}(?:=(?:{NUMBER}|\?0|{TOKEN}|{STRING}))?)*)")
PARAMETER = re.compile(rf"; ?({KEY})(?:=({NUMBER}|\?0|{TOKEN}|{STRING}))?")


def bare(text: str) -> float | bool | str:
    """The value of a bare item (RFC 9651, section 4.2.3.1)."""
    if text in {"", "?0"}:
        return not text
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return float(text) if re.fullmatch(NUMBER, text) else text


def members(value: str) -> list[tuple[str, Parameters]]:
    """The members of a structured List of Items; an AssertionError if it is none."""
    found: list[tuple[str, Parameters]] = []
    position = 0
    while position < len(value):
        member = MEMBER.match(value, position)
        assert member, f"no item at {value[position:]!r}"
        parameters = {key: bare(text) for key, text in PARAMETER.findall(member[2])}
        found.append((str(bare(member[1])), parameters))
        position = member.end()
        assert position == len(value) or value[position : position + 2] == ", "
        position += 2
    return found


def told(outcome: Outcome, upstream: str = "", **options: str) -> dict[str, str]:
    return dict(fields(outcome, upstream, total_s=0.25, **options))


def status(outcome: Outcome, upstream: str = "") -> str:
    return told(outcome, upstream).get("Cache-Status", "")


HIT = Outcome(Verdict.HIT, Why.FRESH, tier="l1_memory", age_s=12.9, ttl_s=287.4)
MISS = Outcome(Verdict.MISS, Why.UNSEEN, fwd=Fwd.URI_MISS)
STORED = MISS._replace(stored=True, ttl_s=300.0)
SHARED = MISS._replace(verdict=Verdict.COALESCED, collapsed=True)
STALE = HIT._replace(verdict=Verdict.STALE)
BYPASS = Outcome(Verdict.BYPASS, Why.TEMPERATURE, fwd=Fwd.BYPASS)


@pytest.mark.parametrize(
    ("outcome", "member"),
    [
        (HIT, "hit; ttl=287; detail=l1"),
        (HIT._replace(tier="l2_redis"), "hit; ttl=287; detail=l2"),
        (HIT._replace(detail="negative", ttl_s=4.0), "hit; ttl=4; detail=negative"),
        (HIT._replace(tier="", ttl_s=None), "hit"),
        (STORED, "fwd=uri-miss; stored; ttl=300"),
        (MISS, "fwd=uri-miss; detail=stream"),
        (MISS._replace(stored=False), "fwd=uri-miss; detail=uncacheable"),
        (MISS._replace(stored=False, why=Why.PRIVATE), "fwd=uri-miss; detail=private"),
        (STORED._replace(fwd=Fwd.VARY_MISS), "fwd=vary-miss; stored; ttl=300"),
        (SHARED._replace(ttl_s=300.0), "fwd=uri-miss; collapsed; ttl=300"),
        (SHARED._replace(why=Why.JOINED), "fwd=uri-miss; collapsed; detail=joined"),
        (
            MISS._replace(collapsed=False, why=Why.GIVE_UP),
            "fwd=uri-miss; collapsed=?0; detail=give-up",
        ),
        (
            MISS._replace(collapsed=False, why=Why.WAIT_TIMEOUT),
            "fwd=uri-miss; collapsed=?0; detail=wait-timeout",
        ),
        (MISS._replace(why=Why.HIT_FOR_MISS), "fwd=uri-miss; detail=hit-for-miss"),
        (
            STORED._replace(fwd=Fwd.REQUEST, why=Why.NO_CACHE),
            "fwd=request; stored; ttl=300",
        ),
        (BYPASS, "fwd=bypass; detail=temperature"),
        (BYPASS._replace(why=Why.METHOD, fwd=Fwd.METHOD), "fwd=method"),
        (STALE._replace(why=Why.SWR, ttl_s=-12.0), "hit; ttl=-12; detail=swr"),
        (STALE._replace(why=Why.SIE, ttl_s=-95.0), "hit; ttl=-95; detail=sie"),
        (
            STALE._replace(why=Why.SIE, ttl_s=-95.0, fwd=Fwd.STALE, fwd_status=503),
            "fwd=stale; fwd-status=503; ttl=-95; detail=sie",
        ),
        (
            STORED._replace(why=Why.EXPIRED, fwd=Fwd.STALE, fwd_status=304),
            "fwd=stale; fwd-status=304; stored; ttl=300",
        ),
        (BYPASS._replace(fwd=None), "fwd=bypass; detail=temperature"),
        (STORED._replace(fwd=None), "fwd=miss; stored; ttl=300"),
    ],
)
def test_each_outcome_has_its_words(outcome: Outcome, member: str) -> None:
    assert status(outcome) == f"sidecache; {member}"


def test_our_member_comes_behind_those_of_caches_further_away() -> None:
    value = status(STORED, "OriginCache; hit; ttl=1100")
    assert value == "OriginCache; hit; ttl=1100, sidecache; fwd=uri-miss; stored; ttl=300"
    assert [name for name, _ in members(value)] == ["OriginCache", "sidecache"]


def test_an_error_of_our_own_tells_nothing_of_the_cache() -> None:
    error = Outcome(Verdict.ERROR, Why.UPSTREAM_ERROR, fwd=Fwd.URI_MISS, fwd_status=502)
    assert status(error) == ""
    assert status(error, "OriginCache; hit") == "OriginCache; hit"
    assert told(error)["X-Cache-Reason"] == "upstream-error"


def test_only_if_cached_is_the_error_that_is_about_the_cache() -> None:
    absent = Outcome(Verdict.ERROR, Why.ONLY_IF_CACHED)
    assert status(absent) == "sidecache; detail=only-if-cached"


def test_people_are_told_the_verdict_and_the_reason() -> None:
    assert told(BYPASS).items() >= {"X-Cache": "BYPASS", "X-Cache-Reason": "temperature"}.items()


@pytest.mark.parametrize(
    ("age_s", "age"), [(0.0, "0"), (12.9, "12"), (-3.0, "0"), (None, "0"), (inf, str(2**31))]
)
def test_age_is_in_whole_seconds_and_never_negative(age_s: float | None, age: str) -> None:
    assert told(HIT._replace(age_s=age_s))["Age"] == age


def test_age_and_tier_are_only_on_what_comes_from_a_store() -> None:
    for outcome in (HIT, STALE, STALE._replace(fwd=Fwd.STALE, fwd_status=503)):
        assert told(outcome).items() >= {"Age": "12", "X-Cache-Tier": "l1_memory"}.items()
    for outcome in (STORED, SHARED._replace(age_s=0.0, tier="l1_memory"), BYPASS):
        assert told(outcome).keys().isdisjoint({"Age", "X-Cache-Tier"})


@pytest.mark.parametrize(("ttl_s", "ttl"), [(-0.5, -1), (0.9, 0), (inf, 2**31), (-inf, -(2**31))])
def test_freshness_left_is_rounded_down_and_bounded(ttl_s: float, ttl: int) -> None:
    [(_, parameters)] = members(status(HIT._replace(ttl_s=ttl_s)))
    assert parameters["ttl"] == ttl


def test_timing_tells_our_own_time_from_the_backends() -> None:
    assert told(HIT)["Server-Timing"] == "sidecache;dur=250.000"
    asked = STORED._replace(upstream_s=0.2)
    assert told(asked)["Server-Timing"] == "sidecache;dur=50.000, upstream;dur=200.000"
    slow = STORED._replace(upstream_s=0.3)
    assert told(slow)["Server-Timing"] == "sidecache;dur=0.000, upstream;dur=300.000"


def test_a_name_that_is_no_token_is_quoted() -> None:
    assert told(HIT, name="edge 1")["Cache-Status"].startswith('"edge 1"; hit; ')


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("uri-miss", "uri-miss"),
        ("*a/b:c", "*a/b:c"),
        ("1a", '"1a"'),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "\\"', r'"say \"\\\""'),
        ("é\r\n", '"???"'),
    ],
)
def test_text_is_a_token_or_a_string(text: str, written: str) -> None:
    assert item(text) == written


outcomes = st.builds(
    Outcome,
    verdict=st.sampled_from(Verdict),
    why=st.sampled_from(Why),
    tier=st.sampled_from(["", "l1_memory", "l2_redis"]),
    fwd=st.none() | st.sampled_from(Fwd),
    fwd_status=st.none() | st.integers(100, 599),
    age_s=st.none() | st.floats(allow_nan=False),
    ttl_s=st.none() | st.floats(allow_nan=False),
    stored=st.none() | st.booleans(),
    collapsed=st.none() | st.booleans(),
    detail=st.text(),
    upstream_s=st.none() | st.floats(0, 1e6),
    doubt=st.none() | st.sampled_from(Doubt),
    similarity=st.none() | st.floats(-1, 1),
    measured=st.none() | st.builds(Measured, st.floats(0, 1), st.floats(0, 1), st.integers(0)),
    match=st.just("0123456789abcdef"),
)


@given(outcomes, st.text(min_size=1))
def test_whatever_happened_the_field_is_a_structured_list(outcome: Outcome, name: str) -> None:
    lines = dict(fields(outcome, "Origin; hit", name=name, total_s=1.0))
    first, *ours = members(lines["Cache-Status"])
    assert first == ("Origin", {"hit": True})
    for _, parameters in ours:
        assert not {"hit", "fwd"} <= parameters.keys()
        if not parameters.keys() & {"fwd"}:
            assert parameters.keys().isdisjoint({"fwd-status", "stored", "collapsed"})
    assert all(text.isprintable() for pair in lines.items() for text in pair)


def test_a_hit_on_another_question_tells_how_near_it_was_and_how_wrong_such_hits_are() -> None:
    hit = HIT._replace(
        why=Why.SEMANTIC, similarity=0.97312, measured=Measured(0.001, 0.0213, 140), match="ab" * 8
    )
    lines = told(hit)
    assert lines["X-Cache-Reason"] == "semantic"
    assert lines["X-Cache-Similarity"] == "0.9731"
    assert lines["X-Cache-Match"] == "ab" * 8
    assert lines["X-Cache-Error-Bound"] == "0.0213; estimate=0.0010; labels=140"
    assert (
        lines["Cache-Status"] == "sidecache; hit; ttl=287; detail=semantic; sidecache-score=0.973"
    )


def test_a_miss_tells_why_no_other_question_would_do() -> None:
    lines = told(MISS._replace(doubt=Doubt.VETO_NUMBERS, stored=True))
    assert lines["X-Cache-Reason"] == "uri-miss, veto-numbers"
    assert lines["Cache-Status"] == "sidecache; fwd=uri-miss; stored; detail=veto-numbers"

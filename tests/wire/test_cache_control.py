"""What cache directives mean, in requests and in responses."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.decision import Why
from proxy.model.message import Headers
from proxy.model.query import Controls
from proxy.wire.cache_control import (
    LONGEST_S,
    NAMESPACE_LENGTH,
    UNASKED,
    UNSAID,
    Allowance,
    controls_from_headers,
    controls_from_object,
    delta_seconds,
    directives,
    merge,
    response_lifetime,
    targeted,
)

limits = st.none() | st.floats(min_value=0, max_value=LONGEST_S)
wishes = st.builds(
    Controls,
    no_cache=st.booleans(),
    no_store=st.booleans(),
    only_if_cached=st.booleans(),
    max_age=limits,
    min_fresh=limits,
    max_stale=limits | st.just(inf),
    ttl=limits,
    namespace=st.sampled_from(["", "a", "b"]),
    tags=st.sampled_from([(), ("x",), ("y", "x")]),
    by_meaning=st.booleans(),
    least_similarity=st.sampled_from([0.0, 0.9, 1.0]),
    complaint=st.booleans(),
)


def asked(*pairs: tuple[str, str]) -> Controls:
    return controls_from_headers(Headers([("Host", "x"), *pairs]))


def allowed(**fields: str) -> Allowance:
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return response_lifetime(Headers(pairs))


# The grammar


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("", {}),
        (" , ,", {}),
        ("no-store", {"no-store": None}),
        ("No-Store , MAX-AGE=5", {"no-store": None, "max-age": "5"}),
        ('max-age="5"', {"max-age": "5"}),
        ('private="a, b", no-store', {"private": "a, b", "no-store": None}),
        (r'x="a\", no-store"', {"x": 'a", no-store'}),
        ('x="never ends, no-store', {"x": "never ends, no-store"}),
        ("max-age=", {"max-age": ""}),
        ("max-age = 5", {"max-age": " 5"}),
        ("=5, no-store", {"no-store": None}),
        ("max-age=1, max-age=9", {"max-age": "1"}),
        ("no-store\t,\tno-cache", {"no-store": None, "no-cache": None}),
    ],
)
def test_a_field_is_read_as_its_grammar_says(value: str, meaning: dict[str, str | None]) -> None:
    assert directives(value) == meaning


@given(st.text(alphabet=st.sampled_from('a=", \\\t\x00\xe9\udc80')))
def test_reading_directives_and_targeted_fields_never_raises(value: str) -> None:
    assert all(directives(value))
    targeted(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("007", 7), ("60", 60), (str(2**31), 2**31), (str(2**31 + 1), 2**31),
        ("9" * 6000, 2**31), ("0" * 6000 + "5", 5),
        ("", None), (None, None), ("-1", None), ("+1", None), ("1.5", None), ("1e3", None),
        (" 1", None), ("1_0", None), ("²", None), ("٣", None),
    ],
)  # fmt: skip
def test_delta_seconds_are_digits_and_at_most_2_to_the_31(
    text: str | None, seconds: float | None
) -> None:
    assert delta_seconds(text) == seconds


# Requests


def test_a_request_that_asks_nothing_yields_the_one_shared_constant() -> None:
    assert asked(("Accept", "*/*")) is UNASKED
    assert asked(("Cache-Control", "")) is UNASKED


@pytest.mark.parametrize(
    ("value", "wish"),
    [
        ("no-store", Controls(no_store=True)),
        ("no-cache", Controls(no_cache=True)),
        ("only-if-cached", Controls(only_if_cached=True)),
        ("max-age=60", Controls(max_age=60)),
        ("max-age=0", Controls(max_age=0)),
        ("min-fresh=9", Controls(min_fresh=9)),
        ("max-stale", Controls(max_stale=inf)),
        ("max-stale=5", Controls(max_stale=5)),
        ("s-maxage=5, private, no-transform, stale-if-error=3", Controls()),
        ("no-cache, max-age=7", Controls(no_cache=True, max_age=7)),
    ],
)
def test_request_directives_become_controls(value: str, wish: Controls) -> None:
    assert asked(("Cache-Control", value)) == wish
    assert asked(("X-Cache-Control", value)) == wish


@pytest.mark.parametrize(
    ("value", "wish"),
    [
        ("max-age", Controls(max_age=0)),
        ("max-age=soon", Controls(max_age=0)),
        ("max-age=-1", Controls(max_age=0)),
        ("min-fresh=x", Controls(min_fresh=LONGEST_S)),
        ("max-stale=x", Controls(max_stale=0)),
    ],
)
def test_nonsense_is_read_in_the_way_that_trusts_the_cache_least(
    value: str, wish: Controls
) -> None:
    assert asked(("Cache-Control", value)) == wish


def test_repeated_fields_are_one_list() -> None:
    assert asked(("Cache-Control", "max-age=3"), ("cache-control", "no-store")) == Controls(
        max_age=3, no_store=True
    )


def test_pragma_counts_only_where_cache_control_is_absent() -> None:
    pragma = ("Pragma", "no-cache")
    assert asked(pragma) == Controls(no_cache=True)
    assert asked(pragma, ("Cache-Control", "max-age=5")) == Controls(max_age=5)
    assert asked(pragma, ("X-Cache-Control", "max-age=5")) == Controls(no_cache=True, max_age=5)
    assert asked(("Pragma", "x-other")) == UNASKED


def test_our_own_field_replaces_directives_of_the_same_name_only() -> None:
    wish = asked(("Cache-Control", "max-age=5, min-fresh=2"), ("X-Cache-Control", "max-age=90"))
    assert wish == Controls(max_age=90, min_fresh=2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30), ("30s", 30), ("5m", 300), ("2H", 7200), ("1d", 86400), ("0", 0),
        ("9" * 30 + "d", LONGEST_S), ("", 0), ("s", 0), ("5 m", 0), ("-5", 0), ("1.5h", 0),
        ("5w", 0),
    ],
)  # fmt: skip
def test_a_ttl_may_have_a_unit_and_is_nothing_if_it_makes_no_sense(
    text: str, seconds: float
) -> None:
    assert asked(("X-Cache-TTL", text)) == Controls(ttl=seconds)


def test_a_namespace_is_taken_as_it_is() -> None:
    assert asked(("X-Cache-Namespace", "Team ä/1")) == Controls(namespace="Team ä/1")
    assert asked(("X-Cache-Namespace", "n" * NAMESPACE_LENGTH)).namespace == "n" * NAMESPACE_LENGTH
    assert asked(("X-Cache-Namespace", "")) is UNASKED


@pytest.mark.parametrize("name", ["n" * (NAMESPACE_LENGTH + 1), "a\tb", "a\x1fb", "\udcff"])
def test_a_namespace_that_cannot_be_used_keeps_the_request_out_of_the_cache(name: str) -> None:
    shut_out = Controls(no_cache=True, no_store=True)
    assert asked(("X-Cache-Namespace", name)) == shut_out
    assert controls_from_object({"namespace": name}) == shut_out


# The cache object in the body


@pytest.mark.parametrize(
    ("wish", "controls"),
    [
        ({}, Controls()),
        ({"ttl": 60}, Controls(ttl=60)),
        ({"ttl": 0.5}, Controls(ttl=0.5)),
        ({"ttl": 10**400}, Controls(ttl=LONGEST_S)),
        ({"s-maxage": 10}, Controls(max_age=10)),
        ({"s-max-age": 10}, Controls(max_age=10)),
        ({"s-maxage": 10, "s-max-age": 3}, Controls(max_age=3)),
        ({"no-cache": True}, Controls(no_cache=True)),
        ({"no-store": True}, Controls(no_store=True)),
        ({"no-cache": False, "no-store": False}, Controls()),
        ({"use-cache": True}, Controls()),
        ({"use-cache": False}, Controls(no_cache=True, no_store=True)),
        ({"namespace": "n", "ttl": None}, Controls(namespace="n")),
        ({"tags": ["b", "a", "b"]}, Controls(tags=("b", "a"))),
        ({"tags": [], "ttl": 5}, Controls(ttl=5)),
        ({"tags": None}, UNASKED),
        ({"semantic": False}, Controls(by_meaning=False)),
        ({"semantic": True, "threshold": 0.95}, Controls(least_similarity=0.95)),
    ],
)
def test_the_cache_object_becomes_controls(wish: dict[str, object], controls: Controls) -> None:
    assert controls_from_object(wish) == controls


@pytest.mark.parametrize(
    "wish",
    [
        {"type": "exact_match", "ttl": 60},
        {"ttl": "60"},
        {"ttl": True},
        {"ttl": -1},
        {"ttl": float("nan")},
        {"ttl": inf},
        {"no-cache": 1},
        {"no-store": "true"},
        {"namespace": 5},
        {"namespace": ["a"]},
        {"tags": "a"},
        {"tags": ["a", 5]},
        {"tags": {"a": "b"}},
        {"other": None},
        {"semantic": "off"},
        {"threshold": 1.5},
        {"threshold": "0.9"},
    ],
)
def test_an_object_with_one_strange_member_is_somebody_elses(wish: dict[str, object]) -> None:
    assert controls_from_object(wish) is None


# What is asked of hits by meaning


@pytest.mark.parametrize("switch", ["off", "no", "0", "OFF", "perhaps", ""])
def test_whatever_does_not_clearly_want_them_wants_none(switch: str) -> None:
    assert asked(("X-Cache-Semantic", switch)) == Controls(by_meaning=False)


@pytest.mark.parametrize("switch", ["on", "true", "1", "Yes"])
def test_who_wants_them_asks_for_nothing_else(switch: str) -> None:
    assert asked(("X-Cache-Semantic", switch)) == UNASKED


def test_a_threshold_is_a_number_from_0_to_1() -> None:
    assert asked(("X-Cache-Threshold", "0.95")) == Controls(least_similarity=0.95)
    assert asked(("X-Cache-Threshold", " 1.0 ")) == Controls(least_similarity=1.0)
    assert asked(("X-Cache-Threshold", "0")) == UNASKED


@pytest.mark.parametrize("value", ["", "1.5", "-1", "95", ".9", "1e-3", "nan", "high", "0.9, 0.8"])
def test_a_threshold_that_makes_no_sense_lets_nothing_through(value: str) -> None:
    assert asked(("X-Cache-Threshold", value)) == Controls(by_meaning=False)


def test_a_complaint_asks_for_a_new_answer() -> None:
    assert asked(("X-Cache-Feedback", "Wrong ")) == Controls(no_cache=True, complaint=True)
    assert asked(("X-Cache-Feedback", "right")) == UNASKED


# Both together


def test_merging_takes_the_stricter_of_each_wish() -> None:
    first = Controls(max_age=5, min_fresh=1, max_stale=inf, ttl=60, namespace="n")
    second = Controls(no_cache=True, max_age=9, min_fresh=3, max_stale=8, ttl=70, namespace="n")
    assert merge(first, second) == Controls(
        no_cache=True, max_age=5, min_fresh=3, max_stale=8, ttl=60, namespace="n"
    )


def test_merging_with_silence_changes_nothing() -> None:
    wish = Controls(max_stale=4, namespace="n")
    assert merge(wish, UNASKED) is wish
    assert merge(UNASKED, wish) is wish
    assert merge(wish, Controls()) == wish
    assert merge(Controls(), wish) == wish


def test_tags_are_taken_as_they_are() -> None:
    assert asked(("X-Cache-Tags", "handbook, doc:17 ,,handbook")) == Controls(
        tags=("handbook", "doc:17")
    )
    assert asked(("X-Cache-Tags", "")) is UNASKED
    assert asked(("X-Cache-Tags", ",")) == UNASKED


@pytest.mark.parametrize("tags", [["x" * 257], ["a", ""], ["a\nb"], [str(n) for n in range(65)]])
def test_tags_that_cannot_be_used_keep_the_request_out_of_the_cache(tags: list[str]) -> None:
    assert controls_from_object({"tags": tags}) == Controls(no_cache=True, no_store=True)
    if "" not in tags:
        assert asked(("X-Cache-Tags", ",".join(tags))) == Controls(no_cache=True, no_store=True)


def test_the_tags_of_header_and_body_add_up() -> None:
    assert merge(Controls(tags=("a", "b")), Controls(tags=("c", "a"))).tags == ("a", "b", "c")
    half, other = (tuple(f"{half}{n}" for n in range(40)) for half in "ab")
    assert merge(Controls(tags=half), Controls(tags=other)) == Controls(
        no_cache=True, no_store=True
    )


def test_two_namespaces_become_a_third_that_nobody_can_name() -> None:
    both = merge(Controls(namespace="a"), Controls(namespace="b")).namespace
    assert both not in {"a", "b", "", merge(Controls(namespace="b"), Controls(namespace="a"))}
    assert asked(("X-Cache-Namespace", both)).no_store


@given(wishes, wishes)
def test_a_merged_wish_is_never_laxer_than_either(a: Controls, b: Controls) -> None:
    both = merge(a, b)
    for one in (a, b):
        assert both.no_cache >= one.no_cache
        assert both.no_store >= one.no_store
        assert both.only_if_cached >= one.only_if_cached
        for name in ("max_age", "max_stale", "ttl"):
            limit = getattr(one, name)
            assert limit is None or getattr(both, name) <= limit
        assert one.min_fresh is None or (both.min_fresh or 0) >= one.min_fresh
    assert merge(a, a) == a


# Responses


def test_a_response_that_says_nothing_yields_the_one_shared_constant() -> None:
    assert allowed(Content_Type="text/plain", Date="x") is UNSAID
    assert UNSAID.storable


@pytest.mark.parametrize(
    ("value", "allowance"),
    [
        ("max-age=60", Allowance(ttl=60)),
        ('max-age="60"', Allowance(ttl=60)),
        ("max-age=60, max-age=5", Allowance(ttl=60)),
        ("max-age=abc", Allowance(ttl=0)),
        ("max-age", Allowance(ttl=0)),
        ("public", Allowance()),
        ("max-age=60, stale-while-revalidate=5", Allowance(ttl=60, stale_while_revalidate=5)),
        ("max-age=60, stale-if-error=7", Allowance(ttl=60, stale_if_error=7)),
        ("no-store", Allowance(Why.NO_STORE)),
        ("private", Allowance(Why.PRIVATE)),
        ('private="x-user", max-age=9', Allowance(Why.PRIVATE, ttl=9)),
        ("no-cache", Allowance(Why.NO_CACHE)),
        ('no-cache="set-cookie"', Allowance(Why.NO_CACHE)),
        ("no-cache, no-store, private", Allowance(Why.PRIVATE)),
        ("no-cache, no-store", Allowance(Why.NO_STORE)),
    ],
)
def test_response_directives_become_an_allowance(value: str, allowance: Allowance) -> None:
    assert allowed(Cache_Control=value) == allowance
    assert allowance.storable == (allowance.refusal is None)


def test_s_maxage_outranks_max_age_and_rules_out_stale_answers() -> None:
    assert allowed(Cache_Control="max-age=5, s-maxage=60") == Allowance(None, 60, 0, 0)


def test_a_window_named_beside_s_maxage_is_meant() -> None:
    said = allowed(Cache_Control="s-maxage=60, stale-while-revalidate=30")
    assert said == Allowance(None, 60, stale_while_revalidate=30, stale_if_error=0)


@pytest.mark.parametrize("name", ["must-revalidate", "proxy-revalidate"])
def test_a_response_to_be_revalidated_is_never_stale(name: str) -> None:
    said = allowed(Cache_Control=f"max-age=5, {name}, stale-while-revalidate=9, stale-if-error=9")
    assert said == Allowance(None, 5, 0, 0, must_revalidate=True)


MADE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("expires", "ttl"),
    [
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        (MADE, 0),
        ("Sun, 06 Nov 1994 08:40:00 GMT", 0),
        ("Sun, 06 Nov 2994 08:40:00 GMT", LONGEST_S),
        ("0", 0),
        ("-1", 0),
        ("", 0),
        ("Sun, 06 Nov 99999 08:40:00 GMT", 0),
    ],
)
def test_expires_counts_from_date(expires: str, ttl: float) -> None:
    assert allowed(Date=MADE, Expires=expires) == Allowance(ttl=ttl)


def test_expires_without_a_date_to_count_from_allows_nothing() -> None:
    assert allowed(Expires="Sun, 06 Nov 2994 08:50:37 GMT") == Allowance(ttl=0)


def test_directives_outrank_expires() -> None:
    said = allowed(Date=MADE, Expires="Sun, 06 Nov 1994 08:50:37 GMT", Cache_Control="max-age=7")
    assert said == Allowance(ttl=7)


@given(st.text())
def test_no_date_makes_it_raise(text: str) -> None:
    ttl = allowed(Date=MADE, Expires=text).ttl
    assert ttl is not None
    assert 0 <= ttl <= LONGEST_S


# Targeted fields


def test_the_nearest_target_wins_and_silences_the_rest() -> None:
    fields = {"Cache_Control": "no-store", "Date": MADE, "Expires": "0"}
    assert allowed(**fields, CDN_Cache_Control="max-age=9") == Allowance(ttl=9)
    assert allowed(
        **fields, CDN_Cache_Control="max-age=9", Sidecache_Cache_Control="max-age=5"
    ) == Allowance(ttl=5)
    assert allowed(**fields, CDN_Cache_Control="none") == UNSAID


@pytest.mark.parametrize(
    "value",
    ["", "  ", "Max-Age=9", "max-age=9,", "max-age=9 s", "max-age= 9", 'x="', "a=(1", "a=é"],
)
def test_a_targeted_field_that_is_empty_or_malformed_counts_as_absent(value: str) -> None:
    assert allowed(CDN_Cache_Control=value, Cache_Control="max-age=3") == Allowance(ttl=3)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("max-age=9", {"max-age": "9"}),
        ("no-store,max-age=9", {"no-store": None, "max-age": "9"}),
        ("no-store=?1, private=?0", {"no-store": None}),
        ("max-age=1, max-age=9", {"max-age": "9"}),
        ("max-age=1;x;y=2 , no-cache;z=tok", {"max-age": "1", "no-cache": None}),
        ('private=("a" "b";q=1) ,\tx=:YQ==:', {"private": '("a" "b";q=1)', "x": ":YQ==:"}),
        (r'x="a\", b"', {"x": r'"a\", b"'}),
        ("d=-1.5, t=to/k:en, e=()", {"d": "-1.5", "t": "to/k:en", "e": "()"}),
    ],
)
def test_a_targeted_field_is_a_structured_dictionary(
    value: str, meaning: dict[str, str | None]
) -> None:
    assert targeted(value) == meaning


def test_a_targeted_lifetime_that_is_no_integer_is_none() -> None:
    assert allowed(CDN_Cache_Control='max-age="9"') == Allowance(ttl=0)
    assert allowed(CDN_Cache_Control="max-age=9.5") == Allowance(ttl=0)

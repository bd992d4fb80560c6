"""The words of other gateways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.watched import Watched

from proxy.model.message import Headers
from proxy.model.query import Controls
from proxy.wire.cache_control import UNASKED
from proxy.wire.steering import Family, Steering

ALL = Steering(Family)
UNUSED = Controls(no_cache=True, no_store=True)
RENEW = Controls(no_cache=True)


def told(*headers: tuple[str, str], by: Steering = ALL) -> Controls:
    return by.controls(Headers(headers))


@pytest.mark.parametrize(
    ("name", "value", "controls"),
    [
        ("X-OpenRouter-Cache", "false", UNUSED),
        ("X-OpenRouter-Cache", "true", UNASKED),
        ("X-OpenRouter-Cache", "perhaps", UNUSED),
        ("X-OpenRouter-Cache-TTL", "600", Controls(ttl=600.0)),
        ("X-OpenRouter-Cache-TTL", "0", Controls(ttl=1.0)),
        ("X-OpenRouter-Cache-TTL", "999999", Controls(ttl=86400.0)),
        ("X-OpenRouter-Cache-TTL", "1h", UNUSED),
        ("X-OpenRouter-Cache-Clear", "true", RENEW),
        ("Helicone-Cache-Enabled", "False", UNUSED),
        ("Helicone-Cache-Enabled", "true", UNASKED),
        ("Helicone-Cache-Bucket-Max-Size", "3", Controls(variants=3)),
        ("Helicone-Cache-Bucket-Max-Size", "0", UNUSED),
        ("Helicone-Cache-Bucket-Max-Size", "many", UNUSED),
        ("Helicone-Cache-Seed", "user-1", Controls(namespace="user-1")),
        ("Helicone-Cache-Seed", "x" * 129, UNUSED),
        ("Helicone-Cache-Ignore-Keys", "b, a", Controls(ignored=("a", "b"))),
        ("Helicone-Cache-Ignore-Keys", "user_id,messages", UNUSED),
        ("cf-aig-skip-cache", "true", UNUSED),
        ("cf-skip-cache", "true", UNUSED),
        ("cf-aig-cache-ttl", "60", Controls(ttl=60.0)),
        ("cf-cache-ttl", "60", Controls(ttl=60.0)),
        ("cf-aig-cache-ttl", "-1", UNUSED),
        ("cf-aig-cache-key", "a", Controls(namespace="a")),
        ("cf-aig-cache-key", "", UNUSED),
        ("x-portkey-cache-force-refresh", "true", RENEW),
        ("x-portkey-cache-namespace", "a", Controls(namespace="a")),
        ("x-portkey-config", '{"cache":{"mode":"simple"}}', Controls(by_meaning=False)),
        ("x-portkey-config", '{"cache":{"max_age":60}}', Controls(ttl=60.0)),
        ("x-portkey-config", '{"cache":{"mode":"semantic"}}', UNASKED),
        ("x-portkey-config", '{"cache":{"mode":"magic"}}', UNUSED),
        ("x-portkey-config", '{"cache":{"mode":["simple"]}}', UNUSED),
        ("x-portkey-config", '{"cache":{"max_age":"long"}}', UNUSED),
        ("x-portkey-config", '{"cache":true}', UNUSED),
        ("x-portkey-config", '{"retry":{}}', UNASKED),
        ("x-portkey-config", "pc-12345", UNASKED),
        ("x-bf-cache-key", "a", Controls(namespace="a")),
        ("x-bf-cache-ttl", "30s", Controls(ttl=30.0)),
        ("x-bf-cache-ttl", "30", Controls(ttl=30.0)),
        ("x-bf-cache-ttl", "soon", UNUSED),
        ("x-bf-cache-threshold", "0.9", Controls(least_similarity=0.9)),
        ("x-bf-cache-threshold", "high", Controls(by_meaning=False)),
        ("x-bf-cache-type", "direct", Controls(by_meaning=False)),
        ("x-bf-cache-type", "semantic", UNASKED),
        ("x-bf-cache-type", "magic", UNUSED),
        ("x-bf-cache-no-store", "true", UNUSED),
    ],
)  # fmt: skip
def test_each_word_asks_for_what_it_says(name: str, value: str, controls: Controls) -> None:
    assert told((name, value)) == controls


@pytest.mark.parametrize("family", Family)
def test_a_family_that_is_not_named_is_not_heard(family: Family) -> None:
    others = Steering(each for each in Family if each is not family)
    for name in Steering([family]).names:
        assert name not in others.names
        assert told((name, "true"), by=others) is UNASKED


def test_all_its_fields_end_here_but_the_one_that_is_for_others_too() -> None:
    assert Steering([Family.PORTKEY]).names == {
        "x-portkey-cache-force-refresh",
        "x-portkey-cache-namespace",
    }
    assert Steering().names == frozenset()


def test_our_own_words_count_where_they_are_about_the_same() -> None:
    both = told(
        ("cf-aig-cache-ttl", "60"),
        ("X-Cache-TTL", "5m"),
        ("Helicone-Cache-Seed", "theirs"),
        ("X-Cache-Namespace", "ours"),
        ("Helicone-Cache-Bucket-Max-Size", "9"),
        ("X-Cache-Variants", "2"),
    )
    assert both == Controls(ttl=300.0, namespace="ours", variants=2)


def test_words_about_different_things_add_up() -> None:
    both = told(("cf-aig-cache-ttl", "60"), ("Cache-Control", "no-cache"), ("x-bf-cache-key", "a"))
    assert both == Controls(ttl=60.0, no_cache=True, namespace="a")


@given(st.sampled_from(sorted(ALL.names | {"x-portkey-config"})), st.text(max_size=40))
def test_no_value_is_too_odd_to_be_read(name: str, value: str) -> None:
    assert isinstance(told((name, value)), Controls)


@pytest.mark.parametrize("name", [*sorted(ALL.names), "x-portkey-config", "pragma", "accept"])
def test_what_is_asked_depends_on_no_field_that_is_not_heard(name: str) -> None:
    headers = Watched([(name, "true"), ("X-Other", "1")])
    ALL.controls(headers)
    assert all(map(ALL.hears, headers.looked_at))
    assert ALL.hears(name) == (name != "accept")

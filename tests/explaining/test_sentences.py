"""What callers asked, and who decides, in sentences."""

from __future__ import annotations

from math import inf

import pytest

from proxy.explaining.sentences import tellable, who_decides, wishes
from proxy.model.query import Controls
from proxy.policy import Rule, Terms

ASKED = [
    (Controls(no_store=True), "no-store"),
    (Controls(no_cache=True), "no-cache"),
    (Controls(no_cache=True, complaint=True), "X-Cache-Feedback"),
    (Controls(only_if_cached=True), "only-if-cached"),
    (Controls(max_age=5), "5 s"),
    (Controls(min_fresh=6), "6 s"),
    (Controls(max_stale=inf), "stale (max-stale)"),
    (Controls(max_stale=7), "at most 7 s"),
    (Controls(ttl=8), "8 s"),
    (Controls(namespace="secret-name"), "namespace"),
    (Controls(tags=("a", "b")), "2 tags"),
    (Controls(by_meaning=False), "other words"),
    (Controls(least_similarity=0.9), "0.9"),
    (Controls(variants=3), "3 answers"),
    (Controls(ignored=("user",)), "user"),
]


@pytest.mark.parametrize(("controls", "word"), ASKED)
def test_each_wish_is_a_sentence(controls: Controls, word: str) -> None:
    (sentence,) = wishes(controls)

    assert word in sentence
    assert sentence.endswith(".")
    assert "secret-name" not in sentence


def test_who_asks_for_nothing_is_told_nothing() -> None:
    assert wishes(Controls()) == []


RULES = [(0, Rule(ttl=5.0)), (2, Rule(enabled=True)), (3, Rule(ttl=9.0))]


@pytest.mark.parametrize(
    ("controls", "terms", "rules", "about_now", "says"),
    [
        (Controls(), Terms(jitter=0), [], False, "cache.ttl_s says so."),
        (Controls(), Terms(), [], False, "cache.ttl_s says so; chance takes up to 10% off."),
        (Controls(), Terms(jitter=0), RULES, False, "cache.rules[3] says so."),
        (Controls(), Terms(jitter=0), [], True,
         "cache.ttl_s says so, times 0.5 as the question is about now."),
        (Controls(ttl=5), Terms(jitter=0), RULES, True, "The caller says so (X-Cache-TTL)."),
        (Controls(ttl=5), Terms(jitter=0, max_ttl=4), [], False,
         "The caller says so (X-Cache-TTL), as far as cache.max_ttl_s allows."),
        (Controls(), Terms(jitter=0, obey_response=True), [], False,
         "cache.ttl_s says so; the backend is obeyed where it says otherwise."),
    ],
)  # fmt: skip
def test_it_is_told_whose_word_a_lifetime_is(
    controls: Controls, terms: Terms, rules: list[tuple[int, Rule]], about_now: bool, says: str
) -> None:
    assert who_decides(controls, terms, rules, about_now=about_now) == says


def test_what_is_no_text_can_be_told_all_the_same() -> None:
    assert tellable("a\udce9b") == "a?b"

"""Every reason can be told to people."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.model.decision import Why
from proxy.model.meaning import Doubt
from proxy.model.reasons import REASONS, Kind

ROOT = Path(__file__).parents[2]
WORDS = [*Why, *Doubt]


def test_no_reason_is_missing_and_no_word_stands_for_two() -> None:
    assert set(REASONS) == {word.value for word in WORDS}
    assert len(REASONS) == len(WORDS)


@pytest.mark.parametrize("word", WORDS, ids=str)
def test_each_is_told_in_a_sentence_and_its_advice_too(word: Why | Doubt) -> None:
    reason = REASONS[word]

    for text in (reason.says, reason.advice) if reason.advice else (reason.says,):
        assert text[0].isupper() or text.startswith(("cache.", "flights."))
        assert text.endswith((".", "pseudonym.", "upstreams."))
        assert "  " not in text
    assert (reason.kind is Kind.DOUBT) == isinstance(word, Doubt)


@pytest.mark.parametrize(
    ("section", "kinds"),
    [
        ("Hits", {Kind.HIT}),
        ("In place of a failure", {Kind.DEGRADED}),
        ("Misses", {Kind.MISS}),
        ("Why nothing was found by meaning", {Kind.DOUBT}),
        ("Passed on", {Kind.BYPASS}),
        ("No answer", {Kind.ERROR}),
    ],
)
def test_their_kinds_are_the_sections_of_the_documentation(section: str, kinds: set[Kind]) -> None:
    text = (ROOT / "docs/headers.md").read_text(encoding="utf-8")
    table = text.split(f"### {section}\n", 1)[1].split("\n### ", 1)[0]
    words = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)

    assert words
    assert {REASONS[word].kind for word in words} == kinds


def test_the_settings_that_advice_names_exist() -> None:
    known = (ROOT / "config/sidecache.yaml").read_text(encoding="utf-8")

    for word, reason in REASONS.items():
        for path in re.findall(r"\b(?:cache|flights|semantic)\.[a-z_.]*[a-z_]", reason.advice):
            assert re.search(rf"^[# ]*{path.rpartition('.')[2]}:", known, re.MULTILINE), (
                word,
                path,
            )

"""Seeking: which questions may be answered by the answer to another."""

from __future__ import annotations

import pytest

from proxy.model.entry import CacheKey
from proxy.model.meaning import Doubt
from proxy.model.query import Asking, Form, Query
from proxy.semantic.found import Sought
from proxy.semantic.seeking import Seeking
from proxy.semantic.words.eligible import Eligibility

KEY = CacheKey("scope", b"k" * 32)


def sought(text: str, model: str = "m") -> Sought | Doubt:
    seeking = Seeking(Eligibility(volatile=lambda _text: False), None)
    query = Query("openai_chat", model, Form(), b"", b"")
    return seeking.sought(Asking(text, b"", follows=False, acts=False), b"n" * 16, KEY, query)


@pytest.mark.parametrize(
    "text", ["Where is my red book?" + " " * 5000, "Where is my red book\u2026" + "\u2026" * 2000]
)
def test_what_is_long_or_becomes_long_when_it_is_read_is_too_long(text: str) -> None:
    assert sought(text) is Doubt.TOO_LONG


def test_a_question_of_five_hundred_words_is_not() -> None:
    words = " ".join(["where", "is", "my", "red", "book", "and", "the", "pen"] * 55)
    assert sought(f"{words}?") is not Doubt.TOO_LONG


def test_what_is_remembered_of_a_model_is_no_longer_than_a_name() -> None:
    found = sought("How do I reset my router?", "m" * 1_000_000)
    assert isinstance(found, Sought)
    assert len(found.family) == 200

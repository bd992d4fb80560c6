"""Texts that are made to cost much: what is paid for one grows with its length, and no faster."""

from __future__ import annotations

import time

import orjson
import pytest

from proxy.compression.cut import Cut
from proxy.compression.prompt import Plan, compress
from proxy.compression.rules import Rule
from proxy.compression.segments import segments

PLAN = Plan(frozenset(Rule), max_tokens=1000, where=Cut.MIDDLE)
# A text in which each step looks at all the rest takes minutes.
SECONDS = 10.0


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * 100_000 + "b" + " " * 100_000 + "c",
        "\u201c" * 100_000,
        "    indented(code)\n" * 50_000,
        "| a | row |\n" * 50_000,
        "`a` b " * 100_000,
        '{"a": [1,2,{"b":x ' * 20_000,
        "x\n{ " * 100_000,
        (" " * 200 + "x\n") * 10_000,
    ],
    ids=["gaps", "quotes", "indented", "table", "inline", "json", "braces", "wide"],
)
def test_a_text_costs_what_its_length_says(text: str) -> None:
    body = orjson.dumps({"messages": [{"role": "system", "content": text}]})
    began = time.process_time()
    compress(body, PLAN)
    assert time.process_time() - began < SECONDS


def test_json_with_a_number_of_any_length_is_json() -> None:
    text = "See [" + "1" * 5000 + ", 1e9, -0.0] and more."
    assert [piece.prose for piece in segments(text)] == [True, False, True]


@pytest.mark.parametrize("size", [1000, 1020, 1024, 1030, 20_000, 400_000])
@pytest.mark.parametrize("end", ['"', '\\u00e9"', '",true', '",-12.5e3'])
def test_json_is_found_whatever_its_length(size: int, end: str) -> None:
    json = '["' + "a" * (size - len(end) - 3) + end + "]"
    assert [piece.text for piece in segments(f"So {json} it is")] == ["So ", json, " it is"]

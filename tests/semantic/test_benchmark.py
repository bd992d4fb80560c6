"""The arithmetic of the semantic benchmark, and that it prints one JSON object and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.semantic.tally import Row, by_label, doubts, judged, percentile, served, wrongness
from benchmarks.semantic.worlds import _column

ROOT = Path(__file__).parents[2]
HANDMADE = ROOT / "tests/data/semantic/handmade_dev.jsonl"
FAQ = ROOT / "tests/data/semantic/zh_faq_stream.jsonl"

ROWS = [
    Row("exact", right=True, doubt=""),
    Row("canonical", right=True, doubt=""),
    Row("semantic", right=False, doubt=""),
    Row("semantic", right=True, doubt=""),
    Row("", right=None, doubt="threshold"),
    Row("", right=None, doubt="threshold"),
    Row("", right=None, doubt=""),
]


def test_exact_hits_are_not_counted_as_hits_in_other_words() -> None:
    told = served(ROWS)
    assert (told["queries"], told["hits"], told["wrong"]) == (7, 3, 1)
    assert told["hit_ratio"] == pytest.approx(3 / 7, abs=1e-5)
    assert told["wrong_per_hit"] == pytest.approx(1 / 3, abs=1e-5)
    assert told["exact"] == wrongness(0, 1)
    assert told["by_kind"] == {
        "canonical": wrongness(0, 1),
        "typo": wrongness(0, 0),
        "semantic": wrongness(1, 2),
    }


def test_of_no_hits_the_share_of_wrong_ones_is_unknown() -> None:
    assert wrongness(0, 0) == {
        "hits": 0, "wrong": 0, "wrong_per_hit": None, "low": 0.0, "high": 1.0
    }  # fmt: skip


def test_doubts_are_those_of_misses_the_most_frequent_first() -> None:
    assert list(doubts(ROWS).items()) == [("threshold", 2), ("none", 1)]


def test_pairs_are_counted_by_what_must_become_of_them_and_by_label() -> None:
    rows = [
        Row("semantic", right=True, doubt="", must=True, labels=("en", "para")),
        Row("", right=None, doubt="threshold", must=True, labels=("en", "para")),
        Row("typo", right=False, doubt="", must=False, labels=("zh", "")),
    ]
    told = judged(rows)
    assert told["must"] == {
        "pairs": 2,
        "served": 1,
        "share": 0.5,
        "by_kind": {"semantic": 1},
        "doubts": {"threshold": 1},
    }
    assert told["must_not"] == {
        "pairs": 1, "served": 1, "share": 1.0, "by_kind": {"typo": 1}, "doubts": {}
    }  # fmt: skip
    assert by_label(rows, 0, 1) == {"en para": judged(rows[:2]), "zh -": judged(rows[2:])}


@pytest.mark.parametrize(
    ("values", "part", "found"),
    [([], 0.5, 0.0), ([3.0], 0.99, 3.0), ([4, 1, 3, 2], 0.5, 2), (range(1, 101), 0.99, 99)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], part: float, found: float) -> None:
    assert percentile(values, part) == found


def test_a_column_leaves_out_what_has_no_figure() -> None:
    found: list[dict[str, object]] = [{"x": 1}, {"x": None}, {"x": 2.0}]
    assert _column(found, "x") == {"n": 2, "least": 1, "mean": 1.5, "most": 2.0}
    assert _column(found[1:2], "x")["n"] == 0


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "semantic", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_pairs_come_to_one_json_object() -> None:
    done = bench("--pairs", str(HANDMADE), "--embedder", "ngram")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["must"]["pairs"], told["must_not"]["pairs"]) == (82, 97)
    assert told["must_not"]["share"] <= 0.05  # the target for these
    assert told["must"]["share"] >= 0.4
    assert told["canonical_alone"]["all"]["false"]["equal"] == 0
    assert set(told["by_lang"]) == {"en", "zh"}
    assert {point["threshold"] for point in told["curve"]} <= {n / 100 for n in range(70, 100)}
    assert told["timing"]["verify"]["n"] > 0


def test_a_stream_comes_to_one_line_of_json_if_that_is_wanted() -> None:
    done = bench("--stream", str(FAQ), "--embedder", "ngram", "--limit", "100", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert told["queries"] == 100
    assert told["hits"] == sum(kind["hits"] for kind in told["by_kind"].values())
    assert told["hits"] + told["exact"]["hits"] + sum(told["doubts"].values()) == 100
    assert told["honest"] is True


def test_vetoes_can_be_switched_off_by_name() -> None:
    done = bench("--pairs", str(HANDMADE), "--embedder", "ngram", "--vetoes-off", "numbers,order")
    told = json.loads(done.stdout)
    assert told["vetoes_off"] == ["numbers", "order"]
    assert not {"veto-numbers", "veto-order"} & told["effects"].keys()
    assert told["must_not"]["served"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pairs", "/nowhere"], "/nowhere: cannot be read"),
        (["--pairs", str(FAQ)], 'needs a "label"'),
        (["--stream", str(HANDMADE)], 'needs a "group"'),
        (["--pairs", str(HANDMADE), "--vetoes-off", "gravity"], "no veto called gravity"),
        (["--pairs", str(HANDMADE), "--embedder", "onnx:/nowhere"], "/nowhere"),
        (["--stream", str(FAQ), "--veto-speed"], "--veto-speed needs --pairs"),
    ],
)
def test_mistakes_are_told_and_nothing_is_printed(words: list[str], said: str) -> None:
    done = bench(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""

"""``./run bench``: what can be named, and what is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import CASES, listing, main, studies
from benchmarks.frame.kept import ROOT


def test_a_name_that_is_none_is_told_with_all_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["hist"]) == 2
    said = capsys.readouterr().err
    assert "no benchmark called hist" in said
    assert all(f"  {name} " in said for name in (*CASES, *studies()))


def test_each_is_listed_with_what_it_is() -> None:
    named = [line.split(None, 1) for line in listing() if line.startswith("  ")]
    assert all(len(words) == 2 for words in named)


def test_cases_and_studies_are_not_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hits", "eviction"]) == 2
    assert "run the rest apart" in capsys.readouterr().err


@pytest.mark.heavy
def test_a_run_prints_json_and_keeps_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "ratios", "--json", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (file,) = tmp_path.iterdir()
    assert json.loads(done.stdout) == json.loads(file.read_text())
    assert "hits of 50,000 requests" in done.stderr

"""``sidecache model``; here because it needs the same models as its parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.tiny_models import plain_folder

from proxy.cli import cli

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(300)  # the first to load torch waits for it


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["model", *map(str, words)], prog_name="sidecache")


def test_check_shows_what_a_model_is_good_for(minilm_int8: Path) -> None:
    result = run("check", minilm_int8)
    assert result.exit_code == 0, result.stderr
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["model"] == f"onnx:{minilm_int8}"
    assert lines["vectors"] == "384 numbers"
    assert lines["latin"].startswith("usable: ")
    assert lines["han"].startswith("NOT usable: ")
    assert lines["han"].endswith("of the tokens are unknown to it")
    assert lines["one"].startswith("text ")
    assert lines["one"].endswith(" ms")


def test_check_tells_what_a_threshold_does_to_pairs_and_suggests_one(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path / "tiny")
    pairs = [{"a": "where is my dog", "b": "Where is my dog", "label": 1}] * 200
    pairs += [{"a": "my dog is on the train", "b": "my train is on the dog", "label": 0}] * 2
    (tmp_path / "good").write_text("\n".join(map(json.dumps, pairs[:200])))
    (tmp_path / "bad").write_text("\n".join(map(json.dumps, pairs[190:])))

    told = run("check", folder, "--pairs", tmp_path / "good", "--threshold", "0.95").stdout
    assert "pairs        200, by similarity alone" in told
    assert "at 0.95      200 served, 0 of them wrong (at most 1.9%" in told
    assert "suggested    0.75: 200 served, 0 of them wrong" in told

    told = run("check", folder, "--pairs", tmp_path / "bad").stdout
    assert "at 0.90      12 served, 2 of them wrong" in told
    assert "suggested    none: " in told


def test_check_fails_for_a_model_that_is_of_no_use(tmp_path: Path) -> None:
    result = run("check", plain_folder(tmp_path / "tiny"))
    assert result.exit_code == 1
    assert "latin        NOT usable: " in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("check", "/no/such/folder"), "Error: there is no folder /no/such/folder\n"),
        (("check", "x", "--pairs", "/no/pairs"), "Error: /no/pairs: No such file or directory\n"),
        (("export", "/no/such/folder", "/no/place/x"), "Error: /no/place: No such file"),
        (("export", "x", "/"), "Error: / is there already"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_message(words: tuple[str, ...], told: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith(told)
    assert result.stderr.count("\n") == 1


def test_export_tells_what_it_made_and_how_near_it_is(exporting: tuple[Result, Path]) -> None:
    result, folder = exporting
    assert result.exit_code == 0, result.stderr
    first, second, third = result.stdout.splitlines()
    assert first.startswith(f"made {folder}, ")
    assert first.endswith(" MB, fp32")
    assert "differ by 0.0000 on average and 0.0000 at most" in second
    assert third == f"try it: sidecache model check {folder}"


def test_what_is_not_installed_is_told_with_the_extra(tmp_path: Path) -> None:
    """In a process whose Python finds the proxy's own needs and no more."""
    blocked = tmp_path / "sitecustomize.py"
    blocked.write_text("import sys\nsys.modules['numpy'] = None\n")
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", "model", "check", "x"],
        cwd=ROOT, env={"PATH": "/bin", "PYTHONPATH": f"{tmp_path}"}, capture_output=True,
        text=True, timeout=50, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr == (
        "Error: numpy is not installed; pip install 'sidecache[vectors]' brings it\n"
    )

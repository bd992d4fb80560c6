"""The command, from a trace to what it tells and writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.traced import label, row, written

from proxy.cli import cli
from proxy.config.load import load
from proxy.config.settings import Settings
from proxy.observe import trace
from proxy.tuning.grid import Axes, grid
from proxy.tuning.reading import read
from proxy.tuning.sweep import sweep

Run = Callable[..., Result]

CONFIG = """
l2_disk: {enabled: false}
l1_memory: {max_bytes: 200KiB, express_share: 0}
cache: {ttl_s: 60, refresh_ahead: 0}
"""
FEW = {
    "--memory": "200KiB,800KiB", "--ttl": "60", "--grace": "0", "--seen-times": "1",
    "--refresh-ahead": "0",
}  # fmt: skip
PRICES = "savings: {currency: EUR, prices: [{model: m, input: 1000, output: 1000}]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trace that memory is short for, and the settings it was recorded with."""
    tokens = {"read": 100, "written": 50}
    rows = [row(str(n * n % 97 % 60), n / 10, size=10_000, **tokens) for n in range(300)]  # type: ignore[arg-type] # numbers
    written(tmp_path / "t.sct", rows, others={"bypass": 7}, dropped=2)
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("SIDECACHE_")]:
        monkeypatch.delenv(name)

    def run(*words: str, config: str = CONFIG, name: str = "t.sct") -> Result:
        (folder / "c.yaml").write_text(config)
        given = ["-c", str(folder / "c.yaml"), "--jobs", "1"]
        for axis, tried in FEW.items():
            given += [] if axis in words else [axis, tried]
        given += words
        return CliRunner().invoke(cli, ["tune", str(folder / name), *given])

    return run


def test_it_tells_what_was_read_what_was_tried_and_what_is_best(run: Run) -> None:
    done = run("--memory", "200KiB,400KiB,800KiB,8MiB")

    assert done.exit_code == 0, done.output
    said = done.output
    assert "300 requests in 29.9s, 39 questions; 0.0% of them were hits." in said
    assert "Left out, as nothing that is tuned here decides them: 7 bypass." in said
    assert "2 requests that came too fast" in said
    assert "That is far apart" in said  # they are all misses in the trace, made by hand
    assert "l1_memory.max_bytes  200KiB -> 400KiB" in said
    (best,) = [line for line in said.splitlines() if line.startswith("best")]
    assert best.split()[1] == "400KiB"
    assert any(line.startswith("now ") for line in said.splitlines())


def test_it_writes_the_best_as_a_file_of_settings(run: Run, folder: Path) -> None:
    done = run("--memory", "200KiB,800KiB", "--ttl", "60", "--write", str(folder / "tuned.yaml"))

    assert done.exit_code == 0, done.output
    assert load(folder / "tuned.yaml").settings.l1_memory.max_bytes == 800 * 1024
    checked = CliRunner().invoke(cli, ["check", "-c", str(folder / "tuned.yaml")])
    assert checked.exit_code == 0
    again = run("--write", str(folder / "tuned.yaml"))
    assert again.exit_code == 2
    assert "there is a file already" in again.output


def test_it_tells_programs_one_object(run: Run) -> None:
    done = run("--json", "--goal", "cost", "--max-memory", "1MiB", config=CONFIG + PRICES)

    told = json.loads(done.stdout)
    assert told["goal"] == "cost"
    assert told["currency"] == "EUR"
    assert told["trace"]["left_out"] == {"bypass": 7}
    assert told["best"]["spent"]["money"] < told["in_force"]["spent"]["money"]
    assert told["best"]["choice"]["l1_memory.max_bytes"] <= 2**20
    assert {change["setting"] for change in told["changes"]} >= {"l1_memory.max_bytes"}
    assert told["in_force"] in told["tried"]
    assert told["best"] in told["tried"]


def test_money_is_shown_where_there_are_prices(run: Run) -> None:
    words = ("--memory", "800KiB", "--ttl", "60", "--all")
    assert "saved EUR" in run(*words, config=CONFIG + PRICES).output
    assert "saved tokens" in run(*words).output
    other = PRICES.replace("model: m", "model: x")
    assert "Without a price: m." in run(*words, config=CONFIG + other).output


def test_limits_that_nothing_keeps_to_are_told(run: Run, folder: Path) -> None:
    done = run("--min-hit-rate", "100%", "--write", str(folder / "x.yaml"))
    assert done.exit_code == 2
    assert "nothing that was tried keeps to the limits" in done.output
    done = run("--min-hit-rate", "1", "--memory", "200KiB")
    assert done.exit_code == 1
    assert "loosen one, or try more" in done.output


def test_freshness_is_not_had_for_fewer_hits(run: Run) -> None:
    done = json.loads(run("--json", "--goal", "freshness", "--ttl", "20,60").stdout)
    assert done["best"]["hit_ratio"] >= done["in_force"]["hit_ratio"]
    assert done["best"]["age_s"]["mean"] <= done["in_force"]["age_s"]["mean"]


def test_where_nothing_is_better_nothing_is_changed(run: Run, folder: Path) -> None:
    words = ("--memory", "200KiB", "--ttl", "60", "--seen-times", "1", "--refresh-ahead", "0")
    done = run(*words, "--write", str(folder / "none.yaml"))
    assert "the settings in force are as good as any that were tried" in done.output
    assert load(folder / "none.yaml").settings == Settings()


def test_a_sample_says_how_far_it_may_be_off(run: Run) -> None:
    done = run("--sample", "50%", "--memory", "800KiB", "--ttl", "60")
    assert done.exit_code == 0, done.output
    assert " ± " in done.output
    assert "no question is left" in run("--sample", "0.000001").output


def test_rules_that_set_lifetimes_are_told_of(run: Run) -> None:
    rules = CONFIG.replace("refresh_ahead: 0", "refresh_ahead: 0, rules: [{model: z, ttl_s: 5}]")
    assert "What `cache.rules` set stays as it is" in run("--memory", "1MiB", config=rules).output


def test_thresholds_are_tried_where_the_trace_tells_of_meaning(run: Run, folder: Path) -> None:
    flags = trace.STORED | trace.UNOPPOSED
    rows = [row("a", 0.0)]
    rows += [
        row(f"b{n}", 1.0 + n / 100, near="a", score=0.8 + n / 1000, flags=flags, size=100)
        for n in range(200)
    ]
    labels = [label(0.8 + n / 1000, wrong=n < 50) for n in range(200)]
    written(folder / "m.sct", rows, labels)
    words = ("--memory", "8MiB", "--ttl", "60", "--threshold", "0.8,0.86,0.95", "--json")

    told = json.loads(run(*words, "--max-wrong", "5%", name="m.sct").stdout)
    assert told["best"]["choice"]["semantic.threshold"] == 0.86
    assert told["best"]["wrong"] == 0
    worse = json.loads(run(*words, "--max-wrong", "50%", name="m.sct").stdout)
    assert worse["best"]["choice"]["semantic.threshold"] == 0.8
    assert "threshold" in run("--memory", "8MiB", name="m.sct").output
    refused = run("--threshold", "0.9")
    assert "tells of no question in other words" in refused.output


@pytest.mark.parametrize(
    "words",
    [
        ("--memory", "much"),
        ("--ttl", "1h,soon"),
        ("--seen-times", "3"),
        ("--refresh-ahead", "-1"),
        ("--threshold", "0.2"),
        ("--sample", "0"),
        ("--max-wrong", "200%"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, words: tuple[str, str]) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert f"Invalid value for '{words[0]}'" in done.output


def test_a_file_that_is_no_trace_is_refused(run: Run, folder: Path) -> None:
    done = run(name="c.yaml")
    assert done.exit_code == 2
    assert "is no trace" in done.output
    assert run("--write", str(folder / "none" / "x.yaml"), "--memory", "1MiB").exit_code == 2


def test_several_processes_find_what_one_finds(folder: Path) -> None:
    settings, load_ = load(folder / "c.yaml").settings, read([folder / "t.sct"])
    choices = grid(
        settings, Axes(ttl=(60.0,), grace=(0.0,), refresh_ahead=(0.0,)), by_meaning=False
    )
    counted: list[int] = []
    alone = sweep(load_, settings, choices)
    together = sweep(load_, settings, choices, jobs=2, done=counted.append)

    assert together == alone
    assert sum(counted) == len(choices)

"""Results that are kept."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.frame import kept
from benchmarks.frame.report import Table

TABLE = Table("hits", "hits", ("requests/s",), [("Sidecache", [5.0])])


def test_a_run_is_kept_in_a_file_of_its_own_and_read_back(tmp_path: Path) -> None:
    result = kept.begin(["hits"])
    result.tables.append(TABLE)
    file = result.keep(tmp_path / "results")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}Z\.json", file.name)
    again = kept.read(file)
    assert again.tables[0].text() == TABLE.text()
    assert (again.command, again.began, again.versions) == (
        "./run bench hits", result.began, result.versions
    )  # fmt: skip


def test_it_says_nothing_of_where_anything_lies(tmp_path: Path) -> None:
    python = str(tmp_path / "bin" / "python")
    result = kept.begin(["hits", "--litellm", python, "--rounds", "5"])
    told = json.dumps(result.as_json())
    assert result.command == "./run bench hits --litellm ... --rounds 5"
    assert str(tmp_path) not in told
    assert str(kept.ROOT) not in told
    assert {"Python", "aiohttp", "uvloop"} <= result.versions.keys()

"""Writes the figures of a kept result into the pages that tell them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks.frame.kept import ROOT, Result, read
from benchmarks.frame.options import RESULTS
from benchmarks.frame.peers import PRODUCT
from benchmarks.frame.report import Table, number
from benchmarks.hits import BARE, NGINX

BEGINS: Final = "<!-- figures: written by ./run bench page -->"
ENDS: Final = "<!-- end of figures -->"
_BESIDE: Final = {PRODUCT, NGINX, BARE}
_BETWEEN: Final = re.compile(f"(?<={re.escape(BEGINS)}\n).*?(?={re.escape(ENDS)})", re.DOTALL)


def tables(result: Result) -> str:
    """All tables, and what they were measured with."""
    memory = int(str(result.machine["memory_bytes"])) / 2**30
    machine = f"{result.machine['processor']}, {result.machine['cores']} cores, {memory:.0f} GiB"
    system = f"{result.machine['system']} {result.machine['kernel']}"
    versions = ", ".join(f"{name} {which}" for name, which in result.versions.items())
    lines = [
        f"`{result.command}`, begun {result.began}, of {result.revision or 'an unknown revision'}.",
        f"{machine}; {system}; {versions}. Kept as `{result.name}`.",
    ]
    return "\n\n".join(["\n".join(lines), *(table.markdown() for table in result.tables)])


def summary(result: Result) -> str:
    """A few rows of it."""
    by_name = {table.name: table for table in result.tables}
    lines = ["| On one core | requests/s | CPU us/request |", "|---|---:|---:|"]
    for name, what in (
        ("hits-same", "the same bytes again"),
        ("hits-traced", "trace headers that change"),
        ("hits-reordered", "JSON reordered"),
    ):
        if (table := by_name.get(name)) is not None:
            beside = _BESIDE if name == "hits-same" else {PRODUCT}
            for row, figures in table.rows:
                if row not in beside:
                    continue
                rate, cpu = (_figure(table, figures, which) for which in ("requests/s", "CPU us"))
                lines.append(f"| {row}, {what} | {rate} | {cpu} |")
    if (misses := by_name.get("misses-paced", by_name.get("misses-1"))) is not None:
        adds = {row: _figure(misses, figures, "adds p50 ms") for row, figures in misses.rows}
        told = ", ".join(f"{row} {each} ms" for row, each in adds.items() if each != "-")
        lines += ["", f"What a miss adds to the backend's own time, at the median: {told}."]
    return "\n".join(lines)


def _figure(table: Table, figures: object, column: str) -> str:
    return number(dict(zip(table.columns, figures, strict=True))[column])  # type: ignore[call-overload] # cells


PLACES: Final[Mapping[str, Callable[[Result], str]]] = {
    "docs/performance.md": tables,
    "README.md": summary,
}


def written(text: str, figures: str) -> str:
    """A page with these figures in place of those it has. Raises ValueError if it has no place."""
    if len(_BETWEEN.findall(text)) != 1:
        raise ValueError(f"needs one place between {BEGINS} and {ENDS}")
    return _BETWEEN.sub(lambda _: f"\n{figures}\n\n", text)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench page", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="a kept result; none: the newest")
    file = parser.parse_args(argv).file or max(RESULTS.glob("*.json"), default=None)
    if file is None:
        print("no result is kept: run ./run bench first")
        return 2
    result = read(file)
    for place, figures in PLACES.items():
        page = ROOT / place
        page.write_text(written(page.read_text(), figures(result)))
        print(f"{place}: {result.name}")
    return 0

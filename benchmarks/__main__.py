"""Runs benchmarks: the cases that make up one result, or any study by its name.

A case is measured in the common frame (``benchmarks.frame``): all cases that are named come to one
set of tables and one file. A study is a program of its own: a module here that has a ``main``.
"""

from __future__ import annotations

import ast
import importlib
import json
import platform
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Final

from benchmarks.frame import kept
from benchmarks.frame.drive import tool
from benchmarks.frame.options import Options, options
from benchmarks.frame.report import Table
from benchmarks.serving import cores, pin_here

HERE: Final = Path(__file__).parent
CASES: Final = (
    "hits", "lower", "reworded", "misses", "chunks", "stampede", "blocking", "ratios", "memory",
    "footprint",
)  # fmt: skip
_TOOLS: Final = ("page",)
# What benchmarks are made of.
_PARTS: Final = frozenset(
    {
        "__init__", "__main__", "crowd", "frame", "load", "servers", "serving", "steady", "trouble",
        "watched",
    }
)  # fmt: skip


def studies() -> list[str]:
    """The names of all."""
    found = {path.stem for path in HERE.glob("*.py")}
    found |= {path.parent.name for path in HERE.glob("*/__init__.py")}
    return sorted(found - _PARTS - {*CASES, *_TOOLS})


def main(argv: list[str]) -> int:
    """Run the benchmarks named in ``argv``; without a name, all cases.

    What follows ``--``, or begins with the first option, goes to what is named. What is measured
    goes to standard output, and nothing else does.
    """
    cut = next((at for at, word in enumerate(argv) if word.startswith("-")), len(argv))
    names, rest = argv[:cut], argv[cut:]
    if rest[:1] == ["--"]:
        del rest[0]
    if unknown := [name for name in names if name not in (*CASES, *studies(), *_TOOLS)]:
        print(f"no benchmark called {', '.join(unknown)}; there are:", file=sys.stderr)
        print("\n".join(listing()), file=sys.stderr)
        return 2
    cases = [name for name in CASES if name in names or not names]
    if cases and len(cases) < len(names):
        print(f"{', '.join(cases)} make a result of their own; run the rest apart", file=sys.stderr)
        return 2
    if cases:
        return _measured(cases, options(rest), argv)
    tools = " ".join(f"{name} {version(name)}" for name in ("aiohttp", "orjson", "uvloop"))
    machine = f"{platform.platform()}, Python {platform.python_version()}, {tools}"
    print(machine, file=sys.stderr)
    failed = 0
    for name in names:
        print(f"\n== {name}: python -m benchmarks {name}", file=sys.stderr)
        failed |= _module(name).main(rest)
    return failed


def listing() -> Iterator[str]:
    """What there is, a line each."""
    for title, names in (("cases", CASES), ("studies", studies()), ("tools", _TOOLS)):
        yield f"{title}:"
        for name in names:
            file = HERE / f"{name}.py"
            source = file if file.exists() else HERE / name / "__init__.py"
            said = ast.get_docstring(ast.parse(source.read_text())) or ""
            yield f"  {name:12}{said.splitlines()[0]}"


def _measured(cases: list[str], given: Options, words: list[str]) -> int:
    """Measure the cases, print their tables as they come, and keep them. A claim may be missed."""
    result = kept.begin(words, given.litellm)
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in result.versions.items())
    told = sys.stderr if given.json else sys.stdout
    print(f"{result.command}\n{machine}\n{versions}", file=told)
    if not tool():
        print("wrk is not installed: our own generator may be what limits rates", file=told)
    if len(cores()) < 2:
        print("one core, or no taskset: the load takes what it needs from the server", file=told)
    pin_here(-1)
    # Ended early, it ends what it has started: as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in cases:
        for table in _tables(_module(name), given):
            result.tables.append(table)
            print(f"\n{table.text()}", file=told, flush=True)
    if given.json:
        print(json.dumps(result.as_json(), indent=1))
    if given.keep is not None:
        print(f"\nkept as {result.keep(given.keep).name}", file=told)
    return 0


def _tables(module: ModuleType, given: Options) -> Iterator[Table]:
    yield from module.measure(given)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

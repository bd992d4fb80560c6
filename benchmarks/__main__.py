"""Runs the benchmarks named, or all: every module here that has a ``main``."""

from __future__ import annotations

import importlib
import platform
import sys
from importlib.metadata import version
from pathlib import Path

_PARTS = {
    "__init__",
    "__main__",
    "crowd",
    "load",
    "servers",
    "steady",
    "trouble",
}  # what benchmarks are made of
# Run by name only: they must be told what to read, or fetch it.
_BY_NAME = {"http", "semantic"}


def main(argv: list[str]) -> int:
    """Run the benchmarks named in ``argv``.

    What follows ``--``, or begins with the first option, goes to each of them. What they measure
    goes to standard output, and nothing else does.
    """
    cut = next((at for at, word in enumerate(argv) if word.startswith("-")), len(argv))
    names, rest = argv[:cut], argv[cut:]
    if rest[:1] == ["--"]:
        del rest[0]
    here = Path(__file__).parent
    found = {path.stem for path in here.glob("*.py")} | {
        path.parent.name for path in here.glob("*/__init__.py")
    }
    known = sorted(found - _PARTS)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark called {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    tools = " ".join(f"{name} {version(name)}" for name in ("aiohttp", "orjson", "uvloop"))
    machine = f"{platform.platform()}, Python {platform.python_version()}, {tools}"
    print(machine, file=sys.stderr)
    failed = 0
    for name in names or [name for name in known if name not in _BY_NAME]:
        print(f"\n== {name}: python -m benchmarks {name}", file=sys.stderr)
        failed |= importlib.import_module(f"benchmarks.{name}").main(rest)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

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
    "load",
    "servers",
    "steady",
    "trouble",
}  # what benchmarks are made of


def main(argv: list[str]) -> int:
    """Run the benchmarks named in ``argv``; what follows ``--`` goes to each of them."""
    names, rest = argv, []
    if "--" in argv:
        cut = argv.index("--")
        names, rest = argv[:cut], argv[cut + 1 :]
    here = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    known = [name for name in here if name not in _PARTS]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark called {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    tools = " ".join(f"{name} {version(name)}" for name in ("aiohttp", "orjson", "uvloop"))
    print(f"{platform.platform()}, Python {platform.python_version()}, {tools}")
    failed = 0
    for name in names or known:
        print(f"\n== {name}: python -m benchmarks {name}")
        failed |= importlib.import_module(f"benchmarks.{name}").main(rest)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

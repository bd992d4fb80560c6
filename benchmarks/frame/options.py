"""What all cases can be told."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Options:
    """How to measure, and what to do with it."""

    rounds: int
    seconds: int
    connections: int
    litellm: str  # an interpreter; "": none
    model: str  # a folder; "": none
    json: bool
    keep: Path | None


def options(argv: list[str]) -> Options:
    """As told on the command line."""
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("--rounds", type=int, default=3, help="of each, in turn (%(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="of a turn (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="(%(default)s)")
    parser.add_argument(
        "--litellm", default="", metavar="PYTHON", help="of an environment that has litellm[proxy]"
    )
    parser.add_argument(
        "--model", default="", metavar="FOLDER", help="for hits by meaning: sidecache model export"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER", help="for results")
    kept.add_argument("--no-keep", action="store_true", help="keep no result file")
    args = vars(parser.parse_args(argv))
    if args.pop("no_keep"):
        args["keep"] = None
    return Options(**args)

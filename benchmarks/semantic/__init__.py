"""How right answers to questions in other words are: ``./run bench semantic --pairs FILE``.

Labelled questions go through the parts that the proxy runs, made from its settings. One JSON object
is printed; what happens meanwhile is told on standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from proxy.model.errors import ConfigError

STREAM = 4_000  # questions of a stream that are asked if nothing else is said


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="  %(message)s")
    try:
        told = _told(args)
    except ConfigError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(told, ensure_ascii=False, indent=None if args.json else 2))
    return 0


def _told(args: argparse.Namespace) -> dict[str, object]:
    # Before numpy is there. With threads, a small product takes as long as it takes the slowest
    # of them to be given a processor: on a busy machine 16 ms in place of 0.1.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from benchmarks.semantic import runs, speed, worlds
    from proxy.calibration.labelled import read_pairs, read_stream
    from proxy.semantic.verifier import Verifier

    if args.replay:
        return worlds.all_worlds(args.seeds)
    if args.veto_speed:
        if args.pairs is None:
            raise ConfigError("--veto-speed needs --pairs")
        return speed.veto_speed(read_pairs(args.pairs)[: args.limit], Verifier)
    settings = runs.settings(
        embedder=args.embedder,
        threshold=args.threshold,
        error_budget=args.error_budget,
        off=[name for name in args.vetoes_off.split(",") if name],
        shadow=args.shadow,
    )
    if args.pairs is not None:
        pairs = read_pairs(args.pairs)[: args.limit]
        return {"file": str(args.pairs)} | asyncio.run(runs.pairs(settings, pairs, args))
    most = None if args.all else (args.limit or STREAM)
    asked = read_stream(args.stream, most)
    return {"file": str(args.stream)} | asyncio.run(runs.stream(settings, asked, args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench semantic", description=__doc__)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--pairs", type=Path, metavar="FILE", help='lines of {"a", "b", "label"}')
    data.add_argument("--stream", type=Path, metavar="FILE", help='lines of {"q", "group"}')
    data.add_argument("--replay", action="store_true", help="the error budget in made-up worlds")
    parser.add_argument("--veto-speed", action="store_true", help="only that, with --pairs")
    parser.add_argument(
        "--embedder",
        default="all-MiniLM-L6-v2",
        help="a model's name or folder; onnx:FOLDER; remote:URL,MODEL; ngram; none",
    )
    parser.add_argument("--threshold", type=float, help="the similarity to start with")
    parser.add_argument("--error-budget", type=float, help="wrong answers per hit")
    parser.add_argument("--limit", type=_count, help=f"questions; of a stream {STREAM:,}")
    parser.add_argument("--all", action="store_true", help="the whole stream")
    parser.add_argument("--vetoes-off", default="", metavar="A,B", help="vetoes that do not count")
    parser.add_argument(
        "--no-shadow", dest="shadow", action="store_false", help="ask no hit again in secret"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the dice")
    parser.add_argument("--seeds", type=_count, default=5, help="of each world, with --replay")
    parser.add_argument("--per-second", type=float, default=1.0, help="questions that come")
    parser.add_argument("--examples", type=int, default=20, help="of each kind of mistake")
    parser.add_argument("--json", action="store_true", help="on one line")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count

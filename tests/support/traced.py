"""Traces made by hand: rows as a recording has them, and files of them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import nan
from pathlib import Path

from proxy.observe import trace
from proxy.observe.trace import Block, Facts, Kind, Labelled, Row

RECORDING = b"one recording..."
NONE = Facts(0, 0, 0, 0, *[nan] * 13)


def hashed(name: str) -> int:
    """What tells ``name`` from others in a trace."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def row(
    key: str,
    at: float,
    verdict: str = "MISS",
    why: str = "",
    *,
    detail: str = "",
    tier: str = "",
    model: str = "m",
    path: str = "/v1/chat/completions",
    doubt: str = "",
    scope: str = "all",
    near: str = "",
    flags: int | None = None,
    took: float = 0.0,
    **facts: float,
) -> Row:
    """One request; a miss is stored, of 3,000 bytes, unless something else is said."""
    missed = verdict == "MISS" and flags is None
    defaults = {"size": 3000, "backend": 0.5, "ttl": 60.0} if missed else {}
    if flags is None:
        flags = trace.STORED if missed else 0
    why = why or {"MISS": "uri-miss", "HIT": "fresh", "STALE": "swr"}.get(verdict, "")
    kind = Kind(verdict, why, detail, tier, "openai_chat", model, path, doubt)
    told = NONE._replace(**(defaults | facts))  # type: ignore[arg-type] # whole where they must be
    near_by = hashed(near) if near else 0
    return Row(1e9 + at, took, kind, hashed(scope), hashed(key), near_by, flags, told)


def label(score: float, *, wrong: bool, weight: float = 1.0, served: bool = False) -> Labelled:
    """Something found out about an answer by meaning."""
    return Labelled(1e9, score, wrong, weight, "miss", served, "model", "latin")


def written(
    path: Path,
    rows: Iterable[Row],
    labels: Iterable[Labelled] = (),
    *,
    recording: bytes = RECORDING,
    **block: object,
) -> Path:
    """A file of these, with as many blocks as they need; the labels are in the first."""
    all_rows, most = list(rows), trace.MOST_ROWS
    first = Block(all_rows[:most], list(labels), **block)  # type: ignore[arg-type] # as it has them
    others = [Block(all_rows[at : at + most]) for at in range(most, len(all_rows), most)]
    blocks = map(trace.encode, (first, *others))
    path.write_bytes(trace.front(recording) + b"".join(blocks))
    return path

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from proxy.model.errors import ConfigError
from proxy.model.meaning import Script
from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.examine import (
    Pair,
    judge,
    outcome,
    read_pairs,
    scores,
    speed,
    suggest,
)
from proxy.semantic.embedders.ngram import NgramEmbedder

if TYPE_CHECKING:
    from proxy.semantic.base import Vector


class Blind(NgramEmbedder):
    """Knows no word at all."""

    def unknown(self, text: str) -> float | None:
        return 1.0


class Still(NgramEmbedder):
    """Gives all texts one vector, of a length told to it; its tokeniser cannot be seen."""

    def __init__(self, length: float) -> None:
        super().__init__()
        self._length = length

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        return [np.array([self._length, 0], np.float32) for _ in texts]

    def unknown(self, text: str) -> float | None:
        return None


async def test_speed_is_a_median_in_milliseconds() -> None:
    ticks = iter(range(1_000))
    embedder = NgramEmbedder()
    await embedder.start()
    assert await speed(embedder, lambda: float(next(ticks))) == (1_000.0, 1_000.0)


async def test_a_script_is_judged_by_what_is_known_and_then_by_meaning() -> None:
    embedder, blind, still = NgramEmbedder(), Blind(), Still(1.0)
    for one in (embedder, blind, still):
        await one.start()
    assert (await judge(embedder, Script.LATIN, 0.9)).usable
    assert await judge(blind, Script.HAN, 0.9) == (False, "100% of the tokens are unknown to it")
    verdict = await judge(still, Script.LATIN, 0.9)
    assert not verdict.usable
    assert "they must be 0.25 apart" in verdict.why


async def test_the_cosine_of_each_pair_whatever_the_lengths() -> None:
    pairs = [Pair("my dog", "my dog", equal=True), Pair("my dog", "a train", equal=False)]
    embedder = NgramEmbedder()
    await embedder.start()
    one, other = await scores(embedder, pairs)
    assert one == pytest.approx(1)
    assert other < 0.5
    assert await scores(Still(7.0), pairs) == pytest.approx([1, 1])
    for length in (0.0, float("nan")):
        with pytest.raises(EmbedderError, match="no direction"):
            await scores(Still(length), pairs)


def test_pairs_are_read_from_lines(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": "y", "label": 1, "lang": "en"}, {"a": "x", "b": "z", "label": False}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    assert read_pairs(path) == [("x", "y", True), ("x", "z", False)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "holds no pairs"),
        (b"\n{\n", "line 2 is not JSON"),
        (b'{"a": "x", "b": "y"}', 'line 1: expected {"a": "a question"'),
        (b'{"a": "x", "b": "y", "label": 2}', "line 1: expected"),
        (b'{"a": "x", "b": 1, "label": 1}', "line 1: expected"),
        (b"[]", "line 1: expected"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_what_are_no_pairs_is_told(tmp_path: Path, text: bytes, told: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=told):
        read_pairs(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_pairs(tmp_path / "none")


def test_what_a_threshold_would_have_done() -> None:
    scored = [(0.95, True)] * 95 + [(0.9, False)] * 5 + [(0.8, False)] * 50
    found = outcome(0.9, scored)
    assert (found.threshold, found.served, found.wrong) == (0.9, 100, 5)
    # Wilson's interval for 5 of 100, as it stands in tables: 2.15 % to 11.18 %.
    assert found.most_wrong == pytest.approx(0.1118, abs=1e-4)
    assert outcome(0.99, scored) == (0.99, 0, 0, 1.0)


def test_the_lowest_threshold_that_is_good_enough_is_suggested() -> None:
    scored = [(0.97, True)] * 300 + [(0.86, True)] * 300 + [(0.81, False)] * 30
    found = suggest(scored, 0.02)
    assert found is not None
    assert (found.threshold, found.served, found.wrong) == (0.82, 600, 0)


@pytest.mark.parametrize(
    "scored",
    [
        [],
        [(0.99, True)] * 39,  # too few to say
        [(0.99, True)] * 150,  # 0 of 150 proves 2.5 %, not 2 %
        [(0.99, False)] * 100 + [(0.8, True)] * 100_000,  # not beyond a bad one
    ],
)
def test_nothing_is_suggested_that_the_pairs_do_not_show(scored: list[tuple[float, bool]]) -> None:
    assert suggest(scored, 0.02) is None

"""The local index against a dictionary: whatever is done in whatever order, they say the same."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.cranked import Clock
from support.index_contract import DIMENSIONS, FINGERPRINT, HERE, START, THERE, key, scattered

from proxy.model.entry import CacheKey
from proxy.semantic.base import Row
from proxy.semantic.index.local import LocalIndex
from proxy.semantic.index.look import Shape

VECTORS = scattered(64)
NAMESPACES = st.sampled_from([HERE, THERE])
NUMBERS = st.integers(0, 39)
ROWS = st.tuples(NAMESPACES, NUMBERS, st.integers(0, 63), st.integers(-5, 50))


class Model(RuleBasedStateMachine):
    """A namespace gets lists with 4 rows, so that most of what is done meets some."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.wall = Clock(START)
        self.rows: dict[tuple[bytes, CacheKey], tuple[int, float]] = {}
        self.opened()

    def opened(self) -> None:
        self.index = LocalIndex(
            self.folder / "index",
            max_rows=200,
            wall=self.wall,
            dtype="f32",
            exact_up_to=4,
            merged_at=2,
            shape=Shape(rows=4),
            boot="this boot",
        )
        self.runner.run(self.index.open(FINGERPRINT, DIMENSIONS))

    def teardown(self) -> None:
        self.runner.run(self.index.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(some=st.lists(ROWS, max_size=20))
    def add(self, some: list[tuple[bytes, int, int, int]]) -> None:
        rows = []
        for namespace, number, vector, life in some:
            expires = self.wall() + life
            rows.append(Row(namespace, key(number), VECTORS[vector], expires))
            self.rows[namespace, key(number)] = vector, expires
        self.runner.run(self.index.add(rows))

    @rule(namespace=NAMESPACES, numbers=st.lists(NUMBERS, max_size=20))
    def remove(self, namespace: bytes, numbers: list[int]) -> None:
        for number in numbers:
            self.rows.pop((namespace, key(number)), None)
        self.runner.run(self.index.remove(namespace, [key(number) for number in numbers]))

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.wall.turn(seconds)

    @rule()
    def settle(self) -> None:
        self.runner.run(self.index.settled())

    @rule()
    def clear(self) -> None:
        self.rows.clear()
        self.runner.run(self.index.clear())

    @rule()
    def restart(self) -> None:
        self.runner.run(self.index.close())
        self.opened()

    @invariant()
    def both_say_the_same(self) -> None:
        for namespace in (HERE, THERE):
            living = {
                each: VECTORS[vector]
                for (where, each), (vector, expires) in self.rows.items()
                if where == namespace and expires > self.wall()
            }
            found = self.runner.run(self.index.search(namespace, VECTORS[0], 100))
            assert {each.key for each in found} == set(living)
            assert len(found) == len(living)
            scores = [float(living[each.key] @ VECTORS[0]) for each in found]
            assert np.allclose(scores, [each.score for each in found], atol=1e-5)
            assert scores == sorted(scores, reverse=True) or np.allclose(
                scores, sorted(scores, reverse=True), atol=1e-5
            )


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)

"""What vectors are kept as, and how far cosines are off by that."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried

from proxy.semantic.index.precision import Dtype, Precision

DIMENSIONS = 24
LIMITS: dict[Dtype, float] = {"f32": 1e-5, "f16": 2e-3, "i8": 2e-2}


@pytest.mark.parametrize("dtype", get_args(Dtype))
@given(
    seed=st.integers(0, 2**32),
    zeros=st.floats(0, 0.9),
    spread=st.sampled_from([0.1, 1.0, 3.0]),
    length=st.sampled_from([1e-3, 1.0, 1e3]),
)
@unhurried
def test_cosines_are_off_by_little_whatever_the_vectors(
    dtype: Dtype, seed: int, zeros: float, spread: float, length: float
) -> None:
    dice = np.random.default_rng(seed)
    vectors = np.exp(dice.normal(0, spread, (5, DIMENSIONS))).astype(np.float32)
    vectors *= dice.choice([-1, 1], vectors.shape) * (dice.uniform(size=vectors.shape) >= zeros)
    vectors[:, 0] = 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    precision = Precision(dtype, DIMENSIONS)
    kept, factors = precision.keep(list(vectors * np.float32(length)))
    assert kept.dtype == precision.type
    assert kept.nbytes == 5 * precision.row_bytes
    for asked in vectors:
        found = precision.cosines(kept, factors, asked)
        assert np.abs(found - vectors @ asked).max() <= LIMITS[dtype]
        assert np.abs(found).max() <= 1.0


@pytest.mark.parametrize("dtype", get_args(Dtype))
def test_a_scan_gives_cosines_in_the_order_of_the_slots(dtype: Dtype) -> None:
    dice = np.random.default_rng(3)
    vectors = dice.normal(size=(1_500, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    precision = Precision(dtype, DIMENSIONS)
    kept, factors = precision.keep(list(vectors))
    slots = dice.permutation(1_500)[:1_100].astype(np.uint32)
    found = precision.scan(kept, factors, slots, vectors[7])
    assert found.dtype == np.float32
    assert np.abs(found - vectors[slots] @ vectors[7]).max() < LIMITS[dtype]


@pytest.mark.parametrize("dtype", get_args(Dtype))
def test_a_vector_of_zeros_may_be_asked_for(dtype: Dtype) -> None:
    precision = Precision(dtype, DIMENSIONS)
    kept, factors = precision.keep([np.ones(DIMENSIONS, np.float32)])
    assert precision.cosines(kept, factors, np.zeros(DIMENSIONS, np.float32)).tolist() == [0.0]

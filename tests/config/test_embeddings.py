"""The settings of embeddings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from support.held import holding_less_than

from proxy.app.parts import batch_limits
from proxy.config.embeddings import Batching


def test_inputs_wait_for_five_milliseconds_and_64_go_together_unless_told_otherwise() -> None:
    limits = batch_limits(Batching())
    assert (limits.wait_s, limits.most("any"), limits.gathers) == (0.005, 64, True)


def test_the_first_pattern_that_matches_a_model_says_how_many_go_together() -> None:
    models = [{"model": "nomic-*", "max_inputs": 8}, {"model": "*", "max_inputs": 16}]
    limits = batch_limits(Batching.model_validate({"models": models, "wait_s": "2ms"}))
    assert [limits.most(model) for model in ("nomic-1", "Nomic-1")] == [8, 16]
    assert limits.wait_s == 0.002


def test_names_of_models_are_not_remembered_without_bound() -> None:
    limits = batch_limits(Batching())
    with holding_less_than(2**20):
        assert {limits.most(f"{number:0100000}") for number in range(100)} == {64}


def test_nobody_is_made_to_wait_for_longer_than_a_second() -> None:
    with pytest.raises(ValidationError, match="somebody waits meanwhile"):
        Batching.model_validate({"wait_s": "2s"})

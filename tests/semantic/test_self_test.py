"""Embedders that can tell meanings apart, and those that cannot."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pytest

from proxy.model.meaning import Script
from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.ngram import NgramEmbedder
from proxy.semantic.self_test import PAIRS, self_test

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

SCRIPTS = [Script.LATIN, Script.HAN]
Change = Callable[[list["Vector"]], list["Vector"]]
DICE = np.random.default_rng(3)


def embedding(change: Change) -> Callable[[Sequence[str]], Awaitable[list[Vector]]]:
    async def embed(texts: Sequence[str]) -> list[Vector]:
        ngram = NgramEmbedder()
        await ngram.start()
        vectors = await ngram.embed(texts)
        return change([vector / np.linalg.norm(vector) for vector in vectors])

    return embed


@pytest.mark.parametrize("script", SCRIPTS)
async def test_one_that_knows_words_passes(script: Script) -> None:
    report = await self_test(embedding(lambda vectors: vectors), script, 0.9)
    assert report.passed
    assert report.paraphrase_mean > report.unrelated_mean + 0.5
    assert report.unrelated_mean < report.unrelated_max < 0.5
    assert f"{report.paraphrase_mean:.2f}" in report.why


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda vectors: vectors[::-1], id="backwards"),
        pytest.param(lambda vectors: vectors[1:] + vectors[:1], id="turned by one"),
        pytest.param(lambda vectors: vectors[2:] + vectors[:2], id="turned by two"),
        pytest.param(
            lambda vectors: (
                list(chain.from_iterable(zip(vectors[1::2], vectors[::2], strict=True)))
                if len(vectors) > 1
                else vectors
            ),
            id="neighbours swapped",
        ),
        pytest.param(
            lambda vectors: [vectors[at] for at in DICE.permutation(len(vectors))], id="shuffled"
        ),
        pytest.param(
            lambda vectors: [vectors[at % 8] for at in range(len(vectors))], id="the first for all"
        ),
        pytest.param(lambda vectors: [np.ones_like(each) for each in vectors], id="all equal"),
        pytest.param(lambda vectors: [each + 10 for each in vectors], id="nearly equal"),
        pytest.param(
            lambda vectors: [DICE.normal(size=64).astype(np.float32) for _ in vectors], id="dice"
        ),
        pytest.param(lambda vectors: [each * np.nan for each in vectors], id="NaN"),
        pytest.param(lambda vectors: [each * 0 for each in vectors], id="zeros"),
        pytest.param(lambda vectors: vectors[:-1], id="too few"),
        pytest.param(lambda vectors: [*vectors[:-1], vectors[-1][:-1]], id="different lengths"),
        pytest.param(
            lambda vectors: [each + np.float32(0.05) for each in vectors], id="hardly apart"
        ),
    ],
)
async def test_one_that_mixes_up_meanings_fails(script: Script, change: Change) -> None:
    report = await self_test(embedding(change), script, 0.9)
    assert not report.passed
    assert report.why


async def test_a_model_that_knows_no_word_of_a_script_fails_for_it() -> None:
    """It gives sentences of one length one vector, as an English model does in Chinese."""

    async def embed(texts: Sequence[str]) -> list[Vector]:
        blanked = [re.sub(r"[\u4e00-\u9fff]", "\u53e3", text) for text in texts]
        return await embedding(lambda vectors: vectors)(blanked)

    assert (await self_test(embed, Script.LATIN, 0.9)).passed
    report = await self_test(embed, Script.HAN, 0.9)
    assert not report.passed
    assert report.unrelated_max == pytest.approx(1)


async def test_no_two_questions_may_be_as_near_as_what_is_served() -> None:
    embed = embedding(lambda vectors: vectors)
    nearest = (await self_test(embed, Script.LATIN, 0.9)).unrelated_max
    assert (await self_test(embed, Script.LATIN, nearest + 0.01)).passed
    report = await self_test(embed, Script.LATIN, nearest - 0.01)
    assert not report.passed
    assert "above the threshold" in report.why


async def test_one_whose_vectors_depend_on_their_company_fails() -> None:
    def mixed(vectors: list[Vector]) -> list[Vector]:
        return vectors if len(vectors) > 1 else [vector[::-1] for vector in vectors]

    report = await self_test(embedding(mixed), Script.LATIN, 0.9)
    assert not report.passed
    assert "alone" in report.why
    assert not math.isnan(report.paraphrase_mean)


async def test_what_the_embedder_raises_is_passed_on() -> None:
    async def embed(texts: Sequence[str]) -> list[Vector]:
        raise EmbedderError("away")

    with pytest.raises(EmbedderError, match="away"):
        await self_test(embed, Script.LATIN, 0.9)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_built_in_questions_are_as_many_as_promised_and_all_different(script: Script) -> None:
    texts = [text for pair in PAIRS[script] for text in pair]
    assert len(PAIRS[script]) >= 20
    assert len(set(texts)) == len(texts)
    is_han = [any("\u4e00" <= letter <= "\u9fff" for letter in text) for text in texts]
    assert is_han == [script is Script.HAN] * len(texts)

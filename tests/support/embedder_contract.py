"""What every embedder promises, whatever it is made of; each embedder's tests inherit these."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from proxy.semantic.base import Embedder, EmbedderError

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

MakeEmbedder = Callable[[], Embedder]

_QUESTIONS = (
    "How do I reset my password?",
    "Where is my order?",
    "What does the premium plan cost per month, and may I pay by invoice?",
    "Hi",
    "Can I take my dog on the train?",
    "How do I reset my password on the phone app when the mail never comes?",
    "Which languages does the manual come in?",
)
_ODD_TEXTS = (
    "",
    " \n\t ",
    "?!",
    "\x00",
    "\ud800",  # what JSON may hold and no encoding can
    "\N{SNOWMAN}\N{VARIATION SELECTOR-16}\N{ZERO WIDTH JOINER}\N{ROCKET}",
    "e" + "\N{COMBINING ACUTE ACCENT}" * 500,
    "word " * 20_000,
    "x" * 50_000,
    "如何" * 10_000,
)


def cosine(one: Vector, other: Vector) -> float:
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.dot(one, other)) / lengths


class EmbedderContract:
    """To inherit: give ``make``, which makes equal embedders, none of them started.

    ``embedder`` is one that has started, and is closed in the end; a subclass to which starting is
    dear may give a longer-lived one.
    """

    tolerance = 1e-3  # by how much a vector may differ with its company in a batch
    # A question, one that means the same, and one that does not.
    alike = (
        "How do I reset my password?",
        "How can I reset my password?",
        "Which train goes to the airport?",
    )

    @pytest.fixture
    def make(self) -> MakeEmbedder:
        raise NotImplementedError

    @pytest.fixture
    async def embedder(self, make: MakeEmbedder) -> AsyncIterator[Embedder]:
        embedder = make()
        try:
            await embedder.start()
            yield embedder
        finally:
            await embedder.close()

    def test_its_name_is_one_line_for_an_operator(self, make: MakeEmbedder) -> None:
        assert re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", make().name)

    async def test_its_fingerprint_can_stand_in_a_name(self, embedder: Embedder) -> None:
        assert re.fullmatch(r"[0-9A-Za-z_.-]{1,64}", embedder.fingerprint)

    async def test_each_text_has_a_vector_of_the_length_it_says(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(_QUESTIONS)
        assert len(vectors) == len(_QUESTIONS)
        for vector in vectors:
            assert vector.dtype == np.float32
            assert vector.shape == (embedder.dimensions,)
            assert np.isfinite(vector).all()
            assert np.linalg.norm(vector) > 0

    async def test_vectors_come_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        together = await embedder.embed(_QUESTIONS)
        for text, vector in zip(_QUESTIONS, together, strict=True):
            (alone,) = await embedder.embed([text])
            assert cosine(vector, alone) == pytest.approx(1, abs=self.tolerance)
            assert vector == pytest.approx(alone, abs=10 * self.tolerance)

    async def test_equal_texts_have_equal_vectors(self, embedder: Embedder) -> None:
        one, _, other = await embedder.embed([_QUESTIONS[0], _QUESTIONS[1], _QUESTIONS[0]])
        assert cosine(one, other) == pytest.approx(1, abs=self.tolerance)

    async def test_no_texts_have_no_vectors(self, embedder: Embedder) -> None:
        assert len(await embedder.embed([])) == 0

    async def test_many_texts_may_be_asked_for_at_once(self, embedder: Embedder) -> None:
        texts = [f"Is room {number} free?" for number in range(100)]
        assert len(await embedder.embed(texts)) == 100

    async def test_what_means_the_same_is_nearer(self, embedder: Embedder) -> None:
        question, same, other = await embedder.embed(self.alike)
        assert cosine(question, same) > cosine(question, other) + 0.1

    @pytest.mark.parametrize("odd", _ODD_TEXTS, ids=range(len(_ODD_TEXTS)))
    async def test_an_odd_text_has_a_vector_or_is_its_own_failure(
        self, embedder: Embedder, odd: str
    ) -> None:
        try:
            vectors = await embedder.embed([odd])
        except EmbedderError:
            pass
        else:
            assert [vector.shape for vector in vectors] == [(embedder.dimensions,)]
        share = embedder.unknown(odd)
        assert share is None or 0 <= share <= 1
        assert len(await embedder.embed(_QUESTIONS)) == len(_QUESTIONS)

    async def test_it_knows_its_own_words_or_cannot_tell(self, embedder: Embedder) -> None:
        shares = {embedder.unknown(question) for question in _QUESTIONS}
        assert shares in ({0.0}, {None})

    async def test_calls_at_the_same_time_do_not_mix(self, embedder: Embedder) -> None:
        expected = await embedder.embed(_QUESTIONS)
        found = await asyncio.gather(*(embedder.embed([text]) for text in _QUESTIONS))
        for vector, (alone,) in zip(expected, found, strict=True):
            assert cosine(vector, alone) == pytest.approx(1, abs=self.tolerance)

    async def test_a_call_that_is_left_harms_no_other(self, embedder: Embedder) -> None:
        async with asyncio.TaskGroup() as group:
            left = group.create_task(_vectors(embedder))
            stays = group.create_task(_vectors(embedder))
            await asyncio.sleep(0)
            left.cancel()
        assert left.cancelled()
        assert stays.result() == len(_QUESTIONS)
        assert await _vectors(embedder) == len(_QUESTIONS)

    async def test_two_that_are_equal_give_vectors_that_may_meet(
        self, make: MakeEmbedder, embedder: Embedder
    ) -> None:
        other = make()
        try:
            await other.start()
            assert other.name == embedder.name
            assert other.fingerprint == embedder.fingerprint
            assert other.dimensions == embedder.dimensions
            (one,) = await embedder.embed(_QUESTIONS[:1])
            (same,) = await other.embed(_QUESTIONS[:1])
            assert cosine(one, same) == pytest.approx(1, abs=self.tolerance)
        finally:
            await other.close()

    async def test_one_that_never_started_can_be_closed(self, make: MakeEmbedder) -> None:
        await make().close()

    async def test_one_that_never_started_gives_no_vectors(self, make: MakeEmbedder) -> None:
        embedder = make()
        with pytest.raises(EmbedderError):
            await embedder.embed(_QUESTIONS)
        await embedder.close()

    async def test_one_that_is_closed_gives_no_vectors_and_can_be_closed_again(
        self, make: MakeEmbedder
    ) -> None:
        embedder = make()
        await embedder.start()
        await embedder.close()
        with pytest.raises(EmbedderError):
            await embedder.embed(_QUESTIONS)
        await embedder.close()


async def _vectors(embedder: Embedder) -> int:
    return len(await embedder.embed(_QUESTIONS))

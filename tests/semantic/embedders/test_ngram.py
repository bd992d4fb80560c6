"""The embedder that needs no model."""

# ruff: noqa: RUF001 - questions as people write them, with their own punctuation

from __future__ import annotations

import asyncio
import subprocess
import sys
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.embedder_contract import EmbedderContract, MakeEmbedder, cosine
from support.properties import unhurried

from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.ngram import NgramEmbedder

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

_PRINT_DIGEST = """
import asyncio
from hashlib import blake2b
from proxy.semantic.embedders.ngram import NgramEmbedder

async def main():
    embedder = NgramEmbedder()
    await embedder.start()
    vectors = await embedder.embed(["How do I reset my password?", "怎么修改登录密码？"])
    print(blake2b(b"".join(vector.tobytes() for vector in vectors)).hexdigest())

asyncio.run(main())
"""


class TestTheContract(EmbedderContract):
    @pytest.fixture
    def make(self) -> MakeEmbedder:
        return NgramEmbedder


@pytest.fixture
async def embedder() -> NgramEmbedder:
    embedder = NgramEmbedder()
    await embedder.start()
    return embedder


async def nearness(embedder: NgramEmbedder, one: str, other: str) -> float:
    return cosine(*await embedder.embed([one, other]))


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("How do I cancel my order?", "how can i cancel an order", "How do I return my shoes?"),
        ("cancelling orders", "cancel order", "calling others"),
        ("怎么修改登录密码？", "如何修改登录密码", "怎么修改支付密码？"),
        ("额度太高了怎么减少", "怎么减少额度", "怎么注销账号"),
        ("Как отменить заказ?", "отмена заказа", "Где мой паспорт?"),
        ("パスワードを変更する方法", "パスワードの変更方法", "配送先を確認したい"),
        ("how to learn c++", "learn c++", "how to learn c#"),
    ],
)
async def test_shared_words_bring_questions_together(
    embedder: NgramEmbedder, one: str, other: str, apart: str
) -> None:
    assert await nearness(embedder, one, other) > await nearness(embedder, one, apart) + 0.05


async def test_function_words_weigh_little(embedder: NgramEmbedder) -> None:
    assert await nearness(embedder, "how do I see it", "how do I eat them") < 0.3
    assert await nearness(embedder, "请问怎么可以退款", "请问怎么可以登录") < 0.5


async def test_case_width_and_punctuation_make_no_difference(embedder: NgramEmbedder) -> None:
    plain = "reset the password 2 times"
    odd = "  RESET, the ｐａｓｓｗｏｒｄ: ２ times!"
    assert await nearness(embedder, plain, odd) == pytest.approx(1)


async def test_texts_without_words_are_told_apart(embedder: NgramEmbedder) -> None:
    assert await nearness(embedder, "?!", "?!") == pytest.approx(1)
    assert await nearness(embedder, "?!", "...") < 0.9


async def test_only_the_beginning_of_an_endless_text_counts(embedder: NgramEmbedder) -> None:
    beginning = "step " * 1000
    assert await nearness(embedder, beginning, beginning + "something else " * 1000) > 0.99


@unhurried
@given(st.text(st.characters(), max_size=80), st.integers(8, 64))
def test_no_text_is_without_a_vector(text: str, dimensions: int) -> None:
    vector = asyncio.run(vector_of(NgramEmbedder(dimensions), text))
    assert vector.shape == (dimensions,)
    assert np.isfinite(vector).all()
    assert vector.any()


async def test_every_process_gives_the_same_vectors(embedder: NgramEmbedder) -> None:
    ours = await embedder.embed(["How do I reset my password?", "怎么修改登录密码？"])
    digest = blake2b(b"".join(vector.tobytes() for vector in ours)).hexdigest()
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PRINT_DIGEST, stdout=subprocess.PIPE
    )
    told, _ = await other.communicate()
    assert told.decode().strip() == digest


def test_vectors_of_different_lengths_do_not_meet() -> None:
    assert NgramEmbedder(512).fingerprint != NgramEmbedder(1024).fingerprint
    assert NgramEmbedder(512).dimensions == 512


async def test_closing_ends_a_call_that_is_under_way(embedder: NgramEmbedder) -> None:
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(failure_of(embedder))
        await asyncio.sleep(0)  # it is at its first pause
        await embedder.close()
    assert calling.result() is not None


async def vector_of(embedder: NgramEmbedder, text: str) -> Vector:
    await embedder.start()
    (vector,) = await embedder.embed([text])
    return vector


async def failure_of(embedder: NgramEmbedder) -> EmbedderError | None:
    try:
        await embedder.embed(["one", "two"])
    except EmbedderError as error:
        return error
    return None

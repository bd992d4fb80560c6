from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto
from support.embedder_contract import EmbedderContract, MakeEmbedder, cosine
from support.tiny_models import WORDS, graph, plain_folder, table

from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.onnx import OnnxEmbedder
from proxy.semantic.embedders.sentence import SentenceEmbedder

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(300)  # the first to ask for the real model waits for its export


class TestContract(EmbedderContract):
    @pytest.fixture
    def make(self, minilm_int8: Path) -> MakeEmbedder:
        return lambda: OnnxEmbedder(minilm_int8)


async def embed(folder: Path, *texts: str) -> list[Vector]:
    embedder = OnnxEmbedder(folder)
    try:
        await embedder.start()
        return list(await embedder.embed(texts))
    finally:
        await embedder.close()


async def mark(folder: Path) -> str:
    embedder = OnnxEmbedder(folder)
    try:
        await embedder.start()
        return embedder.fingerprint
    finally:
        await embedder.close()


def words(*tokens: str) -> Vector:
    """The vectors of words, a row each."""
    return table()[[WORDS.index(token) for token in tokens]]


def unit(vector: Vector) -> Vector:
    return vector / np.linalg.norm(vector)


async def test_a_vector_is_the_mean_of_its_tokens_whatever_stands_beside_it(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path)
    one, long = await embed(folder, "my dog", "how can i reset my password ?")
    expected = unit(words("[CLS]", "my", "dog", "[SEP]").mean(axis=0))
    assert one == pytest.approx(expected, abs=1e-6)
    assert np.linalg.norm(long) == pytest.approx(1)


async def test_a_vector_can_be_that_of_the_first_token(tmp_path: Path) -> None:
    (vector,) = await embed(plain_folder(tmp_path, pooling="cls"), "my dog")
    assert vector == pytest.approx(unit(words("[CLS]")[0]), abs=1e-6)


async def test_lengths_can_be_left_as_they_are_and_vectors_cut(tmp_path: Path) -> None:
    (vector,) = await embed(plain_folder(tmp_path, normalise=False, dimensions=3), "dog")
    assert vector == pytest.approx(words("[CLS]", "dog", "[SEP]").mean(axis=0)[:3], abs=1e-6)


async def test_a_prefix_goes_before_each_text_and_counts_as_read(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path, prefix="where is 密 ")
    embedder = OnnxEmbedder(folder)
    await embedder.start()
    assert embedder.unknown("my dog") == pytest.approx(1 / 5)
    (vector,) = await embedder.embed(["my dog"])
    await embedder.close()
    tokens = words("[CLS]", "where", "is", "[UNK]", "my", "dog", "[SEP]")
    assert vector == pytest.approx(unit(tokens.mean(axis=0)), abs=1e-6)


@pytest.mark.parametrize(("cut_at", "recipe", "read"), [(5, {}, 5), (5, {"max_tokens": 6}, 6)])
async def test_a_text_is_cut_where_the_recipe_or_the_tokeniser_says(
    tmp_path: Path, cut_at: int, recipe: dict[str, object], read: int
) -> None:
    folder = plain_folder(tmp_path, cut_at=cut_at, **recipe)
    (vector,) = await embed(folder, "my dog is on the train")
    tokens = ["[CLS]", *["my", "dog", "is", "on", "the", "train"][: read - 2], "[SEP]"]
    assert vector == pytest.approx(unit(words(*tokens).mean(axis=0)), abs=1e-6)


async def test_a_graph_may_ask_for_small_integers_and_all_that_tokens_have(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path)
    expected = await embed(folder, "my dog")
    names = ("input_ids", "token_type_ids", "attention_mask")
    graph(folder / "model.onnx", inputs=names, integer=TensorProto.INT32)
    assert await embed(folder, "my dog") == [pytest.approx(expected[0])]


async def test_many_texts_of_all_lengths_keep_their_order(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path)
    texts = [" ".join(["my"] * (number * 7 % 11) + ["dog"]) for number in range(70)]
    together = await embed(folder, *texts)
    for text, vector in zip(texts[::9], together[::9], strict=True):
        (alone,) = await embed(folder, text)
        assert vector == pytest.approx(alone, abs=1e-6)


async def test_a_quantised_model_gives_a_text_one_vector_in_any_company(minilm_int8: Path) -> None:
    texts = ["How do I reset my password?", "hi", "word " * 200]
    together = await embed(minilm_int8, *texts)
    for text, vector in zip(texts, together, strict=True):
        (alone,) = await embed(minilm_int8, text)
        assert np.array_equal(vector, alone)


async def test_a_quantised_model_is_near_the_original(
    minilm_int8: Path, minilm: SentenceEmbedder
) -> None:
    texts = ["How do I reset my password?", "Which train goes to the airport?", "Is it open?"]
    for original, made in zip(
        await minilm.embed(texts), await embed(minilm_int8, *texts), strict=True
    ):
        assert 0.98 < cosine(original, made) < 0.99999


async def test_it_does_not_know_chinese(minilm_int8: Path) -> None:
    embedder = OnnxEmbedder(minilm_int8)
    await embedder.start()
    shares = [embedder.unknown(text) for text in ("怎么修改登录密码", "如何取消会员订阅")]
    assert min(share for share in shares if share is not None) > 0.5
    assert embedder.unknown("a word " * 200) == 1.0  # of more tokens than it reads
    await embedder.close()


async def test_a_fingerprint_covers_all_that_vectors_depend_on(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path / "a")
    marks = {await mark(folder)}
    (folder / "sidecache.json").write_text('{"model": "told to readers only"}')
    marks.add(await mark(folder))
    marks.add(await mark(plain_folder(tmp_path / "b")))  # the same in another place
    assert len(marks) == 1

    marks.add(await mark(plain_folder(tmp_path / "c", pooling="cls")))
    marks.add(await mark(plain_folder(tmp_path / "d", prefix="where ")))
    marks.add(await mark(plain_folder(tmp_path / "e", cut_at=9)))
    (folder / "model.onnx.data").write_bytes(b"weights of more than 2 GB")
    marks.add(await mark(folder))
    assert len(marks) == 5


def spoil_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def spoil_recipe(folder: Path) -> None:
    (folder / "sidecache.json").write_text('{"pooling": "max", "max_tokens": 0, "colour": 1}')


def other_inputs(folder: Path) -> None:
    graph(folder / "model.onnx", inputs=("pixel_values",))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda f: (f / "model.onnx").unlink(), "model.onnx: No such file .* model export"),
        (lambda f: (f / "model.onnx").write_bytes(b""), "model.onnx is empty"),
        (lambda f: (f / "model.onnx").write_bytes(b"torn"), "cannot be loaded: .*model.onnx"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json: No such file"),
        (lambda f: (f / "tokenizer.json").write_bytes(b"\xff"), "is no tokenizer.json"),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "tokenizer.json is no tokeniser"),
        (spoil_tokenizer, "the tokeniser cannot be read"),
        (spoil_recipe, "sidecache.json: pooling: .*max_tokens: .*colour: "),
        (lambda f: (f / "sidecache.json").write_text("{"), "sidecache.json: all of it: "),
        (lambda f: (f / "sidecache.json").mkdir(), "sidecache.json: Is a directory"),
        (other_inputs, "asks for pixel_values .*input_ids, attention_mask"),
        (lambda f: graph(f / "model.onnx", scalar=True), "of the graph has the shape"),
    ],
)
async def test_a_folder_that_is_no_model_is_told(tmp_path: Path, spoil: object, told: str) -> None:
    folder = plain_folder(tmp_path)
    assert callable(spoil)
    spoil(folder)
    with pytest.raises(EmbedderError, match=f"(?s){told}"):
        await embed(folder, "dog")


async def test_a_folder_may_be_filled_later(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(tmp_path / "later")
    with pytest.raises(EmbedderError, match="No such file"):
        await embedder.start()
    plain_folder(tmp_path / "later")
    await embedder.start()
    assert embedder.dimensions == 4
    await embedder.close()


def test_a_folder_without_a_truncation_is_read_to_512_tokens(tmp_path: Path) -> None:
    async def share(text: str) -> float | None:
        embedder = OnnxEmbedder(plain_folder(tmp_path))
        await embedder.start()
        try:
            return embedder.unknown(text)
        finally:
            await embedder.close()

    assert asyncio.run(share("my " * 510)) == 0.0
    assert asyncio.run(share("my " * 511)) == 1.0


def test_its_library_gives_the_machine_no_number_and_tells_nobody(tmp_path: Path) -> None:
    folder, home = tmp_path / "model", tmp_path / "home"
    home.mkdir()
    plain_folder(folder)
    code = (
        "import pathlib, sys; from proxy.semantic.embedders.onnx import vectors_of;"
        "print(len(vectors_of(pathlib.Path(sys.argv[1]), ['hello'])))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True, timeout=50,
        check=True, env={"PATH": "/bin", "HOME": str(home), "XDG_CACHE_HOME": str(home)},
    )  # fmt: skip
    assert ran.stdout == "1\n"
    assert [*home.rglob("*")] == []

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.embedder_contract import cosine
from support.tiny_models import static_folder

from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.export import (
    Difference,
    Precision,
    compare,
    export,
    refuse_if_unlike,
)
from proxy.semantic.embedders.onnx import OnnxEmbedder
from proxy.semantic.embedders.sentence import SentenceEmbedder

pytestmark = pytest.mark.timeout(300)  # the first to load torch waits for it


async def test_an_export_in_fp32_is_the_model_with_its_prompt_and_its_limit(
    tiny: Path, tiny_fp32: Path
) -> None:
    texts = ["my dog ?", "how can i reset the password", "where is my order ?", "密", "my " * 40]
    original = SentenceEmbedder(str(tiny), device="cpu")
    made = OnnxEmbedder(tiny_fp32)
    for embedder in (original, made):
        await embedder.start()
    pairs = zip(await original.embed(texts), await made.embed(texts), strict=True)
    assert [cosine(one, other) for one, other in pairs] == pytest.approx([1] * 5, abs=1e-5)
    assert [made.unknown(text) for text in texts] == [original.unknown(text) for text in texts]
    assert made.unknown("my " * 13) == 1.0  # with the prompt and two marks more than 16
    for embedder in (original, made):
        await embedder.close()


def test_an_export_is_a_folder_of_three_files_that_others_may_read(tiny_fp32: Path) -> None:
    assert {path.name for path in tiny_fp32.iterdir()} == {
        "model.onnx", "tokenizer.json", "sidecache.json",
    }  # fmt: skip
    assert tiny_fp32.stat().st_mode & 0o777 == 0o755
    recipe = json.loads((tiny_fp32 / "sidecache.json").read_text())
    assert (recipe["precision"], recipe["max_tokens"], recipe["prefix"]) == (
        "fp32",
        16,
        "where is ",
    )


def test_int8_is_smaller_and_the_matrices_that_narrow_are_left_alone(minilm_int8: Path) -> None:
    import onnx

    graph = onnx.load(minilm_int8 / "model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert (minilm_int8 / "model.onnx").stat().st_size < 40e6  # of 91
    assert kinds.count("MatMulInteger") == 30  # 4 of 384 x 384 and one that widens in 6 layers
    assert not (minilm_int8 / "fp32.onnx").exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("mine", "link"):
        with pytest.raises(EmbedderError, match="is there already: name another"):
            export("all-MiniLM-L6-v2", tmp_path / name, Precision.FP32)


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match=r"none: No such file"):
        export("all-MiniLM-L6-v2", tmp_path / "none" / "model", Precision.FP32)


def test_a_model_that_cannot_be_loaded_leaves_nothing_behind(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="could not be had from the hub"):
        export("no/such-model", tmp_path / "made", Precision.FP32)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("least", "precision", "good"),
    [
        (0.99999, Precision.FP32, True),
        (0.99, Precision.FP32, False),
        (0.97, Precision.INT8, True),
        (0.94, Precision.INT8, False),
        (float("nan"), Precision.INT8, False),
    ],
)
def test_a_model_that_became_another_is_refused(
    least: float, precision: Precision, good: bool
) -> None:
    difference = Difference(least, 0.0, 0.0)
    if good:
        refuse_if_unlike(difference, precision)
    else:
        with pytest.raises(EmbedderError, match=f"became another model in {precision}"):
            refuse_if_unlike(difference, precision)


def test_a_model_without_a_tokeniser_to_write_is_refused(hub: Path, tmp_path: Path) -> None:
    model = static_folder(tmp_path / "static")
    with pytest.raises(EmbedderError, match=r"cannot be written as tokenizer\.json"):
        export(str(model), tmp_path / "made", Precision.FP32)
    assert {path.name for path in tmp_path.iterdir()} == {"static"}


def test_how_far_two_sets_of_vectors_are_apart() -> None:
    original = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    made = [np.array(row, np.float32) for row in ([1, 0], [0, 1], [0.8, 0.6])]
    difference = compare(original, made)
    assert difference.least_self == pytest.approx(0.96)
    assert difference.most_shift == pytest.approx(0.2)
    assert difference.mean_shift == pytest.approx((0 + 0.2 + 0.2) / 3)

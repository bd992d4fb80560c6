"""Models small enough to be made in a test: of a few words, and of no use but to be looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WORDS = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "can", "i", "reset", "my", "password", "where", "is",
    "order", "the", "train", "a", "dog", "on", "?",
)  # fmt: skip


def tokenizer_json(*, model: dict[str, object] | None = None, cut_at: int | None = None) -> str:
    """One that splits at spaces, puts [CLS] before and [SEP] after, and knows ``WORDS``."""
    ids = {word: number for number, word in enumerate(WORDS)}
    marks = {
        word: {"id": word, "ids": [ids[word]], "tokens": [word]} for word in ("[CLS]", "[SEP]")
    }
    document = {
        "version": "1.0",
        "truncation": cut_at
        and {"max_length": cut_at, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        # As many are published: padded to a length, which an embedder must not do.
        "padding": {
            "strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": marks,
        },
        "decoder": None,
        "model": model or {"type": "WordLevel", "vocab": ids, "unk_token": "[UNK]"},
    }  # fmt: skip
    return json.dumps(document)


def table(width: int = 4) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The vectors of ``WORDS`` in ``graph``."""
    return np.random.default_rng(3).normal(size=(len(WORDS), width)).astype(np.float32)


def graph(
    path: Path,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    integer: int = TensorProto.INT64,
    output: str = "last_hidden_state",
    scalar: bool = False,
) -> None:
    """Write a graph that gives each token the vector of its word, without a look at the mask."""
    nodes = [helper.make_node("Gather", ["words", inputs[0]], [output])]
    if scalar:
        nodes = [helper.make_node("Size", [inputs[0]], [output])]
    declared = [helper.make_tensor_value_info(name, integer, ["b", "n"]) for name in inputs]
    kind = TensorProto.INT64 if scalar else TensorProto.FLOAT
    made = helper.make_graph(
        nodes,
        "words",
        declared,
        [helper.make_tensor_value_info(output, kind, [] if scalar else ["b", "n", 4])],
        [numpy_helper.from_array(table(), "words")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def plain_folder(folder: Path, *, cut_at: int | None = None, **recipe: object) -> Path:
    """A folder for ``OnnxEmbedder``; with a recipe if one is given."""
    folder.mkdir(parents=True, exist_ok=True)
    graph(folder / "model.onnx")
    (folder / "tokenizer.json").write_text(tokenizer_json(cut_at=cut_at))
    if recipe:
        (folder / "sidecache.json").write_text(json.dumps(recipe))
    return folder


def sentence_folder(folder: Path, *, prompt: str = "") -> Path:
    """A model for sentence-transformers: one layer, and the vector of [CLS]."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    parts = folder / "parts"
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(WORDS) + 1, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=32, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).save_pretrained(parts)
    (parts / "vocab.txt").write_text("\n".join([*WORDS, "[MASK]"]))
    BertTokenizerFast(vocab=str(parts / "vocab.txt")).save_pretrained(parts)
    model = SentenceTransformer(
        modules=[Transformer(str(parts), max_seq_length=16), Pooling(32, "cls")],
        prompts={"query": prompt},
        default_prompt_name="query" if prompt else None,
        device="cpu",
    )
    model.save(str(folder / "whole"))
    return folder / "whole"


def static_folder(folder: Path) -> Path:
    """A model for sentence-transformers that looks words up, and has no transformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    static = StaticEmbedding(Tokenizer.from_str(tokenizer_json()), embedding_dim=8)
    SentenceTransformer(modules=[static], device="cpu").save(str(folder))
    return folder

"""Making a folder for ``OnnxEmbedder`` of a model that sentence-transformers can load.

The whole pipeline becomes one graph, pooling and all, so nothing is left to be done differently.
The folder appears under its name when it is whole and has been compared with the original.

int8 halves the time and takes a third of the memory. What it costs is measured by the cosines
between questions, with all-MiniLM-L6-v2 on 500 of them (mean and greatest difference to fp32):

    one scale for each matrix          0.0140   0.094
    one for each column                0.0085   0.063
    the latter, but FFN outputs fp32   0.0063   0.042   <- this one

Signed weights are worse in each case, and saturate on processors without VNNI. The matrices that
narrow, from the wide middle of a feed-forward part, take as input the outliers of the model; left
alone they add 10 MB and a seventh of the time.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders import onnx as folders
from proxy.semantic.embedders import recipe as recipes
from proxy.semantic.embedders.recipe import Recipe
from proxy.semantic.embedders.sentence import (
    Features,
    SentenceModel,
    document_of,
    open_model,
    prefix_of,
)
from proxy.semantic.embedders.weights import folder_of, require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_NEEDED: Final = ("torch", "sentence_transformers", "onnx", "onnxscript", "onnxruntime")
_MATRIX: Final = 2
_MOST_TOKENS: Final = 512  # where a model does not say how many it reads


class Precision(StrEnum):
    """In what the weights are kept."""

    FP32 = "fp32"
    INT8 = "int8"


# The cosine of a text's vector with the original's: less than this, and the export has failed.
# all-MiniLM-L6-v2 has 0.9999999 and 0.99.
_LEAST: Final = {Precision.FP32: 0.9999, Precision.INT8: 0.95}

# Of several lengths and subjects, in the languages of the self-test.
SENTENCES: Final = (
    "How do I reset my password?", "How can I change my password?", "Where is my order?",
    "Where is the parcel that I ordered last week?", "What is the capital of France?",
    "Which city is the capital of Portugal?", "Can I take my dog on the train?",
    "Are dogs allowed on the train to Lyon?", "Hi", "Thank you very much",
    "How do I sort a list of numbers in descending order in Python?",
    "Explain the difference between a debit card and a credit card, please.",
    "My card was declined twice at the same shop although there is money in my account, why?",
    "如何修改登录密码", "怎么修改支付密码", "葡萄牙的首都是哪里", "感冒有哪些症状",
    "Wie lange kocht man ein Ei?",
)  # fmt: skip


class Difference(NamedTuple):
    """How far the vectors of an export are from the original's."""

    least_self: float  # the smallest cosine of a text's two vectors
    mean_shift: float  # by how much the cosine between two texts differs, on average
    most_shift: float  # and at most


def export(
    model: str, folder: Path, precision: Precision, *, prefix: str | None = None
) -> Difference:
    """Make ``folder`` of ``model``. Takes half a minute, and all of a processor.

    Args:
        model: as for SentenceEmbedder.
        folder: must not be there yet; where it is to lie must.
        precision: of the weights.
        prefix: as for SentenceEmbedder.

    Raises:
        ConfigError: a package is missing.
        EmbedderError: it cannot be done, or what came of it is no good; there is no ``folder``.
    """
    require("export", *_NEEDED)
    if folder.exists() or folder.is_symlink():
        raise EmbedderError(f"{folder} is there already: name another folder, or remove it")
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise EmbedderError(f"{folder.parent}: {error.strerror}") from error
    try:
        difference = _fill(work, model, precision, prefix)
        _publish(work, folder)
    except OSError as error:
        raise EmbedderError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return difference


def _fill(work: Path, name: str, precision: Precision, prefix: str | None) -> Difference:
    model = open_model(name, folder_of(name), device="cpu", attn_implementation="eager")
    document = document_of(model)
    if document is None:
        raise EmbedderError(f"{name} has a tokeniser that cannot be written as {folders.TOKENIZER}")
    most = model.max_seq_length or _MOST_TOKENS
    before = prefix_of(model) if prefix is None else prefix
    original = model.encode(
        SENTENCES, batch_size=1, show_progress_bar=False, convert_to_numpy=True,
        normalize_embeddings=True, prompt=before,
    )  # fmt: skip
    (work / folders.TOKENIZER).write_text(document, encoding="utf-8")
    try:
        with _quiet():
            _write_graph(model, work / folders.GRAPH, most)
            if precision is Precision.INT8:
                _quantise(work / folders.GRAPH)
    except OSError:
        raise
    except Exception as error:  # whatever the exporters raise
        raise EmbedderError(
            f"{name} cannot be made into a graph: {type(error).__name__}:"
            f" {' '.join(str(error).split())[:400]}"
        ) from error
    recipes.write(
        work,
        Recipe(
            max_tokens=most, prefix=before, model=name, precision=precision, made_by=_this_version()
        ),
    )
    difference = compare(original, folders.vectors_of(work, SENTENCES))
    refuse_if_unlike(difference, precision)
    return difference


def compare(original: NDArray[np.float32], made: Sequence[NDArray[np.float32]]) -> Difference:
    """How far the unit vectors of ``made`` are from those of ``original``, row by row."""
    found = np.stack(made)
    pairs = np.triu_indices(len(found), 1)
    shifts = np.abs(original @ original.T - found @ found.T)[pairs]
    least = float((original * found).sum(axis=1).min())
    return Difference(least, float(shifts.mean()), float(shifts.max()))


def refuse_if_unlike(difference: Difference, precision: Precision) -> None:
    """Return if an export can stand for the original. Raises EmbedderError if not."""
    if not difference.least_self >= _LEAST[precision]:  # nor if it is no number
        raise EmbedderError(
            f"it became another model in {precision}: the two vectors of a text have a cosine of"
            f" {difference.least_self:.4f} only; at least {_LEAST[precision]} is asked for"
        )


def _write_graph(model: SentenceModel, path: Path, most: int) -> None:
    import torch  # noqa: PLC0415 - an extra's, and takes seconds

    class Whole(torch.nn.Module):  # type: ignore[misc] # torch is not looked into
        """The pipeline, from tokens to one vector."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tokens: torch.Tensor) -> torch.Tensor:
            features: Features = dict(zip(names, tokens, strict=True))
            for part in model:
                features = part(features)
            return features[folders.POOLED]

    # Two texts of two lengths, so that nothing is taken for a constant that is none.
    example = model.preprocess(list(SENTENCES[9:12]))
    names = [name for name in folders.INPUTS if name in example]
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=most)}
    with torch.no_grad():
        torch.onnx.export(
            Whole().eval(),
            tuple(example[name] for name in names),
            str(path),
            input_names=names,
            output_names=[folders.POOLED],
            dynamo=True,
            dynamic_shapes=(tuple(axes for _ in names),),
            verbose=False,
            external_data=False,
        )


def _quantise(path: Path) -> None:
    import onnx  # noqa: PLC0415 - an extra's
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - as above

    whole = path.with_name("fp32.onnx")
    path.rename(whole)
    graph = onnx.load(whole).graph
    narrow = {
        weights.name
        for weights in graph.initializer
        if len(weights.dims) == _MATRIX and weights.dims[0] > weights.dims[1]
    }
    narrowing = [
        node.name for node in graph.node if node.op_type == "MatMul" and narrow & {*node.input}
    ]
    quantize_dynamic(
        whole, path, per_channel=True, weight_type=QuantType.QUInt8, nodes_to_exclude=narrowing
    )
    whole.unlink()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters talk a lot, of what is none of our doing, by all ways there are."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _publish(work: Path, folder: Path) -> None:
    """Give ``work`` its name, once what is in it would survive the machine's end."""
    for path in (*work.iterdir(), work):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    work.chmod(0o755)  # mkdtemp's are for their owner alone, but who exports is seldom who serves
    work.rename(folder)


def _this_version() -> str:
    try:
        return f"sidecache {version('sidecache')}"
    except PackageNotFoundError:
        return "sidecache"

"""An embedder made of a plain folder: a graph for onnxruntime, and its tokeniser.

It needs neither torch nor a hub, a fifth of their memory, and loads in a fraction of a second. The
folder holds ``model.onnx``, ``tokenizer.json`` and, if it was made by ``sidecache model export``,
``sidecache.json``; many models on hubs are published in this form.

A graph whose numbers are quantised as it runs scales all texts of a batch by the largest number
among them, so that the vector of a question would depend on its company: with all-MiniLM-L6-v2 a
question's cosine with itself falls to 0.98. Such graphs get their texts one at a time, which costs
little: what a batch saves on a processor is a third at best.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders import recipe as recipes
from proxy.semantic.embedders.threaded import Loaded, ThreadedEmbedder
from proxy.semantic.embedders.tokens import Coverage, tokenizer
from proxy.semantic.embedders.weights import fingerprint, require

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Encoding

    from proxy.semantic.base import Vector

GRAPH: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
POOLED: Final = "sentence_embedding"  # an output of this name is one vector for each text

INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")

_QUANTISED_AS_IT_RUNS: Final = b"DynamicQuantizeLinear"  # an operator of ONNX
_BATCH: Final = 32
_MOST_TOKENS: Final = 512  # what nearly all of these models read at most
_WIDE: Final = "tensor(int64)"
_NARROW: Final = "tensor(int32)"


class _Node(Protocol):
    """An input or output of a graph."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class _Session(Protocol):
    """What is used of ``onnxruntime.InferenceSession``, which tells no types."""

    def get_inputs(self) -> Sequence[_Node]: ...
    def get_outputs(self) -> Sequence[_Node]: ...
    def run(
        self, names: Sequence[str], inputs: Mapping[str, NDArray[np.int32] | NDArray[np.int64]]
    ) -> Sequence[NDArray[np.floating]]: ...


class OnnxEmbedder(ThreadedEmbedder):
    """Embeds with the model in ``folder``.

    Args:
        folder: with ``model.onnx`` and ``tokenizer.json``.
        threads: how many processors one text may keep busy.

    Raises:
        ConfigError: a package is missing.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        require("onnx", "numpy", "onnxruntime", "tokenizers")
        super().__init__(f"onnx:{folder}", partial(_load, folder, threads))


class _Graph:
    """A graph in memory, and how to feed it."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.document = _read(folder / TOKENIZER)
        self.recipe = recipes.read(folder)
        self.most = self.recipe.max_tokens or _cut_at(self.document) or _MOST_TOKENS
        self._tokenizer = tokenizer(self.document, most=self.most)
        self._batch = 1 if _mentions(folder / GRAPH, _QUANTISED_AS_IT_RUNS) else _BATCH
        self._session = _session(folder / GRAPH, threads)
        self._inputs = {node.name: _is_wide(node) for node in self._session.get_inputs()}
        outputs = [node.name for node in self._session.get_outputs()]
        self._output = POOLED if POOLED in outputs else outputs[0]

    def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text."""
        encoded = [self._tokenizer.encode(self.recipe.prefix + text) for text in texts]
        # Texts of about the same length together: what is padded is work for nothing.
        order = sorted(range(len(texts)), key=lambda place: len(encoded[place].ids))
        found: dict[int, Vector] = {}
        for begin in range(0, len(order), self._batch):
            places = order[begin : begin + self._batch]
            found |= zip(places, self._run([encoded[place] for place in places]), strict=True)
        return [found[place] for place in range(len(texts))]

    def _run(self, batch: Sequence[Encoding]) -> NDArray[np.float32]:
        longest = max(len(one.ids) for one in batch)
        ids = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for row, one in enumerate(batch):
            length = len(one.ids)
            ids[row, :length] = one.ids
            mask[row, :length] = 1
            types[row, :length] = one.type_ids
        known = dict(zip(INPUTS, (ids, mask, types), strict=True))
        feed = {
            name: known[name] if wide else known[name].astype(np.int32)
            for name, wide in self._inputs.items()
        }
        (output,) = self._session.run([self._output], feed)
        return self._finish(output.astype(np.float32), mask)

    def _finish(self, output: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """One vector for each row of what the graph gave."""
        if output.shape[:-1] == mask.shape:  # a vector for each token
            output = output[:, 0] if self.recipe.pooling == "cls" else _mean(output, mask)
        if output.shape[:-1] != mask.shape[:1]:
            raise EmbedderError(f"{self._output} of the graph has the shape {output.shape}")
        vectors = output[:, : self.recipe.dimensions]
        if self.recipe.normalise:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return vectors


def vectors_of(folder: Path, texts: Sequence[str]) -> Sequence[Vector]:
    """The vectors of ``texts``, where nobody waits: loads the model for them alone.

    Raises:
        EmbedderError: as OnnxEmbedder.start.
    """
    return _Graph(folder, threads=1).vectors(texts)


def _load(folder: Path, threads: int) -> Loaded:
    graph = _Graph(folder, threads)
    # Weights of more than 2 GB lie in files beside the graph, which by custom begin with its name.
    files = [*folder.glob(f"{GRAPH}*"), folder / TOKENIZER]
    how = graph.recipe.model_dump(exclude={"model", "precision", "made_by"})
    mark = fingerprint(folder, files, graph.most, sorted(how.items()))
    (first,) = graph.vectors(["a first text, so that the first to be asked need not wait longer"])
    prefix, coverage = graph.recipe.prefix, Coverage(graph.document, graph.most)
    return Loaded(
        f"onnx-{mark}", len(first), graph.vectors, lambda text: coverage.unknown(prefix + text)
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EmbedderError(f"{path}: {error.strerror}; {_MAKE_ONE}") from error
    except UnicodeDecodeError as error:
        raise EmbedderError(f"{path} is no {TOKENIZER}: {error}") from error


_MAKE_ONE: Final = f"a folder with {GRAPH} and {TOKENIZER} is made by `sidecache model export`"


def _session(path: Path, threads: int) -> _Session:
    # Or it gives the machine a number, and tells its maker of each model. Read when imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415 - an extra's, and takes a fifth of a second

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session: _Session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    return session


def _is_wide(node: _Node) -> bool:
    """Whether an input takes integers of 64 bits, or of 32."""
    if node.name not in INPUTS or node.type not in {_WIDE, _NARROW}:
        raise EmbedderError(
            f"the graph asks for {node.name} ({node.type}); what can be given is"
            f" {', '.join(INPUTS)}, as integers"
        )
    return node.type == _WIDE


def _mean(tokens: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean over each text's own tokens, of the shape (texts, numbers)."""
    weights = mask[:, :, None].astype(np.float32)
    mean: NDArray[np.float32] = (tokens * weights).sum(axis=1) / weights.sum(axis=1)
    return mean


def _cut_at(document: str) -> int | None:
    """At how many tokens ``tokenizer.json`` says that a text is to be cut."""
    try:
        cut = json.loads(document).get("truncation")
        return int(cut["max_length"]) if cut else None
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise EmbedderError(f"{TOKENIZER} is no tokeniser: {error!r}") from error


def _mentions(path: Path, word: bytes) -> bool:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as all_:
            return all_.find(word) >= 0
    except OSError as error:
        raise EmbedderError(f"{path}: {error.strerror}; {_MAKE_ONE}") from error
    except ValueError as error:  # what mmap says of an empty file
        raise EmbedderError(f"{path} is empty; {_MAKE_ONE}") from error

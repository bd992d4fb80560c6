"""Which embedder, in one word, as a command takes it."""

from __future__ import annotations

from typing import Final

from proxy.model.errors import ConfigError

EXPLAINED: Final = (
    "A model that sentence-transformers loads, by name or folder; onnx:FOLDER as `sidecache model "
    "export` makes one; remote:URL,MODEL; ngram; or none."
)

Choice = dict[str, str]


def choice(word: str) -> Choice:
    """The settings of ``semantic.embedder`` that choose what ``word`` says.

    Raises:
        ConfigError: it makes no sense.
    """
    kind, colon, rest = word.partition(":")
    if word in {"none", "ngram"}:
        return {"kind": word}
    if kind == "onnx" and colon:
        if not rest:
            raise ConfigError("onnx: needs a folder, as in onnx:minilm-int8")
        return {"kind": "onnx", "path": rest}
    if kind == "remote" and colon:
        url, _, model = rest.rpartition(",")
        if not (url and model):
            raise ConfigError("remote: needs a URL and a model, as in remote:http://host:8000,bge")
        return {"kind": "remote", "url": url, "model": model}
    if not word:
        raise ConfigError("an embedder must have a name; `none` does without one")
    return {"kind": "sentence-transformers", "model": word}

"""The recipe beside an ONNX file: how its graph is to be used. It is ``sidecache.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proxy.semantic.base import EmbedderError

FILE: Final = "sidecache.json"


class Recipe(BaseModel):
    """How to get vectors from a graph. Each field says what holds where there is no file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # What the vectors depend on.
    pooling: Literal["mean", "cls"] = "mean"  # where the graph has a vector for each token
    max_tokens: Annotated[int, Field(ge=3)] | None = None  # None: as tokenizer.json says, or 512
    normalise: bool = True
    dimensions: Annotated[int, Field(ge=1)] | None = (
        None  # of longer vectors only so many first numbers
    )
    prefix: str = ""  # put before each text

    # For whoever reads the file.
    model: str = ""  # what it was made from
    precision: str = ""
    made_by: str = ""


def read(folder: Path) -> Recipe:
    """The recipe of ``folder``; the default one if it has none.

    Raises:
        EmbedderError: it cannot be read, or is none.
    """
    path = folder / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Recipe()
    except OSError as error:
        raise EmbedderError(f"{path}: {error.strerror}") from error
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'all of it'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise EmbedderError(f"{path}: {faults}") from error


def write(folder: Path, recipe: Recipe) -> None:
    """Put ``recipe`` into ``folder``. Raises OSError."""
    text = recipe.model_dump_json(indent=2, exclude_none=True)
    (folder / FILE).write_text(f"{text}\n", encoding="utf-8")

"""Cohere's embeddings protocol: ``/v1/embed`` and ``/v2/embed``, texts only.

The vectors are one list, or with ``embedding_types`` one list for each type. Images, and inputs
that mix them with text, are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.dialects.embeddings import DivisibleEmbeddings, Speech
from proxy.dialects.vectors import Layout, Path
from proxy.dialects.wishes import NO_WISHES, Wishes
from proxy.wire.json_slices import elements, members


def _columns(told: Mapping[str, bytes]) -> list[Path]:
    vectors = told["embeddings"]
    found: list[Path] = [("embeddings",)]
    if vectors[:1] == b"{":
        typed = members(vectors).items()
        found = [("embeddings", name) for name, column in typed if _is_some_list(column)]
    if _is_some_list(told.get("texts", b"")):  # as they were read, one for each vector
        found.append(("texts",))
    return found


def _is_some_list(value: bytes) -> bool:
    return value[:1] == b"[" and bool(elements(value))


_SPEECH: Final = Speech(
    name="cohere_embed",
    routes=("/v1/embed", "/v2/embed"),
    inputs="texts",
    layout=Layout(
        columns=_columns,
        usage=("meta", "billed_units"),
        passing=frozenset({"id"}),
        is_vectors=lambda path: path[0] == "embeddings",
    ),
    lone=False,
    foreign=frozenset({"images", "inputs"}),
)


def cohere_embed(wishes: Wishes = NO_WISHES) -> DivisibleEmbeddings:
    """The dialect."""
    return DivisibleEmbeddings(_SPEECH, wishes)

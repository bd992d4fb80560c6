"""Ollama's two embeddings protocols: ``/api/embed``, and ``/api/embeddings`` before it.

The older one takes one text and does not scale its vector to unit length, so neither can stand for
the other.
"""

from __future__ import annotations

from typing import Final

from proxy.dialects.embeddings import DivisibleEmbeddings, Embeddings, Speech
from proxy.dialects.vectors import Layout
from proxy.dialects.wishes import NO_WISHES, Wishes

_KEPT_LOADED: Final = frozenset({"keep_alive"})  # for how long the model stays in memory

_EMBED: Final = Speech(
    name="ollama_embed",
    routes=("/api/embed",),
    inputs="input",
    layout=Layout(
        columns=lambda _members: (("embeddings",),),
        usage=("prompt_eval_count",),
        passing=frozenset({"total_duration", "load_duration"}),
    ),
    dimensions="dimensions",
    inert=_KEPT_LOADED,
)
_EMBEDDINGS: Final = Speech(
    name="ollama_embeddings",
    routes=("/api/embeddings",),
    inputs="prompt",
    layout=Layout(
        columns=lambda _members: (("embedding",),),
        usage=("prompt_eval_count",),
        single=True,
    ),
    inert=_KEPT_LOADED,
)


def ollama_embed(wishes: Wishes = NO_WISHES) -> DivisibleEmbeddings:
    """The dialect of ``/api/embed``."""
    return DivisibleEmbeddings(_EMBED, wishes)


def ollama_embeddings(wishes: Wishes = NO_WISHES) -> Embeddings:
    """The dialect of ``/api/embeddings``; to be asked before OpenAI's, whose paths end alike."""
    return Embeddings(_EMBEDDINGS, wishes)

"""The OpenAI embeddings protocol: ``/embeddings``, wherever it is mounted.

Spoken by OpenAI, Azure, vLLM, SGLang, TEI, llama.cpp, LiteLLM, Mistral, Voyage, Jina and many more.
Vectors come as lists of numbers or, with ``encoding_format: base64``, as texts.
"""

from __future__ import annotations

from typing import Final

from proxy.dialects.embeddings import DivisibleEmbeddings, Speech
from proxy.dialects.vectors import Layout
from proxy.dialects.wishes import NO_WISHES, Wishes

_LAYOUT: Final = Layout(
    columns=lambda _members: (("data",),),
    usage=("usage",),
    passing=frozenset({"id", "created"}),
    indexed=True,
)
_SPEECH: Final = Speech(
    name="openai_embeddings",
    routes=("/embeddings",),
    inputs="input",
    layout=_LAYOUT,
    tokens=True,
    dimensions="dimensions",
    foreign=frozenset({"messages"}),  # vLLM takes a chat in place of texts
)


def openai_embeddings(wishes: Wishes = NO_WISHES) -> DivisibleEmbeddings:
    """The dialect."""
    return DivisibleEmbeddings(_SPEECH, wishes)

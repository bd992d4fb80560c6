"""The protocols that are understood, from settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.config.rag import Rag
from proxy.config.settings import Settings
from proxy.dialects.anthropic_count_tokens import AnthropicCountTokens
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.base import Dialect
from proxy.dialects.cohere_embed import cohere_embed
from proxy.dialects.negative import Negative
from proxy.dialects.ollama import Ollama
from proxy.dialects.ollama_embed import ollama_embed, ollama_embeddings
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_embeddings import openai_embeddings
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.dialects.rag_json import rag_json
from proxy.dialects.rag_json.route import Done, Empty, Route, Stream, Streaming
from proxy.dialects.whole_body import MODERATIONS, RERANK, WholeBody
from proxy.dialects.wishes import Wishes
from proxy.model.entry import Entry
from proxy.wire.json_pointer import Pointer


def dialects(
    settings: Settings,
    version_of: Callable[[Rag], Callable[[], str | None]] = lambda _rag: lambda: "",
) -> tuple[Dialect, ...]:
    """The protocols that are understood; the first that matches counts.

    Args:
        version_of: what tells the version of a route's knowledge base.
    """
    wishes = _wishes(settings)
    own = [rag_json(rag_route(settings, each), wishes, version_of(each)) for each in settings.rag]
    return (
        *own,
        OpenAIChat(wishes),
        OpenAIResponses(wishes),
        AnthropicMessages(wishes),
        AnthropicCountTokens(wishes),
        Ollama(wishes),
        WholeBody(RERANK, wishes),
        WholeBody(MODERATIONS, wishes),
        ollama_embed(wishes),
        ollama_embeddings(wishes),  # before OpenAI's, whose paths end alike
        openai_embeddings(wishes),
        cohere_embed(wishes),
    )


def answer(dialects: Sequence[Dialect], entry: Entry) -> str | None:
    """What a stored entry says, as one text; None if it says it otherwise."""
    for dialect in dialects:
        if dialect.name == entry.dialect and (said := dialect.answer(entry)) is not None:
            return said
    return None


def rag_route(settings: Settings, rag: Rag) -> Route:
    """Where everything stands in the requests and answers of one route."""
    stream, done, empty = rag.stream, rag.stream.done, rag.empty
    return Route(
        paths=rag.paths,
        methods=frozenset(rag.methods),
        question=rag.question,
        history=rag.history,
        model=rag.model,
        filters=rag.filters,
        inert=rag.inert,
        inert_parameters=frozenset(rag.inert_parameters),
        stateful=rag.stateful,
        answer=rag.answer,
        sources=rag.sources,
        source_id=rag.source_id,
        confidence=rag.confidence or settings.cache.confidence.pointer,
        stream=Stream(
            Streaming(stream.kind),
            frozenset(stream.types),
            stream.text,
            rag.answer if stream.answer is None else stream.answer,
            rag.sources if stream.sources is None else stream.sources,
            Done(done.data, done.event, done.pointer, done.equals),
        ),
        empty=Empty(empty.answer, empty.sources, empty.phrases),
    )


def _wishes(settings: Settings) -> Wishes:
    cache = settings.cache
    confidence = cache.confidence.pointer
    return Wishes(
        inert=frozenset(cache.inert_fields),
        store_truncated=cache.store_truncated,
        store_tool_calls=cache.store_tool_calls,
        json_without_usage=cache.json_without_usage,
        negative=Negative(frozenset(cache.negative.codes), cache.negative.empty),
        steered="litellm" in cache.compatibility,
        confidence=None if confidence is None else Pointer(confidence),
    )

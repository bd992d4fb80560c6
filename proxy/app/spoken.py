"""The protocols that are understood, from settings."""

from __future__ import annotations

from collections.abc import Sequence

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
from proxy.dialects.whole_body import MODERATIONS, RERANK, WholeBody
from proxy.dialects.wishes import Wishes
from proxy.model.entry import Entry
from proxy.wire.json_pointer import Pointer


def dialects(settings: Settings) -> tuple[Dialect, ...]:
    """The protocols that are understood; the first that matches counts."""
    wishes = _wishes(settings)
    return (
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
        if dialect.name == entry.dialect:
            return dialect.answer(entry)
    return None


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

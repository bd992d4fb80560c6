"""What a span says of a request: its name, its attributes, its events, and whether it failed.

Words are those of OpenTelemetry's semantic conventions for HTTP and for generative AI, and our own
below ``sidecache.``. None of the conventions for AI is stable yet, and none knows of caches of
whole answers: ``gen_ai.usage.cache_read.input_tokens`` is about a provider's own.

As in the log there are names, numbers and the path; never prompts, answers, credentials, header
values or query strings. What clients choose is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, NamedTuple

from proxy.model.entry import Entry
from proxy.model.message import Request
from proxy.model.outcome import Delivery, Outcome, Record, Verdict
from proxy.model.query import Usage
from proxy.observe.log import printable

Value = str | int | float | bool

LONGEST: Final = 256  # characters of anything a client chose

# Operations and providers by dialect. A provider is whose protocol is spoken, as the conventions
# would have it: what stands behind the backend nobody here knows.
_OPERATIONS: Final = {
    "openai_chat": ("chat", "openai"),
    "openai_responses": ("chat", "openai"),
    "openai_embeddings": ("embeddings", "openai"),
    "anthropic_messages": ("chat", "anthropic"),
    "anthropic_count_tokens": ("", "anthropic"),
    "ollama": ("chat", "ollama"),
    "ollama_embed": ("embeddings", "ollama"),
    "ollama_embeddings": ("embeddings", "ollama"),
    "cohere_embed": ("embeddings", "cohere"),
}
_TEXT_COMPLETION: Final = "text_completion"
_SPARED: Final = frozenset({Verdict.HIT, Verdict.STALE, Verdict.COALESCED})


class Event(NamedTuple):
    """The end of a stage."""

    stage: str
    after_s: float  # seconds since the request came
    took_s: float


class Words(NamedTuple):
    """What a span says once its request is over."""

    name: str
    attributes: dict[str, Value]
    events: tuple[Event, ...]
    failed: str  # why, in one word; "" if nothing did


def operation_of(dialect: str, path: str) -> tuple[str, str]:
    """``gen_ai.operation.name`` and ``gen_ai.provider.name``; "" where there is none."""
    operation, provider = _OPERATIONS.get(dialect, ("", ""))
    if (dialect == "openai_chat" and not path.endswith("/chat/completions")) or (
        dialect == "ollama" and path.endswith("/generate")
    ):
        operation = _TEXT_COMPLETION
    return operation, provider


def told_first(request: Request) -> dict[str, Value]:
    """What can be said before anything is known: a sampler may go by it."""
    return {
        "http.request.method": bounded(request.method),
        "url.path": bounded(request.path),
        "url.scheme": request.scheme,
    }


def told(record: Record) -> Words:
    """What the span of a request that is over says."""
    request, outcome, delivery = record
    operation, provider = operation_of(outcome.dialect, request.path)
    model = bounded(outcome.model)
    name = f"{operation} {model}".strip() if operation else bounded(request.method)
    attributes: dict[str, Value] = {
        "http.response.status_code": delivery.status,
        "http.response.body.size": delivery.sent,
        "client.address": request.peer,
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "sidecache.cache.outcome": outcome.verdict.lower(),
        "sidecache.cache.reason": outcome.why.value,
        "sidecache.cache.detail": outcome.detail,
        "sidecache.cache.dialect": outcome.dialect,
        "sidecache.cache.tier": outcome.tier,
        "sidecache.cache.doubt": "" if outcome.doubt is None else outcome.doubt.value,
        "sidecache.cache.match": outcome.match,
        "sidecache.cache.forwarded": "" if outcome.fwd is None else outcome.fwd.value,
    }
    attributes |= _numbers(outcome)
    attributes |= _key(outcome)
    failed = _failed(outcome, delivery)
    # A client that hangs up, and one that asks for what is not there, are no failures of ours.
    attributes["error.type"] = failed or delivery.error
    said = {name: value for name, value in attributes.items() if value != ""}
    return Words(name, said, tuple(_stages(outcome)), failed)


def told_of_entry(entry: Entry, path: str) -> dict[str, Value]:
    """What the span of a refresh says of the answer that came."""
    operation, provider = operation_of(entry.dialect, path)
    said: dict[str, Value] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": bounded(entry.model),
        "sidecache.cache.dialect": entry.dialect,
    }
    said = {name: value for name, value in said.items() if value != ""}
    return said | _tokens("gen_ai.usage", entry.usage)


def _tokens(group: str, usage: Usage | None) -> dict[str, Value]:
    if usage is None:
        return {}
    return {
        f"{group}.input_tokens": usage.prompt_tokens,
        f"{group}.output_tokens": usage.completion_tokens,
    }


def _spent_or_saved(outcome: Outcome) -> dict[str, Value]:
    """The tokens of an answer: those that somebody pays for, or those that nobody does.

    Whoever adds up ``gen_ai.usage.*`` wants to know what was bought: a hit bought nothing, and who
    heard another's answer did not, either.
    """
    group = "sidecache.saved" if outcome.verdict in _SPARED else "gen_ai.usage"
    return _tokens(group, outcome.usage)


def _numbers(outcome: Outcome) -> dict[str, Value]:
    given: dict[str, Value | None] = {
        "sidecache.cache.age_s": outcome.age_s,
        "sidecache.cache.ttl_s": outcome.ttl_s,
        "sidecache.cache.stored": outcome.stored,
        "sidecache.cache.collapsed": outcome.collapsed,
        "sidecache.cache.similarity": outcome.similarity,
        "sidecache.cache.variant": outcome.variant or None,
        "sidecache.compressed_tokens": outcome.compressed or None,
        "sidecache.saved.seconds": outcome.spared_s or None,
        "sidecache.backend.status_code": outcome.fwd_status,
    }
    plain = {name: value for name, value in given.items() if value is not None}
    return plain | _spent_or_saved(outcome)


def _key(outcome: Outcome) -> dict[str, Value]:
    """What finds it again: both are keyed hashes, which tell nothing of the question."""
    if outcome.key is None:
        return {}
    return {
        "sidecache.cache.key": outcome.key.digest.hex(),
        "sidecache.cache.scope": outcome.key.scope,
    }


def _failed(outcome: Outcome, delivery: Delivery) -> str:
    if delivery.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return (
            outcome.detail
            if outcome.verdict is Verdict.ERROR and outcome.detail
            else str(delivery.status)
        )
    if not delivery.complete and delivery.error not in {"", "ClientGone"}:
        return delivery.error
    return ""


def _stages(outcome: Outcome) -> Iterator[Event]:
    """The stages that took place, each at its end."""
    at = 0.0
    for stage, took_s in outcome.stages._asdict().items():
        if took_s > 0.0:
            at += took_s
            yield Event(stage, at, took_s)


def bounded(text: str) -> str:
    """``text`` that a client chose, fit to be told."""
    return printable(text[:LONGEST])

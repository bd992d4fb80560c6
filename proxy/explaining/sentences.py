"""Sentences about what a caller asked of the cache, and about how long an answer is kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from proxy.model.query import Controls
from proxy.policy import Rule, Terms


def tellable(text: str) -> str:
    """``text`` as it can be told in JSON, where bytes that are no UTF-8 have no place."""
    return text.encode("utf-8", "replace").decode()


def wishes(controls: Controls) -> list[str]:
    """What ``controls`` ask for, a sentence each; none if nothing."""
    asked = [
        (controls.no_store, "To stay out of the cache (no-store)."),
        (controls.complaint, "A new answer, as the last one was wrong (X-Cache-Feedback)."),
        (controls.no_cache and not controls.complaint, "A new answer (no-cache)."),
        (controls.only_if_cached, "A stored answer or none (only-if-cached)."),
        (not controls.by_meaning, "No answer to the question in other words."),
    ]
    told = [sentence for wanted, sentence in asked if wanted]
    if controls.max_age is not None:
        told.append(f"A stored answer of at most {controls.max_age:g} s (max-age).")
    if controls.min_fresh is not None:
        told.append(f"A stored answer fresh for {controls.min_fresh:g} s more (min-fresh).")
    if controls.max_stale is not None:
        limit = "" if controls.max_stale == inf else f" by at most {controls.max_stale:g} s"
        told.append(f"A stored answer even if it is stale{limit} (max-stale).")
    if controls.ttl is not None:
        told.append(f"To have the answer stored for {controls.ttl:g} s.")
    if controls.namespace:
        told.append("Answers of a namespace of its own.")
    if controls.tags:
        told.append(f"To have the answer tagged with {len(controls.tags)} tags.")
    if controls.least_similarity:
        told.append(f"No question less similar than {controls.least_similarity:g}.")
    if controls.variants is not None:
        told.append(f"One of {controls.variants} answers.")
    if controls.ignored:
        told.append(f"To leave out of the question: {', '.join(controls.ignored)}.")
    return told


def who_decides(
    controls: Controls, terms: Terms, rules: Sequence[tuple[int, Rule]], *, about_now: bool
) -> str:
    """Whose word the lifetime of a new answer is."""
    if controls.ttl is not None:
        told = "The caller says so (X-Cache-TTL)"
        if controls.ttl > terms.max_ttl:
            told += ", as far as cache.max_ttl_s allows"
    else:
        places = [place for place, rule in rules if rule.ttl is not None]
        told = f"cache.rules[{places[-1]}] says so" if places else "cache.ttl_s says so"
        if about_now:
            told += f", times {terms.time_sensitive_factor:g} as the question is about now"
    if terms.jitter:
        told += f"; chance takes up to {terms.jitter:.0%} off"
    if terms.obey_response:
        told += "; the backend is obeyed where it says otherwise"
    return f"{told}."

"""Meaning, as the life of a request sees it: what to look for, where, and what to do with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.model.message import Request
from proxy.model.query import Query
from proxy.semantic.finder import Finder
from proxy.semantic.learner import Learner
from proxy.semantic.seeking import Seeking


@dataclass(frozen=True, slots=True)
class Meaning:
    """All that questions in other words need.

    Args:
        namespace_of: among which questions to look, by the request, the query, the upstream's id
            and the body without the words of the question.
    """

    seeking: Seeking
    finder: Finder
    learner: Learner
    namespace_of: Callable[[Request, Query, str, bytes], bytes]

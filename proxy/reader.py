"""From a request to what it asks: the question, the terms it is under, and its key.

All three follow from the bytes of the request. Real callers repeat themselves to the byte, so what
was worked out lately is remembered; requests that are equal only in meaning are read again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from proxy.dialects.base import LOOKED_AT, Dialect, Divisible
from proxy.key import KeyRules
from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.message import Request
from proxy.model.query import Controls, Query, Refusal
from proxy.policy import AboutNow, Policy, Standing, Terms, answers_wanted, refuse
from proxy.wire import json_members
from proxy.wire.cache_control import UNASKED, merge
from proxy.wire.picking import Picking, size_of
from proxy.wire.recent import Recent
from proxy.wire.steering import Steering

OURS: Final = Steering()
_RECENT_BYTES: Final = 4 * 2**20
_FEW_BYTES: Final = 2**19
_TERMS: Final = 400  # bytes that terms take, about


class Asked(NamedTuple):
    """A question that may be answered from the cache."""

    query: Query
    standing: Standing
    key: CacheKey
    variants: tuple[CacheKey, ...] = ()  # the keys of several answers, where chance draws one
    variant: int = 0  # which was drawn, counted from 1

    @property
    def terms(self) -> Terms:
        """What holds for it."""
        return self.standing.terms

    def drawn(self, dice: Callable[[], float]) -> Asked:
        """The question with the key of the answer that chance draws."""
        if not self.variants:
            return self
        at = int(dice() * len(self.variants))
        return self._replace(key=self.variants[at], variant=at + 1)


class Passed(NamedTuple):
    """Not to be answered from the cache; ``body`` is what is to be sent upstream."""

    why: Why
    body: bytes


class Reader:
    """Reads requests; what it finds depends on nothing but the request and the rules given here.

    Args:
        about_now: whether a question is about now.
        steering: what callers ask of the cache by their headers.
        edition: changes whenever the version of a knowledge base does: what was read before then
            is read anew.
    """

    def __init__(
        self,
        keys: KeyRules,
        policy: Policy,
        about_now: Callable[[str], bool] = lambda _question: False,
        steering: Steering = OURS,
        edition: Callable[[], int] = lambda: 0,
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._about_now = about_now
        self._steering = steering
        self.edition = edition
        self._picked = Picking(self.counts)
        self._recent: Recent[tuple[object, ...], Asked | Passed] = Recent(_RECENT_BYTES)
        self._terms: Recent[tuple[str, str, str], Terms] = Recent(_FEW_BYTES)
        self._timely: Recent[str, bool] = Recent(_FEW_BYTES)

    def read(
        self, request: Request, body: bytes, dialect: Dialect, upstream: str
    ) -> Asked | Passed:
        """What ``request`` with ``body`` asks of ``upstream`` (an id), or why it is passed on."""
        # Ids of attempts and of traces change with every request, and what is asked does not.
        fields, edition = self._picked(request.headers), self.edition()
        seen = (edition, request.method, request.path, request.query_string, fields, body)
        said = self._recent.get(seen)
        if said is None:
            said = self.work_out(request, body, dialect, upstream)
            # Names and values count too: one field may be as long as a whole body.
            texts = size_of(fields)
            if isinstance(said, Asked):
                texts += sys.getsizeof(said.query.question)
            self._recent.put(seen, said, 2 * len(body) + texts)
        return said

    def parts(
        self, request: Request, asked: Asked, dialect: Divisible, upstream: str
    ) -> tuple[Asked, ...]:
        """What ``request`` asks, one question for each input; none if it has but one."""
        key_of = self._keys.key_of
        return tuple(
            Asked(query, asked.standing, key_of(request, query, upstream))
            for query in dialect.parts(asked.query)
        )

    def understand(self, request: Request, body: bytes, dialect: Dialect) -> Query | Refusal:
        """What is asked, and of the cache besides, before any rule has had its say."""
        query = dialect.read(request, body)
        if isinstance(query, Refusal):
            return query
        return _steered(query, self._steering.controls(request.headers))

    def work_out(
        self,
        request: Request,
        body: bytes,
        dialect: Dialect,
        upstream: str,
        understood: Query | Refusal | None = None,
    ) -> Asked | Passed:
        """As ``read``, without remembering anything; ``understood``: what that method returned."""
        query = understood or self.understand(request, body, dialect)
        if isinstance(query, Refusal):
            return Passed(query.why, body if query.forward is None else query.forward)
        terms = self._terms_of(request.path, query.model, query.dialect)
        if (bypass := refuse(query, terms)) is not None:
            return Passed(bypass.why, query.forward)
        about_now = None
        if terms.time_sensitive is AboutNow.SHORTEN:
            about_now = partial(self._is_about_now, query.question)
        elif terms.time_sensitive is AboutNow.BYPASS and self._is_about_now(query.question):
            return Passed(Why.TIME_SENSITIVE, query.forward)
        key, wanted = self._keys.key_of(request, query, upstream), answers_wanted(query, terms)
        if wanted <= 1:
            return Asked(query, Standing(terms, about_now), key)
        # An answer to the question in other words would be the same one each time.
        standing = Standing(replace(terms, by_meaning=False), about_now)
        return Asked(
            query, standing, key, tuple(self._keys.another_of(key, at) for at in range(wanted))
        )

    def counts(self, name: str) -> bool:
        """Whether what is read may depend on header ``name`` (lower case)."""
        return name in LOOKED_AT or self._keys.counts(name) or self._steering.hears(name)

    def _terms_of(self, path: str, model: str, dialect: str) -> Terms:
        where = (path, model, dialect)
        terms = self._terms.get(where)
        if terms is None:
            terms = self._policy.terms(path, model, dialect)
            self._terms.put(where, terms, len(path) + len(model) + _TERMS)
        return terms

    def _is_about_now(self, question: str) -> bool:
        """It takes a millisecond to tell of a long one in Chinese."""
        told = self._timely.get(question)
        if told is None:
            told = self._about_now(question)
            self._timely.put(question, told, sys.getsizeof(question))
        return told


def _steered(query: Query, controls: Controls) -> Query:
    """``query`` with what the caller asks of the cache besides."""
    if controls is UNASKED:
        return query
    controls = merge(controls, query.controls)
    if not controls.ignored:
        return query._replace(controls=controls)
    # Who leaves something out meets only others who do: nobody else can write such a namespace,
    # nor make one of several, which another sign stands between.
    namespace = "\x1e".join([controls.namespace, "without", *controls.ignored])
    canonical = query.canonical
    for name in controls.ignored:
        canonical = json_members.without(canonical, name)
    return query._replace(canonical=canonical, controls=replace(controls, namespace=namespace))

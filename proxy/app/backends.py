"""The backends that the settings ask for, and what is said in their place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from proxy.app import parts
from proxy.app.clock import seconds
from proxy.config import degradation as config
from proxy.config.faults import Place
from proxy.config.settings import Settings
from proxy.config.upstreams import Upstream
from proxy.degrading import Degrading, Message, Retrieval, Stale, Standby, Step, Where
from proxy.overload import Limiter
from proxy.reply import Replies
from proxy.upstream import GuardedUpstream, HttpUpstream, LimitedUpstream, Routes, Silence, Traffic
from proxy.wire.json_pointer import Pointer

Backend = HttpUpstream | GuardedUpstream


class _Made(NamedTuple):
    """A backend, and what it was made of."""

    settings: Upstream
    files: tuple[tuple[str, bytes], ...]  # what was in them
    backend: Backend


class Backends:
    """All backends: those that requests are routed to, and those that stand by.

    Args:
        settings: checked settings.
        contents: see ``proxy.config.changes``.
        before: whose backends are taken over, with their connections and their breakers, where
            equal settings and files ask for them.
        traffic: where what comes of the one so named is counted.
        limiter: before all of them.

    Raises:
        ConfigError: two of them share a prefix or an id, or a TLS file cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        contents: Mapping[Place, bytes] = MappingProxyType({}),
        before: Backends | None = None,
        *,
        traffic: Callable[[str], Traffic] = lambda _: Traffic(),
        limiter: Limiter,
    ) -> None:
        self._settings = settings
        self._traffic = traffic
        self._limiter = limiter
        self._contents = contents
        self._known = () if before is None else tuple(before.made)
        self.made: list[_Made] = []
        self.routes = Routes(
            [self._backend(each, ("upstreams", at)) for at, each in enumerate(settings.upstreams)]
        )

    def degrading(self, replies: Replies) -> Degrading:
        """What is said when one of them fails. To be called once, and at last."""
        chosen = self._settings.degradation
        steps: dict[str, Sequence[Step]] = {
            "stale": [Stale()],
            "standby": [
                self._standby(each, ("degradation", "standby", at))
                for at, each in enumerate(chosen.standby)
            ],
            "retrieval": [
                self._retrieval(each, ("degradation", "retrieval", at))
                for at, each in enumerate(chosen.retrieval)
            ],
            "message": [
                Message(each.text, each.status, Where(each.path, each.model))
                for each in chosen.message
            ],
        }
        self._known = ()  # all that are wanted have been taken over
        return Degrading(
            [steps[name] for name in chosen.order],
            failing=frozenset(chosen.statuses),
            replies=replies,
            wall=time.time,
        )

    @property
    def all(self) -> list[Backend]:
        """Every one of them."""
        return [each.backend for each in self.made]

    @property
    def routed(self) -> list[Backend]:
        """Those that requests are routed to."""
        return self.all[: len(self._settings.upstreams)]

    @property
    def standing_by(self) -> list[Backend]:
        """The others."""
        return self.all[len(self._settings.upstreams) :]

    def _standby(self, chosen: config.Standby, place: Place) -> Standby:
        where = Where(chosen.path, chosen.model)
        return Standby(self._backend(chosen, place), chosen.credentials, chosen.rename, where)

    def _retrieval(self, chosen: config.Retrieval, place: Place) -> Retrieval:
        return Retrieval(
            self._backend(chosen, place),
            chosen.method,
            chosen.route,
            chosen.body,
            Pointer(chosen.documents),
            Pointer(chosen.text),
            chosen.template,
            chosen.each,
            chosen.most,
            chosen.credentials,
            Where(chosen.path, chosen.model),
        )

    def _backend(self, chosen: Upstream, place: Place) -> LimitedUpstream:
        """The backend that the settings at ``place`` ask for, behind the limiter."""
        files = tuple(
            (str(at[-1]), digest)
            for at, digest in self._contents.items()
            if at[: len(place)] == place
        )
        for known in self._known:
            if known[:2] == (chosen, files) and known.backend not in self.all:
                backend = known.backend
                break
        else:
            backend = _backend(chosen, self._traffic)
        self.made.append(_Made(chosen, files, backend))
        return LimitedUpstream(backend, self._limiter)


def _backend(upstream: Upstream, traffic: Callable[[str], Traffic]) -> Backend:
    inner = HttpUpstream(parts.upstream(upstream), traffic=traffic(upstream.name))
    breaker = upstream.breaker
    if not breaker.enabled:
        return inner
    return GuardedUpstream(
        inner,
        failures=breaker.failures,
        probe_s=breaker.probe_s,
        counted=frozenset(map(Silence, breaker.counts)),
        statuses=frozenset(breaker.statuses),
        clock=seconds,
        dice=random.random,
    )

"""The backends that the settings ask for, and what is said in their place."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from proxy.app import parts
from proxy.app.clock import seconds
from proxy.config import degradation as config
from proxy.config.settings import Settings
from proxy.config.upstreams import Upstream
from proxy.degrading import Degrading, Message, Retrieval, Stale, Standby, Step, Where
from proxy.reply import Replies
from proxy.upstream import GuardedUpstream, HttpUpstream, Routes, Silence
from proxy.wire.json_pointer import Pointer

Backend = HttpUpstream | GuardedUpstream


class Backends:
    """All backends: those that requests are routed to, and those that stand by.

    Raises:
        ConfigError: two of them share a prefix or an id, or a TLS file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.routes = Routes(map(_backend, settings.upstreams))
        self._others: list[Backend] = []

    def degrading(self, replies: Replies) -> Degrading:
        """What is said when one of them fails."""
        chosen = self._settings.degradation
        steps: dict[str, Sequence[Step]] = {
            "stale": [Stale()],
            "standby": [self._standby(each) for each in chosen.standby],
            "retrieval": [self._retrieval(each) for each in chosen.retrieval],
            "message": [
                Message(each.text, each.status, Where(each.path, each.model))
                for each in chosen.message
            ],
        }
        return Degrading(
            [steps[name] for name in chosen.order],
            failing=frozenset(chosen.statuses),
            replies=replies,
            wall=time.time,
        )

    async def close(self) -> None:
        """End every connection to every backend, at once."""
        await asyncio.gather(self.routes.close(), *(each.close() for each in self._others))

    def _standby(self, chosen: config.Standby) -> Standby:
        where = Where(chosen.path, chosen.model)
        return Standby(self._other(chosen), chosen.credentials, chosen.rename, where)

    def _retrieval(self, chosen: config.Retrieval) -> Retrieval:
        return Retrieval(
            self._other(chosen),
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

    def _other(self, chosen: config.Elsewhere) -> Backend:
        other = _backend(chosen)
        self._others.append(other)
        return other


def _backend(upstream: Upstream) -> Backend:
    inner, breaker = HttpUpstream(parts.upstream(upstream)), upstream.breaker
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

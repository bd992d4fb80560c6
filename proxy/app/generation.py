"""A generation: everything that a request is answered by, made whole from one set of settings.

A reload makes another and puts it in the place of the one before, by one assignment. Requests that
are under way stay with theirs to the end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from proxy.app import bounds, encryption, parts, spoken
from proxy.app.backends import Backends
from proxy.app.clock import seconds
from proxy.app.house import House
from proxy.app.knowledge import Knowledge
from proxy.app.resources import others
from proxy.batching import Batcher
from proxy.config.changes import contents
from proxy.config.faults import Place
from proxy.config.load import Loaded
from proxy.config.settings import Settings
from proxy.downstream.service import Attending
from proxy.explaining.explain import Explaining
from proxy.model.errors import ConfigError
from proxy.reply import Replies


class Generation:
    """Everything that follows from one set of settings, and nothing that was opened yet.

    It may be made in any thread: it reads files, for TLS. ``open`` it before anybody asks it;
    what it holds is let go of by ``retire`` and ``close``.

    Args:
        number: counted from 1.
        loaded: checked settings, and where they come from.
        house: what it has in common with all others.
        before: whose parts are taken over where they would be made alike: backends with their
            connections, knowledge bases with their versions.
        since: when, in seconds since the epoch.

    Raises:
        ConfigError: the settings cannot work together on this machine.
    """

    def __init__(
        self, number: int, loaded: Loaded, house: House, before: Generation | None, since: float
    ) -> None:
        settings = loaded.settings
        need_backend(settings)
        self.number = number
        self.loaded = loaded
        self.settings = settings
        self.since = since
        self.contents: Mapping[Place, bytes] = contents(settings)
        self.encryption = encryption.context(settings.tls.cert_file, settings.tls.key_file)
        self._house = house
        self.backends: Backends = Backends(
            settings,
            self.contents,
            None if before is None else before.backends,
            traffic=house.observing.traffic_of,
            limiter=house.limiter,
        )
        self.routes = self.backends.routes
        self.knowledge: Knowledge = Knowledge(
            settings, None if before is None else before.knowledge
        )
        keys = parts.key_rules(settings, house.secret)
        self.dialects = spoken.dialects(settings, self.knowledge.version_of)
        self.batcher = Batcher(
            keys.namespace_of,
            parts.batch_limits(settings.embeddings.batching),
            clock=seconds,
            report=house.observing.report_bug,
            counts=house.observing.batching,
        )
        if before is None or before.settings.cache.admission != settings.cache.admission:
            self.admission = parts.admission(settings.cache.admission)
        else:
            self.admission = before.admission
        replies = Replies(settings.pseudonym, seconds, random.random)
        caller = parts.callers(settings, keys, house.secret)
        passing = parts.passing(settings, self.routes, replies, caller)
        self.lifecycle, explained = parts.lifecycle(
            settings,
            keys=keys,
            spoken=self.dialects,
            routes=self.routes,
            ladder=house.ladder,
            flights=house.flights,
            meaning=None if house.semantic is None else house.semantic.meaning(settings, keys),
            admission=self.admission,
            shortening=parts.compressor(settings, house.observing.compressing),
            batcher=self.batcher,
            passing=passing,
            degrading=self.backends.degrading(replies),
            others=others(
                settings,
                keys=keys,
                routes=self.routes,
                ladder=house.ladder,
                flights=house.fetches,
                written=house.written,
                passing=passing,
                replies=replies,
                edition=number,
                caller=caller,
            ),
            replies=replies,
            versions=house.versions.edition,
            edition=number,
            browsing=house.browsing,
            unheard=house.observing.unheard(keys),
            caller=caller,
        )
        self.explaining = Explaining(explained)
        self.attending = Attending(
            house.traces.answering(self.lifecycle.answer),
            house.traces.tunnelling(passing.tunnel),
            bounds.client_limits(settings, house.machine),
            settings.pseudonym,
            self.lifecycle.ignores,
        )

    @property
    def in_use(self) -> bool:
        """Whether a request, or a flight that was sent for one, is with it."""
        house = self._house
        return bool(
            self.attending.under_way
            or house.flights.fly_for(self.number)
            or house.fetches.fly_for(self.number)
        )

    async def open(self, before: Generation | None = None) -> None:
        """Begin to watch what is not watched ``before``. Raises nothing."""
        known = None if before is None else before.knowledge
        await self.knowledge.follow(self._house.versions, known)

    async def retire(self, after: Generation) -> None:
        """Let go of all that neither ``after`` needs nor those who are with it."""
        for backend in self.backends.all:
            if backend not in after.backends.all:
                backend.retire()
        await self.knowledge.leave(self._house.versions, after.knowledge)

    async def close(self, others: Generations = ()) -> None:
        """End all that is open, but for what ``others`` need."""
        needed = [backend for other in others for backend in other.backends.all]
        await self.batcher.close()
        await asyncio.gather(
            *(backend.close() for backend in self.backends.all if backend not in needed)
        )


def need_backend(settings: Settings) -> None:
    """Raise ConfigError if there is no backend to serve."""
    if not settings.upstreams:
        raise ConfigError("no backend is given: use --upstream URL, or `upstreams` in the file")


Generations = tuple[Generation, ...]

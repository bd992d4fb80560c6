"""Caching by HTTP's own rules, from settings."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from email.utils import formatdate

from proxy.app import parts
from proxy.app.clock import seconds
from proxy.config.settings import Settings
from proxy.flight import Flights
from proxy.key import KeyRules
from proxy.passing import Passing
from proxy.reply import Replies
from proxy.resources.fetch import Rooms, Rules
from proxy.resources.life import Resources
from proxy.resources.shelf import Shelf
from proxy.rfc9111.freshness import Heuristic
from proxy.rfc9111.storing import Cookies
from proxy.tiers.ladder import Ladder
from proxy.upstream import Routes


class Others:
    """What answers requests in no dialect, and the flights it owns; ``close`` it in the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        keys: KeyRules,
        routes: Routes,
        ladder: Ladder,
        passing: Passing,
        replies: Replies,
        report: Callable[[BaseException], None],
    ) -> None:
        self.answers: Passing | Resources = passing
        self.flights: Flights | None = None
        chosen = settings.http_resource
        if not chosen.enabled:
            return
        surrogate = settings.pseudonym if chosen.surrogate_control else ""
        rules = Rules(
            Heuristic(chosen.heuristic_fraction, chosen.heuristic_max_s),
            Cookies(chosen.set_cookie),
            frozenset(settings.cache.inert_cookies),
            chosen.retain_s,
            surrogate,
        )
        # Flights of their own, which other replicas do not hear: those could not tell in time
        # which request headers the answer was chosen by.
        self.flights = Flights(parts.flight_limits(settings), clock=seconds, report=report)
        self.answers = Resources(
            rooms=Rooms(
                Shelf(ladder, keys, seconds, lambda: secrets.token_bytes(16), surrogate),
                rules,
                parts.outbound_fields(settings, identity=False),
                seconds,
                time.time,
                lambda wall: formatdate(wall, usegmt=True),
            ),
            keys=keys,
            upstreams=routes,
            policy=parts.policies(settings, keys),
            flights=self.flights,
            replies=replies,
            passing=passing,
            told_hosts=settings.downstream.forwarded != "off"
            or any(each.preserve_host for each in settings.upstreams),
            controls=parts.steering(settings).controls,
        )

    async def drain(self, limit_s: float) -> None:
        """As that of the flights."""
        if self.flights is not None:
            await self.flights.drain(limit_s)

    async def close(self) -> None:
        """As that of the flights."""
        if self.flights is not None:
            await self.flights.close()

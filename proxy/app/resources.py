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
from proxy.model.message import Request
from proxy.passing import Passing
from proxy.reply import Replies
from proxy.resources.fetch import Rooms, Rules
from proxy.resources.life import Resources
from proxy.resources.shelf import Shelf, Written
from proxy.rfc9111.freshness import Heuristic
from proxy.rfc9111.storing import Cookies
from proxy.tiers.ladder import Ladder
from proxy.upstream import Routes


def others(
    settings: Settings,
    *,
    keys: KeyRules,
    routes: Routes,
    ladder: Ladder,
    flights: Flights,
    written: Written,
    passing: Passing,
    replies: Replies,
    edition: int,
    caller: Callable[[Request], str],
) -> Passing | Resources:
    """What answers requests in no dialect.

    Args:
        flights: of their own, which other replicas do not hear: those could not tell in time which
            request headers the answer was chosen by.
        written: see ``Shelf``.
        edition: of the settings.
        caller: who sent a request.
    """
    chosen = settings.http_resource
    if not chosen.enabled:
        return passing
    surrogate = settings.pseudonym if chosen.surrogate_control else ""
    rules = Rules(
        Heuristic(chosen.heuristic_fraction, chosen.heuristic_max_s),
        Cookies(chosen.set_cookie),
        frozenset(settings.cache.inert_cookies),
        chosen.retain_s,
        surrogate,
    )
    return Resources(
        rooms=Rooms(
            Shelf(
                ladder, keys, seconds, lambda: secrets.token_bytes(16), surrogate, written=written
            ),
            rules,
            parts.outbound_fields(settings, identity=False),
            seconds,
            time.time,
            lambda wall: formatdate(wall, usegmt=True),
            edition,
            caller,
        ),
        keys=keys,
        upstreams=routes,
        policy=parts.policies(settings, keys),
        flights=flights,
        replies=replies,
        passing=passing,
        told_hosts=settings.downstream.forwarded != "off"
        or any(each.preserve_host for each in settings.upstreams),
        controls=parts.steering(settings).controls,
    )

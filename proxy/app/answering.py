"""What the operator can ask of several workers: the same as of one process, under the same paths.

What was counted is told from what all of them have counted; what one of them knows, it answers
itself; and some things all of them are asked. What each endpoint takes and tells is described
where a single process describes it: here only those who answer are others.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import NoReturn

from aiohttp import web

from proxy.admin.carrying import Carrying
from proxy.admin.colleagues import Colleagues
from proxy.admin.endpoint import Endpoint
from proxy.admin.entries import Shelves
from proxy.admin.everybodys import Minds, Pictures, Shelved
from proxy.admin.explain import Explain
from proxy.admin.live import LiveRoute
from proxy.admin.metrics import Exposition
from proxy.admin.neighbours import Nearness
from proxy.admin.profile import Profiles
from proxy.admin.purging import Purges
from proxy.admin.reasons import reasons
from proxy.admin.rows import Rows
from proxy.admin.semantic import Meanings
from proxy.admin.states import States
from proxy.admin.stats import Statistics
from proxy.admin.warm import Warm
from proxy.admin.workers import Workers, workers
from proxy.app.clock import seconds
from proxy.app.streams import Streams
from proxy.config.settings import Settings
from proxy.observe.metrics import Metrics
from proxy.observe.stats import Stats
from proxy.profiling.sampling import sample

_PURGE_S = 15.0  # to write it down, and to wait for all others
_SOON_S = 30.0
_LONG_S = 330.0  # questions are asked ahead, and answers carried, for minutes


def told_by_workers(colleagues: Colleagues, *, semantic: bool) -> list[Endpoint]:
    """What one worker answers for all.

    Args:
        semantic: whether there are answers to questions in other words.
    """
    rows = Rows(seconds, time.time, show_content=False)
    soon = [
        Explain(_elsewhere, rows).endpoint,
        Nearness(_elsewhere, rows).endpoint,
    ]
    long = [
        Warm(_elsewhere, _elsewhere, seconds).endpoint,
        *Carrying(_elsewhere, (), _elsewhere, _elsewhere).endpoints,
    ]
    endpoints = [
        colleagues.forwarded(Purges(_elsewhere).endpoint, limit_s=_PURGE_S, again=True),
        *(colleagues.forwarded(each, limit_s=_SOON_S, again=True) for each in soon),
        *(colleagues.forwarded(each, limit_s=_LONG_S) for each in long),
        reasons(),
    ]
    if semantic:
        minds = Minds(colleagues)
        endpoints += Meanings(minds.told, minds.judge).endpoints
    return endpoints


def told_of_all(
    stats: Stats,
    metrics: Metrics,
    streams: Streams,
    rows: Callable[[], Workers],
    fresh: Callable[[], Awaitable[None]],
) -> list[Endpoint]:
    """What all workers have counted.

    Args:
        rows: the workers.
        fresh: has asked all of them what they have counted.
    """
    told = [
        *Statistics(stats.told, stats.history).endpoints,
        *States(stats.tiers, stats.upstreams).endpoints,
        Exposition(metrics.written).endpoint,
        workers(rows),
    ]
    return [*_asked_first(told, fresh), LiveRoute(streams.watch, stats.brief).endpoint]


def told_together(
    settings: Settings,
    colleagues: Colleagues,
    tiers: Callable[[], Awaitable[Sequence[str]]],
    busiest: Callable[[], int],
) -> list[Endpoint]:
    """What each worker knows a part of."""
    pictures = Pictures(colleagues, busiest)
    return [
        *Shelves(Shelved(colleagues, tiers)).endpoints,
        Profiles(sample, settings.pseudonym, pictures).endpoint,
    ]


def _asked_first(
    endpoints: Iterable[Endpoint], fresh: Callable[[], Awaitable[None]]
) -> list[Endpoint]:
    def asking(endpoint: Endpoint) -> Endpoint:
        async def ask(request: web.Request) -> web.StreamResponse:
            await fresh()
            return await endpoint.ask(request)

        return replace(endpoint, ask=ask)

    return [asking(each) for each in endpoints]


def _elsewhere(*_given: object, **_named: object) -> NoReturn:
    """Stand where a worker answers."""
    raise NotImplementedError

"""What the operator can ask of the whole proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from proxy.admin import pages
from proxy.admin.api import Admin
from proxy.admin.config import Configurations, Current
from proxy.admin.endpoint import Endpoint
from proxy.admin.gate import Gate
from proxy.admin.profile import Profiles
from proxy.admin.purging import Purges
from proxy.admin.semantic import Meanings
from proxy.app.carrying import carrying
from proxy.app.clock import seconds
from proxy.app.explained import explained
from proxy.app.reloading import Edition, Refused
from proxy.config import render
from proxy.config.changes import fixed
from proxy.config.faults import dotted
from proxy.config.load import Source
from proxy.profiling.sampling import sample

if TYPE_CHECKING:
    from proxy.app.whole import Sidecache


def admin(proxy: Sidecache, ready: Callable[[], bool]) -> Admin:
    """The operator's listener, not listening yet.

    Args:
        proxy: what is asked about; made but for this.
        ready: whether it takes requests.
    """
    chosen = proxy.settings.admin
    return Admin(
        ready,
        Gate(token(proxy), chosen.allowed_hosts, clock=seconds),
        endpoints=_endpoints(proxy),
        pages=pages.routes(),
        version=release(),
    )


def token(proxy: Sidecache) -> str | None:
    """What the operator has to send along; None: nothing.

    Who can reach the socket of one of several workers may ask.
    """
    return proxy.settings.admin.bearer if proxy.seat is None else None


def _endpoints(proxy: Sidecache) -> list[Endpoint]:
    endpoints = [
        *Configurations(
            lambda: current(
                proxy.generation,
                proxy.source,
                proxy.refused,
                fixed(),
                proxy.machine.chosen(proxy.settings),
            ),
            proxy.reload,
        ).endpoints,
        Purges(proxy.store.purging.purge).endpoint,
        Profiles(sample, proxy.settings.pseudonym).endpoint,
        *carrying(proxy).endpoints,
    ]
    endpoints += [*proxy.observing.endpoints, *explained(proxy)]
    if proxy.seat is not None:
        endpoints.append(proxy.observing.for_its_own_kind)
    if (semantic := proxy.semantic) is not None:
        endpoints += Meanings(semantic.asked, semantic.learner.judged).endpoints
    return endpoints


def current(
    edition: Edition,
    source: Source,
    refused: Refused | None,
    needs_restart: Sequence[str],
    chosen: Mapping[str, int],
) -> Current:
    """What there is to tell of the settings that are in force; ``chosen`` by the machine."""
    loaded, file = edition.loaded, source.file
    return Current(
        generation=edition.number,
        loaded_at=edition.since,
        file=None if file is None else str(file),
        settings=render.masked(loaded.settings),
        sources={dotted(place): source for place, source in loaded.sources.items() if source},
        yaml=render.effective(loaded),
        chosen=dict(chosen),
        needs_restart=list(needs_restart),
        refused=None if refused is None else refused.reason,
        refused_at=0.0 if refused is None else refused.when,
    )


def release() -> str:
    """The version of this package."""
    try:
        return version("sidecache")
    except PackageNotFoundError:
        return "0"

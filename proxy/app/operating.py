"""What the operator can ask, from settings and from the parts that know."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from proxy.admin.api import Admin
from proxy.admin.endpoint import Endpoint
from proxy.admin.gate import Gate
from proxy.admin.profile import Profiles
from proxy.admin.purging import Purges
from proxy.admin.semantic import Meanings
from proxy.app.clock import seconds
from proxy.app.store import Store
from proxy.config.settings import Settings
from proxy.profiling.sampling import sample

if TYPE_CHECKING:
    from proxy.app.semantic import Semantic


def admin(
    settings: Settings, ready: Callable[[], bool], store: Store, semantic: Semantic | None
) -> Admin:
    """The operator's listener, not listening yet.

    Args:
        ready: whether the proxy takes requests.
    """
    chosen = settings.admin
    return Admin(
        ready,
        Gate(chosen.bearer, chosen.allowed_hosts, clock=seconds),
        endpoints=_endpoints(settings.pseudonym, store, semantic),
        version=release(),
    )


def _endpoints(name: str, store: Store, semantic: Semantic | None) -> list[Endpoint]:
    endpoints = [Purges(store.purging.purge).endpoint, Profiles(sample, name).endpoint]
    if semantic is not None:
        endpoints += Meanings(semantic.told, semantic.learner.judged).endpoints
    return endpoints


def release() -> str:
    """The version of this package."""
    try:
        return version("sidecache")
    except PackageNotFoundError:
        return "0"

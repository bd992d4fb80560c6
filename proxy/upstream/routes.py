"""Which backend a path belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from proxy.model.errors import ConfigError
from proxy.upstream.client import HttpUpstream
from proxy.upstream.guarded import GuardedUpstream
from proxy.upstream.limited import LimitedUpstream

Backend = HttpUpstream | GuardedUpstream | LimitedUpstream


class Routes:
    """All backends, each under its prefix; the longest that fits wins. Implements ``Upstreams``.

    Raises:
        ConfigError: two of them share a prefix or an id.
    """

    def __init__(self, upstreams: Iterable[Backend]) -> None:
        self._upstreams = sorted(upstreams, key=lambda upstream: -len(upstream.mount.prefix))
        for what, values in (
            ("prefix", [upstream.mount.prefix or "/" for upstream in self._upstreams]),
            ("id", [upstream.id for upstream in self._upstreams]),
        ):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ConfigError(f"two upstreams have the {what} {', '.join(twice)}")

    def __iter__(self) -> Iterator[Backend]:
        return iter(self._upstreams)

    def route(self, path: str) -> Backend | None:
        for upstream in self._upstreams:
            if upstream.mount.holds(path):
                return upstream
        return None

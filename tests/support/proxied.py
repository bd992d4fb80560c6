"""The whole proxy on real sockets, in front of whatever a test puts behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.app import Sidecache
from proxy.app.machine import Machine
from proxy.app.reloading import Reloaded
from proxy.config.load import Loaded
from proxy.config.settings import Settings
from proxy.model.outcome import Record

Json = dict[str, Any]

# For ``downstream``: who says no more is soon taken for gone.
SHORT_GRACE: Json = {"limits": {"half_close_grace_s": 0.02}}


class Chosen:
    """Settings that a test may choose anew, for the next reload. A ``Source``."""

    def __init__(self, given: Json) -> None:
        self.file: Path | None = None
        self.given = given
        self.loads = 0

    def load(self) -> Loaded:
        self.loads += 1
        return Loaded(Settings.model_validate(self.given), {})


class Proxied(Sidecache):
    """A proxy, and the ``records`` it made of the requests that are over."""

    def __init__(self, given: Json, machine: Machine | None = None) -> None:
        self._records: list[Record] = []
        self.chosen = Chosen(given)
        settings = Settings.model_validate(given)
        super().__init__(settings, self._records.append, source=self.chosen, machine=machine)

    async def change(self, **settings: Any) -> Reloaded:
        """Reload with these groups of settings in place of what they were."""
        self.chosen.given = self.chosen.given | settings
        return await self.reload()

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    @property
    def records(self) -> list[Record]:
        """Of the requests that are over, those of the express lane, too."""
        self.server.express.flush()
        return self._records

    @property
    def verdicts(self) -> list[str]:
        """What became of each request that is over, in the order they ended."""
        return [record.outcome.verdict.value for record in self.records]

    async def counted(self, true: Callable[[], bool]) -> None:
        """Wait until something about this proxy is ``true``."""
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - what is waited for happens on this very loop
                await asyncio.sleep(0)

    async def landed(self) -> None:
        """Wait until no flight is in the air."""
        boards = (self.flights, self.fetches)
        while pumps := {
            flight.pump for board in boards for flight in board._up if flight.pump is not None
        }:
            await asyncio.wait(pumps, timeout=20)


@asynccontextmanager
async def proxied(
    *upstreams: str | Json, machine: Machine | None = None, **settings: Any
) -> AsyncIterator[Proxied]:
    """Serve until the block ends, then check that nothing is left behind and nothing went wrong.

    ``upstreams`` are URLs or whole settings, ``settings`` the rest; ``machine`` is one to take this
    one for.
    """
    backends = [{"url": each} if isinstance(each, str) else each for each in upstreams]
    given = {
        "listen": "127.0.0.1:0",
        "admin": {"enabled": False},
        "l2_disk": {"enabled": False},
        "upstreams": backends,
        "reload": {"watch": False},
    }
    proxy = Proxied(given | settings, machine)
    errors = _Errors()
    logging.getLogger("sidecache").addHandler(errors)
    try:
        await proxy.start()
        yield proxy
    finally:
        await proxy.close(0)
        logging.getLogger("sidecache").removeHandler(errors)
    assert errors.seen == []
    assert proxy.server.counts.bugs == 0
    assert proxy.server.counts.open == 0
    for flights in (proxy.flights, proxy.fetches):
        assert len(flights) == 0
        assert (flights._bytes, len(flights._orphans), flights._refreshing, flights._board) == (
            0,
            0,
            0,
            {},
        )
    assert (proxy.limiter.under_way, proxy.limiter.queued, proxy.limiter.lasting) == (0, 0, 0)
    assert [each.in_use for each in proxy.generation.backends.all if each.in_use] == []
    assert len(proxy.retired) == 0


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))

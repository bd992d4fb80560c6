"""Names to addresses, so that a slow or dead name server harms as little as it can.

``getaddrinfo`` blocks and cannot be cancelled. The loop's executor is shared with others, and a
few hung lookups would fill it; so each lookup has a thread of its own, at most one per name, and
a daemon, which the end of the process does not wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver, ResolveResult

LookUp = Callable[[str, int, socket.AddressFamily], list[ResolveResult]]

_BELIEVED_S = 1.0  # an answer, good or bad, is not asked for again: no storm of lookups
_STALE_S = 60.0  # old addresses serve while there are no new ones


@dataclass(slots=True)
class _Name:
    """What is known of one name."""

    asked_at: float = 0.0
    answer: asyncio.Future[list[ResolveResult]] | None = None
    good_at: float = 0.0
    good: list[ResolveResult] = field(default_factory=list)


class Resolver(AbstractResolver):
    """Looks names up in threads of its own; old addresses, up to a minute, stand in for none.

    ``limit_s``: seconds to wait for an answer; a healthy name server needs milliseconds.
    """

    def __init__(
        self,
        look_up: LookUp | None = None,
        *,
        limit_s: float = 2.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._look_up = look_up or _getaddrinfo
        self._limit_s = limit_s
        self._clock = clock or self._loop.time
        self._names: dict[tuple[str, int, socket.AddressFamily], _Name] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of ``host``. Raises OSError; TimeoutError if none came in time."""
        name = self._names.setdefault((host, port, family), _Name())
        answer = name.answer
        if answer is None or (answer.done() and self._clock() - name.asked_at > _BELIEVED_S):
            answer = self._ask(name, host, port, family)
        # Not wait_for: the answer is shared, and one who stops waiting must not cancel it.
        await asyncio.wait({answer}, timeout=self._limit_s)
        fault = answer.exception() if answer.done() else TimeoutError()
        if fault is None:
            return answer.result()
        if name.good and self._clock() - name.good_at <= _STALE_S:
            return name.good
        raise fault

    async def close(self) -> None:
        """Nothing to do: who waited is gone, and a late answer is dropped."""

    def _ask(
        self, name: _Name, host: str, port: int, family: socket.AddressFamily
    ) -> asyncio.Future[list[ResolveResult]]:
        answer: asyncio.Future[list[ResolveResult]] = self._loop.create_future()
        name.asked_at, name.answer = self._clock(), answer

        def settle(addresses: list[ResolveResult], fault: OSError | None) -> None:
            if fault is None:
                name.good_at, name.good = self._clock(), addresses
                answer.set_result(addresses)
            else:
                answer.set_exception(fault)
                answer.exception()  # seen, should nobody wait any more

        def look_up() -> None:
            addresses: list[ResolveResult] = []
            fault: OSError | None = None
            try:
                addresses = self._look_up(host, port, family)
                fault = None if addresses else OSError("no address")
            except OSError as error:
                fault = error
            except UnicodeError:  # a label that is empty or too long
                fault = OSError("not a host name")
            with contextlib.suppress(RuntimeError):  # the loop is closed by now
                self._loop.call_soon_threadsafe(settle, addresses, fault)

        threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        return answer


def _getaddrinfo(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return [
        ResolveResult(
            hostname=host,
            # Not address[0]: a link-local address is of no use without its scope.
            host=socket.getnameinfo(address, numeric)[0],
            port=port,
            family=kind,
            proto=proto,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, proto, _, address in found
        if kind in {socket.AF_INET, socket.AF_INET6}
    ]

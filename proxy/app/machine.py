"""What this process may take of the machine it runs on, where other workers take theirs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from proxy.config.settings import Settings
from proxy.host.budget import memory_budget
from proxy.host.cgroup import MemoryLimit, memory_limit, total_memory
from proxy.host.descriptors import clients_that_fit, in_use, needed, raise_limit

log = logging.getLogger("sidecache")


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is. Settings are those of one worker: what is bounded for all was divided.

    Args:
        memory: the limit on what all workers may use together; None: there is none.
        total: bytes of memory that the machine has; None: that is not known.
        descriptors: how many this process may have; None: any number.
        in_use: how many of them were when this was found out.
    """

    memory: MemoryLimit | None = None
    total: int | None = None
    descriptors: int | None = None
    in_use: int = 0

    @classmethod
    def found(cls) -> Machine:
        """What is here. Raises this process's limit on descriptors as far as it may."""
        total = total_memory()
        return cls(memory_limit(total), total, raise_limit(), in_use())

    def memory_tier(self, settings: Settings) -> int:
        """Bytes that the memory tier may take."""
        given = settings.l1_memory.max_bytes
        if given != "auto":
            return given
        limit = None if self.memory is None else self.memory.bytes
        return memory_budget(limit, self.total, settings.workers)

    def clients(self, settings: Settings) -> int:
        """How many clients may be connected."""
        wanted = settings.downstream.limits.max_connections
        return clients_that_fit(wanted, pooled(settings), self.in_use, self.descriptors)

    def chosen(self, settings: Settings) -> dict[str, int]:
        """What this machine makes of settings that it has a say in, by their dotted names."""
        chosen = {"l1_memory.max_bytes": self.memory_tier(settings)}
        clients = self.clients(settings)
        if clients < settings.downstream.limits.max_connections:
            chosen["downstream.limits.max_connections"] = clients
        return chosen

    def tell(self, settings: Settings) -> None:
        """Log how much memory it chose, if that was left to it."""
        if settings.l1_memory.max_bytes == "auto":
            log.info(
                "memory for stored answers was chosen",
                extra={
                    "l1_memory_bytes": self.memory_tier(settings),
                    "limit_bytes": None if self.memory is None else self.memory.bytes,
                    "workers": settings.workers,
                },
            )

    def warn(self, settings: Settings) -> None:
        """Log it if not all clients fit in that may be connected."""
        wanted, fit = settings.downstream.limits.max_connections, self.clients(settings)
        if fit < wanted:
            need = needed(wanted, pooled(settings), self.in_use)
            log.warning(
                "fewer clients can be connected than downstream.limits.max_connections allows:"
                " too few file descriptors; raise the hard limit (ulimit -Hn, LimitNOFILE= of"
                " systemd, --ulimit nofile= of a container)",
                extra={
                    "max_connections": fit, "wanted": wanted, "descriptors": self.descriptors,
                    "descriptors_needed": need,
                },
            )  # fmt: skip


def pooled(settings: Settings) -> int:
    """Connections there may be to backends and to Redis."""
    others = (*settings.degradation.standby, *settings.degradation.retrieval)
    pools = sum(each.max_connections for each in (*settings.upstreams, *others))
    redis = settings.l2_redis
    # As many of the library's, for what is more than one command.
    return pools + (0 if redis.address is None else 2 * redis.max_connections)

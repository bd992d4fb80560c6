"""What each of several workers may take of what is bounded for all of them."""

from __future__ import annotations

from proxy.config.settings import Settings


def share(settings: Settings) -> Settings:
    """``settings`` as one of ``settings.workers`` workers has them.

    Memory, connections and calls are divided. What is on disk and in Redis is everybody's.
    """
    workers = settings.workers
    if workers == 1:
        return settings

    def part(bound: int) -> int:
        return -(-bound // workers)

    memory, limits, flights = settings.l1_memory, settings.downstream.limits, settings.flights
    # What is left to the machine is divided where that is asked.
    given = memory.max_bytes if memory.max_bytes == "auto" else part(memory.max_bytes)
    total, overload = part(flights.max_total_bytes), settings.overload
    return settings.model_copy(
        update={
            "l1_memory": memory.model_copy(update={"max_bytes": given}),
            "downstream": settings.downstream.model_copy(
                update={
                    "limits": limits.model_copy(
                        update={"max_connections": part(limits.max_connections)}
                    )
                }
            ),
            "flights": flights.model_copy(
                update={
                    "max_flights": part(flights.max_flights),
                    "max_total_bytes": total,
                    "max_flight_bytes": min(flights.max_flight_bytes, total),
                    "max_orphans": part(flights.max_orphans),
                    "max_refreshes": part(flights.max_refreshes),
                }
            ),
            "overload": overload.model_copy(
                update={
                    "max_calls": part(overload.max_calls),
                    "max_queued": part(overload.queued),
                    "min_calls": part(overload.min_calls),
                }
            ),
            "upstreams": tuple(
                each.model_copy(update={"max_connections": part(each.max_connections)})
                for each in settings.upstreams
            ),
        }
    )

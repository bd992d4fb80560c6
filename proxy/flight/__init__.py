"""Single flight: one asks, all hear it as it comes.

A flight is one upstream call in the air. Whoever asks the same while it is up takes a seat and
hears the answer from its first byte: what has come already, then what comes, live.

Rules

1. The call runs in a task of its own, the pump. The first who asked is a passenger like any other;
   his hanging up ends nothing for the rest.
2. The head of the response is weighed once. Shared: all seats hear it. Given up: only the first may
   have it; all others are released at once to ask for themselves, and the key is marked so that
   nobody waits in vain for a while (hit-for-miss). A failure before the head is everybody's, once.
3. What came is kept in one append-only log, with an index for each seat. A piece is handed to all
   who listen at once (``proxy.model.pieces``); who can take no more for now reads on from the log
   later. Nobody's slow reading slows another: past a bound the log becomes a window, and who falls
   behind it is dropped. Only when every seat is slow does the pump wait.
   Nor does it slow anybody that others have to be woken: who waits is told how the answer begins,
   one right after the other, and woken then (``proxy.flight.gate``).
4. A body that breaks off is broken for every seat; a clean end is only ever a whole answer's end.
5. A flight is off the board before its end is published, so nobody can join a finished one.
6. Two clocks. A seat waits for the head at most ``wait_timeout``, then asks alone. A flight without
   progress for ``stall_timeout`` is aged: newcomers send a new one, and only the newest may store.
7. A flight without seats is an orphan: called off after a grace while nothing is known about it;
   given a budget to finish if its answer can be kept.
8. After a purge, or a change of the settings, nobody joins what was sent before it.
9. Where there are other replicas, a flight meets them before it asks (``proxy.model.meeting``). It
   leads, and gives other replicas seats like any other; or it hears the answer that another one is
   asking for, and weighs and keeps it as if it had asked itself.

What must agree (board, seats, log) changes with no await in between.
"""

from proxy.flight.board import Flights
from proxy.flight.errand import (
    Boarded,
    Boarding,
    Counts,
    Errand,
    Found,
    Handed,
    Lagged,
    Landed,
    Limits,
    Released,
)
from proxy.flight.seat import Seat

__all__ = [
    "Boarded",
    "Boarding",
    "Counts",
    "Errand",
    "Flights",
    "Found",
    "Handed",
    "Lagged",
    "Landed",
    "Limits",
    "Released",
    "Seat",
]

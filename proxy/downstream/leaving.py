"""How a server leaves: the ways there are, and how long each part of them may take. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

# Who is about to send on a connection that was idle is not reset, and who sends that often learns
# from the reply that it is the last. The next request of a client follows the last reply within
# milliseconds, or anybody's guess; two seconds are long for a client and short for a restart.
PATIENCE_S: Final = 2.0
# The pools of clients open a connection for each request once every reply is the last, so between
# two requests nobody may be connected. Longer than that, and the application has most likely gone.
UNUSED_S: Final = 1.0


class Leaving(NamedTuple):
    """A way to leave. Times in seconds.

    A delay comes first, in which all goes on but that every reply is the last on its connection:
    whoever sends clients here has to learn that it must not any more. Then nobody new is let in,
    and a connection without a request is kept for a moment only. Replies that are under way may
    go on until the limit; then the rest is ended.
    """

    limit_s: float  # from the first moment on, the delay included
    delay_s: float = 0.0
    unused_s: float | None = None  # the delay is over once nobody was connected for so long, too
    patience_s: float = 0.0  # for how long a connection without a request is kept then

    def waits_s(self, passed_s: float, unused_s: float | None) -> float:
        """How much of the delay is left if nobody comes or goes; 0 if it is over.

        Args:
            passed_s: since it began.
            unused_s: for how long nobody has been connected; None: somebody is.
        """
        left_s = min(self.delay_s, self.limit_s) - passed_s
        if self.unused_s is not None and unused_s is not None:
            left_s = min(left_s, self.unused_s - unused_s)
        return max(0.0, left_s)


def gateway(delay_s: float, drain_s: float) -> Leaving:
    """As one of several that somebody chooses from, who takes ``delay_s`` to notice."""
    return Leaving(delay_s + drain_s, delay_s, patience_s=PATIENCE_S)


def sidecar(delay_s: float, drain_s: float) -> Leaving:
    """After the application it stands beside, which may ask until its own end."""
    limit_s = delay_s + drain_s
    return Leaving(limit_s, limit_s, UNUSED_S, PATIENCE_S)


def retiring(drain_s: float) -> Leaving:
    """As one whose siblings go on accepting from the same socket."""
    return Leaving(drain_s, patience_s=PATIENCE_S)


def interrupted(drain_s: float) -> Leaving:
    """As somebody wishes who looks on and waits."""
    return Leaving(drain_s)

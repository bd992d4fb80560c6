"""How well Redis is: what came of each command, and what may be asked of it by that.

A breaker hears how each command really ended, whoever still waited for it. One of its own is for
writes: a Redis that answers but takes none (a replica, out of memory, a disk that is full, an ACL)
is asked for nothing but reads for a while, then for one write, to see.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from proxy.breaker import Breaker
from proxy.link.replies import NoWrites, Refusal
from proxy.model.errors import TierError

_WRITES_REST_S: Final = 5.0  # as long as a failover or an eviction takes; one write then tries
_MOST_WORDS: Final = 200  # of what a server says that is logged


class Standing(StrEnum):
    """What Redis is good for at present."""

    ON = "on"
    READS_ONLY = "reads only"
    OFF = "off"


class Health:
    """What is known of it. Counters are plain integers that only grow.

    Args:
        clock: seconds on a monotonic clock.
        dice: a number from 0 up to 1, each time another.
        report: told once of each change of ``standing``, and why it changed.
        suspect: what a probe asks for while no key has failed.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        dice: Callable[[], float],
        report: Callable[[Standing, str], None],
        suspect: str,
    ) -> None:
        self._report = report
        self.breaker = Breaker(clock=clock, dice=dice, report=self._changed)
        self.writes = Breaker(
            clock=clock, dice=dice, report=self._changed, consecutive=1, probe_s=_WRITES_REST_S
        )
        self.standing = Standing.ON
        self.suspect = suspect  # the key that failed last
        self._doubtful = False
        self.sent = 0  # operations that Redis was asked for, probes among them
        self.failed = 0  # of these: no answer, or one that made no sense
        self.refused = 0  # of these: answered, but not done
        self.late = 0  # callers that went on without an answer, or found no connection free
        self.turned_away = 0  # callers, because Redis is off or takes no writes

    @property
    def doubtful(self) -> bool:
        """Whether the last that was heard of Redis is that it was too slow, or failed."""
        return self._doubtful or not self.breaker.closed

    def note_answer(self) -> None:
        """It answers."""
        self._doubtful = False
        self.breaker.succeeded()

    def note_refusal(self, refusal: Refusal) -> None:
        """It answered, but did not do it."""
        self.refused += 1
        self.note_answer()
        if isinstance(refusal, NoWrites):
            self.writes.trip(str(refusal)[:_MOST_WORDS])

    def note_failure(self, key: str, why: str, commands: int = 1) -> TierError:
        """So many commands, of which one was about ``key``, failed for one and the same reason."""
        self.failed += commands
        self.suspect = key
        why = why[:_MOST_WORDS]
        self.breaker.failed(why)
        return TierError(why)

    def note_late(self) -> TierError:
        """A caller has to go on without an answer."""
        self.late += 1
        self._doubtful = True
        return TierError("Redis was too slow")

    def _changed(self, _closed: bool, why: str) -> None:  # noqa: FBT001 - as a breaker reports
        if not self.breaker.closed:
            standing = Standing.OFF
        else:
            standing = Standing.ON if self.writes.closed else Standing.READS_ONLY
        if standing is not self.standing:
            self.standing = standing
            self._report(standing, why)


class Known:
    """What whoever has a ``Health`` lets others read of it."""

    def __init__(self, health: Health) -> None:
        self._health = health

    @property
    def standing(self) -> Standing:
        """What Redis is good for now."""
        return self._health.standing

    @property
    def doubtful(self) -> bool:
        """Whether the last that was heard of Redis is that it was too slow, or failed."""
        return self._health.doubtful

    @property
    def sent(self) -> int:
        """Operations that Redis was asked for, probes among them."""
        return self._health.sent

    @property
    def failed(self) -> int:
        """Of these: no answer, or one that made no sense."""
        return self._health.failed

    @property
    def refused(self) -> int:
        """Of these: answered, but not done."""
        return self._health.refused

    @property
    def late(self) -> int:
        """Callers that went on without an answer, or found no connection free."""
        return self._health.late

    @property
    def turned_away(self) -> int:
        """Callers, because Redis is off or takes no writes."""
        return self._health.turned_away

"""Replies: what the cache knows, written onto what goes downstream. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

from proxy.model.decision import Why
from proxy.model.errors import Overloaded, ShareExceeded, UpstreamError
from proxy.model.headers import Beginning
from proxy.model.message import Head, Headers
from proxy.model.outcome import Outcome, Repeats, Reply, Verdict
from proxy.wire.cache_status import decided, timing, visible
from proxy.wire.problem import problem
from proxy.wire.recent import Recent

_OURS: Final = frozenset(
    {
        "cache-status", "x-cache", "x-cache-reason", "x-cache-tier", "x-cache-similarity",
        "x-cache-match", "x-cache-error-bound", "x-cache-variant", "x-cache-compressed",
    }
)  # fmt: skip
_SPREAD_S: Final = 3  # over which those who were turned away are asked to come again
_RECENT_BYTES: Final = 2**20
_PAIR: Final = 150  # bytes a field takes besides its text, about
_HIT, _STALE = Verdict.HIT, Verdict.STALE
_CONTENT_TYPE: Final = frozenset({"content-type"})


class _Told(NamedTuple):
    """What was told last with an answer."""

    headers: Headers  # as they are stored
    visible: tuple[object, ...]  # see there
    told: Beginning


class Replies:
    """Writes replies in the name of this proxy.

    Args:
        name: how it calls itself in ``Cache-Status`` and ``Via``.
        clock: seconds, monotonic.
        dice: evenly distributed in [0, 1).
    """

    def __init__(
        self, name: str, clock: Callable[[], float], dice: Callable[[], float] = lambda: 0.5
    ) -> None:
        self.name = name
        self._clock = clock
        self._dice = dice
        self._recent: Recent[bytes, _Told] = Recent(_RECENT_BYTES)  # by the digest of the key

    def write(
        self,
        head: Head,
        body: bytes | AsyncIterator[bytes],
        outcome: Outcome,
        began: float,
        *,
        length: int | None = None,
        final: Callable[[Outcome], Outcome] | None = None,
        again: Repeats | None = None,
    ) -> Reply:
        """``head`` and ``body``, and what the cache did.

        Args:
            began: when the request came, seconds on the proxy's clock.
            length: bytes to declare for a body that is still coming, if known.
            final: tells what is only known once that body has come.
            again: see ``Reply.again``.
        """
        told, total_s = self._told(head.headers, outcome), self._clock() - began
        if isinstance(body, bytes):
            length = len(body)
        headers = told.then(timing(outcome.upstream_s, total_s))
        head = Head(head.status, head.reason, headers)
        return Reply(head, body, length, outcome, final=final, again=again)

    def _told(self, headers: Headers, outcome: Outcome) -> Beginning:
        """``headers``, and what the cache did; the same object for hits that tell the same."""
        key, verdict = outcome.key, outcome.verdict
        if key is None or not (verdict is _HIT or verdict is _STALE):
            return self._tell(headers, outcome)
        said, known = visible(outcome), self._recent.get(key.digest)
        if known is not None and known.headers is headers and known.visible == said:
            return known.told
        told = self._tell(headers, outcome)
        texts = sum([len(name) + len(value) for name, value in told.pairs])
        self._recent.put(key.digest, _Told(headers, said, told), 2 * texts + _PAIR * len(told))
        return told

    def _tell(self, headers: Headers, outcome: Outcome) -> Beginning:
        index = headers.index()
        told = decided(outcome, index.get("cache-status", ""), name=self.name)
        if not _OURS.isdisjoint(index):
            headers = headers.without(_OURS)
        return Beginning(headers.pairs + told)

    def fail(self, error: UpstreamError, outcome: Outcome, began: float) -> Reply:
        """The reply when the upstream has none: 502, 504 or 508, and why.

        Where it was not asked, as too much was under way: 429 or 503, and when to ask again.
        """
        outcome = outcome._replace(detail=error.token)
        if not isinstance(error, Overloaded):
            return self.refuse(error.status, error.token, str(error), outcome, began)
        why = Why.SHARE if isinstance(error, ShareExceeded) else Why.OVERLOAD
        head, body = problem(error.status, error.token, str(error), pseudonym=self.name)
        # Those who are turned away together must not come again together.
        later = ("Retry-After", str(1 + int(_SPREAD_S * self._dice())))
        head = head._replace(headers=head.headers.plus(later))
        return self.write(head, body, outcome._replace(why=why, fwd=None), began)

    def absent(self, outcome: Outcome, began: float) -> Reply:
        """The reply where nothing is stored, and nothing else was asked for."""
        detail = "No stored answer, and the request asked for nothing else (only-if-cached)."
        return self.refuse(504, "only_if_cached", detail, outcome, began)

    def refuse(self, status: int, code: str, detail: str, outcome: Outcome, began: float) -> Reply:
        """A reply of our own: ``detail`` is a sentence for people, ``code`` a word for programs."""
        head, body = problem(status, code, detail, pseudonym=self.name)
        return self.write(head, body, outcome, began)


def retyped(head: Head, content_type: str) -> Head:
    """``head`` for a body in another form; "" leaves it as it is."""
    if not content_type:
        return head
    headers = head.headers.without(_CONTENT_TYPE).plus(("Content-Type", content_type))
    return Head(head.status, head.reason, headers)

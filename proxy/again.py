"""A hit in memory that may be given again, to whoever asks the very same.

Of requests that are equal to the byte only the answer has to be looked at: whether it is still the
one that is stored, unpurged and fresh. What the question was, and whose, has been found out once.
Chance has its say each time, as for any hit: to renew the answer ahead of its end, or to ask once
more to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from proxy.model.decision import Hit, Why
from proxy.model.message import Request
from proxy.model.outcome import Laps, Reply
from proxy.policy import certain_until, judge
from proxy.question import Question

_OBJECTS: Final = 4000  # bytes that the question and what hangs on it take besides its texts, about


class Giving(Protocol):
    """Who answered, and can do so again."""

    def replay(self, question: Question, hit: Hit, *, renewing: bool) -> Reply | None:
        """The stored answer in the form asked for; None if it cannot take that form."""
        ...

    def refresh(self, question: Question) -> None:
        """Have the backend asked; nobody waits for it."""
        ...

    def edition(self) -> int:
        """Another whenever a question may have to be read anew."""
        ...


class Again:
    """How one question was answered from memory; ``reply`` is the reply to it as of now.

    Args:
        question: as it was asked.
        hit: fresh, in the nearest tier, and drawn by no dice.
        giving: who gave it.
    """

    __slots__ = (
        "_certain_until", "_edition", "_generation", "_giving", "_hit", "_question", "_reply",
        "_reply_until",
    )  # fmt: skip

    def __init__(self, question: Question, hit: Hit, giving: Giving) -> None:
        self._question = question
        self._hit = hit
        self._giving = giving
        self._edition = giving.edition()
        self._generation = question.generation
        self._certain_until = -inf  # not worked out for what is asked but once
        self._reply: Reply | None = None
        self._reply_until = -inf

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, about; the answer among them."""
        question, query = self._question, self._question.query
        texts = sum(len(name) + len(value) for name, value in question.request.headers.pairs)
        return self._hit.entry.size + texts + len(query.canonical) + len(query.forward) + _OBJECTS

    def reply(self, peer: str, asked: Callable[[], Request] | None = None) -> Reply | None:
        """The reply to the same question from ``peer``, as of now; None: it is to be asked anew.

        As long as nothing in it changes it is the same object. Counts as a hit in memory.

        Args:
            asked: as ``Repeats.reply`` has it.
        """
        question, entry, giving = self._question, self._hit.entry, self._giving
        rooms = question.rooms
        ladder = rooms.ladder
        if self._edition != giving.edition():
            return None
        if (generation := ladder.generation) != self._generation:
            if ladder.unpurged(entry) is not entry:
                return None
            self._generation = generation
        hit: Hit | None = None
        now, once_more = rooms.clock(), None
        if now >= self._certain_until or rooms.meaning is not None:
            verdict = judge(entry, self._hit.tier, question.query.controls, now)
            if not isinstance(verdict, Hit) or verdict.why is not Why.FRESH:
                return None
            hit = verdict
        if not ladder.keeps(entry):
            return None
        if hit is not None:  # not before: chance is asked once for each answer
            self._certain_until = certain_until(entry, question.query.controls, question.terms)
            once_more = question.once_more(hit, now)
        if once_more is not None:
            request = question.request if asked is None else asked()
            request = request._replace(peer=peer)
            giving.refresh(once_more._replace(request=request, generation=generation, began=now))
            if not once_more.sampled:
                return self._said(now, renewing=True)
        if now >= self._reply_until:
            self._reply = self._said(now, renewing=False)
            # Age and what is left of the ttl are told in whole seconds.
            changes_in_s = min(1.0 - entry.age(now) % 1.0, entry.ttl_left(now) % 1.0)
            self._reply_until = now + changes_in_s
        return self._reply

    def _said(self, now: float, *, renewing: bool) -> Reply | None:
        laps = Laps(now)
        laps.came = laps.read = laps.looked = now
        asked = self._question._replace(began=now, laps=laps)
        return self._giving.replay(asked, self._hit, renewing=renewing)

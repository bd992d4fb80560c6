"""The ledger: which entries the purges cover. Pure but for what it remembers.

Every purge has a number, every entry the number that was newest when its question was asked. A
purge covers the entries with its label and a smaller number, wherever they are kept and whenever
they come to light: nothing has to be searched for, and an answer that was on its way meanwhile is
covered like one that was stored. To compare two numbers tells almost every hit that all is well.

What is remembered is bounded. When there are too many purges, the older half is forgotten, and with
it everything from before: the floor rises. More is purged then than was asked for, never less.

Numbers are counted by a journal that all replicas share (``proxy.purges``), in steps of ``SHARED``.
Those between are for purges that a journal could not be told of yet; they mean nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.model.entry import Entry
from proxy.model.purge import Kind, Purge

SHARED: Final = 2**20  # numbers that a journal gave out are its multiples

_MOST: Final = 100_000  # purges remembered, of each sort; about 25 MB


class Label(NamedTuple):
    """By what an entry can be purged."""

    kind: Kind
    value: str


class Ledger:
    """All purges that still matter.

    Args:
        most: labels to remember, for hard and soft purges each.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._generation = 0
        self._floor = 0
        self._hard: dict[Label, int] = {}  # in the order of their numbers, the smallest first
        self._soft: dict[Label, tuple[int, float]] = {}  # number, since when
        self._lengths: set[int] = set()  # of path prefixes

    @property
    def generation(self) -> int:
        """The newest number. What is asked for from now on is stored under it."""
        return self._generation

    @property
    def floor(self) -> int:
        """Everything with a smaller number is purged."""
        return self._floor

    def __len__(self) -> int:
        return len(self._hard) + len(self._soft)

    def enter(self, purge: Purge, number: int, since: float) -> None:
        """Let ``purge`` cover all that is older than ``number``.

        Args:
            purge: what is covered.
            number: larger than any before.
            since: seconds on the clock of ``Entry.stored_at``; what a soft purge covers is stale
                from then on.

        Raises:
            ValueError: a number that is not larger.
        """
        if number <= self._generation:
            raise ValueError("a purge must have a larger number than those before it")
        self._generation = number
        if purge.kind is Kind.ALL and not purge.soft:
            self.raise_floor(number)
            return
        label = Label(purge.kind, purge.value)
        known: dict[Label, int] | dict[Label, tuple[int, float]]
        known = self._soft if purge.soft else self._hard
        known.pop(label, None)
        if purge.kind is Kind.PATH:
            self._lengths.add(len(purge.value))
        if purge.soft:
            self._soft[label] = (number, since)
        else:
            self._hard[label] = number
        if len(known) > self._most:
            self.raise_floor(self._middle(purge.soft))

    def raise_floor(self, floor: int) -> None:
        """Purge everything with a number below ``floor``, and forget what that makes needless."""
        self._floor = max(self._floor, floor)
        self._generation = max(self._generation, floor)
        self._hard = {label: n for label, n in self._hard.items() if n > self._floor}
        self._soft = {label: n for label, n in self._soft.items() if n[0] > self._floor}
        labels = (*self._hard, *self._soft)
        self._lengths = {len(label.value) for label in labels if label.kind is Kind.PATH}

    def admit(self, entry: Entry) -> Entry | None:
        """``entry`` as it may be used now: as it is, stale if it was not, or not at all."""
        born = entry.generation
        if born >= self._generation:
            return entry
        if born < self._floor:
            return None
        stale_since: float | None = None
        for label in self._labels(entry):
            if self._hard.get(label, 0) > born:
                return None
            number, since = self._soft.get(label, (0, 0.0))
            if number > born:
                stale_since = since if stale_since is None else min(since, stale_since)
        if stale_since is None:
            return entry
        life = entry.lifetime
        left = max(0.0, entry.age(stale_since))
        return entry if life.ttl <= left else replace(entry, lifetime=replace(life, ttl=left))

    def names(self, entry: Entry) -> bool:
        """Whether any purge that is remembered has a label of ``entry``, whatever its number."""
        return any(label in self._hard or label in self._soft for label in self._labels(entry))

    def covers(self, entry: Entry) -> bool:
        """Whether any purge, hard or soft, has come since ``entry`` was asked for."""
        return self.admit(entry) is not entry

    def _labels(self, entry: Entry) -> Iterator[Label]:
        yield Label(Kind.ALL, "")
        yield Label(Kind.KEY, entry.key.digest.hex())
        yield Label(Kind.SCOPE, entry.key.scope)
        yield Label(Kind.DIALECT, entry.dialect)
        yield Label(Kind.MODEL, entry.model)
        for tag in entry.tags:
            yield Label(Kind.TAG, tag)
        for length in self._lengths:
            if length <= len(entry.path):
                yield Label(Kind.PATH, entry.path[:length])

    def _middle(self, soft: bool) -> int:  # noqa: FBT001 - which of two tables, told by its word
        numbers = [n for n, _ in self._soft.values()] if soft else list(self._hard.values())
        return numbers[len(numbers) // 2]

"""The finder and the learner with all that they need, in memory, and an embedder set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from proxy.ledger import Ledger
from proxy.model.decision import Hit, Why
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.errors import TierError
from proxy.model.meaning import Doubt, Script
from proxy.model.query import Asking, Form, Query
from proxy.semantic.agreement import Agreement
from proxy.semantic.base import Neighbour, Row, Shelf
from proxy.semantic.budget.controller import Budget, Change
from proxy.semantic.budget.labels import Stratum
from proxy.semantic.budget.shadow import Shadowing
from proxy.semantic.finder import Finder
from proxy.semantic.found import Finding, Sought
from proxy.semantic.index.local import LocalIndex
from proxy.semantic.learner import Learner
from proxy.semantic.seeking import Seeking
from proxy.semantic.verifier import Verifier
from proxy.semantic.words.eligible import Eligibility
from proxy.semantic.words.phrasebook import Phrasebook
from proxy.tiers.l1_memory import L1Memory
from proxy.tiers.ladder import Ladder
from support.cranked import Clock, entry

if TYPE_CHECKING:
    from proxy.semantic.base import Vector

NAMESPACE = b"n" * 16
FAMILY = "openai_chat m"


def vector(cosine: float, at: int = 0) -> Vector:
    """A unit vector with this cosine to ``vector(1.0)``; ``at`` says where the rest lies."""
    made = np.zeros(8, np.float32)
    made[0] = cosine
    made[1 + at] = np.sqrt(1.0 - cosine * cosine)
    return made


@dataclass
class HandEmbedding:
    """Stands in for ``proxy.semantic.embedding.Embedding``: vectors are what the test says."""

    of: dict[str, Vector | Doubt] = field(default_factory=dict)
    ready: bool = True
    fingerprint: str = "by-hand"

    async def vector(
        self, text: str, _script: Script, *, deadline_s: float | None = None
    ) -> Vector | Doubt:
        return self.of.get(text, Doubt.EMBEDDER)

    async def vectors(
        self, texts: Sequence[str], _script: Script, *, deadline_s: float
    ) -> Sequence[Vector] | Doubt:
        found = [self.of.get(text, Doubt.EMBEDDER) for text in texts]
        return next((each for each in found if isinstance(each, Doubt)), found)


class HandIndex(LocalIndex):
    """An index that fails, or names what is not there, as the test says."""

    def __init__(self) -> None:
        super().__init__(None, max_rows=1000, wall=lambda: 5000.0, dtype="f32", exact_up_to=1000)
        self.failing = False
        self.hanging = False
        self.bug = False
        self.lies: list[Neighbour] = []

    async def search(self, namespace: bytes, vector: Vector, count: int) -> Sequence[Neighbour]:
        if self.failing:
            raise TierError("the index failed")
        if self.hanging:
            await asyncio.Event().wait()
        if self.bug:
            raise RuntimeError("nobody foresaw this")
        return [*self.lies, *await super().search(namespace, vector, count)]

    async def add(self, rows: Sequence[Row]) -> None:
        if self.bug:
            raise RuntimeError("nobody foresaw this")
        await super().add(rows)

    async def remove(self, namespace: bytes, keys: Sequence[CacheKey]) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        await super().remove(namespace, keys)


@dataclass
class World:
    """What a test turns, and what it asks."""

    clock: Clock
    ladder: Ladder
    embedding: HandEmbedding
    index: HandIndex
    phrasebook: Phrasebook
    budget: Budget
    finder: Finder
    learner: Learner
    seeking: Seeking
    dice: list[float]
    changes: list[tuple[Stratum, Change]]

    def sought(self, text: str, *, namespace: bytes = NAMESPACE, acts: bool = False) -> Sought:
        """The question; its key follows from its words and its namespace."""
        digest = blake2b(text.encode() + namespace, digest_size=32).digest()
        asking = Asking(text, b"", follows=False, acts=acts)
        query = Query("openai_chat", "m", Form(), b"", b"")
        found = self.seeking.sought(asking, namespace, CacheKey("scope", digest), query)
        assert isinstance(found, Sought), found
        return found

    def answer(self, sought: Sought, body: bytes = b"Because.", *, keep_s: float = 60.0) -> Entry:
        stored = entry(sought.key, body, stored_at=self.clock(), lifetime=Lifetime(keep_s))
        return replace(stored, wording=sought.wording)

    async def store(
        self, text: str, vector: Vector | None = None, body: bytes = b"Because.", **more: bytes
    ) -> Entry:
        """Let ``text`` be answered, and learned."""
        if vector is not None:
            self.embedding.of[text] = vector
        sought = self.sought(text, **more)
        stored = self.answer(sought, body)
        assert await self.ladder.put(stored)
        self.learner.landed(sought, stored, None, None)
        await self.learner.settled()
        return stored

    async def find(self, text: str, vector: Vector | None = None, least: float = 0.0) -> Finding:
        if vector is not None:
            self.embedding.of[text] = vector
        return await self.finder.find(self.sought(text), self.fits, least)

    def fits(self, found: Entry, tier: str) -> Hit | None:
        return Hit(found, Why.FRESH, tier) if found.age(self.clock()) < found.lifetime.ttl else None


def said(stored: Entry) -> str | None:
    """What a stored answer says: its body is its text; b"..." says nothing."""
    return None if stored.body == b"..." else stored.body.decode()


def alias_of(scope: str, namespace: bytes, plain: str) -> CacheKey:
    return CacheKey(scope, blake2b(plain.encode() + namespace + b"alias", digest_size=32).digest())


@asynccontextmanager
async def world(
    *,
    budget: Budget | None = None,
    shadowing: Shadowing | None = None,
    shelf: Callable[[Ladder], Shelf] = lambda ladder: ladder,
) -> AsyncIterator[World]:
    """All of it, ready."""
    clock = Clock()
    ledger, changes, dice = Ledger(), [], [0.5]
    memory = L1Memory(max_bytes=2**20, max_entry_bytes=2**18, clock=clock, scope_share=1.0)
    ladder = Ladder([memory], ledger, lambda _tier, _error: None)
    embedding, index, phrasebook = HandEmbedding(), HandIndex(), Phrasebook(1000)
    budget, agreement = budget or Budget(), Agreement(said)
    await index.open("by-hand", 8)
    common = {"phrasebook": phrasebook, "budget": budget, "agreement": agreement}
    parts = {**common, "embedding": embedding, "index": index}
    finder = Finder(shelf(ladder), verifier=Verifier(), index_s=0.5, limit_s=1.0, **parts)
    learner = Learner(
        ladder,
        shadowing=shadowing,
        clock=clock,
        wall=lambda: 5000.0,
        dice=lambda: dice[0],
        report=lambda stratum, change: changes.append((stratum, change)),
        **parts,
    )
    seeking = Seeking(Eligibility(volatile=lambda _text: False), alias_of)
    await learner.start()
    try:
        yield World(
            clock, ladder, embedding, index, phrasebook, budget, finder, learner, seeking, dice,
            changes,
        )  # fmt: skip
    finally:
        await learner.close()
        await index.close()

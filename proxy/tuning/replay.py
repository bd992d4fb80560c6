"""The replay: requests of a trace through policy and memory tier, with settings to be tried.

What decides is the code that serves: ``policy`` says what is fresh, what may be served, what is
renewed and for how long an answer is kept; ``L1Memory`` says what has to leave, ``Admission`` what
is let in. Around it the life of a request is played: who comes while an answer is on its way waits
for it, and what was on its way is stored when it would have come. Time is that of the trace; the
dice have a seed.

Not played: purges, clients that hang up, the bounds of flights, other replicas, and the way the
threshold of meaning moves by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Final, NamedTuple

from proxy.app.parts import policies
from proxy.config.settings import Settings
from proxy.key import KeyRules
from proxy.model.decision import Bypass, Hit, Miss, Why
from proxy.model.entry import CacheKey, Entry
from proxy.policy import (
    AboutNow,
    Policy,
    Terms,
    hasten,
    judge,
    lifetime,
    negative_lifetime,
    obeys,
    renews,
)
from proxy.tiers.admission import Admission
from proxy.tiers.l1_memory import L1Memory
from proxy.tuning.grid import Choice, changed, memory_of
from proxy.tuning.holding import Further, Held, held
from proxy.tuning.result import Result, Tally
from proxy.tuning.workload import NOBODY, Ask, Fact, Mark, Workload

_SEED: Final = 1
_SECRET: Final = b"keys are made elsewhere"
_DISK_SHARE: Final = 0.75  # of the file, that entries may take


class _Landing(NamedTuple):
    """An answer on its way."""

    at: float
    number: int  # of this landing, so that what lands at one time lands in order
    key: int
    fact: int
    ask: int
    renews: bool


class Replay:
    """One replay; made to be run once.

    Args:
        workload: what was asked; where it is a sample, memory is as much smaller.
        settings: those in force, for all that is not chosen.
        choice: what is tried.
    """

    def __init__(self, workload: Workload, settings: Settings, choice: Choice) -> None:
        self._load = workload
        self._choice = choice
        tried = changed(settings, choice)
        self._now = workload.at[0]
        self._dice = Random(_SEED).random  # noqa: S311 - nobody is to be kept from guessing
        self._terms = _terms(policies(tried, KeyRules(_SECRET)), workload.asks)
        self._threshold = choice.threshold
        self._start = settings.semantic.threshold
        self._memory = _memory(tried, workload, self._clock)
        self._further = _further(tried, workload.share, self._clock)
        chosen = tried.cache.admission
        self._admission = Admission(chosen.window_s, self._clock) if chosen.seen_times > 1 else None
        self._max_refreshes = tried.flights.max_refreshes
        self._refreshing = 0
        self._up: dict[int, float] = {}  # keys asked for now, and when the answer is here
        self._landings: list[_Landing] = []
        self._landed = 0
        self._tally = Tally(workload.groups())

    def run(self) -> Result:
        """What would have come of it."""
        load, terms_of, keys = self._load, self._terms, self._load.keys
        self._sow()
        get, tally, landings = self._get, self._tally, self._landings
        controls_of = [ask.controls for ask in load.asks]
        columns = (load.at, load.key, load.fact, load.ask, load.near, load.marks)
        for at, key, fact, ask, near, marks in zip(*columns, strict=True):
            if landings and landings[0].at <= at:
                self._land(at)
            self._now = at
            terms = terms_of[ask]
            if terms is None:
                tally.passed += 1
                continue
            controls = controls_of[ask]
            verdict = judge(get(keys[key]), "", controls, at)
            if not isinstance(verdict, Hit) and near != NOBODY and terms.by_meaning:
                verdict = self._by_meaning(near, ask, verdict)
            if isinstance(verdict, Hit):
                tally.hit(load.facts[fact], verdict, at)
                if renews(verdict, controls, terms, at, self._dice):
                    self._refresh(key, fact, ask)
            else:
                self._miss(key, fact, ask, verdict, failed=bool(marks & Mark.FAILED))
        return tally.told(
            self._choice,
            load.share,
            load.whole,
            evicted=self._memory.evicted,
            declined=self._memory.declined,
        )

    def _clock(self) -> float:
        return self._now

    # -- what is stored -----------------------------------------------------------------------

    def _sow(self) -> None:
        """Store what was there before the trace began."""
        for seed in self._load.seeds:
            fact, terms = self._load.facts[seed.fact], self._terms[seed.ask]
            if terms is not None and fact.storable:
                self._store(self._made(seed.key, fact, seed.ask, terms, seed.stored_at))

    def _get(self, key: CacheKey) -> Entry | None:
        """What is stored; what was further off is in memory afterwards."""
        entry = self._memory.get_now(key)
        if entry is not None or self._further is None:
            return entry
        held = self._further.get(key)
        if held is not None and not held.negative:
            self._memory.put_now(held)
        return held

    def _store(self, entry: Held) -> None:
        if entry.negative and self._answers(entry.key):
            return
        self._memory.put_now(entry)
        self._tally.held(self._memory.bytes)
        if self._further is not None:
            self._further.put(entry)

    def _answers(self, key: CacheKey) -> bool:
        there = self._get(key)
        return (
            there is not None and not there.negative and there.age(self._now) < there.lifetime.keep
        )

    def _made(self, key: int, fact: Fact, ask: int, terms: Terms, stored_at: float) -> Held:
        controls, head, dice = self._load.asks[ask].controls, fact.head, self._dice()
        if fact.negative:
            life = negative_lifetime(head, controls, terms, dice)
        else:
            life = lifetime(head, controls, terms, dice, 1.0 if fact.confident else None)
        age = fact.age
        if obeys(terms, head.headers):
            age += fact.backend_s
        return held(
            self._load.keys[key], fact.size, stored_at, life,
            age=age, upstream_s=fact.backend_s, negative=fact.negative,
        )  # fmt: skip

    # -- what is not --------------------------------------------------------------------------

    def _by_meaning(self, number: int, ask: int, miss: Miss) -> Hit | Miss:
        """The hit on the question in other words, if that is near enough and still there."""
        near = self._load.nears[number]
        if miss.why is not Why.UNSEEN or not near.unopposed:
            return miss
        if near.certain:
            serves = True
        elif self._threshold is None:
            serves = near.served or near.score >= self._start
        else:
            serves = near.score >= self._threshold
        if not serves:
            return miss
        entry = self._get(self._load.keys[near.key])
        verdict = judge(entry, "", self._load.asks[ask].controls, self._now)
        if not isinstance(verdict, Hit) or verdict.stale or verdict.entry.negative:
            return miss
        if not near.certain:
            self._tally.by_meaning += 1
        return verdict

    def _miss(self, key: int, number: int, ask: int, miss: Miss, *, failed: bool) -> None:
        tally, fact, now = self._tally, self._load.facts[number], self._now
        controls = self._load.asks[ask].controls
        if controls.only_if_cached:
            tally.error(key)
            return
        if self._admission is not None:
            self._admission.sight(self._load.keys[key].digest, stored=miss.why is not Why.UNSEEN)
        lands = self._up.get(key)
        if lands is not None:
            tally.coalesced_one(fact, lands - now)
        elif failed and miss.fallback is not None:
            tally.hit(fact, Hit(miss.fallback, Why.SIE, ""), now)
        elif failed:
            tally.error(key)
        else:
            tally.miss(key, fact)
            if fact.storable or fact.shared:
                self._send(key, number, ask, renews=False)

    def _refresh(self, key: int, fact: int, ask: int) -> None:
        if key in self._up or self._refreshing >= self._max_refreshes:
            return
        self._refreshing += 1
        self._tally.refresh(self._load.facts[fact])
        self._send(key, fact, ask, renews=True)

    def _send(self, key: int, fact: int, ask: int, *, renews: bool) -> None:
        """Ask the backend: it is heard, and in the end stored, when it would have come."""
        lands = self._now + self._load.facts[fact].backend_s
        self._up[key] = lands
        self._landed += 1
        heappush(self._landings, _Landing(lands, self._landed, key, fact, ask, renews))

    def _land(self, until: float) -> None:
        """Store what has come until then, in order."""
        load, landings = self._load, self._landings
        while landings and landings[0].at <= until:
            self._now, _, key, number, ask, renews_ = heappop(landings)
            del self._up[key]
            self._refreshing -= renews_
            fact, terms = load.facts[number], self._terms[ask]
            if not fact.storable or terms is None:
                continue
            admission = self._admission
            if not (renews_ or admission is None or admission.admits(load.keys[key].digest)):
                continue
            entry = self._made(key, fact, ask, terms, self._now)
            if entry.lifetime.ttl > entry.initial_age:
                self._store(entry)


def _terms(policy: Policy, asks: Sequence[Ask]) -> list[Terms | None]:
    """What holds for each; None: it is passed on."""
    told: list[Terms | None] = []
    for ask in asks:
        terms = policy.terms(ask.path, ask.model, ask.dialect)
        if ask.about_now and terms.time_sensitive is not AboutNow.IGNORE:
            hastened = hasten(terms)
            told.append(None if isinstance(hastened, Bypass) else hastened)
        else:
            told.append(terms if terms.enabled else None)
    return told


def _memory(settings: Settings, load: Workload, clock: Callable[[], float]) -> L1Memory:
    """The memory tier; for a sample as much smaller, but never than what it must take."""
    sizes, most = settings.l1_memory, settings.cache.max_entry_bytes
    entry = sizes.max_entry_bytes or most
    budget = max(1, int(memory_of(settings) * load.share))
    if load.share < 1.0:
        largest = max((fact.size for fact in load.facts if fact.size <= entry), default=entry)
        entry = min(entry, max(largest, int(entry * load.share)))
    memory = L1Memory(
        max_bytes=budget,
        max_entry_bytes=entry,
        clock=clock,
        scope_share=sizes.scope_share,
        sized=lambda entry: entry.stored_size,
    )
    # Where memory is short of room, so is the express lane.
    memory.lend(int(budget * sizes.express_share))
    return memory


def _further(settings: Settings, share: float, clock: Callable[[], float]) -> Further | None:
    """What stands behind the memory, if anything does."""
    if settings.l2_redis.address is not None:
        return Further(None, clock)
    if settings.l2_disk.enabled:
        return Further(int(settings.l2_disk.max_bytes * _DISK_SHARE * share), clock)
    return None

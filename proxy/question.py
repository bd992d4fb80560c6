"""A question under way: what is known of one request, and the errand a flight is sent on for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.batching import Batcher, Company, Unsplit, is_signed
from proxy.compression.compressor import Compressor
from proxy.compression.prompt import Plan
from proxy.dialects.base import Dialect, Relay, Rendered, divides, is_current, is_framed
from proxy.model.decision import GiveUp, HeadVerdict, Hit, Miss, Share, Why
from proxy.model.entry import CacheKey, Entry
from proxy.model.meaning import Doubt, Wording
from proxy.model.message import Arrival, Head, Headers, Outbound, Request, Upstream
from proxy.model.outcome import FWD_OF, Fwd, Laps, Outcome, Verdict
from proxy.model.query import Form, Query, Refusal, Sealed
from proxy.policy import (
    Policy,
    Standing,
    Terms,
    impersonal,
    initial_age,
    judge,
    lifetime,
    negative_lifetime,
    obeys,
    renews,
)
from proxy.semantic.found import Finding, Sought
from proxy.tiers.admission import Admission
from proxy.tiers.ladder import Ladder
from proxy.wire.tags import collected, tags_of

if TYPE_CHECKING:
    from proxy.semantic.meaning import Meaning  # much, for who does without

_ON_LOOP_BYTES: Final = 32 * 2**10  # a longer prompt is made shorter in a thread
_SAME_S: Final = 1.0  # by which the time that one entry was stored at differs from tier to tier


@dataclass(frozen=True, slots=True)
class Rooms:
    """What every question needs; one for all.

    Args:
        outbound: the headers to send upstream for a request.
        clock: seconds, monotonic.
        dice: evenly distributed in [0, 1).
        admission: who is let into the ladder; None: all.
        meaning: finds answers to a question in other words; None: nobody does.
        compressor: makes prompts shorter; None: none are.
        batcher: asks for inputs of several questions in one call; None: nobody does.
        edition: of the settings that all this was made of.
        unheard: told of what is not stored.
        caller: who sent a request, as the limiter of calls tells callers apart; None: as scopes do.
    """

    policy: Policy
    ladder: Ladder
    outbound: Callable[[Request], Headers]
    clock: Callable[[], float]
    dice: Callable[[], float]
    admission: Admission | None = None
    meaning: Meaning | None = None
    compressor: Compressor | None = None
    batcher: Batcher | None = None
    edition: int = 0
    unheard: Callable[[Request, Query, CacheKey], None] = lambda *_: None
    caller: Callable[[Request], str] | None = None


class Question(NamedTuple):
    """One request that may be answered from the cache. A ``proxy.flight.Errand``."""

    rooms: Rooms
    request: Request
    upstream: Upstream
    dialect: Dialect
    query: Query
    standing: Standing
    key: CacheKey
    generation: int
    began: float  # seconds on the proxy's clock
    renews: Entry | None = None  # what is stored, and will do no longer
    sought: Sought | Doubt | None = None  # what to look for by meaning; None: nobody has asked yet
    finding: Finding | None = None  # what was found by meaning; None: nobody has looked
    weight: float | None = None  # asked in secret after a hit, which stands for so many
    sampled: bool = False  # ``renews`` was asked again only to compare
    standby: bool = False  # asked of another backend, as the first one fails; never stored
    variant: int = 0  # which of several answers it is about, counted from 1; 0: there is one
    company: Company | None = None  # the request that this is only a part of
    laps: Laps | None = None
    caller: str = ""  # who asks, where ``request`` does not tell
    landed: int = -1  # what had landed when it was looked for; see ``Ladder``

    @property
    def terms(self) -> Terms:
        """What holds for it."""
        return self.standing.terms

    @property
    def asked(self) -> Form:
        return self.query.form

    @property
    def edition(self) -> int:
        return self.rooms.edition

    @property
    def awaited(self) -> bool:
        """Whether a client waits for the answer."""
        return self.renews is None and self.weight is None

    @property
    def whose(self) -> str:
        """Who asks."""
        if self.caller:
            return self.caller
        told = self.rooms.caller
        return self.key.scope if told is None else told(self.request)

    def asking_as(self, request: Request) -> Question:
        return self._replace(request=request)

    def suits(self, offered: Form) -> bool:
        """Whether an answer in the form ``offered`` can be turned into the one asked for."""
        return self.dialect.relay(offered, self.query.form) is not Relay.NEVER

    def relay(self, offered: Form, asked: Form) -> Relay:
        """How to hear what comes as ``offered`` and was asked for as ``asked``.

        Who asks in the same words gets the same bytes, in whatever form the backend answers.
        """
        wanted = self.query.form
        return Relay.VERBATIM if asked == wanted else self.dialect.relay(offered, wanted)

    def render(self, entry: Entry) -> Rendered | None:
        """The stored answer in the form asked for, or None if that would lose something.

        An error has but one form.
        """
        wanted = self.query.form
        if entry.asked == wanted or entry.head.status != HTTPStatus.OK:
            return Rendered(entry.body)
        return self.dialect.render(entry, wanted)

    def outbound(self) -> Outbound:
        """The request as it is sent upstream."""
        request, headers = self.request, self.rooms.outbound(self.request)
        return Outbound(
            request.method, request.path, request.query_string, headers, self.query.forward,
            self.whose, self.awaited,
        )  # fmt: skip

    def shortening(self) -> Plan | None:
        """How much shorter the prompt is to be on its way; None: as it is."""
        compressor = self.rooms.compressor
        # A vector is of the very text, and a signature of the very bytes.
        if compressor is None or divides(self.dialect) or is_signed(self.request.headers):
            return None
        return compressor.plan(self.request.path, self.query.model, self.query.dialect)

    async def _shortened(self, compressor: Compressor) -> Outbound:
        """The same with a shorter prompt, where one is wanted."""
        outbound, body = self.outbound(), self.query.forward
        if (plan := self.shortening()) is None:
            return outbound
        if len(body) > _ON_LOOP_BYTES:
            done = await asyncio.to_thread(compressor.compress, body, plan)
        else:
            done = compressor.compress(body, plan)
        compressor.note(self.key.digest, done)
        return replace(outbound, body=done.body)

    def fallback(self, miss: Miss) -> Entry | None:
        """The stale answer that may stand in for the upstream's failure, which took its time.

        Since it was missed it may have been purged, or have become too old even for that.
        """
        if miss.fallback is None:
            return None
        entry = self.rooms.ladder.unpurged(miss.fallback)
        verdict = judge(entry, miss.tier, self.query.controls, self.rooms.clock())
        return verdict.fallback if isinstance(verdict, Miss) else None

    def shareable(self, head: Head) -> Head:
        """``head`` less what is meant for the one who asked first."""
        return Head(head.status, head.reason, impersonal(head.headers))

    def sighted(self, *, stored: bool) -> None:
        """Count that this was asked and had to be asked on; ``stored`` if it was kept before."""
        if self.rooms.admission is not None:
            self.rooms.admission.sight(self.key.digest, stored=stored)

    def telling(self, head: Head) -> Head:
        """``head`` as another replica needs it: shareable, and with the age it came with."""
        ages = (("Age", age) for age in head.headers.all("age"))
        status, reason, headers = self.shareable(head)
        return Head(status, reason, headers.plus(*ages))

    # -- by meaning ---------------------------------------------------------------------------

    @property
    def may_ask(self) -> bool:
        """Whether the caller leaves it to the proxy to ask the backend, too."""
        return not self.query.controls.only_if_cached

    def once_more(self, hit: Hit, now: float) -> Question | None:
        """The question to ask in the background while ``hit`` is served, where chance wants it."""
        if renews(hit, self.query.controls, self.terms, now, self.rooms.dice):
            return self._replace(renews=hit.entry)
        return self._replace(renews=hit.entry, sampled=True) if self.samples else None

    @property
    def samples(self) -> bool:
        """Whether to ask once more, though the answer is here, to see how much answers vary."""
        meaning = self.rooms.meaning
        if meaning is None or not meaning.learner.samples():
            return False
        controls = self.query.controls
        if controls.max_stale is not None or controls.ttl is not None or not self.may_ask:
            return False  # the new answer would be as this caller wishes, for all (``renews``)
        sought = self.worded(meaning)
        return isinstance(sought, Sought) and not sought.acts

    async def find(self, meaning: Meaning, miss: Miss) -> Question:
        """The question with what was found for it in other words. Raises nothing."""
        if self.query.controls.complaint:
            await meaning.learner.complained(self.key)
        if miss.why is not Why.UNSEEN:  # it has an answer of its own, and that will not do
            return self
        question = self._replace(sought=self.worded(meaning))
        if not isinstance(question.sought, Sought):
            return question._replace(finding=Finding(doubt=question.sought))
        controls = self.query.controls
        if not controls.by_meaning:
            return question._replace(finding=Finding(doubt=Doubt.UNWANTED))
        least = controls.least_similarity
        found = await meaning.finder.find(question.sought, self.hit_on, least)
        return question._replace(finding=found)

    def worded(self, meaning: Meaning) -> Sought | Doubt:
        """What to look for, or why not to."""
        if self.sought is not None:
            return self.sought
        if not self.terms.by_meaning:
            return Doubt.UNWANTED
        asking = self.dialect.asking(self.query)
        if asking is None:
            return Doubt.NO_QUESTION
        namespace = meaning.namespace_of(self.request, self.query, self.upstream.id, asking.rest)
        return meaning.seeking.sought(asking, namespace, self.key, self.query)

    def hit_on(self, entry: Entry, tier: str) -> Hit | None:
        """The hit that ``entry``, the answer to another question, is for this one; or None."""
        # It was found a while ago: others were fetched and compared since.
        unpurged = self.rooms.ladder.unpurged(entry)
        verdict = judge(unpurged, tier, self.query.controls, self.rooms.clock())
        if not isinstance(verdict, Hit) or verdict.stale or entry.negative:
            return None
        return None if self.render(entry) is None else verdict

    def credited(self, outcome: Outcome) -> Outcome:
        """``outcome`` of a hit, with how near the question was that was answered, if another."""
        finding = self.finding
        if finding is None or finding.best is None:
            return outcome
        return outcome._replace(
            similarity=finding.best.score,
            measured=finding.measured,
            match=self.key.digest[:8].hex(),
            nearest=finding.nearest,
        )

    def missed(
        self,
        why: Why,
        seat: Why,
        *,
        joined: bool,
        upstream_s: float | None = None,
        leader: str = "",
    ) -> Outcome:
        """The outcome of a miss for ``why``; ``seat`` is how it came by its flight."""
        follower, compressor = seat is Why.JOINED, self.rooms.compressor
        notable = seat if seat is Why.HIT_FOR_MISS or (follower and joined) else why
        verdict = Verdict.COALESCED if follower else Verdict.MISS
        if self.standby:
            verdict, notable = Verdict.DEGRADED, Why.STANDBY
        finding = self.finding
        return Outcome(
            verdict, notable, dialect=self.query.dialect, model=self.query.model, key=self.key,
            fwd=FWD_OF.get(why, Fwd.MISS), collapsed=True if follower else None,
            doubt=None if finding is None else finding.doubt, variant=self.variant,
            compressed=compressor.saved(self.key.digest) if compressor is not None else 0,
            upstream_s=upstream_s, leader=leader,
            laps=self.laps, controls=self.query.controls, about_now=self.terms.about_now,
            terms_ttl_s=self.terms.ttl, nearest=None if finding is None else finding.nearest,
        )  # fmt: skip

    def failed(self, why: Why) -> Outcome:
        """The outcome of an error for ``why``."""
        return Outcome(
            Verdict.ERROR, why, dialect=self.query.dialect, model=self.query.model, key=self.key,
            controls=self.query.controls, about_now=self.terms.about_now,
        )  # fmt: skip

    # -- the errand ---------------------------------------------------------------------------

    async def look(self) -> Entry | None:
        ladder = self.rooms.ladder
        if self.standby or self.landed == ladder.landed:
            return None
        entry = (await ladder.glance(self.key)).entry  # what has landed since is there
        return entry if entry is not None and self._fits(entry) else None

    async def search(self) -> Entry | None:
        if self.standby:
            return None
        return (await self.rooms.ladder.seek(self.key, self._fits)).entry

    def _fits(self, entry: Entry) -> bool:
        """Whether ``entry`` spares this question the asking."""
        if self.renews is not None and entry.stored_at - self.renews.stored_at <= _SAME_S:
            return False
        verdict = judge(entry, "", self.query.controls, self.rooms.clock())
        return verdict.why is Why.FRESH and self.render(entry) is not None

    async def ask(self) -> Arrival:
        batcher, dialect = self.rooms.batcher, self.dialect
        if batcher is not None and divides(dialect) and not self.standby:
            return await batcher.ask(self, dialect)
        if (compressor := self.rooms.compressor) is None:
            return await self.upstream.send(self.outbound())
        return await self.upstream.send(await self._shortened(compressor))

    def weigh(self, arrival: Arrival) -> tuple[HeadVerdict, Form | None]:
        if isinstance(arrival, Unsplit):  # a status leaves no mark: the next may be better off
            return GiveUp(Why.STATUS), None
        form = self.dialect.arriving(arrival.head, self.query.form)
        verdict = self.rooms.policy.weigh(arrival.head, arrival.length, form, self.terms)
        if self.standby and isinstance(verdict, Share):
            verdict = Share(storable=False, why=Why.STANDBY)
        storable = isinstance(verdict, Share) and verdict.storable
        if storable and is_framed(self.dialect, form) and not arrival.delimited:
            verdict = Share(storable=False, why=Why.INCOMPLETE)
        return verdict, form

    def seal(self, head: Head, body: bytes, form: Form, upstream_s: float) -> Entry | Refusal:
        terms, controls = self.terms, self.query.controls
        if len(body) > terms.max_entry:
            return Refusal(Why.TOO_LARGE)
        if not self._admitted():
            return Refusal(Why.FIRST_SIGHTING)
        sealed = self.dialect.seal(head, body, form)
        if isinstance(sealed, Refusal):
            return sealed
        if not self.query.takes(sealed):
            return Refusal(Why.INCOMPLETE, "not the results that were asked for")
        if not is_current(self.dialect, self.query):
            return Refusal(Why.SUPERSEDED)  # it may be built on what is new, or on what was
        if sealed.negative and not terms.negative_ttl:
            return Refusal(Why.EMPTY)  # an error would have been refused by its head
        tags = self._tags(head, sealed)
        if tags is None:
            return Refusal(Why.TAGS)
        dice = self.rooms.dice()
        if sealed.negative:
            life = negative_lifetime(head, controls, terms, dice)
        else:
            life = lifetime(head, controls, terms, dice, sealed.confidence)
        age = initial_age(head.headers)
        if obeys(terms, head.headers):
            # To HTTP an answer is as old as the asking (RFC 9111, section 4.2.3). A time of our own
            # begins when it is whole, or answers that take longer than that would never be kept.
            age += upstream_s
        if life.ttl <= age:
            return Refusal(Why.EXPIRED)
        return Entry(
            key=self.key,
            dialect=self.query.dialect,
            model=self.query.model,
            head=self.shareable(head),
            form=sealed.form,
            body=sealed.body,
            stored_at=self.rooms.clock(),
            lifetime=life,
            initial_age=age,
            usage=sealed.usage,
            asked=self.query.form,
            upstream_s=upstream_s,
            generation=self.generation,
            path=self.request.path,
            tags=tags,
            negative=sealed.negative,
            wording=None if sealed.negative else self._wording(),
        )

    def _admitted(self) -> bool:
        """Whether the answer may be kept: what was asked for to be compared always may."""
        admission = self.rooms.admission
        if admission is None or self.renews is not None or self.weight is not None:
            return True
        return admission.admits(self.key.digest)

    def _wording(self) -> Wording | None:
        """How the question is put, if others may be answered alike."""
        meaning = self.rooms.meaning
        sought = None if meaning is None else self.worded(meaning)
        return sought.wording if isinstance(sought, Sought) else None

    def _tags(self, head: Head, sealed: Sealed) -> tuple[str, ...] | None:
        """By what the answer is to be purged; None if that cannot all be kept."""
        theirs = tags_of(head.headers)
        if theirs is None:
            return None
        tags = theirs + sealed.tags + self.query.controls.tags
        # What a refresh replaces may have been tagged by another caller, who will purge by that.
        older = () if self.renews is None else self.renews.tags
        if not (tags or older):
            return ()
        return collected(tags + older) or collected(tags)

    async def keep(self, entry: Entry) -> bool:
        if entry.negative and await self._has_answer():
            return False
        kept = await self.rooms.ladder.put_near(entry)
        if kept and self.rooms.meaning is not None:
            self._learn(self.rooms.meaning, entry)
        return kept

    async def hand_on(self) -> None:
        await self.rooms.ladder.hand_on(self.key)

    def _learn(self, meaning: Meaning, entry: Entry) -> None:
        if self.sampled and self.renews is not None:
            meaning.learner.sampled(self.renews, entry)
        sought = self.worded(meaning)
        if entry.wording is not None and isinstance(sought, Sought):
            meaning.learner.landed(sought, entry, self.finding, self.weight)

    async def _has_answer(self) -> bool:
        """Whether an answer is stored that may still be served: no error takes its place."""
        if (await self.rooms.ladder.seek(self.key, self._answers)).entry is not None:
            return True
        # The nearest tier last: memory waits for nothing, so no answer can come in between this
        # look and the put, which begins there.
        nearest = (await self.rooms.ladder.glance(self.key)).entry
        return nearest is not None and self._answers(nearest)

    def _answers(self, entry: Entry) -> bool:
        return not entry.negative and entry.age(self.rooms.clock()) < entry.lifetime.keep

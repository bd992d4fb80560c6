"""The board of flights: who joins, who is sent, who stores, who is called off."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

from proxy.flight.asking import ask
from proxy.flight.errand import Boarded, Counts, Errand, Found, Handed, Landed, Limits, Released
from proxy.flight.guest import SeatedGuest
from proxy.flight.handing import hand_on
from proxy.flight.memory import Marks, Setbacks
from proxy.flight.orphans import Orphans
from proxy.flight.seat import Flight, Foretold, Seat, Suits
from proxy.model.decision import GiveUp, Share, Why
from proxy.model.entry import Entry
from proxy.model.errors import BrokenReply, Overloaded, UpstreamError
from proxy.model.meeting import Alone, Fleet, GivenUp, Joined, Leading, Meeting, Sought, Stored
from proxy.model.message import Arrival
from proxy.model.pieces import pour
from proxy.model.query import Refusal


class Flights:
    """The board of all flights of this process, and their owner.

    Args:
        limits: see ``Limits``.
        clock: seconds, monotonic.
        report: told of an exception that no rule foresees; a bug.
        fleet: the other replicas; None: there are none.
        watch: told of each refresh before it begins, and may give it another errand.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float],
        report: Callable[[BaseException], None],
        fleet: Fleet | None = None,
        watch: Callable[[Flight], None] | None = None,
    ) -> None:
        self.limits = limits
        self.edition = 0  # of the settings; see ``Errand``
        self.counts = Counts()
        self._clock = clock
        self.report = report
        self._fleet = fleet
        self._watch = watch
        self._board: dict[bytes, Flight] = {}
        self._up: set[Flight] = set()
        self._bytes = 0  # in all logs
        self._orphans = Orphans(limits, self.counts, self._call_off)
        self._refreshing = 0
        self._marks = Marks(limits.hit_for_miss_ttl, limits.hit_for_miss_keys)
        self._setbacks = Setbacks(limits.hit_for_miss_keys)

    def __len__(self) -> int:
        return len(self._up)

    def adopt(self, limits: Limits, edition: int) -> None:
        """Have other ``limits`` from now on, and let nobody in on flights of earlier editions."""
        self.limits = self._orphans.limits = limits
        self._marks.limit(limits.hit_for_miss_ttl, limits.hit_for_miss_keys)
        self._setbacks.limit(limits.hit_for_miss_keys)
        self.edition = edition

    def fly_for(self, edition: int) -> bool:
        """Whether a flight is up that was sent under these settings."""
        return any(flight.errand.edition == edition for flight in self._up)

    def board(self, errand: Errand, suits: Suits, *, fresh: bool = False) -> Seat | Released:
        """A seat on the flight for this key, which is sent now if none that suits is up.

        Args:
            errand: what a new flight is sent to do.
            suits: whether the caller can use an answer that comes in a form.
            fresh: only an answer that has not begun to come will do (``no-cache``).
        """
        now, digest = self._clock(), errand.key.digest
        if self._marks.holds(digest, now):
            self.counts.hit_for_miss += 1
            return self._launch(Flight(errand, now, shared=False), Why.HIT_FOR_MISS)
        flight = self._board.get(digest)
        if flight is not None and self._takes(flight, errand, suits, now, fresh=fresh):
            return self._join(flight)
        return self._launch(Flight(errand, now, shared=True, fresh=fresh), Why.UNSEEN)

    def foretell(self, errand: Errand, suits: Suits, *, fresh: bool = False) -> Foretold:
        """What ``board`` would come to now."""
        now, digest = self._clock(), errand.key.digest
        flight, marked = self._board.get(digest), self._marks.stands(digest, now)
        aged = self.counts.aged
        joins = flight is not None and self._takes(flight, errand, suits, now, fresh=fresh)
        self.counts.aged = aged  # nobody has boarded
        if flight is not None and joins and not marked:
            if len(flight.seats) > self.limits.followers:
                return Foretold(Why.CROWDED)
            return Foretold(Why.JOINED, joined=isinstance(flight.boarding, Boarded))
        why = Why.HIT_FOR_MISS if marked else Why.UNSEEN
        return Foretold(Why.CROWDED if self._is_full else why)

    def refresh(self, errand: Errand) -> bool:
        """Renew an entry in the background; whether a flight was sent.

        At most one for a key. Not while the key's last refresh failed a moment ago, nor while too
        many are up: dropped, not queued, for the next request will ask again.
        """
        now, digest = self._clock(), errand.key.digest
        flight = self._board.get(digest)
        if flight is not None and self._is_current(flight, errand, now):
            return False
        if self._setbacks.holds(digest, now):
            return False
        if self._refreshing >= self.limits.refreshes or self._is_full:
            self.counts.refreshes_dropped += 1
            return False
        self.counts.refreshes += 1
        self._refreshing += 1
        refresh = Flight(errand, now, shared=True, background=True)
        self._send(refresh)
        if self._watch is not None:
            self._watch(refresh)
        return True

    async def drain(self, limit_s: float) -> None:
        """Wait until nobody hears a flight any more, for so many seconds at most."""
        heard = [flight.pump for flight in self._up if flight.seats and flight.pump is not None]
        if heard and limit_s > 0:
            await asyncio.wait(heard, timeout=limit_s)

    async def close(self) -> None:
        """Call off every flight and wait until all pumps have ended."""
        pumps = [flight.pump for flight in self._up if flight.pump is not None]
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    @property
    def _is_full(self) -> bool:
        return len(self._up) >= self.limits.flights

    # -- boarding ---------------------------------------------------------------------------------

    def _takes(
        self, flight: Flight, errand: Errand, suits: Suits, now: float, *, fresh: bool
    ) -> bool:
        """Whether a newcomer may join ``flight``."""
        return self._is_current(flight, errand, now) and flight.takes(suits, fresh=fresh)

    def _is_current(self, flight: Flight, errand: Errand, now: float) -> bool:
        """Whether ``flight`` still makes progress, and is not from before a purge or a reload."""
        if now - flight.progress > self.limits.stall_timeout:
            self.counts.aged += 1
            return False
        sent = flight.errand
        return sent.generation == errand.generation and sent.edition == errand.edition

    def _join(self, flight: Flight) -> Seat | Released:
        if len(flight.seats) > self.limits.followers:
            return self._crowded()
        seat = Seat(self, flight, first=False, why=Why.JOINED)
        if seat.joined:
            self.counts.joined_after_head += 1
        else:
            self.counts.joined_before_head += 1
        self._orphans.adopt(flight)
        flight.seats.add(seat)
        return seat

    def _launch(self, flight: Flight, why: Why) -> Seat | Released:
        if self._is_full:
            return self._crowded()
        seat = Seat(self, flight, first=True, why=why)
        flight.seats.add(seat)
        self._send(flight)
        return seat

    def _send(self, flight: Flight) -> None:
        self.counts.started += 1
        if flight.shared:
            self._board[flight.errand.key.digest] = flight
        self._up.add(flight)
        # A context of its own: what belongs to the first passenger's request must not stick to it.
        loop = asyncio.get_running_loop()
        flight.pump = loop.create_task(self._pump(flight), context=contextvars.Context())
        # Not a finally in the pump: a task that is cancelled before its first step runs none of it.
        flight.pump.add_done_callback(lambda _task: self._retire(flight))

    def _crowded(self) -> Released:
        self.counts.crowded += 1
        return Released(Why.CROWDED)

    # -- the pump ---------------------------------------------------------------------------------

    async def _pump(self, flight: Flight) -> None:
        try:
            try:
                await self._fly(flight)
            finally:
                if flight.kept:
                    await hand_on(flight.errand)
        except UpstreamError as error:
            self._break(flight, error)
        except Exception as bug:  # noqa: BLE001 - a task's root: everybody aboard must be told
            self.report(bug)
            if not flight.over:
                self._break(flight, UpstreamError("the answer could not be handled"))

    async def _fly(self, flight: Flight) -> None:
        entry = await flight.errand.look()
        if entry is not None:
            self._find(flight, entry)
            return
        fleet = self._fleet if flight.shared else None
        met = Alone() if fleet is None else await self._meet(flight, fleet)
        flight.began = self._clock()
        try:
            # No refresh is needed where another replica's is not long ago.
            if isinstance(met, Stored) or (isinstance(met, Leading) and flight.background):
                entry = await flight.errand.search()
            if entry is not None:
                self._find(flight, entry)
            elif isinstance(met, Joined):
                for seat in flight.seats:
                    seat.why = Why.JOINED
                flight.began -= met.asked_s
                await self._hear(flight, met.arrival)
            else:
                flight.asking = True
                arrival = await ask(flight.errand, self.limits.elections, self.counts)
                await self._hear(flight, arrival)
        finally:
            if isinstance(met, Leading):
                met.over(flight.landed is not None and flight.landed.stored)

    async def _meet(self, flight: Flight, fleet: Fleet) -> Meeting:
        """Whether another replica asks the same."""
        errand = flight.errand
        sought = Sought(errand.key, errand.asked, errand.generation, flight.fresh)
        met = await fleet.meet(sought, lambda fresh: self._admit(flight, fresh=fresh))
        if isinstance(met, GivenUp):  # to each here his own, as if it had been given up here
            self._mark(flight, met.why)
            flight.shared = False
            flight.publish()
        return met

    def _admit(self, flight: Flight, *, fresh: bool) -> SeatedGuest | None:
        """A seat on ``flight`` for another replica, if a newcomer may join it."""
        errand, now = flight.errand, self._clock()
        if (
            flight.over
            or errand.edition != self.edition
            or not self._takes(flight, errand, lambda _: True, now, fresh=fresh)
        ):
            return None
        seat = self._join(flight)
        return SeatedGuest(seat, errand, self._clock) if isinstance(seat, Seat) else None

    def _find(self, flight: Flight, entry: Entry) -> None:
        """It has landed elsewhere: nobody is asked."""
        self._unboard(flight)
        flight.boarding = Found(entry)
        flight.landed = Landed(b"", entry, stored=True, why=Why.FRESH)
        flight.publish()

    async def _hear(self, flight: Flight, arrival: Arrival) -> None:
        """Weigh what arrives, and let all who may hear it."""
        try:
            flight.progress = flight.head_at = self._clock()
            verdict, form = flight.errand.weigh(arrival)
            if isinstance(verdict, GiveUp):
                self._give_up(flight, Handed(arrival, verdict.why))
                return
            flight.storable = verdict.storable
            flight.boarding = Boarded(arrival.head, form, arrival.length)
            flight.publish()
            if not (flight.seats or flight.background):
                self._orphans.add(flight)
            await self._carry(flight, arrival)
        finally:
            if not isinstance(flight.boarding, Handed):
                arrival.close()
        await self._land(flight, flight.boarding, verdict)

    async def _carry(self, flight: Flight, arrival: Arrival) -> None:
        limits = self.limits

        def take(piece: bytes) -> bool:
            flight.log.append(piece)
            flight.size += len(piece)
            self._bytes += len(piece)
            flight.progress = self._clock()
            too_much = flight.size > limits.flight_bytes or self._bytes > limits.total_bytes
            if too_much and not flight.window:
                self._open_window(flight)
            flight.publish()
            return not flight.window or flight.size <= limits.window_bytes

        pieces = arrival.chunks()
        while await pour(pieces, take):
            while flight.size > limits.window_bytes:
                await self._shift(flight)

    def _open_window(self, flight: Flight) -> None:
        """Too long to be kept: no newcomers, nothing stored, and those behind must keep up."""
        flight.window = True
        flight.drained = asyncio.Event()
        flight.storable = False
        self._unboard(flight)
        if isinstance(flight.boarding, Boarded) and not flight.seats:
            self._orphans.end(flight)

    async def _shift(self, flight: Flight) -> None:
        """Forget pieces until the log fits the window, and the seats that have not read them.

        Pieces that not even the fastest seat has read are waited for instead.
        """
        number = flight.surplus(self.limits.window_bytes)
        if number <= 0 and flight.drained is not None:
            flight.drained.clear()
            await flight.drained.wait()
            return
        self._bytes -= flight.forget(number)
        laggards = [seat for seat in flight.seats if seat.read < flight.dropped]
        for seat in laggards:
            self.counts.laggards += 1
            seat.leave()
        if laggards:
            flight.publish()

    async def _land(self, flight: Flight, boarded: Boarded, verdict: Share) -> None:
        upstream_s = self._clock() - flight.began
        body = b"" if flight.window else b"".join(flight.log)
        why, entry, stored = verdict.why, None, False
        if flight.window:
            why = Why.TOO_LARGE
        elif verdict.storable and boarded.form is not None:
            sealed = flight.errand.seal(boarded.head, body, boarded.form, upstream_s)
            if isinstance(sealed, Refusal):
                why = sealed.why
            elif flight.shared and self._board.get(flight.errand.key.digest) is not flight:
                why = Why.SUPERSEDED
            else:
                entry, flight.kept = sealed, True  # it may have been, should it fail then
                stored = flight.kept = await flight.errand.keep(entry)
                why = Why.FRESH if stored else Why.SUPERSEDED
        self._unboard(flight)
        if stored:
            self.counts.stored += 1
            self._marks.drop(flight.errand.key.digest)
        self.counts.landed += 1
        flight.landed = Landed(body, entry, stored, why)
        flight.publish()

    def _give_up(self, flight: Flight, handed: Handed) -> None:
        self.counts.given_up += 1
        self._mark(flight, handed.why)
        flight.boarding = handed
        flight.landed = Landed(b"", None, stored=False, why=handed.why)
        flight.publish()
        if not any(seat.first for seat in flight.seats):
            handed.arrival.close()

    def _mark(self, flight: Flight, why: Why) -> None:
        """Let nobody wait for this key in vain for a while."""
        self._unboard(flight)
        if why is not Why.STATUS:
            self._marks.add(flight.errand.key.digest, self._clock())

    def _break(self, flight: Flight, error: UpstreamError) -> None:
        self._unboard(flight)
        self.counts.broken += 1
        if flight.background and isinstance(error, Overloaded):
            flight.boarding = Released(Why.GIVE_UP)  # who has joined may ask where this may not
        # Nobody is told where it was raised, and the frames it went through hold on to the flight:
        # only a collection would find them.
        flight.error = error.with_traceback(None)
        flight.publish()

    def _unboard(self, flight: Flight) -> None:
        digest = flight.errand.key.digest
        if self._board.get(digest) is flight:
            del self._board[digest]

    def _retire(self, flight: Flight) -> None:
        if not flight.over:
            self._break(flight, BrokenReply("the call was called off"))
        self._orphans.adopt(flight)
        self._up.discard(flight)
        if not flight.seats:
            self._bytes -= flight.size
        if flight.background:
            self._refreshing -= 1
            digest = flight.errand.key.digest
            if flight.landed is not None and flight.landed.renewed:
                self._setbacks.drop(digest)
            else:
                self.counts.refreshes_failed += 1
                self._setbacks.add(digest, self._clock())

    # -- leaving ----------------------------------------------------------------------------------

    def left(self, flight: Flight, seat: Seat) -> None:
        """A seat was given up."""
        flight.seats.discard(seat)
        if flight.drained is not None:
            flight.drained.set()
        if isinstance(flight.boarding, Handed) and seat.first:
            flight.boarding.arrival.close()  # for the case that it never came to read it
        if flight.seats:
            return
        if flight not in self._up:
            self._bytes -= flight.size  # the last who held its log
        elif not (flight.over or flight.background) and flight.timer is None:
            self._orphans.add(flight)

    def _call_off(self, flight: Flight) -> None:
        self._unboard(flight)
        if flight.pump is not None:
            flight.pump.cancel()

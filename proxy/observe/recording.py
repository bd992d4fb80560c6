"""The recording: a row of each request that was looked for, written to a trace.

On the loop a request costs a few microseconds: what is kept of it is taken out at once, so that no
body, header or text of a client's choosing stays behind, and is left where a thread finds it. The
thread looks twice a second, hashes what tells keys and scopes apart, and writes blocks. It never
holds the interpreter for long. What comes faster than that is dropped, and the trace says how much.

Keys and scopes are hashed once more with a salt that is drawn when the recording begins and is
written nowhere: two recordings cannot be put together, nor can one be searched by who knows a key.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import inf, nan
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.model.meaning import Doubt
from proxy.model.outcome import Kept, Outcome
from proxy.observe import trace
from proxy.observe.gather import Line
from proxy.observe.log import printable
from proxy.observe.trace import Block, Facts, Kind, Labelled, Row
from proxy.observe.trace_writer import TraceWriter
from proxy.wire.cache_control import UNASKED, is_targeted, response_lifetime

if TYPE_CHECKING:
    from proxy.semantic.budget.labels import Label, Stratum

log = logging.getLogger("sidecache.recording")

_LOOK_S: Final = 0.5
_WRITE_S: Final = 10.0  # rows wait for company so long at most
_MOST_WAITING: Final = 32_768  # rows; 20 MB where every text is as long as it may be
_AT_ONCE: Final = 32  # rows made without letting go of the interpreter: a quarter of a millisecond
_MOST_LABELS: Final = 4096  # of a block
_LONGEST_MODEL: Final = 100  # characters; clients choose them
_LONGEST_PATH: Final = 256
_MOST_NAMES: Final = 1000  # models, and paths, that a recording tells apart
_SURELY: Final = 1.0001  # times a lifetime: more than rounding makes of it
_LARGEST: Final = 1e38  # of the fractions that a row holds
_MOST_TOKENS: Final = 2**32 - 1
_OTHER: Final = "other"
_CLOSE_S: Final = 5.0
_TOGETHER_S: Final = 1.0  # in which requests ended that are told together


class _Waiting(NamedTuple):
    """What is kept of a request until it is a row."""

    at: float
    took: float
    words: tuple[str, str, str, str, str, str, str, Doubt | None]
    scope: str
    digest: bytes
    flags: int
    near: bytes
    facts: Facts
    more: Sequence[float]  # what requests took that are alike in all else: each has a row, too
    within: float  # seconds, in which these ended


class Recorder:
    """Takes records on the loop and writes them in a thread. Raises nothing, waits for nothing.

    ``start`` it, and ``close`` it in the end. Counters grow only.

    Args:
        writer: where blocks go.
        salt: keys the hashes; at least 16 bytes that nobody knows.
        wall: seconds since the epoch.
        most: rows that may wait for the thread.
    """

    def __init__(
        self,
        writer: TraceWriter,
        *,
        salt: bytes,
        wall: Callable[[], float],
        most: int = _MOST_WAITING,
    ) -> None:
        self._writer = writer
        self._salt = salt
        self._wall = wall
        self._most = most
        self._waiting: deque[_Waiting] = deque()
        self._labels: deque[Labelled] = deque(maxlen=_MOST_LABELS)
        self._others: Counter[str] = Counter()  # not told yet; touched on the loop only
        self._told: Counter[str] = Counter()  # touched in the thread only
        self._taken = 0  # rows that wait, or did; touched on the loop only
        self._made = 0  # of these, those that wait no more; touched in the thread only
        self._rows: list[Row] = []
        self._models: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._dropped_told = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0  # rows that came faster than they could be written, or could not be
        self.recorded = 0  # rows written
        self.failed = False  # the last block could not be written

    # -- on the loop --------------------------------------------------------------------------

    def take(self, lines: Sequence[Line]) -> None:
        """Keep what the trace has of requests that are over."""
        for line in lines:
            self._keep(line)

    def _keep(self, line: Line) -> None:
        ended, _method, path, _peer, outcome, delivery, more = line
        requests, within = 1 + len(more), 0.0
        if outcome.controls is None or outcome.key is None or outcome.parts:
            self._others["divided" if outcome.parts else outcome.verdict.value.lower()] += requests
            return
        room = self._most - (self._taken - self._made)
        if requests > room:
            self.dropped += requests - room
            if not room:
                return
            requests, more = room, more[: room - 1]
        self._taken += requests
        laps = outcome.laps
        before = max(0.0, (laps.looked or laps.read or laps.came) - laps.began) if laps else 0.0
        took = max(0.0, delivery.duration_s - before)
        if more:
            more = [max(0.0, seconds - before) for seconds in more] if before else more
            within = min(max(0.0, self._wall() - ended), _TOGETHER_S)
        words = (
            outcome.verdict, outcome.why, outcome.detail, outcome.tier, outcome.dialect,
            outcome.model[:_LONGEST_MODEL], path[:_LONGEST_PATH], outcome.doubt,
        )  # fmt: skip
        own, near = _keys(outcome)
        flags = _flags(outcome) | (0 if delivery.complete else trace.INCOMPLETE)
        self._waiting.append(
            _Waiting(
                ended - took, took, words, outcome.key.scope, own, flags, near,
                _facts(outcome, delivery.sent), more, within,
            )
        )  # fmt: skip

    def label(self, stratum: Stratum, label: Label) -> None:
        """Keep what was found out about an answer by meaning."""
        if not label.usable:
            return
        self._labels.append(
            Labelled(
                self._wall(), label.score, label.wrong, label.weight, label.source.value,
                label.served, stratum.fingerprint, stratum.script.value,
            )
        )  # fmt: skip

    # -- its life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write. Raises ConfigError if the file cannot be."""
        self._writer.open()
        self._thread = threading.Thread(target=self._work, name="recording", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, for a few seconds at most, and let go of the file. Idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
            self._thread = None

    # -- in the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        written, stopped = time.monotonic(), False
        while not stopped:
            stopped = self._stop.wait(_LOOK_S)
            now = time.monotonic()
            try:
                self._gather()
                if stopped or now - written >= _WRITE_S:
                    self._put()
                    written = now
            except Exception:  # a thread's root; the next rows have nothing to do with it
                self.dropped += len(self._rows)
                self._rows = []
                log.exception("requests could not be recorded")
        self._writer.close()

    def _gather(self) -> None:
        """Make rows of all that waits, and blocks of as many as fill one."""
        while self._waiting:
            for _ in range(min(_AT_ONCE, len(self._waiting))):
                waiting = self._waiting.popleft()
                self._made += 1 + len(waiting.more)
                row = self._row(waiting)
                self._add([row])
                self._repeat(row, waiting.more, waiting.within)
            time.sleep(0)  # whoever answers requests goes first

    def _repeat(self, row: Row, more: Sequence[float], within: float) -> None:
        """Make rows of requests that were told together with that of ``row``.

        When each ended nobody has noted, so they are spread evenly. All at one time, they would
        seem to find in a small memory what others had driven out by then.
        """
        ended, apart = row.at + row.took, within / max(1, len(more))
        for at in range(0, len(more), _AT_ONCE):
            self._add(
                [
                    row._replace(at=ended + number * apart - took, took=took)
                    for number, took in enumerate(more[at : at + _AT_ONCE], at + 1)
                ]
            )
            time.sleep(0)

    def _add(self, rows: Sequence[Row]) -> None:
        """Have them in a block, of which those are written that are full."""
        if len(self._rows) + len(rows) > trace.MOST_ROWS:
            self._put()
        self._rows += rows

    def _row(self, waiting: _Waiting) -> Row:
        at, took, words, scope, digest, flags, near, facts, *_ = waiting
        verdict, why, detail, tier, dialect, model, path, doubt = words
        kind = Kind(
            str(verdict), str(why), detail, tier, dialect, _known(self._models, model),
            _known(self._paths, path), "" if doubt is None else doubt.value,
        )  # fmt: skip
        near_by = self._hash(near) if near else 0
        return Row(
            at, took, kind, self._hash(scope.encode()), self._hash(digest), near_by, flags, facts
        )

    def _hash(self, known: bytes) -> int:
        return int.from_bytes(blake2b(known, digest_size=8, key=self._salt).digest(), "little")

    def _put(self) -> None:
        """Write a block of what there is."""
        rows, self._rows = self._rows, []
        others, dropped = Counter(self._others), self.dropped
        labels = [self._labels.popleft() for _ in range(len(self._labels))]
        new = others - self._told
        if not (rows or labels or new):
            return
        block = Block(rows, labels, new, dropped - self._dropped_told)
        try:
            self._writer.put(trace.encode(block))
        except OSError as error:
            if not self.failed:  # once, until it is better
                log.warning("requests are not recorded", exc_info=error)
            self.failed = True
            self.dropped += len(rows)
            return
        self.failed = False
        self._told, self._dropped_told = others, dropped
        self.recorded += len(rows)


def _keys(outcome: Outcome) -> tuple[bytes, bytes]:
    """What names the question, and the one that came nearest to answering it; b"" for none.

    Of a hit by meaning the outcome has the key of what was served, and the beginning of its own.
    """
    key, nearest = outcome.key, outcome.nearest
    own = b"" if key is None else key.digest[:8]
    if outcome.match:
        own = bytes.fromhex(outcome.match)
    return own, b"" if nearest is None else nearest.key.digest[:8]


def _flags(outcome: Outcome) -> int:
    controls, nearest, kept = outcome.controls, outcome.nearest, outcome.kept
    flags = 0
    if outcome.stored is not None:
        flags |= trace.STORED if outcome.stored else trace.NOT_STORED
    if outcome.about_now:
        flags |= trace.ABOUT_NOW
    if controls is not None:
        flags |= trace.NO_CACHE if controls.no_cache else 0
        flags |= trace.ONLY_IF_CACHED if controls.only_if_cached else 0
    if nearest is not None and nearest.unopposed:
        flags |= trace.UNOPPOSED
    if kept is not None:
        flags |= trace.NEGATIVE if kept.negative else 0
        said = response_lifetime(kept.head.headers)
        flags |= trace.TARGETED if is_targeted(kept.head.headers) else 0
        flags |= trace.MUST_REVALIDATE if said.must_revalidate else 0
        longer = kept.lifetime.ttl > outcome.terms_ttl_s * _SURELY
        if longer and said.ttl is None and (controls is None or controls.ttl is None):
            flags |= trace.CONFIDENT  # neither the backend nor the caller has made it so
    return flags


def _facts(outcome: Outcome, sent: int) -> Facts:
    controls, kept, usage, nearest = outcome.controls, outcome.kept, outcome.usage, outcome.nearest
    told = asked = (nan, nan, nan, nan)
    size, ttl, backend = 0, outcome.ttl_s, outcome.spared_s
    if kept is not None:
        said = response_lifetime(kept.head.headers)
        told = (
            _or_nan(said.ttl), _or_nan(said.stale_while_revalidate), _or_nan(said.stale_if_error),
            _or_nan(_age(kept)),
        )  # fmt: skip
        size, ttl, backend = kept.size, kept.lifetime.ttl, kept.upstream_s
    if controls is not None and controls is not UNASKED:
        asked = (
            _or_nan(controls.max_age), _or_nan(controls.min_fresh), _or_nan(controls.max_stale),
            _or_nan(controls.ttl),
        )  # fmt: skip
    return Facts(
        sent,
        size,
        0 if usage is None else _counted(usage.prompt_tokens),
        0 if usage is None else _counted(usage.completion_tokens),
        _or_nan(outcome.age_s),
        _or_nan(ttl),
        backend or nan,
        _or_nan(outcome.upstream_s),
        *told,
        *asked,
        nan if nearest is None else nearest.score,
    )


def _age(kept: Kept) -> float | None:
    """The Age that the backend's answer came with."""
    value = kept.head.headers.get("age").partition(",")[0].strip()
    return float(value) if value.isdecimal() else None


def _counted(tokens: int) -> int:
    """``tokens`` as a row holds them: backends may say anything."""
    return min(max(tokens, 0), _MOST_TOKENS)


def _or_nan(value: float | None) -> float:
    """``value`` as a row holds it; what is too large for that is infinite."""
    if value is None:
        return nan
    return float(value) if value < _LARGEST else inf


def _known(names: dict[str, str], name: str) -> str:
    """``name`` as the recording has it: fit to be shown, and one of so many."""
    known = names.get(name)
    if known is None:
        if len(names) >= _MOST_NAMES:
            return _OTHER
        known = names[name] = printable(name)
    return known

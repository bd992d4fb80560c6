"""The shelf: where the responses at one URI are kept, and found again.

The first look is for the URI alone. It finds the response itself, or, where responses differ with
the request, a note that says by what: then the second look is for the variant. A note and the
variants found by it are of one batch; with the note, all of them are out of reach for good.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.key import KeyRules
from proxy.model.entry import CacheKey, Entry
from proxy.model.message import Head, Headers, Request
from proxy.model.query import Form
from proxy.rfc9111.selecting import EVERYBODY, Selection, selected
from proxy.rfc9111.told import told_by
from proxy.tiers.ladder import Found, Ladder

DIALECT: Final = "http_resource"
NOTE: Final = "http_vary"  # the dialect of notes; no request has it
_HEAD: Final = Head(200, "", Headers())
_BATCH_BYTES: Final = 16
_MOST_CHANGED: Final = 10_000  # URIs; some 2 MB


Look = Callable[[CacheKey], Awaitable[Found]]
"""What is stored under a key."""


class Note(NamedTuple):
    """By what the responses at a URI differ."""

    batch: bytes
    selection: Selection


class Resource(NamedTuple):
    """A request, and the URI it is for."""

    request: Request
    key: CacheKey  # of the URI
    scope: str  # whose request it is
    authorised: bool  # whether it has a credential
    apart: bool  # whether callers with different credentials are to be kept apart


class Place(NamedTuple):
    """What was found for a resource."""

    entry: Entry | None
    tier: str = ""
    note: Note | None = None
    seen: bool = False  # something is stored at the URI, be it for others


class Written:
    """Which URIs were written to lately, so that nothing older is kept of them."""

    def __init__(self) -> None:
        self.changes = 0  # how often any was
        self._changed: OrderedDict[bytes, int] = OrderedDict()  # by URI: which of those it was
        self._floor = 0  # of those up to here it is not known any more what they were

    def note(self, digest: bytes) -> None:
        """One more is written to."""
        self.changes += 1
        self._changed[digest] = self.changes
        self._changed.move_to_end(digest)
        if len(self._changed) > _MOST_CHANGED:
            self._floor = self._changed.popitem(last=False)[1]

    def since(self, changes: int, digest: bytes) -> bool:
        """Whether it was, as far as is known, since there had been so many ``changes``."""
        return changes < self._floor or changes < self._changed.get(digest, 0)


class Shelf:
    """Finds and keeps responses, on a ladder.

    Args:
        clock: seconds, monotonic.
        batch: 16 bytes that never come again.
        surrogate: as for ``told_by``.
        written: what it remembers; all who put into ``ladder`` need the same.
    """

    def __init__(
        self,
        ladder: Ladder,
        keys: KeyRules,
        clock: Callable[[], float],
        batch: Callable[[], bytes],
        surrogate: str = "",
        *,
        written: Written | None = None,
    ) -> None:
        self._ladder = ladder
        self._keys = keys
        self._clock = clock
        self._batch = batch
        self._surrogate = surrogate
        self._written = written or Written()

    @property
    def changes(self) -> int:
        """How often anything was forgotten."""
        return self._written.changes

    @property
    def generation(self) -> int:
        """As that of the ladder."""
        return self._ladder.generation

    async def find(self, resource: Resource, look: Look | None = None) -> Place:
        """What is stored for ``resource``, fresh or stale. Raises nothing.

        Args:
            look: how to look; None: as the ladder does.
        """
        get = look or self._ladder.get
        found = await get(resource.key)
        note = read_note(found.entry)
        if note is not None:
            variant = await get(self.key_of(resource, note))
            return self._place(resource, variant, note)
        return self._place(resource, found, None)

    async def glance(self, resource: Resource) -> Place:
        """As ``find``, in the nearest tier only: enough for who has just looked everywhere."""
        found = await self._ladder.glance(resource.key)
        note = read_note(found.entry)
        if note is not None:
            variant = await self._ladder.glance(self.key_of(resource, note))
            return self._place(resource, variant, note)
        return self._place(resource, found, None)

    def _place(self, resource: Resource, found: Found, note: Note | None) -> Place:
        entry = found.entry
        if entry is None:
            return Place(None, note=note, seen=note is not None)
        by_scope = note is not None and note.selection.by_scope
        if resource.authorised and resource.apart and not by_scope and not self._is_for_all(entry):
            return Place(None, seen=True)  # it was made for who has no credential
        return Place(entry, found.tier, note, seen=True)

    def _is_for_all(self, entry: Entry) -> bool:
        return told_by(entry.head.headers, self._surrogate).for_all

    def key_of(self, resource: Resource, note: Note | None) -> CacheKey:
        """Where the response to ``resource`` is, as far as ``note`` tells."""
        if note is None:
            return resource.key
        scope = resource.scope if note.selection.by_scope else ""
        values = selected(resource.request.headers, note.selection.names)
        return self._keys.variant_of(resource.key, note.batch, scope, values)

    def likeness_of(self, resource: Resource) -> CacheKey:
        """Equal for requests that may wait for one answer while nothing is known of the URI."""
        return self._keys.likeness_of(resource.key, resource.request, resource.scope)

    async def keep(
        self, entry: Entry, resource: Resource, selection: Selection, changes: int
    ) -> bool:
        """Store ``entry``; whether it was taken. Raises nothing.

        It is not if the URI was written to since it was asked for.

        Args:
            changes: how many there had been when it was asked for.
        """
        if self._written.since(changes, resource.key.digest):
            return False
        if selection == EVERYBODY:
            return await self._ladder.put(replace(entry, key=resource.key))
        current = (await self._ladder.glance(resource.key)).entry
        note = read_note(current)
        if note is None or note.selection != selection:
            note, current = Note(self._batch(), selection), None
        entry = replace(entry, key=self.key_of(resource, note))
        if current is None or _left(current, self._clock()) < _left(entry, self._clock()):
            await self._ladder.put(_written(note, entry, resource.key))
        return await self._ladder.put(entry)

    async def forget(self, key: CacheKey) -> None:
        """Forget all that is stored at a URI, and what is on its way. Raises nothing."""
        self._written.note(key.digest)
        await self._ladder.delete(key)

    async def drop(self, entry: Entry) -> None:
        """Forget ``entry``, which the backend has answered otherwise since. Raises nothing."""
        await self._ladder.delete(entry.key)

    def unpurged(self, entry: Entry) -> Entry | None:
        """As that of the ladder."""
        return self._ladder.unpurged(entry)


def read_note(entry: Entry | None) -> Note | None:
    """The note that ``entry`` is; None if it is none."""
    if entry is None or entry.dialect != NOTE or len(entry.body) <= _BATCH_BYTES:
        return None
    batch, rest = entry.body[:_BATCH_BYTES], entry.body[_BATCH_BYTES:]
    by_scope, *names = rest.decode("utf-8", "surrogateescape").split("\n")
    return Note(batch, Selection(tuple(name for name in names if name), by_scope == "scope"))


def _written(note: Note, entry: Entry, key: CacheKey) -> Entry:
    """``note`` as an entry that lives as long as ``entry`` and is purged by the same labels."""
    words = ("scope" if note.selection.by_scope else "all", *note.selection.names)
    body = note.batch + "\n".join(words).encode("utf-8", "surrogateescape")
    return replace(entry, key=key, dialect=NOTE, head=_HEAD, form=Form(), body=body)


def _left(entry: Entry, now: float) -> float:
    return entry.lifetime.keep - entry.age(now)

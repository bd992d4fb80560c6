"""The rows of a local index in memory: columns of fixed length, a slot for each row.

Columns are laid out for all rows there may ever be; the system gives memory only for those that
were used. So a row never moves, which lists rely on: they have slots only.

The loop alone changes what is here. Threads may read meanwhile: what they find in a slot counts
only if the row in it was ``born`` before they began, and is of the namespace they looked in.

A slot that is still in a list is not used again until that has let go of it: it is ``drop``ped
first and ``release``d later.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from threading import Event
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from proxy.model.entry import CacheKey
from proxy.model.errors import TierError
from proxy.semantic.base import Row
from proxy.semantic.index.places import NOWHERE, Places
from proxy.semantic.index.precision import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from proxy.semantic.index.lists import Lists
    from proxy.semantic.index.precision import Floats, Kept

NAMESPACE_BYTES: Final = 16
DIGEST_BYTES: Final = 32
_SPARE_SHARE: Final = 8  # of the rows: as many slots more, for those that lists have not let go of
_SPARE_LEAST: Final = 1024
LISTED: Final = NOWHERE  # the place of a row that is in a list, or on its way there


class _Links(NamedTuple):
    """Two columns: for each slot the one before and the one after it in its chain."""

    before: memoryview
    after: memoryview


class Chain:
    """Slots in the order they came."""

    __slots__ = ("_after", "_before", "count", "first", "last")

    def __init__(self, links: _Links) -> None:
        self._before, self._after = links
        self.forget()

    def forget(self) -> None:
        """Leave all slots out of the chain."""
        self.first = self.last = NOWHERE
        self.count = 0

    def append(self, slot: int) -> None:
        self._before[slot], self._after[slot] = self.last, NOWHERE
        if self.last == NOWHERE:
            self.first = slot
        else:
            self._after[self.last] = slot
        self.last = slot
        self.count += 1

    def drop(self, slot: int) -> None:
        before, after = self._before[slot], self._after[slot]
        if before == NOWHERE:
            self.first = after
        else:
            self._after[before] = after
        if after == NOWHERE:
            self.last = before
        else:
            self._before[after] = before
        self.count -= 1


class Scope(Chain):
    """The rows of one scope."""

    __slots__ = ("name", "number")

    def __init__(self, links: _Links, name: str, number: int) -> None:
        super().__init__(links)
        self.name = name
        self.number = number


class Space:
    """The rows of one namespace: those to be compared one by one, and lists of the others."""

    __slots__ = ("count", "lists", "loose", "moving", "name", "number")

    def __init__(self, name: bytes, number: int) -> None:
        self.name = name
        self.number = number
        self.count = 0
        self.loose = array("I")
        self.moving: array[int] | None = None  # on their way into lists; none may be loose
        self.lists: Lists | None = None

    def scanned(self) -> NDArray[np.uint32]:
        """The slots that are to be compared one by one; a copy."""
        loose = np.array(self.loose, np.uint32)
        return np.concatenate([loose, np.array(self.moving, np.uint32)]) if self.moving else loose


class Rows:
    """Room for ``max_rows`` rows. Raises MemoryError if there is no address space for them."""

    def __init__(self, max_rows: int, precision: Precision, scope_rows: int) -> None:
        self.max_rows = max_rows
        self.capacity = capacity = max_rows + max(max_rows // _SPARE_SHARE, _SPARE_LEAST)
        self.precision = precision
        self.vectors: Kept = np.zeros((capacity, precision.dimensions), precision.type)
        self.factors = np.zeros(capacity, np.float32)
        self.expires = np.zeros(capacity, np.float64)  # seconds since 1970
        self.added = np.zeros(capacity, np.float64)  # seconds since 1970
        self.born = np.zeros(capacity, np.uint64)  # counted up with every row
        self.space_of = np.zeros(capacity, np.uint32)  # number of the space; 0: nothing is here
        self.digests = np.zeros((capacity, DIGEST_BYTES), np.uint8)
        self._scope_of = np.zeros(capacity, np.uint32).data
        self._place = np.zeros(capacity, np.uint32).data  # in the space's ``loose``
        self._digest_bytes = self.digests.reshape(-1).data
        self._places = Places(capacity, self.digest)
        self._ages = Chain(_links(capacity))
        self._scope_links = _links(capacity)
        self._scope_rows = scope_rows
        self._flooding: set[int] = set()  # numbers of scopes that have more than their share
        self._scopes: dict[str, Scope] = {}
        self._scope_numbers: list[Scope | None] = [None]
        self._free_scopes: list[int] = []
        self.spaces: dict[bytes, Space] = {}
        self._space_numbers: list[Space | None] = [None]
        self._free_spaces: list[int] = []
        self._free = array("I")
        self.used = 0  # slots below this have been used
        self.buried: deque[int] = deque()  # slots that lists have let go of; threads add to it
        self.halted = Event()  # whoever still works on these rows is to stop
        self.births = 0

    @property
    def count(self) -> int:
        return self._ages.count

    @property
    def has_room(self) -> bool:
        """Whether there is a slot to put a row into."""
        return bool(self._free) or self.used < self.capacity

    def digest(self, slot: int) -> bytes:
        at = slot * DIGEST_BYTES
        return self._digest_bytes[at : at + DIGEST_BYTES].tobytes()

    def key(self, slot: int) -> CacheKey:
        scope = self._scope_numbers[self._scope_of[slot]]
        return CacheKey(scope.name if scope else "", self.digest(slot))

    def name(self, slot: int) -> bytes:
        """The namespace and the digest of the row in a slot."""
        space = self.space(slot)
        return (space.name if space else b"") + self.digest(slot)

    def space(self, slot: int) -> Space | None:
        """The space of the row in a slot; None if there is no row."""
        return self._space_numbers[int(self.space_of[slot])]

    def is_listed(self, slot: int) -> bool:
        """Whether a row is in a list, or on its way there."""
        return self._place[slot] == LISTED

    def find(self, namespace: bytes, digest: bytes) -> int:
        """The slot of a row, or NOWHERE."""
        space = self.spaces.get(namespace)
        if space is None:
            return NOWHERE
        space_of, number = self.space_of, space.number
        return self._places.find(digest, lambda slot: bool(space_of[slot] == number))

    def victim(self, scope: str) -> int:
        """The slot of the row to go when one of ``scope`` comes and there is no room.

        The oldest of all; but if scopes have more than their share, the oldest of such a scope,
        of ``scope`` itself if it is one.
        """
        if self._flooding:
            ours = self._scopes.get(scope)
            number = ours.number if ours and ours.number in self._flooding else min(self._flooding)
            if flooding := self._scope_numbers[number]:
                return flooding.first
        return self._ages.first

    def keep(self, some: Sequence[Row]) -> tuple[Kept, Floats]:
        """What to keep of the vectors of some rows, and their factors. Raises TierError."""
        for row in some:
            if len(row.namespace) != NAMESPACE_BYTES or len(row.key.digest) != DIGEST_BYTES:
                raise TierError("a namespace has 16 bytes, and a digest 32")
        try:
            return self.precision.keep([row.vector for row in some])
        except ValueError as error:
            raise TierError(str(error)) from error

    def put(
        self,
        namespace: bytes,
        key: CacheKey,
        vector: Kept,
        factor: float,
        *,
        expires: float,
        added: float,
    ) -> int:
        """Put a new row into a free slot, and say which; there must be one."""
        space = self.spaces.get(namespace) or self._new_space(namespace)
        scope = self._scopes.get(key.scope) or self._new_scope(key.scope)
        if self._free:
            slot = self._free.pop()
        else:
            slot, self.used = self.used, self.used + 1
        self._place[slot] = len(space.loose)
        space.loose.append(slot)
        self.vectors[slot] = vector
        self.factors[slot] = factor
        self.expires[slot] = expires
        self.added[slot] = added
        at = slot * DIGEST_BYTES
        self._digest_bytes[at : at + DIGEST_BYTES] = key.digest
        self.births += 1
        self.born[slot] = self.births
        self._scope_of[slot] = scope.number
        self.space_of[slot] = space.number
        self._places.put(key.digest, slot)
        self._ages.append(slot)
        scope.append(slot)
        if scope.count > self._scope_rows:
            self._flooding.add(scope.number)
        space.count += 1
        return slot

    def drop(self, slot: int) -> Space:
        """Forget the row in a slot; the space it was in. The slot is to be ``release``d."""
        space, scope = self.space(slot), self._scope_numbers[self._scope_of[slot]]
        if space is None or scope is None:
            raise KeyError(slot)
        self._places.drop(self.digest(slot), slot)
        if (place := self._place[slot]) != LISTED:
            last = space.loose.pop()
            if last != slot:
                space.loose[place] = last
                self._place[last] = place
        self.space_of[slot] = 0
        self._ages.drop(slot)
        scope.drop(slot)
        if scope.count <= self._scope_rows:
            self._flooding.discard(scope.number)
        if scope.count == 0:
            del self._scopes[scope.name]
            self._scope_numbers[scope.number] = None
            self._free_scopes.append(scope.number)
        space.count -= 1
        if space.count == 0:
            del self.spaces[space.name]
            self._space_numbers[space.number] = None
            self._free_spaces.append(space.number)
        return space

    def release(self, slot: int) -> None:
        """Let a slot be used again: nobody points to it any more."""
        self._free.append(slot)

    def reclaim(self) -> None:
        """Release what lists have let go of."""
        while self.buried:
            self._free.append(self.buried.popleft())

    def move(self, space: Space, count: int) -> list[int]:
        """Take up to ``count`` of the loose rows of a space as moving; their slots, in order."""
        moving = space.loose[-count:]
        del space.loose[-count:]
        for slot in moving:
            self._place[slot] = LISTED
        space.moving = moving
        return sorted(moving)

    def settle(self, space: Space, lists: Lists, listed: NDArray[np.bool_]) -> None:
        """Give a space its lists; ``listed`` says which of its rows, all loose, are in them."""
        slots = np.array(space.loose, np.uint32)
        places = np.asarray(self._place)
        places[slots[listed]] = LISTED
        loose = slots[~listed]
        places[loose] = np.arange(len(loose), dtype=np.uint32)
        space.loose, space.lists = array("I", loose.tobytes()), lists

    def loosen(self, space: Space) -> None:
        """Have all rows of a space compared one by one; it has no lists any more."""
        found = np.flatnonzero(self.space_of[: self.used] == space.number).astype(np.uint32)
        np.asarray(self._place)[found] = np.arange(len(found), dtype=np.uint32)
        space.loose = array("I", found.tobytes())
        space.lists = space.moving = None

    def chain_up(self) -> None:
        """Put all rows into the order in which they were ``added``; for rows read from a file."""
        self._ages.forget()
        for scope in self._scopes.values():
            scope.forget()
        slots = np.flatnonzero(self.space_of[: self.used])
        for slot in slots[np.argsort(self.added[slots], kind="stable")].tolist():
            self._ages.append(slot)
            if scope := self._scope_numbers[self._scope_of[slot]]:
                scope.append(slot)

    def _new_space(self, name: bytes) -> Space:
        number = self._free_spaces.pop() if self._free_spaces else len(self._space_numbers)
        space = self.spaces[name] = Space(name, number)
        if number == len(self._space_numbers):
            self._space_numbers.append(space)
        else:
            self._space_numbers[number] = space
        return space

    def _new_scope(self, name: str) -> Scope:
        number = self._free_scopes.pop() if self._free_scopes else len(self._scope_numbers)
        scope = self._scopes[name] = Scope(self._scope_links, name, number)
        if number == len(self._scope_numbers):
            self._scope_numbers.append(scope)
        else:
            self._scope_numbers[number] = scope
        return scope


def _links(capacity: int) -> _Links:
    return _Links(np.zeros(capacity, np.uint32).data, np.zeros(capacity, np.uint32).data)

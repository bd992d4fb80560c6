"""The guard: knows of most digests that they are not in the file, so that nobody has to look.

It can only spare a look. What it does not rule out is looked for as if it were not there, and when
it is in doubt it is silent and rules out nothing: while it has not seen all of the file, after
another process has written to it, when it has no room left, after any failure of its own.

A filter cannot forget, so there are two generations. One answers. When that is full, outdated, or
mostly of digests that are long gone, the next is filled with what the file holds; what is written
meanwhile goes into both, and then they swap.

The thread that writes the file fills it, the event loop asks it. Each generation carries the tally
up to which it has seen all writes, and the loop believes it only if that is the tally now. They are
in one object, read once: a swap in between cannot pair the number of one with the digests of the
other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from proxy.tiers.bloom import Bloom, Filter, load
from proxy.tiers.tally import Tally

_LEAST: Final = 100_000  # digests that there is room for; 120 KB
_ROOM: Final = 2  # times what the file holds
_MAGIC: Final = b"\x89Sdg"
_VERSION: Final = 1
_FRONT: Final = struct.Struct(">4sB16sQ")  # magic, version, the file's name, its transaction
_CHECK_BYTES: Final = 16


class Moment(NamedTuple):
    """A state of a file, unlike any other of this or another file."""

    name: bytes  # 16 bytes that the file was given when it was made
    transaction: int  # the last one committed


class _Generation:
    """A filter, and the tally up to which it has seen all writes."""

    __slots__ = ("filter", "seen")

    def __init__(self, filled: Filter, seen: int) -> None:
        self.filter = filled
        self.seen = seen


class Guard:
    """Rules out digests. Counters are plain integers that only grow.

    Args:
        tally: of the file it guards; open while the guard is in use.
        path: where to save what it knows from one run to the next.
    """

    def __init__(self, tally: Tally, path: Path) -> None:
        self._tally = tally
        self._path = path
        self._answering: _Generation | None = None
        self._filling: _Generation | None = None
        self._live = 0  # digests in the file, as last seen
        self.spared = 0  # looks
        self.passed = 0  # digests that may be in the file, by what it knows
        self.failed = 0

    # -- on the loop --------------------------------------------------------------------------

    def rules_out(self, digest: bytes) -> bool:
        """Whether ``digest`` is surely not in the file. Waits for nothing, raises nothing."""
        generation = self._answering
        if generation is None or generation.seen != self._tally.count:
            return False
        try:
            if generation.filter.holds(digest):
                self.passed += 1
                return False
        except Exception:  # noqa: BLE001 # whatever it is: then the file is asked
            self._fail()
            return False
        self.spared += 1
        return True

    @property
    def fill_ratio(self) -> float | None:
        """How much of its room is taken, from 0 to 1; None while it rules out nothing."""
        generation = self._answering
        if generation is None or generation.seen != self._tally.count:
            return None
        return len(generation.filter) / generation.filter.capacity

    @property
    def wanting(self) -> bool:
        """Whether it should be filled anew. For a moment of each write, it may seem so."""
        generation = self._answering
        if not self._tally.instant:
            return False  # it may not be asked on the loop, then
        if generation is None or generation.seen != self._tally.count:
            return True
        held = len(generation.filter)
        return generation.filter.full or held > _ROOM * max(self._live, _LEAST // _ROOM)

    # -- in the thread that writes ------------------------------------------------------------

    def learn(self, before: int, digests: Iterable[bytes], live: int) -> None:
        """Take note of what is about to be written. Raises nothing.

        Args:
            before: the tally before this write was counted.
            digests: all that will be in the file and was not, at least.
            live: how many digests will be in the file, about.
        """
        self._live = live
        try:
            known = list(digests)
            self._answering = _after(self._answering, before, known)
            self._filling = _after(self._filling, before, known)
        except Exception:  # noqa: BLE001 # whatever it is: then the file is asked
            self._fail()

    def begin(self, live: int) -> bool:
        """Begin to fill the next generation; False if there is no need.

        Only while no process is in the middle of a write. What the file holds now is to be given
        to ``fill``, in whichever order.
        """
        self._live = live
        if not self.wanting:
            return False
        self._filling = _Generation(Bloom(max(_LEAST, _ROOM * live)), self._tally.count)
        return True

    def fill(self, digests: Iterable[bytes], *, last: bool) -> bool:
        """Go on filling; whether there is more to do. After the ``last`` the guard answers.

        It gives up where others have written meanwhile, or more has come than there is room for.
        """
        filling = self._filling
        if filling is None or filling.seen != self._tally.count:
            self._filling = None
            return False
        if not all(map(filling.filter.add, digests)):
            self._filling = None
            return False
        if last:
            self._answering, self._filling = filling, None
        return not last

    # -- across restarts ----------------------------------------------------------------------

    def load(self, moment: Moment) -> None:
        """Know what was saved, if that was at ``moment``, and nothing else. Raises nothing.

        Only while no process is in the middle of a write.
        """
        self._answering = self._filling = None
        try:
            known = _opened(self._path.read_bytes(), moment)
        except FileNotFoundError:
            return
        except Exception:  # noqa: BLE001 # torn, or not ours: then it is filled anew
            self.failed += 1
            return
        if known is not None and self._tally.instant:
            self._answering = _Generation(known, self._tally.count)

    def save(self, moment: Moment) -> None:
        """Save what it knows, if that is all that the file held at ``moment``, and know no more.

        ``moment`` was found out just before. Raises nothing.
        """
        generation, self._answering, self._filling = self._answering, None, None
        if generation is None or generation.seen != self._tally.count:
            return
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            saved = _FRONT.pack(_MAGIC, _VERSION, *moment) + generation.filter.dump()
            fresh.write_bytes(saved + _checksum(saved))
            fresh.replace(self._path)
        except Exception:  # noqa: BLE001 # a full disk, say: then it is filled anew
            self.failed += 1

    def _fail(self) -> None:
        self.failed += 1
        self._answering = self._filling = None


def _after(
    generation: _Generation | None, before: int, digests: Iterable[bytes]
) -> _Generation | None:
    """``generation`` after a write, or None if it cannot have seen all of it."""
    if generation is None or generation.seen != before:
        return None
    if not all(map(generation.filter.add, digests)):
        return None
    generation.seen = (before + 1) % 2**64
    return generation


def _opened(saved: bytes, moment: Moment) -> Filter | None:
    """The filter that was saved, or None if it is of another moment. Raises ValueError."""
    if len(saved) < _FRONT.size + _CHECK_BYTES:
        raise ValueError("cut short")
    magic, version, *then = _FRONT.unpack_from(saved)
    if (magic, version) != (_MAGIC, _VERSION) or Moment(*then) != moment:
        return None
    if _checksum(saved[:-_CHECK_BYTES]) != saved[-_CHECK_BYTES:]:
        raise ValueError("not as it was written")
    return load(saved[_FRONT.size : -_CHECK_BYTES])


def _checksum(saved: bytes) -> bytes:
    return blake2b(saved, digest_size=_CHECK_BYTES, person=b"guard").digest()

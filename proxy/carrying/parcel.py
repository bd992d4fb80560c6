"""The parcel: entries as one stream of bytes, for a file or for the way between two proxies.

    heading (a line of JSON) | length, envelope | length, envelope | ... | 0, count, checksum

Each envelope (``proxy/tiers/codec.py``) has a checksum of its own, and its seal if entries are
encrypted. That at the end is over all that is before it: a parcel that was cut short has none.
The heading says by which secret the entries are keyed and in which journal purges of them would be
found, both by names that tell nothing else.
"""

from __future__ import annotations

import json
import struct
from hashlib import blake2b
from typing import Final, NamedTuple

from proxy.tiers.codec import MOST_BODY_BYTES

MEDIA_TYPE: Final = "application/vnd.sidecache.entries"

_KIND: Final = "sidecache entries"
_VERSION: Final = 1
_MOST_HEADING: Final = 4096  # bytes
_MOST_ENTRY: Final = MOST_BODY_BYTES + 2**20  # bytes: the body, and its head and tags
_LENGTH: Final = struct.Struct(">I")
_COUNT: Final = struct.Struct(">Q")
_CHECK_BYTES: Final = 16


class Unreadable(ValueError):
    """These bytes are no parcel, or not a whole one: why, in a few words."""


class Heading(NamedTuple):
    """What there is to know of a parcel before it is opened."""

    keys: str  # how keys are made: of which release, and by which secret
    purges: str  # the journal that purges are written down in, or the process without one
    made_at: float  # seconds since 1970

    def written(self) -> bytes:
        """As the first line."""
        said = {"kind": _KIND, "version": _VERSION, **self._asdict()}
        return json.dumps(said).encode() + b"\n"


class Packing:
    """Makes a parcel: ``heading`` first, then entries by ``entry``, and ``end``."""

    def __init__(self) -> None:
        self.count = 0
        self._check = blake2b(digest_size=_CHECK_BYTES)

    def heading(self, heading: Heading) -> bytes:
        """Its beginning."""
        return self._checked(heading.written())

    def entry(self, envelope: bytes) -> bytes:
        """One more entry."""
        self.count += 1
        return self._checked(_LENGTH.pack(len(envelope)) + envelope)

    def end(self) -> bytes:
        """Its end, without which it is not whole."""
        last = self._checked(_LENGTH.pack(0) + _COUNT.pack(self.count))
        return last + self._check.digest()

    def _checked(self, piece: bytes) -> bytes:
        self._check.update(piece)
        return piece


class Unpacking:
    """Opens a parcel as it comes; holds no more than one entry, and what was fed last."""

    def __init__(self) -> None:
        self.heading: Heading | None = None
        self.count = 0  # entries so far
        self.whole = False  # it has come to its end, and nothing is missing
        self._held = bytearray()
        self._check = blake2b(digest_size=_CHECK_BYTES)

    def feed(self, piece: bytes) -> list[bytes]:
        """The envelopes that are complete with ``piece``. Raises Unreadable."""
        self._held += piece
        found: list[bytes] = []
        while self._held:
            if self.whole:
                raise Unreadable("something comes after its end")
            if self.heading is None:
                if not self._read_heading():
                    break
            elif (envelope := self._read_entry()) is not None:
                found.append(envelope)
            elif not self.whole:
                break
        return found

    def end(self) -> None:
        """Nothing more comes. Raises Unreadable if something is missing."""
        if not self.whole:
            raise Unreadable("it was cut short")

    def _read_heading(self) -> bool:
        at = self._held.find(b"\n", 0, _MOST_HEADING)
        if at < 0:
            if len(self._held) >= _MOST_HEADING or not self._held.startswith(b"{"):
                raise Unreadable("it holds no entries of sidecache")
            return False
        try:
            said = json.loads(self._held[:at])
            if said["kind"] == _KIND and said["version"] == _VERSION:
                made_at = float(said["made_at"])
                self.heading = Heading(str(said["keys"]), str(said["purges"]), made_at)
        # ValueError: no JSON, no UTF-8, no number; the last two: it nests or counts too far.
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Unreadable("it holds no entries of sidecache") from error
        if self.heading is None:
            if said["kind"] == _KIND:
                raise Unreadable(f"it is of another release: version {said['version']}")
            raise Unreadable("it holds no entries of sidecache")
        self._take(at + 1)
        return True

    def _read_entry(self) -> bytes | None:
        """The next envelope; None if more has to come first, or the end is here."""
        if len(self._held) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._held)
        if length == 0:
            self._read_end()
            return None
        if length > _MOST_ENTRY:
            raise Unreadable("an entry in it is longer than any can be")
        if len(self._held) < _LENGTH.size + length:
            return None
        envelope = self._take(_LENGTH.size + length)[_LENGTH.size :]
        self.count += 1
        return envelope

    def _read_end(self) -> None:
        size = _LENGTH.size + _COUNT.size
        if len(self._held) < size + _CHECK_BYTES:
            return
        (count,) = _COUNT.unpack_from(self._held, _LENGTH.size)
        self._take(size)
        if count != self.count or bytes(self._held[:_CHECK_BYTES]) != self._check.digest():
            raise Unreadable("it was changed since it was made")
        del self._held[:_CHECK_BYTES]
        self.whole = True

    def _take(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        self._check.update(taken)
        return taken

"""A set of digests that is small, quick, and wrong in one direction only: a Bloom filter.

Of what was added it never says that it is not there. Of what was not it may say that it is: when
the filter is full, one time in a hundred.

pybloom-live hashes with salts that everybody knows: who chooses what is added can fill it with what
collides. What is added here nobody can choose, since digests are keyed hashes (``proxy.key``).
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

from pybloom_live import BloomFilter  # type: ignore[import-untyped] # it comes without types

_ERROR_SHARE: Final = 0.01
_FULL_SHARE: Final = 0.9  # of its room: time to make another
_FRONT: Final = struct.Struct(">QQ")  # capacity, digests held


class Filter(Protocol):
    """A set of digests that may hold more than was added, never less. Nothing can be taken out.

    One thread adds; others may ask at the same moment.
    """

    def add(self, digest: bytes) -> bool:
        """Hold ``digest`` from now on; False if there is no room, and it is not held."""
        ...

    def holds(self, digest: bytes) -> bool: ...

    def __len__(self) -> int:
        """How many digests it holds, about; equal ones count once."""
        ...

    @property
    def capacity(self) -> int:
        """For how many digests there is room."""
        ...

    @property
    def full(self) -> bool:
        """Whether little room is left."""
        ...

    def dump(self) -> bytes:
        """All of it as bytes."""
        ...


class Bloom:
    """A ``Filter`` of pybloom-live's: 1.2 bytes for each digest it has room for.

    Args:
        capacity: for how many digests, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._bits = BloomFilter(capacity, _ERROR_SHARE)

    def add(self, digest: bytes) -> bool:
        try:
            self._bits.add(_text(digest))
        except IndexError:  # so it says that it is full, and has changed nothing
            return False
        return True

    def holds(self, digest: bytes) -> bool:
        return _text(digest) in self._bits

    def __len__(self) -> int:
        return len(self._bits)

    @property
    def full(self) -> bool:
        return len(self._bits) >= _FULL_SHARE * self.capacity

    def dump(self) -> bytes:
        bits: bytes = self._bits.bitarray.tobytes()
        return _FRONT.pack(self.capacity, len(self._bits)) + bits


def load(dumped: bytes) -> Bloom:
    """The filter that ``dumped`` itself as this. Raises ValueError where no filter could have."""
    if len(dumped) < _FRONT.size:
        raise ValueError("cut short")
    capacity, count = _FRONT.unpack_from(dumped)
    # Before anything is made of that size: a digest takes more than a byte.
    if not 0 < capacity <= len(dumped) or count > capacity + 1:
        raise ValueError("no filter has these numbers")
    loaded = Bloom(capacity)
    inside = loaded._bits  # noqa: SLF001 # the other half of ``dump``
    bits = inside.bitarray
    bits.clear()
    bits.frombytes(dumped[_FRONT.size :])
    if not 0 <= len(bits) - inside.num_bits < 8:  # noqa: PLR2004 # bits in a byte
        raise ValueError("not as long as its numbers say")
    del bits[inside.num_bits :]
    inside.count = count
    return loaded


def _text(digest: bytes) -> str:
    """``digest`` as pybloom-live wants it: of anything else it hashes what ``str`` makes of it.

    A character for each byte, so that no two digests are the same text.
    """
    return digest.decode("latin-1")

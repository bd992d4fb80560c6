"""Floors: for an entry that was wrong before, the similarity below which it is not served again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Final

_MARGIN: Final = 0.01  # what was wrong once is so for questions a little nearer, too
_DIGEST_BYTES: Final = 64  # at most, of what is restored


class Floors:
    """Floors by the digest of the entry.

    Args:
        most: how many it may hold; beyond, those not asked for longest are forgotten.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._by_digest: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_digest)

    def get(self, digest: bytes) -> float | None:
        """The cosine that is too little for this entry; None if it was never wrong."""
        floor = self._by_digest.get(digest)
        if floor is not None:
            self._by_digest.move_to_end(digest)
        return floor

    def wrong(self, digest: bytes, score: float) -> None:
        """Note that this entry was wrong for a question as near as ``score``."""
        if not isfinite(score):
            return
        self._keep(digest, max(score + _MARGIN, self._by_digest.get(digest, -1.0)))

    def forget(self, digest: bytes) -> None:
        """Let go of the entry's floor, if it has one."""
        self._by_digest.pop(digest, None)

    def saved(self) -> list[tuple[str, float]]:
        """All of them, fit for JSON, the one to forget first in front."""
        return [(digest.hex(), floor) for digest, floor in self._by_digest.items()]

    def restore(self, saved: Iterable[object]) -> None:
        """Take in what was saved; what makes no sense is passed over."""
        for digest, floor in _read(saved):
            self._keep(digest, floor)

    def _keep(self, digest: bytes, floor: float) -> None:
        self._by_digest[digest] = floor
        self._by_digest.move_to_end(digest)
        while len(self._by_digest) > self.most:
            self._by_digest.popitem(last=False)


def _read(saved: Iterable[object]) -> Iterator[tuple[bytes, float]]:
    for row in saved:
        match row:
            case (str(digest), float(floor)) if len(digest) <= 2 * _DIGEST_BYTES:
                try:
                    known = bytes.fromhex(digest)
                except ValueError:
                    continue
                if isfinite(floor):
                    yield known, floor
            case _:
                continue

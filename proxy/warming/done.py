"""What has been asked, by the numbers of the lines, in memory and in a file that survives a kill.

The file is replaced whole, and is on the disk before its name is: after whatever end it says what
was true a moment before. It belongs to one input and one way to ask; of another it is not read.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson

_VERSION: Final = 1


class Done:
    """A set of numbers, held as ranges: those that are asked in order take next to nothing."""

    def __init__(self, ranges: Sequence[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self.count = 0
        for first, last in ranges:
            if first < 0 or last < first or (self._lasts and first <= self._lasts[-1]):
                raise ValueError("ranges out of order")
            self._firsts.append(first)
            self._lasts.append(last)
            self.count += last - first + 1

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The first and the last of each row of numbers."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def add(self, number: int) -> None:
        """Have ``number`` in it, too."""
        at = bisect_right(self._firsts, number)
        joins_left = at > 0 and number <= self._lasts[at - 1] + 1
        if joins_left and number <= self._lasts[at - 1]:
            return
        self.count += 1
        joins_right = at < len(self._firsts) and self._firsts[at] == number + 1
        if joins_left and joins_right:
            self._lasts[at - 1] = self._lasts[at]
            del self._firsts[at], self._lasts[at]
        elif joins_left:
            self._lasts[at - 1] = number
        elif joins_right:
            self._firsts[at] = number
        else:
            self._firsts.insert(at, number)
            self._lasts.insert(at, number)


class DoneFile:
    """Where it is written down. Raises OSError where that cannot be.

    Args:
        path: of the file; beside it one is made whose name ends in ``.new``.
        about: what it is of: a file with another word in it is not believed.
    """

    def __init__(self, path: Path, about: str) -> None:
        self.path = path
        self._about = about

    def load(self) -> Done | None:
        """What was done; None if nothing is known of it, or only of something else."""
        try:
            said = orjson.loads(self.path.read_bytes())
            if said["version"] != _VERSION or said["about"] != self._about:
                return None
            return Done([(int(first), int(last)) for first, last in said["done"]])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None

    def save(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Write it down; on the disk when this returns."""
        said = {"version": _VERSION, "about": self._about, "done": ranges}
        fresh = self.path.with_name(self.path.name + ".new")
        with fresh.open("wb") as file:
            file.write(orjson.dumps(said))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # for the name
        finally:
            os.close(folder)

    def forget(self) -> None:
        """Have none."""
        self.path.unlink(missing_ok=True)

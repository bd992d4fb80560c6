"""Stacks that were seen, and how often: read, put together, and told for other programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

_THREAD: Final = re.compile(r"thread \(\w+\): ?(.*)")
_SPEEDSCOPE: Final = "https://www.speedscope.app/file-format-schema.json"  # names it; not fetched
_DEEPEST: Final = 200


class Profile(NamedTuple):
    """What was seen.

    Attributes:
        stacks: the outermost frame first, the first of all being the thread; how often each.
        seconds: for how long.
        hz: how often a second.
        idle: samples in which the event loop's thread waited.
    """

    stacks: dict[tuple[str, ...], int]
    seconds: float
    hz: int
    idle: int

    @property
    def busy(self) -> int:
        """Samples in which some thread did something."""
        return sum(self.stacks.values())


def read(raw: str, seconds: float, hz: int) -> Profile:
    """The profile in py-spy's ``raw`` lines: frames between semicolons, and a count."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in raw.splitlines():
        text, _, count = line.rpartition(" ")
        if not count.isdigit():
            continue
        frames = text.split(";")
        thread = _THREAD.fullmatch(frames[0])
        frames[0] = (thread[1] if thread else frames[0]) or "a thread"
        stacks[tuple(frames[:_DEEPEST])] += int(count)
    seen = sum(count for stack, count in stacks.items() if stack[0] == "MainThread")
    return Profile(dict(stacks), seconds, hz, max(0, round(seconds * hz) - seen))


def folded(profile: Profile) -> str:
    """A line for each stack: frames between semicolons, a space, how often."""
    return "".join(f"{';'.join(stack)} {count}\n" for stack, count in _sorted(profile))


def speedscope(profile: Profile, name: str) -> bytes:
    """The profile in the format of speedscope, a viewer for such, as JSON."""
    known: dict[str, int] = {}
    samples = [
        [known.setdefault(frame, len(known)) for frame in stack] for stack, _ in _sorted(profile)
    ]
    weights = [count / profile.hz for _, count in _sorted(profile)]
    return orjson.dumps(
        {
            "$schema": _SPEEDSCOPE,
            "name": name,
            "exporter": "sidecache",
            "shared": {"frames": [{"name": frame} for frame in known]},
            "profiles": [
                {
                    "type": "sampled",
                    "name": name,
                    "unit": "seconds",
                    "startValue": 0,
                    "endValue": sum(weights),
                    "samples": samples,
                    "weights": weights,
                }
            ],
        }
    )


def _sorted(profile: Profile) -> Iterable[tuple[tuple[str, ...], int]]:
    return sorted(profile.stacks.items())

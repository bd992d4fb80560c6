"""What is saved of a stratum, and read back with as much trust as a stranger's word."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final

from proxy.model.meaning import Script
from proxy.semantic.budget.course import Course
from proxy.semantic.budget.labels import Sample, Stratum

_LONGEST: Final = 256  # characters of a name
_SUMS: Final = 3


def row(stratum: Stratum, course: Course) -> dict[str, object]:
    """A stratum and its course, fit for JSON."""
    return {
        "fingerprint": stratum.fingerprint,
        "script": stratum.script.value,
        "family": stratum.family,
        "at": course.at,
        "open": course.open,
        "trips": course.trips,
        "labels": course.labels,
        "seen": course.seen,
        "samples": [list(sample.sums()) for sample in course.samples],
    }


def restore(course: Course, saved: object) -> Stratum | None:
    """Bring a new ``course`` to where the saved one was; whose it is, None if that makes no sense.

    The course is of use only if a stratum is returned.
    """
    match saved:
        case {
            "fingerprint": str(fingerprint),
            "script": str(script),
            "family": str(family),
            "at": int(at),
            "open": bool(opened),
            "trips": int(trips),
            "labels": int(labels),
            "seen": float() | int() | None as seen,
            "samples": list(samples),
        } if max(len(fingerprint), len(family)) <= _LONGEST and script in set(Script):
            known = _samples(samples)
        case _:
            return None
    if len(known) != len(course.samples) or not 0 <= at < len(known) or min(labels, trips) < 0:
        return None
    if seen is not None and not isfinite(seen):
        return None
    course.jump(at)
    course.open, course.trips, course.labels = opened, trips, labels
    course.seen = None if seen is None else float(seen)
    course.samples = known
    return Stratum(fingerprint, Script(script), family)


def sample_of(saved: Sequence[object]) -> Sample | None:
    """The sample with these sums; None if no labels have such."""
    sums = [float(value) for value in saved if isinstance(value, int | float)]
    if len(sums) != _SUMS or len(saved) != _SUMS or not all(map(isfinite, sums)):
        return None
    weight, squares, wrong = sums
    if not (0 <= wrong <= weight * (1 + 1e-9) and squares >= 0 and (weight > 0) == (squares > 0)):
        return None
    return Sample(weight, squares, wrong)


def _samples(saved: Sequence[object]) -> list[Sample]:
    """Those that make sense: fewer than were saved, if some do not."""
    rows = [one for one in saved if isinstance(one, list)]
    return [sample for sample in map(sample_of, rows) if sample is not None]

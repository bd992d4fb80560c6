"""The grid: settings that are tried, and how a choice of them is written in a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from proxy.config.settings import Settings
from proxy.config.units import sized
from proxy.host.budget import memory_budget

_FOLDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the memory in force
_PARTS: Final = (1.0, 0.5, 0.25)  # of the age that answers may come to
_PAGE: Final = 2**20  # memory is tried in steps of it
_THRESHOLDS: Final = (-0.04, -0.02, 0.0, 0.02, 0.04)  # beside the threshold in force

Tree = dict[str, object]


class Choice(NamedTuple):
    """One point of the grid."""

    memory_bytes: int
    ttl_s: float
    grace_s: float  # stale-while-revalidate
    seen_times: int
    refresh_ahead: float
    threshold: float | None = None  # None: meaning is as it was recorded

    @property
    def keeps_s(self) -> float:
        """How old an answer may become while it is served."""
        return self.ttl_s + self.grace_s


@dataclass(frozen=True, slots=True)
class Axes:
    """What is tried of each setting; empty: what suggests itself."""

    memory: tuple[int, ...] = ()
    ttl: tuple[float, ...] = ()
    grace: tuple[float, ...] = ()
    seen_times: tuple[int, ...] = ()
    refresh_ahead: tuple[float, ...] = ()
    threshold: tuple[float, ...] = ()


def memory_of(settings: Settings) -> int:
    """Bytes of the memory tier; where that is left to a machine, as on one without limits."""
    given = settings.l1_memory.max_bytes
    return memory_budget(None, None, 1) if given == "auto" else given


def in_force(settings: Settings) -> Choice:
    """The point where ``settings`` stand."""
    cache = settings.cache
    return Choice(
        memory_of(settings),
        cache.ttl_s,
        cache.stale_while_revalidate_s,
        cache.admission.seen_times,
        cache.refresh_ahead,
    )


def grid(
    settings: Settings,
    axes: Axes,
    *,
    by_meaning: bool,
    max_memory: int | None = None,
    max_age_s: float | None = None,
) -> list[Choice]:
    """All points to be tried, the one in force first.

    Args:
        by_meaning: whether the trace tells of questions in other words.
        max_memory: bytes; no more memory is tried.
        max_age_s: no answer may become older; None: than it can become now, unless the axes say.
    """
    now = in_force(settings)
    most_s = now.keeps_s if max_age_s is None else max_age_s
    memory = axes.memory or _memories(now.memory_bytes, max_memory)
    thresholds: tuple[float | None, ...] = axes.threshold or (
        _thresholds(settings) if by_meaning else (None,)
    )
    points = [now]
    for bytes_, (ttl_s, grace_s), seen, ahead, threshold in product(
        memory,
        _lives(axes, now, most_s, bounded=max_age_s is not None),
        axes.seen_times or (1, 2),
        axes.refresh_ahead or tuple(dict.fromkeys((now.refresh_ahead, 0.0, 1.0))),
        thresholds,
    ):
        if max_memory is None or bytes_ <= max_memory:
            points.append(Choice(bytes_, ttl_s, grace_s, seen, ahead, threshold))
    return list(dict.fromkeys(points))


def changed(settings: Settings, choice: Choice) -> Settings:
    """``settings`` with what was chosen."""
    cache = settings.cache
    admission = cache.admission.model_copy(update={"seen_times": choice.seen_times})
    cache = cache.model_copy(
        update={
            "ttl_s": choice.ttl_s,
            "stale_while_revalidate_s": choice.grace_s,
            "refresh_ahead": choice.refresh_ahead,
            "admission": admission,
        }
    )
    memory = settings.l1_memory.model_copy(update={"max_bytes": choice.memory_bytes})
    return settings.model_copy(update={"cache": cache, "l1_memory": memory})


class Difference(NamedTuple):
    """A setting that is to be another."""

    setting: tuple[str, ...]
    before: str
    after: str


def differences(settings: Settings, choice: Choice) -> list[Difference]:
    """What ``choice`` changes, as it is written in a file."""
    now = in_force(settings)
    told: list[tuple[tuple[str, ...], str, str]] = [
        (("l1_memory", "max_bytes"), sized(now.memory_bytes), sized(choice.memory_bytes)),
        (("cache", "ttl_s"), _plain(now.ttl_s), _plain(choice.ttl_s)),
        (("cache", "stale_while_revalidate_s"), _plain(now.grace_s), _plain(choice.grace_s)),
        (("cache", "refresh_ahead"), _plain(now.refresh_ahead), _plain(choice.refresh_ahead)),
        (("cache", "admission", "seen_times"), str(now.seen_times), str(choice.seen_times)),
    ]
    if choice.threshold is not None:
        semantic = settings.semantic
        told.append(
            (("semantic", "threshold"), _plain(semantic.threshold), _plain(choice.threshold))
        )
        least = semantic.least_threshold
        if choice.threshold < least:
            told.append((("semantic", "least_threshold"), _plain(least), _plain(choice.threshold)))
    return [Difference(*each) for each in told if each[1] != each[2]]


def snippet(settings: Settings, choice: Choice, notes: tuple[str, ...] = ()) -> str:
    """The differences as a file of settings; ``notes`` stand above them."""
    tree: dict[str, object] = {}
    for setting, _, after in differences(settings, choice):
        node = tree
        for step in setting[:-1]:
            inner = node.setdefault(step, {})
            if isinstance(inner, dict):
                node = inner
        node[setting[-1]] = after
    lines = [f"# {note}" for note in notes]
    return "\n".join([*lines, *(_yaml(tree) if tree else ["{}  # nothing to change"])]) + "\n"


def _yaml(tree: Mapping[str, object], depth: int = 0) -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield f"{'  ' * depth}{name}:"
            yield from _yaml(value, depth + 1)
        else:
            yield f"{'  ' * depth}{name}: {value}"


def _memories(now: int, most: int | None) -> tuple[int, ...]:
    tried = [_rounded(int(now * fold)) for fold in _FOLDS]
    if most is not None:
        tried.append(most)
    return tuple(sorted({size for size in tried if most is None or size <= most}))


def _rounded(size: int) -> int:
    return max(_PAGE, size // _PAGE * _PAGE) if size >= _PAGE else size


def _lives(axes: Axes, now: Choice, most_s: float, *, bounded: bool) -> list[tuple[float, float]]:
    """Lifetimes with the times after them that together are within ``most_s``."""
    ttls = axes.ttl or tuple(
        sorted({min(now.ttl_s, most_s), *(round(most_s * part, 3) for part in _PARTS)})
    )
    graces = axes.grace or tuple(sorted({0.0, now.grace_s, round(most_s / 2, 3)}))
    free = bool(axes.ttl or axes.grace) and not bounded
    return [
        (ttl, grace)
        for ttl, grace in product(ttls, graces)
        if ttl > 0 and (free or ttl + grace <= most_s + 1e-6)
    ]


def _thresholds(settings: Settings) -> tuple[float, ...]:
    start = settings.semantic.threshold
    tried = {round(min(max(start + step, 0.5), 0.999), 3) for step in _THRESHOLDS}
    return tuple(sorted(tried))


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(round(number, 6))

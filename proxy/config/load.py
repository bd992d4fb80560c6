"""Loading: defaults, then the file, then the environment, then flags; the later one wins.

Mappings are merged, all else is replaced, and who gave which value is remembered. Everything is
checked before anything starts, and all faults are told at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from proxy.config.check import check
from proxy.config.document import Document, Tree, Unreadable, read
from proxy.config.environment import from_environment
from proxy.config.faults import Fault, Given, Place, dotted, refusal
from proxy.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and where they come from."""

    settings: Settings
    sources: Mapping[Place, str]  # of all that was given: file and line, variable, or flag
    warnings: tuple[str, ...] = ()  # what works, but should not stay so


class Source(Protocol):
    """Where settings can be loaded from, as often as wanted."""

    @property
    def file(self) -> Path | None:
        """The file that is read, if there is one."""
        ...

    def load(self) -> Loaded:
        """The settings as they are there now. It may block. Raises ConfigError."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """A file, the environment and flags, as at the start. A ``Source``."""

    file: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[Given, ...] = ()

    def load(self) -> Loaded:
        """As ``load``."""
        return load(self.file, self.environ, self.flags)


@dataclass(frozen=True, slots=True)
class Held:
    """Settings that stay as they are. A ``Source``."""

    settings: Settings
    file: Path | None = None

    def load(self) -> Loaded:
        """Those."""
        return Loaded(self.settings, {})


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Iterable[Given] = (),
) -> Loaded:
    """The settings that ``file``, the environment and the flags make together.

    Raises:
        ConfigError: naming every fault, where it is and how to mend it.
    """
    faults: list[Fault] = []
    document = Document({})
    if file is not None:
        try:
            document = read(file)
        except Unreadable as unreadable:
            faults += unreadable.faults
    variables, unknown = from_environment(environ or {})
    faults += unknown

    tree = document.tree
    sources = {place: str(file) for place in _leaves(tree, ())}
    sources |= {place: f"{file}:{line}" for place, line in document.lines.items()}
    for given in (*variables, *flags):
        for leaf in _expand(given):
            fault = _put(tree, leaf)
            if fault:
                faults.append(fault)
                continue
            for inner in [known for known in sources if known[: len(leaf.place)] == leaf.place]:
                del sources[inner]
            sources[leaf.place] = leaf.source

    settings, refused, warnings = check(tree)
    faults += (replace(fault, source=_nearest(sources, fault.place)) for fault in refused)
    if settings is None or faults:
        raise refusal(faults)
    told = {place: _nearest(sources, place) for place in _leaves(tree, ())}
    return Loaded(settings, told, tuple(warnings))


def _leaves(value: object, place: Place) -> Iterator[Place]:
    """Where the values stand that are given themselves; a list of plain values is one of them.

    So is a mapping with nothing in it.
    """
    if isinstance(value, dict) and (value or not place):
        for name, inner in value.items():
            yield from _leaves(inner, (*place, name))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*place, index))
    else:
        yield place


def _nearest(sources: Mapping[Place, str], place: Place) -> str:
    """Who gave what stands at ``place``, or the closest to it that anybody gave; "" for nobody."""
    for length in range(len(place), 0, -1):
        if place[:length] in sources:
            return sources[place[:length]]
    return ""


def _expand(given: Given) -> Iterator[Given]:
    """The same, mappings taken apart, so that they are merged with what is there."""
    if isinstance(given.value, dict):
        for name, value in given.value.items():
            yield from _expand(Given((*given.place, name), value, given.source))
    else:
        yield given


def _put(tree: Tree, given: Given) -> Fault | None:
    """Put the value in its place; a fault if there is no such place."""
    node: object = tree
    for depth, step in enumerate(given.place):
        last = depth == len(given.place) - 1
        new = given.value if last else [] if isinstance(given.place[depth + 1], int) else {}
        if isinstance(node, dict) and isinstance(step, str):
            if last or node.get(step) is None:
                node[step] = new
        elif isinstance(node, list) and isinstance(step, int) and step <= len(node):
            if step == len(node):
                node.append(new)
            elif last:
                node[step] = new
        else:
            above = dotted(given.place[:depth])
            text = f"cannot be put there: {above} has no {step}"
            if isinstance(node, list):
                text = f"cannot be put there: the next item of {above} is {len(node)}"
            return Fault(given.place, text, given.source)
        node = node[step]  # type: ignore[index] # the branches above saw to it
    return None

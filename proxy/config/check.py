"""The check: a tree of values against the model, to the last fault.

The model does not compare settings of a group while one of them is wrong. So what is refused is
taken out and the rest looked at again, until nothing is refused any more. A complaint about
something already taken out is no fault of its own.
"""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config.document import Tree
from proxy.config.faults import Fault, Place, word
from proxy.config.settings import Settings

_OF_A_KEY = "[key]"  # follows the name of a mapping's key when the key itself is refused


def check(tree: Tree) -> tuple[Settings | None, list[Fault], list[str]]:
    """The settings ``tree`` makes (None if it has faults), all its faults, and all warnings."""
    faults: list[Fault] = []
    out: set[Place] = set()
    while True:
        warnings: list[str] = []
        kept = _Kept(tree, out)
        try:
            settings = Settings.model_validate(kept.tree, context=warnings)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                places = [kept.origin(place) for place in _places(details)]
                culprit = next((place for place in places if kept.has(place)), places[0])
                if not any(kept.lacks(place) for place in places):
                    faults.append(Fault(culprit, word(details, culprit)))
                while not kept.has(culprit):  # what is missing takes its group along
                    culprit = culprit[:-1]
                out.add(culprit)
        else:
            return (None if faults else settings), faults, warnings


def _places(details: ErrorDetails) -> list[Place]:
    """What the error is about; several places if settings disagree."""
    place = details["loc"]
    if details["type"] == "conflict":
        return [
            place + tuple(int(step) if step.isdigit() else step for step in setting.split("."))
            for setting in details["ctx"]["settings"]
        ]
    return [place[:-1] if place[-1:] == (_OF_A_KEY,) else place]


class _Kept:
    """A tree less what was taken out of it, and where the rest stood before."""

    def __init__(self, tree: Tree, out: set[Place]) -> None:
        self._out = frozenset(out)
        self._places: set[Place] = set()
        self._indices: dict[Place, list[int]] = {}  # of a list: what its items' were before
        self.tree = self._copy(tree, ()) if () not in out else {}
        self._places.add(())

    def _copy(self, value: object, place: Place) -> object:
        self._places.add(place)
        if isinstance(value, dict):
            return {
                name: self._copy(inner, (*place, name))
                for name, inner in value.items()
                if (*place, name) not in self._out
            }
        if isinstance(value, list):
            indices = [i for i in range(len(value)) if (*place, i) not in self._out]
            self._indices[place] = indices
            return [self._copy(value[index], (*place, index)) for index in indices]
        return value

    def origin(self, place: Place) -> Place:
        """Where ``place`` was before anything was taken out."""
        before: Place = ()
        for step in place:
            indices = self._indices.get(before, ())
            known = isinstance(step, int) and step < len(indices)
            before = (*before, indices[step] if known else step)  # type: ignore[index] # an int
        return before

    def has(self, place: Place) -> bool:
        """Whether something stands at ``place``."""
        return place in self._places

    def lacks(self, place: Place) -> bool:
        """Whether ``place``, or what it was in, has been taken out."""
        return any(place[:length] in self._out for length in range(len(place) + 1))

"""A configuration file as a tree of values, and the line each was given on.

YAML by its 1.2 core schema where people trip over 1.1: only true and false are booleans (`off` is a
word), `8080:30` is no number in base 60, and a key given twice is refused. TOML by its suffix.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from proxy.config.faults import Fault, Place

Tree = dict[str, object]

_NULL: Final = "tag:yaml.org,2002:null"
_COLLECTIONS: Final = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_SCALARS: Final = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
        "-+.0123456789",
    ),
    (_NULL, r"~|null|Null|NULL", "~nN"),
)


class _Loader(yaml.SafeLoader):
    """Safe, with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: Final = {}  # type: ignore[misc] # replaces those of YAML 1.1


for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver(_NULL, re.compile("$"), [""])


class Unreadable(Exception):
    """The text is no such document; ``faults`` say why."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says."""

    tree: Tree
    lines: dict[Place, int] = field(default_factory=dict)  # from 1; none for TOML


def read(path: Path) -> Document:
    """The document in the file at ``path``.

    Raises:
        Unreadable: with every key that is given twice, or the one fault that ends all reading.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise Unreadable(Fault((), f"cannot be read: {error.strerror}", str(path))) from error
    except UnicodeDecodeError as error:
        raise Unreadable(Fault((), "is not text in UTF-8", str(path))) from error
    if path.suffix.lower() == ".toml":
        try:
            return Document(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise Unreadable(Fault((), f"is not TOML: {error}", str(path))) from error
    tree, lines = parse_yaml(text, str(path))
    if tree is None:
        return Document({})
    if not isinstance(tree, dict):
        raise Unreadable(Fault((), "must be a mapping of names to values", str(path)))
    return Document(tree, lines)


def parse_yaml(text: str, source: str) -> tuple[object, dict[Place, int]]:
    """The value ``text`` says, and the line of every key and item. Raises Unreadable."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        reader = _Reader(loader, source)
        value = None if node is None else reader.value(node, ())
    except yaml.MarkedYAMLError as error:
        # Not the error's own text: it quotes the line, which may hold a secret.
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise Unreadable(Fault((), f"is not YAML: {error.problem}", where)) from error
    except yaml.YAMLError as error:
        raise Unreadable(Fault((), "is not YAML: it holds control characters", source)) from error
    if reader.twice:
        raise Unreadable(*reader.twice)
    return value, reader.lines


def _refused(what: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


class _Reader:
    """Turns nodes into values, keeping what yaml forgets: lines, and keys given twice."""

    def __init__(self, loader: _Loader, source: str) -> None:
        self._loader = loader
        self._source = source
        self._open: set[int] = set()
        self.lines: dict[Place, int] = {}
        self.twice: list[Fault] = []

    def value(self, node: yaml.Node, place: Place) -> object:
        if isinstance(node, yaml.ScalarNode):
            return self._loader.construct_object(node)
        if node.tag not in _COLLECTIONS:
            raise _refused("a tag that means nothing here", node)
        if id(node) in self._open:
            raise _refused("an anchor that contains itself", node)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, place)
            return [self._item(item, (*place, index)) for index, item in enumerate(node.value)]
        finally:
            self._open.remove(id(node))

    def _item(self, node: yaml.Node, place: Place) -> object:
        self.lines[place] = node.start_mark.line + 1
        return self.value(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Tree:
        tree: Tree = {}
        for key_node, value_node in node.value:
            name = str(self.value(key_node, place))
            line = key_node.start_mark.line + 1
            here = (*place, name)
            if name in tree:
                self.twice.append(
                    Fault(
                        here,
                        f"is given twice; first on line {self.lines[here]}",
                        f"{self._source}:{line}",
                    )
                )
                continue
            self.lines[here] = line
            tree[name] = self.value(value_node, here)
        return tree

"""The outline of the settings: every setting by its path, as the model says.

What asks by name (environment variables, suggestions) and what tells of all (the example file, the
reference) walks this rather than the models themselves.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from proxy.config.section import Section
from proxy.config.settings import Settings
from proxy.config.units import Accepts, SecretFile

EACH = "*"  # stands for the index of an item in a path


class Kind(Enum):
    """How a setting is written."""

    SCALAR = "scalar"
    LIST = "list"
    MAPPING = "mapping"  # of names that are the operator's own
    SECTION = "section"
    SECTIONS = "sections"  # a list of them


@dataclass(frozen=True)
class Setting:
    """One setting, or a group of them."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """Its path, dotted."""
        return ".".join(self.path)

    @property
    def description(self) -> str:
        """What it means."""
        return self.field.description or ""

    @cached_property
    def _types(self) -> tuple[object, ...]:
        """All that its type is made of, outermost first; alternatives to null aside."""
        return tuple(_parts(self.field.annotation))

    @cached_property
    def section(self) -> type[Section] | None:
        """The group it is, or its items are."""
        for part in self._types:
            if isinstance(part, type) and issubclass(part, Section):
                return part
        return None

    @cached_property
    def kind(self) -> Kind:
        """How it is written."""
        origins = {get_origin(part) for part in self._types}
        if tuple in origins:
            return Kind.SECTIONS if self.section else Kind.LIST
        if dict in origins:
            return Kind.MAPPING
        return Kind.SECTION if self.section else Kind.SCALAR

    @property
    def is_secret(self) -> bool:
        """Whether its value, or its values, must not be shown."""
        return SecretStr in self._types and SecretFile not in self._types

    @property
    def is_optional(self) -> bool:
        """Whether it may be null."""
        return type(None) in self._types

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.field.default is PydanticUndefined and self.field.default_factory is None

    @property
    def accepts(self) -> str:
        """What it may be, in words."""
        text = self.each_accepts
        if self.kind is Kind.LIST:
            text = f"list of: {text}"
        elif self.kind is Kind.MAPPING:
            text = f"mapping of header names to: {text}"
        return f"{text}, or null" if self.is_optional else text

    @property
    def each_accepts(self) -> str:
        """What one value of it may be, in words."""
        parts = [*self._types, *self.field.metadata]
        said = [part.text for part in parts if isinstance(part, Accepts)]
        if said:
            return said[-1]
        for part in parts:
            if get_origin(part) is Literal:
                return " or ".join(f"`{choice}`" for choice in get_args(part))
        return "true or false" if bool in parts else "text"


def _parts(annotation: object) -> Iterator[object]:
    yield annotation
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *notes = get_args(annotation)
        yield from _parts(inner)
        yield from notes
    elif origin in {tuple, dict, Union, types.UnionType}:
        for part in get_args(annotation):
            yield from _parts(part)


def outline(section: type[Section] = Settings, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting of ``section``, groups before what is in them, in the order declared."""
    for name, field in section.model_fields.items():
        setting = Setting((*path, name), field)
        yield setting
        if setting.section is not None:
            below = setting.path + ((EACH,) if setting.kind is Kind.SECTIONS else ())
            yield from outline(setting.section, below)

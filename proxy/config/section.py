"""What every group of settings has in common, and how one says that its settings disagree."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A group of settings: frozen, and closed to names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def conflict(text: str, *settings: str) -> PydanticCustomError:
    """An error about ``settings`` (dotted, seen from the section) that do not go together.

    It is told of the first of them that was given at all.
    """
    return PydanticCustomError("conflict", "{text}", {"text": text, "settings": settings})

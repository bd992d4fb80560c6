"""The shapes of JSON that are relied on where the other form of an answer is made."""

from __future__ import annotations

from collections.abc import Callable

from proxy.dialects.base import Rendered
from proxy.wire.strict_json import NotStrict, loads

Json = dict[str, object]


class NoOtherForm(ValueError):
    """The answer cannot be had in the other form without loss or guesswork."""


def other_form(make: Callable[[bytes], bytes], body: bytes, content_type: str) -> Rendered | None:
    """The other form that ``make`` gives ``body``; None where it raises NoOtherForm."""
    try:
        return Rendered(make(body), content_type)
    except NoOtherForm:
        return None


def read_object(raw: bytes, what: str) -> Json:
    """The object that ``raw`` is. Raises NoOtherForm, which calls it ``what``."""
    try:
        return as_object(loads(raw))
    except NotStrict as error:
        raise NoOtherForm(f"{what} that readers may read differently") from error


def as_object(value: object) -> Json:
    """``value``, which is an object. Raises NoOtherForm, as all of these do."""
    if not isinstance(value, dict):
        raise NoOtherForm("not an object where one belongs")
    return value


def as_list(value: object) -> list[object]:
    """``value``, which is a list."""
    if not isinstance(value, list):
        raise NoOtherForm("not a list where one belongs")
    return value


def as_objects(value: object) -> list[Json]:
    """``value``, which is a list of objects."""
    return [as_object(item) for item in as_list(value)]


def as_text(value: object) -> str:
    """``value``, which is a text."""
    if not isinstance(value, str):
        raise NoOtherForm("not a text where one belongs")
    return value

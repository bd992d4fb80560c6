"""Parameters of a URL: what a query string says, less what does not count, in one order.

The order of parameters with different names counts to nobody, that of one name's does. Which names
are the same depends on the backend: some take them without regard to case, some read ``a[x]`` and
``a.x`` as parts of ``a``. So what might be one name to some backend keeps its order. Values stay as
they were spelled: ``+`` and ``%20`` are the same to most readers, but not to all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

_PART: Final = re.compile(r"[.\[]")  # what follows is a part of what stands before


class Parameter(NamedTuple):
    """One parameter."""

    name: str  # decoded
    raw: str  # name and value as they came

    @property
    def spelled(self) -> str:
        """Its value as it came."""
        return self.raw.partition("=")[2]

    @property
    def value(self) -> str | None:
        """Its value, decoded; None if that is no text in UTF-8."""
        try:
            return unquote_plus(self.spelled, errors="strict")
        except UnicodeDecodeError:
            return None

    @property
    def valueless(self) -> Parameter:
        """The same without its value."""
        return self._replace(raw=self.raw.partition("=")[0])


def parameters(query_string: str) -> list[Parameter] | None:
    """The parameters of a raw query string, in order of their names.

    None if readers may differ on where one ends, as some take ``;`` for ``&``, or if it has
    characters that belong in no URL.
    """
    if ";" in query_string or not query_string.isascii():
        return None
    found = [
        Parameter(unquote_plus(raw.partition("=")[0], errors="surrogateescape"), raw)
        for raw in query_string.split("&")
        if raw
    ]
    return sorted(found, key=_family)


def document_of(found: Iterable[Parameter]) -> dict[str, object]:
    """The parameters as a JSON object: a text for each name, a list of texts if it occurs again.

    A value that is no text in UTF-8 stays as it is spelled.
    """
    values: dict[str, list[str]] = {}
    for each in found:
        value = each.value
        values.setdefault(each.name, []).append(each.spelled if value is None else value)
    return {name: said[0] if len(said) == 1 else said for name, said in values.items()}


def _family(parameter: Parameter) -> str:
    """Equal for names that may be one to some reader."""
    return _PART.split(parameter.name, maxsplit=1)[0].casefold()

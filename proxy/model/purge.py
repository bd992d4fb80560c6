"""A purge: what is to be served no more."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What the value of a purge names."""

    ALL = "all"  # nothing more: everything
    KEY = "key"  # the digest, 64 hexadecimal digits
    TAG = "tag"
    MODEL = "model"
    DIALECT = "dialect"
    SCOPE = "scope"
    PATH = "path"  # what the raw path begins with


class Purge(NamedTuple):
    """Entries with this label, stored or asked for before now, are of no more use.

    ``soft``: they turn stale instead, and may be served where stale answers may.
    """

    kind: Kind
    value: str = ""
    soft: bool = False

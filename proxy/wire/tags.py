"""Tags: labels by which a stored answer is purged, as both sides of the cache write them.

Backends list them in ``Cache-Tag`` or ``X-Cache-Tags``, with commas, or in ``Surrogate-Key``, with
spaces; callers in ``X-Cache-Tags``, with commas. Case counts.

An answer that lacks one of its tags would outlive the purge by it. So nothing is cut or left out:
a list that cannot be kept whole is None, and what it belongs to is not stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

from proxy.model.message import Headers

MOST: Final = 64  # tags of an entry
LONGEST: Final = 256  # characters of a tag
_FIELDS: Final = frozenset({"cache-tag", "x-cache-tags", "surrogate-key"})


def collected(tags: Iterable[str]) -> tuple[str, ...] | None:
    """``tags`` in their order, each once; None if they are too many or one is unusable.

    A tag has 1 to 256 printable characters: the envelope keeps them apart by a control character.
    """
    each = tuple(dict.fromkeys(tags))
    return each if len(each) <= MOST and all(map(_is_tag, each)) else None


def listed(value: str) -> tuple[str, ...] | None:
    """The tags of a field that separates them by commas; None as for ``collected``."""
    return collected(_split(value))


def tags_of(headers: Headers) -> tuple[str, ...] | None:
    """The tags that the fields of a response give it; None as for ``collected``."""
    index = headers.index()
    if _FIELDS.isdisjoint(index):
        return ()
    commas = (_split(index[name]) for name in ("cache-tag", "x-cache-tags") if name in index)
    # Field by field: joined by commas, as the index has them, two lists of words are no list.
    spaces = (value.split() for value in headers.all("surrogate-key"))
    return collected(chain.from_iterable((*commas, *spaces)))


def _split(value: str) -> list[str]:
    # RFC 9110, section 5.6.1: empty elements do not count.
    return [tag for part in value.split(",") if (tag := part.strip(" \t"))]


def _is_tag(tag: str) -> bool:
    return 0 < len(tag) <= LONGEST and tag.isprintable()

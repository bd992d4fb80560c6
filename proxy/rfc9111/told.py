"""What a response tells caches: its directives, whichever field they stand in (RFC 9111, 5.2.2).

``Sidecache-Cache-Control``, else ``CDN-Cache-Control``, else ``Surrogate-Control`` takes the place
of ``Cache-Control`` and ``Expires`` where it is there and makes sense (RFC 9213, section 2.2; Edge
Architecture Specification, W3C Note, section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from proxy.model.message import Headers
from proxy.wire.cache_control import delta_seconds, members, said_to_caches

_SURROGATE = frozenset({"max-age", "no-store", "no-store-remote"})
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Told:
    """The directives of a response. Times in seconds; None: not given.

    ``no_cache`` and ``private`` stand for the unqualified directives; the fields that qualified
    ones name (lower case) are in ``unshared``: they are not stored, the rest may be.
    """

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    max_age: float | None = None
    s_maxage: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    unshared: frozenset[str] = _NOTHING
    targeted: bool = False  # said in a field for caches like this one, so that Expires is not heard

    @property
    def for_all(self) -> bool:
        """Whether it says that others may have what one caller was authorised to (section 3.5)."""
        return (
            self.public
            or self.must_revalidate
            or self.s_maxage is not None
            or (self.targeted and self.max_age is not None)
        )

    @property
    def never_stale(self) -> bool:
        """Whether it forbids all stale answers (sections 4.2.4 and 5.2.2)."""
        return (
            self.no_cache
            or self.must_revalidate
            or self.proxy_revalidate
            or self.s_maxage is not None
        )


UNTOLD = Told()


def told_by(headers: Headers, surrogate: str = "") -> Told:
    """What a response with ``headers`` tells.

    Args:
        surrogate: how this proxy calls itself in ``Surrogate-Capability``; "": it does not, and
            ``Surrogate-Control`` is not heard.
    """
    index = headers.index()
    if said := said_to_caches(index):
        return _read(said.items(), targeted=True)
    if surrogate and "surrogate-control" in index:
        for_us = _surrogate(index["surrogate-control"], surrogate)
        if for_us is not None:
            return for_us
    standard = index.get("cache-control")
    return UNTOLD if standard is None else _standard(standard)


@lru_cache(maxsize=256)  # servers repeat themselves; the parser bounds a field's length
def _standard(value: str) -> Told:
    return _read(members(value), targeted=False)


@lru_cache(maxsize=64)
def _surrogate(value: str, name: str) -> Told | None:
    """What ``Surrogate-Control`` tells ``name``; None if it says nothing about storing.

    A directive may be meant for one surrogate alone: ``max-age=60;name``. That counts most.
    """
    said: dict[str, str | None] = {}
    ours: dict[str, str | None] = {}
    for directive, argument in members(value):
        text = directive if argument is None else argument
        text, meant, target = text.partition(";")
        known = directive if argument is not None else text.rstrip(" \t")
        if meant and target.strip(" \t") != name:
            continue
        # ``max-age=60+30``: fresh for 60 s, and for 30 s more if that cannot be helped.
        worth = None if argument is None else text.rstrip(" \t").partition("+")[0]
        (ours if meant else said).setdefault(known, worth)
    said.update(ours)
    if _SURROGATE.isdisjoint(said):
        return None
    if "no-store-remote" in said:
        said["no-store"] = None
    return _read(said.items(), targeted=True)


def _read(said: Iterable[tuple[str, str | None]], *, targeted: bool) -> Told:
    """Of a number given twice the first counts (section 4.2.1); of a prohibition any."""
    first: dict[str, str | None] = {}
    unshared: set[str] = set()
    whole: set[str] = set()
    for name, argument in said:
        first.setdefault(name, argument)
        if name in {"no-cache", "private"}:
            fields = set(_fields(argument))
            # RFC 9111, section 5.2.2.4: where the list makes no sense, all of it is meant.
            if fields:
                unshared |= fields
            else:
                whole.add(name)
    return Told(
        no_store="no-store" in first,
        no_cache="no-cache" in whole,
        private="private" in whole,
        public="public" in first,
        must_revalidate="must-revalidate" in first,
        proxy_revalidate="proxy-revalidate" in first,
        must_understand="must-understand" in first,
        max_age=_seconds(first, "max-age"),
        s_maxage=_seconds(first, "s-maxage"),
        stale_while_revalidate=_seconds(first, "stale-while-revalidate"),
        stale_if_error=_seconds(first, "stale-if-error"),
        unshared=frozenset(unshared),
        targeted=targeted,
    )


def _fields(argument: str | None) -> Iterator[str]:
    for name in (argument or "").strip('"').split(","):
        if plain := name.strip(" \t").lower():
            yield plain


def _seconds(said: dict[str, str | None], name: str) -> float | None:
    """The seconds given; 0 for what is no number, so that nothing is kept by mistake."""
    if name not in said:
        return None
    seconds = delta_seconds(said[name])
    return 0.0 if seconds is None else seconds

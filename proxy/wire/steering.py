"""The words of other gateways by which callers steer a cache, in ours.

Who comes from another gateway has them in his code. A family is obeyed where the settings name it:
its fields then end here and are in no key, as ours are. They may name what no other caller's key
can be: a key that somebody chooses is a namespace, so that it never makes two questions one.

What makes no sense means that the cache is not used, as it does in our own fields. Where ours and
theirs are about the same, ours count.

Sources: docs.litellm.ai/docs/proxy/caching, openrouter.ai/docs/features/response-caching,
docs.helicone.ai/features/advanced-usage/caching,
developers.cloudflare.com/ai-gateway/features/caching,
portkey.ai/docs/product/ai-gateway/cache-simple-and-semantic,
docs.getbifrost.ai/features/semantic-caching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

import orjson

from proxy.model.message import Headers
from proxy.model.query import Controls
from proxy.wire.cache_control import (
    HEARD,
    LONGEST_S,
    NAMESPACE_LENGTH,
    UNASKED,
    controls_from_headers,
    delta_seconds,
    duration,
    merge,
    similarity,
)

_UNUSED: Final = Controls(no_cache=True, no_store=True)
_DAY_S: Final = 86_400.0
# Members that are the question itself: without them, an answer to anything would do.
_ASKED: Final = frozenset(
    {
        "messages", "prompt", "input", "model", "system", "instructions", "contents", "query",
        "documents", "texts", "inputs", "suffix", "question",
    }
)  # fmt: skip


class Family(StrEnum):
    """A gateway whose words are known."""

    LITELLM = "litellm"  # an object in the body: see ``dialects.json_body``
    OPENROUTER = "openrouter"
    HELICONE = "helicone"
    CLOUDFLARE = "cloudflare"
    PORTKEY = "portkey"
    BIFROST = "bifrost"


Read = Callable[[str], Controls]


class Steering:
    """What callers ask of the cache, in our words and those of some families."""

    def __init__(self, families: Iterable[Family] = ()) -> None:
        self._words: dict[str, Read] = {}
        self.names: frozenset[str] = frozenset()
        """Fields (lower case) that speak to the cache alone: they are in no key and end here."""
        for family in families:
            words = _WORDS.get(family, {})
            self._words |= words
            self.names |= words.keys() - _SHARED
        self._heard = HEARD | self._words.keys()

    def hears(self, name: str) -> bool:
        """Whether what a request asks of the cache may depend on its field ``name``."""
        return name in self._heard

    def controls(self, headers: Headers) -> Controls:
        """What the fields of a request ask of the cache; ``UNASKED`` if nothing."""
        if self._heard.isdisjoint(headers.index()):
            return UNASKED
        own = controls_from_headers(headers)
        if self._words.keys().isdisjoint(headers.index()):
            return own
        theirs = UNASKED
        for name, read in self._words.items():
            if name in headers:
                theirs = merge(theirs, read(headers.get(name).strip(" \t")))
        if own is UNASKED:
            return theirs
        return merge(
            own,
            replace(
                theirs,
                ttl=theirs.ttl if own.ttl is None else None,
                namespace="" if own.namespace else theirs.namespace,
                variants=theirs.variants if own.variants is None else None,
            ),
        )


def _switch(on: Controls = UNASKED, off: Controls = UNASKED) -> Read:
    """A word that is true or false."""

    def read(value: str) -> Controls:
        return {"true": on, "false": off}.get(value.lower(), _UNUSED)

    return read


def _ttl(value: str) -> Controls:
    seconds = delta_seconds(value)
    return _UNUSED if seconds is None else Controls(ttl=seconds)


def _ttl_in_a_day(value: str) -> Controls:
    """OpenRouter's: what is out of its bounds counts as the nearest of them."""
    seconds = delta_seconds(value)
    return _UNUSED if seconds is None else Controls(ttl=min(max(1.0, seconds), _DAY_S))


def _ttl_with_unit(value: str) -> Controls:
    seconds = duration(value)
    return Controls(ttl=seconds) if seconds else _UNUSED


def _namespace(value: str) -> Controls:
    usable = 0 < len(value) <= NAMESPACE_LENGTH and value.isprintable()
    return Controls(namespace=value) if usable else _UNUSED


def _variants(value: str) -> Controls:
    count = delta_seconds(value)
    return Controls(variants=int(count)) if count else _UNUSED


def _ignored(value: str) -> Controls:
    names = {name.strip(" \t") for name in value.split(",")} - {""}
    return _UNUSED if names & _ASKED else Controls(ignored=tuple(sorted(names)))


def _threshold(value: str) -> Controls:
    least = similarity(value)
    return Controls(by_meaning=False) if least is None else Controls(least_similarity=least)


def _kind(value: str) -> Controls:
    return {"direct": _EXACT, "semantic": UNASKED}.get(value.lower(), _UNUSED)


def _portkey_config(value: str) -> Controls:
    """The part of Portkey's configuration that is about the cache.

    Other parts choose a provider: it goes on to the backend, and is in the key. A configuration
    that is only named (``pc-...``) cannot be read here.
    """
    try:
        told = orjson.loads(value)
    except ValueError:
        return UNASKED
    wish = told.get("cache") if isinstance(told, dict) else None
    if wish is None:
        return UNASKED
    if not isinstance(wish, dict):
        return _UNUSED
    mode, age = wish.get("mode"), wish.get("max_age")
    if not (mode is None or isinstance(mode, str)):
        return _UNUSED
    said = {"simple": _EXACT, "semantic": UNASKED, None: UNASKED}.get(mode, _UNUSED)
    if age is None:
        return said
    if type(age) not in {int, float} or age < 0:
        return _UNUSED
    return merge(said, Controls(ttl=min(float(age), float(LONGEST_S))))


_EXACT: Final = Controls(by_meaning=False)
_RENEW: Final = Controls(no_cache=True)
_SHARED: Final = frozenset({"x-portkey-config"})  # not for the cache alone

_WORDS: Final[Mapping[Family, Mapping[str, Read]]] = {
    Family.OPENROUTER: {
        "x-openrouter-cache": _switch(off=_UNUSED),
        "x-openrouter-cache-ttl": _ttl_in_a_day,
        "x-openrouter-cache-clear": _switch(on=_RENEW),
    },
    Family.HELICONE: {
        "helicone-cache-enabled": _switch(off=_UNUSED),
        "helicone-cache-bucket-max-size": _variants,
        "helicone-cache-seed": _namespace,
        "helicone-cache-ignore-keys": _ignored,
    },
    Family.CLOUDFLARE: {
        "cf-aig-cache-ttl": _ttl,
        "cf-cache-ttl": _ttl,
        "cf-aig-skip-cache": _switch(on=_UNUSED),
        "cf-skip-cache": _switch(on=_UNUSED),
        "cf-aig-cache-key": _namespace,
    },
    Family.PORTKEY: {
        "x-portkey-cache-force-refresh": _switch(on=_RENEW),
        "x-portkey-cache-namespace": _namespace,
        "x-portkey-config": _portkey_config,
    },
    Family.BIFROST: {
        "x-bf-cache-key": _namespace,
        "x-bf-cache-ttl": _ttl_with_unit,
        "x-bf-cache-threshold": _threshold,
        "x-bf-cache-type": _kind,
        "x-bf-cache-no-store": _switch(on=_UNUSED),
    },
}

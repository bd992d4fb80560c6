"""What a reload changes: which settings differ, and which of them only a restart can bring.

What is not named here needs a restart, so that a new setting is never taken for applied when it is
not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from proxy.config.faults import Place, dotted
from proxy.config.outline import outline
from proxy.config.section import Section
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError

_LIVE: Final = (
    "tls", "pseudonym", "upstreams", "downstream", "cache", "l1_memory", "flights", "embeddings",
    "http_resource", "overload", "degradation", "compression", "rag", "reload", "metrics",
    "savings", "admin.token", "admin.token_file", "admin.allowed_hosts", "admin.allow_export",
    "admin.allow_import", "log.level", "log.requests",
)  # fmt: skip
# What is stored is found by hashes that it keys.
_FIXED: Final = ("cache.scope.secret", "cache.scope.secret_file")

# Sockets that several processes share are theirs for as long as there are any.
BOUND: Final = ("listen", "admin.listen", "admin.enabled")

_IN_FILES: Final = frozenset({"ca_file", "cert_file", "key_file"})
_WITH_TLS: Final = frozenset({"tls", "upstreams", "degradation"})
_MOST_BYTES: Final = 2**20  # of a certificate with its chain, or of a bundle of authorities


def is_live(name: str) -> bool:
    """Whether the setting with this dotted name takes effect at a reload."""
    return _within(name, _LIVE) and not _within(name, _FIXED)


def fixed() -> tuple[str, ...]:
    """The dotted names of all groups and settings that need a restart, the outermost ones."""
    found: list[str] = []
    for setting in outline():
        name = dotted(setting.path)
        inner = any(live.startswith(f"{name}.") for live in _LIVE)
        if not (is_live(name) or inner or _within(name, tuple(found))):
            found.append(name)
    return tuple(found)


def leaves(settings: Settings) -> Mapping[Place, object]:
    """Every value in ``settings`` by where it stands; that of an empty list or mapping, too."""
    return dict(_leaves(settings, ()))


def certificates(settings: Settings) -> Mapping[Place, Path]:
    """The files of certificates and keys that are read again at a reload."""
    return {
        place: value
        for place, value in leaves(settings).items()
        if isinstance(value, Path) and place[0] in _WITH_TLS and place[-1] in _IN_FILES
    }


def contents(settings: Settings) -> Mapping[Place, bytes]:
    """Digests of what is in ``certificates``. Reads files.

    Raises:
        ConfigError: one cannot be read.
    """
    return {place: _content(place, path) for place, path in certificates(settings).items()}


def changes(before: Settings, after: Settings) -> tuple[str, ...]:
    """The dotted names of all settings that differ, in the order they are documented."""
    old, new = leaves(before), leaves(after)
    absent = object()
    places = [*new, *(place for place in old if place not in new)]
    return tuple(
        dotted(place) for place in places if old.get(place, absent) != new.get(place, absent)
    )


def refuse_what_is_fixed(before: Settings, after: Settings, changed: tuple[str, ...]) -> None:
    """Raise ConfigError if something changed that only a restart can bring, naming all of it."""
    fixed = [name for name in changed if not is_live(name)]
    if (before.tls.cert_file is None) != (after.tls.cert_file is None):
        fixed += [name for name in changed if name == "tls.cert_file"]
    _refuse(fixed)


def refuse_what_is_bound(_before: Settings, _after: Settings, changed: tuple[str, ...]) -> None:
    """As ``refuse_what_is_fixed``, where processes are replaced: only their sockets stay."""
    _refuse([name for name in changed if _within(name, BOUND)])


def _refuse(fixed: Sequence[str]) -> None:
    if fixed:
        lines = [f"  {name}: needs a restart" for name in fixed]
        raise ConfigError("\n".join(["nothing was changed, as not all of it can be:", *lines]))


def _within(name: str, groups: tuple[str, ...]) -> bool:
    return any(name == group or name.startswith(f"{group}.") for group in groups)


def _leaves(value: object, place: Place) -> Iterator[tuple[Place, object]]:
    if isinstance(value, Section):
        for name in type(value).model_fields:
            yield from _leaves(getattr(value, name), (*place, name))
    elif isinstance(value, tuple) and value and isinstance(value[0], Section):
        for index, item in enumerate(value):
            yield from _leaves(item, (*place, index))
    elif isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, (*place, str(name)))
    else:
        yield place, value


def _content(place: Place, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{dotted(place)}: {path}: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{dotted(place)}: {path} is longer than {_MOST_BYTES} bytes")
    return blake2b(content, digest_size=16).digest()

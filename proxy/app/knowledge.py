"""The versions of knowledge bases, from settings."""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.rag import Rag
from proxy.config.rag import Version as VersionSettings
from proxy.config.settings import Settings
from proxy.versions import FileSource, UrlSource, Version, Versions, Watch
from proxy.wire.json_pointer import Pointer


class Knowledge:
    """The versions of all knowledge bases; routes with equal settings share one.

    Args:
        settings: checked settings.
        before: whose versions are taken over, with what is known of them, where equal settings ask
            for them.
    """

    def __init__(self, settings: Settings, before: Knowledge | None = None) -> None:
        known = {} if before is None else before.known
        self.known: dict[VersionSettings, Version] = {}
        for rag in settings.rag:
            asked = rag.version
            if asked.is_given and asked not in self.known:
                self.known[asked] = known.get(asked) or Version(_watch(asked))

    def version_of(self, rag: Rag) -> Callable[[], str | None]:
        """What tells the version of a route's knowledge base; "" where none counts."""
        if not rag.version.is_given:
            return lambda: ""
        return self.known[rag.version]

    async def follow(self, versions: Versions, before: Knowledge | None = None) -> None:
        """Begin to read those that are not read ``before``."""
        for version in self._not_in(before):
            await versions.begin(version)

    async def leave(self, versions: Versions, after: Knowledge | None = None) -> None:
        """Read those no more that are not read ``after``."""
        for version in self._not_in(after):
            await versions.end(version)

    def _not_in(self, other: Knowledge | None) -> list[Version]:
        others = set() if other is None else set(other.known.values())
        return [version for version in self.known.values() if version not in others]


def _watch(version: VersionSettings) -> Watch:
    pointer = None if version.pointer is None else Pointer(version.pointer)
    if version.file is not None:
        source = FileSource(version.file, version.timeout_s)
        return Watch(source, pointer, version.poll_s, at_once=True)
    return Watch(
        UrlSource(version.url or "", version.timeout_s), pointer, version.poll_s, at_once=False
    )

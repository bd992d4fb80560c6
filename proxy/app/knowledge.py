"""The versions of knowledge bases, from settings."""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.rag import Rag
from proxy.config.rag import Version as VersionSettings
from proxy.config.settings import Settings
from proxy.versions import FileSource, UrlSource, Versions, Watch
from proxy.wire.json_pointer import Pointer


class Knowledge:
    """The versions of all knowledge bases; routes with equal settings share one."""

    def __init__(self, settings: Settings) -> None:
        each = [rag.version for rag in settings.rag if rag.version.is_given]
        self._known = list(dict.fromkeys(each))
        self.versions = Versions(map(_watch, self._known))

    def version_of(self, rag: Rag) -> Callable[[], str | None]:
        """What tells the version of a route's knowledge base; "" where none counts."""
        if not rag.version.is_given:
            return lambda: ""
        return self.versions.of(self._known.index(rag.version))


def _watch(version: VersionSettings) -> Watch:
    pointer = None if version.pointer is None else Pointer(version.pointer)
    if version.file is not None:
        source = FileSource(version.file, version.timeout_s)
        return Watch(source, pointer, version.poll_s, at_once=True)
    return Watch(
        UrlSource(version.url or "", version.timeout_s), pointer, version.poll_s, at_once=False
    )

"""Indexes whose packages are not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from support.engines import Watch

from proxy.model.errors import ConfigError
from proxy.semantic.index.milvus import Milvus
from proxy.semantic.index.pgvector import PgVector


class Hiding(MetaPathFinder):
    """Finds what another finds, but for one package."""

    def __init__(self, finder: object, hidden: str) -> None:
        self._finder = finder
        self._hidden = hidden

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self._hidden:
            return None
        find: Callable[..., ModuleSpec | None] = self._finder.find_spec  # type: ignore[attr-defined]
        return find(fullname, path, target)


@pytest.mark.parametrize(
    ("package", "extra", "make"),
    [("asyncpg", "pgvector", PgVector), ("pymilvus", "milvus", Milvus)],
)
def test_a_missing_package_is_told_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str, make: type[PgVector | Milvus]
) -> None:
    monkeypatch.setattr(sys, "meta_path", [Hiding(each, package) for each in sys.meta_path])
    monkeypatch.delitem(sys.modules, package, raising=False)
    with pytest.raises(ConfigError, match=rf"pip install 'sidecache\[{extra}\]'"):
        make("postgresql://nowhere", **Watch().parts(lambda: 0.0))

"""Every path finds the backend it belongs to."""

from __future__ import annotations

import pytest

from proxy.model.errors import ConfigError
from proxy.upstream import HttpUpstream, Routes, UpstreamSpec


def backend(name, prefix):
    return HttpUpstream(UpstreamSpec(url="http://api.test", id=name, prefix=prefix))


def test_the_longest_prefix_wins_whatever_the_order():
    backends = [backend("a", "/a"), backend("root", "/"), backend("ab", "/a/b/")]
    for order in (backends, backends[::-1]):
        routes = Routes(order)
        for path, name in [
            ("/", "root"),
            ("/ab", "root"),
            ("/a", "a"),
            ("/a/bc", "a"),
            ("/a/b", "ab"),
            ("/a/b/c", "ab"),
        ]:
            assert routes.route(path).id == name


def test_a_path_without_a_backend_has_none():
    assert Routes([backend("a", "/a")]).route("/b") is None
    assert Routes([]).route("/") is None


@pytest.mark.parametrize(
    "two",
    [(backend("a", "/a"), backend("b", "/a/")), (backend("a", "/a"), backend("a", "/b"))],
)
def test_two_backends_share_neither_prefix_nor_id(two):
    with pytest.raises(ConfigError):
        Routes(two)

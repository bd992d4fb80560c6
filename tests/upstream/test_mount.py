"""A prefix covers whole segments, and all that is not prefix stays to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.mount import Mount

tails = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#"))


@pytest.mark.parametrize(
    ("prefix", "path", "holds"),
    [
        ("/", "/", True),
        ("/", "/v1/x", True),
        ("/", "*", False),
        ("/", "", False),
        ("/v1", "/v1", True),
        ("/v1", "/v1/", True),
        ("/v1/", "/v1", True),
        ("/v1", "/v1/x", True),
        ("/v1", "/v10", False),
        ("/v1", "/", False),
        ("/v1", "/V1/x", False),
        ("/v1", "/%761/x", False),
        ("/a/b", "/a/b/c", True),
        ("/a/b", "/a/bc", False),
    ],
)
def test_a_prefix_holds_whole_segments(prefix, path, holds):
    assert Mount(prefix).holds(path) is holds


@pytest.mark.parametrize(
    ("mount", "path", "target"),
    [
        (Mount(), "/v1/x", "/v1/x"),
        (Mount("/", "/base"), "/v1/x", "/base/v1/x"),
        (Mount("/", "/base/"), "/", "/base/"),
        (Mount("/v1"), "/v1/x", "/x"),
        (Mount("/v1"), "/v1", "/"),
        (Mount("/v1"), "/v1/", "/"),
        (Mount("/v1", "/api"), "/v1", "/api"),
        (Mount("/v1", "/api"), "/v1//x/", "/api//x/"),
        (Mount("/v1", "/api", strip_prefix=False), "/v1/x", "/api/v1/x"),
    ],
)
def test_the_backend_has_its_own_name_for_a_path(mount, path, target):
    assert mount.target(path, "") == target
    assert mount.target(path, "a=b&c") == f"{target}?a=b&c"


@given(tails, tails)
def test_what_follows_the_prefix_is_untouched(tail, query):
    target = Mount("/a", "/b").target(f"/a/{tail}", query)
    assert target == f"/b/{tail}" + (f"?{query}" if query else "")

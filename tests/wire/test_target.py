"""Targets and hosts of requests; the corpus of connections has the refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.errors import RequestError
from proxy.wire.target import Target, authority_fault, read_target


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/chat/completions",
        "/v1/models/org%2Fname",
        "/a//b",
        "/.well-known/x",
        "/a.b/..c/...",
        "/a/b..",
        "/%2e%2ex",
        "/a%252e%252e/b",
        "/a;b=c",
        "/a%zz%",
        "/@user:pass/",
        "/http://b/",
    ],
)
def test_a_path_with_one_reading_is_kept_to_the_byte(path: str) -> None:
    assert read_target("GET", path) == Target(path, "")
    assert read_target("GET", f"{path}?a=/../b//\\%2e&?") == Target(path, "a=/../b//\\%2e&?")


@pytest.mark.parametrize(
    "path",
    ["/.", "/..", "/./", "/a/..", "/%2e", "/%2E./x", "/a%2f.", "/a%5C..%5cb", "/..;x/", "/.;/a"],
)
def test_dot_segments_are_refused_however_they_are_spelled(path: str) -> None:
    with pytest.raises(RequestError, match="dot segments") as refused:
        read_target("GET", path)
    assert refused.value.status == 400


@pytest.mark.parametrize("target", ["", "a", "*", "//a", "?a", "mailto:a@b", "://a/", "http:/a"])
def test_what_is_neither_path_nor_http_uri_is_refused(target: str) -> None:
    with pytest.raises(RequestError):
        read_target("GET", target)


def test_an_absolute_target_is_taken_apart() -> None:
    assert read_target("GET", "http://a:1/b?c?d") == Target("/b", "c?d", "a:1")
    assert read_target("GET", "http://a?b") == Target("/", "b", "a")
    assert read_target("GET", "http://a") == Target("/", "", "a")
    assert read_target("OPTIONS", "http://a") == Target("*", "", "a")
    assert read_target("OPTIONS", "*") == Target("*", "")
    with pytest.raises(RequestError, match="no host and port"):
        read_target("GET", "http://user@a/")
    with pytest.raises(RequestError, match="too long"):
        read_target("GET", f"http://{'a' * 9999}/")


@given(st.text())
def test_a_target_that_is_accepted_begins_with_a_slash_and_has_no_way_out(target: str) -> None:
    try:
        read = read_target("GET", target)
    except RequestError:
        return
    assert read.path.startswith("/")
    assert not read.path.startswith("//")
    assert read.path.isascii()
    assert not set(read.path) & set(" \\#\r\n\0")
    assert not {".", ".."} & set(read.path.split("/"))


@pytest.mark.parametrize(
    "host",
    [
        "a", "api.test", "api.test:443", "a:", "127.0.0.1:80", "[::1]", "[::1]:8080", "[v1.a:b]",
        "under_score.test", "a%20b", "xn--caf-dma.test", "A.TEST.", "a:65535",
    ],
)  # fmt: skip
def test_every_form_of_host_is_accepted(host: str) -> None:
    assert authority_fault(host) == ""


@pytest.mark.parametrize(
    ("host", "fault"),
    [
        ("", "empty"),
        ("a" * 260, "too long"),
        ("user@a", "no host and port"),
        ("user:pass@a", "no host and port"),
        ("a b", "no host and port"),
        ("a/b", "no host and port"),
        ("a\tb", "no host and port"),
        ("a\n", "no host and port"),
        ("ä", "no host and port"),
        ("::1", "no host and port"),
        ("[::1", "no host and port"),
        ("a:1:2", "no host and port"),
        ("a:\u0661", "no host and port"),
        (":80", "no host and port"),
        ("a:70000", "does not exist"),
    ],
)
def test_a_host_that_is_none_is_told_why(host: str, fault: str) -> None:
    assert fault in authority_fault(host)

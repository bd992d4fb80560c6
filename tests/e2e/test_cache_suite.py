"""The public suite cache-tests, all of it, against the whole proxy. Heavy: it takes a minute."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import http as bench
from benchmarks.http import Test, Verdict, passed, shortfalls

# Required tests that cannot pass, or ask for what RFC 9111 or safety is against.
KNOWN = {
    # A reply to a request that the origin never answered shall have a field of the origin's.
    "stale-close-must-revalidate", "stale-close-proxy-revalidate", "stale-close-no-cache",
    "stale-close-s-maxage=2",
    # RFC 9111, section 5.1: of several Ages the first counts.
    "age-parse-prefix-twoline", "age-parse-dup-0", "age-parse-dup-0-twoline", "age-parse-dup-old",
    # A transfer coding that nobody knows: where such a body ends is in doubt.
    "headers-store-Transfer-Encoding",
}  # fmt: skip
WITHOUT_COOKIES = {"headers-store-Set-Cookie", "304-etag-update-response-Set-Cookie"}


@pytest.fixture
async def place() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()  # noqa: ASYNC240
    try:
        return await bench.suite(base / "sidecache-bench")
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "known", "optimal"),
    [("sidecache", KNOWN | WITHOUT_COOKIES, 76), ("sidecache, all on", KNOWN, 86)],
)
async def test_every_required_test_passes_but_those_that_are_known(
    place: Path, name: str, known: set[str], optimal: int
) -> None:
    tests = await bench.tests_of(place)
    results = await bench.results_of(place, bench.SETTINGS[name])
    short = shortfalls(tests, results)
    assert {test for test in short if tests[test].kind == "required"} == known
    assert passed(tests, results)["optimal"] >= optimal


def _test(name: str, kind: str = "required", *depends_on: str) -> Test:
    return Test(name, kind, depends_on, "")


def test_a_test_counts_if_those_it_depends_on_pass() -> None:
    tests = {
        each.id: each
        for each in (
            _test("a"), _test("b", "optimal", "a"), _test("c", "check"),
            _test("d", "required", "c"), _test("e"), _test("f"), _test("g"),
        )
    }  # fmt: skip
    results: Mapping[str, object] = {
        "a": True,
        "b": True,
        "c": ["Assertion", "no"],
        "d": True,
        "e": ["Setup", "x"],
        "f": ["Setup", "retry"],
    }
    assert passed(tests, results) == {"required": 1, "optimal": 1, "check": 0}
    assert shortfalls(tests, results) == {
        "d": Verdict.DEPENDS,
        "e": Verdict.SETUP,
        "f": Verdict.RETRY,
        "g": Verdict.UNTESTED,
    }

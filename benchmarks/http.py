"""How HTTP's caching rules are kept, by the public suite cache-tests, beside other caches.

The suite is not part of this project: it is fetched from npm, once, in the version named here, and
needs Node.js. Its origin and its client run beside a proxy in this process. The results of other
caches are those that come with it; they are of their versions of then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.serving import free_port
from proxy.app import Sidecache
from proxy.config.settings import Settings

PACKAGE, VERSION = "http-cache-tests", "0.4.5"
OTHERS = ("squid", "apache", "trafficserver", "varnish", "nginx", "nuster", "fastly")
KINDS = ("required", "optimal", "check")
LIMIT_S = 300.0
# As it comes, and with all that is left to choose chosen for the suite.
SETTINGS: dict[str, dict[str, Any]] = {
    "sidecache": {},
    "sidecache, all on": {"heuristic_fraction": 0.1, "set_cookie": "always"},
}
_TESTS = (
    "import tests from './tests/index.mjs'\n"
    "import surrogate from './tests/surrogate-control.mjs'\n"
    "console.log(JSON.stringify([...tests, surrogate].flatMap(each => each.tests)))\n"
)


class Verdict(StrEnum):
    """What became of a test."""

    PASS = "pass"
    FAIL = "fail"
    DEPENDS = "depends"  # one that it depends on did not pass
    SETUP = "setup"  # it did not come to what it tests
    RETRY = "retry"
    UNTESTED = "untested"


@dataclass(frozen=True)
class Test:
    """What is known of a test."""

    __test__ = False  # no test of pytest's

    id: str
    kind: str
    depends_on: tuple[str, ...]
    name: str


Results = Mapping[str, object]  # by test: true, or what went wrong


def verdict(tests: Mapping[str, Test], results: Results, name: str) -> Verdict:
    """What became of the test called ``name``, as the suite's own pages tell it."""
    if name not in results or name not in tests:
        return Verdict.UNTESTED
    if any(verdict(tests, results, each) is not Verdict.PASS for each in tests[name].depends_on):
        return Verdict.DEPENDS
    result = results[name]
    if result is True:
        return Verdict.PASS
    if isinstance(result, list) and result[0] == "Setup":
        return Verdict.RETRY if result[1] == "retry" else Verdict.SETUP
    return Verdict.FAIL


def passed(tests: Mapping[str, Test], results: Results) -> dict[str, int]:
    """How many tests of each kind passed."""
    found = dict.fromkeys(KINDS, 0)
    for name, test in tests.items():
        found[test.kind] += verdict(tests, results, name) is Verdict.PASS
    return found


async def said(*words: str, folder: Path, env: Mapping[str, str] | None = None) -> str:
    """What a command prints. Raises RuntimeError if it fails or takes too long."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RuntimeError(f"{words[0]} took more than {LIMIT_S:g} s") from None
    if process.returncode:
        raise RuntimeError(f"{words[0]}: {err.decode(errors='replace').strip()[-500:]}")
    return out.decode()


async def suite(folder: Path) -> Path:
    """Where the suite is; fetched into ``folder`` if it is not there. Raises RuntimeError."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is missing: the suite needs Node.js")
    place = folder / "node_modules" / PACKAGE
    if not os.path.exists(place / "cli.mjs"):  # noqa: PTH110, ASYNC240 - once, before anything runs
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - as above
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-save")
        await said(
            "npm", "install", *options, "--prefix", ".", f"{PACKAGE}@{VERSION}", folder=folder
        )
    return place


async def tests_of(place: Path) -> dict[str, Test]:
    """The tests that are for shared caches."""
    told = await said("node", "--no-warnings", "--input-type=module", "-e", _TESTS, folder=place)
    return {
        each["id"]: Test(
            each["id"],
            each.get("kind", "required"),
            tuple(each.get("depends_on", ())),
            each["name"],
        )
        for each in json.loads(told)
        if not each.get("browser_only")
    }


@asynccontextmanager
async def origin(place: Path) -> AsyncIterator[str]:
    """The suite's own server, at the URL that is given."""
    port = free_port()
    env = {"npm_config_protocol": "http", "npm_config_port": str(port)}
    process = await asyncio.create_subprocess_exec(
        "node",
        "server/server.mjs",
        cwd=place,
        env={**os.environ, **env, "npm_config_pidfile": os.devnull},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def results_of(place: Path, chosen: Mapping[str, Any]) -> Results:
    """What the suite says of a proxy with these settings of ``http_resource``."""
    async with origin(place) as url:
        proxy = Sidecache(
            Settings.model_validate(
                {
                    "listen": "127.0.0.1:0",
                    "admin": {"enabled": False},
                    "l2_disk": {"enabled": False},
                    "upstreams": [{"url": url}],
                    "http_resource": {"enabled": True, **chosen},
                }
            )
        )
        await proxy.start()
        try:
            # Empty, not absent: all tests.
            env = {"npm_config_base": proxy.url, "npm_config_id": "", "npm_package_config_id": ""}
            found = json.loads(
                await said("node", "--no-warnings", "cli.mjs", folder=place, env=env)
            )
        finally:
            await proxy.close(0)
    return dict(found)


def table(tests: Mapping[str, Test], all_results: Mapping[str, Results]) -> str:
    """How many of each kind each cache passes, the best first."""
    most = {kind: sum(test.kind == kind for test in tests.values()) for kind in KINDS}
    lines = [f"{'':20}" + "".join(f"{f'{kind} ({most[kind]})':>16}" for kind in KINDS)]
    counts = {name: passed(tests, results) for name, results in all_results.items()}
    lines += [
        f"{name:20}" + "".join(f"{counts[name][kind]:>16}" for kind in KINDS)
        for name in sorted(counts, key=lambda name: -counts[name]["required"])
    ]
    return "\n".join(lines)


def shortfalls(tests: Mapping[str, Test], results: Results) -> dict[str, Verdict]:
    """The tests that do not pass and are no mere question, and what became of them."""
    found = {name: verdict(tests, results, name) for name in tests if tests[name].kind != "check"}
    return {name: fate for name, fate in found.items() if fate is not Verdict.PASS}


async def _measured(
    folder: Path, names: list[str]
) -> tuple[Path, dict[str, Test], dict[str, Results]]:
    """Where the suite is, its tests, and the results with each of the settings named."""
    place = await suite(folder)
    tests = await tests_of(place)
    return place, tests, {name: await results_of(place, SETTINGS[name]) for name in names}


def _told(results: Results, name: str) -> str:
    """What the suite says of a test that did not pass."""
    result = results.get(name)
    return str(result[1]) if isinstance(result, list) else ""


def main(argv: list[str]) -> int:
    """Run the suite; 1 if another cache passes as many of the required tests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks http", description=__doc__)
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    parser.add_argument(
        "--suite", type=Path, default=base / "sidecache-bench", help="where it is, or is put"
    )
    parser.add_argument("--json", type=Path, help="write what was found to this file, too")
    parser.add_argument("--settings", choices=[*SETTINGS], action="append", help="of ours, which")
    given = parser.parse_args(argv)
    try:
        place, tests, ours = asyncio.run(_measured(given.suite, given.settings or [*SETTINGS]))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    theirs = {name: json.loads((place / "results" / f"{name}.json").read_text()) for name in OTHERS}
    print(table(tests, {**ours, **theirs}))
    for name, results in ours.items():
        print(f"\nwhat {name} does not pass")
        for test, fate in shortfalls(tests, results).items():
            print(f"  {tests[test].kind:9} {test:52} {fate:8} {_told(results, test)}")
    counts = {name: passed(tests, results) for name, results in {**ours, **theirs}.items()}
    if given.json is not None:
        report = {"suite": f"{PACKAGE} {VERSION}", "passed": counts, "results": ours}
        given.json.write_text(json.dumps(report, indent=2))
    best = max(counts[name]["required"] for name in theirs)
    return int(any(counts[name]["required"] <= best for name in ours))

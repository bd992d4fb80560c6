from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from support.demo_calls import ask
from support.operating import ADMIN
from support.proxied import Proxied, proxied
from support.told_admin import Listener, Run

from proxy.demo.backend import DemoBackend, Pace

DIGEST = "0a" * 32


def test_every_kind_of_purge_is_asked_for_by_its_option(run: Run, admin: Listener) -> None:
    admin.say("/purge", {"complete": True, "generation": 1, "absent": [], "trouble": ""})
    result = run(
        "purge", "--admin-url", admin.url, "--soft",
        *("--key", DIGEST, "--tag", "a", "--tag", "b", "--model", "m", "--dialect", "d"),
        *("--scope", "s", "--path", "/v1/"),
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout == "purged: every replica obeys\n"
    assert [(a.said["kind"], a.said["values"], a.said["soft"]) for a in admin.asked] == [
        ("key", [DIGEST], True),
        ("tag", ["a", "b"], True),
        ("model", ["m"], True),
        ("dialect", ["d"], True),
        ("scope", ["s"], True),
        ("path", ["/v1/"], True),
    ]


def test_many_values_are_told_a_thousand_at_a_time(run: Run, admin: Listener) -> None:
    admin.say("/purge", {"complete": True})
    tags = [word for n in range(1001) for word in ("--tag", f"t{n}")]
    assert run("purge", "--admin-url", admin.url, *tags).exit_code == 0
    assert [len(asked.said["values"]) for asked in admin.asked] == [1000, 1]


def test_who_has_not_obeyed_is_named_and_the_status_says_no(run: Run, admin: Listener) -> None:
    absent = {"replica": "b:1\x1b[31m", "silent_s": 2.5}
    said = {"complete": False, "generation": 1, "absent": [absent], "trouble": "redis is away"}
    admin.say("/purge", (202, said))

    result = run("purge", "--admin-url", admin.url, "--tag", "x")
    assert result.exit_code == 1
    assert "b:1\\x1b[31m, silent for 2.5 s" in result.stdout
    assert "redis is away" in result.stdout

    result = run("purge", "--admin-url", admin.url, "--tag", "x", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {**said, "purges": [said]}


def test_all_is_taken_alone(run: Run, admin: Listener) -> None:
    admin.say("/purge", {"complete": True})
    assert run("purge", "--admin-url", admin.url, "--all").exit_code == 0
    assert admin.asked[0].said == {"kind": "all", "soft": False}
    result = run("purge", "--admin-url", admin.url, "--all", "--tag", "x")
    assert (result.exit_code, len(admin.asked)) == (2, 1)


def test_nothing_named_is_nothing_purged(run: Run, admin: Listener) -> None:
    result = run("purge", "--admin-url", admin.url)
    assert result.exit_code == 2
    assert "--all" in result.stderr
    assert admin.asked == []


@pytest.fixture
async def proxy() -> AsyncIterator[Proxied]:
    async with DemoBackend(Pace(0, 0)) as backend, proxied(backend.url, **ADMIN) as proxy:
        yield proxy


async def test_a_running_proxy_obeys(run: Run, proxy: Proxied) -> None:
    await ask(proxy.url, "Hello", tags="doc:1")
    for tag in ("doc:2", "doc:1"):
        result = await asyncio.to_thread(run, "purge", "--admin-url", proxy.admin_url, "--tag", tag)
        assert result.exit_code == 0, result.output
        await ask(proxy.url, "Hello", tags="doc:1")
    assert proxy.verdicts == ["MISS", "HIT", "MISS"]

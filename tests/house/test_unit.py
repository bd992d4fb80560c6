"""The unit of systemd against the program that it starts."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from proxy.cli import cli
from proxy.config.settings import Settings

UNIT = Path(__file__).parents[2] / "config" / "systemd" / "sidecache.service"
LINES = [line.partition("=") for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line)]
MOST_EXPOSED = 1.5  # of 10, as systemd-analyze has it

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


def values(name: str) -> list[str]:
    return [value for key, _, value in LINES if key == name]


def value(name: str) -> str:
    (only,) = values(name)
    return only


def analyze(*words: str, tmp_path: Path) -> str:
    """What systemd-analyze says of the unit, with a program that is there."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/sidecache/bin/sidecache", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", *words, str(unit)],
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_it_starts_is_a_command_with_its_options() -> None:
    program, name, *words = shlex.split(value("ExecStart"))
    assert Path(program).name == "sidecache"
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.make_context(name, words).params["config"] == Path(
        "/etc/sidecache/sidecache.yaml"
    )


def test_it_waits_for_as_long_as_the_proxy_may_take_to_stop() -> None:
    downstream = Settings().downstream
    delay_s = getattr(downstream, "drain_delay_s", 0)
    assert int(value("TimeoutStopSec")) >= delay_s + downstream.drain_s + 15


def test_the_disk_tier_is_where_it_may_write() -> None:
    environment = dict(one.split("=", 1) for one in shlex.split(value("Environment")))
    cache = Path(environment["XDG_CACHE_HOME"], "sidecache")
    assert cache == Path("/var/cache", value("CacheDirectory"))
    assert value("ProtectSystem") == "strict"
    assert value("PrivateTmp") == "yes"  # several workers meet there


def test_it_is_reloaded_by_the_signal_that_reloads_and_ready_when_told_so() -> None:
    assert value("ExecReload").split()[1:] == ["-HUP", "$MAINPID"]
    assert (value("Type"), value("NotifyAccess")) == ("notify", "main")


@needs_systemd
def test_systemd_finds_no_fault_with_it(tmp_path: Path) -> None:
    assert analyze("verify", tmp_path=tmp_path) == ""


@needs_systemd
def test_it_may_do_little_else_than_serve(tmp_path: Path) -> None:
    told = analyze("security", "--offline=true", "--no-pager", tmp_path=tmp_path)
    found = re.search(r"exposure level for sidecache.service: ([0-9.]+)", told)
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED

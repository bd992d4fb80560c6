"""The Dockerfile against the program that it packs.

What comes of it, ``tests/image/try_it.py`` tries.
"""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from proxy.app.store import data_directory
from proxy.cli import cli
from proxy.config.load import load
from proxy.model.errors import ConfigError

ROOT = Path(__file__).parents[2]


class Instruction(NamedTuple):
    """One of a Dockerfile, its lines joined."""

    stage: str
    name: str
    rest: str


def instructions() -> list[Instruction]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stage, found = "", []
    for line in text.replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = rest.split()[-1]
        if name:
            found.append(Instruction(stage, name, " ".join(rest.split())))
    return found


ALL = instructions()


def those(name: str, *stages: str) -> list[str]:
    return [each.rest for each in ALL if each.name == name and (not stages or each.stage in stages)]


def only(name: str) -> str:
    (rest,) = those(name)
    return rest


def environment() -> dict[str, str]:
    return dict(
        word.split("=", 1) for rest in those("ENV", "runtime") for word in shlex.split(rest)
    )


def test_the_default_is_the_one_without_extras() -> None:
    assert those("FROM")[-1] == "runtime AS slim"
    assert those("FROM")[-2] == "runtime AS semantic"


def test_nothing_is_installed_that_is_not_locked_with_hashes() -> None:
    calls = re.findall(r"pip\b[^&]* (?:install|wheel) [^&]*", " && ".join(those("RUN")))
    assert len(calls) == 7
    for call in calls:
        assert "--require-hashes" in call or "--no-index" in call, call
        assert "--no-deps" in call, call
        locks = re.findall(r"-r (\S+)", call)
        assert all((ROOT / lock).is_file() for lock in locks), call
        assert not locks or "--only-binary :all:" in call, call


def test_what_is_copied_is_there_and_let_through_and_nothing_else_is() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    copied = {
        source
        for rest in those("COPY", "builder", "needs", "semantic-needs", "own")
        for source in rest.split()[:-1]
    }
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in let_in), source
    for pattern in let_in:
        assert any(fnmatch(source, pattern) for source in copied), pattern


def test_both_images_are_the_same_but_for_what_is_installed() -> None:
    semantic = [(name, rest) for stage, name, rest in ALL if stage == "semantic"]
    slim = [(name, rest) for stage, name, rest in ALL if stage == "slim"]
    unlike = [one for one in zip(slim, semantic, strict=True) if one[0] != one[1]]
    assert [name for (name, _), _ in unlike] == ["FROM", "COPY", "LABEL"]
    assert {name for name, _ in slim} == {"FROM", "COPY", "ARG", "LABEL"}


def test_what_runs_is_nobody_and_needs_no_shell() -> None:
    assert only("USER") == "65532:65532"
    assert only("STOPSIGNAL") == "SIGTERM"
    assert json.loads(only("ENTRYPOINT")) == ["sidecache"]
    assert not those("ADD")


@pytest.mark.parametrize("name", ["CMD", "HEALTHCHECK"])
def test_what_it_runs_are_commands_with_their_options(name: str) -> None:
    words = json.loads(only(name).rpartition("CMD ")[2])
    if name == "HEALTHCHECK":
        assert words.pop(0) == "sidecache"
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


def test_its_health_is_asked_for_less_long_than_it_is_waited_for() -> None:
    (timeout_s,) = re.findall(r"--timeout=(\d+)s", only("HEALTHCHECK"))
    command = cli.get_command(click.Context(cli), "health")
    assert command is not None
    assert command.make_context("health", []).params["timeout_s"] < float(timeout_s)


def test_its_environment_lets_clients_in_and_the_operator_from_inside_only() -> None:
    settings = load(None, environment()).settings
    assert str(settings.listen) == "0.0.0.0:8080"
    assert settings.admin.listen.is_loopback
    assert only("EXPOSE").split() == [str(settings.listen.port), str(settings.admin.listen.port)]


def test_the_operator_is_let_in_from_elsewhere_with_a_token_only() -> None:
    elsewhere = environment() | {"SIDECACHE_ADMIN__LISTEN": "0.0.0.0:8081"}
    with pytest.raises(ConfigError, match="token"):
        load(None, elsewhere)
    load(None, elsewhere | {"SIDECACHE_ADMIN__TOKEN": "made-up"})


def test_the_disk_tier_is_on_the_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", environment()["XDG_CACHE_HOME"])
    assert data_directory(load(None, environment()).settings) == Path(only("VOLUME"))
    (prepared,) = those("RUN", "runtime")
    assert f"mkdir -m 700 {only('VOLUME')} && chown {only('USER')} {only('VOLUME')}" in prepared

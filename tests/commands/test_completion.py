"""What shells complete, asked of the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.told_admin import Run

from proxy.cli import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``sidecache`` is a command."""
    command = tmp_path / "sidecache"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m proxy "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path),
    }  # fmt: skip


def ran(shell: dict[str, str], *words: str) -> list[str]:
    done = subprocess.run(
        words, env=shell, capture_output=True, text=True, timeout=50, check=True, cwd=ROOT
    )
    assert done.stderr == ""
    return done.stdout.split()


BASH = """
eval "$(sidecache completion bash)"
complete -p sidecache >/dev/null || exit 1
COMP_WORDS=({words}) COMP_CWORD={last}
_sidecache_completion sidecache
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "last", "completed"),
    [
        ("sidecache s", 1, ["serve", "schema", "stats"]),
        ("sidecache", 1, None),
        ("sidecache stats --re", 2, ["--reasons"]),
        ("sidecache completion ''", 2, ["bash", "zsh", "fish"]),
        ("sidecache --h", 1, ["--help"]),
        ("sidecache nothing", 1, [""]),
    ],
)
def test_bash_completes_commands_options_and_choices(
    shell: dict[str, str], words: str, last: int, completed: list[str] | None
) -> None:
    script = BASH.format(words=words, last=last)
    found = ran(shell, "bash", "--norc", "-c", script)
    if completed is None:
        assert {"serve", "health", "model"} <= set(found)
    else:
        assert found == [name for name in completed if name]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_what_is_printed_asks_for_what_completes(run: Run, name: str) -> None:
    told = run("completion", name)
    assert told.exit_code == 0
    assert f"_SIDECACHE_COMPLETE={name}_complete" in told.stdout


def test_a_shell_that_is_not_known_is_refused(run: Run) -> None:
    assert run("completion", "tcsh").exit_code == 2


def test_commands_are_completed_without_importing_them() -> None:
    found = cli.shell_complete(click.Context(cli), "s")
    assert [(one.value, one.help) for one in found] == [
        (name, cli.listed[name].does) for name in ("serve", "schema", "stats")
    ]


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes_commands_and_says_what_they_do(shell: dict[str, str]) -> None:
    script = 'sidecache completion fish | source; complete -C "sidecache he"'
    assert ran(shell, "fish", "--no-config", "-c", script)[:3] == ["health", "Ask", "a"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_knows_who_completes_it(shell: dict[str, str]) -> None:
    script = (
        'autoload -U compinit; compinit -D; eval "$(sidecache completion zsh)";'
        "print $_comps[sidecache]; whence -w _sidecache_completion"
    )
    assert ran(shell, "zsh", "-f", "-c", script) == [
        "_sidecache_completion", "_sidecache_completion:", "function",
    ]  # fmt: skip

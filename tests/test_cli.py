from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from proxy.cli import Rooms, cli
from proxy.config.load import Loaded, Origin
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError

ROOT = Path(__file__).parents[1]
Run = Callable[..., Result]


class Opened:
    """Rooms that only note that they were opened."""

    def __init__(self, status: int = 0, error: Exception | None = None) -> None:
        self.served: list[tuple[Settings, bool]] = []
        self.tours = 0
        self._status = status
        self._error = error

    def serve(self, loaded: Loaded, source: Origin, *, demo: bool = False) -> int:
        if self._error:
            raise self._error
        assert source.load() == loaded
        self.served.append((loaded.settings, demo))
        return self._status

    def tour(self) -> int:
        self.tours += 1
        return self._status


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("SIDECACHE_")]:
        monkeypatch.delenv(name)

    def run(*words: str, rooms: Opened | None = None, **environ: str) -> Result:
        opened = rooms or Opened()
        return CliRunner().invoke(
            cli, words, obj=Rooms(opened.serve, opened.tour), env=environ, prog_name="sidecache"
        )

    return run


def test_serve_hands_over_what_the_flags_say(run: Run) -> None:
    rooms = Opened()
    flags = ["--upstream", "http://a:1", "--listen", "[::1]:0", "--admin", "127.0.0.1:0"]
    assert run("serve", *flags, "--log-format", "text", rooms=rooms).exit_code == 0
    ((settings, demo),) = rooms.served
    assert [upstream.url for upstream in settings.upstreams] == ["http://a:1"]
    assert (str(settings.listen), str(settings.admin.listen)) == ("[::1]:0", "127.0.0.1:0")
    assert settings.log.format == "text"
    assert not demo


def test_serve_ends_as_the_proxy_does(run: Run) -> None:
    assert run("serve", "--upstream", "http://a", rooms=Opened(status=3)).exit_code == 3


def test_serve_without_a_backend_says_how_to_name_one(run: Run) -> None:
    rooms = Opened()
    result = run("serve", rooms=rooms)
    assert result.exit_code == 2
    assert "sidecache serve --upstream http://127.0.0.1:8000" in result.stderr
    assert "sidecache serve --demo" in result.stderr
    assert not rooms.served


def test_the_demo_backend_needs_no_other(run: Run) -> None:
    rooms = Opened()
    assert run("serve", "--demo", rooms=rooms).exit_code == 0
    assert rooms.served == [(Settings(), True)]


def test_a_proxy_that_cannot_start_is_told_in_one_message(run: Run) -> None:
    rooms = Opened(error=ConfigError("listen: 127.0.0.1:1: Permission denied"))
    result = run("serve", "--upstream", "http://a", rooms=rooms)
    assert result.exit_code == 2
    assert result.stderr == "Error: listen: 127.0.0.1:1: Permission denied\n"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_every_fault_is_told_without_a_traceback(run: Run, command: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("cache:\n  ttl: 5\n  jitter: 2\n")
    result = run(command, "-c", str(file), "--listen", "8080")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: the configuration has 3 faults:\n")
    assert "did you mean cache.ttl_s?" in result.stderr
    assert "listen (--listen): must be host:port" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_file_may_be_named_by_the_environment(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("upstreams: [{url: http://a:1}]\n")
    rooms = Opened()
    assert run("serve", rooms=rooms, SIDECACHE_CONFIG=str(file)).exit_code == 0
    assert rooms.served[0][0].upstreams[0].url == "http://a:1"


def test_a_file_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    result = run("check", "-c", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_check_shows_what_is_in_force_and_where_it_comes_from(run: Run) -> None:
    result = run("check", "--upstream", "http://a:1", SIDECACHE_CACHE__TTL_S="10m")
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["cache"]["ttl_s"] == 600
    assert "  ttl_s: 600  # SIDECACHE_CACHE__TTL_S\n" in result.stdout
    assert '  - url: "http://a:1"  # --upstream\n' in result.stdout
    assert result.stderr == ""


def test_check_shows_no_secret(run: Run) -> None:
    result = run("check", SIDECACHE_ADMIN__TOKEN="hunter2")
    assert "hunter2" not in result.output
    assert "SIDECACHE_ADMIN__TOKEN" in result.stdout


def test_check_warns_when_there_is_nothing_to_serve(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert "upstreams is empty" in result.stderr


def test_a_secret_file_that_all_can_read_is_warned_of(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken")
    file.chmod(0o644)
    result = run("check", "--upstream", "http://a", SIDECACHE_ADMIN__TOKEN_FILE=str(file))
    assert result.exit_code == 0
    assert result.stderr.startswith(f"Warning: {file} holds a secret")


@pytest.mark.parametrize(
    ("form", "file"),
    [
        ("json", "config/schema.json"),
        ("yaml", "config/sidecache.yaml"),
        ("markdown", "docs/configuration.md"),
    ],
)
def test_schema_shows_what_is_in_the_repository(run: Run, form: str, file: str) -> None:
    result = run("schema", "--format", form)
    assert result.exit_code == 0
    assert result.stdout == (ROOT / file).read_text(encoding="utf-8")


def test_demo_gives_the_tour(run: Run) -> None:
    rooms = Opened(status=1)
    assert run("demo", rooms=rooms).exit_code == 1
    assert rooms.tours == 1


def test_a_word_that_is_no_command_is_refused(run: Run) -> None:
    result = run("srve")
    assert result.exit_code == 2
    assert "No such command 'srve'" in result.stderr


def sidecache(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The real thing, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *words],
        cwd=ROOT, env={"PATH": "/bin", **environ}, capture_output=True, text=True, timeout=50,
        check=False,
    )  # fmt: skip


def test_the_module_is_the_command() -> None:
    ran = sidecache("version")
    assert ran.returncode == 0
    assert ran.stdout.startswith("sidecache ")


def test_the_shell_can_complete_commands() -> None:
    environ = {"COMP_WORDS": "sidecache s", "COMP_CWORD": "1"}
    ran = sidecache(_SIDECACHE_COMPLETE="bash_complete", **environ)
    assert ran.stdout.split() == ["plain,schema", "plain,serve", "plain,stats"]


def test_starting_the_command_line_imports_nothing_that_serving_does_not_need() -> None:
    heavy: Any = ("pydantic_settings", "typer", "rich", "structlog", "proxy.app", "aiohttp")
    code = f"import proxy.cli, sys; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50,
        check=True,
    )  # fmt: skip
    assert ran.stdout == "[]\n"

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from proxy.cli import Rooms, cli
from proxy.commands.grouped import Listed
from proxy.config.load import Loaded, Origin
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError

ROOT = Path(__file__).parents[1]
NOWHERE = {"SIDECACHE_ADMIN__LISTEN": "127.0.0.1:1"}
Run = Callable[..., Result]


class Opened:
    """Rooms that only note that they were opened."""

    def __init__(self, status: int = 0, error: Exception | None = None) -> None:
        self.served: list[tuple[Settings, bool]] = []
        self.tours = 0
        self.backends: list[tuple[str, int]] = []
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

    def backend(self, host: str, port: int) -> int:
        self.backends.append((host, port))
        return self._status


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("SIDECACHE_")]:
        monkeypatch.delenv(name)

    def run(*words: str, rooms: Opened | None = None, **environ: str) -> Result:
        opened = rooms or Opened()
        return CliRunner().invoke(
            cli,
            words,
            obj=Rooms(opened.serve, opened.tour, opened.backend),
            env=environ,
            prog_name="sidecache",
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


@pytest.mark.parametrize(
    ("given", "place"), [("0.0.0.0:8000", ("0.0.0.0", 8000)), ("[::1]:0", ("::1", 0))]
)
def test_demo_can_be_its_backend_alone(run: Run, given: str, place: tuple[str, int]) -> None:
    rooms = Opened(status=3)
    assert run("demo", "--backend", given, rooms=rooms).exit_code == 3
    assert (rooms.backends, rooms.tours) == ([place], 0)


@pytest.mark.parametrize("given", ["8000", ":8000", "a:", "a:b", "a:65536"])
def test_a_backend_that_has_no_place_is_refused(run: Run, given: str) -> None:
    rooms = Opened()
    result = run("demo", "--backend", given, rooms=rooms)
    assert result.exit_code == 2
    assert "must be HOST:PORT" in result.stderr
    assert not rooms.backends


def test_the_version_is_that_of_the_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("version").stdout.startswith(f"sidecache {version('sidecache')}, Python 3.")
    monkeypatch.setattr(sys, "path", [])  # as where it was only unpacked
    assert run("version").stdout.startswith("sidecache unknown (not installed), Python 3.")


def test_a_word_that_is_no_command_is_refused(run: Run) -> None:
    result = run("srve")
    assert result.exit_code == 2
    assert "No such command 'srve'" in result.stderr


AS_PROCESS_1 = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]


def makes_process_1() -> bool:
    try:
        done = subprocess.run([*AS_PROCESS_1, "true"], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


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


@pytest.mark.parametrize("listed", cli.listed.values(), ids=list(cli.listed))
def test_the_list_tells_of_each_command_what_its_own_help_does(listed: Listed) -> None:
    command = cli.get_command(click.Context(cli), listed.name)
    assert command is not None
    assert command.name == listed.name
    assert command.get_short_help_str(200) == listed.does


@pytest.mark.parametrize("words", [("--help",), ("version",), ("health",), ("completion", "fish")])
def test_what_starts_often_imports_next_to_nothing(words: tuple[str, ...]) -> None:
    code = (
        "import atexit, sys; from proxy.cli import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, env=dict(os.environ, **NOWHERE),
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    imported = set(ran.stderr.splitlines()[-1].split())
    assert {"click", "proxy.commands.grouped"} <= imported
    assert not imported & {"pydantic", "yaml", "orjson", "aiohttp", "asyncio", "http"}


@pytest.mark.skipif(not makes_process_1(), reason="no process 1 can be made here")
def test_process_1_of_a_container_obeys_while_it_starts(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    os.mkfifo(file)
    words = [*AS_PROCESS_1, sys.executable, "-m", "proxy", "check", "-c", str(file)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE) as starting:
        try:
            with file.open("w"):  # it waits for its settings
                children = Path(f"/proc/{starting.pid}/task/{starting.pid}/children").read_text()
                os.kill(int(children), signal.SIGTERM)
                assert starting.wait(20) == 128 + signal.SIGTERM
        finally:
            starting.kill()
        assert starting.stderr is not None
        assert starting.stderr.read() == b""


@pytest.mark.parametrize(("left", "unwound"), [(True, False), (False, True)])
def test_a_thread_that_is_left_in_foreign_code_is_not_unwound(left: bool, unwound: bool) -> None:
    # C++ takes it for a fault of its own, and the process ends by abort().
    code = (
        "import atexit, sys, threading, time; from proxy.cli import main;"
        "atexit.register(print, 'unwound'); sys.argv[1:] = ['version'];"
        f"{left} and threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50,
        check=True,
    )  # fmt: skip
    assert ran.stdout.startswith("sidecache ")
    assert ("unwound" in ran.stdout) is unwound


def test_starting_the_command_line_imports_nothing_that_serving_does_not_need() -> None:
    heavy: Any = ("pydantic_settings", "typer", "rich", "structlog", "proxy.app", "aiohttp")
    code = f"import proxy.cli, sys; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50,
        check=True,
    )  # fmt: skip
    assert ran.stdout == "[]\n"

"""``./run`` in a tree of its own, with a uv that notes what it is asked and fetches nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Says what it was asked; hangs in an install, until somebody writes to the gate, if there is one.
UV = """#!/bin/sh
echo "$*" >>"$CALLS"
case $1 in
    venv)
        for venv; do :; done
        mkdir -p "$venv/bin"
        for tool in python sidecache pytest ruff mypy lint-imports hadolint; do
            cp "$TOOL" "$venv/bin/$tool"
        done
        ;;
    pip) [ ! -p "$GATE" ] || read -r _ <"$GATE" ;;
esac
"""

# Stands for each command of the environment: says how it was called. Its Python has no torch until
# pip has installed it.
TOOL = """#!/bin/sh
name=${0##*/}
case $name,$* in
    python,*" -r requirements-clients.lock")
        echo "$*" >>"$CALLS"
        [ -z "$CLIENTS_FAIL" ]
        exit
        ;;
    python,*" -r requirements-torch.lock")
        echo "$*" >>"$CALLS"
        [ -z "$TORCH_FAILS" ] && touch "$0.has-torch"
        exit
        ;;
    python,"-m hatchling build"*)
        mkdir dist
        echo wheel >dist/a.whl
        echo sdist >dist/a.tar.gz
        exit
        ;;
    python,*requirements-torch.lock) [ -e "$0.has-torch" ]; exit ;;
    python,*) exit 0 ;;
esac
echo "$name in $PWD:$(for word; do printf ' <%s>' "$word"; done)"
case " $FAULTY " in
    *" $name "*) exit "${CODE:-1}" ;;
esac
"""


NPM = """#!/bin/sh
echo "npm $* in $PWD" >>"$CALLS"
mkdir -p node_modules
[ -z "$NPM_FAILS" ]
"""

CLIENTS = "requirements-clients.lock"
HEAVY = ("chromium", "prometheus", "promtool")  # what heavy tests start


class Tree:
    """A copy of what ``./run`` reads, and the machine it runs on."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "a tree"
        self.calls = home / "calls"
        self.gate = home / "gate"
        self.env = {
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
            "CALLS": str(self.calls),
            "TOOL": str(home / "tool"),
            "GATE": str(self.gate),
        }
        self.root.mkdir()
        shutil.copy(ROOT / "run", self.root)
        for name in (
            "pyproject.toml",
            "requirements.lock",
            "requirements-build.lock",
            "requirements-dev.lock",
            "requirements-torch.lock",
            "requirements-clients.lock",
            "tests/clients/package-lock.json",
            "tests/browser/package-lock.json",
        ):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(f"{name}, as it was\n")
        tools = {"bin/uv": UV, "bin/npm": NPM, "tool": TOOL}
        tools |= {f"bin/{name}": "#!/bin/sh\n" for name in HEAVY}
        for path, text in ((home / name, text) for name, text in tools.items()):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    def run(
        self, *arguments: str, by: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [by or self.root / "run", *arguments],
            cwd=self.home,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.root / "run", *arguments],
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def made_from(self) -> list[str]:
        """The interpreters that environments were made from since the last time."""
        lines = self.calls.read_text().splitlines()
        self.calls.unlink()
        said = "venv --quiet --python "
        return [
            line.removeprefix(said).removesuffix(f" {self.root / '.venv'}")
            for line in lines
            if line.startswith(said)
        ]

    def asked(self) -> list[str]:
        """What uv was asked since the last time: "venv", or the locks that were to be installed."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [
            "venv" if line.startswith("venv") else " ".join(w for w in line.split() if ".lock" in w)
            for line in lines
            if "--editable" not in line
        ]


BUILD = "requirements-build.lock"
CORE = [BUILD, "requirements.lock"]
TORCH = "requirements-torch.lock"
DEV = [BUILD, "requirements-dev.lock", TORCH]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def hanging(tree: Tree) -> Iterator[subprocess.Popen[str]]:
    """A ``./run serve`` in the middle of an install."""
    os.mkfifo(tree.gate)
    process = tree.start("serve")
    # An open for writing returns once the other end is being read.
    gate = tree.gate.open("w")
    try:
        yield process
    finally:
        gate.close()
        process.communicate(timeout=30)


@pytest.mark.parametrize("arguments", [(), ("help",), ("-h",)])
def test_help_needs_no_environment(tree: Tree, arguments: tuple[str, ...]) -> None:
    done = tree.run(*arguments)

    assert done.returncode == 0
    assert done.stdout.startswith("usage: ./run ")
    assert not (tree.root / ".venv").exists()


def test_other_commands_go_to_sidecache_as_they_are_in_the_callers_folder(tree: Tree) -> None:
    done = tree.run("serve", "--name", "two  words", "")

    assert done.stdout == f"sidecache in {tree.home}: <serve> <--name> <two  words> <>\n"


def test_the_environment_is_made_once(tree: Tree) -> None:
    tree.run("serve")
    assert tree.asked() == ["venv", *CORE]

    assert tree.run("serve").stderr == ""
    assert tree.asked() == []


def test_the_tools_are_added_when_they_are_first_asked_for(tree: Tree) -> None:
    tree.run("serve")
    tree.asked()

    tree.run("test")
    assert tree.asked() == DEV

    tree.run("serve")
    assert tree.asked() == []


def test_torch_is_not_installed_over_itself(tree: Tree) -> None:
    tree.run("test")
    tree.asked()
    (tree.root / "requirements-dev.lock").write_text("changed\n")

    assert tree.run("test").returncode == 0
    assert tree.asked() == DEV[:2]


def test_an_environment_without_the_torch_it_should_have_is_not_used(tree: Tree) -> None:
    done = tree.run("test", TORCH_FAILS="1")

    assert done.returncode == 1
    assert "the environment could not be made" in done.stderr
    assert tree.asked() == ["venv", *DEV]


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock", "requirements-dev.lock"])
def test_a_changed_lock_is_installed_over_the_old(tree: Tree, name: str) -> None:
    tree.run("serve")
    tree.asked()
    (tree.root / name).write_text("changed\n")

    tree.run("serve")

    assert tree.asked() == CORE


def test_an_environment_made_elsewhere_is_made_anew(tree: Tree) -> None:
    tree.run("serve")
    tree.asked()
    tree.root = tree.root.rename(tree.home / "moved")

    tree.run("serve")

    assert tree.asked() == ["venv", *CORE]


def test_an_environment_whose_python_is_gone_is_made_anew(tree: Tree) -> None:
    tree.run("serve")
    tree.asked()
    (tree.root / ".venv" / "bin" / "python").unlink()

    tree.run("serve")

    assert tree.asked() == ["venv", *CORE]


def test_the_environment_is_made_from_the_python_that_is_asked_for(tree: Tree) -> None:
    tree.run("serve")
    tree.asked()
    for _ in range(2):
        assert tree.run("serve", PYTHON=sys.executable).returncode == 0
    assert tree.made_from() == [sys.executable]
    assert tree.run("serve").returncode == 0
    assert tree.asked()[0] == "venv"


def test_an_environment_that_failed_may_be_of_another_python_than_is_asked_for(tree: Tree) -> None:
    assert tree.run("test", TORCH_FAILS="1").returncode == 1
    tree.asked()
    assert tree.run("test", PYTHON=sys.executable).returncode == 0
    assert tree.made_from() == [sys.executable]


def test_the_python_that_is_asked_for_may_have_spaces_in_its_path(tree: Tree) -> None:
    python = tree.home / "of mine" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert tree.run("serve", PYTHON=str(python)).returncode == 0
    assert tree.made_from() == [sys.executable]


def test_what_is_asked_for_and_is_no_python_is_named(tree: Tree) -> None:
    done = tree.run("serve", PYTHON="python2.0")
    assert done.returncode == 1
    assert "PYTHON=python2.0 is no Python 3.11 or newer" in done.stderr
    assert tree.asked() == []


def test_links_to_it_may_be_called_from_anywhere(tree: Tree) -> None:
    (tree.home / "elsewhere").mkdir()
    first = tree.home / "elsewhere" / "first"
    first.symlink_to(Path("..", tree.root.name, "run"))
    second = tree.home / "second"
    second.symlink_to(first)

    done = tree.run("serve", by=second)

    assert done.stdout == f"sidecache in {tree.home}: <serve>\n"
    assert (tree.root / ".venv" / "bin" / "sidecache").exists()


def test_the_second_of_two_waits_for_the_first(tree: Tree, hanging: subprocess.Popen[str]) -> None:
    second = tree.start("serve")
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    tree.gate.rename(tree.home / "open")
    with (tree.home / "open").open("w") as gate:
        gate.write("go on\n")

    for process in (hanging, second):
        assert process.communicate(timeout=30)[0] == f"sidecache in {tree.home}: <serve>\n"
    assert tree.asked() == ["venv", *CORE]


def test_an_install_that_was_cut_short_is_begun_afresh(
    tree: Tree, hanging: subprocess.Popen[str]
) -> None:
    os.killpg(hanging.pid, signal.SIGKILL)
    hanging.wait(timeout=30)
    tree.gate.unlink()
    assert tree.asked() == ["venv", BUILD]

    assert tree.run("serve").returncode == 0
    assert tree.asked() == ["venv", *CORE]


def test_an_index_set_for_pip_is_told_to_uv(tree: Tree) -> None:
    uv = tree.home / "bin" / "uv"
    uv.write_text(UV.replace('"$*"', '"$* ${UV_DEFAULT_INDEX-}"'))

    tree.run("serve", PIP_INDEX_URL="http://index.test/simple")

    assert "http://index.test/simple" in tree.calls.read_text()


def test_check_alone_runs_every_linter_and_names_those_that_found_faults(tree: Tree) -> None:
    done = tree.run("check", FAULTY="mypy ruff")

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"ruff in {tree.root}: <format> <--check>",
        f"ruff in {tree.root}: <check>",
        f"mypy in {tree.root}:",
        f"lint-imports in {tree.root}: <--no-logo>",
        f"hadolint in {tree.root}: <Dockerfile>",
    ]
    assert done.stderr.endswith("faults found by ruff format --check, ruff check, mypy\n")


def test_check_alone_succeeds_when_no_linter_finds_a_fault(tree: Tree) -> None:
    assert tree.run("check").returncode == 0


def test_packages_come_with_their_hashes_and_nothing_older(tree: Tree) -> None:
    (tree.root / "dist").mkdir()
    (tree.root / "dist" / "old.whl").touch()

    done = tree.run("package")

    made = {name: (tree.root / "dist" / name).read_bytes() for name in ("a.tar.gz", "a.whl")}
    told = "".join(f"{sha256(text).hexdigest()}  ./{name}\n" for name, text in made.items())
    assert (done.returncode, done.stdout) == (0, told)
    assert (tree.root / "dist" / "SHA256SUMS").read_text() == told
    assert {path.name for path in (tree.root / "dist").iterdir()} == {*made, "SHA256SUMS"}
    assert tree.asked() == ["venv", *CORE]


def test_check_with_arguments_is_the_one_of_sidecache(tree: Tree) -> None:
    done = tree.run("check", "-c", "mine.yaml")

    assert done.stdout == f"sidecache in {tree.home}: <check> <-c> <mine.yaml>\n"


@pytest.mark.parametrize(
    ("arguments", "handed_on"),
    [
        ((), "<--cov> <-n> <auto> <--maxprocesses> <8> <--dist> <loadfile>"),
        (("all",), "<-v> <-m> <heavy> <-n> <2> <--dist> <worksteal>"),
        (
            ("clients", "-x"),
            "<-m> <clients> <-n> <3> <--dist> <loadgroup> <tests/clients> <-x>",
        ),
        (("tests/wire", "-k", "a frame"), "<tests/wire> <-k> <a frame>"),
    ],
)
def test_only_the_whole_test_run_is_gated(
    tree: Tree, arguments: tuple[str, ...], handed_on: str
) -> None:
    done = tree.run("test", *arguments)

    assert done.stdout == f"pytest in {tree.root}: {handed_on}\n"
    assert done.returncode == 0


def test_what_heavy_tests_start_and_is_not_there_is_named(tree: Tree, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in HEAVY:
        (tree.home / "bin" / name).unlink()
    for folder in reversed(os.environ["PATH"].split(":")):
        for tool in Path(folder).glob("*"):
            if tool.name not in {*HEAVY, "id"}:
                (tools / tool.name).unlink(missing_ok=True)
                (tools / tool.name).symlink_to(tool)
    for name, script in (("id", "echo 1000"), ("redis-server", "exit 0")):
        (tools / name).unlink(missing_ok=True)
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    done = tree.run("test", "all", PATH=f"{tree.home / 'bin'}:{tools}")

    assert done.returncode == 1
    assert "sudo apt-get install prometheus chromium" in done.stderr
    assert "pytest in" not in done.stdout


def test_clients_are_fetched_once_and_when_they_change(tree: Tree) -> None:
    tree.run("test")
    tree.asked()
    node = f"npm ci --silent --ignore-scripts in {tree.root / 'tests' / 'clients'}"

    tree.run("test", "clients")
    assert tree.calls.read_text().splitlines()[1] == node
    assert tree.asked()[0] == CLIENTS
    tree.run("test", "clients")
    assert tree.asked() == []

    (tree.root / "tests" / "clients" / "package-lock.json").write_text("changed\n")
    tree.run("test", "clients")
    assert tree.asked()[0] == CLIENTS


@pytest.mark.parametrize("fault", ["CLIENTS_FAIL", "NPM_FAILS"])
def test_clients_that_cannot_be_fetched_are_fetched_anew_the_next_time(
    tree: Tree, fault: str
) -> None:
    done = tree.run("test", "clients", **{fault: "1"})
    assert done.returncode == 1
    assert "could not be fetched" in done.stderr
    tree.asked()

    assert tree.run("test", "clients").returncode == 0
    assert tree.asked()[0] == CLIENTS


def test_what_finds_faults_in_pages_is_fetched_once_for_the_heavy_tests(tree: Tree) -> None:
    tree.run("test")
    tree.asked()
    axe = f"npm ci --silent --ignore-scripts in {tree.root / 'tests' / 'browser'}\n"

    assert "without axe" in tree.run("test", "all", NPM_FAILS="1").stderr
    tree.calls.unlink()
    tree.run("test", "all")
    assert tree.calls.read_text() == axe
    tree.run("test", "all")
    assert tree.calls.read_text() == axe


@pytest.mark.parametrize("arguments", [(), ("all",), ("clients",), ("tests/wire",)])
def test_tests_that_fail_fail_the_command(tree: Tree, arguments: tuple[str, ...]) -> None:
    assert tree.run("test", *arguments, FAULTY="pytest").returncode == 1


def test_that_there_are_no_heavy_tests_is_said_and_no_fault(tree: Tree) -> None:
    done = tree.run("test", "all", FAULTY="pytest", CODE="5")

    assert done.returncode == 0
    assert "there are no heavy tests" in done.stderr


@pytest.mark.parametrize("failing", ["check", "test", "test clients", "test all", "nothing"])
def test_ci_runs_every_step_and_fails_if_any_does(tmp_path: Path, failing: str) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    run = tmp_path / "run"
    run.write_text(f'#!/bin/sh\necho "<$*>"\n[ "$*" != "{failing}" ]\n')
    run.chmod(0o755)

    done = subprocess.run(
        [tmp_path / ".ci" / "run"], capture_output=True, text=True, check=False, timeout=30
    )

    assert [line for line in done.stdout.splitlines() if line.startswith("<")] == [
        "<check>",
        "<test>",
        "<test clients>",
        "<test all>",
    ]
    assert done.returncode == (0 if failing == "nothing" else 1)


def test_heavy_tests_are_marked_where_they_stand_as_other_files_are_not_read_for_them() -> None:
    support = ROOT / "tests" / "support"
    assert not [path for path in support.rglob("*.py") if "heavy" in path.read_text()]

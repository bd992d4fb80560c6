"""What a wheel and an sdist of the project hold, and that they are the same wherever made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
STEM = f"sidecache-{VERSION}"
SECRET = ".env"  # stands for what lies about where somebody builds


def built(source: Path, into: Path, *, umask: int) -> dict[str, Path]:
    """A wheel and an sdist made in ``source``, by who has this umask; by suffix."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", into],
        cwd=source, check=True, capture_output=True, timeout=60, umask=umask,
        env={name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"},
    )  # fmt: skip
    return {path.suffix: path for path in into.iterdir()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Made in the project itself."""
    return built(ROOT, tmp_path_factory.mktemp("first"), umask=0o022)


@pytest.fixture(scope="module")
def again(first: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Made from that sdist: elsewhere, by another user, years later, with a file too many."""
    folder = tmp_path_factory.mktemp("again")
    with tarfile.open(first[".gz"]) as sdist:
        sdist.extractall(folder, filter="data")
    source = folder / STEM
    shutil.move(source / "PKG-INFO", folder)  # of the sdist, not of the project
    for path in source.rglob("*"):
        os.utime(path, (2_000_000_000, 2_000_000_000))
        path.chmod(0o777 if path.is_dir() or path.stat().st_mode & 0o100 else 0o666)
    (source / SECRET).write_text("OPENAI_API_KEY=made-up\n")
    (source / "proxy" / "__pycache__").mkdir()
    (source / "proxy" / "__pycache__" / "cli.cpython-311.pyc").write_bytes(b"")
    return built(source, folder / "dist", umask=0o077)


@pytest.fixture(scope="module")
def wheel(first: dict[str, Path]) -> ZipFile:
    return ZipFile(first[".whl"])


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: ZipFile) -> None:
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "proxy").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"proxy/py.typed", "proxy/admin/static/index.html"} < package

    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == package


def test_nothing_in_it_runs_before_it_is_called(wheel: ZipFile) -> None:
    assert not [name for name in wheel.namelist() if name.endswith((".pth", ".so", ".pyd", ".pyc"))]
    assert not [name for name in wheel.namelist() if name.startswith(("tests/", "site", "user"))]


def test_it_comes_with_its_licence_its_version_and_its_command(wheel: ZipFile) -> None:
    about = f"{STEM}.dist-info"
    assert wheel.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert f"\nVersion: {VERSION}\n" in wheel.read(f"{about}/METADATA").decode()
    assert "sidecache = proxy.cli:main" in wheel.read(f"{about}/entry_points.txt").decode()


def test_the_version_stands_in_one_place() -> None:
    number = f'"{VERSION}"'
    others = [path for path in (ROOT / "proxy").rglob("*.py") if number in path.read_text()]
    assert (ROOT / "pyproject.toml").read_text().count(f"\nversion = {number}\n") == 1
    assert others == []


@pytest.mark.parametrize("kind", [".whl", ".gz"])
def test_both_are_the_same_to_the_byte_wherever_whenever_and_by_whom_they_are_made(
    first: dict[str, Path], again: dict[str, Path], kind: str
) -> None:
    hashes = {sha256(each[kind].read_bytes()).hexdigest() for each in (first, again)}
    assert len(hashes) == 1


def test_the_sdist_holds_what_it_takes_to_test_it_and_no_more(first: dict[str, Path]) -> None:
    with tarfile.open(first[".gz"]) as sdist:
        names = {name.removeprefix(f"{STEM}/") for name in sdist.getnames()}
    assert {"run", "Dockerfile", "requirements-dev.lock", "tests/conftest.py", "README.md"} < names
    tops = {name.partition("/")[0] for name in names}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if tracked:  # not where it is tested from an sdist
        assert tops <= {name.partition("/")[0] for name in tracked} | {"PKG-INFO"}
    assert not [name for name in names if name.endswith((".pyc", SECRET))]

"""What a wheel of the project holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (path,) = folder.glob("*.whl")
    return ZipFile(path)


def test_it_holds_the_whole_package_and_nothing_else(wheel: ZipFile) -> None:
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "proxy").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }

    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == package


def test_it_tells_type_checkers_that_it_is_typed(wheel: ZipFile) -> None:
    assert "proxy/py.typed" in wheel.namelist()


def test_it_comes_with_its_licence_and_its_command(wheel: ZipFile) -> None:
    (licence,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
    (commands,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))

    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert "sidecache = proxy.cli:main" in wheel.read(commands).decode()

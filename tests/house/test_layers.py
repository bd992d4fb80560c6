"""That the import contracts break the build when they should."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "proxy", tmp_path / "proxy", ignore=shutil.ignore_patterns("*.pyc"))
    return tmp_path


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_module_that_has_no_layer_is_refused(tree: Path) -> None:
    (tree / "proxy" / "newcomer.py").write_text('"""Nobody has placed me."""\n')

    done = lint_imports(tree)

    assert done.returncode != 0
    assert "newcomer" in done.stdout


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("model/entry.py", "import orjson"),
        ("model/entry.py", "import proxy.wire"),
        ("policy.py", "import asyncio"),
        ("wire/headers.py", "import time"),
        ("dialects/base.py", "import logging"),
        ("lifecycle.py", "import aiohttp"),
        ("lifecycle.py", "import proxy.config"),
        ("lifecycle.py", "import proxy.upstream"),
        ("tiers/base.py", "import proxy.dialects"),
    ],
)
def test_an_import_against_the_rules_is_refused(tree: Path, module: str, forbidden: str) -> None:
    with (tree / "proxy" / module).open("a") as file:
        file.write(f"\n{forbidden}\n")

    done = lint_imports(tree)

    assert done.returncode != 0
    assert forbidden.removeprefix("import ") in done.stdout

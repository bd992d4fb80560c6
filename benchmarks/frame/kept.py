"""A result: what was measured, where, with what and when; one file a run.

It says what the machine is and which versions ran, and nothing of where they lie.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.frame.report import Table, from_json
from benchmarks.serving import cores

ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("aiohttp", "lmdb", "orjson", "redis", "uvloop")
_PROGRAMS: Final = {
    "wrk": ("-v",),
    "nginx": ("-v",),
    "varnishd": ("-V",),
    "redis-server": ("--version",),
}


@dataclass
class Result:
    """One run of ``./run bench``."""

    command: str
    began: str  # ISO 8601, UTC
    revision: str | None  # of git
    machine: Mapping[str, object]
    versions: Mapping[str, str]
    tables: list[Table] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return {**vars(self), "tables": [table.as_json() for table in self.tables]}

    @property
    def name(self) -> str:
        """The file's, by when it began."""
        return f"{self.began.replace(':', '').replace('+0000', 'Z')}.json"

    def keep(self, folder: Path) -> Path:
        """Write it into ``folder``; which file."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / self.name
        file.write_text(json.dumps(self.as_json(), indent=1) + "\n")
        return file


def begin(words: Sequence[str], litellm: str = "") -> Result:
    """A result without figures, of a run with these words, and with LiteLLM's interpreter."""
    began = datetime.now(UTC).isoformat(timespec="seconds")
    return Result(_command(words), began, _revision(), _machine(), _versions(litellm))


def read(file: Path) -> Result:
    """One that was kept."""
    told: dict[str, Any] = json.loads(file.read_text())
    return Result(**{**told, "tables": [from_json(table) for table in told["tables"]]})


def _command(words: Sequence[str]) -> str:
    # Where somebody's files lie is nobody's business.
    return " ".join(["./run", "bench", *("..." if os.sep in word else word for word in words)])


def _revision() -> str | None:
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def _machine() -> dict[str, object]:
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except OSError:
        lines, memory = [], 0
    for line in lines:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "processor": model,
        "cores": len(cores()) or os.cpu_count(),
        "memory_bytes": memory,
    }


def _versions(litellm: str) -> dict[str, str]:
    found = {"Python": platform.python_version()}
    found |= {name: version(name) for name in _PACKAGES}
    if litellm:
        words = [litellm, "-c", "import importlib.metadata as m; print(m.version('litellm'))"]
        found["LiteLLM"] = _said(words)
    for name, options in _PROGRAMS.items():
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if program:
            found[name] = _said([program, *options])
    return found


def _said(words: Sequence[str]) -> str:
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return _number((said.stdout + said.stderr).splitlines())


def _number(lines: Sequence[str]) -> str:
    """What looks like a version in the first line."""
    for word in " ".join(lines[:1]).replace("/", " ").replace("-", " ").split():
        if word.lstrip("v=")[:1].isdigit() and "." in word:
            return word.lstrip("v=")
    return "unknown"

"""The proxy with the ports, the address, the files and the rights that it has in its pod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.manifests import OVERLAYS, ROOT, kustomize

PROGRAM = ROOT / "tests/support/confined.py"
APART = ("unshare", "--net", "--mount")


def may_be_confined() -> bool:
    """Whether this is root, and may do as the kubelet does."""
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.heavy
@pytest.mark.skipif(not may_be_confined(), reason="needs namespaces of its own, and so root")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_in_its_pod_it_serves_and_can_do_nothing_else(overlay: str, tmp_path: Path) -> None:
    kustomize()  # there is no way to fetch it from in there
    command = [*APART, sys.executable, str(PROGRAM), overlay, str(tmp_path)]
    own = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    told = subprocess.run(
        command, cwd=ROOT, env=own, capture_output=True, text=True, check=False, timeout=55
    )
    log = tmp_path / "log"
    assert told.returncode == 0, (told.stderr, log.read_text() if log.exists() else "")
    # Beside an application it is the pod's alone.
    elsewhere = [0, 0] if overlay == "sidecar" else ["HIT", "HIT"]

    assert json.loads(told.stdout) == {
        "startupProbe": 200, "livenessProbe": 200, "readinessProbe": 200,
        "scrape": 200, "without token": 401, "by a name": 421,
        "from the pod": ["MISS", "HIT"], "from elsewhere": elsewhere,
        "user": ["65532"], "rights": 0, "may gain": False, "root": "ro",
        "ended": 0,
    }  # fmt: skip
    if overlay != "gateway":  # which misses its Redis
        assert '"level":"warning"' not in log.read_text()
        assert " warning " not in log.read_text()

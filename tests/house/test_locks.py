"""The lock files against ``pyproject.toml`` and against each other."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
CORE, BUILD, DEV = "requirements.lock", "requirements-build.lock", "requirements-dev.lock"
CLIENTS = "requirements-clients.lock"
EXTRAS = PROJECT["project"]["optional-dependencies"]
MODEL = EXTRAS["vectors"] + [one for one in EXTRAS["onnx"] if not one.startswith("sidecache[")]
ONNX = "requirements-onnx.lock"  # what the image with a model installs
TORCH = "requirements-torch.lock"  # the only one without hashes


def entries(lock: str) -> list[str]:
    """Each requirement of a lock with its hashes, on one line."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins(lock: str) -> Mapping[str, str]:
    """Name to version."""
    found = {}
    for entry in entries(lock):
        requirement = Requirement(entry.partition("--hash=")[0].strip())
        found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize(
    ("declared", "lock"),
    [
        (PROJECT["project"]["dependencies"], CORE),
        (PROJECT["build-system"]["requires"] + GROUPS["sources"], BUILD),
        (PROJECT["project"]["dependencies"], DEV),
        ([one for name in GROUPS.keys() - {"torch", "clients"} for one in GROUPS[name]], DEV),
        (PROJECT["project"]["dependencies"] + MODEL, ONNX),
        (GROUPS["torch"], TORCH),
        (GROUPS["clients"], CLIENTS),
    ],
    ids=["core", "build", "dev has the core", "dev has all groups", "onnx", "torch", "clients"],
)
def test_every_declared_requirement_is_pinned_to_a_version_it_admits(
    declared: list[str], lock: str
) -> None:
    locked = pins(lock)

    for requirement in map(Requirement, declared):
        version = locked.get(canonicalize_name(requirement.name), "no version")
        assert version in requirement.specifier, f"{requirement}: ./run lock"


@pytest.mark.parametrize("lock", [CORE, BUILD, ONNX])
def test_users_and_developers_run_the_same_versions(lock: str) -> None:
    assert pins(lock).items() <= pins(DEV).items()


@pytest.mark.parametrize("lock", [CORE, BUILD, DEV, ONNX, CLIENTS])
def test_every_pin_has_its_hashes_and_names_no_index(lock: str) -> None:
    for entry in entries(lock):
        pin, *hashes = (part.strip() for part in entry.split("--hash="))
        assert re.fullmatch(r"[\w.\[\],-]+==[\w.+!]+( ; [^/]+)?", pin), pin
        assert hashes, pin
        for digest in hashes:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest), pin


def test_torch_is_named_by_its_version_and_nothing_else_goes_without_hashes() -> None:
    assert entries(TORCH) == GROUPS["torch"]
    assert pins(TORCH).keys() == {"torch"}


def test_no_lock_brings_torch_or_what_its_build_for_cuda_asks_for() -> None:
    for lock in (CORE, BUILD, DEV, ONNX, CLIENTS):
        assert not [name for name in pins(lock) if re.match("torch|triton|nvidia|cuda", name)]


def test_who_only_runs_the_proxy_gets_no_part_of_a_model() -> None:
    heavy = {"numpy", "numkong", "onnxruntime", "sentence-transformers", "tokenizers", "asyncpg"}
    assert not heavy & pins(CORE).keys()


def test_what_torch_needs_is_what_it_says() -> None:
    (told,) = PROJECT["tool"]["uv"]["dependency-metadata"]
    asked = [Requirement(one) for one in distribution("torch").requires or ()]
    assert GROUPS["torch"] == [f"{told['name']}=={told['version']}"]
    assert {str(Requirement(one)) for one in told["requires-dist"]} == {
        str(one) for one in asked if not one.marker
    }
    assert {canonicalize_name(one.name) for one in asked if not one.marker} <= pins(DEV).keys()


def test_the_build_group_is_what_the_build_asks_for() -> None:
    assert GROUPS["build"] == PROJECT["build-system"]["requires"]


def test_packages_for_node_are_locked_with_their_hashes_and_without_a_place() -> None:
    folder = ROOT / "tests" / "clients"
    declared = json.loads((folder / "package.json").read_text())
    text = (folder / "package-lock.json").read_text()
    assert "://" not in text, "take out what npm has added: resolved, funding"
    lock = json.loads(text)
    root, *packages = lock["packages"].values()

    assert root["dependencies"] == declared["dependencies"]
    assert packages
    for package in packages:
        assert re.fullmatch(r"sha512-[\w+/=]+", package["integrity"])
        assert "resolved" not in package

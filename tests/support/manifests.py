"""What is in ``k8s/`` as it would reach a cluster, and what a container of it finds in its pod."""

from __future__ import annotations

import base64
import math
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from support.vector_servers import lacking

ROOT: Final = Path(__file__).parents[2]
OVERLAYS: Final = ("dev", "gateway", "sidecar")

Document = dict[str, Any]

_FETCH: Final = Path(__file__).with_name("fetch_kustomize.sh")
_FETCH_S: Final = 45  # less than a test may take
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGT]i?)?")
_UNITS: Final = {
    "": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


# -- rendering ---------------------------------------------------------------------------------


@cache
def kustomize() -> str:
    """A Kustomize: the system's, or one that is fetched. Skips the test where there is none."""
    try:
        fetched = subprocess.run(
            ["sh", _FETCH], stdout=subprocess.PIPE, text=True, check=False, timeout=_FETCH_S
        )
    except subprocess.TimeoutExpired:
        lacking("Kustomize could not be fetched in time; see tests/support/fetch_kustomize.sh")
    if fetched.returncode:
        lacking("no Kustomize could be had; see tests/support/fetch_kustomize.sh")
    return fetched.stdout.strip()


def copied(folder: Path) -> Path:
    """A copy of what is rendered, in ``folder``, with the secrets of each overlay; its ``k8s``."""
    ignored = shutil.ignore_patterns("secrets")
    shutil.copytree(ROOT / "k8s", folder / "k8s", ignore=ignored)
    shutil.copytree(ROOT / "config/monitoring", folder / "config/monitoring")
    for overlay in OVERLAYS:
        draw(folder / "k8s/overlays" / overlay)
    return folder / "k8s"


def draw(overlay: Path) -> str:
    """Have the secrets of an overlay drawn; what was said about it."""
    drawn = subprocess.run(
        ["sh", ROOT / "k8s/secrets.sh", overlay], capture_output=True, text=True, check=True
    )
    return drawn.stdout


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """What Kustomize makes of a folder, or says about it."""
    return subprocess.run(
        [kustomize(), "build", folder], capture_output=True, text=True, check=False
    )


def read(text: str) -> list[Document]:
    return [each for each in yaml.load_all(text, _LOADER) if each]


@cache
def _all() -> dict[str, list[Document]]:
    with TemporaryDirectory(prefix="k8s-") as folder:
        home = copied(Path(folder))
        made = {overlay: build(home / "overlays" / overlay) for overlay in OVERLAYS}
    for overlay, each in made.items():
        assert each.returncode == 0, (overlay, each.stderr)
        assert not each.stderr, each.stderr
    return {overlay: read(each.stdout) for overlay, each in made.items()}


def rendered(overlay: str) -> list[Document]:
    """What ``kubectl apply -k`` would send for an overlay; a copy, to do with as one likes."""
    return deepcopy(_all()[overlay])


# -- looking things up -------------------------------------------------------------------------


def of_kind(documents: Iterable[Document], kind: str) -> list[Document]:
    return [each for each in documents if each["kind"] == kind]


def named(documents: Iterable[Document], kind: str, name: str) -> Document:
    (found,) = (each for each in of_kind(documents, kind) if each["metadata"]["name"] == name)
    return found


def content(document: Document) -> dict[str, str]:
    """The files of a ConfigMap or Secret."""
    if document["kind"] == "Secret":
        return {key: base64.b64decode(text).decode() for key, text in document["data"].items()}
    return dict(document["data"])


def workloads(documents: Iterable[Document]) -> list[Document]:
    """What makes pods."""
    return [each for each in documents if "template" in each.get("spec", {})]


def containers(spec: Document) -> list[Document]:
    """All containers of a pod, those that come first before the others."""
    return [*spec.get("initContainers", ()), *spec["containers"]]


def quantity(text: str | float) -> float:
    """What Kubernetes means by ``text``: processors or bytes."""
    found = _QUANTITY.fullmatch(str(text))
    assert found, text
    return float(found[1]) * _UNITS[found[2] or ""]


# -- the proxy in its pod ----------------------------------------------------------------------


@dataclass(frozen=True)
class Proxy:
    """A container with the proxy in it."""

    documents: list[Document]
    workload: Document
    container: Document

    @property
    def name(self) -> str:
        return str(self.workload["metadata"]["name"])

    @property
    def spec(self) -> Document:
        """The pod's."""
        spec: Document = self.workload["spec"]["template"]["spec"]
        return spec

    @property
    def is_sidecar(self) -> bool:
        return self.container in self.spec.get("initContainers", ())

    @property
    def ports(self) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in self.container.get("ports", ())}

    def environment(self) -> dict[str, str]:
        """The variables that the kubelet sets."""
        return {each["name"]: self._value(each) for each in self.container.get("env", ())}

    def _value(self, variable: Document) -> str:
        if "value" in variable:
            return str(variable["value"])
        (kind, source) = next(iter(variable["valueFrom"].items()))
        if kind == "resourceFieldRef":
            group, _, resource = source["resource"].partition(".")
            share = quantity(self.container["resources"][group][resource])
            return str(math.ceil(share / quantity(source.get("divisor", "1"))))
        assert kind == "secretKeyRef", kind
        return content(named(self.documents, "Secret", source["name"]))[source["key"]]

    def volume(self, path: str) -> Document | None:
        """The volume that ``path`` lies in; None: there is none, or it lies in the image."""
        mounts = self.container.get("volumeMounts", ())
        over = [each for each in mounts if f"{path}/".startswith(each["mountPath"] + "/")]
        if not over:
            return None
        nearest = max(over, key=lambda each: len(each["mountPath"]))
        found = [each for each in self.spec["volumes"] if each["name"] == nearest["name"]]
        return {**found[0], "readOnly": nearest.get("readOnly", False)} if found else None

    def fill(self, folder: Path, *, will_be_mounted: bool = False) -> dict[str, Path]:
        """Lay out its volumes in ``folder``; where each of its mount paths is there.

        Unless they will be mounted, a file of a ConfigMap that names such a path names the place
        instead.
        """
        mounts = self.container.get("volumeMounts", ())
        places = {mount["mountPath"]: folder / mount["name"] for mount in mounts}
        for path, place in places.items():
            place.mkdir(exist_ok=True)
            volume = self.volume(path) or {}
            if "configMap" in volume:
                held = content(named(self.documents, "ConfigMap", volume["configMap"]["name"]))
                for file, text in held.items():
                    (place / file).write_text(text if will_be_mounted else moved(text, places))
            elif "secret" in volume:
                of_secret = volume["secret"]
                held = content(named(self.documents, "Secret", of_secret["secretName"]))
                for file, text in held.items():
                    (place / file).write_text(text)
                    (place / file).chmod(of_secret.get("defaultMode", 0o644))
        return places


def proxies(documents: list[Document]) -> Iterator[Proxy]:
    """Every container that serves."""
    for workload in workloads(documents):
        for container in containers(workload["spec"]["template"]["spec"]):
            if container.get("args", ())[:1] == ["serve"]:
                yield Proxy(documents, workload, container)


def moved(text: str, places: dict[str, Path]) -> str:
    """``text`` with the paths of the pod replaced by where they were laid out."""
    if not places:
        return text
    paths = "|".join(re.escape(path) for path in sorted(places, key=len, reverse=True))
    found = re.compile(rf"(?<![\w/])({paths})(?=/|\s|$)")
    return found.sub(lambda match: str(places[match[1]]), text)

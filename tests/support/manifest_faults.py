"""What is wrong with manifests, measured against the program that they start.

A schema knows what Kubernetes understands; here is what it cannot know: that names lead somewhere,
that numbers in different places agree, and that the proxy reads what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from proxy.cli import cli
from proxy.config.load import load
from proxy.config.settings import Settings
from proxy.link.place import read_place
from proxy.model.errors import ConfigError
from support.manifests import (
    ROOT,
    Document,
    Proxy,
    containers,
    moved,
    of_kind,
    proxies,
    quantity,
    workloads,
)

ADMIN: Final = "sidecache-admin"  # the port of the operator's listener
PATHS: Final = {
    "startupProbe": "/readyz", "livenessProbe": "/healthz", "readinessProbe": "/readyz",
}  # fmt: skip
_MIB: Final = 2**20
_L1_SHARE: Final = 0.4  # of the memory limit, where l1_memory.max_bytes is auto
_PROCESS_BYTES: Final = 160 * _MIB  # what a process takes without any entries, in the worst case
_LAST_WRITES_S: Final = 5  # after the drain: what is queued, and the end of the process
_DISK_MARGIN: Final = 1.05  # what stands beside the entries


def faults(documents: list[Document]) -> list[str]:
    """Everything that is wrong, a sentence each."""
    found = [*_loose_ends(documents), *_unrestricted(documents)]
    found += _commands(documents)
    found += [sentence for proxy in proxies(documents) for sentence in _of_proxy(proxy)]
    return found


# -- names that lead somewhere -----------------------------------------------------------------


def _loose_ends(documents: list[Document]) -> Iterator[str]:
    pods = [each["spec"]["template"] for each in workloads(documents)]
    for workload in workloads(documents):
        if not _selects(workload["spec"]["selector"], workload["spec"]["template"]):
            yield f"{_called(workload)} does not select its own pods"
        yield from _of_pod(workload, documents)
    for each in documents:
        where, spec = _called(each), each.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector")
        chosen: list[Document] = []
        if each["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"}:
            wanted = selector if each["kind"] != "Service" else {"matchLabels": selector}
            chosen = [pod for pod in pods if _selects(wanted, pod)]
            if not chosen:
                yield f"{where} selects no pod"
        for port in _ports_of(each):
            yield from (
                f"{where}: a pod it selects has no port {port}"
                for pod in chosen
                if port not in _ports(pod["spec"])
            )
        for reference in _references(each):
            if not _exists(documents, *reference):
                yield f"{where}: there is no {' '.join(reference)}"


def _of_pod(workload: Document, documents: list[Document]) -> Iterator[str]:
    where, spec = _called(workload), workload["spec"]["template"]["spec"]
    volumes = {each["name"] for each in spec.get("volumes", ())}
    names = [port["name"] for each in containers(spec) for port in each.get("ports", ())]
    if len(set(names)) < len(names):
        yield f"{where}: two ports have one name"
    mounted: set[str] = set()
    for container in containers(spec):
        mounts = {each["name"] for each in container.get("volumeMounts", ())}
        mounted |= mounts
        yield from (f"{where}: there is no volume {name}" for name in sorted(mounts - volumes))
        own = {port["name"] for port in container.get("ports", ())}
        for kind in PATHS:
            probe = container.get(kind, {})
            port = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
            if port is not None and port not in own:
                yield f"{where}: {kind} asks port {port}, which {container['name']} has not"
    yield from (f"{where}: nobody mounts {name}" for name in sorted(volumes - mounted))
    account = spec.get("serviceAccountName")
    if account and not _exists(documents, "ServiceAccount", account):
        yield f"{where}: there is no ServiceAccount {account}"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{where}: it gets a token for Kubernetes' API, and has no use for one"


def _selects(selector: Document | None, pod: Document) -> bool:
    assert set(selector or {}) <= {"matchLabels"}, selector
    labels = pod["metadata"].get("labels", {})
    return ((selector or {}).get("matchLabels") or {}).items() <= labels.items()


def _ports(spec: Document) -> set[str | int]:
    each = [port for container in containers(spec) for port in container.get("ports", ())]
    return {port["name"] for port in each} | {port["containerPort"] for port in each}


def _ports_of(document: Document) -> list[str | int]:
    """The ports that it says the pods it selects have."""
    spec = document.get("spec", {})
    if document["kind"] == "Service":
        return [port["targetPort"] for port in spec["ports"]]
    if document["kind"] == "NetworkPolicy":
        return [port["port"] for rule in spec.get("ingress", ()) for port in rule["ports"]]
    if document["kind"] == "PodMonitor":
        return [each["port"] for each in spec["podMetricsEndpoints"]]
    return []


def _references(document: Document) -> Iterator[tuple[str, ...]]:
    """The objects that it names: kind, name and, where it names one, key."""
    if document["kind"] == "HorizontalPodAutoscaler":
        target = document["spec"]["scaleTargetRef"]
        yield target["kind"], target["name"]
    if document["kind"] == "PodMonitor":
        for each in document["spec"]["podMetricsEndpoints"]:
            credentials = each["authorization"]["credentials"]
            yield "Secret", credentials["name"], credentials["key"]
    if "template" in document.get("spec", {}):
        spec = document["spec"]["template"]["spec"]
        for volume in spec.get("volumes", ()):
            if "configMap" in volume:
                yield "ConfigMap", volume["configMap"]["name"]
            if "secret" in volume:
                yield "Secret", volume["secret"]["secretName"]
        for container in containers(spec):
            for variable in container.get("env", ()):
                key = variable.get("valueFrom", {}).get("secretKeyRef")
                if key:
                    yield "Secret", key["name"], key["key"]


def _exists(documents: list[Document], kind: str, name: str, key: str | None = None) -> bool:
    found = [each for each in of_kind(documents, kind) if each["metadata"]["name"] == name]
    return bool(found) and (key is None or key in found[0].get("data", {}))


def _called(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


# -- https://kubernetes.io/docs/concepts/security/pod-security-standards/ ----------------------

_VOLUMES: Final = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
     "projected", "secret"}
)  # fmt: skip


def _unrestricted(documents: list[Document]) -> Iterator[str]:
    """What the profile "restricted" does not allow, and a root file system that can be written."""
    for workload in workloads(documents):
        where, spec = _called(workload), workload["spec"]["template"]["spec"]
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(name):
                yield f"{where}: {name}"
        for volume in spec.get("volumes", ()):
            if not (set(volume) - {"name"}) <= _VOLUMES:
                yield f"{where}: volume {volume['name']} is of a kind that is not allowed"
        for container in containers(spec):
            each = f"{where}, {container['name']}"
            of_pod = spec.get("securityContext", {})
            yield from (f"{each}: it {may}" for may in _rights(container, of_pod))


def _rights(container: Document, of_pod: Document) -> Iterator[str]:
    own = container.get("securityContext", {})
    context = {**of_pod, **own}
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield "may become more than it is"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "can write to its image"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "takes a port of the node"
    if not {"requests", "limits"} <= set(container.get("resources", ())):
        yield "says not what it needs"


# -- the proxy ---------------------------------------------------------------------------------


def _commands(documents: list[Document]) -> Iterator[str]:
    """What the image is told to do must be a command of the program."""
    for workload in workloads(documents):
        for container in containers(workload["spec"]["template"]["spec"]):
            if container["image"].startswith("sidecache"):
                name, *words = container["args"]
                command = cli.get_command(click.Context(cli), name)
                if command is None:
                    yield f"{_called(workload)}: there is no command {name}"
                    continue
                try:
                    command.make_context(name, words)
                except click.UsageError as error:
                    yield f"{_called(workload)}: {error.format_message()}"


def _of_proxy(proxy: Proxy) -> Iterator[str]:
    where = f"the proxy in {proxy.name}"
    with TemporaryDirectory(prefix="pod-") as folder:
        try:
            settings = settings_of(proxy, Path(folder))
        except ConfigError as error:
            yield f"{where} refuses to start: {error}"
            return
    for check in (_placed, _probed, _stopping, _memory, _disk, _identity):
        yield from (f"{where} {sentence}" for sentence in check(proxy, settings))


def settings_of(proxy: Proxy, folder: Path) -> Settings:
    """The settings that it has in its pod. Raises ConfigError, as it would itself."""
    places = proxy.fill(folder)
    environment = {name: moved(text, places) for name, text in proxy.environment().items()}
    loaded = load(Path(environment["SIDECACHE_CONFIG"]), environment)
    own = [each for each in loaded.warnings if "every user" in each]
    if own:
        raise ConfigError("; ".join(own))
    redis = loaded.settings.l2_redis
    if redis.address:
        read_place(redis.address, allow_insecure=redis.allow_insecure)
    return loaded.settings


def _placed(proxy: Proxy, settings: Settings) -> Iterator[str]:
    """Who reaches which of its listeners."""
    if proxy.is_sidecar:
        if not settings.listen.is_loopback:
            yield "lets in others than its own pod"
        for container in proxy.spec["containers"]:
            for variable in container.get("env", ()):
                if variable["name"] == "OPENAI_BASE_URL":
                    at = variable["value"]
                    if at != f"http://127.0.0.1:{settings.listen.port}/v1":
                        yield f"does not listen where the application asks: {at}"
    elif str(settings.listen) != f"0.0.0.0:{proxy.ports.get('http')}":
        yield f"listens at {settings.listen}, and its port http is {proxy.ports.get('http')}"
    if str(settings.admin.listen) != f"0.0.0.0:{proxy.ports.get(ADMIN)}":
        yield f"has its operator's listener elsewhere than its port {ADMIN}"
    if len(settings.admin.bearer or "") < 32:
        yield "has a token that could be guessed"
    mode = "sidecar" if proxy.is_sidecar else "gateway"
    if settings.mode != mode:
        yield f"is in mode {settings.mode}"
    if mode not in settings.pseudonym:
        yield f"is called {settings.pseudonym}, as others in a row with it may be"


def _probed(proxy: Proxy, settings: Settings) -> Iterator[str]:
    for kind, path in PATHS.items():
        if proxy.container.get(kind, {}).get("httpGet") != {"path": path, "port": ADMIN}:
            yield f"has a {kind} that does not ask {path} at {ADMIN}"
    readiness = proxy.container.get("readinessProbe", {})
    noticed_s = readiness.get("periodSeconds", 10) * readiness.get("failureThreshold", 3)
    delay_s = settings.downstream.drain_delay_s
    if 0 < delay_s < noticed_s:
        yield f"is seen to drain after {noticed_s} s, and accepts for {delay_s:g} s"


def _stopping(proxy: Proxy, settings: Settings) -> Iterator[str]:
    """A sidecar has what the application leaves of the pod's time, and relies on none."""
    if proxy.is_sidecar:
        if proxy.container.get("restartPolicy") != "Always":
            yield "would have to end before the application begins"
        return
    given_s = proxy.spec.get("terminationGracePeriodSeconds", 30)
    needed_s = settings.downstream.drain_delay_s + settings.downstream.drain_s + _LAST_WRITES_S
    if given_s < needed_s:
        yield f"is given {given_s} s to stop, and needs {needed_s:g}"
    if "lifecycle" in proxy.container:
        yield "waits by a hook for what it waits for itself"


def _memory(proxy: Proxy, settings: Settings) -> Iterator[str]:
    resources = proxy.container["resources"]
    limit = quantity(resources["limits"]["memory"])
    if resources["requests"].get("memory") != resources["limits"]["memory"]:
        yield "asks for less memory than it fills"
    if proxy.environment().get("SIDECACHE_L1_MEMORY__MAX_BYTES") != "auto":
        yield "does not measure its memory tier by its limit"
    several = settings.workers + 1 if settings.workers > 1 else 1  # and one for the operator
    tmpfs = sum(
        quantity(volume["emptyDir"]["sizeLimit"])
        for mount in proxy.container["volumeMounts"]
        if (volume := proxy.volume(mount["mountPath"]) or {}).get("emptyDir", {}).get("medium")
    )
    needed = _L1_SHARE * limit + settings.flights.max_total_bytes + several * _PROCESS_BYTES + tmpfs
    if needed > limit:
        yield f"may need {needed / _MIB:.0f} MiB of memory, and has {limit / _MIB:.0f}"


def _disk(proxy: Proxy, settings: Settings) -> Iterator[str]:
    directory = proxy.environment().get("SIDECACHE_L2_DISK__DIRECTORY")
    volume = proxy.volume(directory) if directory else None
    if volume is None or "emptyDir" not in volume or volume["readOnly"]:
        yield "has no volume for its disk tier"
        return
    room = quantity(volume["emptyDir"].get("sizeLimit", 0))
    if room < settings.l2_disk.max_bytes * _DISK_MARGIN:
        yield f"fills {settings.l2_disk.max_bytes} bytes of a disk of {room:.0f}"
    if quantity(proxy.container["resources"]["requests"].get("ephemeral-storage", 0)) < room:
        yield "does not ask for the disk that it fills"
    if quantity(proxy.container["resources"]["limits"].get("ephemeral-storage", 0)) < room:
        yield "is thrown out before its disk tier is full"
    if (proxy.volume("/tmp") or {"readOnly": True})["readOnly"]:
        yield "has no /tmp"


def _identity(proxy: Proxy, settings: Settings) -> Iterator[str]:
    context = {**proxy.spec.get("securityContext", {}), **proxy.container["securityContext"]}
    users = {context.get("runAsUser"), context.get("runAsGroup")}
    if users != {user_of_image()}:
        yield f"runs as {users}, and the image is made for {user_of_image()}"
    for mount in proxy.container["volumeMounts"]:
        secret = (proxy.volume(mount["mountPath"]) or {}).get("secret")
        if secret and (
            secret.get("defaultMode") != 0o440 or context.get("fsGroup") != context["runAsGroup"]
        ):
            yield f"cannot read {mount['mountPath']}, or others can"


def user_of_image() -> int:
    """Whom the image runs as."""
    file = ROOT / "Dockerfile"
    users: list[Any] = re.findall(r"^USER (\d+)", file.read_text(), re.MULTILINE)
    return int(users[-1])

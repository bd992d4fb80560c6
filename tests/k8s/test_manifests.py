"""The rendered manifests against the program, and slips that must be noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.manifest_faults import faults
from support.manifests import OVERLAYS, ROOT, Document, Proxy, named, proxies, rendered

Slip = Callable[[list[Document], Proxy], None]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_and_program_agree(overlay: str) -> None:
    documents = rendered(overlay)
    assert [each.is_sidecar for each in proxies(documents)] == [overlay == "sidecar"]
    assert faults(documents) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_image_is_made_for_what_the_manifests_ask_of_it(overlay: str) -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (proxy,) = proxies(rendered(overlay))
    assert 'ENTRYPOINT ["sidecache"]' in lines  # which `args` come after
    # Elsewhere, the image's own volume would be there besides, and nobody would bound it.
    assert f"VOLUME {proxy.environment()['SIDECACHE_L2_DISK__DIRECTORY']}" in lines
    (exposed,) = (line.split()[1:] for line in lines if line.startswith("EXPOSE"))
    assert {str(port) for port in proxy.ports.values()} <= {*exposed}


def into(*path: str | int, value: Any) -> Slip:
    """Put ``value`` somewhere in the container of the proxy."""

    def slip(documents: list[Document], proxy: Proxy) -> None:
        _put(proxy.container, path, value)

    return slip


def into_pod(*path: str | int, value: Any) -> Slip:
    def slip(documents: list[Document], proxy: Proxy) -> None:
        _put(proxy.spec, path, value)

    return slip


def into_document(kind: str, name: str, *path: str | int, value: Any) -> Slip:
    def slip(documents: list[Document], proxy: Proxy) -> None:
        _put(named(documents, kind, name), path, value)

    return slip


def told(name: str, value: str) -> Slip:
    """Set a variable of the proxy."""

    def slip(documents: list[Document], proxy: Proxy) -> None:
        others = [each for each in proxy.container["env"] if each["name"] != name]
        proxy.container["env"] = [*others, {"name": name, "value": value}]

    return slip


def without(kind: str, name: str) -> Slip:
    def slip(documents: list[Document], proxy: Proxy) -> None:
        documents.remove(named(documents, kind, name))

    return slip


def _put(place: Any, path: tuple[str | int, ...], value: Any) -> None:
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value


ONLY = ("spec", "template", "spec", "containers", 0)
SETTINGS = ("data", "sidecache.yaml")


@pytest.mark.parametrize(
    ("overlay", "slip", "words"),
    [
        # ports, paths and names
        ("dev", into("ports", 1, "containerPort", value=8082), "operator's listener elsewhere"),
        ("dev", into("ports", 0, "containerPort", value=80), "its port http is 80"),
        ("dev", into("ports", 1, "name", value="admin"), "has not"),
        ("dev", into("readinessProbe", "httpGet", "path", value="/ready"), "does not ask /readyz"),
        ("dev", into("livenessProbe", "httpGet", "path", value="/readyz"), "does not ask /healthz"),
        ("dev", into("startupProbe", value={}), "startupProbe that does not ask"),
        ("dev", told("SIDECACHE_LISTEN", "127.0.0.1:8080"), "listens at 127.0.0.1:8080"),
        ("dev", told("SIDECACHE_ADMIN__LISTEN", "0.0.0.0:8080"), "refuses to start"),
        ("dev", told("SIDECACHE_ADMIN__LISTEN", "127.0.0.1:8081"), "listener elsewhere"),
        ("dev", into_document("Service", "sidecache", "spec", "ports", 0, "targetPort",
                              value="web"), "has no port web"),
        ("gateway", into_document("PodMonitor", "sidecache", "spec", "podMetricsEndpoints", 0,
                                  "port", value="metrics"), "has no port metrics"),
        ("gateway", into_document("NetworkPolicy", "sidecache", "spec", "ingress", 1, "ports", 0,
                                  "port", value=9090), "has no port 9090"),
        ("gateway", into_document("PodDisruptionBudget", "sidecache", "spec", "selector",
                                  "matchLabels", value={"app": "sidecache"}), "selects no pod"),
        ("gateway", into_document("HorizontalPodAutoscaler", "sidecache", "spec", "scaleTargetRef",
                                  "name", value="proxy"), "no Deployment proxy"),
        ("gateway", without("Secret", "sidecache-redis"), "no Secret sidecache-redis"),
        ("gateway", without("ServiceAccount", "sidecache"), "no ServiceAccount"),
        ("sidecar", told("SIDECACHE_LISTEN", "127.0.0.1:8888"), "where the application asks"),
        ("sidecar", told("SIDECACHE_LISTEN", "0.0.0.0:8080"), "others than its own pod"),
        # what the program reads
        ("dev", into("args", value=["serve", "--demos"]), "No such option"),
        ("dev", into_document("Deployment", "demo-model", *ONLY, "args", value=["demos"]),
         "no command demos"),
        ("dev", told("SIDECACHE_L1_MEMORY__MAX_BYTE", "1"), "no such setting"),
        ("dev", told("SIDECACHE_CONFIG", "/etc/sidecache/sidecache.yml"), "refuses to start"),
        ("dev", told("SIDECACHE_ADMIN__TOKEN_FILE", "/run/secrets/token"), "refuses to start"),
        ("gateway", into_document("ConfigMap", "sidecache", *SETTINGS, value="upstream: []"),
         "refuses to start"),
        ("gateway", into_document("Secret", "sidecache", "data", "redis-url",
                                  value="aHR0cDovL3JlZGlz"), "refuses to start"),
        ("gateway", told("SIDECACHE_L2_REDIS__ALLOW_INSECURE", "false"), "refuses to start"),
        ("sidecar", told("SIDECACHE_ADMIN__TOKEN", "secret"), "could be guessed"),
        ("sidecar", told("SIDECACHE_MODE", "gateway"), "is in mode gateway"),
        ("sidecar", told("SIDECACHE_PSEUDONYM", "sidecache"), "is called sidecache"),
        # times
        ("gateway", into_pod("terminationGracePeriodSeconds", value=130), "is given 130 s"),
        ("gateway", told("SIDECACHE_DOWNSTREAM__DRAIN_S", "5m"), "needs 315"),
        ("gateway", told("SIDECACHE_DOWNSTREAM__DRAIN_DELAY_S", "3s"), "accepts for 3 s"),
        ("gateway", into("lifecycle", value={"preStop": {"sleep": {"seconds": 5}}}), "by a hook"),
        ("sidecar", into("restartPolicy", value=None), "would have to end"),
        # room
        ("gateway", into("resources", "limits", "memory", value="512Mi"), "of memory, and has 512"),
        ("gateway", into("resources", "requests", "memory", value="256Mi"), "less memory"),
        ("gateway", told("SIDECACHE_L1_MEMORY__MAX_BYTES", "1GiB"), "by its limit"),
        ("gateway", told("SIDECACHE_L2_DISK__MAX_BYTES", "8GiB"), "of a disk of"),
        ("sidecar", told("SIDECACHE_L2_DISK__DIRECTORY", "/var/lib/sidecache"), "no volume"),
        ("sidecar", into("resources", "limits", "ephemeral-storage", value="100Mi"), "thrown out"),
        # rights
        ("dev", into("securityContext", "readOnlyRootFilesystem", value=False), "to its image"),
        ("dev", into("securityContext", "capabilities", value={"drop": ["NET_RAW"]}),
         "keeps capabilities"),
        ("dev", into("securityContext", "allowPrivilegeEscalation", value=True), "become more"),
        ("sidecar", into("securityContext", "seccompProfile", value={"type": "Unconfined"}),
         "no seccomp profile"),
        ("sidecar", into("securityContext", "runAsNonRoot", value=False), "may run as root"),
        ("dev", into_pod("securityContext", "runAsUser", value=1000), "the image is made for"),
        ("dev", into_pod("securityContext", "fsGroup", value=1000), "cannot read"),
        ("dev", into_pod("volumes", 0, value={"name": "disk", "hostPath": {"path": "/"}}),
         "not allowed"),
        ("dev", into_pod("hostNetwork", value=True), "hostNetwork"),
        ("dev", into_pod("automountServiceAccountToken", value=True), "gets a token"),
    ],
)  # fmt: skip
def test_a_slip_is_noticed(overlay: str, slip: Slip, words: str) -> None:
    documents = rendered(overlay)
    (proxy,) = proxies(documents)
    slip(documents, proxy)
    found = faults(documents)
    assert [each for each in found if words in each], found

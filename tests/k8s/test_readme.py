"""What ``k8s/README.md`` tells people to type, against what there is."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from support.manifest_faults import faults
from support.manifests import (
    OVERLAYS,
    ROOT,
    Document,
    build,
    copied,
    draw,
    of_kind,
    proxies,
    read,
    rendered,
)
from support.pods import running, works

from proxy.demo.backend import DemoBackend, Pace

PAGE = (ROOT / "k8s/README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """What is typed: in blocks, and in running text."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    quoted = re.findall(r"`((?:sh|kubectl|docker|minikube|kind|\./run) [^`]+)`", PAGE)
    return [shlex.split(line) for line in [*lines, *quoted]]


def calls(*beginning: str) -> list[list[str]]:
    """What follows such a beginning of a command."""
    count = len(beginning)
    return [words[count:] for words in commands() if words[:count] == [*beginning]]


def test_links_and_overlays_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", PAGE):
        assert (ROOT / "k8s" / link).exists(), link
    for (folder,) in (*calls("kubectl", "apply", "-k"), *calls("sh", "k8s/secrets.sh")):
        assert folder == "app" or (ROOT / folder).is_dir(), folder
    assert sorted(re.findall(r"^\| \[overlays/(\w+)\]", PAGE, re.MULTILINE)) == sorted(OVERLAYS)


def test_names_that_are_typed_are_those_of_the_manifests() -> None:
    documents = rendered("dev")
    there = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in documents}
    (awaited,) = calls("kubectl", "wait")
    forwarded = calls("kubectl", "port-forward")
    names = [*awaited, *(words[0] for words in forwarded)]
    assert {name for name in names if not name.startswith("--")} <= there
    (proxy,) = proxies(documents)
    for _, ports, *_ in forwarded:
        here, _, inside = ports.partition(":")
        assert here == inside
        assert int(inside) in proxy.ports.values()


def test_the_image_that_is_built_is_the_one_that_is_run() -> None:
    (container,) = [each.container for each in proxies(rendered("dev"))]
    image = container["image"]
    assert calls("docker", "build") == [["-t", image, "."]]
    assert calls("kind", "load", "docker-image") == [[image]]
    assert calls("minikube", "image", "load") == [[image]]


async def test_who_asks_twice_as_shown_has_a_hit(tmp_path: Path) -> None:
    documents = rendered("dev")
    (proxy,) = proxies(documents)
    asked = calls("curl")
    assert len(asked) == 2
    async with (
        DemoBackend(Pace(0.0, 0.0)) as backend,
        running(proxy, tmp_path, {"http://demo-model:8000": backend.url}) as pod,
        aiohttp.ClientSession() as http,
    ):
        told = []
        for words in asked:
            url = words[words.index("-si") + 1].replace("http://127.0.0.1:8080", pod.url("http"))
            name, _, value = words[words.index("-H") + 1].partition(": ")
            body = words[words.index("-d") + 1]
            json.loads(body)
            async with http.post(url, data=body, headers={name: value}) as reply:
                fields = [f"{k.decode()}: {v.decode()}" for k, v in reply.raw_headers]
                told += [field for field in fields if field.lower().startswith("x-cache:")]
        await works(pod, documents, "http", "sidecache-gateway")
        ready = proxy.container["readinessProbe"]["httpGet"]
        assert await pod.probe({"httpGet": {**ready, "path": "/ready"}}) != 200
        assert await pod.probe({"httpGet": {**ready, "port": "http"}}) != 200
        assert await pod.stopped() == 0
    assert "The first says `{}`, the second `{}`.".format(*told) in PAGE
    assert backend.calls == 2


DEPLOYMENT: Document = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "own", "labels": {"sidecache/inject": "true"}},
    "spec": {
        "selector": {"matchLabels": {"app": "own"}},
        "template": {
            "metadata": {"labels": {"app": "own"}},
            "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "own",
                        "image": "own",
                        "env": [{"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:8080/v1"}],
                        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        },
    },
}


def test_ones_own_deployment_has_the_proxy_beside_it_as_shown(tmp_path: Path) -> None:
    (kustomization,) = blocks("yml")
    folder = copied(tmp_path).parent / "app"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(kustomization)
    (folder / "deployment.yaml").write_text(yaml.safe_dump(DEPLOYMENT))
    draw(folder)
    made = build(folder)
    assert made.returncode == 0, made.stderr
    documents = read(made.stdout)

    (proxy,) = proxies(documents)
    assert (proxy.name, proxy.is_sidecar) == ("own", True)
    assert faults(documents) == []
    variable = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]["env"][0]
    assert "`{name}={value}`".format(**variable) in PAGE
    assert '`sidecache/inject: "true"`' in PAGE


def test_what_is_said_of_the_gateway_is_in_it() -> None:
    documents = rendered("gateway")
    (service,) = [
        each for each in of_kind(documents, "Service") if each["metadata"]["name"] == "sidecache"
    ]
    assert f"`http://sidecache:{service['spec']['ports'][0]['port']}/v1`" in PAGE
    listed: dict[str, Any] = yaml.safe_load(
        (ROOT / "k8s/overlays/gateway/kustomization.yaml").read_text()
    )
    assert listed["components"] == ["../../components/monitoring"]

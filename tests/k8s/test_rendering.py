"""What Kustomize makes of ``k8s/``, against the schemas of three releases of Kubernetes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions
from packaging.version import Version
from support.manifests import (
    OVERLAYS,
    ROOT,
    Document,
    build,
    content,
    copied,
    draw,
    named,
    read,
    rendered,
)

# The current one and two before it; each is told twice, as there are strict schemas and others.
RELEASES = sorted(set(all_versions()), key=Version)[-3:]
OPERATORS = "monitoring.coreos.com/v1"  # the Prometheus operator's; no schema of Kubernetes has it


def record(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """The schema of a mapping that has these members and no others."""
    members = {**required, **optional}
    return {
        "type": "object", "properties": members, "required": [*required],
        "additionalProperties": False,
    }  # fmt: skip


TEXT = {"type": "string", "minLength": 1}
DURATION = {"type": "string", "pattern": r"^(\d+(ms|[smhdwy]))+$"}
LABELS = {"type": "object", "additionalProperties": TEXT}
RULE = {
    "oneOf": [
        record({"record": TEXT, "expr": TEXT}, labels=LABELS),
        record(
            {"alert": TEXT, "expr": TEXT}, labels=LABELS, annotations=LABELS,
            **{"for": DURATION, "keep_firing_for": DURATION},
        ),
    ]
}  # fmt: skip
GROUP = record({"name": TEXT, "rules": {"type": "array", "items": RULE}}, interval=DURATION)
KEY = record({"name": TEXT, "key": TEXT})
SCRAPED = record(
    {"port": TEXT, "path": {"type": "string", "pattern": "^/"}},
    scheme={"enum": ["http", "https"]}, interval=DURATION, scrapeTimeout=DURATION,
    authorization=record({"type": {"const": "Bearer"}, "credentials": KEY}),
)  # fmt: skip
SPECS = {
    "PodMonitor": record(
        {
            "selector": record({"matchLabels": LABELS}),
            "podMetricsEndpoints": {"type": "array", "items": SCRAPED},
        }
    ),
    "PrometheusRule": record({"groups": {"type": "array", "items": GROUP}}),
}


INIT = ("spec", "template", "spec", "initContainers", 0)


def validate(document: Document, release: str) -> None:
    """Raise ValidationError for whatever this release does not know."""
    if document["apiVersion"] == OPERATORS:
        metadata = record({"name": TEXT}, labels=LABELS)
        whole = record(
            {
                "apiVersion": {"const": OPERATORS},
                "kind": {"const": document["kind"]},
                "metadata": metadata,
                "spec": SPECS[document["kind"]],
            }
        )
        jsonschema.validate(document, whole)
    else:
        kubernetes_validate.validate(document, release, strict=True)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_document_is_strictly_what_kubernetes_knows(overlay: str, release: str) -> None:
    documents = rendered(overlay)
    assert len(documents) > 5
    for document in documents:
        validate(document, release)


@pytest.mark.parametrize(
    ("overlay", "kind", "path", "value"),
    [
        ("sidecar", "Deployment", (*INIT, "restartPolicyy"), "Always"),
        ("dev", "Deployment", ("spec", "strategy", "rollingUpdate", "maxUnavailble"), 0),
        ("dev", "Deployment", ("spec", "replicas"), "two"),
        ("dev", "Service", ("spec", "ports", 0, "targetport"), "http"),
        ("gateway", "HorizontalPodAutoscaler", ("spec", "minReplica"), 2),
        ("gateway", "PodDisruptionBudget", ("spec", "minAvailable"), [1]),
        ("gateway", "NetworkPolicy", ("spec", "egres"), []),
        ("gateway", "PodMonitor", ("spec", "podMetricsEndpoint"), []),
        ("gateway", "PodMonitor", ("spec", "podMetricsEndpoints", 0, "interval"), "often"),
        ("gateway", "PrometheusRule", ("spec", "groups"), [{"name": "one", "rule": []}]),
    ],
)
def test_a_document_with_a_slip_in_it_is_not(
    overlay: str, kind: str, path: tuple[str | int, ...], value: object
) -> None:
    name = "application" if overlay == "sidecar" else "sidecache"
    document = named(rendered(overlay), kind, name)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    for release in RELEASES:
        with pytest.raises(jsonschema.ValidationError):
            validate(document, release)


def test_it_is_the_current_release_and_the_two_before_it() -> None:
    minors = [Version(release).minor for release in RELEASES]
    assert minors == [minors[-1] - 2, minors[-1] - 1, minors[-1]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_two_documents_are_one_object(overlay: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(overlay)]
    assert len(set(names)) == len(names)


def test_kubectl_makes_the_same_of_it(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None or "v5." not in said(kubectl, "version", "--client"):
        pytest.skip("there is no kubectl with Kustomize 5")
    folder = copied(tmp_path) / "overlays/gateway"
    assert said(kubectl, "kustomize", str(folder)) == build(folder).stdout


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# -- secrets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_rendered_before_the_secrets_are_drawn(overlay: str, tmp_path: Path) -> None:
    folder = copied(tmp_path) / "overlays" / overlay
    shutil.rmtree(folder / "secrets")
    made = build(folder)
    assert made.returncode != 0
    assert "secrets/admin-token" in made.stderr
    assert not made.stdout


def test_secrets_are_drawn_once_for_their_owner_alone_and_are_left_out_of_git(
    tmp_path: Path,
) -> None:
    one, other = (tmp_path / name for name in ("one", "other"))
    for overlay in (one, other):
        overlay.mkdir()
        assert draw(overlay).count("wrote") == 4
    files = sorted(one.glob("secrets/[!.]*"))
    drawn = {file.name: file.read_text() for file in files}

    assert [file.name for file in files] == [
        "admin-token",
        "redis-url",
        "scope-secret",
        "users.acl",
    ]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert len(drawn["admin-token"]) == len(drawn["scope-secret"]) == 64
    assert all(text != (other / "secrets" / name).read_text() for name, text in drawn.items())
    assert draw(one) == ""
    assert {file.name: file.read_text() for file in files} == drawn
    (one / "secrets/admin-token").unlink()
    assert draw(one) == "wrote admin-token\n"
    assert (one / "secrets/redis-url").read_text() == drawn["redis-url"]
    ignored = ["git", "check-ignore", "-q", "k8s/overlays/gateway/secrets/users.acl"]
    assert subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0


def test_secrets_are_left_out_of_a_repository_that_is_not_this_one(tmp_path: Path) -> None:
    # The README has them drawn into a folder of one's own, from where `git add .` took them along.
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "app").mkdir()
    draw(tmp_path / "app")
    told = subprocess.run(
        ["git", "status", "--porcelain", "-uall"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout == ""


def test_who_draws_secrets_must_say_for_what(tmp_path: Path) -> None:
    for words in ([], ["nowhere"]):
        call = ["sh", str(ROOT / "k8s/secrets.sh"), *words]
        told = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert told.returncode == 2
        assert "usage" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_proxy_may_do_in_redis_what_the_documentation_says_and_others_nothing() -> None:
    documents = rendered("gateway")
    url = content(named(documents, "Secret", "sidecache"))["redis-url"].strip()
    users = content(named(documents, "Secret", "sidecache-redis"))["users.acl"].splitlines()
    service = named(documents, "Service", "sidecache-redis")
    password = url.removeprefix("redis://sidecache:").partition("@")[0]
    (rule,) = (
        line.removeprefix("ACL SETUSER ")
        for line in (ROOT / "docs/redis.md").read_text().splitlines()
        if line.startswith("ACL SETUSER ")
    )

    assert (
        url
        == f"redis://sidecache:{password}@sidecache-redis:{service['spec']['ports'][0]['port']}/0"
    )
    assert users == ["user default off", f"user {rule.replace('PASSWORD', password)}"]


# -- what comes from elsewhere ----------------------------------------------------------------


def test_the_rules_are_those_of_the_monitoring_kit(tmp_path: Path) -> None:
    rules = yaml.safe_load((ROOT / "config/monitoring/prometheus/rules.yaml").read_text())
    document = named(rendered("gateway"), "PrometheusRule", "sidecache")
    assert document["spec"] == rules, "run k8s/components/monitoring/prometheusrule.sh"

    folder = copied(tmp_path) / "components/monitoring"
    subprocess.run(["sh", folder / "prometheusrule.sh"], check=True)
    made = (folder / "prometheusrule.yaml").read_text()
    assert made == (ROOT / "k8s/components/monitoring/prometheusrule.yaml").read_text()


def test_the_dashboard_is_that_of_the_monitoring_kit_and_fits() -> None:
    document = named(rendered("gateway"), "ConfigMap", "sidecache-dashboard")
    text = (ROOT / "config/monitoring/grafana/sidecache.json").read_text()
    assert content(document) == {"sidecache.json": text}
    assert document["metadata"]["labels"] == {"grafana_dashboard": "1"}
    # kubectl apply keeps the whole object in an annotation, and all of them have 256 KiB.
    assert len(json.dumps(document)) < 200 * 2**10


# -- changes that one line makes ---------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_line_names_the_image(overlay: str, tmp_path: Path) -> None:
    folder = copied(tmp_path) / "overlays" / overlay
    text = (folder / "kustomization.yaml").read_text()
    version = said_version()
    line = "{name: sidecache, newName: sidecache, newTag: %s}"
    assert text.count(line % version) == 1
    (folder / "kustomization.yaml").write_text(
        text.replace(line % version, "{name: sidecache, newName: registry.test/mine, newTag: '7'}")
    )
    assert f"image: sidecache:{version}\n" in yaml.safe_dump_all(rendered(overlay))
    made = build(folder).stdout
    assert "image: registry.test/mine:7\n" in made
    assert "image: sidecache" not in made


def said_version() -> str:
    import tomllib

    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


WORKLOAD = """\
apiVersion: {version}
kind: {kind}
metadata:
  name: {name}
  labels: {{sidecache/inject: "{inject}"}}
spec:
  selector: {{matchLabels: {{app: own}}}}
  template:
    metadata: {{labels: {{app: own}}}}
    spec:
      initContainers: [{{name: first, image: first}}]
      containers: [{{name: own, image: own}}]
      volumes: [{{name: own, emptyDir: {{}}}}]
"""


@pytest.mark.parametrize(
    ("kind", "version"),
    [("Deployment", "apps/v1"), ("StatefulSet", "apps/v1"), ("DaemonSet", "apps/v1"),
     ("Job", "batch/v1")],
)  # fmt: skip
def test_the_component_puts_the_proxy_before_what_is_there_and_leaves_that(
    kind: str, version: str, tmp_path: Path
) -> None:
    folder = copied(tmp_path) / "own"
    folder.mkdir()
    given = WORKLOAD.format(kind=kind, version=version, name="own", inject="true")
    other = WORKLOAD.format(kind=kind, version=version, name="other", inject="false")
    (folder / "own.yaml").write_text(f"{given}---\n{other}")
    (folder / "kustomization.yaml").write_text(
        "resources: [own.yaml]\ncomponents: [../components/sidecar]\n"
    )
    made = build(folder)
    assert made.returncode == 0, made.stderr
    documents = read(made.stdout)
    spec = named(documents, kind, "own")["spec"]["template"]["spec"]
    before = yaml.safe_load(given)["spec"]["template"]["spec"]

    assert [each["name"] for each in spec["initContainers"]] == ["sidecache", "first"]
    assert spec["initContainers"][0]["restartPolicy"] == "Always"
    assert spec["initContainers"][1:] == before["initContainers"]
    assert spec["containers"] == before["containers"]
    assert before["volumes"][0] in spec["volumes"]
    assert set(spec) == set(before)
    assert named(documents, kind, "other") == yaml.safe_load(other)

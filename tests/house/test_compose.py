"""docker-compose.yaml against the programs that it starts, and itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import click
import pytest
import yaml
from support.proxied import proxied

from proxy.cli import cli
from proxy.config.load import load
from proxy.config.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROXY = SERVICES["proxy"]

# Of what https://github.com/compose-spec/compose-spec knows, what is used here: engines pass over
# some of what they do not know, so a slip of the pen would be found by nobody.
TOP = {"name", "services", "networks", "volumes", "secrets"}
OF_A_SERVICE = {
    "build", "cap_drop", "command", "environment", "healthcheck", "image", "mem_limit", "networks",
    "ports", "read_only", "restart", "secrets", "security_opt", "stop_grace_period", "tmpfs",
    "ulimits", "volumes",
}  # fmt: skip
OF_A_SECRET = {"source", "target", "uid", "mode"}

# A variable of whoever starts it; without it, what stands behind the question mark is all they get.
TO_SET = re.compile(r"\$\{SIDECACHE_ADMIN_TOKEN:\?[^}]+\}")

each_service = pytest.mark.parametrize("name", SERVICES)


def image() -> dict[str, str]:
    """The environment that the image brings."""
    text = (ROOT / "Dockerfile").read_text()
    (block,) = re.findall(r"^ENV (PATH=.*?[^\\])$", text, re.MULTILINE | re.DOTALL)
    return dict(word.split("=", 1) for word in block.replace("\\\n", " ").split())


def settings_of(environ: dict[str, str]) -> Settings:
    """As the proxy would read them, where whoever starts it has set what must be set."""
    given = image() | environ
    loaded = load(None, {name: TO_SET.sub("made-up", value) for name, value in given.items()})
    assert loaded.warnings == ()
    return loaded.settings


def published(name: str) -> list[list[str]]:
    return [port.split(":") for port in SERVICES[name].get("ports", [])]


def mounted(name: str) -> dict[str, str]:
    """What stands where in a service, by where."""
    return {where: what for what, where, *_ in (v.split(":") for v in SERVICES[name]["volumes"])}


def reaches(name: str, other: str) -> bool:
    return bool({*SERVICES[name]["networks"]} & {*SERVICES[other]["networks"]})


def test_it_says_nothing_that_no_engine_knows() -> None:
    assert COMPOSE.keys() <= TOP
    for service in SERVICES.values():
        assert service.keys() <= OF_A_SERVICE
        for secret in service.get("secrets", []):
            assert secret.keys() == OF_A_SECRET
            assert secret["source"] in COMPOSE["secrets"]
        for network in service["networks"]:
            assert network in COMPOSE["networks"]


@each_service
def test_images_are_named_by_their_version(name: str) -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    repository, _, tag = SERVICES[name]["image"].partition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-alpine)?", tag)
    assert repository != "sidecache" or tag == version[1]


@each_service
def test_nobody_else_than_this_machine_is_let_in(name: str) -> None:
    for host, outer, inner in published(name):
        assert (host, outer) == ("127.0.0.1", inner)
        assert "front" in SERVICES[name]["networks"]  # where it can be published
    assert "no-new-privileges:true" in SERVICES[name]["security_opt"]


def test_it_holds_no_secret() -> None:
    assert COMPOSE["secrets"] == {"admin-token": {"environment": "SIDECACHE_ADMIN_TOKEN"}}
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN$|SECRET|KEY$", name):
                assert TO_SET.fullmatch(value)


@each_service
def test_no_secret_is_to_be_copied_into_a_root_that_cannot_be_written(name: str) -> None:
    # The engine copies a secret that is no file of the machine, and refuses to start the container
    # if it cannot (docker/compose#12031).
    if SERVICES[name].get("read_only", False):
        for secret in SERVICES[name].get("secrets", []):
            assert "file" in COMPOSE["secrets"][secret["source"]]


@each_service
def test_what_is_mounted_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        what, where, *mode = volume.split(":")
        assert where.startswith("/")
        if what.startswith("./"):
            assert (ROOT / what).is_file()
            assert mode == ["ro"]
        else:
            assert what in COMPOSE["volumes"]


def test_the_proxy_finds_its_backend_its_redis_and_its_folder() -> None:
    settings = settings_of(PROXY["environment"])
    ports = [str(settings.listen.port), str(settings.admin.listen.port)]
    assert [port for *_, port in published("proxy")] == ports
    backend = urlsplit(settings.upstreams[0].url)
    place = SERVICES["backend"]["command"][-1]
    assert (backend.hostname, f"0.0.0.0:{backend.port}") == ("backend", place)
    redis = urlsplit(PROXY["environment"]["SIDECACHE_L2_REDIS__URL"])
    assert (redis.hostname, redis.port) == ("redis", 6379)
    assert reaches("proxy", "backend")
    assert reaches("proxy", "redis")
    assert list(mounted("proxy")) == [f"{image()['XDG_CACHE_HOME']}/sidecache"]


def test_the_proxy_is_given_the_time_it_takes_to_stop() -> None:
    downstream = settings_of(PROXY["environment"]).downstream
    delay_s = getattr(downstream, "drain_delay_s", 0)
    assert int(PROXY["stop_grace_period"].removesuffix("s")) >= delay_s + downstream.drain_s + 15


def test_only_those_who_need_the_token_can_read_it() -> None:
    told = {
        name: [(one["uid"], one["mode"]) for one in service["secrets"]]
        for name, service in SERVICES.items()
        if "secrets" in service
    }
    assert told == {"prometheus": [("65534", 0o400)]}
    given = [name for name, service in SERVICES.items() if TO_SET.search(str(service))]
    assert given == ["proxy"]


def test_the_backend_is_the_made_up_one() -> None:
    words = SERVICES["backend"]["command"]
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    assert command.make_context(words[0], words[1:]).params["backend"] == ("0.0.0.0", 8000)
    test = SERVICES["backend"]["healthcheck"]["test"]
    assert test[:3] == ["CMD", "python", "-c"]
    compile(test[3], "healthcheck", "exec")
    assert "http://127.0.0.1:8000/v1/models" in test[3]


async def test_prometheus_scrapes_the_proxy_as_it_wants_to_be_called() -> None:
    at = mounted("prometheus")
    (option,) = (w for w in SERVICES["prometheus"]["command"] if w.startswith("--config.file="))
    file = option.partition("=")[2]
    config = yaml.safe_load((ROOT / at[file]).read_text())
    assert [str(Path(file).parent / rule) for rule in config["rule_files"]] == [*at][1:2]
    (job,) = config["scrape_configs"]
    assert "sidecache" in job["job_name"]
    assert job["authorization"]["credentials_file"] == "/run/secrets/admin-token"
    (target,) = job["static_configs"][0]["targets"]
    assert reaches("prometheus", "proxy")

    admin = settings_of(PROXY["environment"]).admin
    assert target == f"proxy:{admin.listen.port}"
    own = {"token": admin.bearer, "allowed_hosts": admin.allowed_hosts, "listen": "127.0.0.1:0"}
    headers = {"Host": target, "Authorization": f"Bearer {admin.bearer}"}
    async with (
        proxied("http://127.0.0.1:9", admin=own) as proxy,
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{proxy.admin_url}/metrics") as reply,
    ):
        assert reply.status == 200
        assert "sidecache_requests_received_total" in await reply.text()


def test_grafana_has_the_dashboard_and_its_numbers() -> None:
    at = mounted("grafana")
    provisioned = [where for where in at if where.startswith("/etc/grafana/provisioning/")]
    (source,), (provider,) = (
        next(v for v in yaml.safe_load((ROOT / at[where]).read_text()).values() if v != 1)
        for where in provisioned
    )
    assert source["url"] == "http://prometheus:9090"
    assert reaches("grafana", "prometheus")
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(provider["options"]["path"])
    variable, *_ = json.loads((ROOT / at[home]).read_text())["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", source["type"])

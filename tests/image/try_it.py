"""Build the images and use them: no part of the tests, as it takes minutes and an engine.

    python3 tests/image/try_it.py                      slim and semantic
    python3 tests/image/try_it.py --target slim --base python:3.12-slim
    python3 tests/image/try_it.py --model FOLDER       semantic with a model

The folder is as `sidecache model export` makes one. With docker or podman it takes those. Else, as
root on Debian, buildah (apt-get install buildah debootstrap), which needs neither a daemon nor user
namespaces: each step runs in a chroot. The base is then made here, of Debian's own Python, and what
runs does so in a root that is mounted read-only, as user 65532, with a process 1 of its own.

Nothing is asked of the network but packages, and nothing is left behind but an engine's own cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]
USER = "65532:65532"
CACHE = "/var/cache/sidecache"
EPOCH = "1577836800"
QUESTION = {"model": "demo", "messages": [{"role": "user", "content": "What is a sidecar?"}]}
LIMIT_S = 120.0

PROBES = {
    "it is nobody": """
import os
assert os.getuid() == 65532 and not os.getgroups()
""",
    "its root is read-only": """
import errno
try:
    open("/x", "w")
except OSError as error:
    assert error.errno == errno.EROFS, error
else:
    raise AssertionError
""",
    "it has neither pip nor a compiler": """
import shutil
from importlib.util import find_spec
assert not find_spec("pip") and not find_spec("ensurepip")
assert not any(map(shutil.which, ("pip", "pip3", "cc", "gcc", "make")))
""",
    "nobody gains rights by a program": """
import os
for folder, _, names in os.walk("/usr"):
    for name in names:
        assert not os.lstat(os.path.join(folder, name)).st_mode & 0o6000, name
""",
    "its interpreter runs nothing first": """
import pathlib, site
for folder in site.getsitepackages():
    assert not [*pathlib.Path(folder).glob("*.pth")]
""",
    "all of it is compiled": """
import proxy.app, sys
for module in list(sys.modules.values()):
    cached = getattr(module, "__cached__", None)
    assert cached is None or __import__("os").path.exists(cached), cached
""",
}


@dataclass(frozen=True)
class Image:
    """A built image, and what it says of itself."""

    name: str
    megabytes: float
    config: Mapping[str, Any]


class Engine(Protocol):
    """What builds images and runs them."""

    def build(self, target: str, base: str | None) -> Image: ...

    def command(self, image: Image, words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        """The call that runs ``words`` in it on this machine's network, until they end."""
        ...


def ran(*words: str | Path, **keywords: Any) -> str:
    """What a program says. Raises CalledProcessError, with what it said of its failure."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, **keywords)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        sys.exit(f"{' '.join(map(str, words))[:200]}\n{tail}\nended with {done.returncode}")
    return done.stdout


class Docker:
    """docker or podman."""

    def __init__(self, program: str, model: Path | None) -> None:
        self._program = program
        self._model = model

    def build(self, target: str, base: str | None) -> Image:
        name = f"sidecache-try:{target}"
        chosen = ["--build-arg", f"BASE_IMAGE={base}"] if base else []
        if self._program == "podman":
            chosen += ["--format", "docker"]  # that of OCI has no health check
        ran(self._program, "build", *chosen, *labels(), "--target", target, "--tag", name, ROOT)
        (told,) = json.loads(ran(self._program, "inspect", "--type", "image", name))
        return Image(name, told["Size"] / 1e6, told["Config"])

    def command(self, image: Image, words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        given = [word for name, value in environ.items() for word in ("--env", f"{name}={value}")]
        models = ["--volume", f"{self._model}:/models:ro"] if self._model else []
        return [
            self._program, "run", "--rm", "--network", "host", "--read-only", "--tmpfs", "/tmp",
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges", *models, *given,
            "--entrypoint", words[0], image.name, *words[1:],
        ]  # fmt: skip


class Buildah:
    """buildah with a store of its own in ``folder``, and chroot in place of containers."""

    def __init__(self, folder: Path, model: Path | None) -> None:
        self._folder = folder
        self._model = model
        self._made: str | None = None

    def _buildah(self, *words: str | Path) -> str:
        store = ("--root", self._folder / "store", "--runroot", self._folder / "run")
        return ran("buildah", *store, "--storage-driver", "vfs", *words, cwd=ROOT).strip()

    def _base(self) -> str:
        """Debian with its Python, as small as it comes."""
        if self._made is None:
            root = self._folder / "debian"
            packages = "--include=python3,python3-venv,ca-certificates"
            ran("debootstrap", "--variant=minbase", packages, "trixie", root)
            for waste in (
                "var/cache/apt",
                "var/lib/apt/lists",
                "usr/share/doc",
                "usr/share/locale",
            ):
                shutil.rmtree(root / waste)
            container = self._buildah("from", "scratch")
            self._buildah("add", "--quiet", container, root, "/")
            self._made = "localhost/debian-python"
            self._buildah("commit", "--quiet", "--rm", "--format", "docker", container, self._made)
            shutil.rmtree(root)
        return self._made

    def build(self, target: str, base: str | None) -> Image:
        name = f"localhost/sidecache:{target}"
        trusted = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
        inside = "/etc/ssl/certs/of-the-host.crt"
        authority = ["--volume", f"{trusted}:{inside}:ro", "--build-arg", f"PIP_CERT={inside}"]
        index = os.environ.get("PIP_INDEX_URL")
        self._buildah(
            "build", "--isolation", "chroot", "--network", "host", "--format", "docker",
            "--layers=false", "--timestamp", EPOCH, *labels(),
            "--build-arg", f"BASE_IMAGE={base or self._base()}",
            *(authority if trusted else ()),
            *(("--build-arg", f"PIP_INDEX_URL={index}") if index else ()),
            "--target", target, "--tag", name, ".",
        )  # fmt: skip
        told = json.loads(self._buildah("inspect", "--type", "image", name))
        return Image(name, self._megabytes(name), told["Docker"]["config"])

    def _megabytes(self, name: str) -> float:
        (told,) = json.loads(self._buildah("images", "--json", name))
        number, unit = told["size"].split()
        return float(number) * {"MB": 1, "GB": 1000}[unit]

    def command(self, image: Image, words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        container = self._buildah("from", image.name)
        root = self._buildah("mount", container)
        own = [*image.config["Env"], "HOME=/", *(f"{k}={v}" for k, v in environ.items())]
        return [
            "unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL",
            "sh", str(Path(__file__).with_name("confined.sh")), root, CACHE, str(self._model or ""),
            "env", "--ignore-environment", *own, *words,
        ]  # fmt: skip


def labels() -> list[str]:
    """Build arguments that say what is in the image."""
    project = (ROOT / "pyproject.toml").read_text()
    version = project.partition('\nversion = "')[2].partition('"')[0]
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    said = {"VERSION": version, "REVISION": revision, "CREATED": "2020-01-01T00:00:00Z"}
    return [word for name, value in said.items() for word in ("--build-arg", f"{name}={value}")]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def asked(url: str, sent: object = None) -> tuple[Mapping[str, str], Any]:
    """The headers and the body of an answer. Raises OSError."""
    body = None if sent is None else json.dumps(sent).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as response:
        text = response.read()
        kind = response.headers.get_content_type()
        return response.headers, json.loads(text) if kind.endswith("json") else text


def until_answered(url: str, process: subprocess.Popen[bytes], begun: float) -> float:
    """Seconds since ``begun`` until ``url`` is answered well."""
    while time.monotonic() - begun < LIMIT_S:
        if process.poll() is not None:
            sys.exit(f"it ended with {process.returncode} before it answered at {url}")
        try:
            asked(url)
        except OSError:
            time.sleep(0.02)
        else:
            return time.monotonic() - begun
    sys.exit(f"no answer at {url}")


@contextmanager
def running(words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, until the block ends; then it must end well when it is asked to."""
    with log.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out) as process:
        try:
            yield process
            stop(process)
            status = process.wait(60)
            if status != 0:
                sys.exit(f"it ended with {status}:\n{log.read_text()[-3000:]}")
        finally:
            if process.poll() is None:
                process.kill()


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to what runs: docker passes it on, unshare does not."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    if Path(f"/proc/{process.pid}/comm").read_text().strip() == "unshare":
        os.kill(int(children[0]), 15)
    else:
        process.terminate()


def wanted(holds: bool, text: str) -> None:
    if not holds:
        sys.exit(f"not so: {text}")
    sys.stderr.write(f"  so it is: {text}\n")


def look(engine: Engine, image: Image) -> None:
    """What holds of an image before anything is started."""
    config = image.config
    wanted(config["User"] == USER, f"its user is {USER}")
    wanted(config["Entrypoint"] == ["sidecache"], "its entry point is the command, no shell")
    wanted(config["Healthcheck"]["Test"] == ["CMD", "sidecache", "health"], "a health check")
    wanted(config.get("StopSignal") == "SIGTERM", "it is stopped by SIGTERM")
    wanted(bool(config["Labels"]["org.opencontainers.image.version"]), "it is labelled")
    for text, code in PROBES.items():
        words = engine.command(image, ["/opt/sidecache/bin/python", "-c", code], {})
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        wanted(done.returncode == 0, text + done.stderr)


def use(engine: Engine, image: Image, folder: Path, *, model: bool) -> dict[str, float]:
    """Start it in front of its own made-up backend and ask it; what that took at best."""
    backend, listen, admin = (f"127.0.0.1:{free_port()}" for _ in range(3))
    environ = {
        "SIDECACHE_LISTEN": listen, "SIDECACHE_ADMIN__LISTEN": admin,
        "SIDECACHE_UPSTREAM": f"http://{backend}",
    }  # fmt: skip
    if model:
        meaning = {"ENABLED": "true", "EMBEDDER__KIND": "onnx", "EMBEDDER__PATH": "/models"}
        environ |= {f"SIDECACHE_SEMANTIC__{name}": value for name, value in meaning.items()}
    test = image.config["Healthcheck"]["Test"][1:]
    health = engine.command(image, test, environ)
    done = subprocess.run(health, check=False, capture_output=True, text=True)
    wanted(done.returncode == 1, f"not well before it is started: {done.stderr.strip()}")
    with ExitStack() as stack:
        words = engine.command(
            image, [*image.config["Entrypoint"], "demo", "--backend", backend], {}
        )
        begun = time.monotonic()
        behind = stack.enter_context(running(words, folder / "backend.log"))
        until_answered(f"http://{backend}/v1/models", behind, begun)

        words = [*image.config["Entrypoint"], *image.config["Cmd"]]
        words = engine.command(image, words, environ)
        starts, checks = [], []
        for last in (False, False, True):
            begun = time.monotonic()
            this = stack if last else stack.enter_context(ExitStack())
            proxy = this.enter_context(running(words, folder / "proxy.log"))
            starts.append(until_answered(f"http://{admin}/readyz", proxy, begun))
            begun = time.monotonic()
            done = subprocess.run(health, check=False, capture_output=True, text=True)
            checks.append(time.monotonic() - begun)
            wanted(done.returncode == 0, f"well: {done.stdout.strip()}{done.stderr}")
            if not last:
                this.close()
        url = f"http://{listen}/v1/chat/completions"
        verdicts = [asked(url, QUESTION)[0]["X-Cache"] for _ in range(2)]
        wanted(verdicts == ["MISS", "HIT"], f"asked twice: {verdicts}")
        tiers = {each["tier"]: each["state"] for each in asked(f"http://{admin}/tiers")[1]["tiers"]}
        wanted(tiers.get("l2_disk") == "up", f"its tiers are {tiers}")
        if model:
            while not asked(f"http://{admin}/semantic")[1]["ready"]:
                if time.monotonic() - begun > LIMIT_S:
                    sys.exit("the model is not ready")
                time.sleep(0.1)
            wanted(True, "the model is ready")
        rss = asked(f"http://{admin}/stats")[1]["process"]["rss_bytes"]
    wanted("Traceback" not in (folder / "proxy.log").read_text(), "ended well when told to")
    return {"ready_s": min(starts), "health_s": min(checks), "rss_mb": rss / 1e6}


@contextmanager
def engine_of(name: str | None, model: Path | None) -> Iterator[Engine]:
    """That one, or the first that works."""
    for program in ("docker", "podman") if name is None else (name,):
        if program == "buildah" or not shutil.which(program):
            continue
        if subprocess.run([program, "info"], capture_output=True, check=False).returncode == 0:
            yield Docker(program, model)
            return
    if not (shutil.which("buildah") and shutil.which("debootstrap") and os.getuid() == 0):
        sys.exit("it takes docker or podman; or, as root, apt-get install buildah debootstrap")
    folder = Path(tempfile.mkdtemp(prefix="sidecache-image-"))
    try:
        yield Buildah(folder, model)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    options = argparse.ArgumentParser(description="Build the images and use them.")
    options.add_argument("--engine", choices=["docker", "podman", "buildah"])
    options.add_argument("--base", help="the base image, in place of that of the Dockerfile")
    options.add_argument("--target", action="append", choices=["slim", "semantic"])
    options.add_argument("--model", type=Path, help="a folder for semantic")
    given = options.parse_args()
    rows = []
    with engine_of(given.engine, given.model) as engine, tempfile.TemporaryDirectory() as logs:
        for target in given.target or ["slim", "semantic"]:
            sys.stderr.write(f"{target}\n")
            begun = time.monotonic()
            image = engine.build(target, given.base)
            built_s = time.monotonic() - begun
            look(engine, image)
            with_model = given.model is not None and target == "semantic"
            took = use(engine, image, Path(logs), model=with_model)
            rows.append((target, image.megabytes, built_s, *took.values()))
    table = ["| image | MB | built s | ready s | health s | idle MB |", "|---|---|---|---|---|---|"]
    for name, *numbers in rows:
        table.append(f"| `{name}` | " + " | ".join(f"{number:.3g}" for number in numbers) + " |")
    sys.stdout.write("\n".join(table) + "\n")


if __name__ == "__main__":
    main()

"""A container of the manifests as confined as a cluster would have it; a program by itself.

To be run by root, in a network and a mount namespace of its own (unshare --net --mount). The proxy
has there the ports of its manifest and the address of a pod, sees of the files of this machine only
those that make up its "image", may write nowhere but to its volumes, and has the user, the groups
and the missing rights that its security context gives it. What came of asking is printed as JSON.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp

from proxy.demo.backend import DemoBackend, Pace
from support.manifest_faults import PATHS
from support.manifests import ROOT, Proxy, content, named, of_kind, proxies, rendered

POD: Final = "10.244.1.7"
MODELS: Final = re.compile(r"http://demo-model:8000|https://api\.openai\.com")
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_LIMIT_S: Final = 40.0
_SIOCSIFADDR, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8916, 0x8913, 0x8914  # netdevice(7)
_UP: Final = 1


def bring_up(address: str) -> None:
    """Give this network namespace loopback, and ``address`` as one more of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        up = struct.unpack("16sH14x", flags)[1] | _UP
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", up))
        place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(any_socket, _SIOCSIFADDR, struct.pack("16s16s", b"lo:pod", place))


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def show(root: Path, path: Path) -> None:
    """Have a file or folder of this machine under ``root`` too, at the same path, to be read."""
    place = root / path.relative_to("/")
    if path.is_symlink():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path.readlink())
        return
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    mount("--bind", path, place)
    mount("-o", "remount,bind,ro", place)


def image() -> Iterable[Path]:
    """What Python and the proxy are made of here, the outermost folders."""
    used = {Path(each) for each in (*sys.path, sys.prefix, sys.base_prefix, str(ROOT), "/usr")}
    folders = sorted({each for each in used if each.is_dir() and each.is_absolute()})
    outermost: list[Path] = []
    for folder in folders:
        if not any(folder.is_relative_to(each) for each in outermost):
            outermost.append(folder)
    yield from outermost
    for name in ("bin", "sbin", "lib", "lib64", "etc/ld.so.cache", "dev/null", "dev/urandom"):
        if Path("/", name).exists():
            yield Path("/", name)


def container(pod: Proxy, folder: Path, root: Path) -> None:
    """Lay out the file system of the container at ``root``; ``folder`` is for its volumes."""
    root.mkdir()
    mount("-t", "tmpfs", "-o", "mode=755", "none", root)
    (root / "proc").mkdir()
    mount("--bind", "/proc", root / "proc")
    group = pod.spec.get("securityContext", {}).get("fsGroup", 0)
    for path, place in pod.fill(folder, will_be_mounted=True).items():
        there = root / path.lstrip("/")
        there.mkdir(parents=True, exist_ok=True)
        # As the kubelet makes them: root's, and the group's that the pod names.
        place.chmod(0o777)
        for each in (place, *place.iterdir()):
            os.chown(each, 0, group)
        mount("--bind", place, there)
        if (pod.volume(path) or {}).get("readOnly"):
            mount("-o", "remount,bind,ro", there)
    for path in image():  # after the volumes, for this project may lie in /tmp
        show(root, path)
    mount("-o", "remount,ro", root)


def command(pod: Proxy, root: Path) -> list[str]:
    """How to start it, with what its security context leaves it."""
    context = {**pod.spec.get("securityContext", {}), **pod.container["securityContext"]}
    user, group = context["runAsUser"], context["runAsGroup"]
    others = f"--groups={context['fsGroup']}" if "fsGroup" in context else "--clear-groups"
    return [
        *("chroot", str(root), "setpriv", f"--reuid={user}", f"--regid={group}", others),
        *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
        *(sys.executable, "-m", "proxy", *pod.container["args"]),
    ]


async def answer(url: str, **options: Any) -> tuple[int, dict[str, str]]:
    """The status, 0 where nobody listens, and the fields of the head."""
    method = "POST" if "json" in options else "GET"
    async with aiohttp.ClientSession() as http:
        try:
            async with http.request(method, url, **options) as reply:
                await reply.read()
                return reply.status, dict(reply.headers)
        except aiohttp.ClientConnectionError:
            return 0, {}


async def asked(pod: Proxy, process: asyncio.subprocess.Process) -> dict[str, Any]:
    """What probes, Prometheus and clients are told, each where the manifests say."""
    found: dict[str, Any] = {}

    def at(port: str | int) -> str:
        return f"http://{POD}:{pod.ports[port] if isinstance(port, str) else port}"

    startup = pod.container["startupProbe"]["httpGet"]
    async with asyncio.timeout(_LIMIT_S):
        while (await answer(at(startup["port"]) + startup["path"]))[0] != 200:
            assert process.returncode is None
            await asyncio.sleep(0.05)  # a probe is repeated
    for kind in PATHS:
        probe = pod.container[kind]["httpGet"]
        found[kind] = (await answer(at(probe["port"]) + probe["path"]))[0]

    (endpoint,) = named(rendered("gateway"), "PodMonitor", "sidecache")["spec"][
        "podMetricsEndpoints"
    ]
    key = endpoint["authorization"]["credentials"]
    token = content(named(pod.documents, "Secret", key["name"]))[key["key"]]
    metrics = at(endpoint["port"]) + endpoint["path"]
    bearer = {"Authorization": f"{endpoint['authorization']['type']} {token}"}
    found["scrape"] = (await answer(metrics, headers=bearer))[0]
    found["without token"] = (await answer(metrics))[0]
    found["by a name"] = (await answer(metrics, headers={**bearer, "Host": "evil.test"}))[0]

    question = {"model": "demo", "messages": [{"role": "user", "content": "What is a cache?"}]}
    port = int(pod.environment()["SIDECACHE_LISTEN"].rpartition(":")[2])
    for name, host in (("from the pod", "127.0.0.1"), ("from elsewhere", POD)):
        url = f"http://{host}:{port}/v1/chat/completions"
        told = [await answer(url, json=question) for _ in range(2)]
        found[name] = [head.get("X-Cache") or status for status, head in told]
    return found


def standing(pid: int) -> dict[str, Any]:
    """Who the process is, what it may do, and how it sees its root."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    mounts = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
    (options,) = [words[3] for words in mounts if words[1] == "/"][-1:]
    return {
        "user": sorted({*status["Uid"], *status["Gid"]}),
        "rights": int(status["CapEff"][0], 16) | int(status["CapBnd"][0], 16),
        "may gain": status["NoNewPrivs"] != ["1"],
        "root": options.split(",")[0],
    }


async def confined(overlay: str, folder: Path) -> dict[str, Any]:
    """All of it, for the proxy of one overlay."""
    bring_up(POD)
    documents = rendered(overlay)
    (pod,) = proxies(documents)
    async with DemoBackend(Pace(0.0, 0.0)) as backend:
        for settings in of_kind(documents, "ConfigMap"):
            for file, text in content(settings).items():
                settings["data"][file] = MODELS.sub(backend.url, text)
        container(pod, folder, folder / "root")
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command(pod, folder / "root"),
                env={"PATH": _PATH, "PYTHONPATH": str(ROOT), **pod.environment()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            found = await asked(pod, process)
            found |= standing(process.pid)
            process.terminate()
            async with asyncio.timeout(_LIMIT_S):
                found["ended"] = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(confined(sys.argv[1], Path(sys.argv[2])))))  # noqa: T201

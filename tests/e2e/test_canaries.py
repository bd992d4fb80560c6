"""What is said in confidence is told nowhere: twelve secrets through many paths, good and bad.

Real processes, that log all they have to say. Then everything that anybody but the caller and the
backend can see is searched: logs, traces, what the operator is told, what clients are told of
errors and by whose answer they came, crashes, and the command line that others can read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import pytest
from support.canaries import (
    ADMIN,
    ALL,
    AUTHORIZATION,
    HOWS,
    KINDS,
    PROMPT,
    QUERY,
    REDIS,
    RESPONSE,
    SECRETS,
    TENANT,
    TOOL,
    USERINFO,
    backend,
    found,
)  # fmt: skip
from support.canary_paths import MALFORMED, ODD_HEADERS, RAW, Ask
from support.collector import Collector
from support.raw_client import RawClient
from support.redis_servers import free_port, needs_redis, server
from support.scripted import ScriptedUpstream
from support.served import ROOT

Json = dict[str, Any]

LIMIT_S = 30.0
TOKEN = {"Authorization": f"Bearer {ADMIN}"}


class Scene:
    """A running proxy, and everything that it has told to anybody but the caller."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.url = ""
        self.admin = ""
        self.paths: list[str] = []  # the names of those that were walked
        self.leaks: list[tuple[str, set[str]]] = []
        self.statuses: set[int] = set()

    @property
    def log(self) -> str:
        return (self._folder / "stderr").read_text(encoding="utf-8", errors="replace")

    async def told(self, event: str) -> Json:
        async with asyncio.timeout(LIMIT_S):
            while True:
                for line in self.log.splitlines():
                    if line.startswith("{") and (about := orjson.loads(line))["event"] == event:
                        return about
                assert self._process.returncode is None, self.log
                await asyncio.sleep(0.02)

    def search(self, where: str, text: str | bytes, *but: str) -> None:
        """Note which canaries are in ``text``."""
        if leaked := found(text, *but):
            self.leaks.append((where, leaked))

    async def end(self) -> int:
        """Search what is left: the command line, and after the end all that was printed."""
        self.search("command line", _read(f"/proc/{self._process.pid}/cmdline"))
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            status = await self._process.wait()
        for name in ("stdout", "stderr"):
            for line in _read(self._folder / name).splitlines():
                self.search(f"{name}: {line[:300]!r}", line)
        return status

    # -- clients ------------------------------------------------------------------------------

    async def ask(self, http: aiohttp.ClientSession, ask: Ask) -> None:
        """Walk one path, and search what the client is told besides the answer."""
        self.paths.append(ask.name)
        url = f"{self.url}{ask.path}?key={QUERY}"
        sent = {"Content-Type": "application/json", **SECRETS, **ask.headers}
        method, body = "GET" if ask.body is None else "POST", ask.body
        try:
            async with http.request(method, url, data=body, headers=sent) as reply:
                said = await reply.read()
        except aiohttp.ClientError:
            return  # broken off, as the backend's answer was
        self.statuses.add(reply.status)
        told = {n: v for n, v in reply.headers.items() if n.lower() != "x-request-id"}
        self.search(f"{ask.name}: head", str(told))
        ours = reply.headers.get("X-Cache", "ERROR") == "ERROR"
        self.search(f"{ask.name}: body", said, *(() if ours else (RESPONSE, TOOL)))

    async def shout(self, name: str, text: str) -> None:
        """Walk one path with bytes that a client would not send."""
        self.paths.append(name)
        async with await RawClient.connect(_address(self.url)) as client:
            await client.send(text.encode("latin-1"))
            client.end()
            try:
                said = await client.rest()
            except (ConnectionError, EOFError):
                return
        self.statuses.add(int(said.split(b" ", 2)[1]))
        self.search(
            f"{name}: reply", said.replace(f"X-Request-Id: {RESPONSE}".encode(), b""), RESPONSE
        )

    # -- the operator -------------------------------------------------------------------------

    async def ask_admin(self, http: aiohttp.ClientSession, *, thorough: bool = True) -> list[str]:
        """Walk all that can be asked of the operator's listener; the names of the routes."""
        async with http.get(f"{self.admin}/openapi.json", headers=TOKEN) as reply:
            document = await reply.json()
        walked = [(m, path) for path, each in document["paths"].items() for m in each]
        # Who guesses comes last: after so many of them nobody is listened to.
        guess = {"Authorization": f"Bearer {AUTHORIZATION}"}
        for headers in (TOKEN, {}, guess) if thorough else (TOKEN,):
            for method, path in walked:
                await self._ask_admin(http, method, path.replace("{key}", "a" * 64), headers)
        for name, text in RAW.items() if thorough else ():
            async with await RawClient.connect(_address(self.admin)) as client:
                await client.send(text.encode("latin-1"))
                client.end()
                with contextlib.suppress(ConnectionError, EOFError):
                    self.search(f"admin: {name}", await client.rest())
        return [" ".join(each) for each in walked]

    async def _ask_admin(
        self, http: aiohttp.ClientSession, method: str, path: str, headers: Json
    ) -> None:
        sent = {"Content-Type": "application/json", **headers}
        for body in _BODIES if method == "post" else (b"",):
            for query in ("", f"?nonsense={TOOL}&limit={PROMPT}&key={QUERY}"):
                url = f"{self.admin}{path}{query}"
                async with http.request(method, url, data=body or None, headers=sent) as reply:
                    said = await _some(reply)
                # In what two bodies differ is told to who has just sent them.
                but = (PROMPT, TOOL) if path == "/explain" and reply.status == 200 else ()
                self.search(f"admin: {method} {path}, {reply.status}", said, *but)
                self.search(f"admin: {method} {path}, head", str(reply.headers))


_REQUEST: Final = {
    "method": "POST",
    "path": f"{KINDS[0].path}?key={QUERY}",
    "headers": SECRETS,
    "body": orjson.loads(KINDS[0].body("well") or b""),
}
# What operators may send: of each kind something that is right, and something that is not.
_SAID: Final = (
    {"kind": "tag", "value": PROMPT},
    {"kind": "key", "value": PROMPT},
    {"kind": PROMPT, "nonsense": TOOL},
    {"request": _REQUEST},
    {"request": _REQUEST, "other": {**_REQUEST, "body": {"model": TOOL}}},
    {"request": _REQUEST, "other": {**_REQUEST, "path": KINDS[0].path, "headers": {}}},
    {"requests": [_REQUEST]},
    {},
    PROMPT,
)
_BODIES: Final = (*map(orjson.dumps, _SAID), PROMPT.encode())


async def _some(reply: aiohttp.ClientResponse) -> bytes:
    """What comes within a moment: some answers have no end."""
    said = b""
    try:
        async with asyncio.timeout(0.5):
            while piece := await reply.content.readany():
                said += piece
    except TimeoutError:
        pass
    return said


def _read(file: str | Path) -> bytes:
    return Path(file).read_bytes()


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.partition("://")[2].rpartition(":")
    return host, int(port)


@asynccontextmanager
async def scene(settings: Json, folder: Path, **environment: str) -> AsyncIterator[Scene]:
    """A proxy with these settings, which speaks of all it does."""
    file = folder / "sidecache.yaml"
    common: Json = {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "log": {"level": "debug"},
        "l2_disk": {"directory": str(folder / "disk")},
        "cache": {"scope": {"by": "header", "header": "X-Tenant"}, "max_request_bytes": 65536,
                  "inert_headers": ["X-How"]},
        "semantic": {"enabled": True, "embedder": {"kind": "ngram"}},
        "http_resource": {"enabled": True},
        "rag": [{"paths": ["/ask"], "question": "/question", "sources": "/sources"}],
        "downstream": {"limits": {"max_body_bytes": 2**19, "half_close_grace_s": 0.1}},
    }  # fmt: skip
    file.write_bytes(orjson.dumps(common | settings))
    own = {name: value for name, value in os.environ.items() if not name.startswith("SIDECACHE")}
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "faulthandler", "-m", "proxy", "serve", "--config", str(file)),
            cwd=ROOT,
            env=own | {"SIDECACHE_ADMIN__TOKEN": ADMIN} | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    try:
        running = Scene(process, folder)
        about = await running.told("listening")
        running.url, running.admin = about["url"], about["admin"]
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _upstreams(url: str) -> list[Json]:
    backend = {"first_byte_timeout_s": 0.3, "set_headers": {"X-Own": f"Own {AUTHORIZATION}"}}
    served = [{"url": url, "prefix": prefix, "strip_prefix": False, "id": f"b{at}", **backend}
              for at, prefix in enumerate(("/v1", "/api", "/ask", "/r"))]  # fmt: skip
    return [*served, {"url": f"http://127.0.0.1:{free_port()}", "prefix": "/away", "id": "away"}]


async def _walk(running: Scene) -> None:
    """Every path that clients can take, twice where the second may be answered from the cache."""
    chat = KINDS[0]
    async with aiohttp.ClientSession() as http:
        for kind in KINDS:
            for how in HOWS:
                headers = {"X-Kind": kind.name, "X-How": how}
                path, body = kind.path.replace("%", how), kind.body(how)
                for turn in ("first", "again"):
                    name = f"{kind.name}, {how}, {turn}"
                    await running.ask(http, Ask(name, path, body, headers))
        hanging = Ask("hanging", chat.path, chat.body("hanging"), {"X-How": "hanging"})
        await running.ask(http, hanging)
        await running.ask(http, Ask("in other words", chat.path, chat.body("WELL"), {}))
        for name, (path, body) in MALFORMED.items():
            await running.ask(http, Ask(name, path, body, {}))
        for name, headers in ODD_HEADERS.items():
            await running.ask(http, Ask(name, chat.path, chat.body("well"), headers))
        together = [Ask(f"together, {at}", chat.path, chat.body("all"), {}) for at in range(4)]
        await asyncio.gather(*(running.ask(http, each) for each in together))
    for name, text in RAW.items():
        await running.shout(name, text)


@needs_redis
@pytest.mark.timeout(120)
async def test_nothing_that_was_said_in_confidence_is_told_to_anybody_else(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as up,
        Collector() as collector,
        server("--requirepass", REDIS) as redis,
    ):
        up.answer_with(backend)
        settings = {
            "upstreams": _upstreams(up.url),
            "tracing": {"enabled": True, "endpoint": collector.url},
        }
        url = f"redis://:{REDIS}@127.0.0.1:{redis.port}"
        async with scene(settings, tmp_path, SIDECACHE_L2_REDIS__URL=url) as running:
            await _walk(running)
            async with aiohttp.ClientSession() as http:
                routes = await running.ask_admin(http)
            # What crashes in C tells where, and nothing of what it worked on.
            await running.end()

    assert len(running.paths) >= 60
    assert {200, 400, 401, 404, 413, 414, 431, 500, 502, 504, 508} <= running.statuses
    assert {"post /purge", "get /semantic", "get /openapi.json"} <= set(routes)
    assert len(collector.spans) > 100
    for body in collector.bodies:
        running.search("traces", body)
    assert running.leaks == []
    assert running.log.count('"event":"request"') > 100
    # The canaries were there to be told: the backend has heard them.
    assert set(ALL) - found(b"".join(call.raw_head + call.body for call in up.history)) == {
        REDIS, ADMIN, RESPONSE,
    }  # fmt: skip


@pytest.mark.parametrize("how", ["away", pytest.param("refusing", marks=needs_redis)])
async def test_a_redis_that_cannot_be_used_is_told_without_its_password(
    tmp_path: Path, how: str
) -> None:
    async with ScriptedUpstream() as up, server("--requirepass", "another") as redis:
        up.answer_with(backend)
        port = redis.port if how == "refusing" else free_port()
        url = f"redis://someone{USERINFO}:{REDIS}@127.0.0.1:{port}"
        settings = {"upstreams": _upstreams(up.url)}
        async with scene(settings, tmp_path, SIDECACHE_L2_REDIS__URL=url) as running:
            async with aiohttp.ClientSession() as http:
                for kind in KINDS[:3]:
                    ask = Ask(kind.name, kind.path, kind.body(how), {"X-Kind": kind.name})
                    await running.ask(http, ask)
                about = await running.told("redis changed")
                await running.ask_admin(http, thorough=False)
            await running.end()
    assert about["standing"] != "up"
    assert running.statuses == {200}
    assert running.leaks == []


async def test_what_is_refused_at_the_start_is_told_without_what_is_secret(tmp_path: Path) -> None:
    good = {"upstreams": [{"url": "http://backend"}]}
    wrong: list[tuple[Json, dict[str, str]]] = [
        ({"upstreams": [{"url": f"http://user:{USERINFO}@backend"}]}, {}),
        ({"upstreams": [{"url": f"http://backend?key={QUERY}"}]}, {}),
        ({"upstreams": [{"url": "http://b", "set_headers": {"A": f"{AUTHORIZATION}\n"}}]}, {}),
        (good | {"admin": {"token": [ADMIN]}}, {}),
        (good, {"SIDECACHE_L2_REDIS__URL": f"redis://:{REDIS}@h:port"}),
        (good, {"SIDECACHE_L2_REDIS__URL": f"http://u:{REDIS}@h:1"}),
        (good | {"cache": {"scope": {"secret": {"a": TENANT}}}}, {}),
        (good | {"tracing": {"headers": {"a": [TOOL]}}}, {}),
        (good | {"tracing": {"endpoint": f"http://u:{USERINFO}@h/?key={QUERY}"}}, {}),
    ]
    for settings, environment in wrong:
        file = tmp_path / "sidecache.yaml"
        file.write_bytes(orjson.dumps(settings))
        process = await asyncio.create_subprocess_exec(
            # Where Redis is, is not read before it is needed.
            *(sys.executable, "-m", "proxy", "serve" if environment else "check", "--no-disk"),
            *("--config", str(file)),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
            cwd=ROOT,
            env=os.environ | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 2, settings
        assert found(said) == set(), said


CRASHES = f"""
import sys
from proxy.app import serve
from proxy.config.load import Held, Loaded
from proxy.config.settings import Settings

def crash(proxy):
    prompt = {PROMPT!r}
    try:
        raise KeyError(prompt)
    except KeyError as error:
        raise ValueError("Bearer " + {AUTHORIZATION!r}) from error

given = {{
    "listen": "127.0.0.1:0",
    "admin": {{"listen": "127.0.0.1:0"}},
    "log": {{"level": "debug"}},
    "l2_disk": {{"enabled": False}},
    "upstreams": [{{"url": "http://127.0.0.1:9"}}],
}}
settings = Settings.model_validate(given)
sys.exit(serve(Loaded(settings, {{}}), Held(settings), crash))
"""


async def test_a_crash_is_told_without_what_it_quotes() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CRASHES),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 70
    last = orjson.loads(said.splitlines()[-1])
    assert (last["level"], last["error"], last["causes"]) == (
        "critical",
        "ValueError",
        ["KeyError"],
    )
    assert any(step.endswith(" crash") for step in last["trace"])
    assert found(said) == set()

"""Entries carried between proxies that run, by the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zstandard
from click.testing import CliRunner, Result
from support.demo_calls import ask
from support.proxied import Proxied, proxied
from support.told_admin import Listener, Run

from proxy.carrying.parcel import Heading, Packing
from proxy.cli import cli
from proxy.demo.backend import DemoBackend, Pace

TOKEN = "an-admin-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
KEYED: dict[str, Any] = {"cache": {"scope": {"secret": "s" * 32}}}
ALLOWED: dict[str, Any] = {
    "admin": {
        "listen": "127.0.0.1:0", "token": TOKEN, "allow_export": True, "allow_import": True,
    },
    **KEYED,
}  # fmt: skip
Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def backend() -> AsyncIterator[DemoBackend]:
    async with DemoBackend(Pace(0, 0)) as backend:
        yield backend


@pytest.fixture
def command(run: Run) -> Command:
    async def command(proxy: Proxied, *words: object) -> Result:
        environ = {"SIDECACHE_ADMIN_URL": proxy.admin_url, "SIDECACHE_ADMIN_TOKEN": TOKEN}
        return await asyncio.to_thread(run, *words, **environ)

    return command


async def test_what_one_proxy_has_stored_another_serves(
    backend: DemoBackend, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "entries.zst"
    async with proxied(backend.url, **ALLOWED) as one:
        told = [await ask(one.url, f"Question {n}", tags="doc:1") for n in range(30)]
        result = await command(one, "export", file, "--json")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert said["entries"] == 30
        assert said["file_bytes"] == file.stat().st_size < said["bytes"] / 2
        assert file.stat().st_mode & 0o777 == 0o600
        result = await command(one, "import", file)
        assert "30 were there already" in result.stdout
        assert result.exit_code == 0

    async with proxied(backend.url, **ALLOWED) as two:
        refused = await command(two, "import", file)
        assert refused.exit_code == 2
        assert "vouch for it" in refused.stderr
        result = await command(two, "import", file, "--vouch", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == {
            "entries": 30, "taken": 30, "older": 0, "purged": 0, "expired": 0, "declined": 0,
            "unreadable": 0,
        }  # fmt: skip
        for number, (_, _, body) in enumerate(told):
            assert await ask(two.url, f"Question {number}") == (200, "HIT", body)
        await purged_by(two, "doc:1")
        assert (await ask(two.url, "Question 1"))[1] == "MISS"
    assert backend.calls == 31


async def purged_by(proxy: Proxied, tag: str) -> None:
    async with (
        aiohttp.ClientSession(headers=BEARER) as session,
        session.post(f"{proxy.admin_url}/purge", json={"kind": "tag", "value": tag}) as reply,
    ):
        assert reply.status == 200


async def test_what_was_purged_since_does_not_come_back_after_a_restart_either(
    backend: DemoBackend, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "entries"
    disk = {"l2_disk": {"enabled": True, "directory": str(tmp_path / "disk"), "max_bytes": 2**24}}
    async with proxied(backend.url, **ALLOWED, **disk) as one:
        await ask(one.url, "Old", tags="doc:1")
        await ask(one.url, "Other")
        await one.store.settle()
        assert (await command(one, "export", file)).exit_code == 0
        await purged_by(one, "doc:1")
    async with proxied(backend.url, **ALLOWED, **disk) as again:
        result = await command(again, "import", file)
        assert result.exit_code == 0, result.output
        assert "1 were purged since" in result.stdout
        assert "1 were there already" in result.stdout
        assert (await ask(again.url, "Old"))[1] == "MISS"
        assert (await ask(again.url, "Other"))[1] == "HIT"


async def test_one_tier_can_be_exported_alone(
    backend: DemoBackend, command: Command, tmp_path: Path
) -> None:
    disk = {"l2_disk": {"enabled": True, "directory": str(tmp_path / "disk"), "max_bytes": 2**24}}
    async with proxied(backend.url, **ALLOWED, **disk) as proxy:
        await ask(proxy.url, "One")
        await proxy.store.settle()
        proxy.store.memory.clear_now()
        for tier, count in (("l1_memory", 0), ("l2_disk", 1)):
            result = await command(proxy, "export", tmp_path / tier, "--tier", tier)
            assert f"exported {count} entries" in result.stdout, result.output
        result = await command(proxy, "export", tmp_path / "x", "--tier", "l3")
        assert result.exit_code == 2
        assert not (tmp_path / "x").exists()
        assert (await command(proxy, "import", tmp_path / "l1_memory")).exit_code == 0


async def test_entries_keyed_by_another_secret_are_refused(
    backend: DemoBackend, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "entries"
    async with proxied(backend.url, **ALLOWED) as one:
        await ask(one.url, "One")
        assert (await command(one, "export", file)).exit_code == 0
    other = ALLOWED | {"cache": {"scope": {"secret": "t" * 32}}}
    async with proxied(backend.url, **other) as two:
        result = await command(two, "import", file, "--vouch")
        assert result.exit_code == 2
        assert "cache.scope.secret" in result.stderr


async def test_what_is_not_allowed_is_refused(
    backend: DemoBackend, command: Command, tmp_path: Path
) -> None:
    plain = {"admin": {"listen": "127.0.0.1:0", "token": TOKEN}, **KEYED}
    file = tmp_path / "entries"
    file.write_bytes(parcel())
    async with proxied(backend.url, **plain) as proxy:
        result = await command(proxy, "export", tmp_path / "new")
        assert (result.exit_code, "admin.allow_export is not set" in result.stderr) == (2, True)
        assert not (tmp_path / "new").exists()
        result = await command(proxy, "import", file)
        assert (result.exit_code, "admin.allow_import is not set" in result.stderr) == (2, True)


@pytest.fixture
async def proxy(backend: DemoBackend) -> AsyncIterator[Proxied]:
    async with proxied(backend.url, **ALLOWED) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("media_type", "body", "status", "says"),
    [
        ("application/json", b"{}", 415, "application/vnd.sidecache.entries"),
        ("application/vnd.sidecache.entries", b"", 400, "cut short"),
        ("application/vnd.sidecache.entries", b"nonsense", 400, "no entries of sidecache"),
    ],
)
async def test_what_is_no_parcel_is_refused(
    proxy: Proxied, media_type: str, body: bytes, status: int, says: str
) -> None:
    async with (
        aiohttp.ClientSession(headers=BEARER | {"Content-Type": media_type}) as session,
        session.post(f"{proxy.admin_url}/import", data=body) as reply,
    ):
        assert reply.status == status
        assert says in (await reply.json())["error"]


async def test_both_are_described(proxy: Proxied) -> None:
    async with (
        aiohttp.ClientSession(headers=BEARER) as session,
        session.get(f"{proxy.admin_url}/openapi.json") as reply,
    ):
        paths = (await reply.json())["paths"]
    assert set(paths["/import"]["post"]["requestBody"]["content"]) == {
        "application/vnd.sidecache.entries"
    }
    assert set(paths["/export"]["get"]["responses"]) >= {"200", "403", "404", "503", "401"}
    assert set(paths["/import"]["post"]["responses"]) >= {"200", "400", "403", "409", "415"}


def parcel(*envelopes: bytes) -> bytes:
    packing = Packing()
    pieces = [packing.heading(Heading("k", "p", 0.0)), *map(packing.entry, envelopes)]
    return b"".join([*pieces, packing.end()])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cut short"),
        (b"nonsense", "no entries of sidecache"),
        (parcel(b"one")[:-1], "cut short"),
        (zstandard.compress(parcel(b"one"))[:-4], ""),
        (zstandard.compress(b"nonsense"), "no entries"),
        (zstandard.compress(parcel(b"one" * 100))[:9] + b"xxxxxxxxxxxxxxxxx", "damaged"),
    ],
)
def test_a_file_that_is_not_whole_is_not_sent_at_all(
    run: Run, admin: Listener, tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "f"
    file.write_bytes(content)
    result = run("import", file, "--admin-url", admin.url)
    assert result.exit_code == 2
    assert says in result.stderr
    assert admin.asked == []


def test_much_is_sent_in_parts_that_are_whole_each(
    run: Run, admin: Listener, tmp_path: Path
) -> None:
    file = tmp_path / "f"
    file.write_bytes(parcel(*[bytes([n]) * 2**20 for n in range(9)]))
    admin.say("/import", {"taken": 4, "older": 0}, {"taken": 4}, {"taken": 0, "unreadable": 1})
    result = run("import", file, "--admin-url", admin.url)
    assert result.exit_code == 1
    assert "9 entries:\n  8 are stored now\n  1 are damaged" in result.stdout
    assert [asked.path for asked in admin.asked] == ["/import"] * 3


def test_an_export_that_breaks_off_leaves_no_file(
    run: Run, admin: Listener, tmp_path: Path
) -> None:
    admin.say("/export", parcel(b"one")[:-1])
    result = run("export", tmp_path / "f", "--admin-url", admin.url)
    assert result.exit_code == 2
    assert "cut short" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(run: Run, admin: Listener, tmp_path: Path) -> None:
    admin.say("/export", parcel())
    result = run("export", tmp_path / "none" / "f", "--admin-url", admin.url)
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)
    result = run("import", tmp_path / "none", "--admin-url", admin.url)
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)


def test_a_pipe_will_do(run: Run, admin: Listener) -> None:
    admin.say("/export", parcel(b"one"))
    result = run("export", "-", "--admin-url", admin.url)
    assert result.exit_code == 0
    assert zstandard.ZstdDecompressor().decompressobj().decompress(result.stdout_bytes) == parcel(
        b"one"
    )
    assert "exported 1 entries" in result.stderr
    admin.say("/import", {"taken": 1})
    sent = CliRunner().invoke(cli, ["import", "-", "--admin-url", admin.url], input=parcel(b"one"))
    assert (sent.exit_code, "1 are stored now" in sent.stdout) == (0, True)
    assert admin.asked[-1].body == parcel(b"one")

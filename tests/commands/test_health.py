"""Whether a proxy is well, told by a status."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from support.proxied import proxied
from support.told_admin import Run

from proxy.commands.health import place_of

WELL = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def health(run: Run) -> Callable[..., Result]:
    """The command, in no other environment than the one given."""

    def health(*words: str, **environ: str) -> Result:
        return run("health", *words, **{"SIDECACHE_ADMIN_URL": "", **environ})

    return health


@contextmanager
def saying(text: bytes, *, host: str = "127.0.0.1") -> Iterator[tuple[int, list[bytes]]]:
    """A port that says ``text`` to who comes, whatever it is asked; and what that was."""
    asked: list[bytes] = []
    with socket.create_server((host, 0), family=family(host)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(text)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1], asked
        thread.join(10)


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def test_a_proxy_that_runs_is_well_whatever_its_backend_does(
    health: Callable[..., Result],
) -> None:
    async with proxied("http://127.0.0.1:9", admin={"listen": "127.0.0.1:0"}) as proxy:
        assert proxy.admin_url is not None
        place = proxy.admin_url.removeprefix("http://")
        for words, said in (((), "/healthz 200\n"), (("--ready",), "/readyz 200\n")):
            told = await asyncio.to_thread(health, *words, SIDECACHE_ADMIN__LISTEN=place)
            assert (told.exit_code, told.output) == (0, said)


async def test_one_that_wants_a_token_tells_its_health_without(
    health: Callable[..., Result],
) -> None:
    admin = {"listen": "0.0.0.0:0", "token": "made-up"}
    async with proxied("http://127.0.0.1:9", admin=admin) as proxy:
        assert proxy.admin_url is not None
        port = proxy.admin_url.rpartition(":")[2]
        told = await asyncio.to_thread(health, SIDECACHE_ADMIN__LISTEN=f"0.0.0.0:{port}")
        assert told.exit_code == 0


@pytest.mark.parametrize("status", [b"503 Service Unavailable", b"404 Not Found", b"500 x"])
def test_any_other_status_is_not_well(health: Callable[..., Result], status: bytes) -> None:
    with saying(b"HTTP/1.1 %b\r\n\r\n" % status) as (port, asked):
        told = health("--ready", SIDECACHE_ADMIN__LISTEN=f"127.0.0.1:{port}")
    assert told.exit_code == 1
    assert asked[0].startswith(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "does not speak HTTP"),
        (b"SSH-2.0-x\r\n", "does not speak HTTP"),
        (b"x" * 9000, "does not speak HTTP"),
        (b"HTTP/1.1 fine\r\n", "invalid literal"),
    ],
)
def test_what_is_no_answer_is_not_well_and_told(
    health: Callable[..., Result], said: bytes, why: str
) -> None:
    with saying(said) as (port, _):
        told = health(SIDECACHE_ADMIN_URL=f"http://127.0.0.1:{port}/")
    assert told.exit_code == 1
    assert f"no answer at 127.0.0.1:{port} (as told): " in told.stderr
    assert why in told.stderr


def test_nobody_there_and_nobody_who_answers_are_not_well(health: Callable[..., Result]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        told = health("--timeout", "0.05", SIDECACHE_ADMIN__LISTEN=place)
        assert (told.exit_code, "timed out" in told.stderr) == (1, True)
    told = health(SIDECACHE_ADMIN__LISTEN=place)
    assert (told.exit_code, "refused" in told.stderr) == (1, True)


@pytest.mark.parametrize("url", ["https://127.0.0.1:8081", "127.0.0.1:8081", "http://", "http://a"])
def test_an_address_that_is_none_is_refused(health: Callable[..., Result], url: str) -> None:
    told = health("--admin-url", url)
    assert told.exit_code == 1
    assert told.stderr == "the admin listener must be http://HOST:PORT\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", 'cache: {ttl_s: 1h}\nadmin: {listen: "[::]:PORT"}\n'),
        ("a.toml", '[admin]\nlisten = "[::]:PORT"\n'),
    ],
)
def test_the_file_says_where_the_listener_is_unless_the_environment_does(
    health: Callable[..., Result], tmp_path: Path, name: str, text: str
) -> None:
    file = tmp_path / name
    with saying(WELL, host="::1") as (port, asked):
        file.write_text(text.replace("PORT", str(port)))
        assert health(SIDECACHE_CONFIG=str(file)).exit_code == 0
        assert b"\r\nHost: [::1]:%d\r\n" % port in asked[0]
    with saying(WELL) as (port, _):
        environ = {"SIDECACHE_CONFIG": str(file), "SIDECACHE_ADMIN__LISTEN": f"0.0.0.0:{port}"}
        assert health(**environ).exit_code == 0


@pytest.mark.parametrize("text", [None, "admin: [", "admin: 7", "admin: {listen: 8081}", "- a", ""])
def test_a_file_that_does_not_say_it_leaves_the_default(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "a.yaml"
    if text is not None:
        file.write_text(text)
    place = place_of(None, {"SIDECACHE_CONFIG": str(file), "SIDECACHE_ADMIN__LISTEN": ""})
    assert place == ("127.0.0.1", 8081, "by default")

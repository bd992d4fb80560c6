"""What systemd is told, heard at the other end of its socket."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.served import served

from proxy.app.systemd import Systemd

LIMIT_S = 30.0  # a busy machine takes seconds to start Python


@pytest.fixture
def hearing(tmp_path: Path) -> Iterator[socket.socket]:
    """As systemd's own socket: datagrams, at a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.setblocking(False)
        yield told


async def heard(hearing: socket.socket) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return await asyncio.get_running_loop().sock_recv(hearing, 4096)


def test_it_is_told_at_its_socket(hearing: socket.socket) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": hearing.getsockname()})
    systemd.ready()
    systemd.stopping()
    assert [hearing.recv(4096), hearing.recv(4096)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.skipif(not hasattr(socket, "SO_PASSCRED"), reason="only Linux has abstract addresses")
def test_an_address_without_a_file_begins_with_an_at_sign() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind("")  # Linux chooses an abstract one
        told.settimeout(LIMIT_S)
        address = told.getsockname().decode()
        Systemd({"NOTIFY_SOCKET": "@" + address.removeprefix("\0")}).ready()
        assert told.recv(4096) == b"READY=1"


def test_nobody_is_told_where_nobody_asked(caplog: pytest.LogCaptureFixture) -> None:
    Systemd({}).ready()
    Systemd({"NOTIFY_SOCKET": ""}).stopping()
    assert not caplog.records


def test_who_cannot_be_told_is_no_fault_of_the_proxy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "systemd was not told")


def test_who_does_not_listen_is_not_waited_for(
    hearing: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": hearing.getsockname()})
    for _ in range(2000):  # more than a socket holds, by whatever sysctl
        systemd.ready()
        if caplog.records:
            break
    assert "systemd was not told" in caplog.text


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_proxy_is_ready_once_clients_are_let_in_and_says_that_it_stops(
    hearing: socket.socket, workers: str
) -> None:
    environ = {"NOTIFY_SOCKET": hearing.getsockname(), "SIDECACHE_WORKERS": workers}
    async with served("http://127.0.0.1:9", **environ) as proxy:
        assert await heard(hearing) == b"READY=1"
        with socket.create_connection(proxy.address, LIMIT_S):
            pass
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
        assert await heard(hearing) == b"STOPPING=1"
    with pytest.raises(BlockingIOError):
        hearing.recv(4096)

"""Starting a server, in clear and encrypted."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as tls
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from support.raw_client import RawClient
from support.serving import NOON, reply_with, serving

from proxy.downstream.connection import Connection
from proxy.downstream.limits import Limits
from proxy.downstream.relied import check
from proxy.downstream.server import Server, _Connections
from proxy.downstream.service import Attending, DateLine, Service
from proxy.model.errors import ConfigError
from proxy.model.message import Request
from proxy.model.outcome import Reply

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PEM = Path(__file__).parents[1] / "support" / "tls"


async def hello(request: Request) -> Reply:
    return reply_with()


def server(limits: Limits | None = None) -> Server:
    return Server(
        Attending(hello, hello, limits or Limits()), lambda record: None, clock=lambda: NOON
    )


def test_it_does_not_start_without_the_compiled_parser() -> None:
    program = (
        "import asyncio\n"
        "from proxy.downstream.server import Server\n"
        "from proxy.downstream.limits import Limits\n"
        "from proxy.downstream.service import Attending\n"
        "server = Server(Attending(None, None, Limits()), None, clock=lambda: 0.0)\n"
        "asyncio.run(server.start('127.0.0.1', 0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "ConfigError" in done.stderr
    assert "its compiled parser is missing" in done.stderr


async def test_it_does_not_start_with_other_limits_than_it_was_given() -> None:
    def built(limits: Limits) -> Connection:
        service = Service(Attending(hello, hello, limits), print, DateLine(lambda: NOON))
        return _Connections(service)()

    limits = Limits(line_bytes=100, field_bytes=200, fields=3)
    check(built(limits), limits)
    with pytest.raises(ConfigError, match=r"limits are \(100, 200, 3\) in spite"):
        check(built(limits), Limits())
    with pytest.raises(ConfigError, match="connections have no _buffer_paused, _drain_waiter"):
        check(cast("Connection", object()), limits)


async def test_it_serves_on_a_socket_it_is_given_and_on_several_at_once() -> None:
    serves = server()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    given = await serves.start(None, 0, sock=sock)
    chosen = await serves.start("127.0.0.1", 0, reuse_port=True)
    assert given == sock.getsockname()
    for address in (given, chosen):
        async with await RawClient.connect(address) as client:
            await client.send(GET)
            assert (await client.response()).status == 200
    await serves.close(1)


async def test_closing_what_never_started_is_nothing() -> None:
    await server().close(1)


async def test_encrypted_connections_are_served_and_say_so() -> None:
    ours = tls.create_default_context(tls.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(PEM / "server.pem", PEM / "server.key")
    theirs = tls.create_default_context(cafile=str(PEM / "authority.pem"))
    theirs.check_hostname = False
    async with serving(ssl=ours, limits=Limits(linger_s=0.1)) as stage:
        reader, writer = await asyncio.open_connection(*stage.address, ssl=theirs)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(5) == b"hello"
        assert stage.requests[0].scheme == "https"
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        writer.close()
        await writer.wait_closed()


async def test_an_encrypted_client_that_leaves_calls_its_request_off() -> None:
    begun, called_off = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Reply:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            called_off.set()
        return reply_with()

    ours = tls.create_default_context(tls.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(PEM / "server.pem", PEM / "server.key")
    theirs = tls.create_default_context(cafile=str(PEM / "authority.pem"))
    theirs.check_hostname = False
    async with serving(answer, ssl=ours) as stage:
        _, writer = await asyncio.open_connection(*stage.address, ssl=theirs)
        writer.write(GET)
        await begun.wait()
        writer.close()
        async with asyncio.timeout(10):
            await called_off.wait()
        assert (await stage.record()).delivery.error == "ClientGone"

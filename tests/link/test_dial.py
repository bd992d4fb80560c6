"""How a line begins: who logs in, and what comes of it if that fails."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import tls
from support.cranked_redis import HERE, CrankedRedis, cranked_redis

from proxy.link.dial import Dial
from proxy.link.line import Line
from proxy.link.place import NONE, Credentials, read_place


@pytest.fixture
async def redis() -> AsyncIterator[CrankedRedis]:
    async with cranked_redis() as cranked:
        yield cranked


async def dial(redis: CrankedRedis, login: str) -> Line:
    user, _, db = login.rpartition("/")

    async def address() -> tuple[str, int]:
        return HERE, redis.port

    return await Dial(read_place(f"redis://{user}{HERE}/{db}"), NONE, address).line()


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("me:word@/0", [[b"AUTH", b"me", b"word"]]),
        (":word@/0", [[b"AUTH", b"word"]]),
        ("/3", [[b"SELECT", b"3"]]),
        ("me:word@/3", [[b"AUTH", b"me", b"word"], [b"SELECT", b"3"]]),
    ],
)
async def test_who_logs_in_says_so_in_one_piece_and_nothing_else(
    redis: CrankedRedis, login: str, said: list[list[bytes]]
) -> None:
    async with asyncio.TaskGroup() as group:
        dialled = group.create_task(dial(redis, login))
        peer, heard = await redis.heard()
        assert heard == said
        peer.say(b"+OK\r\n")
        for _ in said[1:]:
            assert not dialled.done()
            peer.say(b"+OK\r\n")
        line = await dialled
        assert line.open
        assert line.peer == (HERE, redis.port)
        line.drop("")
        await line.ended


async def test_where_nobody_logs_in_nothing_is_said(redis: CrankedRedis) -> None:
    line = await dial(redis, "/0")
    assert redis.quiet
    line.drop("")
    await line.ended


@pytest.mark.parametrize(
    "reply",
    [
        b"-WRONGPASS no\r\n",
        b"-ERR unknown command 'AUTH', with args beginning with: 'word' \r\n",
        b"what\r\n",
        b"+OK\r\n+OK\r\n",
    ],
)
async def test_who_is_not_let_in_leaves(redis: CrankedRedis, reply: bytes) -> None:
    dialled = asyncio.gather(dial(redis, ":word@/0"), return_exceptions=True)
    peer, _ = await redis.heard()
    peer.say(reply)
    (error,) = await dialled
    assert isinstance(error, ConnectionError)
    assert "word" not in str(error)
    await peer.ended()


@pytest.mark.parametrize("kept_s", [60.0, 0.0])
async def test_certificates_are_read_for_many_lines_at_once_and_anew_after_a_while(
    tmp_path: Path, kept_s: float
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    authority = tmp_path / "authority.pem"
    shutil.copy(tls.AUTHORITY, authority)
    async with await asyncio.start_server(serve, HERE, 0, ssl=tls.server_context()) as server:
        address = server.sockets[0].getsockname()

        async def found() -> tuple[str, int]:
            return address

        place = read_place(f"rediss://{HERE}")
        dial = Dial(place, Credentials(str(authority)), found, tls_kept_s=kept_s)
        lines = [await dial.line()]
        authority.unlink()
        if kept_s:
            lines.append(await dial.line())
        else:
            with pytest.raises(FileNotFoundError):
                await dial.line()
        for line in lines:
            line.drop("")
            await line.ended

"""The process: how it starts, how it refuses to, and what it tells."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest
from support.raw_chat import DOCUMENT, JSON, question
from support.raw_client import RawClient
from support.scripted import Call, ScriptedUpstream
from support.served import refused, served


async def test_nothing_that_was_asked_or_answered_is_in_its_log() -> None:
    async def answer(call: Call) -> None:
        if b"broken" in call.body:
            await call.reset()
        else:
            await call.reply(200, JSON, DOCUMENT)

    async with ScriptedUpstream() as up, served(up.url) as proxy:
        up.answer_with(answer)
        async with await RawClient.connect(proxy.address) as client:
            for text in ("a secret question", "a secret question", "a secret, broken off"):
                await client.send(question(text))
                await client.response()
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0

    requests = [event for event in proxy.events if event["event"] == "request"]
    assert [event["verdict"] for event in requests] == ["MISS", "HIT", "ERROR"]
    for event in proxy.events:
        assert not [each for each in ("secret", "sk-one", "Because") if each in str(event)]


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


async def test_a_port_that_is_taken_is_told_in_one_line(taken: str) -> None:
    upstream, free = "http://127.0.0.1:9", "127.0.0.1:0"
    told = await asyncio.gather(
        refused("--upstream", upstream, "--listen", taken, "--admin", free),
        refused("--upstream", upstream, "--listen", free, "--admin", taken),
    )

    for (status, text), which in zip(told, ("listen", "admin"), strict=True):
        assert status == 2
        assert text.startswith("Error: ")
        assert which in text
        assert taken in text
        assert "in use" in text
        assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        ([], {}, "there is no backend to serve"),
        (["--upstream", "ftp://backend"], {}, "must be a URL"),
        (["--upstream", "http://user:hunter2@backend"], {}, "upstreams.0.url (--upstream)"),
        (["--upstream", "http://b", "--listen", "nonsense"], {}, "listen (--listen)"),
        (["--config", "absent.yaml"], {}, "absent.yaml"),
        (["--upstream", "http://b"], {"SIDECACHE_CACHE__TTL": "1h"}, "SIDECACHE_CACHE__TTL"),
        (["--upstream", "http://b", "--admin", "0.0.0.0:0"], {}, "give a `token`"),
    ],
)
async def test_what_keeps_it_from_starting_is_told_without_a_traceback(
    words: list[str], environment: dict[str, str], told: str
) -> None:
    status, text = await refused(*words, **environment)

    assert status == 2
    assert told in text
    assert "Traceback" not in text
    assert "hunter2" not in text


async def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    rubbish = tmp_path / "cert.pem"
    rubbish.write_text("no certificate")
    status, text = await refused(
        *("--upstream", "http://b", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
        SIDECACHE_TLS__CERT_FILE=str(rubbish),
    )

    assert status == 2
    assert text.startswith("Error: tls: ")
    assert "Traceback" not in text


@pytest.fixture
def terminal() -> Iterator[tuple[FileIO, FileIO]]:
    """A terminal: its window, and what is started in it."""
    window, inside = (FileIO(each, "rb") for each in os.openpty())
    with window, inside:
        yield window, inside


async def test_when_the_terminal_it_was_started_in_is_closed_it_stops(
    terminal: tuple[FileIO, FileIO],
) -> None:
    window, inside = terminal
    async with ScriptedUpstream() as up, served(up.url, inside.fileno()) as proxy:
        proxy.signal(signal.SIGHUP)  # from somebody, while it is there
        await proxy.told("reloaded")
        inside.close()
        window.close()
        await proxy.told("draining")
        assert await proxy.ended() == 0

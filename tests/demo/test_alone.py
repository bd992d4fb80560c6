"""The made-up backend as a process of its own."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.demo import alone

ROOT = Path(__file__).parents[2]
ASK = {"model": "demo", "messages": [{"role": "user", "content": "What is a sidecar?"}]}


def started(place: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "proxy", "demo", "--backend", place],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_it_answers_where_it_was_told_to_until_it_is_told_to_stop(host: str) -> None:
    with started(f"{host}:0") as backend:
        assert backend.stdout is not None
        said = backend.stdout.readline()
        assert f" http://{host}:" in said
        connection = http.client.HTTPConnection(said.rpartition("/")[2].strip(), timeout=20)
        connection.request("POST", "/v1/chat/completions", json.dumps(ASK))
        response = connection.getresponse()
        assert response.status == 200
        assert json.load(response)["id"] == "chatcmpl-demo-1"
        connection.close()
        backend.send_signal(signal.SIGTERM)
        assert backend.communicate(timeout=20) == ("", "")
        assert backend.returncode == 0


async def test_it_says_where_it_answers_and_ends_when_told_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = ""
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        serving = group.create_task(alone.serving("127.0.0.1", 0))
        while not said:
            await asyncio.sleep(0)
            said = capsys.readouterr().out
        signal.raise_signal(signal.SIGTERM)
    assert serving.result() == 0
    assert said.startswith("the made-up backend answers at http://127.0.0.1:")


def test_a_place_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert alone.serve("203.0.113.1", 8000) == 2  # of no machine: RFC 5737
    assert "Error: 203.0.113.1:8000: " in capsys.readouterr().err


def test_a_place_that_is_taken_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with started(place) as backend:
            out, err = backend.communicate(timeout=20)
    assert (backend.returncode, out) == (2, "")
    assert err.startswith(f"Error: {place}: ")
    assert err.count("\n") == 1

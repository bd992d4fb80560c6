"""The whole tour, as it is led and as a command ends."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path

import pytest

from proxy.demo.backend import DemoBackend, Pace
from proxy.demo.guide import Say, coloured, lead, tour, walk

ROOT = Path(__file__).parents[2]
QUICK = Pace(first_token_s=0.02, token_s=0.005)


def quickly(say: Say) -> Coroutine[None, None, None]:
    return lead(say, QUICK)


async def before_the_bare_backend(say: Say) -> None:
    async with DemoBackend(QUICK) as backend:
        await walk(backend.url, lambda: backend.calls, say)


async def interrupted(say: Say) -> None:
    say("so far")
    raise KeyboardInterrupt


def test_the_tour_shows_all_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    status = tour(quickly)

    told = capsys.readouterr()
    assert status == 0
    assert told.err == ""
    assert re.findall(r"^(\d)  ", told.out, re.MULTILINE) == list("1234567")
    assert "sidecache serve --upstream" in told.out
    assert "\x1b" not in told.out
    assert max(map(len, told.out.splitlines())) <= 90


def test_before_something_that_is_no_cache_the_tour_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = tour(before_the_bare_backend)

    told = capsys.readouterr()
    assert status == 1
    assert told.out.strip() == "1  A question nobody has asked yet"
    assert told.err == "Not as told: the first answer came with no X-Cache, not MISS.\n"


def test_an_interrupted_tour_ends_as_interrupted_commands_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tour(interrupted) == 130
    assert capsys.readouterr().out == "so far\n\n"


def test_ctrl_c_ends_it_at_once_and_quietly() -> None:
    # Who starts the tests in the background leaves them, and their children, deaf to this signal.
    hearing = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = f"{hearing}; import sys; from proxy.demo.guide import tour; sys.exit(tour())"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as touring:
        assert touring.stdout is not None
        while not touring.stdout.readline().startswith("1  "):
            assert touring.poll() is None
        touring.send_signal(signal.SIGINT)
        out, err = touring.communicate(timeout=20)

    assert touring.returncode == 130
    assert err == ""
    assert "\n2  " not in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    stream: io.StringIO, environ: dict[str, str], expected: bool
) -> None:
    assert coloured(stream, environ) is expected


async def test_all_it_started_has_ended() -> None:
    before = len(asyncio.all_tasks())

    await lead(lambda _text: None, QUICK)

    assert len(asyncio.all_tasks()) == before

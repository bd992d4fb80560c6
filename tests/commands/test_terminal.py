"""What is drawn where somebody watches: on a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from support.beside import beside
from support.live_events import request, stream
from support.told_admin import Listener
from support.warmed import requests, staged, written

from proxy.cli import cli
from proxy.demo.backend import Pace

STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal(NamedTuple):
    """A terminal that somebody types at, and what was drawn on it."""

    keyboard: int
    drawn: list[bytes]

    def types(self, keys: str) -> None:
        os.write(self.keyboard, keys.encode())

    @property
    def text(self) -> str:
        return STYLES.sub("", b"".join(self.drawn).decode(errors="replace"))


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """In place of the streams of this process, until the block ends."""
    outer, inner = os.openpty()
    drawn: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # the other side is closed
            while piece := os.read(outer, 65536):
                drawn.append(piece)

    reading = threading.Thread(target=read, daemon=True)
    with (
        monkeypatch.context() as patched,
        os.fdopen(os.dup(inner), "r", encoding="utf-8") as stdin,
        os.fdopen(os.dup(inner), "w", encoding="utf-8") as stdout,
    ):
        for name, there in (("stdin", stdin), ("stdout", stdout), ("stderr", stdout)):
            patched.setattr(sys, name, there)
        for name, value in (("TERM", "xterm"), ("COLUMNS", "150"), ("LINES", "40")):
            patched.setenv(name, value)
        reading.start()
        yield Terminal(outer, drawn)
    os.close(inner)
    reading.join(5)
    os.close(outer)


def ran(*words: object) -> int:
    """The exit status."""
    with pytest.raises(SystemExit) as left:
        cli([str(word) for word in words], prog_name="sidecache")
    return int(left.value.code or 0)


def test_top_draws_what_has_come_until_somebody_leaves(
    admin: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.say("/live", stream(*(request(n, "miss", reason="unseen") for n in range(1, 4))))
    with terminal(monkeypatch) as there:
        typing = threading.Timer(1.0, there.types, ("xq",))
        typing.start()
        assert ran("top", "--admin-url", admin.url) == 0
        typing.join()
    assert "unseen 3" in there.text
    assert "q leaves" in there.text
    assert b"\x1b[?1049l" in b"".join(there.drawn)  # the screen is as it was


def test_tables_have_colours_unless_they_are_not_wanted(
    admin: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.say("/stats", {"requests": {"total": 4, "hit": 4}, "hit_ratio": 1.0})
    monkeypatch.delenv("NO_COLOR", raising=False)
    with terminal(monkeypatch) as there:
        assert ran("stats", "--admin-url", admin.url) == 0
    assert b"\x1b[32m" in b"".join(there.drawn)
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal(monkeypatch) as there:
        assert ran("stats", "--admin-url", admin.url) == 0
    assert b"\x1b[32m" not in b"".join(there.drawn)
    assert "100.0 %" in there.text


def test_warm_shows_how_far_it_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "q", *requests(60))
    with beside(staged(Pace(0.02, 0))) as scene, terminal(monkeypatch) as there:
        assert ran("warm", file, "--url", scene.url) == 0
    assert "60/60" in there.text
    assert "0 hits, 60 fetched" in there.text


@pytest.mark.parametrize(("answer", "status", "asked"), [("n\n", 2, 0), ("y\n", 0, 1)])
def test_everything_is_purged_only_if_that_is_meant(
    admin: Listener, monkeypatch: pytest.MonkeyPatch, answer: str, status: int, asked: int
) -> None:
    admin.say("/purge", {"complete": True})
    with terminal(monkeypatch) as there:
        there.types(answer)
        assert ran("purge", "--all", "--admin-url", admin.url) == status
    assert len(admin.asked) == asked
    assert f"Purge all that {admin.url} has stored?" in there.text


def test_who_says_yes_is_not_asked(admin: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    admin.say("/purge", {"complete": True})
    with terminal(monkeypatch) as there:
        assert ran("purge", "--all", "--yes", "--json", "--admin-url", admin.url) == 0
    assert json.loads(there.text)["complete"]


def test_commands_are_listed_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as there:
        assert ran("--help") == 0
    text = there.text.replace("\r", "")
    titles = ("Serve:", "See what a running proxy does:", "Change what it holds:", "Measure and")
    assert [text.index(title) for title in titles] == sorted(text.index(t) for t in titles)
    for name in cli.listed:
        assert re.search(rf"^  {name} ", text, re.MULTILINE), name

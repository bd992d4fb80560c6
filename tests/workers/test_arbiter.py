"""The arbiter, with processes of little use."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 20.0

# Members say what they do in files named for what was done; the last line is the exit status.
PROGRAM = """
import asyncio, contextlib, os, pathlib, signal, sys, time
from proxy.model.errors import ConfigError
from proxy.observe.events import events
from proxy.observe.sink import Straight
from proxy.workers.arbiter import Arbiter, Next
from proxy.workers.crew import Patience, Role
from proxy.workers.lifeline import Lifeline

folder = pathlib.Path(sys.argv[1])
patience = Patience(start_s=5, silent_s=2.5, leave_s=1)

def note(name, text=""):
    own = folder / f".{name}-{os.getpid()}"
    own.write_text(text)
    own.rename(folder / name)

async def member(place, role):
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    def told_to_end(number):
        note(f"{role}-{place.slot}-{number.name}", str(os.getpid()))
        stop.set()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        loop.add_signal_handler(number, told_to_end, number)
    def heard(message):
        note(f"heard-{'-'.join(sorted(message))}", repr(message))
        ready = [each["ready"] for each in message.get("workers", ())]
        if ready == [True, True] and (folder / "roll").exists():
            (folder / "roll").unlink()
            line.tell({"roll": True})
    # To stop comes first: the folder may be gone with the test.
    line = Lifeline(heard, lambda: (stop.set(), note("orphaned")))
    await line.hold(place.line)
    if (folder / "raise").exists() and role == "worker":
        raise RuntimeError("secret")
    line.ready()
    note(f"{role}-{place.slot}-{place.edition}", str(os.getpid()))
    await stop.wait()

def run(role):
    def be(place):
        try:
            asyncio.run(member(place, role))
        except ConfigError:
            return 78
        return 0
    return be

def renew(in_use):
    note("renewed", repr(sorted(in_use)))
    if (folder / "refuse").exists():
        raise ConfigError("not like that")
    if (folder / "fail").exists():
        raise RuntimeError("secret")
    return Next(max(in_use) + 1, 2, patience)

def clock():
    return time.monotonic() + 100 * (folder / "away").exists()

def forked():
    with contextlib.suppress(FileNotFoundError):
        (folder / "early").unlink()
        os.kill(os.getpid(), signal.SIGTERM)

os.register_at_fork(after_in_child=forked)
arbiter = Arbiter(2, patience, roles={role: run(role.value) for role in Role}, renew=renew,
                  up=lambda: note("up"), clock=clock)
with events(Straight(2), style="json", level="info", wall=time.time, secrets=[]):
    sys.exit(arbiter.run())
"""


class Running:
    """An arbiter, as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def noted(self, name: str) -> str:
        """Wait for a note; what is in it. It is taken away, so that the next one can be told."""
        path, until = self.folder / name, time.monotonic() + LIMIT_S
        while not path.exists():
            assert time.monotonic() < until, f"no {name}: {sorted(self.folder.iterdir())}"
            time.sleep(0.01)
        text = path.read_text()
        path.unlink()
        return text

    def told(self, what: str) -> None:
        """Wait until that is told."""
        assert self.process.stderr is not None
        assert any(what in line for line in self.process.stderr), "it has ended"

    def ended(self) -> int:
        return self.process.wait(LIMIT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.close()


def test_it_forks_announces_passes_signals_on_and_ends_well(running: Running) -> None:
    running.noted("up")
    running.process.send_signal(signal.SIGINT)
    running.noted("worker-1-SIGINT")
    running.noted("worker-2-SIGINT")
    running.noted("desk-0-SIGTERM")
    assert running.ended() == 0


def test_who_is_killed_is_forked_again_at_once(running: Running) -> None:
    running.noted("up")
    pids = {slot: int(running.noted(f"worker-{slot}-1")) for slot in (1, 2)}
    for slot in (1, 2, 1):
        began = time.monotonic()
        os.kill(pids[slot], signal.SIGKILL)
        before, pids[slot] = pids[slot], int(running.noted(f"worker-{slot}-1"))
        assert time.monotonic() - began < LIMIT_S / 2
        assert pids[slot] != before


def test_who_stands_still_is_killed_and_forked_again(running: Running) -> None:
    running.noted("up")
    pid = int(running.noted("worker-2-1"))
    os.kill(pid, signal.SIGSTOP)
    assert int(running.noted("worker-2-1")) != pid


def test_nobody_is_killed_for_silence_while_the_arbiter_itself_was_away(
    tmp_path: Path, running: Running
) -> None:
    running.noted("up")
    pids = [running.noted(f"worker-{slot}-1") for slot in (1, 2)]
    (tmp_path / "away").touch()
    os.kill(int(pids[1]), signal.SIGKILL)
    pids[1] = running.noted("worker-2-1")  # so it has looked since
    running.process.send_signal(signal.SIGTERM)
    assert [running.noted(f"worker-{slot}-SIGTERM") for slot in (1, 2)] == pids
    assert running.ended() == 0


def test_a_signal_that_a_child_gets_at_once_is_the_childs_alone(tmp_path: Path) -> None:
    (tmp_path / "early").touch()
    running = Running(tmp_path)
    try:
        running.noted("up")
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        running.noted("worker-1-SIGTERM")
        assert running.ended() == 0
    finally:
        running.close()


def test_without_a_descriptor_to_spare_it_goes_on_and_forks_later(running: Running) -> None:
    running.noted("up")
    worker, arbiter = int(running.noted("worker-1-1")), running.process.pid
    # Up to the highest that is in use; what the dead one leaves is one, and two are needed.
    most = max(int(each.name) for each in Path(f"/proc/{arbiter}/fd").iterdir()) + 1
    soft, hard = resource.prlimit(arbiter, resource.RLIMIT_NOFILE)
    resource.prlimit(arbiter, resource.RLIMIT_NOFILE, (most, hard))
    os.kill(worker, signal.SIGKILL)
    running.told("cannot fork")
    resource.prlimit(arbiter, resource.RLIMIT_NOFILE, (soft, hard))
    assert int(running.noted("worker-1-1")) != worker


def test_who_does_not_leave_is_killed(tmp_path: Path, running: Running) -> None:
    running.noted("up")
    for slot in (1, 2):
        os.kill(int(running.noted(f"worker-{slot}-1")), signal.SIGSTOP)
    running.process.send_signal(signal.SIGTERM)
    running.noted("desk-0-SIGTERM")
    assert running.ended() == 0


def test_a_member_that_fails_is_told_of_without_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "raise").touch()
    running = Running(tmp_path)
    _, told = running.process.communicate(timeout=LIMIT_S)
    assert running.process.returncode == 70
    assert "nobody foresaw" in told
    assert "given up" in told
    assert "secret" not in told


def test_when_the_arbiter_is_killed_its_members_hear_of_it(running: Running) -> None:
    running.noted("up")
    running.process.kill()
    running.noted("orphaned")


def test_sighup_is_told_to_the_desk(running: Running) -> None:
    running.noted("up")
    running.process.send_signal(signal.SIGHUP)
    assert running.noted("heard-reload") == "{'reload': True}"


def test_the_desk_is_told_of_everybody(running: Running) -> None:
    running.noted("up")
    told = running.noted("heard-edition-restarts-stopping-wanted-workers")
    assert "'wanted': 2" in told


def test_what_the_desk_asks_for_is_rolled_out(tmp_path: Path) -> None:
    (tmp_path / "roll").touch()
    running = Running(tmp_path)
    try:
        assert running.noted("renewed") == "[1]"
        for name in ("worker-3-2", "worker-1-SIGUSR1", "worker-2-SIGUSR1", "desk-0-2"):
            running.noted(name)
        assert "'refused': ''" in running.noted("heard-refused-rolled")
    finally:
        running.close()


def test_what_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "roll").touch()
    (tmp_path / "refuse").touch()
    running = Running(tmp_path)
    try:
        assert "not like that" in running.noted("heard-refused-rolled")
    finally:
        running.close()


def test_what_fails_in_a_way_nobody_foresaw_is_refused_and_told_without_what_it_says(
    tmp_path: Path,
) -> None:
    (tmp_path / "roll").touch()
    (tmp_path / "fail").touch()
    running = Running(tmp_path)
    try:
        told = running.noted("heard-refused-rolled")
        assert "RuntimeError" in told
        assert "secret" not in told
        assert running.process.poll() is None
    finally:
        running.close()

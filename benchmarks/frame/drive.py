"""One turn of load on a server: wrk where it is installed, this project's generator where not.

While it lasts, a client of ours asks the same kind of question now and then, and looks at all of
what it gets: the status, the header that says it was a hit, and the body. wrk counts statuses and
bytes, which must agree with what that client sees.
"""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.frame.questions import KEYS, PATH, Kind, Questions, members
from benchmarks.serving import cpu_seconds, family, pinned, starved_seconds

Figures = dict[str, float]

_SCRIPT: Final = Path(__file__).with_name("questions.lua")
_SLOWEST_S: Final = 30  # that an answer may take
_EVERY_S: Final = 0.02  # between two looks
_FEW: Final = 50  # of which the share is not looked at before there are more
_SLACK: Final = 0.03  # of an answer's length: a digit more in Age, say
# Each turn's questions begin where nothing before has come to, and a look's far from the load's.
_TURNS = itertools.count(1)
_ROOM: Final = 2_000_000
_LOOKS: Final = 700_000_000


@dataclass(frozen=True)
class Server:
    """What is under load."""

    name: str
    url: str  # without a path
    process: int  # whose processor time counts, with that of its children
    hit: tuple[str, str] = ("", "")  # the header that says it, there must be, and how it begins
    body: bytes | None = None  # what is answered; None: whatever it was that came first


@dataclass(frozen=True)
class Load:
    """What is asked."""

    kind: Kind = Kind.SAME
    connections: int = 64
    seconds: int = 2
    expect: tuple[str, str] | None = None  # in place of the server's ``hit``
    least: float = 1.0  # the share of answers that must have it
    pace: int = 0  # questions a second, one at a time; 0: the next as soon as one is answered


class Wrong(Exception):
    """A server did not answer as it should, so that its figures say nothing."""


class Client:
    """Asks on one connection, and looks at what it gets."""

    def __init__(self, server: Server, load: Load, first: int) -> None:
        parts = urlsplit(server.url)
        self._host = parts.netloc
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), 15)
        self._questions = Questions(load.kind, first)
        self._header, self._begins = server.hit if load.expect is None else load.expect
        self._least = load.least
        self._name = server.name
        self._body = server.body
        self.asked = self.bytes = self._others = 0

    def look(self, *, first: bool = False) -> None:
        """Ask once; the ``first`` answer need not be a hit. Raises Wrong."""
        said = self.ask(self._questions.request(self._host))
        known = bool(said or not self._header) and said.lower().startswith(self._begins.lower())
        if first or known:
            return
        self._others += 1
        if self._others > round((1 - self._least) * max(self.asked, _FEW)):
            raise Wrong(f"{self._name}: {self._header}: {said!r}, not {self._begins}")

    @property
    def known(self) -> float:
        """The share of answers that were what was expected, from 0 to 1."""
        return 1 - self._others / self.asked if self.asked else 1.0

    def each(self) -> None:
        """Ask all questions of MANY once, whatever they are. Raises Wrong."""
        for number in range(KEYS):
            self.ask(self._questions.numbered(self._host, number))

    def ask(self, request: bytes) -> str:
        """Ask this; what the header that is looked at says. Raises Wrong."""
        try:
            self._socket.sendall(request)
            answer = HTTPResponse(self._socket, method="POST")
            answer.begin()
            got = answer.read()
        except (OSError, HTTPException) as error:
            raise Wrong(f"{self._name}: {error!r}") from error
        if answer.status != 200:
            raise Wrong(f"{self._name}: status {answer.status}, {got[:200]!r}")
        if self._body is None:
            self._body = got
        elif got != self._body:
            raise Wrong(f"{self._name}: not the answer: {got[:200]!r}")
        line = len("HTTP/1.1 200 \r\n\r\n") + len(answer.reason)
        fields = sum(len(name) + len(value) + 4 for name, value in answer.getheaders())
        self.asked, self.bytes = self.asked + 1, line + fields + len(got)
        return answer.getheader(self._header, "") or "" if self._header else ""

    def close(self) -> None:
        self._socket.close()


@cache
def tool() -> str:
    """The load generator: the path of wrk, or "" for our own."""
    return shutil.which("wrk") or ""


def turn(server: Server, load: Load) -> Figures:
    """What came of one turn.

    ``per_second``, ``p50_ms`` and ``p99_ms`` (of a closed loop), ``cpu_us`` a request, and how
    many of them come to a ``per_cpu_second``, ``busy``:
    the share of a core that the server took, and ``starved``: the share of the time that it would
    have gone on but had none. ``known`` is the percentage of answers looked at that said what was
    expected. Raises Wrong.

    Where the load has a pace, all answers are looked at by who asks, and nobody asks besides.
    """
    first = next(_TURNS) * _ROOM % _LOOKS
    if load.pace:
        return _paced(server, load, first)
    with (
        closing(Client(server, load, _LOOKS + first // 4)) as client,
        tempfile.NamedTemporaryFile("w", suffix=".txt") as file,
    ):
        file.write("\n".join(members()))
        file.flush()
        if load.expect is None:
            client.look(first=True)
        process = family(server.process)
        looked, before = client.asked, cpu_seconds(*process)
        waited, began = starved_seconds(*process), time.perf_counter()
        words = _wrk(server, load, file.name, first) if tool() else _own(server, load, first)
        with subprocess.Popen([*pinned(-1), *words], stdout=subprocess.PIPE, text=True) as running:
            try:
                while running.poll() is None:
                    client.look()
                    time.sleep(_EVERY_S)
            finally:
                running.kill()
            assert running.stdout is not None
            said = running.stdout.read()
        took, used = time.perf_counter() - began, cpu_seconds(*process) - before
        starved = starved_seconds(*process) - waited
        result = json.loads(said.splitlines()[-1])
        _check(server, result, client.bytes)
        number = result["sent"] + client.asked - looked
        return {
            "per_second": result["per_second"],
            "p50_ms": result["p50_ms"],
            "p99_ms": result["p99_ms"],
            "cpu_us": used / number * 1e6,
            "per_cpu_second": number / used if used else 0.0,
            "busy": used / took,
            "known": 100 * client.known,
            "starved": min(starved, max(took - used, 0.0)) / took,
        }


def ask_all(server: Server, load: Load) -> int:
    """Ask each of the questions of MANY once; how many they are. Raises Wrong."""
    with closing(Client(server, load, 0)) as client:
        client.each()
        return client.asked


def _check(server: Server, result: Figures, size: int) -> None:
    """Raise Wrong unless what the generator counted is what there should be."""
    if "took_us" not in result:
        if "fault" in result:
            raise Wrong(f"{server.name}: {result['fault']}")
        return
    number = result["requests"]
    if not number or result["status"] or result["broken"]:
        raise Wrong(f"{server.name}: {result}")
    if number > 1000 and abs(result["bytes"] / number / size - 1) > _SLACK:
        raise Wrong(f"{server.name}: {result['bytes'] / number:.0f} bytes an answer, not {size}")
    result["sent"] = number
    result["per_second"] = number / result["took_us"] * 1e6
    result["p50_ms"], result["p99_ms"] = result["p50_us"] / 1e3, result["p99_us"] / 1e3


def _paced(server: Server, load: Load, first: int) -> Figures:
    """``turn``, of a load that has a pace."""
    words = [*pinned(-1), sys.executable, "-m", "benchmarks.frame.paced", server.url + PATH]
    words += ["--pace", str(load.pace), "--seconds", str(load.seconds)]
    words += ["--kind", load.kind, "--first", str(first)]
    words += [] if load.expect is None else ["--expect", ": ".join(load.expect)]
    process = family(server.process)
    before, waited = cpu_seconds(*process), starved_seconds(*process)
    began = time.perf_counter()
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    took, used = time.perf_counter() - began, cpu_seconds(*process) - before
    result = json.loads(said)
    _check(server, result, 0)
    return {
        "per_second": result["per_second"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
        "cpu_us": used / result["sent"] * 1e6,
        "per_cpu_second": result["sent"] / used if used else 0.0,
        "busy": used / took,
        "known": 100.0,
        "starved": min(starved_seconds(*process) - waited, max(took - used, 0.0)) / took,
    }


def _wrk(server: Server, load: Load, file: str, first: int) -> Sequence[str]:
    words = [tool(), "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "-s", str(_SCRIPT)]
    words += ["--timeout", f"{_SLOWEST_S}s"]  # of its own accord it takes two seconds for a fault
    return [*words, server.url + PATH, "--", load.kind, file, str(first), str(KEYS)]


def _own(server: Server, load: Load, first: int) -> Sequence[str]:
    words = [sys.executable, "-m", "benchmarks.load", server.url + PATH, "--warm", "0"]
    words += ["--connections", str(load.connections), "--seconds", str(load.seconds)]
    return [*words, "--kind", load.kind, "--first", str(first)]

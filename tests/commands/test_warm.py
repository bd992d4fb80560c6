"""Questions asked ahead, at a real proxy before the demo backend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.beside import beside
from support.demo_calls import body_of
from support.scripted import ScriptedUpstream
from support.scripted_call import Call
from support.told_admin import Run
from support.warmed import CHAT, Scene, requests, staged, written

from proxy.demo.backend import Pace

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with beside(staged(Pace(0, 0))) as scene:
        yield scene


@pytest.fixture
def slow() -> Iterator[Scene]:
    with beside(staged(Pace(0.02, 0))) as scene:
        yield scene


def told(result: Any) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return json.loads(result.stdout)


def test_what_was_asked_ahead_is_a_hit(run: Run, scene: Scene, tmp_path: Path) -> None:
    file = written(tmp_path / "q.jsonl", *requests(12, of=10), "")
    result = run("warm", file, "--url", scene.url, "--concurrency", 1, "--json")
    assert result.exit_code == 0, result.output
    said = told(result)
    assert {name: said[name] for name in ("questions", "answered", "hits", "fetched", "left")} == {
        "questions": 12, "answered": 12, "hits": 2, "fetched": 10, "left": 0,
    }  # fmt: skip
    again = told(run("warm", file, "--url", scene.url, "--json"))
    assert (again["resumed"], again["hits"]) == (False, 12)
    assert scene.backend.calls == 10
    assert [path.name for path in tmp_path.iterdir()] == ["q.jsonl"]


def test_streams_are_read_to_their_end_and_words_are_told_to_people(
    run: Run, scene: Scene, tmp_path: Path
) -> None:
    file = written(tmp_path / "q", {"path": CHAT, "body": body_of("Why?", stream=True)})
    result = run("warm", file, "--url", f"{scene.url}/")
    assert result.exit_code == 0, result.output
    assert "answered   1 in" in result.stdout
    assert "0 stored already, 1 fetched" in result.stdout
    assert "1 stored already, 0 fetched" in run("warm", file, "--url", scene.url).stdout


def test_words_go_to_the_model_or_into_the_template(run: Run, scene: Scene, tmp_path: Path) -> None:
    file = written(tmp_path / "q.txt", "Why?", {"question": "What?"})
    assert run("warm", file, "--url", scene.url, "--model", "demo").exit_code == 0
    template = tmp_path / "template.json"
    template.write_text(json.dumps(body_of("{question}")))
    words = ("warm", file, "--url", scene.url, "--template", template, "--json")
    assert told(run(*words))["hits"] == 2
    result = run("warm", "-", "--url", scene.url, "--model", "demo", "--json", stdin="Why?\n")
    assert (told(result)["hits"], told(result)["state"]) == (1, None)


def test_the_top_questions_of_a_log_are_asked(run: Run, scene: Scene, tmp_path: Path) -> None:
    lines = [
        {"request": {"path": CHAT, "body": body_of(f"Question {n}")}, "status": 200}
        for n in (1, 2, 2, 3, 3, 3, 4)
    ]
    file = written(tmp_path / "log", *lines, "noise")
    result = run("warm", file, "--log", "--top", 2, "--url", scene.url, "--json")
    assert told(result)["fetched"] == 2
    assert "2 questions were asked 5 of 7 times (1 other lines)" in result.stderr
    written(file, *({"path": CHAT, "body": body_of(f"Question {n}")} for n in range(5)))
    said = told(run("warm", file, "--url", scene.url, "--json"))
    assert (said["hits"], said["fetched"]) == (2, 3)
    written(file, "noise")
    result = run("warm", file, "--log", "--url", scene.url)
    assert (result.exit_code, "no line of it is a request" in result.stderr) == (2, True)


def test_callers_have_their_own_answers(run: Run, scene: Scene, tmp_path: Path) -> None:
    file = written(tmp_path / "q", *requests(3))
    keys = tmp_path / "headers"
    keys.write_text("Authorization: Bearer sk-1\n")
    words = ("warm", file, "--url", scene.url, "--json")
    assert told(run(*words))["fetched"] == 3
    assert told(run(*words, "--header-file", keys))["fetched"] == 3
    assert told(run(*words, "-H", "Authorization: Bearer sk-1"))["hits"] == 3
    assert told(run(*words, "--api-key-env", "A_KEY", A_KEY="sk-1"))["hits"] == 3


@asynccontextmanager
async def refusing(
    status: int, *headers: tuple[str, str], times: int = 1
) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that refuses what has a 1 in it, for good or so many times; what it heard."""
    asked: list[str] = []

    async def answer(call: Call) -> None:
        text = call.body.decode()
        asked.append(text)
        if "1" in text and (status < 429 or asked.count(text) <= times):
            await call.reply(status, headers, b"no")
        else:
            await call.reply(200, (), b"yes")

    async with ScriptedUpstream() as up:
        up.answer_with(answer)
        yield up.url, asked


def test_what_is_refused_for_good_is_asked_once_and_told(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "q", *({"path": "/", "body": str(n)} for n in range(4)))
    with beside(refusing(400)) as (url, asked):
        result = run("warm", file, "--url", url)
    assert result.exit_code == 1
    assert "refused    1 refused by the backend" in result.stdout
    assert "1 x status 400" in result.stdout
    assert "3 answered by a server that is no sidecache" in result.stdout
    assert sorted(asked) == ["0", "1", "2", "3"]


def test_what_is_busy_is_asked_again(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "q", *({"path": "/", "body": str(n)} for n in range(3)))
    with beside(refusing(429, ("Retry-After", "0"))) as (url, asked):
        result = run("warm", file, "--url", url, "--json")
    assert (result.exit_code, told(result)["again"], told(result)["answered"]) == (0, 1, 3)
    assert asked.count("1") == 2


def test_without_the_right_key_it_stops_and_goes_on_with_it(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "q", *({"path": "/", "body": str(n)} for n in range(4)))
    with beside(refusing(401)) as (url, asked):
        result = run("warm", file, "--url", url, "--concurrency", 1)
        assert result.exit_code == 1
        assert "give the credentials" in result.stdout
        assert "left" in result.stdout
        assert asked == ["0", "1"]


def test_lines_that_are_no_question_are_named(run: Run, scene: Scene, tmp_path: Path) -> None:
    file = written(tmp_path / "q", *requests(1), "{", {"path": "x"}, *requests(2))
    result = run("warm", file, "--url", scene.url)
    assert result.exit_code == 1
    assert "line 2: it is no JSON\nline 3: its path must begin" in result.stderr
    assert "unreadable 2 lines that are no question" in result.stdout


@pytest.mark.parametrize(
    ("content", "words", "says"),
    [
        ("", [], "there is no question in it"),
        ("{\n", [], "q, line 1: it is no JSON"),
        ("Why?\n", [], "bare words need --model"),
        ("Why?\n", ["--url", "ftp://x"], "give a URL"),
        ("Why?\n", ["--url", "http://u:p@x"], "give the origin alone"),
        ("Why?\n", ["--template", "nowhere"], "--template nowhere: No such file"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(
    run: Run, tmp_path: Path, content: str, words: list[str], says: str
) -> None:
    (tmp_path / "q").write_text(content)
    result = run("warm", tmp_path / "q", *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "u:p" not in result.output


def test_a_template_has_to_be_one(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "q", "Why?")
    for content, says in (("[]", "no JSON object"), ("{}", "no {question} in it")):
        template = tmp_path / "t"
        template.write_text(content)
        result = run("warm", file, "--template", template)
        assert (result.exit_code, says in result.stderr) == (2, True)
    result = run("warm", tmp_path / "nowhere", "--model", "m")
    assert (result.exit_code, "nowhere: No such file" in result.stderr) == (2, True)


# -- interrupted ------------------------------------------------------------------------------


class Begun:
    """A process that asks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self, status: int = 0, *, limit_s: float = 50.0) -> dict[str, Any]:
        """What it told in the end; nothing, if it was killed."""
        out, self.err = self._process.communicate(timeout=limit_s)
        assert self._process.returncode == status, self.err
        return json.loads(out) if out else {}


@contextmanager
def begun(file: Path, scene: Scene, *words: str) -> Iterator[Begun]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SIDECACHE")}
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", "warm", str(file), "--url", scene.url, "--json", *words],
        cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Begun(process)
        finally:
            process.kill()


def test_an_interrupt_ends_well_and_the_next_run_asks_only_what_is_left(
    slow: Scene, tmp_path: Path
) -> None:
    file = written(tmp_path / "q.jsonl", *requests(300))
    with begun(file, slow) as first:
        slow.milestone.wait(20)
        first.signal(signal.SIGINT)
        said = first.ended(128 + signal.SIGINT)
        assert (said["interrupted"], said["failed"]) == (True, 0)
        assert 20 <= said["answered"] == 300 - said["left"] < 300
        assert "letting what is under way end" in first.err
        assert slow.backend.calls == said["answered"]

    with begun(file, slow) as second:
        again = second.ended()
        assert again["resumed"]
        assert again["done_before"] == said["answered"]
        assert again["answered"] == again["fetched"] == said["left"]
        assert slow.backend.calls == 300
    assert list(tmp_path.iterdir()) == [file]


def test_a_kill_loses_no_more_than_the_last_second(slow: Scene, tmp_path: Path) -> None:
    file = written(tmp_path / "q.jsonl", *requests(400))
    with begun(file, slow, "--rate", "60") as first:
        slow.milestone.wait(100)
        first.signal(signal.SIGKILL)
        first.ended(-signal.SIGKILL)

    with begun(file, slow) as second:
        said = second.ended()
        assert said["resumed"]
        assert said["done_before"] >= 20
        assert said["fetched"] + said["done_before"] + said["hits"] == 400
        assert slow.backend.calls == 400


def test_what_failed_is_tried_again_and_nothing_else_unless_it_is_begun_afresh(
    run: Run, tmp_path: Path
) -> None:
    lines = [{"path": "/", "body": str(n)} for n in range(4)]
    file = written(tmp_path / "q", *lines)
    with beside(refusing(502, times=2)) as (url, asked):
        words = ("warm", file, "--url", url, "--retries", 0, "--concurrency", 1, "--json")
        first = run(*words)
        assert (first.exit_code, told(first)["failed"], told(first)["answered"]) == (1, 1, 3)
        assert Path(told(first)["state"]).parent == tmp_path
        fresh = run(*words, "--fresh")
        assert (told(fresh)["resumed"], told(fresh)["answered"]) == (False, 3)
        asked.clear()
        again = run(*words)
        assert (again.exit_code, told(again)["resumed"], told(again)["done_before"]) == (1, True, 3)
        assert asked == ["1"]
        asked += ["1"]
        assert told(run(*words))["answered"] == 1
    assert list(tmp_path.iterdir()) == [file]


def test_of_another_input_nothing_is_done(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "q", *({"path": "/", "body": str(n)} for n in range(4)))
    state = tmp_path / "noted"
    with beside(refusing(502, times=9)) as (url, _):
        words = ("warm", file, "--url", url, "--retries", 0, "--json", "--state", state)
        assert told(run(*words))["failed"] == 1
        written(file, {"path": "/", "body": "0"})
        result = run(*words)
    assert "noted is of another input: starting over" in result.stderr
    assert told(result)["answered"] == 1
    assert not state.exists()


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_ten_thousand_questions_survive_an_interrupt_and_a_kill(tmp_path: Path) -> None:
    file = written(tmp_path / "q.jsonl", *requests(10_000))
    words = ("--concurrency", "16")
    with beside(staged(Pace(0.005, 0))) as scene:
        with begun(file, scene, *words) as first:
            scene.milestone.wait(2000)
            first.signal(signal.SIGINT)
            said = first.ended(128 + signal.SIGINT, limit_s=200)
        calls = scene.backend.calls
        assert calls == said["answered"] == 10_000 - said["left"]
        with begun(file, scene, *words) as second:
            scene.milestone.wait(calls + 2000)
            second.signal(signal.SIGKILL)
            second.ended(-signal.SIGKILL)
        with begun(file, scene, *words) as third:
            said = third.ended(limit_s=200)
        assert scene.backend.calls == 10_000
        assert said["done_before"] > calls
        assert said["done_before"] + said["fetched"] + said["hits"] == 10_000

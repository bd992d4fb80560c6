from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import pytest
from support.beside import beside
from support.proxied import proxied
from support.scripted import ScriptedUpstream
from support.scripted_call import Call
from support.told_admin import Run

from proxy.benching import draws, load, times_of
from proxy.calling import Heard, Question, Unheard
from proxy.demo.backend import DemoBackend, Pace


@asynccontextmanager
async def staged() -> AsyncIterator[tuple[DemoBackend, str]]:
    async with DemoBackend(Pace(0.1, 0)) as backend, proxied(backend.url) as proxy:
        yield backend, proxy.url


def test_a_load_tells_hits_from_misses_and_compares_with_the_backend(run: Run) -> None:
    with beside(staged()) as (backend, url):
        words = ("bench", "--url", url, "--requests", 60, "--distinct", 5, "--seed", 7)
        direct = ("--upstream-url", backend.url, "--direct-requests", 10)
        result = run(*words, "--concurrency", 1, *direct, "--json")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert backend.calls == 15
        assert said["hit_ratio"] == said["hit_ratio_possible"] == pytest.approx(55 / 60)
        assert (said["hits"]["answers"], said["misses"]["answers"]) == (55, 5)
        assert said["coalesced"] is None
        assert said["hits"]["p50_s"] < 0.1 <= said["misses"]["p50_s"]
        assert said["hits_in_proxy"]["p50_s"] < said["hits"]["p50_s"]
        assert said["direct"]["requests"] == 10
        assert said["faster"] > 1
        assert said["seed"] == 7

        result = run(*words, *direct)
        for shown in (
            "hits",
            "in the proxy itself",
            "backend alone",
            "100.0 %, of 91.7 %",
            "times",
        ):
            assert shown in result.stdout, shown
        assert "--seed 7" in result.stdout


def test_without_a_seed_everything_is_new(run: Run) -> None:
    with beside(staged()) as (backend, url):
        for calls in (2, 4):
            words = ("--requests", 20, "--distinct", 2, "--skew", 0, "--url", url)
            assert run("bench", *words).exit_code == 0
            assert backend.calls == calls


def test_other_machines_are_spared_unless_they_are_meant(run: Run) -> None:
    result = run("bench", "--url", "http://192.0.2.1:8080")
    assert result.exit_code == 2
    assert "http://192.0.2.1:8080 is not this machine: say --yes" in result.stderr
    result = run("bench", "--upstream-url", "https://api.example")
    assert "https://api.example is not this machine" in result.stderr


def test_what_fails_is_told_and_the_status_says_so(run: Run, tmp_path: Path) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[str]:
        async def answer(call: Call) -> None:
            if b"Question 0" in call.body:
                await call.reply(500, (), b"no")
            else:
                await call.reply(200, (), b"yes")

        async with ScriptedUpstream() as up:
            up.answer_with(answer)
            yield up.url

    template = tmp_path / "t"
    template.write_text('{"text": "{question}"}')
    with beside(failing()) as url:
        result = run(
            "bench", "--url", url, "--requests", 30, "--distinct", 3, "--template", template,
            "--path", "/ask",
        )  # fmt: skip
    assert result.exit_code == 1
    assert "failed: status 500" in result.stdout
    assert "answers were not for the cache" in result.stdout


def test_nobody_there_is_told(run: Run) -> None:
    with beside(staged()) as (_, url):
        pass
    result = run("bench", "--url", url, "--requests", 3, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["hit_ratio"] is said["all"] is None
    assert (
        said["errors"] == {"no connection: Connect call failed": 3}
        or sum(said["errors"].values()) == 3
    )


@pytest.mark.parametrize(("skew", "least"), [(0.0, 0.08), (1.0, 0.3), (2.0, 0.6)])
def test_few_are_asked_often_as_the_skew_says(skew: float, least: float) -> None:
    drawn = Counter(islice(draws(10, skew, 1), 5000))
    assert set(drawn) <= set(range(10))
    assert drawn[0] / 5000 > least
    if skew:
        assert drawn[0] > drawn[1] > drawn[4]
    assert list(islice(draws(10, skew, 1), 20)) == list(islice(draws(10, skew, 1), 20))


async def test_each_is_asked_once_and_answers_are_sorted_by_their_verdicts() -> None:
    class Front:
        def __init__(self) -> None:
            self.asked: list[str] = []

        async def ask(self, question: Question) -> Heard:
            self.asked.append(question.path)
            if question.path == "/9":
                raise Unheard("broke off")
            status = 500 if question.path == "/8" else 200
            verdict = "hit" if question.path < "/5" else "miss"
            return Heard(status, verdict, "", False, 0.1, 0.5, 1, own_s=0.25)

    front = Front()
    now = iter([10.0, 12.0])
    questions = [Question("POST", f"/{n}", (), b"") for n in range(10)]
    run = await load(front, questions, clients=3, clock=lambda: next(now))
    assert sorted(front.asked) == [f"/{n}" for n in range(10)]
    assert run.errors == {"broke off": 1, "status 500": 1}
    assert (run.answered, run.per_second, run.hit_ratio) == (8, 4.0, 5 / 8)
    assert run.own == [0.25] * 5
    times = run.times("miss")
    assert times is not None
    assert times.answers == 3


def test_times_are_told_by_rank() -> None:
    assert times_of([]) is None
    assert times_of([float(n) for n in range(100)]) == (100, 49.5, 50.0, 90.0, 99.0, 99.0)

"""Users of OpenAI's chat completions, for Locust: ``locust -f benchmarks/users/locustfile.py``.

Requests are told apart by what became of them: "chat HIT", "stream MISS" and so on, from the
header ``X-Cache``; "-" stands for an answer without it, such as the backend's own. For streams
there is a second figure of type TTFB: the time until their first byte.

Set by environment variables:
    LOAD_PROMPTS    how many different prompts there are (1000)
    LOAD_ZIPF       how uneven their popularity is (0.9; 0: not at all)
    LOAD_WORDS      words of a prompt (50)
    LOAD_STREAMS    the share of requests that are streams, from 0 to 1 (0.5)
    LOAD_WAIT_S     seconds that a user thinks between two requests (0)
    LOAD_SEED       for the same draws in each run
    LOAD_MODEL      the model asked for (demo)
    LOAD_PATH       where (/v1/chat/completions)
    OPENAI_API_KEY  the credential; all users have the same (sk-load)
"""

from __future__ import annotations

import os
import random
from time import perf_counter
from typing import ClassVar

from locust import FastHttpUser, task
from prompts import Prompts

KEY = os.environ.get("OPENAI_API_KEY", "sk-load")
MODEL = os.environ.get("LOAD_MODEL", "demo")
PATH = os.environ.get("LOAD_PATH", "/v1/chat/completions")
STREAMS = float(os.environ.get("LOAD_STREAMS", "0.5"))
WAIT_S = float(os.environ.get("LOAD_WAIT_S", "0"))
DICE = random.Random(os.environ.get("LOAD_SEED"))
PROMPTS = Prompts(
    int(os.environ.get("LOAD_PROMPTS", "1000")),
    float(os.environ.get("LOAD_ZIPF", "0.9")),
    int(os.environ.get("LOAD_WORDS", "50")),
    DICE,
)


class Chat(FastHttpUser):
    """Somebody who asks one question after the other."""

    default_headers: ClassVar = {"Authorization": f"Bearer {KEY}"}

    def wait_time(self) -> float:
        return WAIT_S

    @task
    def ask(self) -> None:
        stream = DICE.random() < STREAMS
        body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPTS.draw()}]}
        if stream:
            self._listen({**body, "stream": True})
        else:
            with self.client.post(PATH, json=body, name="chat", catch_response=True) as answer:
                name(answer, "chat")

    def _listen(self, body: dict[str, object]) -> None:
        began, first_ms, end = perf_counter(), 0.0, b""
        with self.client.post(
            PATH, json=body, name="stream", stream=True, catch_response=True
        ) as answer:
            said = name(answer, "stream")
            if not said:
                return
            while line := answer.stream.readline(b"\n"):
                first_ms = first_ms or (perf_counter() - began) * 1e3
                end = line.strip() or end
            # Locust itself counts up to the head.
            answer.request_meta["response_time"] = (perf_counter() - began) * 1e3
            if end != b"data: [DONE]":
                answer.failure("a stream that did not come to its end")
                return
        self.environment.events.request.fire(
            request_type="TTFB", name=said, response_time=first_ms, response_length=0,
            exception=None, context={},
        )  # fmt: skip


def name(answer: object, kind: str) -> str:
    """Have it counted by what became of it; by which name, or "" if it failed."""
    if answer.status_code != 200:
        answer.failure(f"status {answer.status_code}")
        return ""
    answer.request_meta["name"] = said = f"{kind} {answer.headers.get('X-Cache', '-')}"
    return said

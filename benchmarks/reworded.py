"""Hits by meaning: questions in other words than those whose answers are stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks.frame import peers
from benchmarks.frame.contest import contest, middle, worst
from benchmarks.frame.drive import Client, Figures, Load, Server
from benchmarks.frame.options import Options
from benchmarks.frame.questions import FIELDS, PATH, request
from benchmarks.frame.report import Table, company
from benchmarks.meaning import until_ready
from benchmarks.servers import ANSWER
from benchmarks.serving import cpu_seconds, family, sidecache, starved_seconds, until_quiet

_NAMES: Final = """
Albania Algeria Angola Argentina Armenia Australia Austria Belgium Bolivia Botswana
Brazil Bulgaria Cambodia Cameroon Canada Chile Colombia Croatia Cuba Denmark Ecuador
Egypt Estonia Ethiopia Finland France Gabon Germany Ghana Greece Guatemala Honduras
Hungary Iceland India Indonesia Iran Iraq Ireland Israel Italy Jamaica Japan Jordan
Kenya Kuwait Laos Latvia
"""
COUNTRIES: Final = tuple(_NAMES.split())
STORED: Final = "What is the capital of {}, and how many people live there?"
WORDINGS: Final = {
    "fresh": STORED,
    "canonical": "What's the capital of {} and how many people live there?",
    "typo": "What is the captial of {}, and how many people live there?",
    "semantic": "How many people live there, and what is the capital of {}?",
}
NAMES: Final = {
    "fresh": "the very question",
    "canonical": "but for contractions and punctuation",
    "typo": "but for a slip of the keyboard",
    "semantic": "in other words",
}
NO_MODEL: Final = "--model names no model: vectors are of pieces of words, which costs less"
_PREFIX: Final = "SIDECACHE_SEMANTIC__"
_SYSTEM: Final = "You are a helpful assistant. Conversation {}. " + "x" * 900
_ROUNDS: Final = count(1)  # what has another system prompt is never compared


def asked(host: str, conversation: int, text: str) -> bytes:
    messages = [
        {"role": "system", "content": _SYSTEM.format(conversation)},
        {"role": "user", "content": text},
    ]
    body = {"model": "bench-model", "messages": messages, "temperature": 0}
    return request(host, FIELDS, json.dumps(body).encode())


def turn(server: Server, reason: str) -> Figures:
    """All questions as they are stored, then in other words, one at a time. Raises Wrong."""
    conversation, host = next(_ROUNDS), server.url.removeprefix("http://")
    with closing(Client(server, Load(expect=("X-Cache-Reason", reason)), 0)) as client:
        for country in COUNTRIES:
            client.ask(asked(host, conversation, STORED.format(country)))
        until_quiet(server.process)  # all of them can be found by meaning
        process = family(server.process)
        used, waited, began = cpu_seconds(*process), starved_seconds(*process), perf_counter()
        found, times = 0, list[float]()
        for country in COUNTRIES:
            before = perf_counter()
            said = client.ask(asked(host, conversation, WORDINGS[reason].format(country)))
            times.append(perf_counter() - before)
            found += said == reason
        took = perf_counter() - began
        used, waited = cpu_seconds(*process) - used, starved_seconds(*process) - waited
    return {
        "found": 100 * found / len(COUNTRIES),
        "p50_ms": median(times) * 1e3,
        "cpu_us": used / len(COUNTRIES) * 1e6,
        "starved": min(waited, max(took - used, 0.0)) / took,
    }


def measure(given: Options) -> Iterator[Table]:
    settings = {
        "SIDECACHE_SEMANTIC__ENABLED": "true",
        "SIDECACHE_SEMANTIC__EMBEDDER__KIND": "ngram",
    }
    if given.model:
        settings["SIDECACHE_SEMANTIC__EMBEDDER__KIND"] = "onnx"
        settings["SIDECACHE_SEMANTIC__EMBEDDER__PATH"] = given.model
    with ExitStack() as stack:
        upstream = stack.enter_context(peers.python("backend", "instant", core=-1)()).url
        target = stack.enter_context(sidecache(upstream, env=settings))
        until_ready(target)
        url = target.url.removesuffix(PATH)
        server = Server(peers.PRODUCT, url, target.process, body=ANSWER)
        turn(server, "semantic")  # to warm up
        runs = contest({reason: partial(turn, server, reason) for reason in WORDINGS}, given.rounds)
    columns = {"found": "found so, %", "p50_ms": "p50 ms", "cpu_us": "CPU us"}
    yield Table(
        "reworded",
        f"hits by meaning, one at a time ({'a model' if given.model else 'pieces of words'})",
        list(columns.values()),
        [(NAMES[name], [middle(runs, name, figure) for figure in columns]) for name in runs],
        notes=[*([] if given.model else [NO_MODEL]), *company(worst(runs, "starved"))],
    )

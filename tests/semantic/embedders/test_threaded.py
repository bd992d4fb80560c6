"""The thread around a model, with models that are made up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.threaded import Loaded, ThreadedEmbedder

if TYPE_CHECKING:
    from proxy.semantic.base import Vector


def lengths(texts: Sequence[str]) -> list[Vector]:
    return [np.array([len(text), 1], np.float32) for text in texts]


def loaded(vectors: Callable[[Sequence[str]], Sequence[Vector]] = lengths) -> Loaded:
    return Loaded("mark", 2, vectors, lambda text: 0.5 if text.isascii() else 1.0)


async def test_the_loop_goes_on_while_a_model_is_loaded_and_used() -> None:
    gate, threads = threading.Event(), set[int]()

    def load() -> Loaded:
        gate.wait(10)
        threads.add(threading.get_ident())
        return loaded(embed)

    def embed(texts: Sequence[str]) -> list[Vector]:
        threads.add(threading.get_ident())
        return lengths(texts)

    embedder = ThreadedEmbedder("x", load)
    async with asyncio.TaskGroup() as group:
        group.create_task(embedder.start())
        await asyncio.sleep(0)
        gate.set()  # reached only if start() gave way
    await embedder.embed(["a", "bc"])
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    await embedder.close()


async def test_it_can_be_started_again_after_it_failed_and_is_loaded_once() -> None:
    outcomes = [OSError("disk\n  is gone"), EmbedderError("no such folder"), loaded()]
    told = []

    def load() -> Loaded:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    embedder = ThreadedEmbedder("x", load)
    for _ in range(2):
        with pytest.raises(EmbedderError) as caught:
            await embedder.start()
        told.append(str(caught.value))
    await embedder.start()
    await embedder.start()
    assert told == ["x cannot be loaded: OSError: disk is gone", "no such folder"]
    assert (embedder.fingerprint, embedder.dimensions) == ("mark", 2)
    await embedder.close()


async def test_a_model_that_raises_fails_that_call_only() -> None:
    def embed(texts: Sequence[str]) -> list[Vector]:
        match texts[0]:
            case "bad":
                raise ValueError("shapes do not match")
            case "told":
                raise EmbedderError("in its own words")
        return lengths(texts)

    embedder = ThreadedEmbedder("x", lambda: loaded(embed))
    await embedder.start()
    with pytest.raises(EmbedderError, match="x failed: ValueError: shapes do not match"):
        await embedder.embed(["bad"])
    with pytest.raises(EmbedderError, match=r"^in its own words$"):
        await embedder.embed(["told"])
    ((length, _),) = await embedder.embed(["good"])
    assert length == 4
    await embedder.close()


async def test_what_cannot_be_encoded_is_a_question_mark_to_the_model() -> None:
    seen: list[str] = []

    def embed(texts: Sequence[str]) -> list[Vector]:
        seen.extend(texts)
        return lengths(texts)

    embedder = ThreadedEmbedder("x", lambda: loaded(embed))
    await embedder.start()
    await embedder.embed(["\ud800 snow", "☃"])
    assert seen == ["? snow", "☃"]
    await embedder.close()


async def test_closing_while_it_loads_leaves_nothing_open() -> None:
    gate = threading.Event()

    def load() -> Loaded:
        gate.wait(10)
        return loaded()

    embedder = ThreadedEmbedder("x", load)
    async with asyncio.TaskGroup() as group:
        group.create_task(embedder.start())
        await asyncio.sleep(0)
        await embedder.close()
        gate.set()
    with pytest.raises(EmbedderError, match="closed"):
        await embedder.embed(["a"])
    with pytest.raises(EmbedderError, match="closed"):
        await embedder.start()


async def test_what_is_known_of_a_text_can_be_told_while_it_is_open() -> None:
    embedder = ThreadedEmbedder("x", loaded)
    assert embedder.unknown("a") is None
    await embedder.start()
    assert embedder.unknown("a") == 0.5
    await embedder.close()
    assert embedder.unknown("a") is None


def test_a_name_that_cannot_be_printed_is_escaped() -> None:
    assert ThreadedEmbedder("onnx:/模型\n", loaded).name == r"onnx:/\u6a21\u578b\n"

"""Many who ask, few calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from support.cranked_embedder import CrankedEmbedder

from proxy.semantic.base import EmbedderError
from proxy.semantic.batcher import Batcher

LONG_S = 3600.0  # nothing here waits for it


class Heard(list[str | None]):
    def __call__(self, error: EmbedderError | None) -> None:
        self.append(None if error is None else str(error))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def embedder() -> CrankedEmbedder:
    return CrankedEmbedder()


@pytest.fixture
async def batcher(embedder: CrankedEmbedder, heard: Heard) -> AsyncIterator[Batcher]:
    batcher = Batcher(embedder, heard=heard, wait_s=0.0, in_the_air=1)
    yield batcher
    await batcher.close()


async def outcomes(*asked: asyncio.Future[object]) -> list[object]:
    return await asyncio.gather(*asked, return_exceptions=True)


async def test_who_asks_together_shares_a_call(embedder: CrankedEmbedder, heard: Heard) -> None:
    batcher = Batcher(embedder, heard=heard, most=3, wait_s=LONG_S)
    vectors = await asyncio.gather(*map(batcher.embed, ["a", "b", "c"]))
    assert embedder.calls == [["a", "b", "c"]]
    assert (batcher.batches, batcher.texts) == (1, 3)
    assert heard == [None]
    assert len({vector.tobytes() for vector in vectors}) == 3
    await batcher.close()


async def test_a_text_without_company_goes_when_its_time_is_up(
    embedder: CrankedEmbedder, heard: Heard
) -> None:
    batcher = Batcher(embedder, heard=heard, wait_s=0.001)
    await batcher.embed("alone")
    assert embedder.calls == [["alone"]]
    await batcher.close()


async def test_texts_gather_while_all_places_in_the_air_are_taken(
    embedder: CrankedEmbedder, batcher: Batcher
) -> None:
    embedder.hold()
    asked = [batcher.ask(text) for text in "abcd"]
    await embedder.was_called(1)
    embedder.release()
    await asyncio.gather(*asked)
    assert embedder.calls == [["a"], ["b", "c", "d"]]


async def test_time_may_be_up_while_all_places_are_taken(
    embedder: CrankedEmbedder, heard: Heard
) -> None:
    batcher = Batcher(embedder, heard=heard, most=2, wait_s=0.001, in_the_air=1)
    embedder.hold()
    asked = [batcher.ask(text) for text in "abc"]
    await asyncio.wait(asked, timeout=0.01)  # c's time is long up
    assert embedder.calls == [["a", "b"]]
    embedder.release()
    await asyncio.gather(*asked)
    assert embedder.calls == [["a", "b"], ["c"]]
    await batcher.close()


async def test_no_batch_is_larger_than_it_may_be(embedder: CrankedEmbedder, heard: Heard) -> None:
    batcher = Batcher(embedder, heard=heard, most=2, wait_s=0.0, in_the_air=1)
    embedder.hold()
    asked = [batcher.ask(text) for text in "abcdef"]
    await embedder.was_called(1)
    embedder.release()
    await asyncio.gather(*asked)
    assert embedder.calls == [["a"], ["b", "c"], ["d", "e"], ["f"]]
    await batcher.close()


async def test_equal_texts_are_embedded_once(embedder: CrankedEmbedder, batcher: Batcher) -> None:
    embedder.hold()
    one, other = batcher.ask("same"), batcher.ask("same")
    await embedder.was_called(1)
    third = batcher.ask("same")
    embedder.release()
    assert (await one).tobytes() == (await other).tobytes() == (await third).tobytes()
    assert embedder.calls == [["same"]]
    assert batcher.shared == 2


async def test_who_leaves_takes_nobody_with_it(embedder: CrankedEmbedder, batcher: Batcher) -> None:
    embedder.hold()
    async with asyncio.TaskGroup() as group:
        leaves = group.create_task(batcher.embed("same"))
        stays = group.create_task(batcher.embed("same"))
        await embedder.was_called(1)
        leaves.cancel()
        await asyncio.wait([leaves])
        embedder.release()
    assert leaves.cancelled()
    assert stays.result().shape == (256,)


async def test_a_batch_that_fails_fails_its_own_only(
    embedder: CrankedEmbedder, batcher: Batcher, heard: Heard
) -> None:
    embedder.hold()
    first = batcher.ask("first")
    await embedder.was_called(1)
    second = batcher.ask("second")
    embedder.fault = EmbedderError("out of memory")
    embedder.release()
    with pytest.raises(EmbedderError, match="out of memory"):
        await first
    embedder.fault = None
    assert (await second).shape == (256,)
    assert heard == ["out of memory", None]


async def test_a_text_that_is_refused_fails_alone(embedder: CrankedEmbedder, heard: Heard) -> None:
    batcher = Batcher(embedder, heard=heard, most=8, wait_s=LONG_S)
    embedder.refused = frozenset("c")
    found = await outcomes(*(batcher.ask(text) for text in "abcdefgh"))
    assert [isinstance(each, EmbedderError) for each in found] == [
        text == "c" for text in "abcdefgh"
    ]
    assert not any(heard)  # that is no failure of the embedder
    assert batcher.batches <= 7
    await batcher.close()


ONES = np.ones(256, np.float32)


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        (ONES[:-1], "255 numbers where 256"),
        (ONES[:0], "0 numbers"),
        (ONES.reshape(16, 16), "256 numbers"),
        (ONES * 0, "zeros"),
        (ONES * np.float32("nan"), "finite"),
        (np.where(np.arange(256) == 7, np.float32("inf"), ONES), "finite"),
    ],
)
async def test_what_is_no_vector_fails_its_own_text_only(
    embedder: CrankedEmbedder, heard: Heard, vector: object, says: str
) -> None:
    batcher = Batcher(embedder, heard=heard, most=2, wait_s=LONG_S)
    embedder.answer = [vector, ONES]
    bad, good = await outcomes(batcher.ask("bad"), batcher.ask("good"))
    assert isinstance(bad, EmbedderError)
    assert says in str(bad)
    assert isinstance(good, np.ndarray)
    assert heard == [str(bad)]
    await batcher.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([], "0 vectors for 1 texts"),
        ([ONES, ONES], "2 vectors for 1 texts"),
        (7, "a bug in it, TypeError"),
        (["words"], "a bug in it, ValueError"),
    ],
)
async def test_what_are_no_vectors_is_an_error(
    embedder: CrankedEmbedder, batcher: Batcher, answer: object, says: str
) -> None:
    embedder.answer = answer
    with pytest.raises(EmbedderError, match=says):
        await batcher.embed("text")


async def test_a_bug_in_the_embedder_is_its_failure_and_quotes_nothing(
    embedder: CrankedEmbedder, batcher: Batcher
) -> None:
    embedder.fault = KeyError("the text")
    with pytest.raises(EmbedderError, match=r"^a bug in it, KeyError$"):
        await batcher.embed("the text")


async def test_an_embedder_that_hangs_is_given_up(embedder: CrankedEmbedder, heard: Heard) -> None:
    batcher = Batcher(embedder, heard=heard, wait_s=0.0, patience_s=0.25)
    embedder.hold()
    with pytest.raises(EmbedderError, match=r"within 0\.25 seconds"):
        await batcher.embed("text")
    embedder.release()
    assert (await batcher.embed("text")).shape == (256,)
    await batcher.close()


async def test_vectors_have_unit_length_and_cannot_be_written_to(
    embedder: CrankedEmbedder, batcher: Batcher
) -> None:
    embedder.answer = [ONES * np.float32(3e38)]
    vector = await batcher.embed("text")
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1)
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1


async def test_who_finds_too_many_waiting_is_turned_away_at_once(
    embedder: CrankedEmbedder, heard: Heard
) -> None:
    batcher = Batcher(embedder, heard=heard, wait_s=LONG_S, most_waiting=2)
    waiting = [batcher.ask("a"), batcher.ask("b")]
    with pytest.raises(EmbedderError, match="2 texts are waiting already"):
        batcher.ask("c")
    assert batcher.ask("a") is waiting[0]
    assert batcher.turned_away == 1
    await batcher.close()


async def test_too_much_text_is_too_many(embedder: CrankedEmbedder, batcher: Batcher) -> None:
    with pytest.raises(EmbedderError, match="waiting"):
        batcher.ask("x" * (4 * 2**20 + 1))
    assert (await batcher.embed("x" * 1000)).shape == (256,)


async def test_closing_ends_all_that_waits_and_flies(
    embedder: CrankedEmbedder, heard: Heard
) -> None:
    batcher = Batcher(embedder, heard=heard, most=2, wait_s=LONG_S, in_the_air=1)
    embedder.hold()
    asked = [batcher.ask(text) for text in "abc"]
    await embedder.was_called(1)
    await batcher.close()
    assert all(isinstance(each, EmbedderError) for each in await outcomes(*asked))
    with pytest.raises(EmbedderError, match="closed"):
        await batcher.embed("d")
    await batcher.close()


async def test_closing_ends_what_waits_for_its_time(
    embedder: CrankedEmbedder, heard: Heard
) -> None:
    batcher = Batcher(embedder, heard=heard, wait_s=LONG_S)
    asked = batcher.ask("a")
    await batcher.close()
    with pytest.raises(EmbedderError, match="closed"):
        await asked
    assert embedder.calls == []

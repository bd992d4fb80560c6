"""How long the parts take, each measured by itself, one call after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import mean

from benchmarks.semantic.tally import times
from proxy.calibration.labelled import Pair
from proxy.calibration.rehearsal import Rehearsal
from proxy.calibration.trials import Tried
from proxy.model.meaning import Doubt
from proxy.semantic.embedding import Embedding
from proxy.semantic.found import Sought
from proxy.semantic.verifier import Verifier
from proxy.semantic.words.reading import read
from proxy.semantic.words.text import Text

_TOKENS = 30
_EMBEDDED = 100  # texts, with the embedder itself
_SEARCHED = 500
_VERIFIED = 2_000


def veto_speed(pairs: Sequence[Pair], made: Callable[[], Verifier]) -> dict[str, object]:
    """All vetoes, on questions of 30 tokens: those of the file, strung together.

    Each is asked, whether another has spoken or not. Besides the time that passes there is the time
    of the processor, which does not count what others on a busy machine are given meanwhile.

    What a verifier found in a question it remembers for a while. So there is the time for two that
    it has met, for a new one beside one that it has met (a question that is asked now, and one that
    was answered), and for two new ones.
    """
    verifier = made()
    texts = _strung(pair.stored for pair in pairs), _strung(pair.asked for pair in pairs)
    pairs_of_30 = list(zip(*texts, strict=False))
    reading, verifying, working, refusing = [], [], [], []
    meeting, strange = [], []
    another = read("What is the capital of France, and why is it not Lyon?")
    while len(verifying) < _VERIFIED:
        for one, other in pairs_of_30[:_VERIFIED]:
            began = time.perf_counter()
            asked = read(one)
            between = time.perf_counter()
            verifier.all_of(asked, read(other))
            done = time.perf_counter()
            again = read(other)
            reading += [between - began, time.perf_counter() - done]
            began, worked = time.perf_counter(), time.thread_time()
            verifier.all_of(asked, again)
            working.append(time.thread_time() - worked)
            verifying.append(time.perf_counter() - began)
            began = time.perf_counter()
            verifier.refuse(asked, again)
            refusing.append(time.perf_counter() - began)
            fresh = made()
            fresh.all_of(another, again)
            worked = time.thread_time()
            fresh.all_of(asked, again)
            meeting.append(time.thread_time() - worked)
            fresh = made()
            worked = time.thread_time()
            fresh.all_of(asked, again)
            strange.append(time.thread_time() - worked)
    tokens = [len(read(text).tokens) for text in texts[0]]
    return {
        "pairs": len(pairs_of_30),
        "tokens": round(mean(tokens), 1),
        "all_vetoes": times(verifying),
        "all_vetoes_processor": times(working),
        "all_vetoes_one_new_processor": times(meeting),
        "all_vetoes_both_new_processor": times(strange),
        "until_the_first_refuses": times(refusing),
        "reading_one_question": times(reading),
    }


def _strung(questions: Iterable[str]) -> list[str]:
    """Texts of about 30 tokens."""
    texts, parts, count = [], [], 0
    for question in questions:
        parts.append(question)
        count += len(read(question).tokens)
        if count >= _TOKENS:
            texts.append(_cut(" ".join(parts)))
            parts, count = [], 0
    return texts or [" ".join(parts)]


def _cut(text: str) -> str:
    """``text`` less words, or characters, at its end until it has no more than 30 tokens."""
    spaced = " " in text
    while len(read(text).tokens) > _TOKENS:
        text = text.rpartition(" ")[0] if spaced and " " in text else text[:-1]
    return text


def verifying(tried: Sequence[tuple[Text, Text]], verifier: Verifier) -> dict[str, float | int]:
    """The vetoes, on what was really compared."""
    taken = []
    for asked, stored in tried[:_VERIFIED]:
        began = time.perf_counter()
        verifier.refuse(asked, stored)
        taken.append(time.perf_counter() - began)
    return times(taken)


def compared(tried: Tried) -> list[tuple[Text, Text]]:
    """The question with each of its neighbours."""
    sought = tried.met.question.sought
    if not isinstance(sought, Sought):
        return []
    return [(sought.text, each.text) for each in tried.met.finding.neighbours]


async def searching(rehearsal: Rehearsal, tried: Sequence[Tried]) -> dict[str, object]:
    """The embedder, one text at a time, and the index as full as it has become."""
    embedding, index, known = (
        rehearsal.semantic.embedding,
        rehearsal.semantic.index,
        rehearsal.known,
    )
    if embedding is None or index is None or known is None or not embedding.ready:
        return {}
    sought = [each.met.question.sought for each in tried]
    questions = [each for each in sought if isinstance(each, Sought)]
    embedded, searched = [], []
    for each in questions[-_SEARCHED:]:
        vector = await _vector(embedding, each)
        if vector is None:
            continue
        began = time.perf_counter()
        await index.search(each.namespace, vector, 8)
        searched.append(time.perf_counter() - began)
    for each in questions[-_EMBEDDED:]:
        began = time.perf_counter()
        await known.afresh(each.text.raw)
        embedded.append(time.perf_counter() - began)
    return {"embed": times(embedded), "search": times(searched)}


async def _vector(embedding: Embedding, sought: Sought) -> object:
    vector = await embedding.vector(sought.text.raw, sought.text.script)
    return None if isinstance(vector, Doubt) else vector

"""Meaning: the parts that find answers to questions in other words, made from the settings.

Each kind of embedder and index is imported where it is made: numpy, torch and the like cost tens of
megabytes, and who does without them has none of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from proxy.app.clock import seconds
from proxy.app.index import index
from proxy.config.semantic import Embedder as EmbedderSettings
from proxy.config.settings import Settings
from proxy.key import KeyRules
from proxy.lane import Lane, within
from proxy.link.redis import Redis
from proxy.model.entry import Entry
from proxy.model.errors import ConfigError, TierError
from proxy.semantic.agreement import Agreement
from proxy.semantic.base import Embedder, Index, Shelf
from proxy.semantic.budget.controller import Budget, Change
from proxy.semantic.budget.course import Turn
from proxy.semantic.budget.labels import Stratum
from proxy.semantic.budget.shadow import Shadowing
from proxy.semantic.finder import Finder
from proxy.semantic.learner import Learner
from proxy.semantic.meaning import Meaning
from proxy.semantic.seeking import Seeking
from proxy.semantic.verifier import Verifier
from proxy.semantic.words.eligible import Eligibility
from proxy.semantic.words.phrasebook import Phrasebook
from proxy.timely import Timely

if TYPE_CHECKING:
    from proxy.semantic.embedding import Embedding, Standing

log = logging.getLogger("sidecache.semantic")

_SAVE_S: Final = 60.0
_EXTRAS: Final = {"onnx": "onnx", "sentence-transformers": "semantic"}  # of kinds of embedders
_MOST_SAVED: Final = 64 * 2**20  # bytes; full it has 5 million
_SPARE_S: Final = 0.25  # of a search, for the tiers, beside the embedder and the index
_LEARN_S: Final = 0.05  # after an answer: the next question is there by then, if one follows
_PHRASES: Final = 100_000
_FOLDER: Final = "semantic"
_EXPECTED: Final = frozenset({"on", "closed"})  # standings of an embedder that nobody need act on
_LOOK_AGAIN: Final = frozenset({Turn.RAISED, Turn.CLOSED, Turn.DOUBTED})  # little is known there


class Semantic:
    """All parts of it: ``start`` them before the first request, ``close`` them after the last.

    Args:
        settings: checked settings, with ``semantic.enabled``.
        shelf: where entries are.
        directory: where what was learned is kept; None: it ends with the process.
        redis: the link that a shared index may use.
        answer: what a stored entry says, as one text; None if it says it otherwise.
        embedder: in place of the one that the settings ask for.
        clock: seconds, monotonic.
        dice: evenly distributed in [0, 1).
        disk_s: seconds that may be spent on keeping what was learned, or on clearing the index.

    Raises:
        ConfigError: a package is missing, or a model or folder is not there.
    """

    def __init__(
        self,
        settings: Settings,
        shelf: Shelf,
        *,
        directory: Path | None,
        redis: Redis | None,
        answer: Callable[[Entry], str | None],
        embedder: Embedder | None = None,
        clock: Callable[[], float] = seconds,
        dice: Callable[[], float] = random.random,
        disk_s: float = 5.0,
    ) -> None:
        semantic = settings.semantic
        self._folder = None if directory is None else directory / _FOLDER
        self._kept = None if self._folder is None else self._folder / "budget.json"
        self.budget = Budget(
            semantic.error_budget, start=semantic.threshold, floor=semantic.least_threshold
        )
        # numpy reads it when it is loaded. The loop waits for small products, and with more threads
        # it waits for all of them: on busy cores 16 ms where one thread takes 0.1.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        embedder = embedder or embedder_of(semantic.embedder)
        self.embedding: Embedding | None = None
        self.index: Index | None = None
        if embedder is not None:
            from proxy.semantic.embedding import Embedding

            self.index = index(settings, self._folder, redis)
            self.embedding = Embedding(
                embedder,
                clock=clock,
                dice=dice,
                report=_report_standing,
                threshold=semantic.threshold,
                deadline_s=semantic.embedder.timeout_s,
                max_unknown=semantic.embedder.max_unknown,
                most=semantic.embedder.max_batch,
            )
        self.phrasebook = Phrasebook(_PHRASES) if semantic.typos else None
        agreement = Agreement(answer)
        self.finder = Finder(
            shelf,
            phrasebook=self.phrasebook,
            verifier=Verifier(off=semantic.vetoes.doubts, words=semantic.vetoes.words),
            budget=self.budget,
            agreement=agreement,
            embedding=self.embedding,
            index=self.index,
            least=semantic.least_threshold,
            index_s=semantic.index.timeout_s,
            limit_s=semantic.embedder.timeout_s + semantic.index.timeout_s + _SPARE_S,
        )
        shadow = semantic.shadow
        self.shadowing = (
            Shadowing(shadow.per_minute) if shadow.enabled and shadow.per_minute else None
        )
        self.learner = Learner(
            shelf,
            phrasebook=self.phrasebook,
            budget=self.budget,
            shadowing=self.shadowing,
            agreement=agreement,
            embedding=self.embedding,
            index=self.index,
            clock=clock,
            wall=time.time,
            dice=dice,
            report=self._report_change,
            pause_s=_LEARN_S,
        )
        self._saving: asyncio.Task[None] | None = None
        self._disk: Lane | None = None
        self._disk_s = disk_s
        self._writing: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Know what was known, and load the model in the background. Raises nothing."""
        if self._kept is not None:
            self.budget.restored(_read(self._kept))
            self._disk = Lane("semantic-budget")
            self._saving = asyncio.create_task(self._save_now_and_then())
        await self.learner.start()
        if self.embedding is not None:
            self.embedding.start(self._woken)

    async def close(self) -> None:
        """Keep what was learned, and let go of all."""
        await self.learner.close()
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
            await self._save()
        if self._disk is not None:
            self._disk.stop()
        if self.embedding is not None:
            await self.embedding.close()
        if self.index is not None:
            await self.index.close()

    async def clear(self) -> None:
        """Forget all questions: their answers are purged."""
        if self.phrasebook is not None:
            self.phrasebook.clear()
        if self.index is not None:
            # What is found there is gone all the same, and whoever purges waits for the tiers yet.
            with contextlib.suppress(TierError, TimeoutError):
                async with asyncio.timeout(self._disk_s):
                    await self.index.clear()

    def meaning(self, settings: Settings, keys: KeyRules) -> Meaning:
        """What the life of a request needs of it.

        Args:
            settings: of the cache, which may have changed since.
            keys: what namespaces and notes are hashed with.
        """
        about_now, semantic = settings.cache.time_sensitive, settings.semantic
        timely = Timely(about_now.words, built_in=about_now.built_in)
        eligibility = Eligibility(volatile=_never if semantic.volatile else timely.asks)
        alias = keys.alias_of if semantic.canonical else None
        return Meaning(Seeking(eligibility, alias), self.finder, self.learner, keys.namespace_of)

    def told(self) -> Mapping[str, object]:
        """All there is to tell, fit for JSON."""
        return {
            "ready": self.embedding is None or self.embedding.ready,
            "outcomes": {str(why): count for why, count in sorted(self.finder.counts.items())},
            "bugs": self.finder.bugs,
            "labels_unknown": self.learner.unknown,
            "not_learned": self.learner.dropped,
            "embedder": None if self.embedding is None else _told(self.embedding),
            "strata": [
                {**stratum._asdict(), **self.budget.estimate(stratum)._asdict()}
                for stratum in self.budget.strata()
            ],
        }

    async def asked(self) -> Mapping[str, object]:
        """The same, for who may have to wait for it."""
        return self.told()

    # -- inside -------------------------------------------------------------------------------

    async def _woken(self, fingerprint: str, dimensions: int) -> None:
        """There is a model: its vectors can be kept."""
        if self.index is not None:
            try:
                await self.index.open(fingerprint, dimensions)
            except TierError as error:
                log.warning("the index of meanings cannot be used now", exc_info=error)
        self.learner.woken()

    def _report_change(self, stratum: Stratum, change: Change) -> None:
        level = logging.WARNING if change.turn in {Turn.OPENED, Turn.RAISED} else logging.INFO
        told = {**stratum._asdict(), "turn": change.turn.value, "threshold": change.after}
        log.log(level, "what is near enough in meaning changed", extra=told)
        if self.shadowing is not None and change.turn in _LOOK_AGAIN:
            self.shadowing.again(stratum)

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_S)
            await self._save()

    async def _save(self) -> None:
        """Keep what was learned, if the disk is there. Raises nothing."""
        if self._kept is None or self._disk is None:
            return
        try:
            if self._writing is None or self._writing.done():  # else more and more would wait
                job = partial(_write, self._kept, self.budget.saved())
                self._writing = self._disk.submit(job)
            await within(self._disk_s, self._writing)
        except (TierError, OSError, TypeError) as error:
            log.warning("what was learned of meaning cannot be kept", exc_info=error)


def _write(path: Path, saved: Mapping[str, object]) -> None:
    fresh = path.with_suffix(f".{os.getpid()}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh.write_bytes(orjson.dumps(saved))
    fresh.replace(path)


def _read(path: Path) -> object:
    """What was saved; None if it is no file of ours."""
    try:
        return orjson.loads(path.read_bytes()) if path.stat().st_size <= _MOST_SAVED else None
    except (OSError, ValueError):
        return None


def _never(_question: str) -> bool:
    return False


def embedder_of(embedder: EmbedderSettings) -> Embedder | None:
    """The embedder asked for. Raises ConfigError if a package is missing."""
    # ruff: noqa: PLC0415 - each kind loads packages of its own
    try:
        match embedder.kind:
            case "none":
                return None
            case "ngram":
                from proxy.semantic.embedders.ngram import NgramEmbedder

                return NgramEmbedder()
            case "remote":
                from proxy.semantic.embedders.remote import RemoteEmbedder

                key = embedder.secret
                return RemoteEmbedder(
                    embedder.url or "",
                    model=embedder.model,
                    headers={"Authorization": f"Bearer {key}"} if key else None,
                    dimensions=embedder.dimensions,
                    tls=_trusting(embedder.ca_file),
                    max_batch=embedder.max_batch,
                )
            case "onnx":
                from proxy.semantic.embedders.onnx import OnnxEmbedder

                folder = embedder.path or Path()  # the settings insist on one
                return OnnxEmbedder(folder.expanduser(), threads=embedder.threads)
            case "sentence-transformers":
                from proxy.semantic.embedders.sentence import SentenceEmbedder

                return SentenceEmbedder(
                    embedder.model, backend=embedder.backend, device=embedder.device
                )
    except ImportError as error:
        raise ConfigError(
            f"semantic.embedder: {embedder.kind} needs the package {error.name}: "
            f"pip install 'sidecache[{_EXTRAS.get(embedder.kind, 'vectors')}]'"
        ) from error


def _told(embedding: Embedding) -> Mapping[str, object]:
    return {
        "name": embedding.name,
        "standing": embedding.standing.value,
        "self_tests": {
            script.value: {"passed": test.passed, "why": test.why}
            for script, test in embedding.tests.items()
        },
        "late": embedding.late,
        "failed": embedding.failed,
    }


def _trusting(ca_file: Path | None) -> ssl.SSLContext | None:
    return None if ca_file is None else ssl.create_default_context(cafile=ca_file)


def _report_standing(standing: Standing, why: str) -> None:
    level = logging.INFO if standing in _EXPECTED else logging.WARNING
    log.log(level, "the embedder changed", extra={"standing": standing.value, "reason": why})

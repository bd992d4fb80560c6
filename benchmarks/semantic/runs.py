"""The runs of the semantic benchmark: pairs, each by itself, and a stream in the file's order."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence

from benchmarks.semantic import speed
from benchmarks.semantic.effects import VETOES, Effects
from benchmarks.semantic.tally import Row, by_label, doubts, judged, served, share, wrongness
from proxy.calibration.choice import choice
from proxy.calibration.labelled import Asked, Pair
from proxy.calibration.rehearsal import Rehearsal
from proxy.calibration.suggestion import steps, suggest
from proxy.calibration.trials import Trials, Tried
from proxy.config.settings import Settings
from proxy.model.entry import Entry
from proxy.model.errors import ConfigError
from proxy.semantic.base import EmbedderError
from proxy.semantic.budget.calibration import Scored, area
from proxy.semantic.budget.labels import Stratum
from proxy.semantic.verifier import Verifier
from proxy.semantic.words.canonical import canonical
from proxy.semantic.words.reading import read

_TELL_S = 10.0  # between two lines of progress


def settings(
    *,
    embedder: str,
    threshold: float | None,
    error_budget: float | None,
    off: Sequence[str],
    shadow: bool,
) -> Settings:
    """The default settings but for what is given. Raises ConfigError."""
    names = {veto.removeprefix("veto-") for veto in VETOES} - {"words"}
    wrong = [name for name in off if name.removeprefix("veto-") not in names]
    if wrong:
        raise ConfigError(
            f"no veto called {', '.join(wrong)}; there are: {', '.join(sorted(names))}"
        )
    semantic: dict[str, object] = {
        "enabled": True,
        "embedder": choice(embedder),
        "vetoes": {"disabled": [name.removeprefix("veto-") for name in off]},
        "shadow": {"enabled": shadow},
    }
    if threshold is not None:
        semantic["threshold"] = threshold
        semantic["least_threshold"] = min(threshold, Settings().semantic.least_threshold)
    if error_budget is not None:
        semantic["error_budget"] = error_budget
    try:
        return Settings.model_validate({"semantic": semantic})
    except ValueError as error:
        raise ConfigError(str(error)) from error


async def pairs(
    chosen: Settings, pairs: Sequence[Pair], args: argparse.Namespace
) -> dict[str, object]:
    began = time.perf_counter()
    rehearsal = Rehearsal(chosen, seed=args.seed, per_second=args.per_second)
    try:
        await _started(rehearsal, [text for pair in pairs for text in (pair.stored, pair.asked)])
        trials, effects = Trials(rehearsal), Effects(rehearsal, args.examples // 4)
        rows, tried = [], []
        progress = Progress("pairs", len(pairs))
        for pair in pairs:
            each = await trials.pair(pair)
            await effects.look(each, lambda _entry, right=pair.right: right)
            effects.pair(pair.asked, pair.stored, right=pair.right)
            tried.append(each)
            labels = (pair.language, pair.category)
            rows.append(Row(each.kind, each.right, each.doubt, pair.right, labels))
            progress.tell()
        must = sum(pair.right for pair in pairs)
        return {
            "mode": "pairs",
            **_of(rehearsal),
            **judged(rows),
            "by_lang": by_label(rows, 0),
            "by_cat": by_label(rows, 1),
            "by_lang_and_cat": by_label(rows, 0, 1),
            "canonical_alone": _canonical(pairs),
            **_curve(tried),
            "effects": effects.told(must, len(pairs) - must),
            "timing": await _timing(rehearsal, tried),
            "mistakes": [
                _mistake(pair, each)
                for pair, each in zip(pairs, tried, strict=True)
                if each.kind and not pair.right
            ][: args.examples],
            "seconds": round(time.perf_counter() - began, 1),
        }
    finally:
        await rehearsal.close()


async def stream(
    chosen: Settings, asked: Sequence[Asked], args: argparse.Namespace
) -> dict[str, object]:
    began = time.perf_counter()
    rehearsal = Rehearsal(chosen, seed=args.seed, per_second=args.per_second)
    try:
        await _started(rehearsal, [each.text for each in asked])
        trials, effects = Trials(rehearsal), Effects(rehearsal, args.examples // 4)
        rows, tried, shadowed, turns = [], [], 0, Turns(rehearsal)
        progress = Progress("questions", len(asked))
        for each in asked:
            met = await trials.look(each)

            def is_right(entry: Entry, group: str = each.group) -> bool:
                return trials.is_right(entry, group)

            await effects.look(met, is_right)
            asked_again = await trials.settle(each, met)
            shadowed += bool(met.kind) and asked_again
            turns.look(len(tried) + 1)
            tried.append(met)
            rows.append(Row(met.kind, met.right, met.doubt))
            progress.tell()
        return {
            "mode": "stream",
            **_of(rehearsal),
            **served(rows),
            "shadowed": shadowed,
            "shadowed_per_query": share(shadowed, len(rows)),
            "doubts": doubts(rows),
            **_budget(rehearsal, tried),
            "turns": turns.told,
            **_curve(tried),
            "effects": effects.told(),
            "timing": await _timing(rehearsal, tried),
            "mistakes": [
                {"asked": one.text, "group": one.group, **_found(each)}
                for one, each in zip(asked, tried, strict=True)
                if each.right is False
            ][: args.examples],
            "seconds": round(time.perf_counter() - began, 1),
        }
    finally:
        await rehearsal.close()


class Progress:
    """A line on standard error now and then."""

    def __init__(self, what: str, whole: int) -> None:
        self._what = what
        self._whole = whole
        self._done = 0
        self._told = time.monotonic()

    def tell(self, done: int | None = None) -> None:
        self._done = self._done + 1 if done is None else done
        if self._done == self._whole or time.monotonic() - self._told >= _TELL_S:
            self._told = time.monotonic()
            print(f"  {self._done:,} of {self._whole:,} {self._what}", file=sys.stderr)


async def _started(rehearsal: Rehearsal, texts: Iterable[str]) -> None:
    """Have the model loaded, and all texts embedded. Raises ConfigError."""
    try:
        await rehearsal.start()
        if rehearsal.known is not None:
            wanted = set(texts)
            progress = Progress("texts embedded", len(wanted))
            await rehearsal.known.learn(wanted, lambda done, _whole: progress.tell(done))
    except EmbedderError as error:
        raise ConfigError(f"the embedder cannot be used: {error}") from error


def _of(rehearsal: Rehearsal) -> dict[str, object]:
    """What was used."""
    semantic = rehearsal.settings.semantic
    embedding = rehearsal.semantic.embedding
    model: dict[str, object] = {"name": "none"}
    if embedding is not None:
        model = {
            "name": embedding.name,
            "fingerprint": embedding.fingerprint,
            "dimensions": embedding.dimensions,
            "standing": embedding.standing.value,
            "self_tests": {
                script.value: {"passed": test.passed, "why": test.why}
                for script, test in embedding.tests.items()
            },
        }
    return {
        "embedder": model,
        "threshold": semantic.threshold,
        "error_budget": semantic.error_budget,
        "vetoes_off": list(semantic.vetoes.disabled),
        "shadow": semantic.shadow.enabled,
    }


def _curve(tried: Sequence[Tried]) -> dict[str, object]:
    """What each threshold comes to; exact hits are left out. A canonical hit has a score of 1."""
    scored = [each.nearest for each in tried if each.nearest is not None]
    found = suggest(scored, sum(each.met.exact is None for each in tried), 0.02)
    return {
        "curve": [
            {
                "threshold": point.threshold,
                "hit_ratio": round(point.hit_ratio, 5),
                **wrongness(round(point.wrong_per_hit * point.hits), point.hits),
            }
            for point in steps(found.points)
        ],
        "area_under_precision": round(area(found.points), 5),
    }


def _canonical(pairs: Sequence[Pair]) -> dict[str, object]:
    """The canonical form by itself, whether a question may be looked for or not."""
    forms = [(canonical(read(pair.stored)), canonical(read(pair.asked))) for pair in pairs]
    equal = [one == other != "" for one, other in forms]
    told: dict[str, object] = {}
    for name, counted in (("all", True), ("reworded", False)):  # not those that are identical
        told[name] = {
            called: _share_of(
                same
                for pair, same in zip(pairs, equal, strict=True)
                if pair.right is right and (counted or pair.stored != pair.asked)
            )
            for called, right in (("recall", True), ("false", False))
        }
    return told


def _share_of(held: Iterable[bool]) -> dict[str, object]:
    found = list(held)
    return {"share": share(sum(found), len(found)), "equal": sum(found), "pairs": len(found)}


class Turns:
    """The thresholds of the error budget as they move."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._budget = rehearsal.semantic.budget
        self._last: dict[Stratum, float | None] = {}
        self.told: list[dict[str, object]] = []

    def look(self, number: int) -> None:
        """Note what has moved by the question with this number."""
        for stratum in self._budget.strata():
            threshold = self._budget.threshold(stratum)
            if stratum in self._last and self._last[stratum] != threshold:
                estimate = self._budget.estimate(stratum)
                self.told.append(
                    {
                        "question": number,
                        "stratum": f"{stratum.fingerprint} {stratum.script}",
                        "from": self._last[stratum],
                        "to": threshold,
                        "error": round(estimate.error, 5),
                        "low": round(estimate.low, 5),
                        "high": round(estimate.high, 5),
                        "effective": round(estimate.effective, 1),
                    }
                )
            self._last[stratum] = threshold


def _budget(rehearsal: Rehearsal, tried: Sequence[Tried]) -> dict[str, object]:
    """What the error budget reports in the end, and what is true."""
    truth: dict[Stratum, list[Scored]] = {}
    for each in tried:
        stratum, best = each.met.finding.stratum, each.met.finding.best
        if stratum is not None and best is not None and each.nearest is not None:
            truth.setdefault(stratum, []).append(each.nearest)
    budget = rehearsal.semantic.budget
    told, honest = [], True
    for stratum in budget.strata():
        estimate = budget.estimate(stratum)
        known = [each for each in truth.get(stratum, ()) if each.score >= estimate.threshold]
        true = sum(not each.right for each in known) / len(known) if known else None
        inside = true is None or estimate.low <= true <= estimate.high
        honest &= inside
        told.append(
            {
                **stratum._asdict(),
                **estimate._asdict(),
                "true_error": None if true is None else round(true, 5),
                "true_of": len(known),
                "inside": inside,
            }
        )
    return {"budget": told, "honest": honest, "labels_unknown": rehearsal.meaning.learner.unknown}


async def _timing(rehearsal: Rehearsal, tried: Sequence[Tried]) -> dict[str, object]:
    vetoes = rehearsal.settings.semantic.vetoes
    texts = [pair for each in tried for pair in speed.compared(each)]
    return {
        "verify": speed.verifying(texts, Verifier(off=vetoes.doubts, words=vetoes.words)),
        **await speed.searching(rehearsal, tried),
    }


def _mistake(pair: Pair, tried: Tried) -> dict[str, object]:
    return {
        "stored": pair.stored,
        "asked": pair.asked,
        "lang": pair.language,
        "cat": pair.category,
        "kind": tried.kind,
        "score": _rounded(tried.score),
    }


def _found(tried: Tried) -> dict[str, object]:
    entry = tried.met.served
    wording = None if entry is None else entry.wording
    return {
        "stored": "" if wording is None else wording.text,
        "kind": tried.kind,
        "score": _rounded(tried.score),
    }


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)

"""What each veto, and the rule of disagreement, do: what would be served if only it were off."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.semantic.tally import share
from proxy.calibration.rehearsal import Rehearsal
from proxy.calibration.trials import Tried
from proxy.model.decision import Miss, Why
from proxy.model.entry import Entry
from proxy.model.meaning import Doubt
from proxy.semantic.agreement import Agreement
from proxy.semantic.found import Sought
from proxy.semantic.meaning import Meaning
from proxy.semantic.words.reading import read

VETOES = tuple(doubt for doubt in Doubt if doubt.startswith("veto-") or doubt is Doubt.LENGTH)
_DISAGREEMENT = "disagreement"


class Effects:
    """Looks at each trial again with one thing off.

    It looks at the stored questions as they are: had a veto been off from the start, others would
    have been stored.

    Args:
        examples: how many of each kind to keep, the question and the one it was taken for.
    """

    def __init__(self, rehearsal: Rehearsal, examples: int) -> None:
        self._most = examples
        self._examples: dict[tuple[str, bool], list[tuple[str, str]]] = {}
        self._rehearsal = rehearsal
        self._verifier = rehearsal.verifier()
        self._without: dict[str, Meaning] = {}
        self._stops: dict[str, list[int]] = {}  # right ones, wrong ones
        self._fires: dict[str, list[int]] = {}

    async def look(self, tried: Tried, is_right: Callable[[Entry], bool]) -> None:
        """Count what a question would have been served with one thing off."""
        question, finding = tried.met.question, tried.met.finding
        if finding.hit is not None or not isinstance(question.sought, Sought):
            return
        alone = set()
        for each in finding.neighbours:
            reasons = self._verifier.all_of(question.sought.text, each.text)
            if len(reasons) == 1:  # more: another speaks against it all the same
                alone.add(reasons[0].value)
        if finding.doubt is Doubt.DISAGREEMENT:
            alone.add(_DISAGREEMENT)
        for name in alone:
            other = (await question.find(self._meaning(name), Miss(Why.UNSEEN))).finding
            if other is not None and other.hit is not None:
                right = is_right(other.hit.entry)
                self._stops.setdefault(name, [0, 0])[not right] += 1
                self._note(name, question.sought.text.raw, other.hit.entry, right=right)

    def _note(self, name: str, asked: str, entry: Entry, *, right: bool) -> None:
        examples = self._examples.setdefault((name, right), [])
        if len(examples) < self._most and entry.wording is not None:
            examples.append((asked, entry.wording.text))

    def pair(self, one: str, other: str, *, right: bool) -> None:
        """Count every veto that speaks against a pair, whether others do too or not."""
        for doubt in self._verifier.all_of(read(one), read(other)):
            self._fires.setdefault(doubt.value, [0, 0])[not right] += 1

    def told(self, right: int | None = None, wrong: int | None = None) -> dict[str, object]:
        """By name: right and wrong answers that it alone keeps from being served.

        Args:
            right: how many pairs must be served, to tell which share of them it speaks against.
            wrong: how many must not be.
        """
        told: dict[str, object] = {}
        for name in (*(veto.value for veto in VETOES), _DISAGREEMENT):
            stops = self._stops.get(name, [0, 0])
            fires = self._fires.get(name, [0, 0])
            if not any((*stops, *fires)):
                continue
            row: dict[str, object] = {"alone_stops_right": stops[0], "alone_stops_wrong": stops[1]}
            if right is not None and wrong is not None:
                row["fires_on_right"], row["fires_on_wrong"] = fires
                row["share_of_right"] = share(fires[0], right)
                row["share_of_wrong"] = share(fires[1], wrong)
            for right_one, called in ((True, "right"), (False, "wrong")):
                found = self._examples.get((name, right_one))
                if found:
                    row[f"examples_{called}"] = found
            told[name] = row
        return told

    def _meaning(self, off: str) -> Meaning:
        meaning = self._without.get(off)
        if meaning is None:
            if off == _DISAGREEMENT:
                meaning = self._rehearsal.otherwise(agreement=Agreement(_silent))
            else:
                meaning = self._rehearsal.otherwise(off=frozenset({Doubt(off)}))
            self._without[off] = meaning
        return meaning


def _silent(_entry: Entry) -> None:
    """Of an answer that says nothing it is not known whether another says the same."""

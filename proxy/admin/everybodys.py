"""What several workers answer together: each is asked, and their answers are put together."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, ValidationError

from proxy.admin.colleagues import Answer, Colleagues, Silent
from proxy.admin.endpoint import Problem, Refused
from proxy.admin.entries import Entries, EntryTold, Wanted
from proxy.admin.profile import Picture
from proxy.admin.rows import Row
from proxy.admin.semantic import EmbedderState, State, Stratum

_LIMIT_S: Final = 10.0  # for one answer: some tiers are on disks
_OURS: Final = re.compile(r"w(\d{1,9})_([a-z0-9_]{1,20}):([0-9a-f.]{0,64})")
_NOBODY: Final = "no worker serves for now: try again in a moment"
_SILENT: Final = "a worker does not answer: try again in a moment"
_ANEW: Final = "after: there is nothing to go on with: begin anew"
_OK: Final = 200
_NOT_FOUND: Final = 404

M = TypeVar("M", bound=BaseModel)


class Shelved:
    """The tiers of all workers, as a ``proxy.admin.entries.Source``.

    First the memory of each, then what they share, once. ``next`` says whose memory is to be gone
    on with; a worker that has taken another's place goes on where that was, as keys have an order.

    Args:
        tiers: their names, nearest first; the first is each worker's own. Empty while nobody
            serves.
    """

    def __init__(
        self, colleagues: Colleagues, tiers: Callable[[], Awaitable[Sequence[str]]]
    ) -> None:
        self._colleagues = colleagues
        self._tiers = tiers

    async def list(self, wanted: Wanted) -> Entries:
        own, *shared = await self._known()
        if wanted.tier not in {None, own, *shared}:
            raise Refused(400, "after or tier: there is no such tier")
        if wanted.tier not in {None, own}:
            return await self._page(self._anyone(), wanted)
        slots = sorted(each.slot for each in self._colleagues.present())
        if not slots:
            raise Refused(503, _NOBODY)
        at = wanted.after or ""
        if at.partition(":")[0] == own:
            raise Refused(400, _ANEW)
        told = _Told(wanted.limit)
        if not at or _OURS.fullmatch(at):
            first, rest = _place(at, own)
            for slot in slots:
                if slot < first:
                    continue
                start = f"{own}:{rest}" if slot == first and rest else None
                mine = wanted.model_copy(update={"tier": own, "after": start, "limit": told.room})
                try:
                    page = await self._page(slot, mine)
                except Refused:
                    told.untold[own] = None
                    continue
                told.add(page, slot)
                if page.next is not None:
                    return told.so_far(f"w{slot}_{page.next}")
                if not told.room:
                    return told.so_far(self._after(slot, slots, own, shared, wanted))
            at = f"{shared[0]}:" if shared and wanted.tier is None else ""
        if at:
            rest_of = wanted.model_copy(update={"after": at, "limit": told.room})
            page = await self._page(self._anyone(), rest_of)
            told.add(page, None)
            return told.so_far(page.next)
        return told.so_far(None)

    async def one(self, key: str) -> EntryTold:
        answers = await self._colleagues.all("GET", f"/entries/{key}", _LIMIT_S)
        found = [(each.slot, _read(EntryTold, each)) for each in answers if each.status == _OK]
        if not found:
            raise _refused(answers)
        tiers = await self._known()
        own = tiers[0]
        rows: dict[tuple[str, int | None], Row] = {}
        for slot, told in found:
            for row in told.found:
                whose = slot if row.tier == own else None
                rows.setdefault((row.tier, whose), row.model_copy(update={"worker": whose}))
        order = {tier: at for at, tier in enumerate(tiers)}
        in_order = sorted(rows.values(), key=lambda row: (order.get(row.tier, 0), row.worker or 0))
        return found[0][1].model_copy(update={"found": in_order})

    async def _known(self) -> Sequence[str]:
        """The names of the tiers. Raises Refused."""
        tiers = await self._tiers()
        if not tiers:
            raise Refused(503, _NOBODY)
        return tiers

    @staticmethod
    def _after(
        slot: int, slots: Sequence[int], own: str, shared: Sequence[str], wanted: Wanted
    ) -> str | None:
        """Where to go on once the memory of the worker in ``slot`` is told."""
        following = [each for each in slots if each > slot]
        if following:
            return f"w{following[0]}_{own}:"
        return f"{shared[0]}:" if shared and wanted.tier is None else None

    def _anyone(self) -> int:
        for each in self._colleagues.present():
            return each.slot
        raise Refused(503, _NOBODY)

    async def _page(self, slot: int, wanted: Wanted) -> Entries:
        """Raises Refused."""
        said = wanted.model_dump(mode="json", exclude_none=True)
        try:
            answer = await self._colleagues.one(
                slot, "/entries", _LIMIT_S, {name: str(value) for name, value in said.items()}
            )
        except Silent as error:
            raise Refused(503, _SILENT) from error
        if answer.status != _OK:
            raise _refused([answer])
        return _read(Entries, answer)


class _Told:
    """A listing that is being put together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: list[Row] = []
        self._looked_at = 0
        self.untold: dict[str, None] = {}

    @property
    def room(self) -> int:
        """For so many more."""
        return max(0, self._limit - len(self._rows))

    def add(self, page: Entries, slot: int | None) -> None:
        self._rows += [row.model_copy(update={"worker": slot}) for row in page.entries]
        self._looked_at += page.looked_at
        self.untold |= dict.fromkeys(page.untold)

    def so_far(self, after: str | None) -> Entries:
        return Entries(
            entries=self._rows,
            next=after,
            looked_at=self._looked_at,
            complete=after is None and not self.untold,
            untold=list(self.untold),
        )


class Minds:
    """What all workers know of meaning.

    What was counted is added up. Thresholds and shares are not: each worker learns by itself, so
    each tells its own strata.
    """

    def __init__(self, colleagues: Colleagues) -> None:
        self._colleagues = colleagues
        self._unknown = 0

    async def told(self) -> Mapping[str, object]:
        """As ``proxy.admin.semantic.State`` has it. Raises Refused."""
        answers = await self._colleagues.all("GET", "/semantic", _LIMIT_S)
        states = [(each.slot, _read(State, each)) for each in answers if each.status == _OK]
        if not states:
            raise _refused(answers)
        each = [state for _, state in states]
        outcomes: dict[str, int] = {}
        for state in each:
            for name, count in state.outcomes.items():
                outcomes[name] = outcomes.get(name, 0) + count
        return State(
            ready=all(state.ready for state in each),
            outcomes=dict(sorted(outcomes.items())),
            bugs=sum(state.bugs for state in each),
            # Not what they count: a word on an answer goes to all, and one of them knows it.
            labels_unknown=self._unknown,
            not_learned=sum(state.not_learned for state in each),
            embedder=_embedder([state.embedder for state in each if state.embedder is not None]),
            strata=[
                Stratum.model_validate(stratum.model_dump() | {"worker": slot})
                for slot, state in states
                for stratum in state.strata
            ],
        ).model_dump()

    async def judge(self, name: str, *, wrong: bool) -> bool:
        """Tell who remembers the answer so called; whether anybody does. Raises Refused."""
        said = orjson.dumps({"match": name, "verdict": "wrong" if wrong else "right"})
        answers = await self._colleagues.all("POST", "/feedback", _LIMIT_S, body=said)
        if any(each.status == _OK for each in answers):
            return True
        self._unknown += 1
        if answers and all(each.status == _NOT_FOUND for each in answers):
            return False
        raise _refused(answers)


class Pictures:
    """What workers spend their time on, as ``proxy.admin.profile.Others``.

    Args:
        busiest: the slot of the one that has been busiest lately; 0: none serves.
    """

    def __init__(self, colleagues: Colleagues, busiest: Callable[[], int]) -> None:
        self._colleagues = colleagues
        self.busiest = busiest

    async def profile(self, slot: int, query: Mapping[str, str], limit_s: float) -> Picture:
        if slot not in {each.slot for each in self._colleagues.present()}:
            raise Refused(404, "no worker serves there: GET /workers tells who does")
        try:
            answer = await self._colleagues.one(slot, f"/profile?{urlencode(query)}", limit_s)
        except Silent as error:
            raise Refused(503, _SILENT) from error
        return Picture(answer.status, answer.body, answer.content_type)


def _place(at: str, own: str) -> tuple[int, str]:
    """Whose memory to begin with, and where in it. Raises Refused."""
    ours = _OURS.fullmatch(at)
    if ours is None:
        return 0, ""
    if ours[2] != own:
        raise Refused(400, _ANEW)
    return int(ours[1]), ours[3]


def _embedder(embedders: Sequence[EmbedderState]) -> EmbedderState | None:
    """One of them; of several, one that does not work."""
    if not embedders:
        return None
    first = next((each for each in embedders if each.standing != "on"), embedders[0])
    return first.model_copy(
        update={
            "late": sum(each.late for each in embedders),
            "failed": sum(each.failed for each in embedders),
        }
    )


def _read(model: type[M], answer: Answer) -> M:
    """What it says. Raises Refused."""
    try:
        return model.model_validate_json(answer.body)
    except ValidationError as error:
        raise Refused(503, "a worker's answer makes no sense: try again") from error


def _refused(answers: Sequence[Answer]) -> Refused:
    """Why there is no answer, as the first of them says."""
    if not answers:
        return Refused(503, _NOBODY)
    first = answers[0]
    try:
        return Refused(first.status, Problem.model_validate_json(first.body).error)
    except ValidationError:
        return Refused(503, _SILENT)

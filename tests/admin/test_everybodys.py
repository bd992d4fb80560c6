"""What several workers answer together: made-up ones, each on a socket of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.admin.api import Admin
from proxy.admin.colleagues import Colleague, Colleagues, Silent, fetch
from proxy.admin.endpoint import Endpoint, Refused, plain
from proxy.admin.entries import Content, Entries, EntryTold, FormTold, Life, Shelves, Wanted
from proxy.admin.everybodys import Minds, Pictures, Shelved
from proxy.admin.gate import Gate
from proxy.admin.rows import Row, State
from proxy.admin.semantic import Meanings

TIERS = ("l1_memory", "l2_disk", "l2_redis")


def row(key: str, tier: str) -> Row:
    return Row(
        key=key, tier=tier, scope="anon", dialect="d", model="m", path="/", status=200,
        state=State.FRESH, stored_at="now", age_s=1, ttl_s=1, size_bytes=1, tags=[], uses=None,
        negative=False, input_tokens=None, output_tokens=None, upstream_s=1, question=None,
    )  # fmt: skip


class Shelf:
    """Entries by tier; lists them as the real one does. A ``Source``."""

    def __init__(self, keys: Mapping[str, Sequence[str]]) -> None:
        self.keys = keys

    async def list(self, wanted: Wanted) -> Entries:
        name, _, rest = (wanted.after or "").partition(":")
        tiers = [each for each in TIERS if wanted.tier in {None, each}]
        if name:
            if name not in tiers:
                raise Refused(400, "after or tier: nonsense")
            tiers = tiers[tiers.index(name) :]
        found: list[Row] = []
        for tier in tiers:
            past = rest if tier == name else ""
            for key in sorted(self.keys.get(tier, ())):
                if key <= past:
                    continue
                if len(found) >= wanted.limit:
                    return self._told(found, f"{tier}:{past}")
                found.append(row(key, tier))
                past = key
        return self._told(found, None)

    def _told(self, found: Sequence[Row], after: str | None) -> Entries:
        return Entries(
            entries=[*found], next=after, looked_at=len(found), complete=after is None, untold=[]
        )

    async def one(self, key: str) -> EntryTold:
        found = [row(key, tier) for tier in TIERS if key in self.keys.get(tier, ())]
        if not found:
            raise Refused(404, "nothing is stored under this key")
        return EntryTold(
            key=key, found=found, headers=[], form=FormTold(stream=False, usage=False),
            lifetime=Life(ttl_s=1, stale_while_revalidate_s=0, stale_if_error_s=0),
            content=Content(shown=False, question=None, body=None, truncated=False),
        )  # fmt: skip


class Mind:
    """Remembers some answers by name."""

    def __init__(self, *names: str, standing: str = "on", stratum: str = "") -> None:
        self.names = names
        self.heard: list[tuple[str, bool]] = []
        self._standing = standing
        self._stratum = stratum

    async def judge(self, name: str, *, wrong: bool) -> bool:
        if name in self.names:
            self.heard.append((name, wrong))
        return name in self.names

    async def told(self) -> Mapping[str, object]:
        return {
            "ready": self._standing == "on", "outcomes": {"semantic": 2}, "bugs": 1,
            "labels_unknown": 5, "not_learned": 3,
            "embedder": {
                "name": "e", "standing": self._standing, "self_tests": {}, "late": 1, "failed": 2,
            },
            "strata": [{
                "fingerprint": "f", "script": "latin", "family": self._stratum, "error": 0.1,
                "low": 0.0, "high": 0.2, "raw": 0.1, "noise": 0.0, "labels": 4, "effective": 4.0,
                "threshold": 0.9, "open": False,
            }],
        }  # fmt: skip


@asynccontextmanager
async def listening(folder: Path, *each: Sequence[Endpoint]) -> AsyncIterator[Colleagues]:
    """Workers in slots from 1, which answer so."""
    there, admins = [], []
    for slot, endpoints in enumerate(each, 1):
        admin = Admin(lambda: True, Gate(None, (), clock=lambda: 0.0), endpoints=endpoints)
        await admin.start_at(folder / f"{slot}.sock")
        admins.append(admin)
        there.append(Colleague(slot, slot, folder / f"{slot}.sock"))
    try:
        yield Colleagues(lambda: there)
    finally:
        for admin in admins:
            await admin.close()


def shelved(colleagues: Colleagues, tiers: Sequence[str] = TIERS) -> Shelved:
    async def known() -> Sequence[str]:
        return tiers

    return Shelved(colleagues, known)


async def pages(source: Shelved, limit: int, tier: str | None = None) -> list[Row]:
    rows: list[Row] = []
    after: str | None = None
    while True:
        page = await source.list(Wanted(limit=limit, after=after, tier=tier))
        assert len(page.entries) <= limit
        assert page.looked_at == len(page.entries)
        rows += page.entries
        if (after := page.next) is None:
            assert page.complete
            return rows
        assert not page.complete


KEYS = st.lists(st.sampled_from([f"{n:02x}" for n in range(12)]), unique=True, max_size=6)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(KEYS, min_size=1, max_size=3), KEYS, KEYS, st.integers(1, 5))
async def test_page_by_page_every_memory_is_told_and_what_is_shared_once(
    tmp_path: Path, memories: list[list[str]], disk: list[str], redis: list[str], limit: int
) -> None:
    shared = {"l2_disk": disk, "l2_redis": redis}
    shelves = [Shelves(Shelf({"l1_memory": each, **shared})).endpoints for each in memories]
    async with listening(tmp_path, *shelves) as colleagues:
        rows = await pages(shelved(colleagues), limit)
        expected: Counter[tuple[str, str, int | None]] = Counter()
        for slot, keys in enumerate(memories, 1):
            expected.update((key, "l1_memory", slot) for key in keys)
        expected.update((key, tier, None) for tier, keys in shared.items() for key in keys)
        assert Counter((each.key, each.tier, each.worker) for each in rows) == expected
        for tier in TIERS:
            of_one = await pages(shelved(colleagues), limit, tier)
            assert len(of_one) == sum(n for (_, t, _), n in expected.items() if t == tier)


async def test_a_worker_that_leaves_on_the_way_ends_no_listing(tmp_path: Path) -> None:
    first = Shelves(Shelf({"l1_memory": ["01", "02", "03"]})).endpoints
    second = Shelves(Shelf({"l1_memory": ["04", "05"]})).endpoints
    async with listening(tmp_path, first, second) as colleagues:
        page = await shelved(colleagues).list(Wanted(limit=2))
        assert page.next == "w1_l1_memory:02"
        only = Colleagues(lambda: [each for each in colleagues.present() if each.slot == 2])
        rest = await shelved(only).list(Wanted(limit=9, after=page.next))
        assert [each.key for each in rest.entries] == ["04", "05"]
        assert rest.complete


async def test_what_one_cannot_tell_is_said_and_the_others_are_told(tmp_path: Path) -> None:
    async def fails(_asked: object) -> web.Response:
        return web.Response(body=b"nonsense", content_type="application/json")

    broken = [plain("/entries", fails, "Broken", {200: "application/json"})]
    second = Shelves(Shelf({"l1_memory": ["04"]})).endpoints
    async with listening(tmp_path, broken, second) as colleagues:
        gone = Colleague(3, 3, tmp_path / "gone.sock")
        with_gone = Colleagues(lambda: [*reversed(colleagues.present()), gone])
        page = await shelved(with_gone, TIERS[:1]).list(Wanted())
        assert [each.key for each in page.entries] == ["04"]
        assert (page.untold, page.complete) == (["l1_memory"], False)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Wanted(after="l1_memory:01"), "begin anew"),
        (Wanted(after="w1_l2_disk:01"), "begin anew"),
        (Wanted(after="l7:"), "nonsense"),
        (Wanted(tier="l7"), "no such tier"),
    ],
)
async def test_nonsense_is_refused(tmp_path: Path, wanted: Wanted, why: str) -> None:
    async with listening(tmp_path, Shelves(Shelf({})).endpoints) as colleagues:
        with pytest.raises(Refused, match=why) as refused:
            await shelved(colleagues).list(wanted)
        assert refused.value.status == 400


async def test_an_entry_is_told_of_every_memory_it_is_in_and_once_where_it_is_shared(
    tmp_path: Path,
) -> None:
    key = "ab" * 32
    both = {"l1_memory": [key], "l2_disk": [key]}
    sources = [{"l2_disk": [key]}, both, both]
    shelves = [Shelves(Shelf(each)).endpoints for each in sources]
    async with listening(tmp_path, *shelves) as colleagues:
        told = await shelved(colleagues).one(key)
        assert [(each.tier, each.worker) for each in told.found] == [
            ("l1_memory", 2), ("l1_memory", 3), ("l2_disk", None),
        ]  # fmt: skip
        with pytest.raises(Refused, match="nothing is stored"):
            await shelved(colleagues).one("cd" * 32)


async def test_nobody_is_no_answer() -> None:
    nobody = Colleagues(list)
    for asking in (
        shelved(nobody).list(Wanted()),
        shelved(nobody, ()).list(Wanted()),
        shelved(nobody).list(Wanted(tier="l2_disk")),
        shelved(nobody).one("ab" * 32),
        Minds(nobody).told(),
        Minds(nobody).judge("0" * 16, wrong=True),
    ):
        with pytest.raises(Refused, match="no worker serves") as refused:
            await asking
        assert refused.value.status == 503
    with pytest.raises(Silent):
        await nobody.one(1, "/entries", 1.0)


# -- meaning --------------------------------------------------------------------------------------


async def test_a_word_on_an_answer_reaches_who_remembers_it(tmp_path: Path) -> None:
    name, unknown = "0" * 16, "f" * 16
    minds = [Mind(), Mind(name)]
    meanings = [Meanings(each.told, each.judge).endpoints for each in minds]
    async with listening(tmp_path, *meanings) as colleagues:
        all_of = Minds(colleagues)
        assert await all_of.judge(name, wrong=True)
        assert minds[1].heard == [(name, True)]
        assert not await all_of.judge(unknown, wrong=False)
        assert (await all_of.told())["labels_unknown"] == 1


async def test_what_was_counted_adds_up_and_each_tells_its_own_strata(tmp_path: Path) -> None:
    minds = [Mind(stratum="a"), Mind(standing="failed", stratum="b")]
    meanings = [Meanings(each.told, each.judge).endpoints for each in minds]
    async with listening(tmp_path, *meanings) as colleagues:
        told: Any = await Minds(colleagues).told()
    assert (told["ready"], told["outcomes"], told["bugs"]) == (False, {"semantic": 4}, 2)
    assert told["embedder"]["standing"] == "failed"
    assert (told["embedder"]["late"], told["embedder"]["failed"]) == (2, 4)
    assert [(each["family"], each["worker"]) for each in told["strata"]] == [("a", 1), ("b", 2)]


# -- forwarding -----------------------------------------------------------------------------------


def answering(what: str, *, hang: asyncio.Event | None = None) -> list[Endpoint]:
    async def answer(_asked: object) -> web.Response:
        if hang is not None:
            await hang.wait()
        return web.Response(text=what)

    return [plain("/it", answer, "It", {200: "text/plain"})]


@asynccontextmanager
async def forwarding(
    present: Sequence[Colleague], *, again: bool, limit_s: float = 20.0
) -> AsyncIterator[str]:
    endpoint = Colleagues(lambda: present).forwarded(answering("")[0], limit_s=limit_s, again=again)
    admin = Admin(lambda: True, Gate(None, (), clock=lambda: 0.0), endpoints=[endpoint])
    host, port = await admin.start("127.0.0.1", 0)
    try:
        yield f"http://{host}:{port}/it"
    finally:
        await admin.close()


async def got(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.text()


async def test_who_cannot_be_reached_is_passed_over(tmp_path: Path) -> None:
    gone = Colleague(1, 1, tmp_path / "gone.sock")
    async with (
        listening(tmp_path, answering("first"), answering("second")) as colleagues,
        forwarding([gone, *colleagues.present()], again=False) as url,
    ):
        assert await got(url) == (200, "first")


@pytest.mark.parametrize(("again", "told"), [(False, (503, "")), (True, (200, "well"))])
async def test_who_hangs_is_waited_for_only_so_long(
    tmp_path: Path, again: bool, told: tuple[int, str]
) -> None:
    hang = asyncio.Event()
    async with (
        listening(tmp_path, answering("late", hang=hang), answering("well")) as colleagues,
        forwarding(colleagues.present(), again=again, limit_s=0.1) as url,
    ):
        status, text = await got(url)
        hang.set()
    assert status == told[0]
    assert told[1] in text
    assert again or "try again" in text


async def test_an_answer_that_breaks_off_is_seen_to_be_broken(tmp_path: Path) -> None:
    async def breaks(asked: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(asked.request)
        await response.write(b"half")
        asked.request.transport.abort()
        return response

    half = [plain("/it", breaks, "It", {200: "text/plain"})]
    async with (
        listening(tmp_path, half) as colleagues,
        forwarding(colleagues.present(), again=False) as url,
    ):
        with pytest.raises(aiohttp.ClientError):
            await got(url)


async def test_what_is_fetched_is_there_or_silence(tmp_path: Path) -> None:
    async with listening(tmp_path, answering("it")) as colleagues:
        (one,) = colleagues.present()
        assert await fetch(one.path, "/it", 20.0) == b"it"
        with pytest.raises(Silent):
            await fetch(one.path, "/else", 20.0)
        with pytest.raises(Silent):
            async with colleagues.heard(one, "/else", 20.0):
                pass
        with pytest.raises(Refused, match="no worker serves there"):
            await Pictures(colleagues, lambda: 1).profile(5, {}, 1.0)
        picture = await Pictures(colleagues, lambda: 1).profile(1, {"seconds": "1"}, 20.0)
        assert picture.status == 404  # it has no such thing

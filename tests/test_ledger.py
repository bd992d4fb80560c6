"""The ledger: a purge covers what has its label and is older, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cranked import entry

from proxy.ledger import Ledger
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.purge import Kind, Purge

STORED = replace(
    entry(CacheKey("alice", b"\x0a" * 32)),
    generation=5,
    path="/v1/chat/completions",
    tags=("doc:1", "doc:2"),
)
COVERING = [
    Purge(Kind.ALL),
    Purge(Kind.KEY, "0a" * 32),
    Purge(Kind.TAG, "doc:1"),
    Purge(Kind.TAG, "doc:2"),
    Purge(Kind.MODEL, "m"),
    Purge(Kind.DIALECT, "openai_chat"),
    Purge(Kind.SCOPE, "alice"),
    Purge(Kind.PATH, "/v1/"),
    Purge(Kind.PATH, "/v1/chat/completions"),
    Purge(Kind.PATH, ""),
]
SPARING = [
    Purge(Kind.KEY, "0b" * 32),
    Purge(Kind.TAG, "doc:"),
    Purge(Kind.TAG, "m"),
    Purge(Kind.MODEL, "alice"),
    Purge(Kind.DIALECT, "ollama"),
    Purge(Kind.SCOPE, "bob"),
    Purge(Kind.PATH, "/v2/"),
    Purge(Kind.PATH, "/v1/chat/completions/"),
]


def _ledger(*purges: Purge, first: int = 6) -> Ledger:
    ledger = Ledger()
    for number, purge in enumerate(purges, first):
        ledger.enter(purge, number, 1000.0)
    return ledger


@pytest.mark.parametrize("purge", COVERING, ids=str)
def test_what_has_the_label_and_is_older_is_gone(purge: Purge) -> None:
    assert _ledger(purge).admit(STORED) is None
    assert _ledger(purge).covers(STORED)


@pytest.mark.parametrize("purge", COVERING, ids=str)
def test_what_was_asked_for_after_the_purge_stays(purge: Purge) -> None:
    assert _ledger(purge, first=5).admit(STORED) is STORED
    ledger = _ledger(purge, Purge(Kind.TAG, "another"), first=5)  # nor does a later one bring it up
    assert ledger.admit(STORED) is STORED


@pytest.mark.parametrize("purge", SPARING, ids=str)
def test_what_has_another_label_stays(purge: Purge) -> None:
    assert _ledger(purge).admit(STORED) is STORED
    assert not _ledger(purge).covers(STORED)


@pytest.mark.parametrize("purge", COVERING, ids=str)
def test_what_is_purged_softly_is_stale_since_then(purge: Purge) -> None:
    ledger = Ledger()
    ledger.enter(purge._replace(soft=True), 6, 1020.0)
    stale = ledger.admit(STORED)
    assert stale is not None
    assert stale.ttl_left(1020.0) == 0.0
    assert stale.ttl_left(1025.0) == -5.0
    assert replace(stale, lifetime=STORED.lifetime) == STORED
    assert ledger.covers(STORED)


def test_a_soft_purge_gives_no_life_to_what_is_stale_already() -> None:
    ledger = Ledger()
    ledger.enter(Purge(Kind.ALL, soft=True), 6, 2000.0)
    stale = replace(STORED, lifetime=Lifetime(60.0, 10.0, 20.0))
    assert ledger.admit(stale) is stale


def test_of_two_soft_purges_the_earlier_says_since_when() -> None:
    ledger = Ledger()
    ledger.enter(Purge(Kind.TAG, "doc:1", soft=True), 6, 1010.0)
    ledger.enter(Purge(Kind.MODEL, "m", soft=True), 7, 1020.0)
    stale = ledger.admit(STORED)
    assert stale is not None
    assert stale.ttl_left(1010.0) == 0.0


def test_a_hard_purge_outdoes_a_soft_one() -> None:
    purges = [Purge(Kind.MODEL, "m", soft=True), Purge(Kind.TAG, "doc:1")]
    assert _ledger(*purges).admit(STORED) is None
    assert _ledger(*reversed(purges)).admit(STORED) is None


def test_a_purge_of_everything_makes_those_before_it_needless() -> None:
    ledger = _ledger(*COVERING, *(p._replace(soft=True) for p in COVERING))
    ledger.enter(Purge(Kind.ALL), 100, 1000.0)
    assert len(ledger) == 0
    assert ledger.generation == ledger.floor == 100
    assert ledger.admit(replace(STORED, generation=99)) is None
    kept = replace(STORED, generation=100)
    assert ledger.admit(kept) is kept


def test_numbers_only_grow() -> None:
    ledger = _ledger(Purge(Kind.ALL))
    with pytest.raises(ValueError, match="larger"):
        ledger.enter(Purge(Kind.ALL), 6, 1000.0)
    ledger.raise_floor(3)
    assert ledger.generation == ledger.floor == 6


@pytest.mark.parametrize("soft", [False, True])
def test_what_is_too_much_to_remember_purges_more_never_less(soft: bool) -> None:
    ledger = Ledger(most=10)
    for number in range(1, 100):
        ledger.enter(Purge(Kind.TAG, f"doc:{number}", soft), number, 1000.0)
        assert len(ledger) <= 11
        for older in range(number):
            purged = replace(STORED, generation=older, tags=(f"doc:{older + 1}",))
            assert ledger.covers(purged)
    newest = replace(STORED, generation=99)
    assert ledger.admit(newest) is newest


def test_a_label_purged_again_and_again_is_remembered_once() -> None:
    ledger = _ledger(*[Purge(Kind.PATH, "/v1/")] * 1000)
    assert len(ledger) == 1


names = st.sampled_from(["", "a", "b", "ab"])
purges = st.builds(Purge, st.sampled_from(Kind), names, st.booleans()).map(
    lambda p: p._replace(value="") if p.kind is Kind.ALL else p
)
born = st.builds(
    lambda scope, model, path, tags: replace(
        STORED, key=CacheKey(scope, b"\x0a" * 32), model=model, path=path, tags=tuple(tags)
    ),
    names, names, names, st.lists(names, max_size=3),
)  # fmt: skip


@given(st.lists(st.one_of(purges, born), max_size=30), st.integers(1, 40))
def test_it_answers_as_a_plain_list_of_all_purges_would(
    steps: list[Purge | Entry], most: int
) -> None:
    """The oracle looks at every purge; the ledger may purge more once it had to forget some."""
    ledger, told, number = Ledger(most), [], 0
    entries: list[Entry] = []
    for step in steps:
        if isinstance(step, Purge):
            number += 1
            ledger.enter(step, number, 1000.0)
            told.append((number, step))
        else:
            entries.append(replace(step, generation=number))
    for each in entries:
        covering = [p for n, p in told if n > each.generation and _names(p, each)]
        admitted = ledger.admit(each)
        if any(not purge.soft for purge in covering):
            assert admitted is None
        elif covering:
            assert admitted is not each
        elif most > len(told):
            assert admitted is each


def _names(purge: Purge, stored: Entry) -> bool:
    match purge.kind:
        case Kind.ALL:
            return True
        case Kind.KEY:
            return purge.value == stored.key.digest.hex()
        case Kind.TAG:
            return purge.value in stored.tags
        case Kind.PATH:
            return stored.path.startswith(purge.value)
        case Kind.MODEL | Kind.DIALECT | Kind.SCOPE:
            named = {Kind.MODEL: stored.model, Kind.DIALECT: stored.dialect}
            return purge.value == named.get(purge.kind, stored.key.scope)

"""What all locks promise, wherever they are kept; each one's tests inherit these."""

from __future__ import annotations

import asyncio

import pytest

from proxy.fleet.base import Holder, Locks, lock_name, owner
from proxy.fleet.letter import NAME_BYTES
from proxy.model.entry import CacheKey
from proxy.model.query import Form

NAME = lock_name(CacheKey("anon", b"k" * 32), Form())
MINE = Holder(owner(), b"m" * NAME_BYTES)
YOURS = Holder(owner(), b"y" * NAME_BYTES)


class LocksContract:
    """To inherit: give ``locks``, whose leases are short; turn its clock if that is by hand."""

    @pytest.fixture
    def locks(self) -> Locks:
        raise NotImplementedError

    def turn(self, seconds: float) -> None:
        """Let time pass, where it does not by itself."""

    async def gone(self, locks: Locks, within_s: float) -> None:
        """Return once nobody has the lock."""
        self.turn(within_s)
        async with asyncio.timeout(20):
            while await locks.holder(NAME) is not None:  # noqa: ASYNC110 - real time, in Redis
                await asyncio.sleep(0.001)

    async def test_what_nobody_has_can_be_claimed_and_then_not_by_others(
        self, locks: Locks
    ) -> None:
        assert await locks.holder(NAME) is None
        assert await locks.claim(NAME, MINE)
        assert await locks.holder(NAME) == MINE
        for holder in (YOURS, MINE, MINE._replace(flight=b"n" * NAME_BYTES)):
            assert not await locks.claim(NAME, holder)
        assert await locks.holder(NAME) == MINE

    async def test_every_question_has_a_lock_of_its_own_in_every_form(self, locks: Locks) -> None:
        keys = [CacheKey("anon", bytes([n]) * 32) for n in range(20)]
        forms = [Form(stream, usage) for stream in (False, True) for usage in (False, True)]
        names = [lock_name(key, form) for key in keys for form in forms]
        for number, name in enumerate(names):
            assert await locks.claim(name, Holder(MINE.replica, bytes([number]) * NAME_BYTES))
        for number, name in enumerate(names):
            assert await locks.holder(name) == Holder(MINE.replica, bytes([number]) * NAME_BYTES)

    @pytest.mark.parametrize("sure", [False, True])
    async def test_what_was_let_go_can_be_claimed(self, locks: Locks, sure: bool) -> None:
        await locks.claim(NAME, MINE)
        assert await locks.leave(NAME, MINE, sure=sure)
        assert await locks.holder(NAME) is None
        assert not await locks.leave(NAME, MINE)
        assert await locks.claim(NAME, YOURS)

    async def test_nobody_lets_go_of_anothers(self, locks: Locks) -> None:
        await locks.claim(NAME, MINE)
        assert not await locks.leave(NAME, YOURS)
        assert not await locks.leave(NAME, MINE._replace(flight=b"n" * NAME_BYTES))
        assert await locks.holder(NAME) == MINE

    async def test_who_is_said_to_have_it_can_be_relieved_of_it(self, locks: Locks) -> None:
        await locks.claim(NAME, MINE)
        holder = await locks.holder(NAME)
        assert holder is not None
        assert await locks.leave(NAME, holder)
        assert await locks.claim(NAME, YOURS)

    @pytest.mark.parametrize("sure", [False, True])
    async def test_it_may_linger(self, locks: Locks, sure: bool) -> None:
        await locks.claim(NAME, MINE)
        assert await locks.leave(NAME, MINE, 20.0, sure=sure)
        assert not await locks.claim(NAME, YOURS)
        assert await locks.leave(NAME, MINE, 0.01, sure=sure)
        await self.gone(locks, 0.01)
        assert await locks.claim(NAME, YOURS)

    async def test_it_is_gone_after_its_lease(self, locks: Locks) -> None:
        await locks.claim(NAME, MINE)
        await self.gone(locks, locks.lease_s)
        assert await locks.claim(NAME, YOURS)
        assert await locks.holder(NAME) == YOURS

    async def test_it_is_renewed_or_had_again_but_never_taken_from_another(
        self, locks: Locks
    ) -> None:
        await locks.claim(NAME, MINE)
        await locks.leave(NAME, MINE, 60.0)
        assert await locks.renew(NAME, MINE)
        await self.gone(locks, locks.lease_s)  # after a lease, not after a minute
        assert await locks.renew(NAME, MINE)
        assert await locks.holder(NAME) == MINE
        await locks.leave(NAME, MINE)
        await locks.claim(NAME, YOURS)
        await locks.leave(NAME, YOURS, 60.0)
        assert not await locks.renew(NAME, MINE)
        assert await locks.holder(NAME) == YOURS

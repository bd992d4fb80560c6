"""Purges of what is kept on disk: through restarts and kills, by all who share the folder."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from support.openai_backend import OpenAIBackend
from support.operating import ADMIN, obeyed_by_all, purge, purged
from support.proxied import proxied
from support.scripted import ScriptedUpstream
from support.sdk_caller import Caller, chat
from support.sharing import Replica, on_disk, replica, tagging

Json = dict[str, Any]

TEXTS = ("purged", "spared")


def kept(folder: Path) -> Json:
    disk = {"enabled": True, "directory": str(folder / "kept"), "read_timeout_s": 5}
    return {"l2_disk": disk}


async def ended(proxy: Replica) -> None:
    """Stop it in order, with everything written."""
    proxy.process.signal(signal.SIGTERM)
    assert await proxy.process.ended() == 0


async def fill(up: ScriptedUpstream, folder: Path) -> None:
    """Leave both answers on disk."""
    async with replica(up, on_disk(folder)) as proxy:
        assert [await proxy.ask(text) for text in TEXTS] == ["MISS", "MISS"]
        await ended(proxy)


async def test_what_was_purged_stays_purged_after_a_restart_and_the_rest_is_there(
    tmp_path: Path, backend: OpenAIBackend
) -> None:
    settings = {**kept(tmp_path), **ADMIN}
    async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
        _, spared = await caller.ask(chat("spared"))
        await caller.ask(chat("purged", model="n"))
        await purged(proxy.admin_url, "model", "n")
    async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
        assert await caller.ask(chat("spared")) == ("HIT", spared)
        assert proxy.records[-1].outcome.tier == "l2_disk"
        assert (await caller.ask(chat("purged", model="n")))[0] == "MISS"
        _, new = await caller.ask(chat("purged", model="n"))
    async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
        assert await caller.ask(chat("purged", model="n")) == ("HIT", new)
        assert proxy.records[-1].outcome.tier == "l2_disk"


async def test_what_was_purged_softly_is_stale_after_a_restart_too(
    tmp_path: Path, backend: OpenAIBackend
) -> None:
    settings = {**kept(tmp_path), **ADMIN, "cache": {"stale_while_revalidate_s": 600}}
    async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
        _, old = await caller.ask(chat())
        await purged(proxy.admin_url, soft=True)
    async with proxied(backend.url, **settings) as proxy, Caller(proxy) as caller:
        assert await caller.ask(chat()) == ("STALE", old)
        await proxy.landed()
        assert (await caller.ask(chat()))[0] == "HIT"


async def test_a_purge_holds_after_a_kill_right_behind_its_answer(tmp_path: Path) -> None:
    async with tagging() as up:
        await fill(up, tmp_path)
        async with replica(up, on_disk(tmp_path)) as proxy:
            assert [await proxy.ask(text) for text in TEXTS] == ["HIT", "HIT"]
            await purged(proxy.admin, "tag", "purged")
            proxy.process.signal(signal.SIGKILL)
            await proxy.process.ended()
        async with replica(up, on_disk(tmp_path)) as proxy:
            assert [await proxy.ask(text) for text in TEXTS] == ["MISS", "HIT"]


async def test_processes_that_share_a_folder_obey_before_a_purge_is_answered(
    tmp_path: Path,
) -> None:
    async with tagging() as up:
        await fill(up, tmp_path)
        async with (
            replica(up, on_disk(tmp_path)) as one,
            replica(up, on_disk(tmp_path)) as other,
        ):
            both = (one, other)
            assert [await each.ask(text) for text in TEXTS for each in both] == ["HIT"] * 4
            for here, there in [(one, other), (other, one)] * 5:
                await purged(here.admin, "tag", "purged")
                assert await there.ask("purged", stored=True) == "ERROR"
                assert await here.ask("purged", stored=True) == "ERROR"
                assert await here.ask("purged") == "MISS"
                await there.ask("purged")  # which may find it on disk already
            assert [await each.ask("spared") for each in both] == ["HIT", "HIT"]


async def test_a_process_that_was_killed_is_not_waited_for(tmp_path: Path) -> None:
    async with (
        tagging() as up,
        replica(up, on_disk(tmp_path)) as one,
        replica(up, on_disk(tmp_path)) as other,
    ):
        await purged(one.admin, "tag", "a")
        other.process.signal(signal.SIGKILL)
        await other.process.ended()
        await purged(one.admin, "tag", "b")


async def test_a_process_that_hangs_is_named_and_obeys_soon_after_it_goes_on(
    tmp_path: Path,
) -> None:
    async with tagging() as up:
        await fill(up, tmp_path)
        async with (
            replica(up, on_disk(tmp_path)) as one,
            replica(up, on_disk(tmp_path)) as other,
        ):
            assert [await each.ask("purged") for each in (one, other)] == ["HIT", "HIT"]
            other.process.signal(signal.SIGSTOP)
            answer = await purge(one.admin, "tag", "purged")
            assert (answer.status, answer.said["trouble"]) == (202, "")
            assert len(answer.absent) == 1
            assert await one.ask("purged", stored=True) == "ERROR"  # here it holds all the same

            other.process.signal(signal.SIGCONT)
            # What it says first may be what it had. The next purge that all obey covers the rest.
            await obeyed_by_all(one.admin)
            assert await other.ask("purged", stored=True) == "ERROR"

"""What `tune` predicts against what a proxy then does, on the very same requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.proxied import Proxied, proxied
from support.zipf import ZipfBackend, ask_all, questions

from proxy.config.settings import Settings
from proxy.tuning.grid import Choice, in_force
from proxy.tuning.reading import read
from proxy.tuning.replay import Replay
from proxy.tuning.result import Result

Json = dict[str, Any]
KIB = 1024


def ratio(proxy: Proxied) -> float:
    """The share of requests that cost no call of their own."""
    saved = sum(verdict in {"HIT", "STALE", "COALESCED"} for verdict in proxy.verdicts)
    return saved / len(proxy.verdicts)


async def run(
    numbers: list[int], trace: Path | None, per_second: float | None, settings: Json
) -> tuple[Proxied, float]:
    """A proxy that has answered all of it, and its hit ratio."""
    recording = {} if trace is None else {"recording": {"file": str(trace)}}
    async with ZipfBackend() as backend, proxied(backend.url, **settings, **recording) as proxy:
        await ask_all(proxy.url, numbers, per_second=per_second)
        await proxy.landed()
    return proxy, ratio(proxy)


def predicted(trace: Path, settings: Json, choice: Choice | None = None) -> Result:
    """What the replay of ``trace`` comes to."""
    given = {"l2_disk": {"enabled": False}} | settings
    checked = Settings.model_validate(given)
    return Replay(read([trace]), checked, choice or in_force(checked)).run()


async def holds_for(
    numbers: list[int], first: Json, other: Json, folder: Path, per_second: float | None = None
) -> None:
    """Both settings are predicted from the trace of the first, within a point."""
    trace = folder / "trace.sct"
    proxy, was = await run(numbers, trace, per_second, first)
    assert proxy.recorder is not None
    assert proxy.recorder.recorded == len(numbers)
    assert proxy.store.memory.evicted > len(numbers) // 20, "memory was never short"

    same = predicted(trace, first)
    assert same.requests == len(numbers)
    assert same.hit_ratio == pytest.approx(was, abs=0.01)

    choice = in_force(Settings.model_validate(other))
    told = predicted(trace, first, choice)
    proxy, came = await run(numbers, None, per_second, other)
    assert told.hit_ratio == pytest.approx(came, abs=0.01)
    assert abs(came - was) > 0.02, "the settings make no difference that could be predicted"


async def test_tune_predicts_the_hit_rate_of_other_settings_within_a_point(tmp_path: Path) -> None:
    numbers = questions(1500, 700)
    small = {"l1_memory": {"max_bytes": 256 * KIB}, "cache": {"ttl_s": 600}}
    large = {"l1_memory": {"max_bytes": 768 * KIB}, "cache": {"ttl_s": 600}}

    await holds_for(numbers, small, large, tmp_path)


@pytest.mark.heavy
@pytest.mark.timeout(400)
async def test_tune_predicts_a_long_load_that_is_evicted_and_expires(tmp_path: Path) -> None:
    numbers = questions(8000, 3000)
    first = {"l1_memory": {"max_bytes": 2048 * KIB}, "cache": {"ttl_s": 16.0}}
    other = {
        "l1_memory": {"max_bytes": 1024 * KIB},
        "cache": {"ttl_s": 6.0, "stale_while_revalidate_s": 3.0},
    }

    # Lifetimes are of this very clock, so both runs go at one speed.
    await holds_for(numbers, first, other, tmp_path, per_second=120)


@pytest.mark.heavy
@pytest.mark.timeout(400)
async def test_tune_predicts_what_admission_does(tmp_path: Path) -> None:
    numbers = questions(10_000, 5000, seed=2)
    memory = {"l1_memory": {"max_bytes": 2048 * KIB}}
    twice = {"cache": {"ttl_s": 600, "admission": {"seen_times": 2}}}

    await holds_for(numbers, memory | {"cache": {"ttl_s": 600}}, memory | twice, tmp_path)

"""A recording of requests that were told together, against one of the same told one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import pytest
from support.cranked import Clock
from support.traced import RECORDING
from support.zipf import questions

from proxy.config.settings import Settings
from proxy.model.decision import Why
from proxy.model.entry import CacheKey, Lifetime
from proxy.model.message import Head, Headers
from proxy.model.outcome import Delivery, Kept, Outcome, Verdict
from proxy.model.query import Usage
from proxy.observe.gather import Line
from proxy.observe.recording import Recorder
from proxy.observe.trace_writer import TraceWriter
from proxy.tuning.grid import in_force
from proxy.tuning.reading import read
from proxy.tuning.replay import Replay
from proxy.tuning.result import Result
from proxy.wire.cache_control import UNASKED

BEGAN = 1000.0
PER_SECOND = 50
SIZE = 4000


def line(number: int, at: float, stored_at: float | None) -> Line:
    """What is told of question ``number``: a miss at first, then hits on what was stored."""
    key = CacheKey("whose", blake2b(b"%d" % number, digest_size=32).digest())
    common = Outcome(
        Verdict.HIT, Why.FRESH, dialect="openai_chat", model="m", tier="l1_memory", key=key,
        usage=Usage(7, 11), controls=UNASKED, spared_s=0.01,
    )  # fmt: skip
    if stored_at is None:
        kept = Kept(SIZE, Lifetime(600.0), Head(200, "OK", Headers()), 0.01)
        common = common._replace(
            verdict=Verdict.MISS, why=Why.UNSEEN, tier="", stored=True, kept=kept, spared_s=0.0,
            terms_ttl_s=600.0,
        )  # fmt: skip
    else:
        common = common._replace(age_s=at - stored_at, ttl_s=600.0 - (at - stored_at))
    return (at, "POST", "/v1/chat", "", common, Delivery(200, 900, True, 1e-5), ())


def together(lines: Sequence[Line]) -> list[list[Line]]:
    """The same, hits on one key within a second in one line, told when the second is over."""
    by_second: dict[int, list[Line]] = defaultdict(list)
    for each in lines:
        by_second[int(each[0])].append(each)
    told = []
    for those in by_second.values():
        now: list[Line] = []
        held: dict[CacheKey | None, list[Line]] = {}
        for each in those:
            if each[4].verdict is Verdict.HIT:
                held.setdefault(each[4].key, []).append(each)
            else:
                now.append(each)
        now += [
            (*alike[0][:6], [each[5].duration_s for each in alike[1:]]) for alike in held.values()
        ]
        told.append(now)
    return told


def recorded(folder: Path, seconds: Sequence[Sequence[Line]]) -> Path:
    """What is recorded of ``seconds``, each told when it is over."""
    path, clock = folder / "t.sct", Clock(BEGAN)
    writer = TraceWriter(path, max_bytes=10**7, recording=RECORDING)
    recorder = Recorder(writer, salt=b"s" * 32, wall=clock)
    for lines in seconds:
        clock.turn(1)
        recorder.take(lines)
    recorder.start()
    recorder.close()
    return path


def replayed(path: Path, memory: int) -> Result:
    settings = Settings.model_validate(
        {"l2_disk": {"enabled": False}, "l1_memory": {"max_bytes": memory, "express_share": 0.0}}
    )
    return Replay(read([path]), settings, in_force(settings)).run()


@pytest.mark.parametrize("share", [0.1, 0.3, 2.0])
def test_what_is_told_together_is_predicted_as_if_it_were_told_one_by_one(
    tmp_path: Path, share: float
) -> None:
    numbers, of = questions(6000, 600), 600
    stored_at: dict[int, float] = {}
    lines = []
    for place, number in enumerate(numbers):
        at = BEGAN + place / PER_SECOND
        lines.append(line(number, at, stored_at.get(number)))
        stored_at.setdefault(number, at)
    fewer = together(lines)
    assert sum(map(len, fewer)) < 0.9 * len(lines)

    results = []
    for name, told in (("apart", [lines]), ("together", fewer)):
        (tmp_path / name).mkdir()
        results.append(replayed(recorded(tmp_path / name, told), int(share * of * SIZE)))
    apart, same = results
    assert same.requests == apart.requests == len(numbers)
    assert same.hit_ratio == pytest.approx(apart.hit_ratio, abs=0.005)
    assert (apart.hit_ratio > 0.89) == (share > 1.0), "memory was short, but for the last"

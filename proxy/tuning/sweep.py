"""The sweep: every point of a grid replayed, in as many processes as there are processors."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from proxy.config.settings import Settings
from proxy.model.errors import ConfigError
from proxy.tuning.grid import Choice
from proxy.tuning.replay import Replay
from proxy.tuning.result import Result
from proxy.tuning.workload import Workload
from proxy.tuning.wrongs import wrong_at


def sweep(
    workload: Workload,
    settings: Settings,
    choices: Sequence[Choice],
    *,
    jobs: int = 1,
    done: Callable[[int], None] = lambda _count: None,
) -> list[Result]:
    """The results of ``choices``, in their order.

    Args:
        workload: what was asked; where it is a sample, say so in ``share``.
        settings: those in force.
        jobs: processes; with 1 it is done in this one.
        done: told how many more are done.

    Raises:
        ConfigError: a process was killed, most likely as memory ran out.
    """
    rows = _rows(choices)
    found: dict[Choice, Result] = {}
    if jobs <= 1:
        for row in rows:
            found |= _replayed(workload, settings, row)
            done(len(row))
        return [_judged(found[choice], workload) for choice in choices]
    # Not forked: a process that has threads, as one with a progress bar has, must not be.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _Worker.prepare, (workload, settings)) as pool:
        try:
            under_way = [pool.submit(_Worker.replay, row) for row in rows]
            for each in as_completed(under_way):
                found |= each.result()
                done(len(each.result()))
        except BrokenProcessPool as error:
            raise ConfigError(
                "a process that replays was killed; with too little memory, use --sample 0.1 or"
                " fewer --jobs"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [_judged(found[choice], workload) for choice in choices]


def _rows(choices: Sequence[Choice]) -> list[tuple[Choice, ...]]:
    """Choices that differ in memory only, together and the least first."""
    rows: dict[Choice, list[Choice]] = {}
    for choice in sorted(choices, key=lambda choice: choice.memory_bytes):
        rows.setdefault(choice._replace(memory_bytes=0), []).append(choice)
    return [tuple(row) for row in rows.values()]


def _replayed(
    workload: Workload, settings: Settings, row: Sequence[Choice]
) -> dict[Choice, Result]:
    """The results of a row; where nothing had to leave, more memory changes nothing."""
    found: dict[Choice, Result] = {}
    enough: Result | None = None
    for choice in row:
        if enough is None:
            result = found[choice] = Replay(workload, settings, choice).run()
            enough = None if result.evicted or result.declined else result
        else:
            found[choice] = enough._replace(choice=choice)
    return found


class _Worker:
    """What a process of its own has, set once: a pool offers no other place for it."""

    workload: Workload
    settings: Settings

    @classmethod
    def prepare(cls, workload: Workload, settings: Settings) -> None:
        """Begin the process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked for all of it ends it
        cls.workload, cls.settings = workload, settings

    @classmethod
    def replay(cls, row: Sequence[Choice]) -> dict[Choice, Result]:
        """The replays of a row."""
        return _replayed(cls.workload, cls.settings, row)


def _judged(result: Result, workload: Workload) -> Result:
    """``result`` with how many of its hits by meaning would be wrong."""
    wrong = wrong_at(workload.labels, result.choice.threshold)
    return result if wrong is None else result._replace(wrong=wrong.share, wrong_high=wrong.high)

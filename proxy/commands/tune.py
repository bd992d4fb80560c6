"""The command that finds settings by replaying what was recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar, Unpack

import click
import orjson

from proxy.commands.refused import Refused
from proxy.commands.screen import console
from proxy.config.environment import CONFIG_FILE
from proxy.config.load import load
from proxy.config.units import seconds, size
from proxy.model.errors import ConfigError

if TYPE_CHECKING:
    from proxy.config.settings import Settings
    from proxy.tuning.goals import Limits
    from proxy.tuning.grid import Axes, Choice
    from proxy.tuning.result import Result
    from proxy.tuning.telling import Report
    from proxy.tuning.workload import Workload

T = TypeVar("T")
_GOALS: Final = ("hit-rate", "cost", "latency", "freshness")


class _Read(click.ParamType[T]):
    """What ``read`` makes of a word; with ``many``, of words between commas."""

    def __init__(self, name: str, read: Callable[[str], T]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> T:
        try:
            return self._read(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _list(name: str, read: Callable[[str], T]) -> _Read[tuple[T, ...]]:
    return _Read(name, lambda text: tuple(read(word.strip()) for word in text.split(",")))


def _share(text: str) -> float:
    number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= number <= 1:
        raise ValueError("must be a share, such as 0.01 or 1%")
    return number


def _some_share(text: str) -> float:
    share = _share(text)
    if share == 0:
        raise ValueError("must be more than nothing")
    return share


def _times(text: str) -> int:
    if text not in {"1", "2"}:
        raise ValueError("must be 1 or 2")
    return int(text)


def _strength(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e6:  # noqa: PLR2004 - that, or no number at all
        raise ValueError("must be a number from 0")
    return number


def _similarity(text: str) -> float:
    number = float(text)
    if not 0.5 <= number <= 1:  # noqa: PLR2004 - as `semantic.threshold`
        raise ValueError("must be a number from 0.5 to 1")
    return number


class _Given(TypedDict):
    """What the options bring."""

    config: Path | None
    goal: str
    memory: tuple[int, ...] | None
    ttl: tuple[float, ...] | None
    grace: tuple[float, ...] | None
    seen_times: tuple[int, ...] | None
    refresh_ahead: tuple[float, ...] | None
    threshold: tuple[float, ...] | None
    max_memory: int | None
    max_age: float | None
    max_wrong: float | None
    max_calls: int | None
    min_hit_rate: float | None
    sample: float
    jobs: int | None
    everything: bool
    write: Path | None
    as_json: bool


_OPTIONS: Final = (
    click.option(
        "-c", "--config", type=click.Path(path_type=Path), envvar=CONFIG_FILE, show_envvar=True,
        help="The file of the settings in force, which it was recorded with.",
    ),
    click.option("--goal", type=click.Choice(_GOALS), default="hit-rate", show_default=True,
                 help="What is wanted most."),
    click.option("--memory", type=_list("SIZES", size), help="Sizes of memory to try: 64MiB,1GiB."),
    click.option("--ttl", type=_list("TIMES", seconds), help="Lifetimes to try: 10m,1h."),
    click.option("--grace", type=_list("TIMES", seconds),
                 help="Times to try for which answers are given stale while a new one is fetched."),
    click.option("--seen-times", type=_list("1,2", _times),
                 help="How often a question must be asked for its answer to be kept."),
    click.option("--refresh-ahead", type=_list("NUMBERS", _strength),
                 help="How early answers in demand are renewed."),
    click.option("--threshold", type=_list("NUMBERS", _similarity),
                 help="Similarities of questions to try, where the trace tells of any."),
    click.option("--max-memory", type=_Read("SIZE", size), help="No more memory."),
    click.option("--max-age", type=_Read("TIME", seconds),
                 help="No older answers.  [default: as the settings in force allow]"),
    click.option("--max-wrong", type=_Read("SHARE", _share),
                 help="Wrong hits by meaning at most.  [default: semantic.error_budget]"),
    click.option("--max-calls", type=click.IntRange(min=0), help="No more calls to the backend."),
    click.option("--min-hit-rate", type=_Read("SHARE", _share), help="No fewer hits."),
    click.option("--sample", type=_Read("SHARE", _some_share), default=1.0, show_default="all",
                 help="Replay a share of the questions only: quicker, and less exact."),
    click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one a core]"),
    click.option("--all", "everything", is_flag=True, help="Show all that was tried."),
    click.option("--write", type=click.Path(path_type=Path),
                 help="Write the best as a file of settings."),
    click.option("--json", "as_json", is_flag=True, help="Tell it as one JSON object."),
)  # fmt: skip


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("traces", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TRACE")
@_with_options
@click.pass_context
def tune(context: click.Context, *, traces: tuple[Path, ...], **given: Unpack[_Given]) -> None:
    """Find settings by replaying what was recorded.

    TRACE is what `recording.file` named; older files of it beside it are read, too. What was asked
    is put through the policy with many settings, and told is what each would have come to.
    """
    write = given["write"]
    if write is not None and write.exists():
        raise Refused(f"--write {write}: there is a file already; name another")
    try:
        report = _report(traces, given)
        if write is not None:
            _write(write, report)
    except ConfigError as error:
        raise Refused(str(error)) from error
    if given["as_json"]:
        click.echo(orjson.dumps(report.json()))
    else:
        _show(report, everything=given["everything"])
    context.exit(0 if report.chosen.best is not None else 1)


def _report(traces: tuple[Path, ...], given: _Given) -> Report:
    """Read, replay and judge. Raises ConfigError."""
    # Only now what takes long to import.
    from proxy.prices import Price, Prices  # noqa: PLC0415
    from proxy.tuning.goals import Goal, choose  # noqa: PLC0415
    from proxy.tuning.grid import grid  # noqa: PLC0415
    from proxy.tuning.reading import read  # noqa: PLC0415
    from proxy.tuning.telling import Report  # noqa: PLC0415

    settings = load(given["config"], os.environ).settings
    whole = read(traces)
    table = settings.savings
    prices = Prices(
        [Price(each.model, each.input, each.output) for each in table.prices], table.currency
    )
    unpriced = whole.priced(prices) if prices.known else set[str]()
    workload = whole.sampled(given["sample"])
    if not len(workload):
        raise ConfigError("--sample: no question is left of so few; take a larger share")
    choices = grid(
        settings,
        _axes(given, whole),
        by_meaning=any(near.unopposed and not near.certain for near in whole.nears),
        max_memory=given["max_memory"],
        max_age_s=given["max_age"],
    )
    results = _swept(workload, settings, choices, given["jobs"])
    now, goal = results[0], Goal(given["goal"])
    chosen = choose(results, goal, _limits(given, settings, goal, now))
    return Report(workload, settings, prices, goal, now, chosen, results, sorted(unpriced))


def _axes(given: _Given, workload: Workload) -> Axes:
    from proxy.tuning.grid import Axes  # noqa: PLC0415 - as above

    if given["threshold"] and not workload.nears:
        raise ConfigError(
            "--threshold: the trace tells of no question in other words: was `semantic` on?"
        )
    return Axes(
        given["memory"] or (),
        given["ttl"] or (),
        given["grace"] or (),
        given["seen_times"] or (),
        given["refresh_ahead"] or (),
        given["threshold"] or (),
    )


def _limits(given: _Given, settings: Settings, goal: str, now: Result) -> Limits:
    from proxy.tuning.goals import Goal, Limits  # noqa: PLC0415 - as above

    wrong = given["max_wrong"]
    least = given["min_hit_rate"]
    if least is None and goal == Goal.FRESHNESS:
        least = now.hit_ratio  # or nothing would be as fresh as no cache at all
    return Limits(
        given["max_memory"],
        given["max_age"],
        settings.semantic.error_budget if wrong is None else wrong,
        least,
        given["max_calls"],
    )


def _swept(
    workload: Workload, settings: Settings, choices: list[Choice], jobs: int | None
) -> list[Result]:
    from proxy.tuning.sweep import sweep  # noqa: PLC0415 - as above

    wanted = min(jobs or len(os.sched_getaffinity(0)), len(choices))
    with _progress(len(choices)) as done:
        return sweep(workload, settings, choices, jobs=wanted, done=done)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = Console(stderr=True)
    columns = (
        TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _show(report: Report, *, everything: bool) -> None:
    screen = console()
    for line in report.heading():
        screen.print(line, soft_wrap=True)
    screen.print()
    screen.print(report.table(everything=everything))
    screen.print()
    for line in report.verdict():
        screen.print(line, soft_wrap=True)


def _write(path: Path, report: Report) -> None:
    """The best as a file of settings. Raises ConfigError, Refused."""
    from proxy.tuning.grid import snippet  # noqa: PLC0415 - as above

    best = report.chosen.best
    if best is None:
        raise Refused(f"--write {path}: nothing that was tried keeps to the limits")
    requests = report.workload.measured.requests
    notes = (
        f"For {report.goal}: {best.hit_ratio:.1%} hits, by a trace of {requests:,} requests.",
        "Only what differs from the settings that it was compared with.",
    )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(snippet(report.settings, best.choice, notes))
    except OSError as error:
        raise Refused(f"--write {path}: {error.strerror}") from error

"""The command that puts a small load on a proxy, and tells what the cache makes of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy.commands.credentials import Header, asks_as_client, headers
from proxy.commands.refused import Refused
from proxy.commands.screen import clean, console, json_option, styled, table, tell
from proxy.figures import count, duration, share

if TYPE_CHECKING:
    from proxy.benching import Run, Times
    from proxy.calling import Question
    from proxy.warming.questions import Reader

_URL: Final = "http://127.0.0.1:8080"
_SORTS: Final = (("hits", ("hit", "stale")), ("coalesced", ("coalesced",)), ("misses", ("miss",)))
_SHOWN: Final = 5


@click.command()
@click.option("--url", default=_URL, show_default=True, help="Where clients come in.")
@click.option("--upstream-url", metavar="URL", help="Ask the backend itself too, to compare.")
@asks_as_client
@click.option("--model", default="demo", show_default=True, help="Whom to ask.")
@click.option("--path", metavar="PATH", help="Where to.  [default: chat completions]")
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    help="A file with the body; {question} in it is replaced.",
)
@click.option(
    "--requests",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="How many.",
)
@click.option(
    "--distinct",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="How many questions they are about: so often the backend is asked, at most.",
)
@click.option(
    "--direct-requests",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="How many go to --upstream-url.",
)
@click.option(
    "--skew",
    type=click.FloatRange(0, 5),
    default=1.0,
    show_default=True,
    help="How much more often some are asked than others; 0: all alike.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="How many clients.",
)
@click.option("--seed", type=int, help="Asks the same again.  [default: something new]")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for which nothing of an answer may come.",
)
@click.option("--yes", is_flag=True, help="Also where the target is not this machine.")
@json_option
@click.pass_context
def bench(
    context: click.Context,
    *,
    url: str,
    upstream_url: str | None,
    header: tuple[str, ...],
    header_file: Path | None,
    api_key_env: str | None,
    model: str,
    path: str | None,
    template: Path | None,
    requests: int,
    distinct: int,
    direct_requests: int,
    skew: float,
    concurrency: int,
    seed: int | None,
    timeout_s: float,
    yes: bool,
    as_json: bool,
) -> None:
    """Measure hit ratio, latency and throughput with made-up questions.

    The backend answers each question once, at its price. Some questions are asked more often than
    others, as people do. Ends with 1 if any request failed.
    """
    from proxy.benching import draws  # noqa: PLC0415 - aiohttp, only when it is needed
    from proxy.calling import is_loopback, origin_of  # noqa: PLC0415 - as above
    from proxy.commands.warm import template_in  # noqa: PLC0415 - as above
    from proxy.warming.questions import Reader  # noqa: PLC0415 - as above

    sent = headers(header, header_file, api_key_env)
    try:
        targets = [origin_of(each) for each in (url, upstream_url) if each is not None]
        reader = Reader(model, path, None if template is None else template_in(template))
        chosen = secrets.randbelow(2**32) if seed is None else seed
        drawn = draws(distinct, skew, chosen)
        questions = [_question(reader, chosen, number) for number in islice(drawn, requests)]
    except ValueError as error:
        raise Refused(str(error)) from error
    for target in targets:
        if not is_loopback(target) and not yes:
            raise Refused(f"{target} is not this machine: say --yes if it may have this load")
    asked = len(set(questions))
    # Others than the cache was asked: the backend may remember what it has just answered.
    direct = [_question(reader, chosen, -1 - number) for number in range(direct_requests)]
    runs = [
        asyncio.run(_load(target, sent, some, concurrency, timeout_s))
        for target, some in zip(targets, (questions, direct), strict=False)
    ]
    document = _document(runs, seed=chosen, best=1 - asked / requests)
    if as_json:
        tell(document)
    else:
        _show(runs, chosen, best=1 - asked / requests)
    context.exit(1 if any(run.errors for run in runs) else 0)


def _question(reader: Reader, seed: int, number: int) -> Question:
    return reader.read(f"Question {number} of benchmark {seed}: what is it good for?".encode())


async def _load(
    url: str, sent: list[Header], questions: list[Question], clients: int, timeout_s: float
) -> Run:
    from proxy.benching import load  # noqa: PLC0415 - as above
    from proxy.calling import opened  # noqa: PLC0415 - as above

    async with opened(
        url, sent, connections=clients, timeout_s=timeout_s,
        wall=time.time,  # noqa: TID251 - a command has the real clock
    ) as front:  # fmt: skip
        return await load(front, questions, clients=clients, clock=time.perf_counter)


def _document(runs: list[Run], *, seed: int, best: float) -> dict[str, object]:
    """What there is to tell, for programs."""
    from proxy.benching import times_of  # noqa: PLC0415 - aiohttp, only when it is needed

    through = runs[0]
    told: dict[str, object] = {
        "seed": seed,
        "hit_ratio": through.hit_ratio,
        "hit_ratio_possible": best,
        **_told(through),
        **{name: _times(through.times(*verdicts)) for name, verdicts in _SORTS},
        "hits_in_proxy": _times(times_of(through.own)),
        "verdicts": {verdict or "none": len(some) for verdict, some in through.taken.items()},
        "direct": None,
        "faster": None,
    }
    if len(runs) > 1:
        told["direct"] = _told(runs[1])
        told["faster"] = _faster(runs)
    return told


def _told(run: Run) -> dict[str, object]:
    return {
        "requests": run.answered + run.errors.total(),
        "errors": dict(run.errors),
        "seconds": run.seconds,
        "per_second": run.per_second,
        "all": _times(run.times()),
    }


def _times(times: Times | None) -> dict[str, float] | None:
    return None if times is None else times._asdict()


def _faster(runs: list[Run]) -> float | None:
    """How many times as long the backend takes, on average."""
    through, direct = runs[0].times(), runs[1].times()
    return None if through is None or direct is None else direct.mean_s / through.mean_s


def _show(runs: list[Run], seed: int, *, best: float) -> None:
    """The same for people."""
    from proxy.benching import times_of  # noqa: PLC0415 - aiohttp, only when it is needed

    screen = console()
    through = runs[0]
    made = table("", "#requests", "#mean", "#p50", "#p90", "#p99", "#max")
    rows = [(name, through.times(*verdicts)) for name, verdicts in _SORTS]
    rows.insert(1, ("  in the proxy itself", times_of(through.own)))
    rows.append(("all", through.times()))
    if len(runs) > 1:
        rows.append(("backend alone", runs[1].times()))
    for name, times in rows:
        if times is not None:
            made.add_row(name, count(times.answers), *map(duration, times[1:]))
    screen.print(made)
    screen.print(
        f"hit ratio   {share(through.hit_ratio)}, of {share(best)} that were possible\n"
        f"throughput  {through.per_second:,.1f} answers a second"
        + (f", the backend alone {runs[1].per_second:,.1f}" if len(runs) > 1 else "")
    )
    faster = _faster(runs) if len(runs) > 1 else None
    if faster is not None:
        screen.print(f"on average  {faster:,.1f} times as fast as the backend alone")
    other = through.answered - sum(
        len(through.taken.get(verdict, ())) for _, verdicts in _SORTS for verdict in verdicts
    )
    if other:
        screen.print(styled(f"{other:,} answers were not for the cache", "yellow"))
    for run in runs:
        for why, number in run.errors.most_common(_SHOWN):
            screen.print(styled(f"{number:,} failed: {clean(why)}", "red"))
    screen.print(styled(f"--seed {seed} asks the same again", "dim"))

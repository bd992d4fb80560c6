"""The command that asks questions ahead, so that they are answered from the cache later."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy.commands.credentials import Header, asks_as_client, headers
from proxy.commands.refused import Refused
from proxy.commands.screen import clean, json_option, tell

if TYPE_CHECKING:
    from proxy.calling import Question
    from proxy.commands.warm_progress import Watch
    from proxy.warming.done import Done, DoneFile
    from proxy.warming.questions import Members, Reader
    from proxy.warming.run import Warming
    from proxy.warming.source import Line, Source

_URL: Final = "http://127.0.0.1:8080"
_SAVE_S: Final = 1.0  # what a kill can lose
_INTERRUPTED: Final = 128  # and the signal's number, as shells have it
_SHOWN: Final = 3  # lines that are no question


@dataclass(frozen=True, slots=True)
class Plan:
    """What was chosen."""

    url: str
    headers: list[Header]
    reader: Reader
    log: bool
    top: int
    concurrency: int
    rate: float | None
    retries: int
    timeout_s: float
    asked_as: bytes  # all that makes the same lines other questions


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--url", default=_URL, show_default=True, help="Where clients come in.")
@asks_as_client
@click.option("--model", metavar="MODEL", help="Whom to ask bare questions.")
@click.option("--path", metavar="PATH", help="Where bare questions and bodies go.")
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    help="A file with the body for bare questions; {question} in it is replaced.",
)
@click.option("--log", is_flag=True, help="FILE is an access log: ask what was asked most.")
@click.option(
    "--top",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="How many questions of a log.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="How many at a time.",
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="How many a second, at most.")
@click.option(
    "--retries", type=click.IntRange(0, 100), default=5, show_default=True, help="If one fails."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds for which nothing of an answer may come.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Where to note what is done.  [default: beside FILE]",
)
@click.option("--fresh", is_flag=True, help="Ask everything, whatever was done before.")
@json_option
@click.pass_context
def warm(
    context: click.Context,
    *,
    file: Path,
    url: str,
    header: tuple[str, ...],
    header_file: Path | None,
    api_key_env: str | None,
    model: str | None,
    path: str | None,
    template: Path | None,
    log: bool,
    top: int,
    concurrency: int,
    rate: float | None,
    retries: int,
    timeout_s: float,
    state: Path | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Ask the questions in FILE, so that their answers are stored.

    FILE has a question in each line: a request, {"path": ..., "body": ...}, a line of an OpenAI
    batch, a body, {"question": ...}, or just words; - reads standard input. It is asked as a client
    would, at the proxy's front door. Ctrl-C lets what is under way end; called again the same
    way, it goes on where it was.
    """
    from proxy.calling import origin_of  # noqa: PLC0415 - aiohttp, only when it is needed
    from proxy.warming.questions import Reader  # noqa: PLC0415 - as above

    sent = headers(header, header_file, api_key_env)
    try:
        reader = Reader(model, path, None if template is None else template_in(template))
        origin = origin_of(url)
    except ValueError as error:
        raise Refused(str(error)) from error
    chosen = (origin, model, path, template and template.read_bytes(), log, log and top, sent)
    plan = Plan(
        origin, sent, reader, log, top, concurrency, rate, retries, timeout_s,
        blake2b(repr(chosen).encode(), digest_size=16).digest(),
    )  # fmt: skip
    with ExitStack() as held:
        from proxy.warming.source import Source, spooled  # noqa: PLC0415 - as above

        try:
            if str(file) == "-":
                source = Source(held.enter_context(spooled(sys.stdin.buffer)))
            else:
                source = Source(file)
            status = _warm(source, plan, _state(file, state, plan), fresh=fresh, as_json=as_json)
        except OSError as error:
            raise Refused(f"{error.filename or file}: {error.strerror}") from error
    context.exit(status)


def _warm(source: Source, plan: Plan, state: Path | None, *, fresh: bool, as_json: bool) -> int:
    """Do it, and tell of it; the exit status. Raises Refused and OSError."""
    from proxy.commands.warm_progress import Watch, told  # noqa: PLC0415 - as above
    from proxy.warming.done import Done, DoneFile  # noqa: PLC0415 - as above

    source.survey()
    _readable(source, plan)
    lines, total = _lines(source, plan)
    file = None if state is None else DoneFile(state, f"{source.digest} {plan.asked_as.hex()}")
    known = None if fresh or file is None else file.load()
    if known is None and not fresh and file is not None and file.path.exists():
        click.echo(f"{file.path} is of another input: starting over", err=True)
    done = known or Done()
    watch = Watch(total, min(done.count, total), resumes=known is not None)
    if known is not None and not as_json:
        click.echo(f"going on: {watch.before:,} of {total:,} were done before", err=True)
    bad: list[str] = []
    warming, signal_number = asyncio.run(
        _run(lines, plan, done=done, file=file, watch=watch, bad=bad)
    )
    left = total - watch.before - warming.tally.answered - warming.tally.troubles
    document = watch.document(warming, interrupted=signal_number is not None, left=left)
    document["state"] = str(file.path) if file is not None and left + warming.tally.failed else None
    if as_json:
        tell(document)
    else:
        for line in bad:
            click.echo(line, err=True)
        click.echo("\n".join(told(document)))
    if signal_number is not None:
        return _INTERRUPTED + signal_number
    return 1 if warming.given_up or warming.tally.troubles else 0


async def _run(
    lines: Iterable[Line],
    plan: Plan,
    *,
    done: Done,
    file: DoneFile | None,
    watch: Watch,
    bad: list[str],
) -> tuple[Warming, int | None]:
    """Ask it all; the number of the signal that ended it early, if one did."""
    from proxy.calling import opened  # noqa: PLC0415 - as above
    from proxy.warming.run import Warming  # noqa: PLC0415 - as above

    loop = asyncio.get_running_loop()
    told: list[int] = []
    async with opened(
        plan.url, plan.headers, connections=plan.concurrency, timeout_s=plan.timeout_s,
        wall=time.time,  # noqa: TID251 - a command has the real clock
    ) as front:  # fmt: skip
        warming = Warming(
            front,
            done,
            concurrency=plan.concurrency,
            rate=plan.rate,
            retries=plan.retries,
            clock=time.monotonic,
            dice=random.random,  # noqa: TID251 - as above
        )
        running = loop.create_task(warming.run(_questions(lines, plan, done, bad)))

        def interrupt(number: int) -> None:
            if told:
                running.cancel()
                return
            told.append(number)
            warming.stop()
            watch.says("letting what is under way end; once more breaks it off")

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt, int(number))
        over = asyncio.Event()
        saving = loop.create_task(_save(done, file, over))
        watching = loop.create_task(watch.show(warming))
        try:
            with suppress(asyncio.CancelledError):
                await running
        finally:
            watching.cancel()
            over.set()
            await asyncio.gather(saving, watching, return_exceptions=True)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            _settle(warming, done, file, complete=not told and not warming.given_up)
    return warming, told[0] if told else None


def _settle(warming: Warming, done: Done, file: DoneFile | None, *, complete: bool) -> None:
    if file is None:
        return
    if complete and not warming.tally.failed:
        file.forget()
    else:
        file.save(done.ranges)


async def _save(done: Done, file: DoneFile | None, over: asyncio.Event) -> None:
    """Write down what is done, again and again until it is over.

    Not to be cancelled: a write under way would go on, and be mixed up with the last one.
    """
    saved = done.count
    while file is not None and not over.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_SAVE_S):
                await over.wait()
        if done.count != saved and not over.is_set():
            saved = done.count
            await asyncio.to_thread(file.save, done.ranges)


def _lines(source: Source, plan: Plan) -> tuple[Iterable[Line], int]:
    """What to ask, and how much of it there is."""
    from proxy.warming.logs import top  # noqa: PLC0415 - as above

    if not plan.log:
        return source, source.lines
    most = top(source, plan.reader, plan.top)
    if not most.offsets:
        raise Refused(
            f"{source.path}: no line of it is a request that could be asked again: a log has to"
            " hold them whole, or GETs in the common format"
        )
    click.echo(
        f"{len(most.offsets):,} questions were asked {most.covered:,} of {most.asked:,} times"
        f" ({most.other:,} other lines)",
        err=True,
    )
    return source.at(most.offsets), len(most.offsets)


def _questions(
    lines: Iterable[Line], plan: Plan, done: Done, bad: list[str]
) -> Iterator[tuple[int, Question | None]]:
    """What is to be asked, by number; None for a line that is no question."""
    for line in lines:
        if line.number in done:
            continue
        try:
            yield line.number, _question(line, plan)
        except ValueError as error:
            if len(bad) < _SHOWN:
                bad.append(f"line {line.number + 1}: {clean(str(error))}")
            yield line.number, None


def _question(line: Line, plan: Plan) -> Question:
    from proxy.warming.logs import asked_in  # noqa: PLC0415 - as above

    if line.text is None:
        raise ValueError("it is longer than 16 MiB")
    if not plan.log:
        return plan.reader.read(line.text)
    question = asked_in(line.text, plan.reader)
    if question is None:
        raise ValueError("the log has changed")
    return question


def _readable(source: Source, plan: Plan) -> None:
    """Raise Refused if there is nothing, or the first line is no question: then none may be."""
    first = next(iter(source), None)
    if first is None:
        raise Refused(f"{source.path}: there is no question in it")
    if plan.log:
        return
    try:
        _question(first, plan)
    except ValueError as error:
        raise Refused(f"{source.path}, line {first.number + 1}: {clean(str(error))}") from error


def template_in(path: Path) -> Members:
    """The body that bare questions go into. Raises Refused."""
    from proxy.warming.questions import members  # noqa: PLC0415 - as above

    try:
        return members(path.read_bytes())
    except OSError as error:
        raise Refused(f"--template {path}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(f"--template {path}: {error}") from error


def _state(file: Path, chosen: Path | None, plan: Plan) -> Path | None:
    """Where to note what is done: one file for each way to ask."""
    if chosen is not None:
        return chosen
    if str(file) == "-":
        return None
    return file.with_name(f"{file.name}.warm-{plan.asked_as[:4].hex()}")
